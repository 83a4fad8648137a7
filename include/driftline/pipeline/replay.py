"""Replay: series scored as it would have happened, with models that knew only what came before. Nothing but arrays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from driftline.models.baseline import fit_fleet
from driftline.scoring.calibration import calibrate, noise_floor
from driftline.scoring.evidence import weigh
from driftline.scoring.score import to_score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.core.progress import Progress

KINDS = ("", "spike", "drop", "level_shift", "ramp", "flatline", "contextual", "variance", "silence")
"""What an anomalous bucket is, by its code; the first is none."""


@dataclass
class Replayed:
    """What was said of (N, T) buckets when each was the newest.

    Attributes:
        lower, typical, upper: The band that was expected, in the series' units; NaN while nothing was known.
        probability: Of a bucket at least this unusual; 1 where nothing was known.
        record_score: 0–100, every anomalous bucket.
        anomaly_score: 0–100, of the buckets that would have alarmed: not those of an incident that was reported already.
        kind: Codes into KINDS.
    """

    lower: NDArray[np.float64]
    typical: NDArray[np.float64]
    upper: NDArray[np.float64]
    probability: NDArray[np.float64]
    record_score: NDArray[np.float64]
    anomaly_score: NDArray[np.float64]
    kind: NDArray[np.int8]


def replay(
    times: NDArray[np.datetime64],
    values: NDArray[np.float64],
    *,
    sqrt: NDArray[np.bool_] | bool = False,
    progress: Progress | None = None,
) -> Replayed:
    """Scores every bucket with a model fitted on earlier ones only.

    Args:
        times: (T,) starts of the buckets or times of the readings, UTC, ascending.
        values: (N, T), NaN where missing.
        sqrt: Whether to model square roots (counts), for all or for each series.
        progress: Told how far it is.
    """
    shape = values.shape
    out = Replayed(
        *(np.full(shape, np.nan) for _ in range(3)), np.ones(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int8)
    )
    step = np.median(np.diff(times)) if shape[1] > 1 else np.timedelta64(1, "h")
    span = timedelta(seconds=float(step / np.timedelta64(1, "s")))
    block = max(24, round(timedelta(days=1) / span))
    for first in range(block, shape[1], block):
        last = min(first + block, shape[1])
        fleet = fit_fleet(times[:first], values[:, :first], sqrt=sqrt)
        space = fleet.to_space(values[:, :last])
        mean, trend = fleet.moments(times[:last])
        residuals = space - mean
        noise = calibrate(residuals[:, :first], noise_floor(space[:, :first], fleet.sqrt))
        sd = np.sqrt(trend**2 + noise[:, :1] ** 2)
        found = weigh(residuals, sd, noise[:, 1], ["both"] * len(values))
        part = slice(first, last)
        for name, bound in (("lower", mean - 3 * sd), ("typical", mean), ("upper", mean + 3 * sd)):
            getattr(out, name)[:, part] = fleet.to_units(bound)[:, part]
        out.probability[:, part] = 10.0 ** -found.surprise[:, part]
        out.record_score[:, part] = out.anomaly_score[:, part] = to_score(found.surprise[:, part])
        out.kind[:, part] = np.where(out.record_score[:, part] > 0, np.where(residuals[:, part] > 0, 1, 2), 0)
        if progress:
            progress("buckets replayed", last, shape[1])
    return out
