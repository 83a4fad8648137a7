"""Index rows: a source's new files, one a mapped task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from driftline_airflow.links import QualityReportLink
from driftline_airflow.operators.base import ClusterOperator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from elasticsearch import Elasticsearch

    from driftline.core.source import Source


class SourceOperator(ClusterOperator):
    """Base of the operators that work for a source.

    Args:
        source: The source, or the id of one.
        kwargs: As `ClusterOperator` takes them.
    """

    def __init__(self, *, source: Source | str, **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's arguments
        super().__init__(**kwargs)
        self.source = source

    def definition(self) -> Source:
        """The source itself."""
        if not isinstance(self.source, str):
            return self.source
        from driftline.pipeline.jobs import load_source

        return load_source(self.source)


class PendingFilesOperator(SourceOperator):
    """Lists what a source has that the ledger does not know yet; skips the run when there is nothing.

    Returns a list of handles, one for each `IndexRowsOperator`.
    """

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> list[dict[str, Any]]:
        """See the class."""
        from driftline.pipeline.ingest import pending

        source = self.definition()
        found = pending(client, source)
        if not found:
            raise AirflowSkipException(f"source {source.source_id} has nothing new")
        self.log.info("%s to ingest", len(found))
        return found


class IndexRowsOperator(SourceOperator):
    """Indexes the rows of one file: parsed, checked by the gate, bad ones into quarantine. Doing it twice adds nothing.

    Args:
        handle: One of those that `PendingFilesOperator` returned.
        kwargs: As `SourceOperator` takes them.

    Returns counts.
    """

    template_fields: Sequence[str] = ("handle",)
    operator_extra_links = (QualityReportLink(),)

    def __init__(self, *, handle: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's arguments
        super().__init__(**kwargs)
        self.handle = handle
        self.report_id: str | None = None

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.core.errors import QualityStopError
        from driftline.pipeline.ingest import ingest_file

        try:
            return ingest_file(client, self.definition(), self.handle, context["run_id"], self.progress())
        except QualityStopError as stop:
            self.report_id = stop.report_id or stop.report
            raise


class FinishIngestOperator(SourceOperator):
    """Concludes an ingest run: sums it up, judges it, and tells the jobs that wait for the source.

    Args:
        results: What all `IndexRowsOperator` tasks returned.
        kwargs: As `SourceOperator` takes them.

    Returns the summary.
    """

    template_fields: Sequence[str] = ("results",)
    operator_extra_links = (QualityReportLink(),)

    def __init__(self, *, results: Iterable[dict[str, Any]], **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's arguments
        super().__init__(**kwargs)
        self.results = results
        self.report_id: str | None = None

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.pipeline.ingest import finish

        outcome = finish(client, self.definition(), list(self.results), context["run_id"])
        self.report_id = outcome["report_id"]
        self.log.info("%(rows)s rows of %(files)s files: %(indexed)s indexed, %(quarantined)s in quarantine", outcome)
        return outcome
