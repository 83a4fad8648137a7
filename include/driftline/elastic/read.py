"""Reads buckets from Elasticsearch: pages of composite aggregations as columns, and what tells whether they changed since."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.elastic.client import explained
from driftline.elastic.query import composite, fingerprint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.timespan import Window
    from driftline.elastic.query import Split

# The same copy of each shard answers all that a read asks, so that a fingerprint belongs to what is read after it.
PREFERENCE = "driftline"


@dataclass
class Cells:
    """Non-empty buckets of the series of one split, as columns in the order of (series, bucket).

    Attributes:
        keys: Partition and by value of each of the series; "" where there is no such split.
        row: (n,) int32, which series.
        bucket: (n,) int64, number of the bucket span since the epoch.
        docs: (n,) int64, documents.
        values: Sub-aggregation → (n,) float64; the document count itself is not among them.
        intervals: Numbers of the intervals, of some buckets each, that these are all the cells of.
    """

    keys: list[tuple[str, str]]
    row: NDArray[np.int32]
    bucket: NDArray[np.int64]
    docs: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]
    intervals: list[int] = field(default_factory=list)

    def where(self, chosen: NDArray[np.bool_]) -> Cells:
        """Some of the cells, with all keys."""
        values = {name: column[chosen] for name, column in self.values.items()}
        return Cells(self.keys, self.row[chosen], self.bucket[chosen], self.docs[chosen], values, self.intervals)

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
    order = np.lexsort((bucket, row))
    values = {name: np.concatenate([part.values[name] for part in parts])[order] for name in parts[0].values}
    return Cells(pairs, row[order], bucket[order], docs[order], values, [i for part in parts for i in part.intervals])


def read_cells(client: Elasticsearch, job: Job, split: Split, window: Window) -> Cells:
    """The buckets of a split in a window that is aligned to the bucket span.

    Raises:
        SourceIndexError, ClusterError, ClusterDownError: As `explained` tells.
    """
    rows: dict[tuple[str, str], int] = {}
    pages = [_decode(job, split, buckets, rows) for buckets in _pages(client, job, split, window)]
    if not pages:
        nothing = np.empty(0, np.int64)
        return Cells([], nothing.astype(np.int32), nothing, nothing, {name: np.empty(0) for name in split.names})
    return merge([replace(page, keys=list(rows)) for page in pages])


def _pages(client: Elasticsearch, job: Job, split: Split, window: Window) -> Iterator[list[dict[str, Any]]]:
    after: dict[str, Any] | None = None
    while True:
        with explained(f"job {job.job_id}, datafeed"):
            body = composite(job, split, window, after)
            answer = client.search(index=job.datafeed.indices, preference=PREFERENCE, **body).body["aggregations"]["series"]
        if answer["buckets"]:
            yield answer["buckets"]
        after = answer.get("after_key")
        if after is None or not answer["buckets"]:
            return


def _decode(job: Job, split: Split, buckets: list[dict[str, Any]], rows: dict[tuple[str, str], int]) -> Cells:
    """One page; new series get the next numbers in `rows`."""
    keys = [bucket["key"] for bucket in buckets]
    times = np.array([key["time"] for key in keys], dtype=np.int64)
    partition, by = split.fields
    partitions = [_text(key["partition"]) for key in keys] if partition else [""] * len(keys)
    bys = [_text(key["by"]) for key in keys] if by else [""] * len(keys)
    row = np.array([rows.setdefault(pair, len(rows)) for pair in zip(partitions, bys, strict=True)], dtype=np.int32)
    docs = np.array([bucket["doc_count"] for bucket in buckets], dtype=np.int64)
    values = {}
    for name, (metric, _) in zip(split.names, split.measures, strict=True):
        found = [b[name]["values"][0]["value"] for b in buckets] if metric == "median" else [b[name]["value"] for b in buckets]
        values[name] = np.array(found, dtype=np.float64)
    return Cells([], row, times // (job.span_seconds * 1000), docs, values)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def fingerprints(client: Elasticsearch, job: Job, window: Window, seconds: int) -> dict[int, tuple[int, float]]:
    """What each interval of `seconds` holds: number of the interval since the epoch → documents, sum of sequence numbers.

    Every document that is added, changed or deleted changes them: a written document gets a higher number than any before it in
    its shard. Intervals without documents are not listed.

    Raises:
        SourceIndexError, ClusterError, ClusterDownError: As `explained` tells.
    """
    with explained(f"job {job.job_id}, datafeed"):
        answer = client.search(index=job.datafeed.indices, preference=PREFERENCE, **fingerprint(job, window, seconds))
    return {
        bucket["key"] // (seconds * 1000): (bucket["doc_count"], bucket["written"]["value"])
        for bucket in answer.body["aggregations"]["intervals"]["buckets"]
    }
