"""Reads series from Elasticsearch: pages of composite buckets into one matrix a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.series import SeriesFrame, SeriesKey
from driftline.elastic.client import explained
from driftline.elastic.query import Split, composite, splits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.progress import Progress
    from driftline.core.timespan import Window


def read_frame(client: Elasticsearch, job: Job, window: Window, *, progress: Progress | None = None) -> SeriesFrame:
    """All series of a job over a window.

    Empty buckets of counts and sums are 0 from a series' first appearance in the window on; for the other functions they are NaN.
    `window` must be aligned to the bucket span.

    Raises:
        SourceIndexError, ClusterError, ClusterDownError: As `explained` tells.
    """
    length = window.buckets(job.bucket_span)
    docs = np.zeros(length, dtype=np.int64)
    parts = [
        _read_split(client, job, split, window, docs if number == 0 else None, progress)
        for number, split in enumerate(splits(job))
    ]
    keys = [key for part_keys, _ in parts for key in part_keys]
    values = np.concatenate([part for _, part in parts]) if parts else np.empty((0, length))
    order = sorted(
        range(len(keys)), key=lambda row: (keys[row].detector_index, keys[row].partition_value or "", keys[row].by_value or "")
    )
    frame = SeriesFrame(window.start, job.bucket_span, keys, values, docs).take(order)
    return _limited(frame, job)


def _read_split(
    client: Elasticsearch, job: Job, split: Split, window: Window, docs: NDArray[np.int64] | None, progress: Progress | None
) -> tuple[list[SeriesKey], NDArray[np.float64]]:
    """The series of the detectors that share one split: their keys and their (N, T) values."""
    length = window.buckets(job.bucket_span)
    origin, step = int(window.start.timestamp() * 1000), job.span_seconds * 1000
    rows: dict[tuple[str, str], int] = {}
    columns: dict[int, list[NDArray[np.float64]]] = {number: [] for number in split.detectors}
    places: list[NDArray[np.int64]] = []
    for buckets in _pages(client, job, split, window):
        times = np.fromiter((bucket["key"]["time"] for bucket in buckets), np.int64, len(buckets))
        series = np.fromiter(
            (rows.setdefault(_split_values(bucket["key"]), len(rows)) for bucket in buckets), np.int64, len(buckets)
        )
        column = (times - origin) // step
        places.append(series * length + column)
        if docs is not None:
            np.add.at(docs, column, np.fromiter((bucket["doc_count"] for bucket in buckets), np.int64, len(buckets)))
        for number in split.detectors:
            columns[number].append(_metric_values(buckets, split.metrics[number], job.detectors[number].spec.metric))
        if progress:
            progress("buckets read", int(column.max()) + 1 if len(column) else length, length)
    if not any(split.fields):
        rows = {("", ""): 0}
    return _assemble(job, split, rows, np.concatenate(places) if places else np.empty(0, np.int64), columns, length)


def _assemble(
    job: Job,
    split: Split,
    rows: dict[tuple[str, str], int],
    places: NDArray[np.int64],
    columns: dict[int, list[NDArray[np.float64]]],
    length: int,
) -> tuple[list[SeriesKey], NDArray[np.float64]]:
    keys, matrices = [], []
    for number in split.detectors:
        flat = np.full(len(rows) * length, np.nan)
        if len(places):
            flat[places] = np.concatenate(columns[number])
        matrix = flat.reshape(len(rows), length)
        if job.detectors[number].spec.empty_is_zero:
            appeared = np.maximum.accumulate(~np.isnan(matrix), axis=1)
            # an unsplit series exists even before its first document; a partition does not
            matrix = np.where(np.isnan(matrix) & (appeared | (not any(split.fields))), 0.0, matrix)
        matrices.append(matrix)
        partition, by = split.fields
        keys += [SeriesKey(number, p if partition else None, b if by else None) for p, b in rows]
    return keys, np.concatenate(matrices)


def _pages(client: Elasticsearch, job: Job, split: Split, window: Window) -> Iterator[list[dict[str, Any]]]:
    after: dict[str, Any] | None = None
    while True:
        with explained(f"job {job.job_id}, datafeed"):
            body = composite(job, split, window, after)
            answer = client.search(index=job.datafeed.indices, **body).body["aggregations"]["series"]
        if answer["buckets"]:
            yield answer["buckets"]
        after = answer.get("after_key")
        if after is None or not answer["buckets"]:
            return


def _split_values(key: dict[str, Any]) -> tuple[str, str]:
    return _text(key.get("partition")), _text(key.get("by"))


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _metric_values(buckets: list[dict[str, Any]], name: str | None, metric: str) -> NDArray[np.float64]:
    if name is None:
        return np.fromiter((bucket["doc_count"] for bucket in buckets), np.float64, len(buckets))
    if metric == "median":
        values = [bucket[name]["values"][0]["value"] for bucket in buckets]
    else:
        values = [bucket[name]["value"] for bucket in buckets]
    return np.array(values, dtype=np.float64)


def _limited(frame: SeriesFrame, job: Job) -> SeriesFrame:
    """Keeps the largest partitions when there are more than the job allows, and says which were left out."""
    limit = job.training.max_partitions
    if len(frame.keys) <= limit:
        return frame
    volume = np.nansum(np.abs(frame.values), axis=1)
    kept = np.sort(np.argsort(-volume, kind="stable")[:limit])
    left = sorted(set(range(len(frame.keys))) - set(kept.tolist()))
    named = ", ".join(frame.keys[row].label() for row in left[:20])
    note = f"{len(left)} series beyond training.max_partitions={limit} are left out (the smallest): {named}"
    limited = frame.take(kept)
    limited.notes = [*frame.notes, note + (" …" if len(left) > 20 else "")]
    return limited
