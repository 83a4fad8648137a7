"""Residuals: how far values are from their model, in units of the noise that is usual at their level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from driftline.scoring.settings import LEVEL_BLOCKS, LEVEL_LEAST, NOISE_BINS, SPARSE_FLOOR, SQRT_FLOOR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


def noise_law(residuals: Matrix, mean: Matrix, floor: NDArray[np.float64], sqrt: NDArray[np.bool_]) -> Matrix:
    """(N, 2) a and b of each series' variance a + b mean²: what is constant, and what grows with the level.

    In square roots a count has a = 1/4 by chance alone, and b for all that multiplies it. Other series get b = 0: there is no law
    that their noise has to follow, and a line through some bins would be noise itself. Robust: the squared median absolute
    deviation in bins of the level, with a line through them, both parts at least 0.

    Args:
        residuals: (N, T), NaN where there is no value.
        mean: (N, T) the model's expectation, in its space; also where there is no value.
        floor: (N,) least standard deviation.
        sqrt: (N,) which series are modelled as square roots.
    """
    out = np.column_stack([np.maximum(1.4826 * absolute_quantile(residuals, 0.5), floor) ** 2, np.zeros(len(floor))])
    if sqrt.any():
        rows = slice(None) if sqrt.all() else sqrt
        out[rows] = _line(residuals[rows], mean[rows], floor[rows])
    return out


def _line(residuals: Matrix, mean: Matrix, floor: NDArray[np.float64]) -> Matrix:
    """(N, 2) intercept and slope of the variance over the squared expectation."""
    count, width = residuals.shape
    bins = int(min(NOISE_BINS, max(1, width // 50)))
    order = np.argsort(mean, axis=1)
    ordered, level = np.take_along_axis(residuals, order, 1), np.take_along_axis(mean, order, 1)
    variance, square, known = (np.empty((count, bins)) for _ in range(3))
    for place, part in enumerate(np.array_split(np.arange(width), bins)):
        variance[:, place] = (1.4826 * absolute_quantile(ordered[:, part], 0.5)) ** 2
        square[:, place] = (level[:, part] ** 2).mean(axis=1)
        known[:, place] = (~np.isnan(ordered[:, part])).mean(axis=1)
    variance = np.maximum(variance, floor[:, None] ** 2)
    # the error of a variance is in proportion to it, and to how few values it is of; of no values at all, no law matters
    weight = (variance / variance.max(axis=1, keepdims=True)) ** -2.0 * np.maximum(known, 1e-9)
    weight /= weight.sum(axis=1, keepdims=True)
    x, y = (weight * square).sum(axis=1), (weight * variance).sum(axis=1)
    dx, dy = square - x[:, None], variance - y[:, None]
    spread = (weight * dx**2).sum(axis=1)
    b = np.divide((weight * dx * dy).sum(axis=1), spread, out=np.zeros(count), where=spread > 0)
    b = np.clip(b, 0.0, np.divide(y, x, out=np.zeros(count), where=x > 0))
    return np.column_stack([np.maximum(y - b * x, 0.0), b])


def deviation(law: Matrix, mean: Matrix, floor: Matrix, sqrt: NDArray[np.bool_]) -> Matrix:
    """(N, T) standard deviation at each expectation; at least the floor, which shrinks for counts expected below one."""
    least = np.broadcast_to(floor[:, None], mean.shape)
    if sqrt.any():
        scarce = np.clip(mean / SQRT_FLOOR * floor[:, None], SPARSE_FLOOR * floor[:, None], floor[:, None])
        least = np.where(sqrt[:, None], scarce, least)
    return np.maximum(np.sqrt(law[:, :1] + law[:, 1:] * mean**2), least)


def steps(mean: Matrix, sqrt: NDArray[np.bool_], whole: NDArray[np.bool_]) -> Matrix:
    """(N, T) the least change that values can make at each expectation, in the model's space; 0 where there is none.

    Args:
        mean: (N, T) the model's expectation, in its space.
        sqrt: (N,) which series are square roots of counts.
        whole: (N,) which others are whole numbers.
    """
    level = np.maximum(mean, 0.0)
    return np.where(sqrt[:, None], 1.0 / (np.sqrt(level**2 + 1.0) + level), np.where(whole[:, None], 1.0, 0.0))


def running_level(residuals: Matrix, block: int, unit: Matrix | None = None) -> Matrix:
    """(N, T) where the residuals have settled lately: median of the means of eight blocks, the newest of which is left out.

    With units (N, T), as a factor of these: the sum of a block's residuals over that of its units.

    So an incident shorter than some blocks does not count as a level, what has just begun is still news, and a change is learned
    after about five blocks. 0 until half of the blocks are known.
    """
    count, width = residuals.shape
    known = ~np.isnan(residuals)
    total = np.cumsum(np.pad(np.where(known, residuals, 0.0), ((0, 0), (1, 0))), axis=1)
    seen = np.cumsum(np.pad(np.where(known, 1.0 if unit is None else unit, 0.0), ((0, 0), (1, 0))), axis=1)
    means = np.full((LEVEL_BLOCKS, count, width), np.inf)
    for number in range(1, LEVEL_BLOCKS + 1):
        # the block of bucket t ends `number` blocks before it
        first = number * block + block - 1
        if first >= width:
            break
        end, begin = slice(block, block + width - first), slice(0, width - first)
        amount = seen[:, end] - seen[:, begin]
        mean = np.divide(total[:, end] - total[:, begin], amount, out=np.full(amount.shape, np.inf), where=amount > 0)
        means[number - 1, :, first:] = mean
    means.sort(axis=0)  # unknown blocks last
    blocks = np.isfinite(means).sum(axis=0)
    low, high = np.maximum(blocks - 1, 0) // 2, blocks // 2
    middle = [np.take_along_axis(means, np.minimum(place, LEVEL_BLOCKS - 1)[None], axis=0)[0] for place in (low, high)]
    enough = blocks >= LEVEL_LEAST
    return np.where(enough, (np.where(enough, middle[0], 0.0) + np.where(enough, middle[1], 0.0)) / 2, 0.0)


def absolute_quantile(values: Matrix, q: float) -> Matrix:
    """(N,) quantiles of the absolute values (N, T) without NaN, linear between two; 0 for rows of nothing else.

    One sort of whole rows, NaN last: many times faster than numpy's own for rows with gaps.
    """
    if not values.size:
        return np.zeros(len(values))
    ordered = np.sort(np.abs(values), axis=1)
    count = values.shape[1] - np.isnan(values).sum(axis=1)
    place = q * np.maximum(count - 1, 0)
    low = place.astype(np.intp)
    rows = np.arange(len(values))
    left, right = ordered[rows, low], ordered[rows, np.minimum(low + 1, np.maximum(count - 1, 0))]
    return np.where(count > 0, left + (right - left) * (place - low), 0.0)
