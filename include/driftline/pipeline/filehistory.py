"""The history of a plain file, looked at as `detect` looks at it, for a backtest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from driftline.core.errors import DataError, WindowError
from driftline.core.timespan import SECOND, format_span, iso
from driftline.pipeline.detect import Options, check_counts
from driftline.pipeline.history import History, largest, wanted
from driftline.pipeline.readings import EPOCH, MICROSECOND, aggregate, read_readings
from driftline.scoring.sentence import duration

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from driftline.pipeline.readings import Readings

# A file with a smaller share of buckets that hold anything, on both sides of a gap of most of its time, has a wrong stamp.
FILLED_LEAST = 0.01
VALUES_MOST = 100_000_000  # of a replay in memory: some gigabytes
# Of a series' largest value: what means of equal values differ by.
EQUAL = 1e-12


@dataclass
class _Taken:
    """The readings that are asked for, by series and time.

    Attributes:
        names: Of N series, in order.
        row, times, values: (R,) number of the series, microseconds since 1970, NaN where missing.
        first, last: (N,) each series' first and last time in the whole file.
    """

    names: list[str]
    row: NDArray[np.int64]
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


def of_file(
    path: str,
    options: Options = Options(),  # noqa: B008 - it is frozen
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    partitions: Sequence[str] = (),
    most: int | None = None,
) -> History:
    """The series of a CSV file: `timestamp,value`, or `unique_id,ds,y` for many.

    Without a span, buckets are as wide as most steps are. Each series is replayed as `detect` would do it.

    Raises:
        DataError: It is missing, has other columns, no readings, no complete bucket, or values that are no counts.
        WindowError: The options do not fit together.
    """
    _check_options(options)
    readings = read_readings(path, zone=options.zone, skip_bad=options.skip_bad, buckets=options.span is not None)
    if options.counts:
        check_counts(readings)
    span = round(options.span / MICROSECOND) if options.span else 0
    edges = _edge(start, span), _edge(end, span)
    taken = _taken(readings, *edges, partitions)
    span = span or _step(taken.row, taken.times)
    if not span:
        raise DataError("there are fewer than two readings", where=path, expected="a history, with --start and --end within it")
    first, grid, there = _grid(taken, span, options, edges, path)
    rows, notes = largest(grid, list(range(len(taken.names))), most, path)
    beside = int(((np.diff(taken.row) == 0) & (np.diff(taken.times // span) == 0) & (np.diff(taken.times) > 0)).sum())
    if beside and not options.span:
        wide = format_span(span * MICROSECOND)
        notes.append(f"readings beside another in a bucket of {wide}, where their mean is looked at: {beside}")
    labels = [taken.names[each] for each in rows]
    return History(
        path,
        EPOCH + first * span * MICROSECOND,
        span * MICROSECOND,
        grid[rows],
        np.full(len(rows), options.counts),
        labels,
        [{name} for name in labels],
        [*notes, *readings.notes, *_equal(grid[rows], options)],
        parts=_parts(there[rows]),
    )


def _check_options(options: Options) -> None:
    if options.span is not None and options.span < MICROSECOND:
        raise WindowError("a bucket lasts longer than 0", where="--bucket-span", expected="a span such as 5m or 1h")
    if options.span is None and options.function != Options.function:
        what = f"without buckets there is nothing to take the {options.function} of"
        raise WindowError(what, where="--function", fix="Give --bucket-span.")


def _edge(moment: datetime | None, span: int) -> int | None:
    """Microseconds since 1970, at the start of a bucket if it is known how wide they are: of whole ones, as of a job."""
    if moment is None:
        return None
    since = (moment - EPOCH) // MICROSECOND
    return since - since % span if span else since


def _taken(readings: Readings, least: int | None, past: int | None, partitions: Collection[str]) -> _Taken:
    times = readings.times.astype(np.int64)
    of = np.isin(readings.series, wanted([{name} for name in readings.names], partitions, readings.path)) & ~readings.bad
    inside = of & (times >= least if least is not None else True) & (times < past if past is not None else True)
    present = sorted(np.unique(readings.series[inside]).tolist(), key=readings.names.__getitem__)
    number = np.zeros(len(readings.names), dtype=np.int64)
    number[present] = np.arange(len(present))
    first, last = np.full(len(number), np.iinfo(np.int64).max), np.full(len(number), np.iinfo(np.int64).min)
    np.minimum.at(first, readings.series[of], times[of])
    np.maximum.at(last, readings.series[of], times[of])
    row, times = number[readings.series[inside]], times[inside]
    order = np.lexsort((times, row))
    names = [readings.names[each] for each in present]
    return _Taken(names, row[order], times[order], readings.values[inside][order], first[present], last[present])


def _grid(
    taken: _Taken, span: int, options: Options, edges: tuple[int | None, int | None], path: str
) -> tuple[int, NDArray[np.float64], NDArray[np.bool_]]:
    """The first bucket, counted from the epoch on; (N, T) values; and (N, T) which buckets each series has.

    With a span these are all from a series' first to its last, which is never complete; without one, those with readings.
    """
    row, column, values = taken.row, taken.times // span, taken.values
    begins, ends = taken.first // span, taken.last // span + (not options.span)
    full = column < ends[row]
    row, column, values = row[full], column[full], values[full]
    wide = format_span(span * MICROSECOND)
    if not len(column):
        what = f"there is no complete bucket of {wide}"
        raise DataError(what, where=path, expected="a bucket, and readings after it", fix="Give a smaller --bucket-span.")
    first, past = int(column.min()), int(column.max()) + 1
    if options.span:  # a silence at the edges counts, too
        least, most = edges
        first = int(begins.min()) if least is None else max(int(begins.min()), least // span)
        past = int(ends.max()) if most is None else min(int(ends.max()), most // span)
    count, width = len(taken.names), past - first
    if len(np.unique(column)) < FILLED_LEAST * width:
        _check_gap(np.unique(taken.times), f"nearly all of {width} buckets of {wide} are empty", path)
    if count * width > VALUES_MOST:
        what = f"{count} series of {width} buckets of {wide} are too much at once"
        raise DataError(what, where=path, fix="Give --start and --end, some with --partition, or a larger --bucket-span.")
    place = row * width + column - first
    grid = aggregate(place, values, count * width, options.function).reshape(count, width)
    if options.span:
        at = first + np.arange(width)
        there = (at >= begins[:, None]) & (at < ends[:, None])
    else:
        there = np.zeros((count, width), dtype=bool)
        there.flat[place] = True
    return first, np.where(there, grid, np.nan), there  # before a series begins, no rows are no 0


def _parts(there: NDArray[np.bool_]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Series with the same buckets: together with one that begins earlier, a series would not get what it gets alone."""
    alike: dict[bytes, list[int]] = {}
    for row, having in enumerate(there):
        alike.setdefault(np.packbits(having).tobytes(), []).append(row)
    return [(np.array(rows), np.flatnonzero(there[rows[0]])) for rows in alike.values() if there[rows[0]].any()]


def _equal(grid: NDArray[np.float64], options: Options) -> list[str]:
    """A note where all values of each series are equal: rows are events then, whose number would tell more."""
    for values in (each[~np.isnan(each)] for each in grid):
        if len(values) < 2 or np.ptp(values) > EQUAL * np.abs(values).max():
            return []
    which = f"all values of {'the' if len(grid) == 1 else 'each'} series are equal"
    if options.function == "count":
        return [f"{which}: there is nothing to find in them but gaps"]
    span = format_span(options.span) if options.span else "…"
    return [f"{which}: if each row is an event, count them with --bucket-span {span} --function count --counts"]


def _step(row: NDArray[np.int64], times: NDArray[np.int64]) -> int:
    """The usual step of most series, in microseconds; 0 where none has two readings."""
    steps = np.diff(times)
    taken = (np.diff(row) == 0) & (steps > 0)
    of, steps = row[1:][taken], steps[taken]
    parts = np.split(steps, np.flatnonzero(np.diff(of)) + 1)
    usual = [int(np.quantile(part, 0.5, method="lower")) for part in parts if len(part)]
    step = int(np.quantile(usual, 0.5, method="lower")) if usual else 0
    whole = round(step * MICROSECOND / SECOND) * (SECOND // MICROSECOND)
    return whole if abs(whole - step) <= 0.01 * step else step  # clocks are not as exact as that


def _check_gap(stamps: NDArray[np.int64], what: str, path: str) -> None:
    """Refuses few stamps that lie far from all others."""
    steps = np.diff(stamps)
    place = int(steps.argmax())
    if 2 * steps[place] < stamps[-1] - stamps[0]:
        return  # what is sparse is so all the time
    lonely = stamps[place] if 2 * (place + 1) <= len(stamps) else stamps[place + 1]
    away = duration(int(steps[place]) * MICROSECOND)
    raise DataError(
        f"{what}: {iso(EPOCH + int(lonely) * MICROSECOND)} lies {away} from its neighbour",
        where=path,
        fix="Mend the time stamp, or give --start and --end.",
    )
