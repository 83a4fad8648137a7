"""Read: one aggregation into Parquet in the staging area."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline_airflow.operators.base import JobOperator
from driftline_airflow.window import training_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from elasticsearch import Elasticsearch


class ReadSeriesOperator(JobOperator):
    """Reads a job's series and stages them.

    Args:
        plan: What `PlanScoreOperator` returned; without it the training window is read, as of the param `as_of`, from `start` on.
        kwargs: As `JobOperator` takes them.

    Returns a handle: `uri`, `series`, `buckets`, `docs`, `start`, `end`, `notes`.
    """

    template_fields: Sequence[str] = ("plan",)

    def __init__(self, *, plan: dict[str, Any] | None = None, **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's arguments
        super().__init__(**kwargs)
        self.plan = plan

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.pipeline.read import read_series
        from driftline.pipeline.score import read_plan
        from driftline.pipeline.train import training_window

        job, uri = self.definition(client, context, self.plan), self.staged(context, "series.parquet")
        if self.plan is not None:
            handle = read_plan(client, job, self.plan, uri=uri, progress=self.progress())
        else:
            window = training_window(client, job, training_time(context), start=context["params"].get("start"))
            handle = read_series(client, job, window, uri=uri, progress=self.progress())
        self.log.info("%(series)s series of %(buckets)s buckets from %(docs)s documents, %(start)s to %(end)s", handle)
        for note in handle["notes"]:
            self.log.warning("%s", note)
        return handle
