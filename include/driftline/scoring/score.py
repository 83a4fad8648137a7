"""Surprise to a score of 0–100, and scores to severities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from driftline.scoring.settings import JOB_CURVE, SCORE_CURVE, SEVERITIES, SPAN_BASE, SPAN_POWER, SURPRISE_MOST

if TYPE_CHECKING:
    from datetime import timedelta

    from numpy.typing import NDArray


def span_bonus(span: timedelta) -> float:
    """What is added to surprises of buckets this long: there are fewer of them in which the like could have come up."""
    return max(0.0, SPAN_POWER * float(np.log10(span / SPAN_BASE)))


def to_score(surprise: NDArray[np.float64] | float, span: timedelta) -> NDArray[np.float64]:
    """−log10(probability) of buckets of a span → 0–100 along the score curve; monotone, so ranks are kept."""
    x, y = zip(*SCORE_CURVE, strict=True)
    counted = np.asarray(surprise, dtype=np.float64) + span_bonus(span)
    return np.asarray(np.round(np.interp(counted, x, y), 4), dtype=np.float64)


def to_job_score(surprise: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The same for what many series say together, where a surprise is nearer to what it says."""
    x, y = zip(*JOB_CURVE, strict=True)
    return np.asarray(np.round(np.interp(np.asarray(surprise, dtype=np.float64), x, y), 4), dtype=np.float64)


def from_score(score: NDArray[np.float64] | float, span: timedelta) -> NDArray[np.float64]:
    """The surprise of a bucket of a span that has a score of 0–100; of 0 the largest that has it."""
    x, y = zip(*SCORE_CURVE, strict=True)
    return np.asarray(np.interp(score, y, x) - span_bonus(span), dtype=np.float64)


def from_job_score(score: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The same along the curve of a job's buckets."""
    x, y = zip(*JOB_CURVE, strict=True)
    return np.asarray(np.interp(score, y, x), dtype=np.float64)


def to_surprise(probability: float) -> float:
    """−log10 of a probability."""
    return float(-np.log10(max(probability, 10.0**-SURPRISE_MOST)))


def to_probability(surprise: float) -> float:
    """The probability of a surprise, as it is written."""
    return float(f"{max(10.0**-surprise, 10.0**-SURPRISE_MOST):.6g}")


def severity(score: float) -> str:
    """Warning < 25 ≤ minor < 50 ≤ major < 75 ≤ critical."""
    return next(name for least, name in SEVERITIES if score >= least)


def among(surprise: float, looks: int) -> float:
    """−log10 of the probability that the most surprising of `looks` series is at least this surprising by chance.

    1 − (1 − p)^n, computed so that it neither overflows nor loses small p.
    """
    p = 10.0**-surprise
    if p * looks < 1e-6:
        return max(0.0, surprise - float(np.log10(max(looks, 1))))
    return float(max(0.0, -np.log10(-np.expm1(looks * np.log1p(-min(p, 1 - 1e-12))))))
