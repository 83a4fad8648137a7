"""How noisy a series is around its model: the scale that residuals are measured in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from driftline.scoring.settings import (
    LOOKBACK,
    MASK_REACH,
    MASK_SHARE,
    MASK_SIGMA,
    MULTI_CLIP,
    RELATIVE_FLOOR,
    SQRT_FLOOR,
    TAIL_QUANTILE,
)

if TYPE_CHECKING:
    from datetime import timedelta

    from numpy.typing import NDArray


def robust_sigma(residuals: NDArray[np.float64], floor: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) noise of (N, T) residuals by the median absolute deviation, at least `floor`. NaN rows give the floor."""
    return np.maximum(_quantile(residuals, 0.5) * 1.4826, floor)


def noise_floor(values: NDArray[np.float64], sqrt: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N,) the least noise to assume for series (N, T) in the model's space."""
    floor = np.full(len(values), SQRT_FLOOR)
    if not sqrt.all():
        tiny = np.finfo(np.float64).tiny ** 0.5
        floor[~sqrt] = np.maximum(RELATIVE_FLOOR * _quantile(values[~sqrt], 0.5), tiny)
    return floor


def burst_mask(residuals: NDArray[np.float64], sigma: NDArray[np.float64], span: timedelta) -> NDArray[np.bool_]:
    """(N, T) True where a value is a sparse burst that would poison a fit; a new level is not masked, so it is learned."""
    far = np.abs(residuals) > MASK_SIGMA * sigma[:, None]
    reach = max(1, round(MASK_REACH / span))
    padded = np.pad(far.astype(np.float64), ((0, 0), (reach, reach)))
    total = np.cumsum(np.pad(padded, ((0, 0), (1, 0))), axis=1)
    share = (total[:, 2 * reach + 1 :] - total[:, : -2 * reach - 1]) / (2 * reach + 1)
    return far & (share < MASK_SHARE)


def calibrate(residuals: NDArray[np.float64], floor: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) noise of single buckets and of the multi-bucket mean, from training residuals (N, T) without bursts.

    Both match a far quantile as well as the middle, so that what happens every week is no anomaly; the second is measured, not
    derived, so that it knows the residuals' autocorrelation. In-sample residuals; both are at least their floor.
    """
    sigma = np.maximum(robust_sigma(residuals, floor), _tail(residuals))
    means = multi_bucket_mean(residuals / sigma[:, None])
    multi = np.maximum(_tail(means), 1.0 / np.sqrt(LOOKBACK))
    return np.column_stack([sigma, multi])


def multi_bucket_mean(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, T) mean of the last LOOKBACK clipped deviations; missing ones count as none. The first buckets see fewer."""
    clipped = np.clip(np.nan_to_num(z, nan=0.0, posinf=MULTI_CLIP, neginf=-MULTI_CLIP), -MULTI_CLIP, MULTI_CLIP)
    total = np.cumsum(np.pad(clipped, ((0, 0), (LOOKBACK, 0))), axis=1)
    return (total[:, LOOKBACK:] - total[:, :-LOOKBACK]) / LOOKBACK


def _tail(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return _quantile(values, TAIL_QUANTILE) / float(norm.ppf(0.5 + TAIL_QUANTILE / 2))


def _quantile(values: NDArray[np.float64], q: float) -> NDArray[np.float64]:
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
