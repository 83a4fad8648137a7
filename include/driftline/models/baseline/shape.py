"""The shape of days and weeks, where Prophet's smooth seasons do not follow it: office hours, a run of hours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from driftline.models.baseline.habits import (
    CLOCK,
    DAY,
    KIND,
    PERIOD,
    ROW,
    SPREAD,
    WEEK,
    Habits,
    clock_of,
    columns_of,
    joined,
    rows_of,
    stamps_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.models.baseline.habits import Clocks, Matrix, Vector

    Cells = NDArray[np.float64]
    Numbers = NDArray[np.int64]

LEAST = {DAY: 3, KIND: 4, WEEK: 3}  # days, two weekends, or weeks that were seen; fewer tell no shape
STEP = 900_000  # it is known to a quarter of an hour, or a bucket
SURE = 4.5  # standard errors, about, that it is from nothing at least …
LITTLE = 0.25  # … and this part of a bucket's least noise: of few events the middle is not quite the mean
AGREED = 0.7  # of the days lie on that side: all of three, five of seven
QUARTERS = 1.349  # standard deviations between the quartiles of a normal law


def shape(residuals: Matrix, floor: Vector, clocks: Clocks, span: int) -> Habits:
    """What the smooth seasons of series leave of the shape of each day, workday or weekend, and of each week.

    It is the mean of the middle half of all days or weeks, where that is not likely to come from noise.

    Args:
        residuals: (n, T) values less their curves, in the model's space; NaN where missing.
        floor: (n,) least noise of a bucket.
        clocks: What these showed at the buckets' starts.
        span: Of buckets, ms.
    """
    return joined(_shape(_Steps.of(residuals[rows], floor[rows], local, span)).placed(rows) for rows, local in clocks)


def own_part(residuals: Matrix, habits: Habits, clocks: Clocks, span: int) -> Matrix:
    """(n, T) by how much its own day has moved what a shape expects of each value.

    A mean of three days is farther from a fourth than from these. Noise that is measured on days from which a shape was learned
    would be too little, the more so the fewer they are.

    Args:
        residuals: (n, T) values less what is expected of them, in the model's space; NaN where missing.
        habits: Of the n series.
        clocks: What these showed at the buckets' starts.
        span: Of buckets, ms.
    """
    out = np.zeros(residuals.shape)
    table = habits.table[habits.table[:, SPREAD] == 0]
    for rows, local in clocks:
        mine = rows[np.isin(rows, table[:, ROW])]
        if len(mine):
            of = _Steps.of(residuals[mine], np.zeros(len(mine)), local, span)
            number = np.full(len(residuals), -1)
            number[mine] = np.arange(len(mine))
            part = _own_part(of, Habits(table).placed(number))
            out[mine] = part[:, np.searchsorted(of.stamps, _step_of(local, span))]
    return out


@dataclass
class _Steps:
    """Series in steps of a quarter of an hour, or a bucket.

    Attributes:
        left: (n, B) what is left of their residuals; NaN where missing.
        stamps: (B,) when steps begin, in ms of their clocks.
        length: Of a step, ms.
        bucket: (n, 1) least noise of a bucket.
        least: (n, 1) least noise of a step.
    """

    left: Matrix
    stamps: Numbers
    length: int
    bucket: Matrix
    least: Matrix

    @classmethod
    def of(cls, residuals: Matrix, floor: Vector, local: NDArray[np.datetime64], span: int) -> _Steps:
        length, (steps, columns) = max(span, STEP), columns_of(_step_of(local, span))
        bucket = floor[:, None]
        # bursts of minutes are no part of a step's middle
        return cls(_middle(_sorted(residuals, columns)), steps, length, bucket, bucket / np.sqrt(columns.shape[1]))

    def places(self, period: int) -> tuple[Numbers, NDArray[np.intp]]:
        """Times of the period (P,), in steps, and the steps (P, D) of each."""
        return columns_of(clock_of(self.stamps, period) // self.length)

    def most(self, apart: Matrix) -> Matrix:
        """(n, 1) what most of these standard deviations (n, P) are."""
        return np.fmax(_middle(np.sort(apart)[:, None]), self.least)


def _step_of(local: NDArray[np.datetime64], span: int) -> Numbers:
    """(T,) when the step of each bucket begins, in ms of its clock."""
    stamps = stamps_of(local)
    return stamps if span >= STEP else stamps // STEP * STEP


def _own_part(of: _Steps, habits: Habits) -> Matrix:
    """(n, B) how far each step has moved the finest shape there; 0 where there is none."""
    out, left = np.zeros(of.left.shape), np.pad(of.left, ((0, 0), (0, 1)), constant_values=np.nan)
    for period in LEAST:
        clocks, columns = of.places(period)
        theirs = habits.table[habits.table[:, PERIOD] == period]
        row, place = theirs[:, ROW].astype(np.intp), np.searchsorted(clocks * of.length, theirs[:, CLOCK])
        cells = left[row[:, None], columns[place]]
        part, (there, day) = _own(cells), np.nonzero(~np.isnan(cells))
        out[row[there], columns[place[there], day]] = part[there, day]
    return out


def _shape(of: _Steps) -> Habits:
    return joined(_taken(of, period) for period in LEAST)


def _taken(of: _Steps, period: int) -> Habits:
    """What series do at each time of the period, which is taken from what is left of them."""
    clocks, columns = of.places(period)
    cells = _sorted(of.left, columns)
    known, moved, apart = (~np.isnan(cells)).sum(axis=2), _middle(cells), _apart(cells)
    noise = of.most(apart)
    if period == WEEK:  # some hours have more: a few weeks would not tell, but the seven days together do
        hour, days = np.unique(clocks * of.length % DAY, return_inverse=True)[1], columns_of(clocks * of.length % DAY)[1]
        noise = np.fmax(noise, _middle(_sorted(apart, days))[:, hour])
    least = np.maximum(SURE * noise / np.sqrt(np.maximum(known, 1)), LITTLE * of.bucket)
    # what some days have and others have not is no shape
    agreed = (cells * np.sign(moved)[:, :, None] > 0).sum(axis=2) >= AGREED * known
    row, place = np.nonzero((known >= LEAST[period]) & (np.abs(moved) > least) & agreed)
    moved = moved[row, place]
    for column in columns[place].T:
        inside = column < of.left.shape[1]
        of.left[row[inside], column[inside]] -= moved[inside]
    return rows_of(row, period, clocks[place] * of.length, moved, np.zeros(len(row)), of.length)


def _apart(cells: Cells) -> Matrix:
    """(n, P) standard deviations of sorted cells (n, P, D), by their middle half; NaN of fewer than two."""
    known = (~np.isnan(cells)).sum(axis=2)
    apart = _quantile(cells, known, 0.75) - _quantile(cells, known, 0.25)
    # of few values, the quartiles between which a line is drawn are too near
    return np.where(known > 1, apart / (QUARTERS * (1 - 1.15 / np.maximum(known, 2))), np.nan)


def _sorted(values: Matrix, columns: NDArray[np.intp]) -> Cells:
    """(n, P, D) values (n, T) at columns, of which T is NaN; ascending, what is missing last."""
    cells = np.pad(values, ((0, 0), (0, 1)), constant_values=np.nan)[:, columns]
    cells.sort(axis=2)
    return cells


def _middle(cells: Cells) -> Matrix:
    """(n, P) mean of the middle half of sorted cells (n, P, D); NaN where none is known."""
    if cells.shape[2] == 1:
        return cells[:, :, 0]
    known = (~np.isnan(cells)).sum(axis=2)
    return np.where(known > 0, (np.nan_to_num(cells) * _weights(cells.shape[2])[known]).sum(axis=2), np.nan)


def _weights(most: int) -> Matrix:
    """(most + 1, most) of sorted values in the mean of their middle half, of none of them to all."""
    rank, count = np.arange(most), np.arange(most + 1)[:, None]
    weights = np.clip(rank + 1 - count / 4, 0, 1) - np.clip(rank + 1 - 3 * count / 4, 0, 1)
    return np.asarray(weights / np.maximum(count / 2, 0.5))


def _own(cells: Matrix) -> Matrix:
    """(n, D) how far the middle of cells is from that of the others of them; 0 where there are no others."""
    order = np.argsort(cells, axis=1)
    ordered, known = np.nan_to_num(np.take_along_axis(cells, order, 1)), (~np.isnan(cells)).sum(axis=1)
    weights = _weights(cells.shape[1])
    fewer = weights[np.maximum(known - 1, 0)]
    below, above = fewer * ordered, np.roll(fewer, 1, axis=1) * ordered  # the others' ranks, below and above each
    others = below.cumsum(axis=1) - below + above.sum(axis=1, keepdims=True) - above.cumsum(axis=1)
    moved = np.where(known[:, None] > 1, (weights[known] * ordered).sum(axis=1, keepdims=True) - others, 0.0)
    out = np.empty(cells.shape)
    np.put_along_axis(out, order, moved, 1)
    return out


def _quantile(cells: Cells, known: Numbers, share: float) -> Matrix:
    """(n, P) quantile of sorted cells (n, P, D), of which the first so many are known."""
    last = np.maximum(known - 1, 0)
    low = np.floor(last * share).astype(np.intp)
    below, above = (np.take_along_axis(cells, each[:, :, None], axis=2)[:, :, 0] for each in (low, np.minimum(low + 1, last)))
    return np.asarray(below + (last * share - low) * (above - below))
