"""Predictions at ingest: each row is indexed with what the model in force says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from driftline.core.errors import DefinitionError
from driftline.pipeline import promotion
from driftline.pipeline.evaluated import Found
from driftline.pipeline.infer import table_of
from driftline.pipeline.jobs import load_analysis

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch


class Tagger:
    """Adds predictions to rows.

    Args:
        client: The cluster.
        analytics_id: The analysis whose model is asked.

    Raises:
        DefinitionError: There is no such analysis, or it makes no model.
        NoModelError: It has no model yet: better no row now than rows without.
        SnapshotError: Its model predicts something else.
    """

    def __init__(self, client: Elasticsearch, analytics_id: str) -> None:
        self._analysis = load_analysis(analytics_id, client)
        if self._analysis.supervised is None:
            raise DefinitionError(
                f"analytics '{analytics_id}' makes no model", where="predict", expected="one that classifies or predicts"
            )
        description = promotion.asked(client, self._analysis)
        self._model, self._model_id = promotion.load(client, description), description["model_id"]

    def __call__(self, bodies: list[bytes]) -> list[bytes]:
        """The rows (JSON objects) with predictions in the analysis' results field."""
        if not bodies:
            return bodies
        table = table_of(self._model, [orjson.loads(body) for body in bodies], strict=False)
        found = Found.of_new(self._analysis, self._model, table, self._model_id).results()
        head = b"," + orjson.dumps(self._analysis.dest.results_field) + b":"
        return [
            b"%b%b%b}" % (body[:-1], head if len(body) > 2 else head[1:], orjson.dumps(said))
            for body, said in zip(bodies, found, strict=True)
        ]
