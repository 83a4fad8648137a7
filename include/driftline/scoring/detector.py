"""The detector: evidence of all kinds, together as one surprise a bucket. A pure function of series, model and settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import maximum_filter1d
from scipy.stats import nbinom

from driftline.scoring.settings import (
    ALONE,
    ALONE_COST,
    DISCRETE_BELOW,
    EDGES,
    EVIDENCE_MOST,
    JOINT_SHARE,
    LEARNING_MOST,
    LN10,
    NOW,
    RUN_COST,
    RUNS,
)
from driftline.scoring.statistics import frozen, settled, silent, speaking, statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.core.functions import Side
    from driftline.scoring.calibration import Calibration
    from driftline.scoring.windows import Windows

    Matrix = NDArray[np.float64]
    Flags = NDArray[np.bool_]

SIGNS = {"both": 0, "high": 1, "low": -1}


@dataclass
class Detected:
    """What was found in (N, T) buckets.

    Attributes:
        z: Settled residuals in units of noise, NaN where there is no value.
        centre: What was expected, in the model's space: the model's mean on the level that residuals have settled on.
        sd: The unit, in the model's space.
        evidence: −log10 of the probability by each kind of evidence.
        surprise: The same of all together, 0 where there is no value.
        damped: Codes of what kept the surprise down: 0 nothing, 1 learning, 2 the other side.
    """

    z: Matrix
    centre: Matrix
    sd: Matrix
    evidence: dict[str, Matrix]
    surprise: Matrix
    damped: NDArray[np.int8]


LEARNING, OTHER_SIDE = 1, 2


def detect(
    values: Matrix,
    space: Matrix,
    mean: Matrix,
    sqrt: Flags,
    calibration: Calibration,
    windows: Windows,
    *,
    sides: list[Side] | None = None,
    learning: Flags | None = None,
) -> Detected:
    """Weighs the evidence in each bucket.

    Args:
        values: (N, T) in the series' units, NaN where missing.
        space: The same in the model's space.
        mean: The model's expectations there.
        sqrt: (N,) which series are modelled as square roots.
        calibration: What is usual.
        windows: What the statistics look at.
        sides: Which deviations each series reports; both by default.
        learning: (N, T) buckets of which too little is known yet, such as the first weekend.
    """
    sd = calibration.deviation(mean, sqrt)
    z, level = settled((space - mean) / sd, windows)
    centre = mean + level * sd
    looked = statistics(z, space, sd, windows)
    found = {name: calibration.tails[name].surprise(part) for name, part in looked.items()}
    for name, speaks in speaking(z, looked, windows).items():
        found[name] = np.where(speaks, found[name], 0.0)
    expected = np.where(sqrt[:, None], np.maximum(centre, 0.0) ** 2, centre)
    if sqrt.any():
        _by_counting(found["point"], values, expected, sqrt, calibration)
        gone = silent(values, expected, 4 * calibration.law[:, 1], calibration.nothing)
        found["silence"] = np.where(sqrt[:, None], gone, 0.0)
    found["frozen"] = frozen(values, expected, calibration.equal, sqrt | (calibration.whole > 0))
    surprise = combine(found, z)
    inside = (space >= calibration.seen[:, :1]) & (space <= calibration.seen[:, 1:])
    damped = np.zeros(z.shape, dtype=np.int8)
    for code, where, damp in (
        (LEARNING, np.zeros_like(inside) if learning is None else learning & inside, np.minimum(surprise, LEARNING_MOST)),
        (OTHER_SIDE, _other_side(z, sides), np.zeros_like(surprise)),
    ):
        damped[where & (damp < surprise)] = code
        surprise = np.where(where, np.minimum(damp, surprise), surprise)
    return Detected(z, centre, sd, found, surprise, damped)


def combine(evidence: dict[str, Matrix], z: Matrix) -> Matrix:
    """One surprise (N, T) of all evidence: the joint one of JOINT, or what one of the others says alone."""
    now = np.maximum.reduce([evidence[name] for name in NOW])
    joint = np.sum([np.minimum(part, EVIDENCE_MOST) for part in (now, evidence["mean"], evidence["shape"])], axis=0) * JOINT_SHARE
    for name, part in evidence.items():
        if name in RUNS:
            # a run grows by the bucket: it is told once, when it is certain
            worth = np.minimum(part, RUNS[name]) - RUN_COST
            joint = np.maximum(joint, np.where(worth >= EDGES[1], worth, 0.0))
        elif name in ALONE:
            joint = np.maximum(joint, np.minimum(part, EVIDENCE_MOST) - ALONE_COST)
    return np.where(np.isnan(z), 0.0, joint)


def _other_side(z: Matrix, sides: list[Side] | None) -> Flags:
    sign = np.array([SIGNS[side] for side in sides])[:, None] if sides else np.zeros((len(z), 1), dtype=np.int64)
    return np.asarray((sign != 0) & (np.nan_to_num(z) * sign < 0), dtype=bool)


def _by_counting(point: Matrix, values: Matrix, expected: Matrix, sqrt: Flags, calibration: Calibration) -> None:
    """At low levels the evidence of a single count is no more than its own law's, a negative binomial's; changed in place."""
    rows, columns = np.nonzero((point > 2.0) & sqrt[:, None] & (expected < DISCRETE_BELOW) & np.isfinite(values))
    count, mu = values[rows, columns], np.maximum(expected[rows, columns], 1e-3)
    size = 1.0 / np.maximum(4 * calibration.law[rows, 1], 1e-6)
    chance = size / (size + mu)
    above = nbinom.logsf(count - 1, size, chance)
    below = nbinom.logcdf(count, size, chance)
    # two sides were looked at
    exact = np.maximum(-np.minimum(above, below) / LN10 - np.log10(2.0), 0.0)
    point[rows, columns] = np.minimum(point[rows, columns], np.where(np.isfinite(exact), exact, EVIDENCE_MOST))


def alarms(surprise: Matrix, rest: int) -> Flags:
    """(N, T) True where a bucket is news: more surprising than all in the `rest` buckets before it.

    Once one of these was worth an alarm, it must be of a worse severity. It looks back `rest` buckets and no further, so that
    scoring in pieces says the same.
    """
    before = np.zeros_like(surprise)
    before[:, 1:] = maximum_filter1d(surprise, size=rest, axis=1, origin=(rest - 1) // 2, mode="constant", cval=0.0)[:, :-1]
    worse = np.searchsorted(EDGES, surprise, side="right") > np.searchsorted(EDGES, before, side="right")
    return np.asarray((surprise > before) & (worse | (before < EDGES[0])), dtype=bool)
