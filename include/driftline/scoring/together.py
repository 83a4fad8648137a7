"""What all series of a detector do together: a small shift of everything shows in no single series, but in their mean.

The mean over N series of their residuals, in units of each one's noise, would have a noise of 1/√N if series were independent.
They are not: a site has noise of its own, and what models get wrong (a weekend whose curve is not a weekday's, only lower) they
get wrong for all series at once. So the hours of the week in which the mean is usually off are measured where the models were
trained, and then its noise around that, for single buckets and for longer means, which also tells how it is correlated in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from driftline.scoring.settings import (
    SURPRISE_MOST,
    TOGETHER_CLIP,
    TOGETHER_CURRENT,
    TOGETHER_QUANTILE,
    TOGETHER_SEEN,
    TOGETHER_SERIES,
    TOGETHER_SLACK,
    TOGETHER_WINDOWS,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.core.functions import Side

WEEK, DAY = 168, 24  # hours
LN10 = float(np.log(10.0))


@dataclass(frozen=True)
class Shared:
    """What all series of one detector did together in one bucket.

    Attributes:
        surprise: −log10 of its probability.
        deviation: The mean deviation of a series, in units of its noise; below 0 is less than expected.
        series: How many there were.
        actual: The sum over all series, where sums make sense (counts).
        typical: The sum that was expected.
    """

    surprise: float
    deviation: float
    series: int
    actual: float | None = None
    typical: float | None = None


@dataclass(frozen=True)
class SharedNoise:
    """How the mean over all series behaves when nothing happens.

    Attributes:
        usual: Where it lies in each of the week's hours, Thursday 00:00 UTC first; not 0 where models are wrong, or residuals
            skewed.
        scales: Its standard deviation for each of TOGETHER_WINDOWS.
    """

    usual: tuple[float, ...]
    scales: tuple[float, ...]


def add(z: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sums and counts of clipped residuals, which can be added over batches.

    Args:
        z: (N, T) residuals in units of noise; NaN where there is none. Clipped, so that one outage is not everybody's.

    Returns:
        (T,) sums and (T,) counts of the series that have a value.
    """
    known = ~np.isnan(z)
    return np.clip(np.where(known, z, 0.0), -TOGETHER_CLIP, TOGETHER_CLIP).sum(axis=0), known.sum(axis=0, dtype=np.int64)


class Together:
    """Sums and counts by detector, (T,) each, while series come in parts.

    Attributes:
        parts: Detector → as of `add`.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.parts: dict[int, tuple[NDArray[np.float64], NDArray[np.int64]]] = {}

    def add(self, detectors: NDArray[np.int64], z: NDArray[np.float64]) -> None:
        """Adds series (N, T) of these detectors (N,)."""
        for detector in np.unique(detectors).tolist():
            self.merge(detector, *add(z[detectors == detector]))

    def merge(self, detector: int, sums: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
        """Adds what was added up elsewhere."""
        before = self.parts.get(detector, (np.zeros(self.width), np.zeros(self.width, dtype=np.int64)))
        self.parts[detector] = (before[0] + sums, before[1] + counts)


def noise_of(times: NDArray[np.datetime64], sums: NDArray[np.float64], counts: NDArray[np.int64]) -> SharedNoise | None:
    """The noise of the mean in a training window (T,), bucket starts in UTC; None for too few series or buckets.

    Each scale is the largest of the median absolute deviation, a far quantile (both as a normal distribution's), and what
    independent series would have, and is widened because models fit the data that they were trained on better than what comes.
    """
    mean = _mean(sums, counts)
    known = ~np.isnan(mean)
    if known.sum() < 2 * max(TOGETHER_WINDOWS):
        return None
    hours = _hours(times)
    usual = _usual(times, np.where(known, mean, np.nan))
    least = 1.0 / float(np.sqrt(np.median(counts[known])))
    far = float(norm.ppf(0.5 + TOGETHER_QUANTILE / 2))
    scales = []
    for width in TOGETHER_WINDOWS:
        away = np.abs(_recent(mean - usual[hours], width)[known])
        spread = max(1.4826 * float(np.median(away)), float(np.quantile(away, TOGETHER_QUANTILE)) / far)
        scales.append(TOGETHER_SLACK * max(spread, least / float(np.sqrt(width))))
    return SharedNoise(tuple(usual.tolist()), tuple(scales))


def surprise(
    times: NDArray[np.datetime64],
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
    noise: SharedNoise | None,
    *,
    side: Side = "both",
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How surprising each bucket is for all series together.

    The mean of the bucket and those of the last few are each held against their noise; the least likely counts, at the price of
    as many looks. The longer ones speak only while the bucket deviates the same way and by half as much, so what is over is no
    longer reported.

    Args:
        times: (T,) bucket starts, UTC, as in `noise_of`.
        sums: (T,) as of `add`, over all batches. The first buckets need the look-back of the longest window before them.
        counts: (T,).
        noise: As of `noise_of`; None says nothing about anything.
        side: The detector's.

    Returns:
        (T,) surprises, and (T,) deviations of the mean series from where it should be, in units of its noise.
    """
    if noise is None:
        return np.zeros(len(sums)), np.zeros(len(sums))
    away = np.nan_to_num(_mean(sums, counts) - np.asarray(noise.usual)[_hours(times)], nan=0.0)
    strongest = np.zeros(len(away))
    for width, scale in zip(TOGETHER_WINDOWS, noise.scales, strict=True):
        recent = _recent(away, width)
        speaks = away * np.sign(recent) >= TOGETHER_CURRENT * np.abs(recent)
        strongest = np.maximum(strongest, np.where(speaks, np.abs(recent) / scale, 0.0))
    wrong = {"both": np.zeros(len(away), dtype=np.bool_), "high": away < 0, "low": away > 0}[side]
    sides = 2 if side == "both" else 1
    found = -norm.logsf(np.where(wrong, 0.0, strongest)) / LN10 - np.log10(sides * len(TOGETHER_WINDOWS))
    return np.clip(found, 0.0, SURPRISE_MOST), away


def _hours(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """(T,) hour of the week."""
    return times.astype("datetime64[h]").astype(np.int64) % WEEK


def _usual(times: NDArray[np.datetime64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """(WEEK,) median of the mean (T,) in each hour of the week; of the day, or at all, where too few of them were seen."""
    known = ~np.isnan(mean)
    hours = _hours(times)[known]
    seen = float((times[-1] - times[0]) / np.timedelta64(1, "h")) + 1
    period = next((hours_of for hours_of in (WEEK, DAY) if seen >= TOGETHER_SEEN * hours_of), 1)
    usual = np.full(period, np.median(mean[known]))
    for phase in np.unique(hours % period).tolist():
        usual[phase] = np.median(mean[known][hours % period == phase])
    return np.tile(usual, WEEK // period)


def _mean(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(T,) mean of the series; NaN where there are too few to speak for all."""
    return np.where(counts >= TOGETHER_SERIES, sums / np.maximum(counts, 1), np.nan)


def _recent(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """(T,) mean of the last `width` values; missing ones count as none."""
    total = np.cumsum(np.pad(np.nan_to_num(values, nan=0.0), (width, 0)))
    return (total[width:] - total[:-width]) / width
