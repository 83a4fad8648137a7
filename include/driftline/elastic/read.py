"""Reads buckets from Elasticsearch: pages of composite aggregations as columns, and what tells whether they changed since."""

from __future__ import annotations

import hashlib
import zlib
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json
from elasticsearch import AuthorizationException

from driftline.core.errors import ClusterDownError
from driftline.core.timespan import Window
from driftline.elastic.aggregated import read_aggregated
from driftline.elastic.client import explained, search_raw
from driftline.elastic.messages import joined, read_messages
from driftline.elastic.query import CONTENT, PAGE, SPLITS, VALUE, composite, fingerprint, is_single, text
from driftline.elastic.united import united

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.elastic.messages import Kind, Sample
    from driftline.elastic.query import Split

# The same copy of each shard answers all that a read asks, so that a fingerprint belongs to what is read after it.
PREFERENCE = "driftline"
MARKS = 50_000  # intervals whose fingerprints are asked for at once; Elasticsearch answers with 65 535 buckets at most

SplitKey = tuple[str, str, str]  # partition, by and over value; "" where there is no such split
Mark = tuple[int, float, str]  # documents, the sum of their sequence numbers, which indices they are in


@dataclass
class Cells:
    """Non-empty buckets of the series of one split, as columns in the order of (series, bucket).

    Attributes:
        keys: What tells each of the series.
        row: (n,) int32, which series.
        bucket: (n,) int64, number of the bucket span since the epoch.
        docs: (n,) int64, documents.
        values: Sub-aggregation → (n,) float64; the document count itself is not among them.
        intervals: Numbers of the intervals, of some buckets each, that these are all the cells of.
        samples: Where keys hold shapes of messages, what is told of these.
    """

    keys: list[SplitKey]
    row: NDArray[np.int32]
    bucket: NDArray[np.int64]
    docs: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]
    intervals: list[int] = field(default_factory=list)
    samples: dict[Kind, Sample] = field(default_factory=dict)

    def where(self, chosen: NDArray[np.bool_]) -> Cells:
        """Some of the cells, with all keys."""
        values = {name: column[chosen] for name, column in self.values.items()}
        return replace(self, row=self.row[chosen], bucket=self.bucket[chosen], docs=self.docs[chosen], values=values)

    def within(self, intervals: Collection[int], wide: int) -> Cells:
        """The cells of some intervals, each `wide` buckets."""
        wanted = np.fromiter(intervals, np.int64, len(intervals))
        chosen = np.isin(self.bucket // wide, wanted)
        cells = self if chosen.all() else self.where(chosen)
        return replace(cells, intervals=sorted(intervals))


def merge(parts: list[Cells]) -> Cells:
    """Cells of different intervals as one; series without any are left out, the others in the order of their keys."""
    used = [np.unique(part.row).tolist() for part in parts]
    pairs = sorted({part.keys[row] for part, rows in zip(parts, used, strict=True) for row in rows})
    place = {pair: row for row, pair in enumerate(pairs)}
    rows = []
    for part, mine in zip(parts, used, strict=True):
        number = np.zeros(len(part.keys), dtype=np.int32)
        number[mine] = [place[part.keys[row]] for row in mine]
        rows.append(number[part.row])
    row = np.concatenate(rows)
    bucket, docs = (np.concatenate([getattr(part, name) for part in parts]) for name in ("bucket", "docs"))
    # one key, and a sort that uses what is in order already: parts come as they were read, by time
    order = np.argsort(row * (bucket.max(initial=0) + 1) + bucket, kind="stable")
    values = {name: np.concatenate([part.values[name] for part in parts])[order] for name in parts[0].values}
    intervals, samples = [i for part in parts for i in part.intervals], joined([part.samples for part in parts])
    return Cells(pairs, row[order], bucket[order], docs[order], values, intervals, samples)


def read_cells(client: Elasticsearch, job: Job, split: Split, window: Window, wide: int = 1) -> Cells:
    """The buckets of a split in a window that is aligned to the bucket span, in the order of time.

    What is read of messages is limited by intervals of `wide` buckets, which the window holds whole.

    Raises:
        SourceIndexError, ClusterError, ClusterDownError: As `explained` tells.
    """
    if split.category is not None:
        columns, samples = read_messages(client, job, split, window, wide)
        return Cells(*columns, samples=samples)
    if job.datafeed.aggregations and split.detectors:
        return Cells(*read_aggregated(client, job, split, window))
    table = read_table(client, job, split, window)
    keys, row = _rows(table)
    bucket = table["time"].to_numpy() // (job.span_seconds * 1000)
    if split.content:
        return _contents(keys, row, bucket, table)
    found = row, bucket, table["docs"].to_numpy(), {name: table[name].to_numpy() for name in split.names}
    return Cells(keys, *(united(split, *found) if split.use_null else found))


def read_table(client: Elasticsearch, job: Job, split: Split, window: Window) -> pa.Table:
    """The buckets of a split as Elasticsearch tells them.

    Returns:
        Columns `time` (epoch ms), those of `SPLITS` that there are, `docs`, and one for each measure.

    Raises:
        As `read_cells`.
    """
    return pa.concat_tables(_pages(client, job, split, window))


def _rows(table: pa.Table) -> tuple[list[SplitKey], NDArray[np.int32]]:
    """The series in a table of buckets, and which one each bucket belongs to."""
    row, keys = np.zeros(len(table), dtype=np.int64), cast("list[tuple[str, ...]]", [()] if len(table) else [])
    for name in SPLITS:
        if name not in table.column_names:
            keys = [(*key, "") for key in keys]
            continue
        encoded = table[name].combine_chunks().dictionary_encode()
        texts = encoded.dictionary.to_pylist()
        if len(keys) <= 1:
            row, keys = encoded.indices.to_numpy().astype(np.int64), [(*key, text) for key in keys for text in texts]
            continue
        found, row = np.unique(row * len(texts) + encoded.indices.to_numpy(), return_inverse=True)
        keys = [(*keys[pair // len(texts)], texts[pair % len(texts)]) for pair in found.tolist()]
    return cast("list[SplitKey]", keys), row.astype(np.int32)


def _contents(keys: list[SplitKey], row: NDArray[np.int32], bucket: NDArray[np.int64], table: pa.Table) -> Cells:
    """Cells whose value is how much information their distinct values hold: the bytes of these, sorted, once compressed."""
    order = np.lexsort((bucket, row))  # stable, so that values stay in the order that Elasticsearch gives them in
    row, bucket, docs = row[order], bucket[order], table["docs"].to_numpy()[order]
    texts = table[CONTENT].combine_chunks().take(pa.array(order)).to_pylist()
    edges = np.flatnonzero(np.diff(row, prepend=-1) | np.diff(bucket, prepend=-1))
    ends = [*edges[1:].tolist(), len(row)]
    size = [
        len(zlib.compress("\0".join(texts[first:last]).encode("utf-8", "surrogatepass")))
        for first, last in zip(edges.tolist(), ends, strict=True)
    ]
    total = np.add.reduceat(docs, edges) if len(edges) else docs
    return Cells(keys, row[edges], bucket[edges], total, {"m0": np.array(size, dtype=np.float64)})


def _pages(client: Elasticsearch, job: Job, split: Split, window: Window) -> Iterator[pa.Table]:
    """Columns time (epoch ms), partition and by where there are such, docs, and one for each measure; at least one table."""
    after: dict[str, Any] | None = None
    at = int(window.start.timestamp()) * 1000 if is_single(job, split, window) else None
    decode = _columns
    while True:
        body = composite(job, split, window, after)
        where = f"job {job.job_id}, datafeed"
        head, buckets = _split_answer(search_raw(client, job.datafeed.indices, body, preference=PREFERENCE, where=where), where)
        try:
            page = decode(buckets, split, at)
        except pa.ArrowInvalid:  # keys are numbers, say: what anything in JSON can be read by takes three times as long
            decode = _columns_of_any
            page = decode(buckets, split, at)
        yield page
        after = head.get("after_key")
        if after is None or len(page) < PAGE:  # a page that is not full is the last
            return


def _split_answer(answer: bytes, where: str) -> tuple[dict[str, Any], bytes]:
    """The aggregation without its buckets, and those as lines.

    What is looked for cannot be part of a value: quotes within one are escaped.

    Raises:
        ClusterDownError: Not all shards have answered.
    """
    begin, end = answer.index(b'"buckets":[') + 11, answer.rindex(b"]")
    head = orjson.loads(answer[:begin] + answer[end:])
    _check_shards(head, where)
    return head["aggregations"]["series"], answer[begin:end].replace(b'},{"key":{', b'}\n{"key":{')


def _check_shards(head: dict[str, Any], where: str) -> None:
    """An answer without the documents of some shards looks like any other, and would be stored.

    Raises:
        ClusterDownError: Not all have answered.
    """
    shards = head["_shards"]
    missing = shards["total"] - shards["successful"]
    if missing or head["timed_out"]:
        reasons = [str(failure.get("reason", {}).get("reason", ""))[:300] for failure in shards.get("failures", [])]
        what = f"{missing} of {shards['total']} shards did not answer in full" + (f" ({reasons[0]})" if reasons else "")
        raise ClusterDownError(what, where=where, fix="Mend what it says, or try again later.")


def _numbers(*names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.float64()) for name in names]


_VALUE = pa.struct(_numbers("value"))
_STATS = [("count", pa.int64()), *_numbers("min", "max", "avg", "sum")]
_SPREADS = ("", "_population", "_sampling")
_SPREAD = _numbers("sum_of_squares", *(f"{name}{of}" for name in ("variance", "std_deviation") for of in _SPREADS))
_BOUNDS = pa.struct(_numbers(*(f"{edge}{of}" for edge in ("upper", "lower") for of in _SPREADS)))
_EXTENDED = pa.struct([*_STATS, *_SPREAD, ("std_deviation_bounds", _BOUNDS)])
# Which of the numbers of extended_stats a metric is.
_SPREAD_OF = {"varp": "variance_population", "std_deviation": "std_deviation_population"}
# What Elasticsearch answers where it is not {"value": number}.
_SHAPES = {
    "place": pa.struct([("location", pa.struct(_numbers("lat", "lon"))), ("count", pa.int64())]),
    "median": pa.struct([("values", pa.list_(pa.struct(_numbers("key", "value"))))]),
    "non_null_sum": pa.struct(_STATS),
    "varp": _EXTENDED,
    "std_deviation": _EXTENDED,
}


PLACES, PLACE_STEP = 1e4, 4e6  # a place as one number: a ten-thousandth of a degree is ten metres


def place_code(lat: float, lon: float) -> float:
    """A place as one number."""
    return round((lat + 90) * PLACES) * PLACE_STEP + round((lon + 180) * PLACES)


def places(codes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes and longitudes, in degrees, of places as numbers."""
    return codes // PLACE_STEP / PLACES - 90, codes % PLACE_STEP / PLACES - 180


def _value(metric: str, found: pa.ChunkedArray, *, narrowed: bool = False) -> pa.ChunkedArray:
    """The numbers in a column of answers; null where there is none. Where a filter lets nothing through, there is none."""
    if narrowed:
        docs = pc.struct_field(found, "doc_count")
        inside = pc.cast(docs, pa.float64()) if metric == "count" else _value(metric, pc.struct_field(found, VALUE))
        return pc.if_else(pc.greater(docs, 0), inside, pa.scalar(None, pa.float64()))
    if metric == "median":
        return pc.struct_field(pc.list_flatten(pc.struct_field(found, "values")), "value")
    if metric in _SPREAD_OF:
        return pc.struct_field(found, _SPREAD_OF[metric])
    if metric == "place":
        location = pc.struct_field(found, "location")
        north, east = (
            pc.round(pc.multiply(pc.add(pc.struct_field(location, name), shift), PLACES))
            for name, shift in (("lat", 90.0), ("lon", 180.0))
        )
        return pc.add(pc.multiply(north, PLACE_STEP), east)
    if metric == "non_null_sum":
        some = pc.greater(pc.struct_field(found, "count"), 0)
        return pc.if_else(some, pc.struct_field(found, "sum"), pa.scalar(None, pa.float64()))
    return pc.struct_field(found, "value")


def _value_of_any(metric: str, found: dict[str, Any], *, narrowed: bool = False) -> float | None:
    """The same of one answer."""
    if narrowed:
        docs = found["doc_count"]
        return None if not docs else float(docs) if metric == "count" else _value_of_any(metric, found[VALUE])
    if metric == "median":
        value = found["values"][0]["value"]
    elif metric in _SPREAD_OF:
        value = found[_SPREAD_OF[metric]]
    elif metric == "place":
        value = place_code(**found["location"]) if found["count"] else None
    elif metric == "non_null_sum":
        value = found["sum"] if found["count"] else None
    else:
        value = found["value"]
    return None if value is None else float(value)


def _named(split: Split) -> tuple[list[str], list[tuple[str, str, bool]]]:
    """The parts of a bucket's key besides the time, and its measures with their metrics and whether a query narrows them."""
    if split.content:
        return [*split.keyed, CONTENT], []
    measured = zip(split.names, split.measures, split.queries, strict=True)
    return split.keyed, [(name, metric, bool(query)) for name, (metric, _), query in measured]


def _shape(metric: str, narrowed: bool) -> pa.DataType:
    """What Elasticsearch answers for a measure."""
    if not narrowed:
        return _SHAPES.get(metric, _VALUE)
    inner = [] if metric == "count" else [(VALUE, _shape(metric, False))]
    return pa.struct([("doc_count", pa.int64()), *inner])


def _columns(buckets: bytes, split: Split, at: int | None = None) -> pa.Table:
    """By Arrow's reader, which makes columns at once; `at` is the time of all, where keys have none.

    Raises:
        pa.ArrowInvalid: A key is no text, or a value no number.
    """
    keyed, measures = _named(split)
    timed = [("time", pa.int64())] if at is None else []
    key = pa.struct([*timed, *((name, pa.string()) for name in keyed)])
    kinds = [(name, _shape(metric, narrowed)) for name, metric, narrowed in measures]
    schema = pa.schema([("key", key), ("doc_count", pa.int64()), *kinds])
    if not buckets:
        table = schema.empty_table()
    else:
        parse = pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
        table = pa_json.read_json(pa.BufferReader(buckets), pa_json.ReadOptions(use_threads=False), parse)
    columns = {"time": pc.struct_field(table["key"], "time") if at is None else pa.array(np.full(len(table), at))}
    columns |= {name: pc.fill_null(pc.struct_field(table["key"], name), "") for name in keyed}
    columns["docs"] = table["doc_count"]
    for name, metric, narrowed in measures:
        columns[name] = pc.fill_null(_value(metric, table[name], narrowed=narrowed), float("nan"))
    return pa.table(columns)


def _columns_of_any(buckets: bytes, split: Split, at: int | None = None) -> pa.Table:
    """The same, whatever the keys are."""
    keyed, measures = _named(split)
    rows = orjson.loads(b"[" + buckets.replace(b'}\n{"key":{', b'},{"key":{') + b"]")
    columns = {
        "time": pa.array([row["key"].get("time", at) for row in rows], pa.int64()),
        **{name: pa.array([text(row["key"][name]) for row in rows], pa.string()) for name in keyed},
        "docs": pa.array([row["doc_count"] for row in rows], pa.int64()),
    }
    for name, metric, narrowed in measures:
        found = [_value_of_any(metric, row[name], narrowed=narrowed) for row in rows]
        columns[name] = pa.array(np.array(found, dtype=np.float64))
    return pa.table(columns)


def fingerprints(client: Elasticsearch, job: Job, window: Window, seconds: int) -> dict[int, Mark]:
    """What each interval of `seconds` holds: number of the interval since the epoch → its mark.

    Every document that is added, changed or deleted changes it: a written document gets a higher number than any before it in
    its shard. An index that was made anew begins to count anew, so the mark also says which indices there are. Intervals without
    documents are not listed.

    Raises:
        SourceIndexError, ClusterError, ClusterDownError: As `explained` tells.
    """
    found: dict[int, Mark] = {}
    feed, step = job.datafeed.indices, timedelta(seconds=seconds * MARKS)
    with explained(f"job {job.job_id}, datafeed"):
        for number in range(-(-(window.end - window.start) // step)):
            start = window.start + number * step
            body = fingerprint(job, Window(start, min(start + step, window.end)), seconds)
            answer = client.search(index=feed, preference=PREFERENCE, allow_partial_search_results=False, **body).body
            found |= _marks(answer["aggregations"], _births(client, feed), seconds * 1000)
    return found


def _marks(found: dict[str, Any], births: dict[str, str], width: int) -> dict[int, Mark]:
    """Interval of `width` milliseconds → its mark."""
    origins: defaultdict[int, str] = defaultdict(str)
    for index in sorted(found["indices"]["buckets"], key=lambda index: str(index["key"])):
        # one that does not say who it is may be another every time
        birth = births.get(index["key"]) or uuid4().hex
        first, last = (int(index[edge]["value"] // width) for edge in ("first", "last"))
        for interval in range(first, last + 1):
            origins[interval] += birth
    marks = {}
    for bucket in found["intervals"]["buckets"]:
        interval = bucket["key"] // width
        origin = hashlib.blake2b(origins[interval].encode(), digest_size=8).hexdigest()
        marks[interval] = (bucket["doc_count"], bucket["written"]["value"], origin)
    return marks


def _births(client: Elasticsearch, feed: list[str]) -> dict[str, str]:
    """Index → what tells it from one of the same name that was deleted; without those of which this user may not know it."""
    here = [name for name in feed if ":" not in name]  # the others are other clusters'
    if not here:
        return {}
    try:
        found = client.indices.get_settings(index=here, name="index.uuid", ignore_unavailable=True, expand_wildcards="all").body
    except AuthorizationException:
        return {}
    return {name: about["settings"]["index"]["uuid"] for name, about in found.items()}
