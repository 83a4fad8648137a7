"""Bursts: what lies far out for a while, and is left out of what is learned unless it comes so often that it is usual."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from driftline.scoring.residuals import absolute_quantile, noise_floor, robust_sigma
from driftline.scoring.settings import CURRENT, MASK_DAYS, MASK_EACH, MASK_REACH, MASK_SHARE, MASK_SIGMA, MEAN_BUCKETS
from driftline.scoring.statistics import recent_mean, running

if TYPE_CHECKING:
    from datetime import timedelta

    from numpy.typing import NDArray

    from driftline.scoring.windows import Windows

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]


def rare_bursts(space: Matrix, mean: Matrix, sqrt: NDArray[np.bool_], windows: Windows) -> NDArray[np.bool_]:
    """(N, T) True where a burst is no part of what is usual, of values and what was expected of them in the model's space."""
    residuals = space - mean
    sigma = robust_sigma(residuals, noise_floor(space, sqrt))
    bursts = burst_mask(residuals, sigma, windows.span) | long_bursts(residuals, sigma, windows)
    return rare(bursts, np.isfinite(space), windows.day)


def rare(mask: NDArray[np.bool_], known: NDArray[np.bool_], day: int) -> NDArray[np.bool_]:
    """The bursts (N, T) of series in which they came on few days of those that are `known`; of the others they are usual.

    They come on the day on which they begin, after half a day without: one that lasts over midnight came once. What comes several
    times a day begins once, but goes on for days: it came on all of them but one.
    """
    begins, whole = mask.copy(), known.shape[1] // day * day
    begins[:, 1:] &= running(mask.astype(np.float64), max(1, day // 2))[:, :-1] < 0.5
    came, seen = np.maximum(_days(begins, day), _days(mask, day) - 1), _days(known[:, :whole], day)
    return np.asarray(mask & ((came < MASK_DAYS) & (came * MASK_EACH <= seen))[:, None], dtype=bool)


def _days(member: NDArray[np.bool_], day: int) -> NDArray[np.intp]:
    """(N,) on how many days, counted from the first bucket, there is a member."""
    if not member.size:
        return np.zeros(len(member), dtype=np.intp)
    return np.asarray((np.add.reduceat(member, np.arange(0, member.shape[1], day), axis=1) > 0).sum(axis=1), dtype=np.intp)


def burst_mask(residuals: Matrix, sigma: Vector, span: timedelta) -> NDArray[np.bool_]:
    """(N, T) True where a value is a sparse burst that would poison a fit; a new level is not masked, so it is learned."""
    far = np.abs(residuals) > MASK_SIGMA * sigma[:, None]
    return far & _sparse(far, span)


def _sparse(far: NDArray[np.bool_], span: timedelta) -> NDArray[np.bool_]:
    """(N, T) whether few of the buckets around are far out."""
    reach = max(1, round(MASK_REACH / span))
    width = min(reach, far.shape[1])  # what is padded beyond adds nothing
    padded = np.pad(far.astype(np.float64), ((0, 0), (width, width)))
    total = np.cumsum(np.pad(padded, ((0, 0), (1, 0))), axis=1)
    share = (total[:, 2 * width + 1 :] - total[:, : -2 * width - 1]) / (2 * reach + 1)
    return np.asarray(share < MASK_SHARE)


def long_bursts(residuals: Matrix, sigma: Vector, windows: Windows) -> NDArray[np.bool_]:
    """(N, T) True where an hour's mean is as far out as a burst, sparse as those are, though none of its buckets need be.

    Counts of a minute are that noisy. Where an hour is few buckets, they are bursts themselves: nothing is found.
    """
    if windows.mean <= MEAN_BUCKETS:
        return np.zeros(residuals.shape, dtype=bool)
    z = residuals / sigma[:, None]
    mean = recent_mean(z, windows.mean)
    spread = np.maximum(absolute_quantile(mean, 0.5) * 1.4826, windows.mean**-0.5)  # no less than chance makes of a mean
    way = np.where(np.abs(mean) > MASK_SIGMA * spread[:, None], np.sign(mean), 0.0)
    # a burst begins before its mean is far out: what deviates the same way within the hour before is part of it
    part = np.sign(running(way[:, ::-1], windows.mean)[:, ::-1]) * z >= CURRENT
    return part & _sparse(part, windows.span)
