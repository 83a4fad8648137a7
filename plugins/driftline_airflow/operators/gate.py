"""The quality gate before training and scoring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from driftline_airflow.links import QualityReportLink
from driftline_airflow.operators.base import JobOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from elasticsearch import Elasticsearch


class QualityGateOperator(JobOperator):
    """Checks staged series with great-expectations; the verdict `stop` fails the run with its reasons.

    Args:
        handle: What `ReadSeriesOperator` returned.
        stage: train or score.
        kwargs: As `JobOperator` takes them.

    Returns `verdict`, `report_id`, `report`, `failed`.
    """

    template_fields: Sequence[str] = ("handle", "stage")
    operator_extra_links = (QualityReportLink(),)

    def __init__(
        self,
        *,
        handle: dict[str, Any],
        stage: Literal["train", "score"],
        **kwargs: Any,  # noqa: ANN401 - Airflow's arguments
    ) -> None:
        super().__init__(**kwargs)
        self.handle, self.stage = handle, stage
        self.report_id: str | None = None

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.core.errors import QualityStopError
        from driftline.pipeline.gate import check_series

        job = self.definition(client, context, self.handle)
        try:
            verdict = check_series(client, job, self.handle, stage=self.stage, run=context["run_id"])
        except QualityStopError as stop:
            self.report_id = stop.report_id
            raise
        self.report_id = verdict["report_id"]
        if verdict["failed"]:
            self.log.warning("Verdict %s: %s", verdict["verdict"], verdict["failed"])
        return verdict
