"""Score one batch of series: what a mapped task of a scoring run does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline_airflow.operators.base import JobOperator, wanted_partitions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from elasticsearch import Elasticsearch


class ScoreBatchOperator(JobOperator):
    """Scores one batch of staged series and stages its records.

    Args:
        plan: What `PlanScoreOperator` returned.
        batch: One of `driftline.pipeline.read.batches`.
        kwargs: As `JobOperator` takes them.

    Returns `uri`, `scored`, `unscored`, `records`.
    """

    template_fields: Sequence[str] = ("plan", "batch")

    def __init__(self, *, plan: dict[str, Any], batch: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's arguments
        super().__init__(**kwargs)
        self.plan, self.batch = plan, batch

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.pipeline.score import score_batch

        out = self.staged(context, f"scored-{self.batch['part']}.json")
        job = self.definition(client, context, self.plan)
        return score_batch(client, job, self.batch, self.plan, partitions=wanted_partitions(context), out=out)
