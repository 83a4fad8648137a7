"""Fit one batch of series: what a mapped task of a training does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline_airflow.operators.base import JobOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from elasticsearch import Elasticsearch


class FitBatchOperator(JobOperator):
    """Fits the models of one batch of staged series.

    Args:
        batch: One of `driftline.pipeline.read.batches`: `uri`, `first`, `last`.
        kwargs: As `JobOperator` takes them.

    Returns `uri`, `trained`, `failed`.
    """

    template_fields: Sequence[str] = ("batch",)

    def __init__(self, *, batch: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's arguments
        super().__init__(**kwargs)
        self.batch = batch

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.pipeline.train import fit_batch

        out = self.staged(context, f"fit-{self.batch['part']}.json")
        return fit_batch(self.definition(client, context, self.batch), self.batch, out=out, progress=self.progress())
