"""What an analysis wrote, to be looked at: pages of documents with predictions, some of them for charts, one explained."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import orjson

from driftline.analytics.features import DATES, KEYWORDS, NUMBERS, USED
from driftline.core.analysis import MAX_CLASSES
from driftline.core.errors import DataError
from driftline.elastic import state, trained
from driftline.elastic.client import explained
from driftline.elastic.documents import count, field_types
from driftline.pipeline import promotion
from driftline.pipeline.documents import found as one
from driftline.pipeline.documents import label_text
from driftline.pipeline.evaluated import explain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from elasticsearch import Elasticsearch

    from driftline.analytics.model import Model
    from driftline.core.analysis import Analysis

Part = Literal["training", "held_back", "unlabelled"]
Sort = Literal["errors", "loss", "probability", "score", "error", "prediction", "actual"]
PAGE, DEEP = 500, 10_000  # Elasticsearch pages no deeper
SAMPLE = 2_000  # points of a scatter plot: with more it is a blot
OUTERMOST = 300  # of outliers, those that a chart shows whatever is drawn by chance
FEW_VALUES = 30  # of a text field, so that it can be an axis
MODELS_KEPT = 4

_SORTS: dict[str, set[str]] = {
    "classification": {"errors", "loss", "probability", "score", "prediction", "actual"},
    "regression": {"errors", "loss", "error", "prediction", "actual"},
    "outlier_detection": {"errors", "score"},
}


@dataclass(frozen=True)
class Wanted:
    """Which documents of a destination are looked at.

    Attributes:
        predicted: Of this predicted class.
        actual: Of this actual class.
        errors: Only those that were predicted wrongly.
        part: Those that were learned from, were held back, or have no label.
        field: A field of the documents that must have `value`.
        value: Its value.
        min_score: Outliers of at least this score.
    """

    predicted: str | None = None
    actual: str | None = None
    errors: bool = False
    part: Part | None = None
    field: str | None = None
    value: str | None = None
    min_score: float = 0.0


def page(
    client: Elasticsearch, analysis: Analysis, wanted: Wanted, *, sort: Sort = "errors", descending: bool = True,
    size: int = 50, first: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """A page of documents with what was found for them; by `errors` what was predicted wrongly comes first, the worst of all.

    Returns:
        `total`, and `rows`: `id`, `predicted`, `actual`, `result` (as written), `document` (dotted field → value).

    Raises:
        DataError: The analysis has nothing that could be sorted or filtered so.
        SourceIndexError: The index cannot be read.
    """
    where = f"index {analysis.dest.index}"
    with explained(where):
        found = client.search(
            index=analysis.dest.index, query=_query(analysis, wanted), sort=_sort(analysis, sort, descending), size=size,
            from_=first, track_total_hits=True, ignore_unavailable=True, docvalue_fields=_label(analysis),
        ).body["hits"]  # fmt: skip
    return {"total": found["total"]["value"], "rows": [_row(analysis, hit) for hit in found["hits"]]}


def evaluation(client: Elasticsearch, analysis: Analysis) -> dict[str, Any]:
    """What is known of the run that wrote the destination.

    Returns:
        `created`, `documents`, `model_id`, `evaluation`; of a model also `classes`, `fields`, `hyperparameters`, `promotion`,
        `total_feature_importance`, `in_force`.

    Raises:
        DataError: It was not run yet.
    """
    if analysis.supervised is None:
        last = state.last_run(client, "analyze", analysis.analytics_id)
        if last:
            told = last["detail"]
            return {
                "created": last["@timestamp"],
                "documents": told["written"],
                **{name: told[name] for name in ("model_id", "evaluation")},
            }
    else:
        models = trained.list_(client, analysis.analytics_id)
        newest = next((each for each in models if each["origin"] == "trained"), None)
        if newest:
            names = ("classes", "fields", "hyperparameters", "promotion", "trees", "evaluation", "total_feature_importance")
            facts = {name: newest[name] for name in ("created", "documents", "model_id", "dependent_variable")}
            return {**facts, **{name: newest["detail"][name] for name in names}, "in_force": trained.in_force(models) is newest}
    raise DataError(f"there is no result of analytics '{analysis.analytics_id}' yet", fix="Start it.")


def labels(client: Elasticsearch, analysis: Analysis) -> dict[str, Any]:
    """What an analysis would read: `documents`, and of a classification the most frequent `classes`, each with its documents."""
    where = f"analytics {analysis.analytics_id}, source"
    total = count(client, analysis.source.index, analysis.source.query, where=where)
    if analysis.type != "classification" or analysis.supervised is None:
        return {"documents": total, "classes": []}
    asked = {"classes": {"terms": {"field": analysis.supervised.dependent_variable, "size": MAX_CLASSES + 1}}}
    with explained(where):
        answer = client.search(index=analysis.source.index, query=analysis.source.query, size=0, aggs=asked).body
    found = [
        {"class_name": each.get("key_as_string", label_text(each["key"])), "documents": each["doc_count"]}
        for each in answer["aggregations"]["classes"]["buckets"]
    ]
    return {"documents": total, "classes": found}


def sample(client: Elasticsearch, analysis: Analysis, wanted: Wanted, *, size: int = SAMPLE) -> dict[str, Any]:
    """Some documents, drawn by chance but always the same, for charts; of outliers also those with the highest scores.

    Returns:
        `ids`; of a regression `actual`, `predicted`; of outliers `score`, `columns` (field → values), `dates` (those of them that
        are times), and `influence` (columns of the analysis with their mean influence, the greatest first).

    Raises:
        DataError: It is a classification, which has a matrix.
        SourceIndexError: The index cannot be read.
    """
    if analysis.type == "classification":
        raise DataError("a classification has no sample", where=f"analytics {analysis.analytics_id}")
    drawn = {"function_score": {"query": _query(analysis, wanted), "random_score": {"seed": analysis.seed, "field": "_seq_no"}}}
    with explained(f"index {analysis.dest.index}"):
        if analysis.supervised:
            places = [_place(analysis, analysis.supervised.prediction_field), analysis.supervised.dependent_variable]
            hits = _hits(client, analysis, drawn, places, size)
            known = [hit for hit in hits if set(places) <= set(hit.get("fields", {}))]
            predicted, actual = ([hit["fields"][place][0] for hit in known] for place in places)
            return {"ids": [hit["_id"] for hit in known], "predicted": predicted, "actual": actual}
        return _outermost(client, analysis, drawn, _query(analysis, wanted), size)


def _outermost(
    client: Elasticsearch, analysis: Analysis, drawn: dict[str, Any], query: dict[str, Any], size: int
) -> dict[str, Any]:
    types = _types(client, analysis)
    score, influence = _place(analysis, "outlier_score"), _place(analysis, "feature_influence")
    names = [name for name in analysis.wanted(list(types)) if types[name] in NUMBERS | DATES | KEYWORDS]
    top = _hits(client, analysis, query, [score, *names], OUTERMOST, sort=[{score: "desc"}], source=[influence])
    others = _hits(client, analysis, drawn, [score, *names], size)
    hits = list({hit["_id"]: hit for hit in [*others, *top]}.values())
    rows = [hit.get("fields", {}) for hit in hits]
    columns = {name: [row[name][0] if name in row else None for row in rows] for name in names}
    kept = {name: column for name, column in columns.items() if types[name] in NUMBERS | DATES or _few(column)}
    sums: Counter[str] = Counter()
    for hit in top:
        for each in hit.get("_source", {}).get(analysis.dest.results_field, {}).get("feature_influence", []):
            sums[each["feature_name"]] += each["influence"]
    told = [
        {"feature_name": name, "field": _field(name, types), "influence": total / len(top)} for name, total in sums.most_common()
    ]
    return {
        "ids": [hit["_id"] for hit in hits], "score": [row[score][0] for row in rows], "columns": kept,
        "dates": [name for name in kept if types[name] in DATES], "influence": told,
    }  # fmt: skip


def _few(column: list[Any]) -> bool:
    return 1 < len({each for each in column if each is not None}) <= FEW_VALUES


def _hits(
    client: Elasticsearch, analysis: Analysis, query: dict[str, Any], fields: list[str], size: int,
    sort: list[dict[str, Any]] | None = None, source: list[str] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    body = client.search(
        index=analysis.dest.index, query=query, size=size, sort=sort, ignore_unavailable=True,
        fields=[{"field": name} for name in fields], source=bool(source), source_includes=source,
    ).body  # fmt: skip
    hits: list[dict[str, Any]] = body["hits"]["hits"]
    return hits


def explanation(client: Elasticsearch, analysis: Analysis, id_: str, *, many: int = 20) -> dict[str, Any]:
    """Which columns mattered for one document: computed by the model that predicted it; of outliers, as it was written.

    Returns:
        A row as of `page`, with `model_id` and `features`: `feature_name`, `importance` (or `influence`), `value`, and of more
        than two classes `classes`.

    Raises:
        DataError: There is no such document.
        SnapshotError: The model that predicted it was deleted.
    """
    types = _types(client, analysis)
    label = [analysis.supervised.dependent_variable] if analysis.supervised else []
    texts = label if analysis.type == "classification" else []
    known = {name: kind for name, kind in types.items() if kind in USED}
    table = one(client, analysis.dest.index, id_, known, where=f"index {analysis.dest.index}", texts=texts)
    source = orjson.loads(table["_source"][0].as_py())
    result = source[analysis.dest.results_field]
    hit = {"_id": id_, "_source": source, "fields": {name: [table[name][0].as_py()] for name in label if name in known}}
    row = {**_row(analysis, hit), "model_id": result["model_id"]}
    if analysis.supervised is None:
        told = result.get("feature_influence", [])[:many]
    else:
        model = _loaded(client, trained.describe(client, result["model_id"]))
        told = explain(model, table, many)[0]
        row["classes"] = model.trees.classes
    document = row["document"]
    features = [{**each, "value": document.get(_field(each["feature_name"], types))} for each in told]
    return {**row, "features": features}


_models: dict[tuple[str, str], Model] = {}


def _loaded(client: Elasticsearch, description: dict[str, Any]) -> Model:
    """A model, which is read once: people look at one document after another."""
    name = (description["model_id"], description["writing"])
    found = _models.get(name)
    if found is None:
        found = promotion.load(client, description)
        while len(_models) >= MODELS_KEPT:
            _models.pop(next(iter(_models)), None)
        _models[name] = found
    return found


def _types(client: Elasticsearch, analysis: Analysis) -> dict[str, str]:
    """The fields of the destination, without what was found."""
    types = field_types(client, [analysis.dest.index], where=f"index {analysis.dest.index}")
    below = f"{analysis.dest.results_field}."
    return {name: kind for name, kind in types.items() if not name.startswith(below)}


def _field(column: str, types: Mapping[str, str]) -> str:
    """The field that a column was made of: `url.path` of `url.path:length`."""
    return column if column in types else column.rpartition(":")[0]


def _place(analysis: Analysis, name: str) -> str:
    return f"{analysis.dest.results_field}.{name}"


def _label(analysis: Analysis) -> list[dict[str, Any]]:
    return [{"field": analysis.supervised.dependent_variable}] if analysis.supervised else []


def _query(analysis: Analysis, wanted: Wanted) -> dict[str, Any]:
    known = _place(analysis, "driftline.loss")
    training = _place(analysis, "is_training")
    parts: dict[Part, dict[str, Any]] = {
        "training": {"term": {training: True}},
        "held_back": {"bool": {"filter": [{"term": {training: False}}, {"exists": {"field": known}}]}},
        "unlabelled": {"bool": {"must_not": [{"exists": {"field": known}}]}},
    }
    asked: list[dict[str, Any]] = []
    supervised = analysis.supervised
    if supervised is None and (wanted.part or wanted.predicted is not None or wanted.actual is not None or wanted.errors):
        raise DataError("outliers have no classes, and no part is held back", where=f"analytics {analysis.analytics_id}")
    if wanted.errors and analysis.type != "classification":
        raise DataError("only a class is right or wrong", where="errors", fix="Sort by errors: the greatest come first.")
    if wanted.part:
        asked.append(parts[wanted.part])
    if supervised and wanted.predicted is not None:
        asked.append({"term": {_place(analysis, supervised.prediction_field): wanted.predicted}})
    if supervised and wanted.actual is not None:
        asked.append({"term": {supervised.dependent_variable: wanted.actual}})
    if wanted.errors:
        asked.append({"term": {_place(analysis, "driftline.correct"): False}})
    if wanted.field:
        asked.append({"term": {wanted.field: wanted.value or ""}})
    if wanted.min_score > 0:
        asked.append({"range": {_place(analysis, "outlier_score"): {"gte": wanted.min_score}}})
    return {"bool": {"filter": asked}} if asked else {"match_all": {}}


def _sort(analysis: Analysis, sort: Sort, descending: bool) -> list[dict[str, Any]]:
    if sort not in _SORTS[analysis.type]:
        told = ", ".join(sorted(_SORTS[analysis.type]))
        raise DataError(f"{analysis.type} has no '{sort}'", where="sort", expected=told)
    order = "desc" if descending else "asc"
    by = {
        "loss": "driftline.loss",
        "error": "driftline.error",
        "probability": "prediction_probability",
        "score": "prediction_score" if analysis.supervised else "outlier_score",
        "errors": "driftline.loss" if analysis.supervised else "outlier_score",
        "prediction": analysis.supervised.prediction_field if analysis.supervised else "",
    }
    name = (
        analysis.supervised.dependent_variable if sort == "actual" and analysis.supervised else _place(analysis, by.get(sort, ""))
    )
    kind = "keyword" if sort in {"actual", "prediction"} and analysis.type == "classification" else "double"
    chosen = {name: {"order": "desc" if sort == "errors" else order, "missing": "_last", "unmapped_type": kind}}
    if sort == "errors" and analysis.type == "classification":
        wrong = {_place(analysis, "driftline.correct"): {"order": "asc", "missing": "_last", "unmapped_type": "boolean"}}
        return [wrong, chosen]
    return [chosen]


def _row(analysis: Analysis, hit: dict[str, Any]) -> dict[str, Any]:
    source = dict(hit["_source"])
    result = source.pop(analysis.dest.results_field, {})
    told: dict[str, Any] = {"id": hit["_id"], "result": result, "document": flat(source)}
    if analysis.supervised is None:
        return told
    found: Sequence[Any] = hit.get("fields", {}).get(analysis.supervised.dependent_variable, [None])
    actual = found[0]
    if actual is not None and analysis.type == "classification":
        actual = label_text(actual)
    return {**told, "predicted": result.get(analysis.supervised.prediction_field), "actual": actual}


def flat(document: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """A document with its fields by their whole names."""
    found: dict[str, Any] = {}
    for name, value in document.items():
        place = f"{above}{name}"
        if isinstance(value, dict):
            found.update(flat(value, f"{place}."))
        else:
            found[place] = value
    return found
