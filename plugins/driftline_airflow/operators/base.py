"""What all operators share: the connection, the staging place of a run, errors in Airflow's terms, progress in the log."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from driftline.core.job import Job
from driftline.core.paths import staging_uri
from driftline_airflow.failures import told_to_airflow
from driftline_airflow.hook import CONNECTION, DriftlineElasticsearchHook
from driftline_airflow.window import SCHEDULED

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

Progress = Callable[[str, int, int], None]


class ClusterOperator(BaseOperator):
    """Base of the operators that talk to Elasticsearch.

    Args:
        conn_id: The Airflow connection of the cluster.
        kwargs: As every operator takes them.
    """

    ui_color = "#e8eef7"

    def __init__(self, *, conn_id: str = CONNECTION, **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's arguments
        super().__init__(**kwargs)
        self.conn_id = conn_id

    def execute(self, context: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a handle: small JSON
        """Does the work; errors that a retry cannot help fail the task at once, with their message."""
        with told_to_airflow():
            return self.work(context, DriftlineElasticsearchHook(self.conn_id).get_conn())

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> Any:  # noqa: ANN401 - a handle: small JSON
        """What the operator does; returns a small JSON handle, never data."""
        raise NotImplementedError

    def staged(self, context: Mapping[str, Any], name: str) -> str:
        """Where this run stages a file. Run ids are free text, so the folder is named by their hash."""
        run = hashlib.blake2b(f"{context['ti'].dag_id} {context['run_id']}".encode(), digest_size=10).hexdigest()
        return staging_uri("runs", run, name)

    def progress(self) -> Progress:
        """A progress function that logs every tenth of the way."""
        last: dict[str, int] = {}

        def tell(what: str, done: int, total: int) -> None:
            tenth = 10 * done // max(1, total)
            if last.get(what) != tenth:
                last[what] = tenth
                self.log.info("%s: %s of %s", what, done, total)

        return tell


class JobOperator(ClusterOperator):
    """Base of the operators that work for a job.

    Args:
        job: The job, or the id of one.
        kwargs: As `ClusterOperator` takes them.
    """

    def __init__(self, *, job: Job | str, **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's arguments
        super().__init__(**kwargs)
        self.job = job

    def definition(self, client: Elasticsearch, context: Mapping[str, Any], made: Mapping[str, Any] | None = None) -> Job:
        """The job itself, in the version for which an earlier task of the run `made` what this one takes.

        Raises:
            ChangedError: The job was changed since. A scheduled run is skipped: the next one does its work, and all that the
                new version owes.
        """
        from driftline.core.errors import ChangedError
        from driftline.pipeline.jobs import load_job

        job = self.job if isinstance(self.job, Job) else load_job(self.job, client)
        begun = (made or {}).get("job_version", job.version)
        if begun == job.version:
            return job
        error = ChangedError(
            f"the job was changed while this run was under way: it began with version {begun}, now it is {job.version}",
            where=f"job {job.job_id}",
            fix="Start a new run, or clear all tasks of this one.",
        )
        if context["dag_run"].run_type == SCHEDULED:
            raise AirflowSkipException(str(error))
        raise error


def wanted_partitions(context: Mapping[str, Any]) -> list[str] | None:
    """The param `partitions`: only these values, or None for all."""
    return [str(value) for value in context["params"].get("partitions") or []] or None
