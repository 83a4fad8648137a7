"""Estimates of a batch of series: Prophet's design as matrices, solved exactly; Gauss–Newton where seasonality multiplies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from driftline.models.baseline.solver import CROWDED, Quadratic, Solution, best_variance, solve, solve_again

if TYPE_CHECKING:
    from numpy.typing import NDArray

TREND_PRECISION = 1.0 / 25.0  # of k and m, which have the prior N(0, 5)
OUTER = 150  # Gauss–Newton steps at most; ordinary series take six
HALVINGS = 12
FROM_ABOVE = 20  # steps from the variance of the values to that of a fit
NEAR = 0.05  # a trend or factor that is somewhere this small, compared with its largest, is suspect
STIFF, WEAK = 1e-4, 0.1  # the priors of simpler models
FAR = 2.0  # a trend beyond this, where values are at most 1, is suspect
CLOSE = 1.0  # nats of a step that was small
GAIN = 3e-8  # nats of a step that end the search
NEGLIGIBLE = 1e-9  # of τ: rate changes below count as none, which costs less than 1e-7 nats
AGREES = 1e-5  # by which share the variance of the direct residuals may differ from the solver's


@dataclass
class Batch:
    """n scaled series with their design; r is 1 where they share it, n where each has its own.

    Attributes:
        y: (n, T) scaled values; 0 where missing.
        seen: (n, T) 1 where a value is observed, 0 where not; None if all are.
        trend: (r, L + S, T) t and 1, then the ramps max(t − s, 0) of the changepoints; only 1 for flat growth. 0 where missing.
        lines: L, 1 or 2.
        features: (r, K, T).
        sigmas: (K,) prior scales of the features.
        multiplicative: (K,) True where a feature multiplies the trend.
        tau: Prophet's changepoint_prior_scale.
    """

    y: NDArray[np.float64]
    seen: NDArray[np.float64] | None
    trend: NDArray[np.float64]
    lines: int
    features: NDArray[np.float64]
    sigmas: NDArray[np.float64]
    multiplicative: NDArray[np.bool_]
    tau: float

    @property
    def count(self) -> NDArray[np.float64]:
        """(n,) observed values."""
        return np.full(len(self.y), float(self.y.shape[1])) if self.seen is None else self.seen.sum(axis=1)

    @property
    def precision(self) -> NDArray[np.float64]:
        """(q,) precisions of the normal priors of trend and features."""
        return np.concatenate([np.full(self.lines, TREND_PRECISION), 1.0 / self.sigmas**2])

    def take(self, rows: NDArray[np.intp]) -> Batch:
        """Some of the series."""
        trend, features = (part if len(part) == 1 else part[rows] for part in (self.trend, self.features))
        seen = None if self.seen is None else self.seen[rows]
        return Batch(self.y[rows], seen, trend, self.lines, features, self.sigmas, self.multiplicative, self.tau)

    def hide(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, T) or (n, p, T) with zeros where nothing was observed."""
        if self.seen is None:
            return values
        return values * (self.seen if values.ndim == 2 else self.seen[:, None])

    def trend_of(self, base: NDArray[np.float64], delta: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, T) the trend for coefficients (n, L + K) and rate changes (n, S)."""
        return _times(self.trend, np.concatenate([base[:, : self.lines], delta], axis=1))


@dataclass
class Estimate:
    """Parameters of n series in Prophet's scaled units.

    Attributes:
        base: (n, 2 + K) k, m, beta; (n, 1 + K) for flat growth.
        delta: (n, S) rate changes.
        sigma: (n,) noise.
        good: (n,) whether this is the optimum; the others are for Prophet itself.
        posterior: (n,) log posterior as Stan has it, up to a constant.
        suspect: (n,) whether a thorough search might find a better optimum; after one, whether Prophet might.
    """

    base: NDArray[np.float64]
    delta: NDArray[np.float64]
    sigma: NDArray[np.float64]
    good: NDArray[np.bool_]
    posterior: NDArray[np.float64]
    suspect: NDArray[np.bool_]

    def improve(self, rows: NDArray[np.intp], other: Estimate) -> None:
        """Takes over what is better of another estimate of some of the series."""
        better = (other.posterior > self.posterior[rows]) & (other.good | ~self.good[rows])
        for name in ("base", "delta", "sigma", "good", "posterior"):
            getattr(self, name)[rows[better]] = getattr(other, name)[better]


def estimate(batch: Batch, *, thorough: bool = False) -> Estimate:
    """The maximum a posteriori estimate of every series of a batch.

    Multiplicative models have several optima where the trend or its factor comes near zero. A `thorough` search goes uphill from
    several starts; it is worth its time for what a first one found `suspect`.
    """
    with np.errstate(all="ignore"):  # a series that overflows on its way is not good in the end
        return _estimate(batch, thorough)


def _estimate(batch: Batch, thorough: bool) -> Estimate:
    own = batch.seen is not None and len(batch.trend) > 1 and len(batch.features) == 1
    sums = _sums_of_own(batch) if own else _sums(_design(batch), batch.y)
    problem = Quadratic.of(*sums, batch.count, batch.precision)
    solution = solve(problem, batch.tau)
    if batch.multiplicative.any():
        return _thorough(batch, solution) if thorough else _climb(batch, *_start(batch, solution))
    found = _direct(batch, solution)
    rows = np.flatnonzero(problem.crowded | ~found.good)
    if len(rows):
        part = problem.take(rows)
        above = part.variance(part.square / part.count, FROM_ABOVE)
        found.improve(rows, _direct(batch.take(rows), solve(part, batch.tau, start=above)))
    return found


def _direct(batch: Batch, solution: Solution) -> Estimate:
    """What the solver found, checked on the residuals themselves."""
    solution.delta[np.abs(solution.delta) < NEGLIGIBLE * batch.tau] = 0.0
    curve = _curve(batch, solution.base, solution.delta)
    agrees = np.abs(curve.v - solution.v) <= AGREES * curve.v
    good = solution.good & agrees & (curve.v > 0)
    return Estimate(solution.base, solution.delta, np.sqrt(curve.v), good, curve.posterior, np.zeros(len(good), dtype=bool))


def log_posterior(
    batch: Batch, sse: NDArray[np.float64], base: NDArray[np.float64], delta: NDArray[np.float64], v: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) Stan's target without its constants."""
    fit = -0.5 * batch.count * np.log(v) - sse / (2 * v) - 2 * v
    return np.asarray(fit - (base**2 * batch.precision).sum(axis=1) / 2 - np.abs(delta).sum(axis=1) / batch.tau)


def _design(batch: Batch) -> NDArray[np.float64]:
    """(r, p, T) lines, features, ramps."""
    lines, (_, count, length) = batch.lines, batch.features.shape
    matrix = np.empty((max(len(batch.trend), len(batch.features)), batch.trend.shape[1] + count, length))
    matrix[:, :lines], matrix[:, lines + count :] = batch.trend[:, :lines], batch.trend[:, lines:]
    matrix[:, lines : lines + count] = batch.features
    return batch.hide(matrix)


def _times(design: NDArray[np.float64], theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, T) coefficients (n, p) times design (r, p, T)."""
    if len(design) == 1:
        return np.asarray(theta @ design[0])
    return np.matmul(theta[:, None], design)[:, 0]


def _sums(
    design: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Gram matrices (r, p, p), right-hand sides (n, p) and sums of squares (n,)."""
    gram = np.matmul(design, design.transpose(0, 2, 1))
    right = y @ design[0].T if len(design) == 1 else np.matmul(design, y[..., None])[..., 0]
    return gram, right, np.einsum("nt,nt->n", y, y)


def _sums_of_own(batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """As `_sums` for series with gaps: their features are the same but for the gaps, so that their products are made once."""
    assert batch.seen is not None
    features, lines, count = batch.features[0], batch.lines, batch.features.shape[1]
    upper = np.triu_indices(count)
    own = batch.trend
    size = own.shape[1] + count
    order = np.r_[:lines, lines + count : size, lines : lines + count]  # of the trend's columns and the features' in the design
    trend, feature = order[: own.shape[1]], order[own.shape[1] :]
    gram = np.empty((len(own), size, size))
    gram[:, trend[:, None], trend] = np.matmul(own, own.transpose(0, 2, 1))
    gram[:, trend[:, None], feature] = (own.reshape(-1, own.shape[2]) @ features.T).reshape(len(own), -1, count)
    gram[:, feature[:, None], trend] = gram[:, trend[:, None], feature].transpose(0, 2, 1)
    gram[:, feature[upper[0]], feature[upper[1]]] = batch.seen @ (features[upper[0]] * features[upper[1]]).T
    gram[:, feature[upper[1]], feature[upper[0]]] = gram[:, feature[upper[0]], feature[upper[1]]]
    right = np.empty((len(own), size))
    right[:, trend] = np.matmul(own, batch.y[..., None])[..., 0]
    right[:, feature] = batch.y @ features.T
    return gram, right, np.einsum("nt,nt->n", batch.y, batch.y)


@dataclass
class _Curve:
    """Trend, product and sum of n series for given coefficients, and how well they fit."""

    trend: NDArray[np.float64]
    product: NDArray[np.float64]
    errors: NDArray[np.float64]
    v: NDArray[np.float64]
    posterior: NDArray[np.float64]


def _curve(batch: Batch, base: NDArray[np.float64], delta: NDArray[np.float64]) -> _Curve:
    beta, by = base[:, batch.lines :], batch.multiplicative
    trend = batch.trend_of(base, delta)
    typical, product = trend, np.ones((1, 1))
    if by.any():
        product = 1.0 + _times(batch.features[:, by], beta[:, by])
        typical = trend * product
    if not by.all():
        typical = typical + _times(batch.features[:, ~by], beta[:, ~by])
    errors = batch.hide(batch.y - typical)
    sse = np.einsum("nt,nt->n", errors, errors)
    v = best_variance(batch.count, sse)
    return _Curve(trend, product, errors, v, log_posterior(batch, sse, base, delta, v))


def _thorough(batch: Batch, additive: Solution) -> Estimate:
    """The best optimum uphill from the usual start, Prophet's own, and the optima of simpler models.

    Those are without rate changes, and with weak features.
    """
    found = _climb(batch, *_start(batch, additive))
    starts = [_first_and_last(batch)]
    for simpler in (replace(batch, tau=STIFF * batch.tau), replace(batch, sigmas=WEAK * batch.sigmas)):
        first = _climb(simpler, *_start(simpler, additive))
        starts.append((first.base, first.delta))
    for start in starts:
        found.improve(np.arange(len(batch.y)), _climb(batch, *start))
    found.suspect = batch.count < CROWDED * (found.base.shape[1] + found.delta.shape[1])
    return found


def _suspect(batch: Batch, curve: _Curve) -> NDArray[np.bool_]:
    """(n,) series whose trend or its factor goes through zero or near it, or whose trend is far away from the values."""
    hidden = False if batch.seen is None else batch.seen == 0
    suspect = np.zeros(len(batch.y), dtype=bool)
    for part in (curve.trend, curve.product):
        low, high = np.where(hidden, np.inf, part).min(axis=1), np.where(hidden, -np.inf, part).max(axis=1)
        nearest = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(np.abs(low), np.abs(high)))
        suspect |= nearest < NEAR * np.maximum(-low, high)
    crowded = batch.count < CROWDED * (batch.trend.shape[1] + batch.features.shape[1])
    return suspect | crowded | (np.where(hidden, 0.0, np.abs(curve.trend)).max(axis=1) > FAR)


def _first_and_last(batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where Prophet itself begins: a line from the first value to the last, nothing else."""
    n, length = batch.y.shape
    row, first, last = np.arange(n), np.zeros(n, dtype=np.intp), np.full(n, length - 1)
    if batch.seen is not None:
        first, last = batch.seen.argmax(axis=1), length - 1 - batch.seen[:, ::-1].argmax(axis=1)
    base = np.zeros((n, batch.lines + batch.features.shape[1]))
    base[:, batch.lines - 1] = batch.y[row, first]
    if batch.lines > 1:
        base[:, 0] = batch.y[row, last] - batch.y[row, first]
    return base, np.zeros((n, batch.trend.shape[1] - batch.lines))


def _climb(batch: Batch, base: NDArray[np.float64], delta: NDArray[np.float64]) -> Estimate:
    """Goes uphill to the nearest optimum.

    The target is made quadratic around the last estimate, which is solved exactly, and searched along on the true target: by
    Gauss and Newton's curvature, which always leads uphill; once the steps are small by Newton's own, which is much faster there.
    """
    curve = _curve(batch, base, delta)
    posterior, good = curve.posterior.copy(), np.zeros(len(base), dtype=bool)
    newton, barred = np.zeros((2, len(base)), dtype=bool)
    rows, left = np.arange(len(base)), batch
    for _ in range(OUTER):
        at = np.concatenate([base[rows], delta[rows]], axis=1)
        solution = solve_again(_around(left, curve, at, newton[rows]), batch.tau, delta[rows], curve.v)
        target = np.where(solution.good[:, None], np.concatenate([solution.base, solution.delta], axis=1), at)
        reached_at, reached = _search(left, at, target, posterior[rows])
        base[rows], delta[rows] = reached_at[:, : base.shape[1]], reached_at[:, base.shape[1] :]
        gain = reached - posterior[rows]
        posterior[rows], good[rows] = reached, solution.good
        barred[rows] |= newton[rows] & ~solution.good
        over = (gain < GAIN) & (solution.good | ~newton[rows])
        newton[rows] = solution.good & (gain < CLOSE) & ~barred[rows]
        rows = rows[~over]
        if not len(rows):
            break
        left = batch.take(rows)
        curve = _curve(left, base[rows], delta[rows])
    good[rows] = False
    delta[np.abs(delta) < NEGLIGIBLE * batch.tau] = 0.0
    final = _curve(batch, base, delta)
    good &= final.v > 0
    return Estimate(base, delta, np.sqrt(final.v), good, final.posterior, ~good | _suspect(batch, final))


def _around(batch: Batch, curve: _Curve, at: NDArray[np.float64], newton: NDArray[np.bool_]) -> Quadratic:
    """Squared errors as a quadratic function of all coefficients near `at` (n, p).

    Where `newton` (n,), with the curve's own second derivatives: those of a trend's coefficient with a feature's.
    """
    design = _jacobian(batch, curve)
    gram, right, square = _sums(design, curve.errors + _times(design, at))
    if newton.any():
        which, by, lines = np.flatnonzero(newton), np.flatnonzero(batch.multiplicative), batch.lines
        part = batch.take(which)
        trend = np.r_[:lines, lines + batch.features.shape[1] : gram.shape[1]]
        bend = np.zeros((len(which), *gram.shape[1:]))
        weighted = part.trend * curve.errors[which][:, None]
        bend[:, trend[:, None], lines + by] = -np.matmul(weighted, part.features[:, by].transpose(0, 2, 1))
        bend += bend.transpose(0, 2, 1)
        turned = np.matmul(bend, at[which][..., None])[..., 0]
        gram[which] += bend
        right[which] += turned
        square[which] += np.einsum("np,np->n", turned, at[which])
    return Quadratic.of(gram, right, square, batch.count, batch.precision)


def _start(batch: Batch, additive: Solution) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients to begin with: the additive fit in units of its trend's level, or the mean alone where that is better."""
    lines, base, delta = batch.lines, additive.base.copy(), additive.delta.copy()
    level = batch.hide(batch.trend_of(base, delta)).sum(axis=1) / batch.count
    by = np.concatenate([np.zeros(lines, dtype=bool), batch.multiplicative])
    base[:, by] /= np.where(np.abs(level) > 1e-3, level, np.inf)[:, None]
    mean = np.zeros_like(base)
    mean[:, lines - 1] = batch.y.sum(axis=1) / batch.count
    worse = ~(_curve(batch, base, delta).posterior >= _curve(batch, mean, np.zeros_like(delta)).posterior)
    base[worse], delta[worse] = mean[worse], 0.0
    return base, delta


def _jacobian(batch: Batch, curve: _Curve) -> NDArray[np.float64]:
    """(n, p, T) derivatives of the curve by its coefficients."""
    lines, count = batch.lines, batch.features.shape[1]
    matrix = np.empty((len(batch.y), batch.trend.shape[1] + count, batch.y.shape[1]))
    product, trend = batch.hide(curve.product)[:, None], batch.hide(curve.trend)[:, None]
    np.multiply(product, batch.trend[:, :lines], out=matrix[:, :lines])
    np.multiply(product, batch.trend[:, lines:], out=matrix[:, lines + count :])
    if batch.multiplicative.all():
        np.multiply(trend, batch.features, out=matrix[:, lines : lines + count])
    else:
        one = batch.hide(np.ones_like(curve.product))[:, None]
        matrix[:, lines : lines + count] = np.where(batch.multiplicative[:, None], trend, one) * batch.features
    return matrix


def _search(
    batch: Batch, at: NDArray[np.float64], target: NDArray[np.float64], posterior: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first point from `target` back to `at`, by halves, that is better than `at`, or the next where that is better still.

    Without that second look the steps may jump to and fro over the optimum. `at` itself where nothing is better.
    """
    split = batch.lines + batch.features.shape[1]
    best, reached = at.copy(), posterior.copy()
    todo, step = np.arange(len(at)), 1.0
    for _ in range(HALVINGS):
        trial = at[todo] + step * (target[todo] - at[todo])
        part = batch.take(todo) if len(todo) < len(at) else batch
        found = _curve(part, trial[:, :split], trial[:, split:]).posterior
        better = found > reached[todo]
        had = reached[todo] > posterior[todo]
        best[todo[better]], reached[todo[better]] = trial[better], found[better]
        todo, step = todo[~had], step / 2
        if not len(todo):
            break
    return best, reached
