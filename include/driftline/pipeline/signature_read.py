"""Reads what entities did, by way of the series store, as sums over spans."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from driftline.core.signature import DAY, MIX_KEPT
from driftline.core.timespan import Window, floor_time
from driftline.elastic.client import explained
from driftline.elastic.query import between, splits
from driftline.elastic.read import read_cells
from driftline.pipeline.store import READERS, read_stored
from driftline.signatures.profiles import Sums, bins_of, slots_of, sums_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.progress import Progress
    from driftline.core.signature import Signatures
    from driftline.elastic.read import Cells

    Matrix = NDArray[np.float64]

DAYS = 2 * DAY  # that one request is about: some hundred thousand pairs of entities and values
MOST_SPANS = 8  # compared with one another; older ones only add to the long-term signature


@dataclass
class Read:
    """What all entities did in a window.

    Attributes:
        window: In whole buckets of the resolution.
        names: E entities.
        counts: (E, T) documents.
        measured: For each feature its metric and its (E, T) values, NaN where there is none.
        bins: (T,) the bin of each bucket.
        mix: (E, D, C) documents with each value of the mix on each whole day from `first_day` on; C is 0 without a mix.
        first_day: When these days begin.
        notes: What a reader should know.
    """

    window: Window
    names: list[str]
    counts: Matrix
    measured: list[tuple[str, Matrix]]
    bins: NDArray[np.intp]
    mix: NDArray[np.float32]
    first_day: datetime
    notes: list[str] = field(default_factory=list)

    def sums(self, signatures: Signatures, spans: Sequence[Window]) -> Sums:
        """What they did in some spans within the window. The mix is of whole days, as many, up to the last one that has ended."""
        columns = [
            slice(*(round((edge - self.window.start) / signatures.resolution) for edge in (w.start, w.end))) for w in spans
        ]
        found = sums_of(self.counts, self.measured, self.bins, columns, 2 * slots_of(signatures.resolution))
        mix = np.zeros((len(self.names), len(spans), self.mix.shape[2]))
        for number, each in enumerate(spans):
            first, last = (round((floor_time(edge, DAY) - self.first_day) / DAY) for edge in (each.start, each.end))
            mix[:, number] = self.mix[:, first:last].sum(axis=1)
        found.mix = mix
        return found


def top_values(client: Elasticsearch, signatures: Signatures, window: Window) -> list[str]:
    """The most frequent values of the mix in a window, in the order of the alphabet."""
    if signatures.mix is None:
        return []
    query = {"bool": {"filter": [signatures.query, between(signatures.time_field, window)]}}
    aggs = {"values": {"terms": {"field": signatures.mix, "size": MIX_KEPT}}}
    with explained(f"signatures {signatures.signature_id}, mix"):
        found = client.search(index=signatures.indices, query=query, size=0, aggs=aggs, ignore_unavailable=True).body
    buckets = found.get("aggregations", {}).get("values", {}).get("buckets", [])
    return sorted(str(each.get("key_as_string", each["key"])) for each in buckets)


def read(
    client: Elasticsearch, signatures: Signatures, window: Window, values: list[str], *, progress: Progress | None = None
) -> Read:
    """Reads a window.

    Args:
        client: The cluster.
        signatures: What to read.
        window: In whole buckets of the resolution.
        values: The values of the mix that are told apart.
        progress: Told how far it is.
    """
    job = signatures.reading
    frame = read_stored(client, job, window, progress=progress)
    numbers = np.array([key.detector_index for key in frame.keys], dtype=np.intp)
    rows = np.flatnonzero(numbers == 0)
    names = [str(frame.keys[row].partition_value) for row in rows.tolist()]
    counts = np.nan_to_num(frame.values[rows], nan=0.0)
    kept, notes = _largest(counts, names, signatures.max_terms)
    names, counts = [names[row] for row in kept.tolist()], counts[kept]
    place = {name: row for row, name in enumerate(names)}
    measured: list[tuple[str, Matrix]] = []
    for number, feature in enumerate(signatures.measured):
        values_of = np.full(counts.shape, np.nan)
        mine = np.flatnonzero(numbers == number + 1)
        at = np.array([place.get(str(frame.keys[row].partition_value), -1) for row in mine.tolist()], dtype=np.intp)
        values_of[at[at >= 0]] = frame.values[mine[at >= 0]]
        measured.append((feature.metric, values_of))
    bins = bins_of(frame.times, signatures.resolution, signatures.time_zone)
    days = Window(floor_time(window.start, DAY), floor_time(window.end, DAY))
    mix = _mix(client, signatures, days, values, place, progress=progress)
    return Read(window, names, counts, measured, bins, mix, days.start, notes)


def _largest(counts: Matrix, names: list[str], most: int) -> tuple[NDArray[np.intp], list[str]]:
    if len(names) <= most:
        return np.arange(len(names)), []
    order = np.argsort(-counts.sum(axis=1), kind="stable")
    left = sorted(names[row] for row in order[most:].tolist())
    note = f"{len(left)} entities beyond max_terms={most} are left out (the smallest): {', '.join(left[:10])}"
    return np.sort(order[:most]), [note + (" …" if len(left) > 10 else "")]


def _mix(
    client: Elasticsearch,
    signatures: Signatures,
    days: Window,
    values: list[str],
    place: dict[str, int],
    *,
    progress: Progress | None,
) -> NDArray[np.float32]:
    """(E, D, C + 1) documents of each day with each of the values, and with others.

    They are not kept in the series store: pairs of entities and values are so many, and have so few documents each, that keeping
    them costs more than reading them again.
    """
    if signatures.mix is None or days.empty:
        return np.zeros((len(place), 0, len(values) + 1 if signatures.mix else 0), dtype=np.float32)
    out = np.zeros((len(place), days.buckets(DAY), len(values) + 1), dtype=np.float32)
    column = {value: number for number, value in enumerate(values)}
    starts = [days.start + number * DAYS for number in range(-(-(days.end - days.start) // DAYS))]
    parts = [
        (job, Window(start, min(start + DAYS, days.end)))
        for job in (signatures.reading_mix(values), signatures.reading_other(values))
        for start in starts
    ]
    first = int(days.start.timestamp()) // int(DAY.total_seconds())
    with ThreadPoolExecutor(READERS) as pool:
        for number, cells in enumerate(pool.map(lambda part: _cells(client, *part), parts)):
            entity = np.array([place.get(key[0], -1) for key in cells.keys], dtype=np.intp)[cells.row]
            value = np.array([column.get(key[1], len(values)) for key in cells.keys], dtype=np.intp)[cells.row]
            known = entity >= 0
            amount = next(iter(cells.values.values()), cells.docs)
            out[entity[known], cells.bucket[known] - first, value[known]] = amount[known]
            if progress:
                progress(f"shares of {signatures.mix} read", number + 1, len(parts))
    return out


def _cells(client: Elasticsearch, job: Job, window: Window) -> Cells:
    return read_cells(client, job, splits(job)[0], window)


def training_spans(signatures: Signatures, window: Window) -> tuple[list[Window], Window]:
    """Whole spans back from a window's end, at most eight, and what remains before them."""
    count = min(MOST_SPANS, int((window.end - window.start) / signatures.span))
    edges = [window.end - number * signatures.span for number in range(count + 1)]
    return [Window(first, last) for last, first in pairwise(edges)], Window(window.start, edges[-1])
