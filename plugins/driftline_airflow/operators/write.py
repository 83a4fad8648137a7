"""Write results: the interval is replaced as a whole, however often it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import AssetAlias

from driftline_airflow.links import QualityReportLink, ResultsLink
from driftline_airflow.operators.base import JobOperator, wanted_partitions
from driftline_airflow.schedules import snapshot_asset
from driftline_airflow.window import UNTIL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job


def trained_alias(job: Job) -> AssetAlias:
    """The outlet of a scoring run that had to train first: it updates the job's snapshot asset only then."""
    return AssetAlias(name=f"driftline trained while scoring {job.job_id}")


class WriteResultsOperator(JobOperator):
    """Replaces the interval's results in Elasticsearch by the staged ones.

    Args:
        plan: What `PlanScoreOperator` returned.
        scored: What all `ScoreBatchOperator` tasks returned.
        verdict: What `QualityGateOperator` returned.
        kwargs: As `JobOperator` takes them.

    Returns `written`, `deleted`, `records`, `buckets`, `max_anomaly_score`, `start`, `end`.
    """

    template_fields: Sequence[str] = ("plan", "scored", "verdict")
    operator_extra_links = (ResultsLink(), QualityReportLink())

    def __init__(
        self,
        *,
        plan: dict[str, Any],
        scored: Iterable[dict[str, Any]],
        verdict: dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ANN401 - Airflow's arguments
    ) -> None:
        super().__init__(**kwargs)
        self.plan, self.scored, self.verdict = plan, scored, verdict
        self.report_id: str | None = None

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.pipeline.score import write

        job = self.definition(client, context, self.plan)
        self.report_id = (self.verdict or {}).get("report_id")
        outcome = write(
            client,
            job,
            self.plan,
            list(self.scored),
            verdict=self.verdict,
            partitions=wanted_partitions(context),
            run=context["run_id"],
        )
        self.log.info("%(written)s documents written, %(deleted)s stale removed; highest score %(max_anomaly_score)s", outcome)
        if self.plan.get("renewed") and self.outlets:
            context["outlet_events"][trained_alias(job)].add(snapshot_asset(job.job_id), {UNTIL: self.plan["end"]})
        return outcome
