"""Evaluates what an index holds against what is known: results of any analysis, ours or another's, and a field with the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.analytics import evaluate as measures
from driftline.analytics.features import NUMBERS
from driftline.core.analysis import MAX_CLASSES
from driftline.core.errors import DataError, DefinitionError, SourceIndexError
from driftline.elastic.client import explained
from driftline.elastic.documents import field_types, pages
from driftline.pipeline.documents import label_text

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.analysis import AnalysisType

YES = {"true", "1", "yes", "outlier", "anomaly"}


def evaluate(
    client: Elasticsearch,
    index: list[str],
    kind: AnalysisType,
    actual: str,
    predicted: str,
    *,
    query: dict[str, Any] | None = None,
    held_back: bool = False,
) -> dict[str, Any]:
    """Compares two fields of documents.

    Args:
        client: The cluster.
        index: Where the documents are.
        kind: What the fields hold: of outliers `predicted` is a score from 0 to 1, and `actual` says which are (`true`, 1).
        actual: The field with the truth.
        predicted: The field with what was found.
        query: Which documents.
        held_back: Only those of them that were not learned from.

    Returns:
        The measures of `analytics.evaluate`; of classes without areas, as one field holds no probabilities.

    Raises:
        SourceIndexError: A field is not there, or holds no numbers where there must be some.
        DataError: No document has both.
        DefinitionError: There are more classes than make sense.
    """
    where = f"index {','.join(index)}"
    types = field_types(client, index, where=where)
    for name in (actual, predicted):
        if name not in types:
            raise SourceIndexError(f"no field '{name}' in the index", where=where)
    for name in {"regression": (actual, predicted), "outlier_detection": (predicted,), "classification": ()}[kind]:
        if types[name] not in NUMBERS:
            raise SourceIndexError(f"'{name}' is of type {types[name]}", where=where, expected=f"a number, for {kind}")
    asked = [query or {"match_all": {}}, *([_held_back(predicted)] if held_back else [])]
    body = {"query": {"bool": {"filter": asked}}, "_source": False, "docvalue_fields": [actual, predicted]}
    pairs = []
    with explained(where):
        for hits in pages(client, index, body, where=where, answer=["hits.hits.fields"]):
            fields = [hit.get("fields", {}) for hit in hits]
            pairs += [(each[actual][0], each[predicted][0]) for each in fields if actual in each and predicted in each]
    if not pairs:
        raise DataError(f"no document has both '{actual}' and '{predicted}'", where=where)
    truth, found = zip(*pairs, strict=True)
    if kind == "regression":
        return measures.regression(np.array(truth, dtype=float), np.array(found, dtype=float))
    if kind == "outlier_detection":
        known = np.array([label_text(each).lower() in YES for each in truth])
        return measures.outliers(np.array(found, dtype=float), known)
    return _classes([label_text(each) for each in truth], [label_text(each) for each in found], where)


def _held_back(predicted: str) -> dict[str, Any]:
    """What was not learned from: that is said beside the prediction, or above it where the label's own name has points."""
    parts = predicted.split(".")
    names = [".".join([*parts[:above], "is_training"]) for above in range(len(parts))]
    return {"bool": {"should": [{"term": {name: False}} for name in names]}}


def _classes(truth: list[str], found: list[str], where: str) -> dict[str, Any]:
    names = sorted({*truth, *found})
    if len(names) > MAX_CLASSES:
        raise DefinitionError(f"there are {len(names):,} classes", where=where, expected=f"at most {MAX_CLASSES}")
    place = {name: number for number, name in enumerate(names)}
    codes, assigned = (np.array([place[name] for name in side], dtype=np.int64) for side in (truth, found))
    told = measures.classification(codes, assigned, np.eye(len(names))[assigned], names)
    return {name: told[name] for name in ("documents", "multiclass_confusion_matrix", "accuracy", "precision", "recall")}
