"""Evidence: how far a bucket is out, alone and together with those before it, as a tail probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from driftline.scoring.calibration import multi_bucket_mean
from driftline.scoring.settings import MULTI_CURRENT, MULTI_MOST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.core.functions import Side

LN10 = float(np.log(10.0))


@dataclass
class Evidence:
    """What was found in (N, T) buckets.

    Attributes:
        point: Deviation of the bucket itself, in units of noise.
        multi: Deviation of the mean over the last buckets, in units of that mean's noise; 0 where it does not speak.
        surprise: −log10 of the probability of a bucket at least this far out; 0 where there is no value.
    """

    point: NDArray[np.float64]
    multi: NDArray[np.float64]
    surprise: NDArray[np.float64]


def weigh(
    residuals: NDArray[np.float64], sd: NDArray[np.float64], multi_noise: NDArray[np.float64], sides: list[Side]
) -> Evidence:
    """Evidence of residuals (N, T) with standard deviations (N, T) and multi-bucket noise (N,).

    Two looks at the same bucket are two chances of a false alarm: the smaller probability is doubled. A one-sided function
    looks at its own side only. The result at a bucket depends on that bucket and the LOOKBACK − 1 before it.
    """
    sign = np.array([{"both": 0, "high": 1, "low": -1}[side] for side in sides])[:, None]
    z = residuals / sd
    mean = multi_bucket_mean(z) / multi_noise[:, None]
    speaks = (np.sign(mean) == np.sign(z)) & (np.abs(z) >= MULTI_CURRENT)
    multi = np.where(speaks, mean, 0.0)
    surprise = np.maximum(_surprise(z, sign), np.minimum(_surprise(multi, sign), MULTI_MOST)) - np.log10(2.0)
    return Evidence(z, multi, np.maximum(np.nan_to_num(surprise, nan=0.0, posinf=300.0), 0.0))


def _surprise(z: NDArray[np.float64], sign: NDArray[np.int64]) -> NDArray[np.float64]:
    """−log10 of the two-sided (sign 0) or one-sided tail of the normal distribution, exact far out."""
    one_sided = -norm.logsf(np.where(sign == 0, np.abs(z), z * sign)) / LN10
    return np.minimum(one_sided - np.where(sign == 0, np.log10(2.0), 0.0), 300.0)


def impact(point: float, multi: float) -> float:
    """Elastic's multi_bucket_impact: −5 the bucket alone, 5 the buckets together, 0 both alike."""
    a, b = abs(point), abs(multi)
    return round(5.0 * (b - a) / (a + b), 2) if a + b else 0.0
