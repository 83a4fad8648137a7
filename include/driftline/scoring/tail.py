"""Tail probability: how rare a statistic is among its own past, and beyond it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from driftline.scoring.settings import (
    BULK,
    LN10,
    TAIL_LEAST,
    TAIL_SHAPE,
    TAIL_SHAPE_MOST,
    TAIL_SHARE,
    TAIL_TRUST,
    TAIL_WIDTH_LEAST,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


@dataclass
class Tail:
    """The upper tail of a statistic of N series: quantiles of the bulk, and a generalised Pareto law beyond the last.

    Attributes:
        knots: (N, K + 1) quantiles at the upper probabilities BULK, and where the fitted tail begins.
        share: (N,) probability of the fitted tail.
        width: (N,) its scale.
        shape: (N,) its shape, 0 for an exponential tail.
    """

    knots: Matrix
    share: Matrix
    width: Matrix
    shape: Matrix

    def surprise(self, values: Matrix) -> Matrix:
        """(N, T) −log10 of the probability of values at least as large; 0 where there are none, or no past to compare with."""
        last = -np.log10(self.share)[:, None]  # of few values it comes before the bulk's
        levels = np.column_stack([np.minimum(-np.log10(BULK), last), last])
        out = np.where(values > self.knots[:, :1], levels[:, :1], 0.0)
        for low, high in itertools.pairwise(range(levels.shape[1])):
            left, right = self.knots[:, [low]], self.knots[:, [high]]
            part = np.divide(values - left, right - left, out=(values > left).astype(np.float64), where=right > left)
            out += np.clip(part, 0.0, 1.0) * (levels[:, [high]] - levels[:, [low]])
        beyond = np.maximum(values - self.knots[:, -1:], 0.0) / self.width[:, None]
        curved = np.maximum(self.shape, 1e-6)[:, None]
        out += np.log1p(curved * beyond) / curved / LN10
        return np.where(np.isnan(values) | np.isnan(self.knots[:, -1:]), 0.0, out)

    def numbers(self) -> Matrix:
        """(N, K + 4) all of it as numbers."""
        return np.column_stack([self.knots, self.share, self.width, self.shape])

    @classmethod
    def from_numbers(cls, numbers: Matrix) -> Tail:
        """The same again."""
        return cls(numbers[:, :-3], numbers[:, -3], numbers[:, -2], numbers[:, -1])


def fit_tail(past: Matrix, least: NDArray[np.float64] | float = TAIL_WIDTH_LEAST) -> Tail:
    """The tails of statistics (N, T), NaN where unknown. Rows with too few values surprise nobody: their knots are NaN.

    The scale and shape of the tail come from the moments of the excesses; the shape is drawn towards TAIL_SHAPE, as a few dozen
    excesses tell little about it.

    Args:
        past: (N, T), NaN where unknown.
        least: The least scale, for all or (N,) for each.
    """
    ordered = np.sort(past, axis=1)  # NaN last
    count = past.shape[1] - np.isnan(past).sum(axis=1)
    rows = np.arange(len(past))
    excess = np.minimum(np.maximum(TAIL_LEAST, (count * TAIL_SHARE).astype(np.intp)), np.maximum(count - 1, 0))
    few = count < 2 * TAIL_LEAST
    last = np.maximum(count - 1 - excess, 0)
    begin = ordered[rows, last]
    share = (excess + 1.0) / (count + 1.0)
    places = [np.minimum(((1 - q) * np.maximum(count - 1, 0)).astype(np.intp), last) for q in BULK]
    knots = np.column_stack([*(ordered[rows, place] for place in places), begin])
    above = np.where(np.arange(past.shape[1])[None] > last[:, None], ordered - begin[:, None], 0.0)
    above = np.nan_to_num(above, nan=0.0)
    amount = np.maximum(excess, 1)
    mean = above.sum(axis=1) / amount
    variance = np.maximum((above**2).sum(axis=1) / amount - mean**2, 0.0)
    by_moments = 0.5 * (1 - np.divide(mean**2, variance, out=np.ones(len(past)), where=variance > 0))
    shape = (excess * np.clip(by_moments, 0.0, TAIL_SHAPE_MOST) + TAIL_TRUST * TAIL_SHAPE) / (excess + TAIL_TRUST)
    width = np.maximum(mean * (1 - shape), least)
    knots[few] = np.nan
    return Tail(knots, share, width, shape)
