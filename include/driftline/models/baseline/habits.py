"""Habits: what a series does at the same time of each day, or week, and no smooth season follows: the minutes of a nightly job.

Prophet's seasons are a few waves. A spike of some minutes every night is no part of them, so its expectation would be wrong every
night; and as something that was often seen, it would hide what is rare at any other time.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.stats import binom

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Clocks = Sequence[tuple[NDArray[np.intp], NDArray[np.datetime64]]]  # series, and what their clocks showed (T,)
    Found = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]

DAY, KIND, WEEK = 86_400_000, 172_800_000, 604_800_000  # milliseconds; workdays and weekends are the two of a kind
LEAST = {DAY: 7, WEEK: 3}  # days that were seen, a weekend among them, or weeks; fewer make no habit
SHARE = 0.9  # of them on which it came: what is left out each weekend is a habit of five weekdays, not of the day
HALF = 0.5  # of its usual height counts as having come
ABOUT = 600_000  # what comes within ten minutes either side, or one bucket, comes about then …
TWICE = 2  # … in a bucket in which, or next to which, it came so often at least
CHANCE = 0.25  # how often bursts may be about there by chance, for a habit of all days
BY_CHANCE = 0.05  # … and for one at its very bucket, how many a series that has bursts at all times may be thought to have
TINY = 1e-6  # of its height a habit varies at least: where something varies, there is one
MOST = 4  # a quarter of the buckets at most: what moves more of them is no habit, but another shape
ROW, PERIOD, CLOCK, MOVED, SPREAD, LENGTH = range(6)
WIDTH, WHOLE, SHORT = 6, [ROW, PERIOD, CLOCK, LENGTH], "<f4"


@dataclass
class Habits:
    """Habits of the series of a fleet.

    Attributes:
        table: (H, 6) of each its series' number, its period and the time in it when it comes (ms since the epoch's midnight, a
            Thursday's), how far the series is from its curve then, in the model's space, the standard deviation of that, and how
            many ms it goes on. What comes about then has no height but that deviation; what is but the shape of the
            day or week has none.
    """

    table: Matrix = field(default_factory=lambda: np.empty((0, WIDTH)))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def vary(self) -> bool:
        """Whether any has a spread."""
        return bool(self.table[:, SPREAD].any())

    def moved(self, clocks: Clocks, size: int) -> Matrix:
        """(size, T) how far series are from their curves at the times of the day and week that their clocks show."""
        return self._laid(clocks, size, self.table[:, MOVED])

    def spread(self, clocks: Clocks, size: int) -> Matrix:
        """(size, T) the standard deviation that this has beyond the noise."""
        return np.sqrt(self._laid(clocks, size, self.table[:, SPREAD] ** 2))

    def _laid(self, clocks: Clocks, size: int, values: Vector) -> Matrix:
        """(size, T) the sum of the values (H,) of what comes then."""
        out = np.zeros((size, len(clocks[0][1])))
        for rows, local in clocks:
            theirs = np.isin(self.table[:, ROW], rows) & (values != 0)
            for period in np.unique(self.table[theirs, PERIOD]):
                mine = theirs & (self.table[:, PERIOD] == period)
                times, where = np.unique(clock_of(stamps_of(local), int(period)), return_inverse=True)
                first = np.searchsorted(times, self.table[mine, CLOCK])
                count = np.searchsorted(times, self.table[mine, CLOCK] + self.table[mine, LENGTH]) - first
                series, row = np.unique(self.table[mine, ROW].astype(np.intp), return_inverse=True)
                laid = np.zeros((len(series), len(times)))
                np.add.at(laid, (np.repeat(row, count), _ranges(first, count)), np.repeat(values[mine], count))
                out[series] += laid[:, where]
        return out

    def of(self, chosen: Flags) -> Habits:
        """Those of the chosen (n,) series."""
        return Habits(self.table[chosen[self.table[:, ROW].astype(np.intp)]])

    def placed(self, place: NDArray[np.intp]) -> Habits:
        """Those of some series, which have new numbers: `place` of the old one, -1 for those that are left out."""
        number = place[self.table[:, ROW].astype(np.intp)]
        table = self.table[number >= 0].copy()
        table[:, ROW] = number[number >= 0]
        return Habits(table)

    def packed(self) -> str:
        """The table as text: shapes of many series are alike, and a tenth as long as their numbers."""
        whole = np.diff(self.table[:, WHOLE].astype("<i8"), axis=0, prepend=0)
        heights = self.table[:, [MOVED, SPREAD]].astype(SHORT)
        return base64.b64encode(zlib.compress(whole.T.tobytes() + heights.T.tobytes())).decode()

    @classmethod
    def unpacked(cls, text: str) -> Habits:
        """The habits again."""
        data = zlib.decompress(base64.b64decode(text))
        count = len(data) // (8 * len(WHOLE) + 8)
        table, split = np.empty((count, WIDTH)), 8 * len(WHOLE) * count
        table[:, WHOLE] = np.frombuffer(data[:split], "<i8").reshape(len(WHOLE), count).T.cumsum(axis=0)
        table[:, [MOVED, SPREAD]] = np.frombuffer(data[split:], SHORT).reshape(2, count).T
        return cls(table)


def joined(some: Iterable[Habits]) -> Habits:
    """All of them as one."""
    return Habits(np.concatenate([Habits().table, *(each.table for each in some)]))


def find(residuals: Matrix, bursts: Flags, least: Vector, clocks: Clocks, span: int) -> Habits:
    """What series (n, T) do again and again at the same bucket of the day, or of the week, or about then each day.

    Args:
        residuals: Values less their curves, in the model's space; NaN where missing.
        bursts: Which of these are far off.
        least: (n,) how far off a habit is at least.
        clocks: What these showed at the buckets' starts.
        span: Of buckets, ms.
    """
    return joined(_find(residuals, bursts, least, rows[bursts[rows].any(axis=1)], local, span) for rows, local in clocks)


def _find(
    residuals: Matrix, bursts: Flags, least: Vector, rows: NDArray[np.intp], local: NDArray[np.datetime64], span: int
) -> Habits:
    if not len(rows):
        return Habits()
    left = np.pad(residuals[rows], ((0, 0), (0, 1)), constant_values=np.nan)
    far = np.pad(bursts[rows], ((0, 0), (0, 1)))
    taken, found = np.zeros_like(far), []
    places = {period: columns_of(stamps_of(local) % period // span) for period in LEAST}
    for look, period in ((_exact, DAY), (_about, DAY), (_exact, WEEK)):
        clocks, columns = places[period]
        known = (~np.isnan(left))[:, columns].sum(axis=2)
        known = np.where(known >= LEAST[period], known, 0)
        row, place, moved, spread = look(_Cells(left, far, taken, columns, known, least[rows]))
        kept = np.bincount(row, minlength=1)[row] <= len(clocks) / MOST
        row, place, moved, spread = row[kept], place[kept], moved[kept], spread[kept]
        found.append((row, period, clocks[place] * span, moved, spread, columns[place]))
        cells = row[:, None], columns[place]
        left[cells] -= moved[:, None]
        taken[cells] = True
        taken[:, -1] = False
        # there may be more of it on Saturdays; but how much comes about then is nothing that a week would tell
        far[cells] = (look is _exact) & (np.abs(left[cells]) > least[rows[row], None])
    return joined(
        rows_of(rows[row], period, clock, moved, _varied(left, row, cells, moved, spread), span)
        for row, period, clock, moved, spread, cells in found
    )


def _varied(left: Matrix, row: NDArray[np.intp], columns: NDArray[np.intp], moved: Vector, spread: Vector) -> Vector:
    """The spread of habits, that of their heights where it is not known: by what all habits together leave of them."""
    unknown = np.isnan(spread)
    if unknown.any():
        low, high = np.nanquantile(left[row[unknown, None], columns[unknown]], [0.1, 0.9], axis=1)
        spread[unknown] = np.maximum((high - low) / 2.563, TINY * np.abs(moved[unknown]))
    return spread


class _Cells(NamedTuple):
    """What is looked at.

    Attributes:
        left: (n, T + 1) residuals less what was found already; the last column is of nothing.
        far: (n, T + 1) bursts of these.
        taken: (n, T + 1) where something was found already.
        columns: (P, D) those of each time of the period.
        known: (n, P) how often a value is known; 0 where it is too seldom.
        least: (n,) how far off a habit is at least.
    """

    left: Matrix
    far: Flags
    taken: Flags
    columns: NDArray[np.intp]
    known: NDArray[np.int64]
    least: Vector


def _exact(of: _Cells) -> Found:
    """Rows and places of what comes at its very bucket, and how far it moves the series; how much that varies is still open."""
    row, place = np.nonzero((of.known > 0) & (of.far[:, of.columns].sum(axis=2) >= HALF * of.known))
    cells = of.left[row[:, None], of.columns[place]]
    if not cells.size:
        return row, place, np.empty(0), np.empty(0)
    moved = np.nanmedian(cells, axis=1)
    came = (cells * np.sign(moved)[:, None] > HALF * np.abs(moved)[:, None]).sum(axis=1)
    good = (np.abs(moved) > of.least[row]) & (came >= SHARE * of.known[row, place])
    row, place, moved, came = row[good], place[good], moved[good], came[good]
    # a series that has bursts at all times has some at the same time of each of a few weeks
    often = _elsewhere(of, row, place)[row]
    good = binom.sf(came - 1, of.known[row, place], often) * len(of.columns) <= BY_CHANCE
    return row[good], place[good], moved[good], np.full(good.sum(), np.nan)


def _elsewhere(of: _Cells, row: NDArray[np.intp], place: NDArray[np.intp]) -> Vector:
    """(n,) share of the values of each series that are about as far off as a habit is, but for these places."""
    other = ~np.isnan(of.left)
    other[row[:, None], of.columns[place]] = False
    much = np.abs(of.left) > HALF * of.least[:, None]
    return ((much & other).sum(axis=1) + 1) / (other.sum(axis=1) + 1)


def _about(of: _Cells) -> Found:
    """The same of what comes about then, on almost all days: each of its buckets may be so far off, or not at all."""
    exact = np.asarray(of.taken[:, of.columns].any(axis=2))
    reach, here = max(1, round(ABOUT * len(of.columns) / DAY)), of.far[:, of.columns] & ~exact[:, :, None]
    # what came at its very time came about then, too
    days = _any_around(here | of.taken[:, of.columns], reach).sum(axis=2)
    about = (of.known > 0) & (days >= SHARE * of.known)
    # of a series that has bursts at all times, they come about now by chance
    rare: Flags = 1 - (1 - here.sum(axis=(1, 2)) / max(1, here[:1].size)) ** (2 * reach + 1) <= CHANCE
    heights = np.where(here, np.abs(of.left[:, of.columns]), 0.0).max(axis=2, initial=0.0)
    often = np.asarray(sum(_around(here.sum(axis=2), 1)) >= TWICE)
    row, place = np.nonzero(_any_around(about, reach) & often & rare[:, None] & ~exact)
    return row, place, np.zeros(len(row)), HALF * np.maximum.reduce([*_around(heights, 1)])[row, place]


def _around(cells: NDArray[Any], reach: int) -> Iterator[NDArray[Any]]:
    """Cells (n, P, …) of the buckets up to `reach` before and after each of the day."""
    return (np.roll(cells, by, axis=1) for by in range(-reach, reach + 1))


def _any_around(cells: Flags, reach: int) -> Flags:
    """Whether any of these is so; one at a time, for at small spans they are many."""
    out = np.zeros_like(cells)
    for each in _around(cells, reach):
        out |= each
    return out


def clock_of(stamps: NDArray[np.int64], period: int) -> NDArray[np.int64]:
    """The time of the day or week; of a kind of day, that of a weekend is a day later."""
    if period != KIND:
        return stamps % period
    return stamps % DAY + np.where((stamps // DAY + 3) % 7 >= 5, DAY, 0)


def columns_of(places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """The different places (P,), ascending, and the columns of each (P, D); their number where there are no more."""
    different, where, count = np.unique(places, return_inverse=True, return_counts=True)
    order = np.argsort(where, kind="stable")
    nth = _ranges(np.zeros_like(count), count)
    columns = np.full((len(different), int(count.max(initial=0))), len(places), dtype=np.intp)
    columns[where[order], nth] = order
    return different, columns


def _ranges(first: NDArray[np.intp], count: NDArray[np.intp]) -> NDArray[np.intp]:
    """So many numbers from each first one on, one after the other."""
    return np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - first, count)


def rows_of(row: NDArray[np.intp], period: int, clock: NDArray[np.int64], moved: Vector, spread: Vector, length: int) -> Habits:
    """Habits of one period and length; their numbers are as they are kept."""
    moved, spread = (each.astype(SHORT).astype(np.float64) for each in (moved, spread))
    return Habits(np.column_stack([row, np.full(len(row), period), clock, moved, spread, np.full(len(row), length)]))


def stamps_of(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Milliseconds since the epoch."""
    return times.astype("datetime64[ms]").astype(np.int64)


def milliseconds(span: timedelta) -> int:
    """How long buckets are, in ms; at least one."""
    return max(1, span // timedelta(milliseconds=1))
