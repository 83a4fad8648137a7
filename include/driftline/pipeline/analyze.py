"""An analysis of documents, step by step: read, gate, train, evaluate, write. Each step hands small JSON to the next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from driftline.analytics import drift, split, trees
from driftline.analytics.features import factorized, learn
from driftline.analytics.leaks import LOOKED_AT, told_alone
from driftline.analytics.model import Model
from driftline.analytics.outliers import detect
from driftline.analytics.rates import Target
from driftline.core.analysis import MAX_CLASSES
from driftline.core.errors import DataError
from driftline.core.paths import staging_uri, whole
from driftline.core.timespan import Window, iso, parse_time
from driftline.elastic import state
from driftline.pipeline import destination, evaluated, promotion
from driftline.pipeline.documents import read as read_staged
from driftline.pipeline.documents import stage, usable
from driftline.pipeline.files import read_lines, write_lines
from driftline.pipeline.gate import conclude
from driftline.quality import Report
from driftline.quality.documents import Documents, check_documents

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.analysis import Analysis
    from driftline.core.progress import Progress

STAGE = "analyze"
LEAST = 10  # documents to learn from: of fewer nothing is learned, and too few cannot even be cut into parts
Handle = dict[str, Any]


def read(client: Elasticsearch, analysis: Analysis, *, uri: str, progress: Progress | None = None) -> Handle:
    """Stages the documents of an analysis.

    Returns:
        A handle: `uri`, `rows`, `several`, `fields` (name → type), `label` (its type, or None), `read_at`, `version`.

    Raises:
        SourceIndexError: An index or a field is missing or of the wrong type, or the destination cannot be used.
        DataError: No document matches.
    """
    destination.check(client, analysis, analysis.dest.index, analysis.source.index, "dest.index")
    fields, label = usable(client, analysis)
    wanted = dict(fields)
    if analysis.supervised and label:
        wanted[analysis.supervised.dependent_variable] = label
    if not fields:
        raise DataError("no field of the index can be learned from", where=f"analytics {analysis.analytics_id}, analyzed_fields")
    where = f"analytics {analysis.analytics_id}, source"
    texts = [analysis.supervised.dependent_variable] if analysis.supervised and analysis.type == "classification" else []
    read_at = iso(datetime.now(UTC))
    handle = stage(
        client,
        analysis.source.index,
        analysis.source.query,
        wanted,
        uri=uri,
        where=where,
        texts=texts,
        results_field=analysis.dest.results_field,
        progress=progress,
    )
    return {**handle, "fields": fields, "label": label, "read_at": read_at, "version": analysis.version}


class Labels:
    """The labels of staged documents.

    Attributes:
        classes: The classes' names, the most frequent first; empty for a regression.
        codes: [n] class numbers; of a regression 0; -1 where there is no label.
        values: [n] class numbers, or the numbers of a regression.
    """

    def __init__(self, analysis: Analysis, table: pa.Table) -> None:
        assert analysis.supervised is not None
        column = table[analysis.supervised.dependent_variable]
        if analysis.type == "classification":
            codes, names = factorized(column)
            counts = np.bincount(codes[codes >= 0], minlength=len(names))
            texts = names.to_pylist()
            order = sorted(range(len(texts)), key=lambda place: (-counts[place], texts[place]))
            self.classes = [texts[place] for place in order]
            back = np.empty(len(texts) + 1, dtype=np.int64)
            back[order], back[-1] = np.arange(len(texts)), -1
            self.codes = back[codes]
            self.values: NDArray[Any] = self.codes
        else:
            self.classes = []
            self.values = column.cast(pa.float64()).to_numpy()
            self.codes = np.where(np.isfinite(self.values), 0, -1)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which documents have a label."""
        return self.codes >= 0


def gate(client: Elasticsearch, analysis: Analysis, handle: Handle, *, run: str) -> dict[str, Any]:
    """Checks staged documents with great-expectations, and keeps the report.

    Returns:
        As `gate.check_series` of series.

    Raises:
        QualityStopError: There is too little to learn from, or nothing to tell apart.
    """
    table = read_staged(handle["uri"])
    fields = {name: _told(table[name]) for name in handle["fields"]}
    used = [name for name, (_, distinct) in fields.items() if distinct > 1]
    several = {name: many for name, many in handle["several"].items() if name in fields}
    if analysis.supervised is None:
        found = Documents(handle["rows"], None, fields=fields, used=used, several=several)
    else:
        labels = Labels(analysis, table)
        counts = np.bincount(labels.codes[labels.labelled])
        known = dict(zip(labels.classes or [""], counts.tolist(), strict=False))
        distinct = len(labels.classes) if labels.classes else len(np.unique(labels.values[labels.labelled]))
        tells = _told_alone(analysis, handle, table, labels) if distinct > 1 and used else {}
        most = MAX_CLASSES if analysis.type == "classification" else None
        found = Documents(handle["rows"], known, distinct, most, fields, used, tells, several)
    moment = parse_time(handle["read_at"])
    facts = {"docs": handle["rows"], "rows": handle["rows"], "fields": len(used)}
    report = Report("job", analysis.analytics_id, STAGE, Window(moment, moment), check_documents(found), run, facts)
    return conclude(client, report, where=f"analytics {analysis.analytics_id}")


def _told(column: pa.ChunkedArray) -> tuple[float, int]:
    """The share without a value, and whether values differ (2) or not (1)."""
    missing = column.null_count / max(1, len(column))
    if missing == 1:
        return 1.0, 0
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    ends = pc.min_max(column.cast(kind)).as_py()
    return missing, 1 if ends["min"] == ends["max"] and not missing else 2


def _told_alone(analysis: Analysis, handle: Handle, table: pa.Table, labels: Labels) -> dict[str, float]:
    chosen = np.flatnonzero(labels.labelled)
    chosen = np.random.default_rng(analysis.seed).permutation(chosen)[:LOOKED_AT]
    if len(chosen) < 4 or len(labels.classes) > MAX_CLASSES:
        return {}
    part = table.take(np.sort(chosen))
    encoder = learn(part, handle["fields"])
    target = labels.values[np.sort(chosen)]
    return told_alone(encoder.encode(part), target, encoder, classes=len(labels.classes), seed=analysis.seed)


def train(analysis: Analysis, handle: Handle, *, out: str, progress: Progress | None = None) -> Handle:
    """Learns from a part of the documents; of outliers, scores all.

    Returns:
        A handle: `uri` of the model (or of the outliers' results), `model_id`, `learned`, `trees`, `hyperparameters`.

    Raises:
        DataError: No field is left, or too few documents to learn from.
    """
    table = read_staged(handle["uri"])
    read_at = parse_time(handle["read_at"])
    # to the millisecond, as two analyses of few documents may be read within a second
    model_id = f"{analysis.analytics_id}-{read_at:%Y%m%dt%H%M%S}{read_at.microsecond // 1000:03}"
    made = {"uri": out, "model_id": model_id, "version": handle["version"]}
    if analysis.supervised is None:
        return {**made, **_outliers(analysis, handle, table, out, model_id)}
    labels, learned, ids = _sides(analysis, handle, table)
    # by another seed than the sides, which would leave some of the parts empty
    places = split.places(ids, analysis.seed + 1)
    chosen = np.flatnonzero(learned)
    chosen = chosen[np.argsort(places[chosen], kind="stable")]  # an index gives them in one order today and in another tomorrow
    if len(chosen) < LEAST:
        raise DataError(
            f"{len(chosen)} documents are left to learn from", where=f"analytics {analysis.analytics_id}",
            expected=f"at least {LEAST}", fix="Raise training_percent, or label more.",
        )  # fmt: skip
    part, values = table.take(chosen), labels.values[chosen]
    target = Target.of(values, labels.classes, places[chosen])
    encoder = learn(part, handle["fields"], target=target)
    fitted = trees.fit(
        encoder.encode(part, own=target), values, settings=analysis.supervised, classes=labels.classes,
        categorical=encoder.categorical, progress=progress,
    )  # fmt: skip
    # as new documents will be read: they have no label that would be left out of what is known of their values
    model = Model(encoder, fitted, drift.profile(encoder.encode(part), encoder.categorical))
    with whole(out) as file:
        file.write(model.dumps())
    return {**made, "learned": len(chosen), "trees": fitted.trees, "hyperparameters": fitted.hyperparameters}


def _sides(analysis: Analysis, handle: Handle, table: pa.Table) -> tuple[Labels, NDArray[np.bool_], list[str]]:
    """The labels, which documents are learned from, and the documents' ids."""
    assert analysis.supervised is not None
    labels = Labels(analysis, table)
    ids = read_staged(handle["uri"], ["_id"])["_id"].to_pylist()
    return labels, split.learned(ids, labels.codes, analysis.supervised.training_percent, analysis.seed), ids


def predicted(analysis: Analysis, handle: Handle, made: Handle) -> tuple[evaluated.Found, Labels, pa.Table]:
    """What a staged model says of all staged documents, what is known of them, and their fields."""
    table = read_staged(handle["uri"])
    labels, learned, _ = _sides(analysis, handle, table)
    held = labels.labelled & ~learned
    model = promotion.staged(made["uri"])
    return evaluated.Found(analysis, model, table, labels.values, learned, held, made["model_id"]), labels, table


def _outliers(analysis: Analysis, handle: Handle, table: pa.Table, out: str, model_id: str) -> dict[str, Any]:
    settings = analysis.analysis.outlier_detection
    assert settings is not None
    encoder = learn(table, handle["fields"], ordered=True)
    found = detect(encoder.encode(table), settings=settings)
    evaluated.stage_outliers(found.scores, found.influence, encoder.names, settings, model_id, out)
    return {"columns": encoder.names, "facts": evaluated.outlier_facts(found.scores)}


def evaluate(
    client: Elasticsearch, analysis: Analysis, handle: Handle, made: Handle, *, out: str, progress: Progress | None = None
) -> Handle:
    """Gives all documents predictions, and judges those of the documents that were held back.

    Returns:
        A handle: `uri` of the results, `model_id`, `facts` (the URI of `evaluation` and `importance`), `promoted`, `reason`, and
        `model`: its URI, None for outliers.

    Raises:
        DataError: A staged file is gone.
    """
    base = {"model_id": made["model_id"], "version": made["version"]}
    facts = f"{out}.facts.json"
    if analysis.supervised is None:
        write_lines(facts, [{"evaluation": made["facts"], "importance": []}])
        return {**base, "uri": made["uri"], "model": None, "facts": facts, "promoted": False, "reason": "outliers have no model"}
    found, labels, table = predicted(analysis, handle, made)
    evaluation = found.evaluation()
    found.stage(out, progress)
    truth = labels.values[found.held]
    judged = promotion.judge(client, analysis, table.filter(pa.array(found.held)), truth, labels.classes, evaluation)
    write_lines(facts, [{"evaluation": evaluation, "importance": found.importance()}])
    return {**base, "uri": out, "model": made["uri"], "facts": facts, **judged}


def write(
    client: Elasticsearch, analysis: Analysis, handle: Handle, result: Handle, *, run: str,
    verdict: dict[str, Any] | None = None, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Writes the documents with their results, and keeps the model; puts it in force unless it is worse than the one that is.

    Returns:
        `written`, `removed`, `model_id`, `promoted`, `reason`, `evaluation`.
    """
    index, origin = analysis.dest.index, analysis.source.index
    destination.prepare(client, analysis, index, origin)
    written = destination.write(client, analysis, index, origin, handle["uri"], result["uri"], progress=progress)
    removed = destination.remove_others(client, analysis, index, result["model_id"])
    found = orjson.loads(next(read_lines(result["facts"])))
    if result["model"]:
        promotion.keep(client, analysis, handle, {**result, **found})
    word = (verdict or {}).get("verdict", "pass")
    outcome = {
        "written": written.total, "removed": removed,
        **{name: result[name] for name in ("model_id", "promoted", "reason")}, "evaluation": found["evaluation"],
    }  # fmt: skip
    state.journal(
        client,
        run,
        STAGE,
        parse_time(handle["read_at"]),
        job_id=analysis.analytics_id,
        job_version=analysis.version,
        verdict=word,
        detail=outcome,
    )
    return outcome


def run(client: Elasticsearch, analysis: Analysis, *, run: str = "cli", progress: Progress | None = None) -> dict[str, Any]:
    """The whole analysis in one process.

    Returns:
        As `write`, with the gate's `quality` and what was `trained`.
    """
    started = datetime.now(UTC)
    place = staging_uri(analysis.analytics_id, STAGE, f"{started:%Y%m%dT%H%M%S}-{run}")
    handle = read(client, analysis, uri=f"{place}/documents.parquet", progress=progress)
    verdict = gate(client, analysis, handle, run=run)
    made = train(analysis, handle, out=f"{place}/model.gz", progress=progress)
    result = evaluate(client, analysis, handle, made, out=f"{place}/results.parquet", progress=progress)
    outcome = write(client, analysis, handle, result, run=run, verdict=verdict, progress=progress)
    told = {name: made[name] for name in ("learned", "trees", "hyperparameters") if name in made}
    return {**outcome, "documents": handle["rows"], "trained": told, "quality": verdict, "index": analysis.dest.index}
