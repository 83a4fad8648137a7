"""Inference: new documents are given predictions by the model in force, and written with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from driftline.analytics import drift
from driftline.analytics.features import DATES, NUMBERS
from driftline.core.errors import DefinitionError, SourceIndexError
from driftline.core.paths import staging_uri
from driftline.core.timespan import Window, parse_time
from driftline.elastic import state
from driftline.elastic.documents import count, field_types
from driftline.elastic.query import between
from driftline.pipeline import destination, promotion
from driftline.pipeline.documents import arrow_type, label_text, read, stage
from driftline.pipeline.evaluated import Found
from driftline.pipeline.gate import conclude
from driftline.quality import Report
from driftline.quality.documents import check_new

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.analytics.model import Model
    from driftline.core.analysis import Analysis
    from driftline.core.progress import Progress

STAGE = "infer"
BOOLEANS = {"true": 1.0, "false": 0.0}  # as the index takes them, too
LATE = timedelta(hours=1)  # what was predicted in it already is replaced by the same


def infer(
    client: Elasticsearch,
    analysis: Analysis,
    *,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    run: str = "cli",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Gives new documents predictions.

    Args:
        client: The cluster.
        analysis: One with `inference`.
        start: Documents from then on. Default: an hour before the last inference ended, as documents come late.
        end: Documents before then. Default: now.
        run: The run that asks.
        progress: Told of documents.

    Returns:
        `documents`, `written`, `model_id`, `predicted` (documents by class), `moved` (columns unlike what was learned from),
        `start`, `end`, `quality`.

    Raises:
        DefinitionError: The analysis has no `inference`.
        NoModelError: It has no model yet.
        SnapshotError: Its model cannot be used.
        SourceIndexError: The index has no `time_field`, so that nothing tells which documents are new.
    """
    settings, started = analysis.inference, datetime.now(UTC)
    if settings is None:
        raise DefinitionError(
            f"analytics '{analysis.analytics_id}' says nothing of new documents",
            expected="inference: {dest: …}",
            where="inference",
        )
    description = promotion.asked(client, analysis)
    window = _window(client, analysis, start, end, started)
    index, where = settings.index or analysis.source.index, f"analytics {analysis.analytics_id}, inference"
    model = promotion.load(client, description)
    types = _types(client, index, settings.time_field, where)
    query = {"bool": {"filter": [settings.query, between(settings.time_field, window)]}}
    destination.check(client, analysis, settings.dest, index, "inference.dest")
    told: dict[str, Any] = {"model_id": description["model_id"], **window.as_dict()}
    if count(client, index, query, where=where) == 0:
        return _done(client, analysis, run, started, {**told, "documents": 0, "written": 0, "predicted": {}, "moved": []}, "pass")
    known = {name: kind for name, kind in model.encoder.types.items() if name in types}
    place = staging_uri(analysis.analytics_id, STAGE, f"{started:%Y%m%dT%H%M%S}-{run}")
    handle = stage(
        client,
        index,
        query,
        known,
        uri=f"{place}/documents.parquet",
        where=where,
        results_field=analysis.dest.results_field,
        progress=progress,
    )
    table = read(handle["uri"])
    found = Found.of_new(analysis, model, table, description["model_id"])
    moved = drift.moved(found.rows, model.profile, model.encoder.categorical, model.encoder.names)
    verdict = _gate(client, analysis, window, model, known, moved, table.num_rows, run)
    results = f"{place}/results.parquet"
    found.stage(results, progress)
    destination.prepare(client, analysis, settings.dest, index, place="inference.dest")
    written = destination.write(client, analysis, settings.dest, index, handle["uri"], results, progress=progress)
    facts = {"documents": handle["rows"], "written": written.total, "predicted": _predicted(found), "moved": moved[:10]}
    return {**_done(client, analysis, run, started, {**told, **facts}, verdict["verdict"]), "quality": verdict}


def _types(client: Elasticsearch, index: list[str], time_field: str, where: str) -> dict[str, str]:
    """The types of the index' fields, among which is that of time."""
    types = field_types(client, index, where=where)
    if time_field not in types:
        raise SourceIndexError(
            f"no field '{time_field}' in the index", where=f"{where}.time_field",
            expected="the field that tells which documents are new",
        )  # fmt: skip
    return types


def _window(
    client: Elasticsearch, analysis: Analysis, start: str | datetime | None, end: str | datetime | None, now: datetime
) -> Window:
    """What is new: since a while before the end of the last inference, as documents come late."""
    last = state.reached(client, state.INFERRED, analysis.analytics_id)
    begin = start or (last - LATE if last else datetime(1970, 1, 1, tzinfo=UTC))
    return Window(parse_time(begin), parse_time(end or now))


def _gate(
    client: Elasticsearch, analysis: Analysis, window: Window, model: Model, known: dict[str, str],
    moved: list[dict[str, Any]], rows: int, run: str,
) -> dict[str, Any]:  # fmt: skip
    lacking = [name for name in model.encoder.fields if name not in known]
    checks = check_new({"rows": rows, "lacking": lacking, "moved": moved})
    report = Report("job", analysis.analytics_id, STAGE, window, checks, run, {"docs": rows, "rows": rows})
    return conclude(client, report, where=f"analytics {analysis.analytics_id}")


def _predicted(found: Found) -> dict[str, int]:
    classes = found.model.trees.classes
    counts = np.bincount(found.assigned, minlength=len(classes)).tolist() if classes else []
    return dict(zip(classes, counts, strict=True))


def _done(
    client: Elasticsearch, analysis: Analysis, run: str, started: datetime, outcome: dict[str, Any], word: str
) -> dict[str, Any]:
    window, last = Window.parse(outcome["start"], outcome["end"]), state.reached(client, state.INFERRED, analysis.analytics_id)
    if last is None or window.start <= last:  # else nobody has predicted what lies between
        state.reach(client, state.INFERRED, analysis.analytics_id, min(window.end, started))  # what is to come is not done
    state.journal(
        client, run, STAGE, started, job_id=analysis.analytics_id, job_version=analysis.version, verdict=word,
        window_start=outcome["start"], window_end=outcome["end"], detail=outcome,
    )  # fmt: skip
    return outcome


def table_of(model: Model, documents: list[dict[str, Any]], *, strict: bool = True) -> pa.Table:
    """Documents that somebody sends, as a table: nested objects or dotted names, times as ISO 8601 or epoch milliseconds.

    Raises:
        DefinitionError: A document is no object; or a value is none of its field's type, and `strict`; else it is missing.
    """
    for row, each in enumerate(documents):
        if not isinstance(each, dict):
            raise DefinitionError(f"{each!r:.80} is no document", where=f"docs.{row}", expected="an object of fields")
    columns = {}
    for name, kind in model.encoder.types.items():
        values = [_known(each, name) for each in documents]
        columns[name] = pa.array([_typed(value, kind, name, row, strict) for row, value in enumerate(values)], arrow_type(kind))
    return pa.table(columns)


def _known(document: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON
    """A field of a document, or what it is another reading of: `said.keyword` is made of `said` by the index."""
    found = _value(document, name)
    if found is None and "." in name:
        parent = _value(document, name.rpartition(".")[0])
        return None if isinstance(parent, dict) else parent
    return found


def _value(document: Any, name: str) -> Any:  # noqa: ANN401 - any JSON
    """A field of a document, or of the first of several that has it: `a.b` may be a key, or the key `b` of an object `a`."""
    if isinstance(document, list):
        return next((found for each in document if (found := _value(each, name)) is not None), None)
    if not isinstance(document, dict):
        return None
    if name in document:
        return _first(document[name])
    head, _, rest = name.partition(".")
    while rest:
        if head in document and (found := _value(document[head], rest)) is not None:
            return found
        more, _, rest = rest.partition(".")
        head = f"{head}.{more}"
    return None


def _first(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """The first of several values, as the index has them: what is null is not there."""
    if isinstance(value, list):
        return next((found for each in value if (found := _first(each)) is not None), None)
    return value


def _typed(value: Any, kind: str, name: str, row: int, strict: bool) -> float | str | None:  # noqa: ANN401 - any JSON
    if value is None:
        return None
    wanted = "a time" if kind in DATES else "a number" if kind in NUMBERS else "a text"
    try:
        if isinstance(value, dict):
            raise TypeError
        if kind in DATES:
            return parse_time(value).timestamp() * 1000
        if kind in NUMBERS:
            number = float(BOOLEANS.get(value, value) if kind == "boolean" else value)
            if not isfinite(number):
                raise ValueError
            return number
    except (TypeError, ValueError, OverflowError):
        if not strict:
            return None
        raise DefinitionError(f"{value!r:.80} is no {kind}", where=f"docs.{row}.{name}", expected=wanted) from None
    return label_text(value)
