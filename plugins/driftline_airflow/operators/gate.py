"""The quality gate before training and scoring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from driftline_airflow.links import QualityReportLink
from driftline_airflow.operators.base import JobOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from elasticsearch import Elasticsearch


class Gate:
    """What the gates have in common: the button to the report, also of a run that they stop, and a word in the log."""

    operator_extra_links = (QualityReportLink(),)
    report_id: str | None = None

    def judged(self, check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The verdict of a check."""
        from driftline.core.errors import QualityStopError

        try:
            verdict = check()
        except QualityStopError as stop:
            self.report_id = stop.report_id
            raise
        self.report_id = verdict["report_id"]
        if verdict["failed"]:
            self.log.warning("Verdict %s: %s", verdict["verdict"], verdict["failed"])  # type: ignore[attr-defined]
        return verdict


class QualityGateOperator(Gate, JobOperator):
    """Checks staged series with great-expectations; the verdict `stop` fails the run with its reasons.

    Args:
        handle: What `ReadSeriesOperator` returned.
        stage: train or score.
        kwargs: As `JobOperator` takes them.

    Returns `verdict`, `report_id`, `report`, `failed`.
    """

    template_fields: Sequence[str] = ("handle", "stage")

    def __init__(
        self,
        *,
        handle: dict[str, Any],
        stage: Literal["train", "score"],
        **kwargs: Any,  # noqa: ANN401 - Airflow's arguments
    ) -> None:
        super().__init__(**kwargs)
        self.handle, self.stage = handle, stage

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.pipeline.gate import check_series

        job = self.definition(client, context, self.handle)
        return self.judged(lambda: check_series(client, job, self.handle, stage=self.stage, run=context["run_id"]))
