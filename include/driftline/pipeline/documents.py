"""Documents, read once and staged as Parquet: their fields in columns, and themselves, so that they can be written again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from driftline.analytics.features import DATES, NUMBERS, TEXTS, USED
from driftline.core.errors import DataError, SourceIndexError
from driftline.core.paths import whole
from driftline.elastic.client import explained
from driftline.elastic.documents import count, field_types, pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from elasticsearch import Elasticsearch

    from driftline.core.analysis import Analysis
    from driftline.core.progress import Progress

PAGE = 5_000  # documents with their source: a megabyte or ten
ANSWER = ["hits.hits._id", "hits.hits._index", "hits.hits._source", "hits.hits.fields"]
OWN = ["_id", "_index", "_source"]
MODEL_ID = "model_id"


def usable(client: Elasticsearch, analysis: Analysis) -> tuple[dict[str, str], str | None]:
    """The fields of an analysis' index that can be learned from, and the type of the one that is predicted.

    Raises:
        SourceIndexError: There is no index, or no such field, or one of the wrong type.
    """
    where = f"analytics {analysis.analytics_id}"
    types = field_types(client, analysis.source.index, where=f"{where}, source.index")
    label = analysis.supervised.dependent_variable if analysis.supervised else None
    kind = _label_type(types, label, analysis, where) if label else None
    families = {label, f"{label}.keyword", (label or "").removesuffix(".keyword")} if label else set()
    # all fields of the index may be named, also those that nothing is learned from
    wanted = {
        name: types[name]
        for name in analysis.wanted(list(types))
        if types[name] in USED and name not in families and not _below(name, analysis.dest.results_field)
    }
    # a text that has a keyword beside it is the same twice; who excludes the keyword means both
    beside = wanted if analysis.analyzed_fields.includes else types
    found = {name: kind for name, kind in wanted.items() if not (kind in TEXTS and f"{name}.keyword" in beside)}
    ours = f"{analysis.dest.results_field}.{MODEL_ID}" in types  # what a prediction at ingest left; it is replaced
    if _below_any(types, analysis.dest.results_field) and not ours:
        raise SourceIndexError(
            f"the documents have a field '{analysis.dest.results_field}' already",
            where=f"{where}, dest.results_field", expected="a field of its own for results",
        )  # fmt: skip
    return found, kind


def _below(name: str, parent: str) -> bool:
    return name == parent or name.startswith(f"{parent}.")


def _below_any(types: Mapping[str, str], parent: str) -> bool:
    return any(_below(name, parent) for name in types)


def _label_type(types: Mapping[str, str], label: str, analysis: Analysis, where: str) -> str:
    place = f"{where}, analysis.{analysis.type}.dependent_variable"
    if label not in types:
        from difflib import get_close_matches

        near = get_close_matches(label, list(types), n=1)
        fix = f"Did you mean '{near[0]}'?" if near else ""
        raise SourceIndexError(f"no field '{label}' in the index", where=place, fix=fix)
    kind = types[label]
    if analysis.type == "regression" and (kind not in NUMBERS or kind == "boolean"):
        raise SourceIndexError(f"'{label}' is of type {kind}", where=place, expected="a number")
    if kind in TEXTS:
        beside = f"{label}.keyword"
        fix = f"Use '{beside}'." if beside in types else "Map it as a keyword."
        raise SourceIndexError(
            f"'{label}' is of type {kind}", where=place, expected="a keyword, a boolean or whole numbers", fix=fix
        )
    if kind not in USED - DATES:
        raise SourceIndexError(f"'{label}' is of type {kind}", where=place, expected="a keyword, a boolean or numbers")
    return kind


def stage(
    client: Elasticsearch,
    index: list[str],
    query: dict[str, Any],
    fields: Mapping[str, str],
    *,
    uri: str,
    where: str,
    texts: Sequence[str] = (),
    results_field: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Reads all documents that match, into a file of a column for each field and `_id`, `_index`, `_source` (JSON).

    Args:
        client: The cluster.
        index: Where they are.
        query: Which.
        fields: Name → type.
        uri: The file.
        where: What is told of errors.
        texts: Fields that are kept as text, whatever their type: labels.
        results_field: What is left out of the documents, as it will hold other results.
        progress: Told of documents.

    Returns:
        `uri`, `rows`, `several` (field → documents in which it has several values).

    Raises:
        DataError: No document matches.
    """
    total = count(client, index, query, where=where)
    schema = pa.schema([("_id", pa.string()), ("_index", pa.string()), ("_source", pa.binary()), *_columns(fields, texts)])
    rows, several = 0, dict.fromkeys(fields, 0)
    with explained(where), whole(uri) as file, pq.ParquetWriter(file, schema, compression="zstd") as out:
        for hits in pages(client, index, _body(query, fields), where=where, answer=ANSWER, size=PAGE):
            for hit in hits:
                hit["_source"].pop(results_field, None)
            out.write_table(_table(hits, schema, several))
            rows += len(hits)
            if progress:
                progress("documents read", rows, max(rows, total))
        if not rows:
            raise DataError("no document matches", where=where, fix="Ingest first, or check the index and the query.")
    return {"uri": uri, "rows": rows, "several": {name: many for name, many in several.items() if many}}


def found(
    client: Elasticsearch, index: str, id_: str, fields: Mapping[str, str], *, where: str, texts: Sequence[str] = ()
) -> pa.Table:
    """One document as `stage` would have it, in a table of one row.

    Raises:
        DataError: There is no such document.
    """
    with explained(where):
        hits = client.search(
            index=index, **{**_body({"ids": {"values": [id_]}}, fields), "size": 1}, ignore_unavailable=True
        ).body["hits"]["hits"]
    if not hits:
        raise DataError(f"there is no document '{id_}'", where=where)
    schema = pa.schema([("_id", pa.string()), ("_index", pa.string()), ("_source", pa.binary()), *_columns(fields, texts)])
    return _table(hits, schema, dict.fromkeys(fields, 0))


def _columns(fields: Mapping[str, str], texts: Sequence[str]) -> list[tuple[str, Any]]:
    return [(name, pa.string() if name in texts else arrow_type(kind)) for name, kind in fields.items()]


def arrow_type(kind: str) -> pa.DataType:
    """How values of a field's type are staged: numbers and times (in milliseconds) as numbers, all else as text."""
    return pa.float64() if kind in NUMBERS | DATES else pa.string()


def _body(query: dict[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """What the mapping makes of values: a number that came as text is a number. Of doc values only a hundred may be asked for."""
    asked = [{"field": name, **({"format": "epoch_millis"} if kind in DATES else {})} for name, kind in fields.items()]
    return {"query": query, "_source": True, "fields": asked}


def _table(hits: list[dict[str, Any]], schema: pa.Schema, several: dict[str, int]) -> pa.Table:
    found = [hit.get("fields", {}) for hit in hits]
    columns = {name: pa.array([hit[name] for hit in hits]) for name in ("_id", "_index")}
    columns["_source"] = pa.array([orjson.dumps(hit["_source"]) for hit in hits], pa.binary())
    for each in schema:
        if each.name in columns:
            continue
        values = [fields.get(each.name) for fields in found]
        several[each.name] += sum(value is not None and len(value) > 1 for value in values)
        first = [None if value is None else value[0] for value in values]
        if each.type == pa.string():
            columns[each.name] = pa.array([None if value is None else label_text(value) for value in first], pa.string())
        else:
            columns[each.name] = pa.array([None if value is None else float(value) for value in first], pa.float64())
    return pa.table([columns[each.name] for each in schema], schema=schema)


def label_text(value: Any) -> str:  # noqa: ANN401 - any JSON
    """A value as text: `true`, `3`, `normal`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def read(uri: str, columns: list[str] | None = None) -> pa.Table:
    """A staged file, without the documents themselves unless they are asked for.

    Raises:
        DataError: There is no such file.
    """
    try:
        with fsspec.open(uri, "rb") as file:
            schema = pq.read_schema(file)
            wanted = columns if columns is not None else [name for name in schema.names if name not in OWN]
            texts = [name for name in wanted if schema.field(name).type == pa.string() and name not in OWN]
            return pq.ParquetFile(file, read_dictionary=texts).read(wanted)  # a text as often as it differs
    except FileNotFoundError:
        raise DataError("the staged file is gone", where=uri, fix="Run the task that wrote it again.") from None


def batches(uri: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """A staged file in parts."""
    with fsspec.open(uri, "rb") as file:
        yield from pq.ParquetFile(file).iter_batches(batch_size=PAGE, columns=columns)
