"""Where an analysis writes: a copy of each document with what was found, in an index of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fsspec
import orjson
import pyarrow.parquet as pq

from driftline.core.errors import SourceIndexError
from driftline.core.results import digest
from driftline.elastic import results
from driftline.elastic.bulk import AT_ONCE, Outcome, bulk, index_action
from driftline.elastic.client import explained
from driftline.elastic.documents import concrete
from driftline.elastic.indices import BOOL, DOUBLE, KEYWORD
from driftline.pipeline.documents import MODEL_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

    from driftline.core.analysis import Analysis
    from driftline.core.progress import Progress

PAGE = 5_000
MADE_BY = "driftline_analytics"
_NAMED = {"class_name": KEYWORD, "importance": DOUBLE}


def check(client: Elasticsearch, analysis: Analysis, index: str, read: list[str], place: str) -> None:
    """Refuses an index that is read from, or that holds what this analysis did not write.

    Raises:
        SourceIndexError: What is wrong with it.
    """
    where = f"analytics {analysis.analytics_id}, {place}"
    mine, theirs = concrete(client, [index], where=where), concrete(client, read, where=where)
    if both := sorted(mine & theirs):
        raise SourceIndexError(
            f"'{index}' is {both[0]}, which is read from", where=where, expected="an index of its own for results"
        )
    if mine and _maker(client, index) != analysis.analytics_id:
        with explained(where):
            held = client.count(index=index)["count"]
        if held:
            raise SourceIndexError(
                f"'{index}' holds {held:,} documents that this analysis did not write", where=where, expected="a new index",
                fix="Choose another name, or delete that index.",
            )  # fmt: skip


def _maker(client: Elasticsearch, index: str) -> str | None:
    with explained(f"index {index}"):
        found = client.indices.get_mapping(index=index).body
    metas = [each["mappings"].get("_meta", {}) for each in found.values()]
    return metas[0].get(MADE_BY) if metas else None


def prepare(client: Elasticsearch, analysis: Analysis, index: str, read: list[str], *, place: str = "dest.index") -> None:
    """Makes the index where it is missing, with the mapping of the documents and that of the results.

    Raises:
        SourceIndexError: As `check`.
    """
    check(client, analysis, index, read, place)
    where = f"analytics {analysis.analytics_id}, {place}"
    with explained(where):
        found = client.indices.get_mapping(index=read, ignore_unavailable=True, allow_no_indices=True).body
        properties: dict[str, Any] = {}
        for name in sorted(found):
            properties = {**found[name]["mappings"].get("properties", {}), **properties}
        ours = {analysis.dest.results_field: {"properties": _results(analysis)}}
        made = {"_meta": {MADE_BY: analysis.analytics_id}, "properties": {**properties, **ours}}
        if not client.indices.exists(index=index):
            settings = {"number_of_shards": 1, "auto_expand_replicas": "0-1", "mapping.total_fields.limit": 5000}
            client.indices.create(index=index, mappings=made, settings=settings)
        else:
            client.indices.put_mapping(index=index, properties=ours, meta=made["_meta"])


def _results(analysis: Analysis) -> dict[str, Any]:
    """The mapping of what is found, by Elastic's names."""
    importance = {"properties": {"feature_name": KEYWORD, "importance": DOUBLE, "classes": {"properties": _NAMED}}}
    shared = {MODEL_ID: KEYWORD, "is_training": BOOL, "feature_importance": importance}
    supervised = analysis.supervised
    if supervised is None:
        influence = {"properties": {"feature_name": KEYWORD, "influence": DOUBLE}}
        return {"outlier_score": DOUBLE, "feature_influence": influence, MODEL_ID: KEYWORD}
    if analysis.type == "regression":
        ours = {"properties": {"error": DOUBLE, "loss": DOUBLE}}
        return {**shared, supervised.prediction_field: DOUBLE, "driftline": ours}
    top = {"properties": {"class_name": KEYWORD, "class_probability": DOUBLE, "class_score": DOUBLE}}
    ours = {"properties": {"correct": BOOL, "loss": DOUBLE}}
    numbers = {"prediction_probability": DOUBLE, "prediction_score": DOUBLE}
    return {**shared, **numbers, supervised.prediction_field: KEYWORD, "top_classes": top, "driftline": ours}


def write(
    client: Elasticsearch, analysis: Analysis, index: str, read: list[str], documents: str, found: str, *,
    progress: Progress | None = None,
) -> Outcome:  # fmt: skip
    """Writes staged documents with what was found for them; a document of the same id is replaced.

    Args:
        client: The cluster.
        analysis: Whose.
        index: Where to.
        read: The indices that were read, as they are configured: only of a single one documents keep their ids.
        documents: The staged documents.
        found: The staged results, in the same order: `result` (JSON).
        progress: Told of documents.

    Raises:
        WriteError: Documents were refused.
    """
    written = bulk(client, _actions(analysis.dest.results_field, index, read, documents, found, progress), at_once=AT_ONCE)
    with explained(f"index {index}"):
        client.indices.refresh(index=index)
    return written


def _actions(field: str, index: str, read: list[str], documents: str, found: str, progress: Progress | None) -> Iterator[bytes]:
    head, only = b"," + orjson.dumps(field) + b":", read[0] if len(read) == 1 else None
    with fsspec.open(documents, "rb") as one, fsspec.open(found, "rb") as other:
        left, right = pq.ParquetFile(one), pq.ParquetFile(other)
        total, done = left.metadata.num_rows, 0
        parts = left.iter_batches(batch_size=PAGE, columns=["_id", "_index", "_source"])
        for part, said in zip(parts, right.iter_batches(batch_size=PAGE, columns=["result"]), strict=True):
            rows = zip(
                *(part[name].to_pylist() for name in ("_id", "_index", "_source")), said["result"].to_pylist(), strict=True
            )
            for id_, origin, source, result in rows:
                # an object's end is cut off and put on again: parsing and writing it anew would take ten times as long
                body = source[:-1] + head + result + b"}" if len(source) > 2 else b"{" + head[1:] + result + b"}"
                # ids of several indices may be the same; a pattern or an alias is no index's name, whatever it is now
                yield index_action(index, id_ if origin == only else digest(origin, id_), body)
            done += len(part)
            if progress:
                progress("documents written", done, total)


def remove_others(client: Elasticsearch, analysis: Analysis, index: str, model_id: str) -> int:
    """Removes what earlier runs wrote and this one did not, as its documents are gone. Returns how many."""
    field = f"{analysis.dest.results_field}.{MODEL_ID}"
    return results.delete(client, index, {"bool": {"must_not": [{"term": {field: model_id}}]}})
