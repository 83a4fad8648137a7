"""The series store: each bucket is read from Elasticsearch once, and kept as Parquet in the staging area, a folder for each day.

It is a cache, and what comes out of it is what a direct read would give: every read first asks Elasticsearch for the fingerprint
of each interval (documents, the sum of their sequence numbers, which indices they are in) and reads again what differs: late
documents, corrected and deleted ones, of any age. What is missing or broken is read again (a file is named after what is in it);
whoever wants to may delete the folder. Two writers of a day may overwrite each other's manifest: what one of them loses is read
once more.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import fsspec
import numpy as np
import orjson
import pyarrow as pa

from driftline.core.errors import DataError
from driftline.core.paths import staging_uri, whole
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.shapes import VERSION as SHAPES
from driftline.core.timespan import Window
from driftline.elastic.cellfile import decoded, described, encoded
from driftline.elastic.messages import joined
from driftline.elastic.query import all_documents, splits
from driftline.elastic.read import Cells, Mark, SplitKey, fingerprints, merge, read_cells

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.progress import Progress
    from driftline.elastic.messages import Kind, Sample
    from driftline.elastic.query import Split

    Recast = Callable[[Cells, Split], Cells]

T = TypeVar("T")
R = TypeVar("R")
FOLDER = "store"
FORMAT = 3
READERS = 3  # reads at once: Elasticsearch works on two while one is made into columns
INTERVAL = 300  # seconds that a fingerprint covers at least; a bucket if that is longer
DAY = 86_400
TOGETHER = 500_000  # documents that one read may cover, unless a single interval holds more
ATTEMPTS = 3  # the store is trusted in the first; while another deletes it, not even what was just written is there
PARTS = 8  # files of a day before they are made one
BLOCK = 1_000_000  # values that are looked at at once
MANIFEST = "manifest.json"

Marks = dict[int, Mark]  # interval since the epoch → its fingerprint


def read_stored(
    client: Elasticsearch, job: Job, window: Window, *, recast: Recast | None = None, progress: Progress | None = None
) -> SeriesFrame:
    """All series of a job over a window, from the store as far as it is up to date.

    Empty buckets of counts and sums are 0 from a series' first appearance in the window on; for the other functions they are NaN.
    Series are in the order of their keys. `window` must be aligned to the bucket span. `recast` makes of cells those that count.

    Raises:
        SourceIndexError, ClusterError, ClusterDownError: As `explained` tells.
        DataError: What was just written cannot be read.
    """
    return _attempted(lambda trusting: _Store(client, job, window, trusting=trusting, recast=recast).frame(progress))


def _attempted(work: Callable[[bool], T]) -> T:
    for attempt in range(1, ATTEMPTS):
        try:
            return work(attempt == 1)
        except (DataError, FileNotFoundError):  # somebody deleted or damaged files of it, or its folder while it was written
            continue
    return work(False)


def stored_shapes(
    client: Elasticsearch, job: Job, window: Window, *, progress: Progress | None = None
) -> tuple[dict[Kind, int], dict[Kind, Sample]]:
    """How many documents of each shape of message there are, and what is told of these, of all of a job's splits by category.

    Raises:
        As `read_stored`.
    """
    return _attempted(lambda trusting: _Store(client, job, window, trusting=trusting).shapes(progress))


def stored_cells(
    client: Elasticsearch,
    job: Job,
    split: Split,
    window: Window,
    *,
    most: int,
    recast: Recast | None = None,
    progress: Progress | None = None,
) -> tuple[Cells, datetime]:
    """The non-empty buckets of one split, of the newest days of a window that do not hold more than `most` cells together.

    Returns:
        The cells, and since when they are complete.

    Raises:
        As `read_stored`.
    """
    return _attempted(lambda trusting: _Store(client, job, window, trusting=trusting, recast=recast).cells(split, most, progress))


class _Found(NamedTuple):
    """Series of a detector, their (N, T) values, and of how many documents each is where that matters."""

    keys: list[SeriesKey]
    values: NDArray[np.float64]
    sizes: NDArray[np.float64] | None


class _Store:
    """What is kept of a job's series over a window; who does not trust it reads and writes all of it anew."""

    def __init__(self, client: Elasticsearch, job: Job, window: Window, *, trusting: bool, recast: Recast | None = None) -> None:
        self.recast = recast or (lambda cells, _: cells)
        self.client, self.job, self.window, self.trusting = client, job, window, trusting
        self.seconds = job.span_seconds * -(-INTERVAL // job.span_seconds)
        self.wide = self.seconds // job.span_seconds  # buckets in an interval
        self.length = window.buckets(job.bucket_span)
        self.first = int(window.start.timestamp()) // job.span_seconds  # number of the window's first bucket

    def frame(self, progress: Progress | None) -> SeriesFrame:
        marks = fingerprints(self.client, self.job, self._between(*self._edges()), self.seconds)
        docs = np.zeros(self.length, dtype=np.int64)
        blocks: dict[int, _Found] = {}
        for number, split in enumerate(splits(self.job, {"series"}) or [all_documents()]):
            parts = self._refreshed(split, marks, progress)
            blocks |= self._assemble(split, parts, docs if number == 0 else None)
        found = [block for _, block in sorted(blocks.items())]
        values, sizes = _stacked([each.values for each in found], self.length), None
        if any(each.sizes is not None for each in found):
            each_of = [np.full_like(each.values, np.nan) if each.sizes is None else each.sizes for each in found]
            sizes = _stacked(each_of, self.length)
        keys = [key for each in found for key in each.keys]
        return SeriesFrame(self.window.start, self.job.bucket_span, keys, values, docs, sizes=sizes)

    def cells(self, split: Split, most: int, progress: Progress | None) -> tuple[Cells, datetime]:
        marks = fingerprints(self.client, self.job, self._between(*self._edges()), self.seconds)
        days = sorted({interval * self.seconds // DAY for interval in marks}, reverse=True)
        read: list[Cells] = []
        total, since = 0, self.window.start
        for day in days:
            parts = self._refreshed(split, {i: mark for i, mark in marks.items() if i * self.seconds // DAY == day}, progress)
            found = [self.recast(part.cells(self.first, self.length), split) for part in parts]
            total += sum(len(cells.row) for cells in found)
            if total > most and read:
                since = datetime.fromtimestamp((day + 1) * DAY, UTC)
                break
            read += found
        nothing = np.empty(0, np.int64)
        empty = Cells([], nothing.astype(np.int32), nothing, nothing, {name: np.empty(0) for name in split.names})
        return merge([*reversed(read), empty]), since

    def shapes(self, progress: Progress | None) -> tuple[dict[Kind, int], dict[Kind, Sample]]:
        marks = fingerprints(self.client, self.job, self._between(*self._edges()), self.seconds)
        grouped = self.job.per_partition_categorization.enabled
        docs: dict[Kind, int] = {}
        samples: list[dict[Kind, Sample]] = []
        for split in (each for each in splits(self.job) if each.category is not None):
            here: dict[Kind, int] = {}
            for part in self._refreshed(split, marks, progress):
                cells = part.cells(self.first, self.length)
                counts = np.bincount(cells.row, cells.docs, len(cells.keys)).astype(np.int64).tolist()
                for key, count in zip(cells.keys, counts, strict=True):
                    if count:
                        kind = (key[0] if grouped else "", key[split.category or 0])
                        here[kind] = here.get(kind, 0) + count
                samples.append(cells.samples)
            # splits see the same documents
            docs |= {kind: max(count, docs.get(kind, 0)) for kind, count in here.items()}
        return docs, joined(samples)

    def _edges(self) -> tuple[int, int]:
        """The intervals that the window lies in, first and last + 1."""
        return int(self.window.start.timestamp()) // self.seconds, -(-int(self.window.end.timestamp()) // self.seconds)

    def _between(self, first: int, last: int) -> Window:
        return Window(*(datetime.fromtimestamp(interval * self.seconds, UTC) for interval in (first, last)))

    def _place(self, split: Split, day: int) -> str:
        """A day's folder: jobs that read the same share it."""
        feed, fields = self.job.datafeed, list(split.fields)
        what = [FORMAT, feed.indices, feed.query, self.job.time_field, self.job.span_seconds, fields, split.measures]
        extra = {**feed.model_dump(include={"aggregations", "runtime_mappings", "script_fields"}, exclude_defaults=True)}
        if self.job.summary_count_field_name:
            extra["summary"] = self.job.summary_count_field_name
        if split.use_null:
            extra["use_null"] = True
        if any(split.queries):
            extra["queries"] = split.queries
        if split.category is not None:
            extra["categories"] = [SHAPES, self.job.categorization_field_name, self.job.categorization_filters]
            extra["categories"] += [True] if self.job.per_partition_categorization.enabled else []
        what += [extra] if extra else []
        name = hashlib.sha256(orjson.dumps(what, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        return staging_uri(FOLDER, name, str(np.datetime64(day, "D")))

    def _day(self, split: Split, day: int) -> _Day:
        uri = self._place(split, day)
        return _Day.load(uri) if self.trusting else _Day(uri, {}, {})

    def _refreshed(self, split: Split, marks: Marks, progress: Progress | None) -> list[_Part]:
        """The files that hold the intervals of `marks`, once what was stale has been read."""
        days = {day: self._day(split, day) for day in {interval * self.seconds // DAY for interval in marks}}
        runs = list(self._stale(days, marks))
        total, done = sum(marks[interval][0] for run in runs for interval in run), 0
        pending: dict[int, list[Cells]] = {}
        with readers() as pool:
            for run, cells in zip(runs, in_turn(pool, partial(self._read, split), runs), strict=True):
                for day, intervals in groupby(run, lambda interval: interval * self.seconds // DAY):
                    if day not in pending:
                        self._flush(days, pending, marks)
                    pending.setdefault(day, []).append(cells.within(list(intervals), self.wide))
                done += sum(marks[interval][0] for interval in run)
                if progress:
                    progress("documents read", done, total)
        self._flush(days, pending, marks)
        return [part for day in sorted(days) for part in days[day].parts(marks, self.wide)]

    def _read(self, split: Split, run: list[int]) -> Cells:
        return read_cells(self.client, self.job, split, self._between(run[0], run[-1] + 1), self.wide)

    def _stale(self, days: dict[int, _Day], marks: Marks) -> Iterator[list[int]]:
        """Runs of neighbouring intervals that must be read, each to be read in one go."""
        run: list[int] = []
        docs = 0
        for interval, mark in sorted(marks.items()):
            fresh = days[interval * self.seconds // DAY].marks.get(interval) == mark
            if run and (fresh or docs + mark[0] > TOGETHER):
                yield run
                run, docs = [], 0
            if not fresh:
                run.append(interval)
                docs += mark[0]
        if run:
            yield run

    def _flush(self, days: dict[int, _Day], pending: dict[int, list[Cells]], marks: Marks) -> None:
        for day, cells in pending.items():
            days[day].add(merge(cells), marks, self.wide)
        pending.clear()

    def _assemble(self, split: Split, parts: list[_Part], docs: NDArray[np.int64] | None) -> dict[int, _Found]:
        """Detector → its series."""
        partition, by, _ = split.fields
        named = split.category is not None
        read = [self.recast(part.cells(self.first, self.length), split) for part in parts] if named else []
        found = {pair for each in (read if named else ()) for pair in each.keys}
        found |= set() if named else {pair for part in parts for pair in part.keys(self.first, self.length)}
        pairs = sorted(found if partition or by else {("", "", "")})
        place = {pair: row for row, pair in enumerate(pairs)}
        matrices = {number: np.full((len(pairs), self.length), np.nan) for number in split.detectors}
        averages = [number for number in split.detectors if self.job.detectors[number].is_average]
        sizes = np.full((len(pairs), self.length), np.nan) if averages else None
        for cells in read if named else (part.cells(self.first, self.length) for part in parts):
            rows = np.array([place.get(pair, -1) for pair in cells.keys], dtype=np.int64)
            at = rows[cells.row] * self.length + (cells.bucket - self.first)
            if docs is not None:
                docs += np.bincount(cells.bucket - self.first, cells.docs, self.length).astype(np.int64)
            if sizes is not None:
                sizes.ravel()[at] = cells.docs
            for number, matrix in matrices.items():
                name = split.metrics[number]
                matrix.ravel()[at] = cells.values[name] if name else cells.docs
        keys = [(p if partition else None, b if by else None) for p, b, _ in pairs]
        out = {}
        for number, matrix in matrices.items():
            detector, mine, size = self.job.detectors[number], keys, sizes if number in averages else None
            if detector.query is not None and (partition or by):
                # nothing of the others matches its query: for it they are not there
                there = np.flatnonzero(~np.isnan(matrix).all(axis=1))
                matrix, mine = matrix[there], [keys[row] for row in there.tolist()]
            if detector.spec.empty_is_zero:
                # an unsplit series exists even before its first document; a partition does not
                _fill_zeros(matrix, everywhere=not (partition or by))
            out[number] = _Found([SeriesKey(number, *key) for key in mine], matrix, size)
        return out


def _stacked(parts: list[NDArray[np.float64]], width: int) -> NDArray[np.float64]:
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty((0, width)), *parts])


@contextmanager
def readers() -> Iterator[ThreadPoolExecutor]:
    """Threads that leave undone what is left when something goes wrong."""
    pool = ThreadPoolExecutor(READERS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def in_turn(pool: ThreadPoolExecutor, read: Callable[[T], R], parts: Iterable[T]) -> Iterator[R]:
    """What is read of each part, in their order. Readers do not run ahead of who takes it: it would all be in memory."""
    waiting: deque[Future[R]] = deque()
    for part in parts:
        waiting.append(pool.submit(read, part))
        if len(waiting) > READERS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _fill_zeros(matrix: NDArray[np.float64], *, everywhere: bool) -> None:
    size = max(1, BLOCK // max(1, matrix.shape[1]))
    for first in range(0, len(matrix), size):
        block = matrix[first : first + size]
        empty = np.isnan(block)
        if not everywhere:
            empty &= np.maximum.accumulate(~empty, axis=1)
        block[empty] = 0.0


@dataclass
class _Day:
    """One day of a split's store.

    Attributes:
        uri: Its folder.
        marks: Fingerprints of its intervals, as they were before they were read.
        files: File → the intervals that it is right about.
    """

    uri: str
    marks: Marks
    files: dict[str, set[int]]

    @classmethod
    def load(cls, uri: str) -> _Day:
        """As its manifest says; empty where there is none that can be read."""
        try:
            with fsspec.open(f"{uri}/{MANIFEST}", "rb") as file:
                found = orjson.loads(file.read())
            marks = {
                int(interval): (int(docs), float(written), str(origin)) for interval, docs, written, origin in found["marks"]
            }
            return cls(uri, marks, {str(name): {int(i) for i in intervals} for name, intervals in found["files"].items()})
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return cls(uri, {}, {})

    def parts(self, marks: Marks, wide: int) -> list[_Part]:
        """Files with those of their intervals that are as `marks` says; an interval is `wide` buckets."""
        fresh = {interval for interval, mark in marks.items() if self.marks.get(interval) == mark}
        return [_Part(f"{self.uri}/{name}", inside, wide) for name, all_of in self.files.items() if (inside := all_of & fresh)]

    def add(self, cells: Cells, marks: Marks, wide: int) -> None:
        """Takes cells that were read after Elasticsearch told these fingerprints."""
        self.marks |= {interval: marks[interval] for interval in cells.intervals}
        left = {name: intervals.difference(cells.intervals) for name, intervals in self.files.items()}
        left = {name: intervals for name, intervals in left.items() if intervals}
        if len(left) >= PARTS:
            kept = [_Part(f"{self.uri}/{name}", intervals, wide).cells() for name, intervals in left.items()]
            cells, left = merge([cells, *kept]), {}
        self.files = {**left, _write(self.uri, cells): set(cells.intervals)}
        content = {
            "marks": [[interval, *mark] for interval, mark in sorted(self.marks.items())],
            "files": {name: sorted(intervals) for name, intervals in self.files.items()},
        }
        with whole(f"{self.uri}/{MANIFEST}") as file:
            file.write(orjson.dumps(content))


@dataclass
class _Part:
    """A file of the store, and the intervals that it counts for."""

    uri: str
    intervals: set[int]
    wide: int

    @cached_property
    def _meta(self) -> tuple[list[SplitKey], set[int]]:
        """All its keys, and all intervals that it was written for."""
        with _intact(self.uri), fsspec.open(self.uri, "rb") as file:
            keys, intervals = described(file)
            return keys, set(intervals)

    def keys(self, first: int, length: int) -> list[SplitKey]:
        """The series that have cells in `length` buckets from `first` on."""
        pairs, intervals = self._meta
        inside = first <= min(intervals) * self.wide and (max(intervals) + 1) * self.wide <= first + length
        if inside and intervals == self.intervals:
            return pairs
        return [pairs[row] for row in np.unique(self.cells(first, length).row)]

    def cells(self, first: int = 0, length: int | None = None) -> Cells:
        """Those of its cells that count, in `length` buckets from `first` on."""
        _, intervals = self._meta
        with _intact(self.uri), fsspec.open(self.uri, "rb") as file:
            content = file.read()
            if not self.uri.endswith(f"/{_name(content)}"):
                raise ValueError("not what was written")
            cells = decoded(content)
        if intervals != self.intervals:
            cells = cells.within(self.intervals, self.wide)
        outside = (cells.bucket < first) | (cells.bucket >= first + length) if length is not None else np.zeros(0, dtype=bool)
        return cells.where(~outside) if outside.any() else cells


@contextmanager
def _intact(uri: str) -> Iterator[None]:
    """Reads a file of the store.

    Raises:
        DataError: It is gone or damaged; Arrow has many words for that.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DataError("a file of the series store is damaged", where=uri, fix="Delete the folder that it is in.") from error


def _write(folder: str, cells: Cells) -> str:
    """Writes a new file and returns its name."""
    content = encoded(cells)
    name = _name(content)
    with whole(f"{folder}/{name}") as file:
        file.write(content)
    return name


def _name(content: bytes | pa.Buffer) -> str:
    """What a file with this content is called: so a damaged one is seen."""
    return f"{hashlib.blake2b(content, digest_size=16).hexdigest()}.parquet"


def counting(filesystem: fsspec.AbstractFileSystem, paths: Iterable[str]) -> set[str]:
    """Those of the store's files that count: manifests, and what they name. The others were superseded."""
    found = set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        if name == MANIFEST:
            found |= {path, *(f"{folder}/{file}" for file in _Day.load(filesystem.unstrip_protocol(folder)).files)}
    return found
