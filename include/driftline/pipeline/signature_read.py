"""Reads what entities did, by way of the series store, as sums over spans."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.core.signature import DAY, MIX_KEPT
from driftline.core.timespan import Window, floor_time
from driftline.elastic.client import explained
from driftline.elastic.query import between, splits
from driftline.elastic.read import read_table
from driftline.pipeline.store import in_turn, read_stored, readers
from driftline.signatures.profiles import Sums, bins_of, slots_of, sums_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.progress import Progress
    from driftline.core.signature import Signatures

    Matrix = NDArray[np.float64]

STEP = 7 * DAY  # that one request for the mix is about, at most
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
        mix: Documents with the values of the mix.
        notes: What a reader should know.
    """

    window: Window
    names: list[str]
    counts: Matrix
    measured: list[tuple[str, Matrix]]
    bins: NDArray[np.intp]
    mix: Mix
    notes: list[str] = field(default_factory=list)

    def sums(self, signatures: Signatures, spans: Sequence[Window]) -> Sums:
        """What they did in some spans within the window. The mix is of whole days, as many, up to the last one that has ended.

        Raises:
            ValueError: A span begins or ends on another day than those that the mix was read for.
        """
        columns = [
            slice(*(round((edge - self.window.start) / signatures.resolution) for edge in (w.start, w.end))) for w in spans
        ]
        found = sums_of(self.counts, self.measured, self.bins, columns, 2 * slots_of(signatures.resolution))
        found.mix = np.stack([self.mix.between(*(floor_time(edge, DAY) for edge in (w.start, w.end))) for w in spans], axis=1)
        return found


class Mix:
    """How many documents entities have with each value of the mix, between midnights.

    They are read when they are first asked for, and a little ahead: so who scores one day after the other does so while the next
    ones are read. They are not kept in the series store: pairs of entities and values are many, with few documents each, and are
    read again for less than keeping them costs.

    Args:
        client: The cluster.
        signatures: What to read; without a mix there is nothing of any value.
        edges: The midnights that can be asked for.
        values: The values that are told apart; the last column is that of all others.
        names: E entities.
        progress: Told how far it is.
    """

    def __init__(
        self,
        client: Elasticsearch,
        signatures: Signatures,
        edges: list[datetime],
        values: list[str],
        names: list[str],
        *,
        progress: Progress | None = None,
    ) -> None:
        self._client, self._signatures, self._progress = client, signatures, progress
        self._edges, self._values, self._names = edges, values, names
        self._read = self._parts()
        self._seen: list[NDArray[np.float32]] = []

    def between(self, start: datetime, end: datetime) -> Matrix:
        """(E, C) documents with each value between two of the edges; C is 0 without a mix.

        Raises:
            ValueError: There is no such edge.
        """
        first, last = self._edges.index(start), self._edges.index(end)
        total = np.zeros((len(self._names), len(self._values) + 1 if self._signatures.mix else 0))
        if self._signatures.mix:
            self._seen.extend(islice(self._read, max(0, last - len(self._seen))))
            for part in self._seen[first:last]:
                total += part
        return total

    def _parts(self) -> Iterator[NDArray[np.float32]]:
        windows = [Window(*pair) for pair in pairwise(self._edges)]
        with readers() as pool:
            for number, part in enumerate(in_turn(pool, self._part, windows)):
                if self._progress:
                    self._progress(f"shares of {self._signatures.mix} read", number + 1, len(windows))
                yield part

    def _part(self, window: Window) -> NDArray[np.float32]:
        out = np.zeros((len(self._names), len(self._values) + 1), dtype=np.float32)
        for reading in (self._signatures.reading_mix, self._signatures.reading_other):
            job = reading(self._values, window.end - window.start)
            (split,) = splits(job)
            table = read_table(self._client, job, split, window)
            entity = _places(table["partition"], self._names)
            value = _places(table["by"], self._values) if "by" in table.column_names else np.full(len(table), len(self._values))
            known = (entity >= 0) & (value >= 0)  # a document may have other values besides
            amount = table[split.names[0] if split.names else "docs"].to_numpy()
            out[entity[known], value[known]] = amount[known]
        return out


def _places(found: pa.ChunkedArray, among: list[str]) -> NDArray[np.int64]:
    """Where each text is in a list; −1 where it is not."""
    place: NDArray[np.int64] = pc.fill_null(pc.index_in(found, pa.array(among, pa.string())).cast(pa.int64()), -1).to_numpy()
    return place


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
    client: Elasticsearch,
    signatures: Signatures,
    window: Window,
    values: list[str],
    *,
    spans: Sequence[Window] = (),
    learned: Sequence[str] = (),
    before: datetime | None = None,
    progress: Progress | None = None,
) -> Read:
    """Reads a window.

    Args:
        client: The cluster.
        signatures: What to read.
        window: In whole buckets of the resolution.
        values: The values of the mix that are told apart.
        spans: For which spans sums will be asked; by default for any. The mix of few is read much sooner than that of each day.
        learned: Entities that are kept, however few documents they have here: were one left out, it would be taken for silent.
        before: Only entities that had documents before then: of others too little is known.
        progress: Told how far it is.
    """
    job = signatures.reading
    frame = read_stored(client, job, window, progress=progress)
    numbers = np.array([key.detector_index for key in frame.keys], dtype=np.intp)
    rows = np.flatnonzero(numbers == 0)
    names = [str(frame.keys[row].partition_value) for row in rows.tolist()]
    counts = frame.values[rows] if signatures.measured else frame.values
    np.nan_to_num(counts, copy=False, nan=0.0)
    early = round((before - window.start) / signatures.resolution) if before else 0
    new = np.flatnonzero(~counts[:, :early].any(axis=1)) if before else np.arange(0)
    kept, notes = _kept(counts, names, signatures.max_terms, frozenset(learned), new)
    if len(kept) < len(names):
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
    edges = _edges(spans) if spans else _days(window)
    mix = Mix(client, signatures, edges, values, names, progress=progress if spans else None)
    return Read(window, names, counts, measured, bins, mix, notes)


def _days(window: Window) -> list[datetime]:
    first, last = floor_time(window.start, DAY), floor_time(window.end, DAY)
    return [first + number * DAY for number in range(1 + (last - first) // DAY)]


def _edges(spans: Sequence[Window]) -> list[datetime]:
    edges = sorted({floor_time(edge, DAY) for span in spans for edge in (span.start, span.end)})
    steps = [first + number * STEP for first, last in pairwise(edges) for number in range(1, -(-(last - first) // STEP))]
    return sorted([*edges, *steps])


def _kept(
    counts: Matrix, names: list[str], most: int, learned: frozenset[str], new: NDArray[np.intp]
) -> tuple[NDArray[np.intp], list[str]]:
    """Rows of the entities that are kept, those that were learned first, then the largest; and which are not."""
    order = np.lexsort((-counts.sum(axis=1), [name not in learned for name in names]))
    order = order[~np.isin(order, new)]
    which = "none of them was learned" if learned else "the smallest"
    notes = [
        *_left(names, new, "entities are too new to be learned"),
        *_left(names, order[most:], f"entities beyond max_terms={most} are left out ({which})"),
    ]
    return np.sort(order[:most]), notes


def _left(names: list[str], rows: NDArray[np.intp], said: str) -> list[str]:
    left = sorted(names[row] for row in rows.tolist())
    return [f"{len(left)} {said}: {', '.join(left[:10])}{' …' if len(left) > 10 else ''}"] if left else []


def training_spans(signatures: Signatures, window: Window) -> tuple[list[Window], Window]:
    """Whole spans back from a window's end, at most eight, and what remains before them."""
    count = min(MOST_SPANS, int((window.end - window.start) / signatures.span))
    edges = [window.end - number * signatures.span for number in range(count + 1)]
    return [Window(first, last) for last, first in pairwise(edges)], Window(window.start, edges[-1])
