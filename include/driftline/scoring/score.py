"""Surprise to a score of 0–100, and scores to severities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from driftline.scoring.settings import JOB_CURVE, SCORE_CURVE, SEVERITIES

if TYPE_CHECKING:
    from numpy.typing import NDArray


def to_score(surprise: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """−log10(probability) → 0–100 along the score curve; monotone, so ranks are kept."""
    x, y = zip(*SCORE_CURVE, strict=True)
    return np.asarray(np.round(np.interp(np.asarray(surprise, dtype=np.float64), x, y), 4), dtype=np.float64)


def to_job_score(surprise: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The same for what many series say together, where a surprise is nearer to what it says."""
    x, y = zip(*JOB_CURVE, strict=True)
    return np.asarray(np.round(np.interp(np.asarray(surprise, dtype=np.float64), x, y), 4), dtype=np.float64)


def from_score(score: NDArray[np.float64], *, of_job: bool = False) -> NDArray[np.float64]:
    """The surprise that has a score of 0–100, along the score curve or that of a job's buckets; of 0 the largest that has it."""
    x, y = zip(*(JOB_CURVE if of_job else SCORE_CURVE), strict=True)
    return np.asarray(np.interp(score, y, x), dtype=np.float64)


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
