"""Residuals: how far values are from their model, in units of the noise that is usual at their level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from driftline.scoring.settings import (
    FAR,
    LEVEL_BLOCKS,
    LEVEL_LEAST,
    LOG_LEAST,
    NOISE_BINS,
    QUIET_BIN,
    RELATIVE_FLOOR,
    ROOT_LEAST,
    SPARSE_FLOOR,
    SQRT_FLOOR,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

PLAIN, LOG, ROOT = 0, 1, 2
"""Forms that values are looked at in: as they are in the model's space, as logarithms, as square roots."""
TINY = 1e-18  # least noise of what was always 0: its square is kept in four bytes


def usual_size(sizes: Matrix | None, known: NDArray[np.bool_], sqrt: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N,) of how many documents a value usually is (the harmonic mean, as variances go); 0 where its noise does not hang on it.

    Args:
        sizes: (N, T) of how many documents each value is a mean; NaN for what is none.
        known: (N, T) where there is a value.
        sqrt: (N,) which series are square roots: their noise has another law.
    """
    if sizes is None:
        return np.zeros(len(sqrt))
    there = known & (sizes > 0) & ~sqrt[:, None]
    inverse = np.divide(1.0, sizes, out=np.zeros(sizes.shape), where=there).sum(axis=1)
    return np.asarray(np.divide(there.sum(axis=1), inverse, out=np.zeros(len(sqrt)), where=inverse > 0), dtype=np.float64)


def noise_level(mean: Matrix, sizes: Matrix | None, size: NDArray[np.float64], roots: NDArray[np.bool_]) -> Matrix:
    """(N, T) what a series' variance is linear in the square of: its expectation, or of means of documents 1/√their number.

    The latter in units of the usual `size` (N,): 1 where a value is of as many as usual, and where that is not known. The former
    of what is looked at as `roots` (N,) as one.
    """
    rows = size > 0
    if not (rows | roots).any():
        return mean
    out = mean.copy()
    out[roots] = np.sqrt(np.maximum(out[roots], 0.0))
    out[rows] = 1.0
    if sizes is not None:
        ratio = np.divide(size[rows, None], sizes[rows], out=np.ones(sizes[rows].shape), where=sizes[rows] > 0)
        out[rows] = np.sqrt(ratio)
    return out


def in_form(space: Matrix, least: NDArray[np.float64], form: NDArray[np.int8]) -> Matrix:
    """Values (N, T), those of some series in a form whose noise is less skewed, or the same at all levels.

    Args:
        space: Values in the model's space.
        least: (N,) the least value that was seen: of logarithms, what is far less counts as little less.
        form: (N,) codes: PLAIN, LOG, ROOT.
    """
    logs, roots = form == LOG, form == ROOT
    if not (logs | roots).any():
        return space
    out = space.copy()
    out[logs] = np.log(np.maximum(space[logs], LOG_LEAST * least[logs, None]))
    # what was never negative may become so: it lies as far below nothing
    out[roots] = np.sign(space[roots]) * np.sqrt(np.abs(space[roots]))
    return out


def within_reach(space: Matrix, mean: Matrix, sd: Matrix) -> Matrix:
    """Values (N, T), none farther than FAR from its expectation: running sums keep their digits, and what is so far is so far."""
    return np.asarray(np.clip(space, mean - FAR * sd, mean + FAR * sd))


def expected_in_form(
    mean: Matrix, sd: Matrix, least: NDArray[np.float64], shift: NDArray[np.float64], form: NDArray[np.int8]
) -> Matrix:
    """(N, T) what is expected in the form of `in_form`: half the square of the noise below a logarithm, its square below a root.

    Args:
        mean: The model's expectations, in its space.
        sd: (N, T) the noise in that form.
        least: (N,) the least value that was seen: no logarithm of less is expected.
        shift: (N,) what is added: a model's mean of what is more skewed than its law is drawn away from most values.
        form: (N,) codes.
    """
    logs, roots = form == LOG, form == ROOT
    if not (logs | roots).any():
        return mean
    out, level = mean.copy(), np.maximum(mean[roots], 0.0)
    out[logs] = np.log(np.maximum(mean[logs], least[logs, None])) - sd[logs] ** 2 / 2 + shift[logs, None]
    out[roots] = np.sqrt(np.maximum(level - sd[roots] ** 2, ROOT_LEAST * level)) + shift[roots, None]
    return out


def of_form(shown: Matrix, form: NDArray[np.int8]) -> Matrix:
    """(N, T) what is so in a form, in the model's space; changed in place."""
    logs, roots = form == LOG, form == ROOT
    shown[logs] = np.exp(shown[logs])
    shown[roots] = np.maximum(shown[roots], 0.0) ** 2
    return shown


def noise_law(residuals: Matrix, level: Matrix, floor: NDArray[np.float64], lined: NDArray[np.bool_]) -> Matrix:
    """(N, 2) a and b of each series' variance a + b level²: what is constant, and what grows with the level.

    In square roots a count has a = 1/4 by chance alone, and b for all that multiplies it. A mean of documents has b by chance
    alone, and a for what moves all of them. Other series get b = 0: there is no law that their noise has to follow, and a line
    through some bins would be noise itself. Robust: the squared median absolute deviation in bins of the level, with a line
    through them, both parts at least 0.

    Args:
        residuals: (N, T), NaN where there is no value.
        level: (N, T) as of `noise_level`; also where there is no value.
        floor: (N,) least standard deviation.
        lined: (N,) which series have such a law.
    """
    out = np.column_stack([np.maximum(1.4826 * absolute_quantile(residuals, 0.5), floor) ** 2, np.zeros(len(floor))])
    if lined.any():
        rows = slice(None) if lined.all() else lined
        out[rows] = _line(residuals[rows], level[rows], floor[rows])
    return out


def _line(residuals: Matrix, level: Matrix, floor: NDArray[np.float64]) -> Matrix:
    """(N, 2) intercept and slope of the variance over the squared level."""
    count, width = residuals.shape
    bins = int(min(NOISE_BINS, max(1, width // 50)))
    missing = np.isnan(residuals)
    if missing.any():  # all bins are of as many values: missing ones go last, and are left out; of none at all, no law matters
        order = np.argsort(np.where(missing, np.nan, level), axis=1)
        order = np.take_along_axis(order, np.arange(width) * (width - missing.sum(axis=1, keepdims=True)) // width, 1)
    else:
        order = np.argsort(level, axis=1)
    ordered, level = np.take_along_axis(residuals, order, 1), np.take_along_axis(level, order, 1)
    variance, square = (np.empty((count, bins)) for _ in range(2))
    for place, part in enumerate(np.array_split(np.arange(width), bins)):
        variance[:, place] = (1.4826 * absolute_quantile(ordered[:, part], 0.5)) ** 2
        square[:, place] = (level[:, part] ** 2).mean(axis=1)
    variance = np.maximum(variance, floor[:, None] ** 2)
    # the error of a variance is in proportion to it, but no quiet bin makes all the law
    weight = np.maximum(variance / variance.max(axis=1, keepdims=True), QUIET_BIN) ** -2.0
    weight /= weight.sum(axis=1, keepdims=True)
    x, y = (weight * square).sum(axis=1), (weight * variance).sum(axis=1)
    dx, dy = square - x[:, None], variance - y[:, None]
    spread = (weight * dx**2).sum(axis=1)
    b = np.divide((weight * dx * dy).sum(axis=1), spread, out=np.zeros(count), where=spread > 0)
    b = np.clip(b, 0.0, np.divide(y, x, out=np.zeros(count), where=x > 0))
    return np.column_stack([np.maximum(y - b * x, 0.0), b])


def deviation(
    law: Matrix,
    level: Matrix,
    floor: Matrix,
    sqrt: NDArray[np.bool_],
    sized: NDArray[np.bool_],
    hourly: Matrix | None = None,
) -> Matrix:
    """(N, T) standard deviation at each level, times what is usual at the hour (`hourly`); at least the floor.

    That shrinks for counts expected below one, and for means of more documents than usual (`sized`, (N,)).
    """
    least = np.broadcast_to(floor[:, None], level.shape)
    if sqrt.any():
        scarce = np.clip(level / SQRT_FLOOR * floor[:, None], SPARSE_FLOOR * floor[:, None], floor[:, None])
        least = np.where(sqrt[:, None], scarce, least)
    if sized.any():
        least = np.where(sized[:, None], np.minimum(level, 1.0) * floor[:, None], least)
    noise = np.sqrt(law[:, :1] + law[:, 1:] * level**2)
    return np.asarray(np.maximum(noise if hourly is None else noise * hourly, least))


def widened(sd: Matrix, spread: Matrix | None, mean: Matrix, shown: Matrix, form: NDArray[np.int8]) -> Matrix:
    """(N, T) the noise `sd` in a form, and what varies besides: `spread`, in the model's space, of its expectation `mean`.

    The latter is `shown` in the form.
    """
    if spread is None:
        return sd
    part, logs, roots = spread.copy(), form == LOG, form == ROOT
    part[logs] /= np.maximum(mean[logs], np.exp(shown[logs]))
    part[roots] /= 2 * np.maximum(shown[roots], sd[roots])
    return np.hypot(sd, part)


def steps(mean: Matrix, sqrt: NDArray[np.bool_], whole: NDArray[np.bool_], form: NDArray[np.int8]) -> Matrix:
    """(N, T) the least change that values can make at each expectation, in their form; 0 where there is none.

    Args:
        mean: (N, T) what is expected there.
        sqrt: (N,) which series are square roots of counts.
        whole: (N,) which others are whole numbers.
        form: (N,) codes as of `in_form`; of logarithms there is no least change.
    """
    level, roots = np.maximum(mean, 0.0), sqrt | (whole & (form == ROOT))
    plain = np.where(whole & (form == PLAIN), 1.0, 0.0)
    return np.where(roots[:, None], 1.0 / (np.sqrt(level**2 + 1.0) + level), plain[:, None])


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


def middle(residuals: Matrix) -> Matrix:
    """(N, 1) medians of what is known; 0 where nothing is."""
    out, gaps = np.zeros((len(residuals), 1)), np.isnan(residuals).any(axis=1)
    out[~gaps, 0] = np.median(residuals[~gaps], axis=1)
    gaps &= ~np.isnan(residuals).all(axis=1)
    out[gaps, 0] = np.nanmedian(residuals[gaps], axis=1)
    return out


def robust_sigma(residuals: Matrix, floor: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) noise of (N, T) residuals by the median absolute deviation, at least `floor`. NaN rows give the floor."""
    return np.maximum(absolute_quantile(residuals, 0.5) * 1.4826, floor)


def noise_floor(values: Matrix, sqrt: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N,) the least noise to assume for series (N, T) in the model's space."""
    floor = np.full(len(values), SQRT_FLOOR)
    if not sqrt.all():
        floor[~sqrt] = np.maximum(RELATIVE_FLOOR * absolute_quantile(values[~sqrt], 0.5), TINY)
    return floor
