"""Habits: what a series does at the same time of each day, or week, and no smooth season follows: the minutes of a nightly job.

Prophet's seasons are a few waves. A spike of some minutes every night is no part of them, so its expectation would be wrong every
night; and as something that was often seen, it would hide what is rare at any other time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Found = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]

DAY, WEEK = 86_400_000, 604_800_000  # milliseconds
LEAST = {DAY: 7, WEEK: 3}  # days that were seen, a weekend among them, or weeks; fewer make no habit
SHARE = 0.9  # of them on which it came: what is left out each weekend is a habit of five weekdays, not of the day
HALF = 0.5  # of its usual height counts as having come
ABOUT = 600_000  # what comes within ten minutes either side, or one bucket, comes about then …
TWICE = 2  # … in a bucket in which, or next to which, it came so often at least
CHANCE = 0.25  # how often bursts may be about there by chance, for a habit of all days
TINY = 1e-6  # of its height a habit varies at least: where something varies, there is one
MOST = 4  # a quarter of the buckets at most: what moves more of them is no habit, but another shape
ROW, PERIOD, CLOCK, MOVED, SPREAD = range(5)


@dataclass
class Habits:
    """Habits of the series of a fleet.

    Attributes:
        table: (H, 5) of each its series' number, its period and the time in it when it comes (ms since the epoch's midnight, a
            Thursday's), how far the series is from its curve then, in the model's space, and the standard deviation of that,
            which is never 0. What comes about then has no height but that.
    """

    table: Matrix = field(default_factory=lambda: np.empty((0, 5)))

    def __len__(self) -> int:
        return len(self.table)

    def moved(self, local: NDArray[np.datetime64], size: int) -> Matrix:
        """(size, T) how far series are from their curves at these times of the day and week."""
        out = np.zeros((size, len(local)))
        for rows, columns, some in self._at(local):
            out[np.ix_(rows, columns)] += some[:, MOVED, None]
        return out

    def spread(self, local: NDArray[np.datetime64], size: int) -> Matrix:
        """(size, T) the standard deviation that this has beyond the noise."""
        out = np.zeros((size, len(local)))
        for rows, columns, some in self._at(local):
            out[np.ix_(rows, columns)] = np.hypot(out[np.ix_(rows, columns)], some[:, SPREAD, None])
        return out

    def _at(self, local: NDArray[np.datetime64]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], Matrix]]:
        """Series, the columns of `local`, and their habits, of each time of the day or week."""
        stamps = local.astype("datetime64[ms]").astype(np.int64)
        for period in np.unique(self.table[:, PERIOD]):
            mine = self.table[self.table[:, PERIOD] == period]
            clocks, columns = _columns(stamps, int(period))
            for clock in np.unique(mine[:, CLOCK]):
                place = int(np.searchsorted(clocks, clock))
                if place < len(clocks) and clocks[place] == clock:
                    some = mine[mine[:, CLOCK] == clock]
                    found = columns[place]
                    yield some[:, ROW].astype(np.intp), found[found < len(local)], some

    def placed(self, place: NDArray[np.intp]) -> Habits:
        """Those of some series, which have new numbers: `place` of the old one, -1 for those that are left out."""
        number = place[self.table[:, ROW].astype(np.intp)]
        table = self.table[number >= 0].copy()
        table[:, ROW] = number[number >= 0]
        return Habits(table)


def joined(some: Iterable[Habits]) -> Habits:
    """All of them as one."""
    return Habits(np.concatenate([Habits().table, *(each.table for each in some)]))


def find(residuals: Matrix, bursts: Flags, least: NDArray[np.float64], local: NDArray[np.datetime64]) -> Habits:
    """What series (n, T) do again and again at the same bucket of the day, or of the week, or about then each day.

    Args:
        residuals: Values less their curves, in the model's space; NaN where missing.
        bursts: Which of these are far off.
        least: (n,) how far off a habit is at least.
        local: (T,) what clocks showed at the buckets' starts.
    """
    rows = np.flatnonzero(bursts.any(axis=1))
    if not len(rows):
        return Habits()
    left = np.pad(residuals[rows], ((0, 0), (0, 1)), constant_values=np.nan)
    far = np.pad(bursts[rows], ((0, 0), (0, 1)))
    came, stamps, found = far.copy(), local.astype("datetime64[ms]").astype(np.int64), []
    places = {period: _columns(stamps, period) for period in LEAST}
    for looks, period in ((_exact, DAY), (_about, DAY), (_exact, WEEK)):
        clocks, columns = places[period]
        known = (~np.isnan(left))[:, columns].sum(axis=2)
        known = np.where(known >= LEAST[period], known, 0)
        row, place, moved, spread = looks(_Cells(left, far, came, columns, known, least[rows]))
        kept = np.bincount(row, minlength=1)[row] <= len(clocks) / MOST
        row, place, moved, spread = row[kept], place[kept], moved[kept], spread[kept]
        found.append(np.column_stack([rows[row], np.full(len(row), period), clocks[place], moved, spread]))
        # what is found is no more left
        cells = row[:, None], columns[place]
        left[cells] -= moved[:, None]
        far[cells] = False
    return Habits(np.concatenate(found))


class _Cells(NamedTuple):
    """What is looked at.

    Attributes:
        left: (n, T + 1) residuals less what was found already; the last column is of nothing.
        far: (n, T + 1) bursts of these.
        came: (n, T + 1) bursts, found already or not.
        columns: (P, D) those of each time of the period.
        known: (n, P) how often a value is known; 0 where it is too seldom.
        least: (n,) how far off a habit is at least.
    """

    left: Matrix
    far: Flags
    came: Flags
    columns: NDArray[np.intp]
    known: NDArray[np.int64]
    least: NDArray[np.float64]


def _exact(of: _Cells) -> Found:
    """Rows and places of what comes at its very bucket, how far it moves the series, and how much that varies."""
    row, place = np.nonzero((of.known > 0) & (of.far[:, of.columns].sum(axis=2) >= HALF * of.known))
    cells = of.left[row[:, None], of.columns[place]]
    if not cells.size:
        return row, place, np.empty(0), np.empty(0)
    moved = np.nanmedian(cells, axis=1)
    came = (cells * np.sign(moved)[:, None] > HALF * np.abs(moved)[:, None]).sum(axis=1)
    good = (np.abs(moved) > of.least[row]) & (came >= SHARE * of.known[row, place])
    row, place, moved, cells = row[good], place[good], moved[good], cells[good]
    low, high = np.nanquantile(cells, [0.1, 0.9], axis=1) if len(row) else np.empty((2, 0))
    return row, place, moved, np.maximum((high - low) / 2.563, TINY * np.abs(moved))


def _about(of: _Cells) -> Found:
    """The same of what comes about then, on almost all days: each of its buckets may be so far off, or not at all."""
    reach, here = max(1, round(ABOUT * len(of.columns) / DAY)), of.far[:, of.columns]
    days = _any_around(of.came[:, of.columns], reach).sum(axis=2)
    about = (of.known > 0) & (days >= SHARE * of.known)
    # of a series that has bursts at all times, they come about now by chance
    rare = 1 - (1 - here.sum(axis=(1, 2)) / max(1, here[:1].size)) ** (2 * reach + 1) <= CHANCE
    heights = np.where(here, np.abs(of.left[:, of.columns]), 0.0).max(axis=2, initial=0.0)
    often = sum(_around(here.sum(axis=2), 1)) >= TWICE
    exact = (of.came & ~of.far)[:, of.columns].any(axis=2)
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


def _columns(stamps: NDArray[np.int64], period: int) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Times of the period (P,), ascending, and of each its columns (P, D); their number where there are no more."""
    clocks, where, count = np.unique(stamps % period, return_inverse=True, return_counts=True)
    order = np.argsort(where, kind="stable")
    nth = np.arange(len(stamps)) - np.repeat(np.cumsum(count) - count, count)
    columns = np.full((len(clocks), int(count.max(initial=0))), len(stamps), dtype=np.intp)
    columns[where[order], nth] = order
    return clocks, columns
