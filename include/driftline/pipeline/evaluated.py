"""What an analysis found for each document, in Elastic's words, and how good it is on those that were held back."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from driftline.analytics import evaluate as measures
from driftline.analytics.model import top
from driftline.analytics.trees import EXPLAINED_ROWS
from driftline.core.analysis import Classification
from driftline.core.paths import whole
from driftline.core.results import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from driftline.analytics.model import Model
    from driftline.core.analysis import Analysis, OutlierDetection
    from driftline.core.progress import Progress

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

CHUNK = 10_000
SCHEMA = pa.schema([("result", pa.binary())])
EDGES = np.linspace(0, 1, 21)


class Found:
    """What a model says of staged documents.

    Args:
        analysis: The analysis.
        model: Its model.
        table: The documents' fields, n of them.
        truth: [n] class numbers or values; of documents without a label anything.
        learned: [n] which were learned from.
        held: [n] which have a label and were not.
        model_id: The model's name.
    """

    def __init__(
        self, analysis: Analysis, model: Model, table: pa.Table, truth: NDArray[Any], learned: Flags, held: Flags, model_id: str
    ) -> None:
        self.analysis, self.model, self.model_id = analysis, model, model_id
        self.truth, self.learned, self.held = truth, learned, held
        self.rows, self.predicted = model.predict(table)

    @classmethod
    def of_new(cls, analysis: Analysis, model: Model, table: pa.Table, model_id: str) -> Self:
        """What it says of documents that have no label, and were not learned from."""
        none = np.zeros(table.num_rows, dtype=bool)
        return cls(analysis, model, table, np.zeros(table.num_rows, dtype=np.int64), none, none, model_id)

    @cached_property
    def assigned(self) -> NDArray[np.int64]:
        """[n] the class of each document."""
        return self.model.trees.assign(self.predicted)

    def evaluation(self) -> dict[str, Any]:
        """The measures on the documents that were held back."""
        held = self.held
        if self.model.trees.classes:
            return measures.classification(self.truth[held], self.assigned[held], self.predicted[held], self.model.trees.classes)
        return measures.regression(self.truth[held], self.predicted[held])

    def importance(self) -> list[dict[str, Any]]:
        """Elastic's `total_feature_importance`: how much each column moves predictions, the greatest first."""
        rows = self.rows[self.held]
        found = self.model.trees.contributions(rows[:: max(1, len(rows) // EXPLAINED_ROWS)][:EXPLAINED_ROWS])
        by_class = found if found.ndim == 3 else found[:, None]
        sizes = np.abs(by_class).mean(axis=0)
        order = np.argsort(-sizes.sum(axis=0), kind="stable")
        classes, names = self.model.trees.classes, self.model.encoder.names
        told = []
        for place in order:
            parts = [_spread(by_class[:, row, place]) for row in range(by_class.shape[1])]
            if len(classes) > 2:
                each = [{"class_name": name, "importance": part} for name, part in zip(classes, parts, strict=True)]
                told.append({"feature_name": names[place], "classes": each, "mean_magnitude": number(sizes[:, place].sum())})
            else:
                told.append({"feature_name": names[place], "importance": parts[0], "mean_magnitude": number(sizes[0, place])})
        return told

    def stage(self, uri: str, progress: Progress | None = None) -> None:
        """Writes the result of each document, in their order."""
        stage(uri, self._results(progress))

    def results(self, many: int | None = None) -> list[dict[str, Any]]:
        """The result of each document; `many` says of how many columns is told how much they mattered."""
        return [result for part in self._parts(many, None) for result in part]

    def _results(self, progress: Progress | None) -> Iterator[list[bytes]]:
        for part in self._parts(None, progress):
            yield [orjson.dumps(result) for result in part]

    def _parts(self, many: int | None, progress: Progress | None) -> Iterator[list[dict[str, Any]]]:
        if many is None and self.analysis.supervised:
            many = self.analysis.supervised.num_top_feature_importance_values
        made = self._of_class if self.model.trees.classes else self._of_value
        for first in range(0, len(self.rows), CHUNK):
            part = slice(first, first + CHUNK)
            found = made(part)
            if many:
                for result, told in zip(found, _explained(self.model, self.rows[part], many), strict=True):
                    result["feature_importance"] = told
            yield found
            if progress and many:
                progress("documents explained", min(first + CHUNK, len(self.rows)), len(self.rows))

    def _of_class(self, part: slice) -> list[dict[str, Any]]:
        assert self.analysis.supervised is not None
        classes, field = self.model.trees.classes, self.analysis.supervised.prediction_field
        scores = self.predicted[part] * np.asarray(self.model.trees.weights)
        order = np.argsort(-scores, axis=1, kind="stable")
        settings = self.analysis.supervised
        assert isinstance(settings, Classification)
        shown = order if settings.num_top_classes < 0 else order[:, : settings.num_top_classes]
        truth, labelled = np.maximum(self.truth[part], 0), (self.held | self.learned)[part]
        given = np.take_along_axis(self.predicted[part], truth[:, None], axis=1)[:, 0]  # the probability of what is right
        columns = (
            order[:, 0], shown, np.round(self.predicted[part], 6), np.round(scores, 6), self.learned[part],
            labelled, order[:, 0] == truth, np.round(-np.log(np.maximum(given, 1e-15)), 6),
        )  # fmt: skip
        found = []
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for best, listed, chance, score, training, known, correct, loss in rows:
            result: dict[str, Any] = {
                field: classes[best], "prediction_probability": chance[best], "prediction_score": score[best],
                "is_training": training, "model_id": self.model_id,
            }  # fmt: skip
            if listed:
                result["top_classes"] = [
                    {"class_name": classes[k], "class_probability": chance[k], "class_score": score[k]} for k in listed
                ]
            if known:
                result["driftline"] = {"correct": correct, "loss": loss}
            found.append(result)
        return found

    def _of_value(self, part: slice) -> list[dict[str, Any]]:
        assert self.analysis.supervised is not None
        field, known = self.analysis.supervised.prediction_field, (self.held | self.learned)[part]
        values, errors = self.predicted[part], (self.predicted - self.truth)[part]
        return [
            {
                field: number(value), "is_training": training, "model_id": self.model_id,
                **({"driftline": {"error": number(error), "loss": number(abs(error))}} if labelled else {}),
            }
            for value, training, labelled, error in zip(values, self.learned[part].tolist(), known.tolist(), errors, strict=True)
        ]  # fmt: skip


def _explained(model: Model, rows: NDArray[np.float64], many: int) -> Iterator[list[dict[str, Any]]]:
    names, classes = model.encoder.names, model.trees.classes
    for found in model.trees.contributions(rows):
        if found.ndim == 1:
            yield top(found, names, many)
            continue
        order = np.abs(found).sum(axis=0).argsort()[::-1][:many]
        yield [
            {
                "feature_name": names[k],
                "importance": number(np.abs(found[:, k]).sum()),
                "classes": [{"class_name": name, "importance": number(found[row, k])} for row, name in enumerate(classes)],
            }
            for k in order
        ]


def explain(model: Model, table: pa.Table, many: int) -> list[list[dict[str, Any]]]:
    """Of each document, the columns that mattered most for its prediction."""
    return list(_explained(model, model.encoder.encode(table), many))


def stage(uri: str, results: Iterable[list[bytes]]) -> None:
    """Writes results (JSON) in their order."""
    with _uncollected(), whole(uri) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as out:
        for part in results:
            out.write_table(pa.table([pa.array(part, pa.binary())], schema=SCHEMA))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection: results hold no cycles, and to look through so many for some takes as long as making them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def stage_outliers(
    scores: Floats, influence: Floats | None, names: list[str], settings: OutlierDetection, model_id: str, uri: str
) -> None:
    """Writes the outlier score of each document, and for those that stand out by which columns they do."""
    stage(uri, _outliers(scores, influence, names, settings, model_id))


def _outliers(
    scores: Floats, influence: Floats | None, names: list[str], settings: OutlierDetection, model_id: str
) -> Iterator[list[bytes]]:
    for first in range(0, len(scores), CHUNK):
        found = []
        for row in range(first, min(first + CHUNK, len(scores))):
            result: dict[str, Any] = {"outlier_score": number(scores[row]), "model_id": model_id}
            if influence is not None and scores[row] >= settings.feature_influence_threshold:
                order = np.argsort(-influence[row], kind="stable")
                result["feature_influence"] = [{"feature_name": names[k], "influence": number(influence[row, k])} for k in order]
            found.append(orjson.dumps(result))
        yield found


def outlier_facts(scores: Floats) -> dict[str, Any]:
    """How the scores lie: a histogram, and how many are above some thresholds."""
    counts, _ = np.histogram(scores, EDGES)
    above = {str(threshold): int((scores >= threshold).sum()) for threshold in (0.25, 0.5, 0.75, 0.9)}
    return {"documents": len(scores), "histogram": counts.tolist(), "above": above}


def _spread(values: Floats) -> dict[str, float]:
    return {"mean_magnitude": number(np.abs(values).mean()), "min": number(values.min()), "max": number(values.max())}
