"""Explanation: why a bucket has the score that it has, under Elastic's names, and the evidence behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.results import number
from driftline.scoring.kinds import KINDS
from driftline.scoring.settings import CHANGES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.scoring.detector import Detected

MEANS = {
    "point": "the bucket alone, against its expectation",
    "pair": "the mean of this bucket and the one before",
    "brief": "the mean of the last minutes",
    "mean": "the mean of the last hour",
    "long": "the mean of the last hours",
    "shape": "unlike the same time on each of the last seven days",
    "variance": "swings more than usual",
    "flatline": "swings less than usual",
    "frozen": "the same value again and again",
    "silence": "nothing comes where something is expected",
}
"""What each kind of evidence says."""
SINGLE = ("point", "frozen", "silence")
RECURRING = "recurring"
REASONS = {0: None, 1: "learning", 2: "one_sided", 3: RECURRING}
TYPES = {"drop": "dip", "silence": "dip", "flatline": "flatline", "variance": "variance"}


def explanation(found: Detected, row: int, column: int, kind: int, bounds: tuple[float, float, float]) -> dict[str, Any]:
    """Elastic's `anomaly_score_explanation` of one bucket.

    Impacts are surprises: of the bucket alone, and of the buckets together. A penalty is said where it lowered the score.
    """
    lower, typical, upper = bounds
    z = abs(float(found.z[row, column]))
    return {
        "anomaly_type": TYPES.get(KINDS[kind], "change" if KINDS[kind] in CHANGES else "spike"),
        "anomaly_length": _length(found.surprise[row], column),
        "single_bucket_impact": number(_largest(found, row, column, SINGLE), 4),
        "multi_bucket_impact": number(_largest(found, row, column, _together(found)), 4),
        "anomaly_characteristics_impact": number(z, 4),
        "lower_confidence_bound": number(lower),
        "typical_value": number(typical),
        "upper_confidence_bound": number(upper),
        "high_variance_penalty": bool(z > HIGH_VARIANCE * max(found.evidence["point"][row, column], 1.0)),
        "incomplete_bucket_penalty": False,
    }


HIGH_VARIANCE = 3.0
"""Deviations a decade of surprise: a normal distribution has one or two; where it takes more, the series is that noisy."""


def evidence(found: Detected, row: int, column: int) -> dict[str, float]:
    """Surprise by kind of evidence, those that say something."""
    values = {name: float(part[row, column]) for name, part in found.evidence.items()}
    return {name: number(value, 4) for name, value in sorted(values.items()) if value >= 0.5}


def impact(found: Detected, row: int, column: int) -> float:
    """Elastic's multi_bucket_impact: −5 the bucket alone, 5 the buckets together, 0 both alike."""
    single, multi = _largest(found, row, column, SINGLE), _largest(found, row, column, _together(found))
    return round(5.0 * (multi - single) / (multi + single), 2) if multi + single else 0.0


def _together(found: Detected) -> tuple[str, ...]:
    return tuple(name for name in found.evidence if name not in SINGLE)


def _largest(found: Detected, row: int, column: int, names: tuple[str, ...]) -> float:
    return max((float(found.evidence[name][row, column]) for name in names if name in found.evidence), default=0.0)


def _length(surprise: NDArray[np.float64], column: int) -> int:
    """How many buckets in a row, up to this one, are surprising at all."""
    quiet = np.flatnonzero(surprise[: column + 1] < 1.0)
    return column - int(quiet[-1]) if len(quiet) else column + 1
