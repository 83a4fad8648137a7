"""Prophet's prediction intervals without simulation.

Prophet draws future trend changes: after h steps of d in scaled time, each step with probability p = min(1, S d) adds a rate
change of Laplace distribution with the mean absolute size of the past's. The trend's deviation is then size · d · V with
V = Σⱼ (h − j + ½) Bⱼ Lⱼ, and a prediction's is that plus normal noise. The quantiles of the sum of both follow from its
characteristic function (Gil-Pelaez); they depend on h, p, and the ratio ρ of the two standard deviations alone, so a small table
serves a whole fleet.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import CubicSpline, RectBivariateSpline
from scipy.stats import norm

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATIOS = np.concatenate([[0.0], np.geomspace(0.1, 50.0, 19)])  # beyond the last, the noise no longer matters
STEPS = 24  # in the table; the rest is interpolated
TERMS = 256  # of a long sum of steps that are added up; the others are so smooth that they lie between
FINE = 256  # ratios of a table once it is spread out
SQUEEZE = 4.0  # ratios are taken as log(1 + 4ρ)
REACH = 9.0  # where the normal characteristic function ends
BISECTIONS = 26
P_STEP = 0.01  # relative: tables are shared by series whose p differ by less than this


def trend_sd(steps: NDArray[np.float64] | float, p: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Standard deviation of V after `steps` steps, each with a change of probability p."""
    return np.asarray(np.sqrt(2 * p * steps * (4 * steps**2 - 1) / 12))


def half_width(ratio: NDArray[np.float64], steps: NDArray[np.float64], p: float, interval: float) -> NDArray[np.float64]:
    """(n, H) half the width of the central `interval`, in standard deviations of the noise.

    Args:
        ratio: (n, H) ρ, the trend's standard deviation over the noise's.
        steps: (H,) steps ahead, at least 1.
        p: Probability of a change in a step.
        interval: Such as 0.8.
    """
    rounded = float(np.exp(np.round(np.log(p) / P_STEP) * P_STEP))
    top = int(2 ** np.ceil(np.log2(max(float(steps.max(initial=1.0)), 2.0))))
    fine = np.linspace(0.0, float(_squeeze(RATIOS[-1])), FINE)
    known = np.expm1(fine) / SQUEEZE
    dense = _table(min(rounded, 1.0), interval, top)(np.log(steps), fine) * np.sqrt(1 + known**2)  # (H, FINE)
    place = np.minimum(_squeeze(ratio) * ((FINE - 1) / fine[-1]), FINE - 1)
    left = np.minimum(place.astype(np.intp), FINE - 2)
    at = left + np.arange(len(steps)) * FINE
    low, high = dense.ravel()[at], dense.ravel()[at + 1]
    # linear in ρ between two ratios, and beyond the last: there either the trend is all, or it rarely changes at all
    return np.asarray(low + (ratio - known[left]) / (known[left + 1] - known[left]) * (high - low))


def _squeeze(ratio: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(np.log1p(SQUEEZE * np.asarray(ratio)))


@lru_cache(maxsize=256)
def _table(p: float, interval: float, top: int) -> RectBivariateSpline:
    """A spline over log steps and squeezed ratios."""
    steps = np.unique(np.geomspace(1, top, STEPS).round())
    waves = [_log_characteristic(step, p) for step in steps]
    columns = [_quantiles(waves, ratio, interval) / np.sqrt(1 + ratio**2) for ratio in RATIOS]
    degree = min(3, len(steps) - 1)
    return RectBivariateSpline(np.log(steps), _squeeze(RATIOS), np.column_stack(columns), kx=degree, ky=3)


def _log_characteristic(step: float, p: float) -> CubicSpline:
    """Log of E exp(i w V / sd(V)) as a spline over log w."""
    places = np.arange(1, step + 1) - 0.5
    weight = 1.0
    if step > TERMS:
        places, weight = (np.arange(TERMS) + 0.5) * step / TERMS, step / TERMS
    w = np.geomspace(1e-3, REACH * RATIOS[-1], 240)
    scaled = (places / trend_sd(step, p) * w[:, None]) ** 2
    return CubicSpline(np.log(w), weight * np.log1p(-p * scaled / (1 + scaled)).sum(axis=1))


def _quantiles(waves: list[CubicSpline], ratio: float, interval: float) -> NDArray[np.float64]:
    """(H,) upper quantiles of ratio · V/sd(V) + N(0, 1)."""
    if ratio == 0:
        return np.full(len(waves), norm.ppf(0.5 + interval / 2))
    points = int(200 + 60 * np.sqrt(1 + ratio**2))
    width = REACH / points
    w = (np.arange(points) + 0.5) * width
    log_w = np.log(np.maximum(ratio * w, 1e-3))
    phi = np.exp(np.array([wave(log_w) for wave in waves]) - w**2 / 2) / w * (width / np.pi)
    low, high = np.zeros(len(waves)), np.full(len(waves), 12.0 * np.sqrt(1 + ratio**2))
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        below = np.einsum("hw,hw->h", np.sin(middle[:, None] * w), phi) < interval / 2
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2
