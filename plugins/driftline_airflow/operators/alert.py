"""Alert: what a run found is told, each incident once on each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline_airflow.operators.base import ClusterOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job


class AlertOperator(ClusterOperator):
    """Tells what a run of a job or a source found, and what could not be told before.

    Args:
        job: The job of the run, or
        source_id: its source.
        written: What `WriteResultsOperator` returned; None where the run wrote nothing.
        kwargs: As `ClusterOperator` takes them.

    Returns `claimed`, `told`. It is tried again where a channel fails, and takes up what it left.
    """

    template_fields: Sequence[str] = ("written",)

    def __init__(
        self,
        *,
        job: Job | None = None,
        source_id: str = "",
        written: dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ANN401 - Airflow's arguments
    ) -> None:
        super().__init__(**kwargs)
        self.job, self.source_id, self.written = job, source_id, written

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, int]:
        """See the class."""
        from driftline.core.timespan import Window
        from driftline.pipeline.alerts import Findings, list_alerts, tell
        from driftline_airflow.channels import send

        run = context["run_id"]
        window = Window.parse(self.written["start"], self.written["end"]) if self.written else None
        findings = Findings(client, run, job=self.job, source_id=self.source_id, window=window)
        # ids of runs are free text, and those of two DAGs may be the same
        outcome = tell(client, findings, send, owner=f"{context['ti'].dag_id} {run}", alerts=list_alerts())
        self.log.info("%(claimed)s new incidents, %(told)s told", outcome)
        return outcome
