"""Make a snapshot of the fits and put it in force, unless it is worse than what is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from driftline_airflow.links import QualityReportLink
from driftline_airflow.operators.base import JobOperator
from driftline_airflow.schedules import snapshot_asset
from driftline_airflow.window import UNTIL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from elasticsearch import Elasticsearch


class PromoteSnapshotOperator(JobOperator):
    """Writes the snapshot and judges it by its backtest.

    Args:
        handle: What `ReadSeriesOperator` returned.
        fitted: What all `FitBatchOperator` tasks returned.
        verdict: What `QualityGateOperator` returned.
        kwargs: As `JobOperator` takes them.

    Returns `snapshot_id`, `promoted`, `reason`, `trained`, `failed`, `window`. A snapshot that is not promoted skips the
    task, so that its outlet says nothing to those who wait for a new one; the old snapshot stays in force.
    """

    template_fields: Sequence[str] = ("handle", "fitted", "verdict")
    operator_extra_links = (QualityReportLink(),)

    def __init__(
        self,
        *,
        handle: dict[str, Any],
        fitted: Iterable[dict[str, Any]],
        verdict: dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ANN401 - Airflow's arguments
    ) -> None:
        super().__init__(**kwargs)
        self.handle, self.fitted, self.verdict = handle, fitted, verdict
        self.report_id: str | None = None

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.pipeline.train import promote

        self.report_id = (self.verdict or {}).get("report_id")
        job = self.definition(client, context, self.handle)
        outcome = promote(client, job, self.handle, list(self.fitted), verdict=self.verdict, run=context["run_id"])
        for failure in outcome["failures"][:20]:
            self.log.warning("not trained: %s", failure)
        if not outcome["promoted"]:
            raise AirflowSkipException(f"snapshot {outcome['snapshot_id']} is not promoted: {outcome['reason']}")
        self.log.info("%(trained)s series trained, %(failed)s not; snapshot %(snapshot_id)s: %(reason)s", outcome)
        if self.outlets:
            context["outlet_events"][snapshot_asset(job.job_id)].extra = {UNTIL: outcome["window"]["end"]}
        return {key: value for key, value in outcome.items() if key != "failures"}
