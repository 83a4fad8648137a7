"""Prophet's maximum a posteriori estimate for many series at once.

With y scaled by Prophet, the target that Stan maximises is, without its constants,

    −T log σ − SSE / 2σ² − 2σ² − Σ bᵢ² Dᵢ / 2 − Σ |δⱼ| / τ

where b are the coefficients with normal priors (k, m, β; D their precisions) and δ the rate changes with Laplace priors. For a
fixed v = σ² the best b is linear in δ, so a quadratic program in δ alone is left, with an L1 penalty λ = v/τ. It is solved by a
primal-dual interior point method (Mehrotra's predictor and corrector) in δ = δ⁺ − δ⁻, both ≥ 0, for all series of a batch in
step; v is set to its own optimum given the rest, in closed form, between the steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAP = 1e-8  # nats of log posterior that the solution may be away from the optimum
RESIDUAL = 1e-6  # of λ, for the optimality conditions
ROUND_OFF = 1e-13  # of the data's size: a gradient is not known better than this
STEPS = 60
STEP_BACK = 0.995  # of the way to the boundary
LOG_STEP = float(np.log(5.0))  # v moves by this factor at most in a step
CROWDED = 8  # values for each coefficient
LONG = 25  # steps after which those that are left are taken with care: those of v are halved …
CENTRING = 0.3  # … and μ goes down by this factor
SLOW, FASTER = 0.3, 1000.0  # steps of v that shrink no faster than by this factor are lengthened, so many times at most
START = 0.1  # of δ⁺ and δ⁻
ACTIVE = 1e-6  # of the largest rate change: what is smaller counts as none
AGAIN = 8  # solutions with the same rate changes active


@dataclass
class Quadratic:
    """Least squares of n series in base coefficients and rate changes, the base made diagonal.

    r is 1 where all series share a design, n where each has its own; q base coefficients, S rate changes. With V the matrix for
    which Vᵀ(BᵀB)V = diag(e) and VᵀDV = 1, base coefficients are b = Vφ.

    Attributes:
        basis: (r, q, q) V.
        e: (r, q) curvature of φ.
        cross: (r, q, S) Vᵀ BᵀR.
        ramps: (r, S, S) RᵀR.
        base: (n, q) Vᵀ Bᵀy.
        slope: (n, S) Rᵀy.
        square: (n,) yᵀy.
        count: (n,) observed values T.
    """

    basis: NDArray[np.float64]
    e: NDArray[np.float64]
    cross: NDArray[np.float64]
    ramps: NDArray[np.float64]
    base: NDArray[np.float64]
    slope: NDArray[np.float64]
    square: NDArray[np.float64]
    count: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        gram: NDArray[np.float64],
        right: NDArray[np.float64],
        square: NDArray[np.float64],
        count: NDArray[np.float64],
        precision: NDArray[np.float64],
    ) -> Quadratic:
        """From Gram matrices (r, q + S, q + S) of the design, right-hand sides (n, q + S), and the base's precisions (q,)."""
        q = len(precision)
        d = 1.0 / np.sqrt(precision)
        e, vectors = np.linalg.eigh(gram[:, :q, :q] * (d[:, None] * d))
        e = np.where(np.abs(e) < ROUND_OFF * e[:, -1:], 0.0, e)
        basis = d[:, None] * vectors
        transposed = basis.transpose(0, 2, 1)
        base = right[:, :q] @ basis[0] if len(gram) == 1 else np.matmul(transposed, right[:, :q, None])[..., 0]
        return cls(basis, e, np.matmul(transposed, gram[:, :q, q:]), gram[:, q:, q:], base, right[:, q:], square, count)

    @property
    def shared(self) -> bool:
        """Whether all series have one design."""
        return len(self.e) == 1

    @property
    def crowded(self) -> NDArray[np.bool_]:
        """(n,) whether there are almost as many coefficients as values: then there may be an optimum at a large and a small v."""
        return self.count < CROWDED * (self.slope.shape[1] + self.basis.shape[1])

    @property
    def least(self) -> NDArray[np.float64]:
        """(n,) what squared errors cannot be told from zero below."""
        return 1e-15 * self.square + np.finfo(np.float64).tiny

    def variance(self, start: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
        """(n,) v of a fit without rate changes, as so many steps lead there."""
        v, nothing = start, np.zeros_like(self.slope)
        for _ in range(steps):
            v = best_variance(self.count, np.maximum(self.sse(nothing, self.phi(nothing, v), nothing), self.least))
        return v

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Quadratic:
        """The problems of some of the series."""
        mine = (self.base[rows], self.slope[rows], self.square[rows], self.count[rows])
        if self.shared:
            return Quadratic(self.basis, self.e, self.cross, self.ramps, *mine)
        return Quadratic(self.basis[rows], self.e[rows], self.cross[rows], self.ramps[rows], *mine)

    def phi(self, delta: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, q) the best φ for given rate changes and variances."""
        crossed = delta @ self.cross[0].T if self.shared else np.matmul(self.cross, delta[..., None])[..., 0]
        return np.asarray((self.base - crossed) / (self.e + v[:, None]))

    def sse(self, delta: NDArray[np.float64], phi: NDArray[np.float64], bent: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) sums of squared errors; `bent` is `ramps @ delta`."""
        crossed = phi @ self.cross[0] if self.shared else np.matmul(phi[:, None], self.cross)[:, 0]
        linear = ((2 * self.base - phi * self.e) * phi).sum(axis=1)
        return self.square - linear - ((2 * (self.slope - crossed) - bent) * delta).sum(axis=1)

    def bend(self, delta: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, S) `ramps @ delta`."""
        return delta @ self.ramps[0] if self.shared else np.matmul(self.ramps, delta[..., None])[..., 0]

    def curvature(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, S, S) curvature in δ once the base is eliminated; `weight` (n, q) is 1 / (e + v)."""
        if not self.shared:
            return self.ramps - np.matmul(self.cross.transpose(0, 2, 1) * weight[:, None, :], self.cross)
        size = self.cross.shape[2]
        products = (self.cross[0][:, :, None] * self.cross[0][:, None, :]).reshape(len(self.cross[0]), -1)
        return self.ramps - (weight @ products).reshape(-1, size, size)

    def through(self, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, S) `crossᵀ @ scaled` for (n, q)."""
        return scaled @ self.cross[0] if self.shared else np.matmul(scaled[:, None], self.cross)[:, 0]


@dataclass
class Solution:
    """Estimates of n series.

    Attributes:
        base: (n, q) base coefficients.
        delta: (n, S) rate changes.
        v: (n,) variances.
        good: (n,) whether the optimality conditions hold.
    """

    base: NDArray[np.float64]
    delta: NDArray[np.float64]
    v: NDArray[np.float64]
    good: NDArray[np.bool_]


def best_variance(count: NDArray[np.float64], sse: NDArray[np.float64]) -> NDArray[np.float64]:
    """σ² that maximises −T/2 log v − SSE/2v − 2v, in its stable form."""
    return np.asarray(2 * sse / (count + np.sqrt(count * count + 16 * sse)))


def solve(problem: Quadratic, tau: float, *, start: NDArray[np.float64] | None = None, gap: float = GAP) -> Solution:
    """Solves all problems of a batch.

    Args:
        problem: What to solve.
        tau: Prophet's changepoint_prior_scale.
        start: (n,) variances to begin with; by default about those of a fit without rate changes, from below.
        gap: Nats of log posterior that may be missing at the end.
    """
    n, size = problem.slope.shape
    nothing = np.zeros((n, size))
    if start is None:
        start = problem.variance(np.maximum(1e-6, problem.least), 2)
    result = Solution(np.zeros((n, problem.basis.shape[1])), nothing, start.copy(), np.zeros(n, dtype=bool))
    if size == 0:
        return _without_changes(problem, result)
    _Iteration(problem, tau, gap, result).run()
    return result


def _without_changes(problem: Quadratic, result: Solution) -> Solution:
    before = problem.variance(result.v, STEPS)
    result.v = problem.variance(before, 1)
    result.good = np.abs(result.v / before - 1) < RESIDUAL
    result.base = np.matmul(problem.basis, problem.phi(result.delta, result.v)[..., None])[..., 0]
    return result


def solve_again(problem: Quadratic, tau: float, near: NDArray[np.float64], start: NDArray[np.float64]) -> Solution:
    """Solves problems whose solutions are known nearly: with the same rate changes active, of the same sign, it is linear.

    Where that is not so, the series takes the long way by `solve`.

    Args:
        problem: What to solve.
        tau: Prophet's changepoint_prior_scale.
        near: (n, S) rate changes of a nearby problem.
        start: (n,) its variances.
    """
    if not near.shape[1]:
        return solve(problem, tau, start=start)
    sign = np.where(np.abs(near) > ACTIVE * np.abs(near).max(axis=1, keepdims=True, initial=0.0), np.sign(near), 0.0)
    active, v = sign != 0, start.copy()
    least = problem.least
    diagonal = np.arange(near.shape[1])
    for _ in range(AGAIN):
        weight = 1.0 / (problem.e + v[:, None])
        matrix = problem.curvature(weight)
        downhill = problem.slope - problem.through(weight * problem.base)
        penalty = (v / tau)[:, None]
        masked = matrix * (active[:, :, None] & active[:, None, :])
        masked[:, diagonal, diagonal] += ~active
        delta = _apply(_root(masked), (downhill - penalty * sign) * active)
        phi = problem.phi(delta, v)
        before, v = v, best_variance(problem.count, np.maximum(problem.sse(delta, phi, problem.bend(delta)), least))
        moved = np.abs(v / before - 1)
        if np.nanmax(moved, initial=0.0) < RESIDUAL:
            break
    outside = np.abs(downhill - np.matmul(matrix, delta[..., None])[..., 0]) > penalty * (1 + RESIDUAL)
    good = (moved < RESIDUAL) & (np.sign(delta) == sign).all(axis=1) & ~(outside & ~active).any(axis=1)
    base = np.matmul(problem.basis, problem.phi(delta, v)[..., None])[..., 0]
    result = Solution(base, delta, v, good)
    if not good.all():
        bad = np.flatnonzero(~good)
        longer = solve(problem.take(bad), tau, start=start[bad])
        result.base[bad], result.delta[bad] = longer.base, longer.delta
        result.v[bad], result.good[bad] = longer.v, longer.good
    return result


class _Iteration:
    """The interior point method's state. Series that are done leave it, so that the rest goes faster."""

    def __init__(self, problem: Quadratic, tau: float, gap: float, result: Solution) -> None:
        self.problem, self.tau, self.gap, self.least, self.result = problem, tau, gap, problem.least, result
        n, size = problem.slope.shape
        self.rows = np.arange(n)
        self.v = result.v.copy()
        self.before, self.mu = np.zeros(n), np.full(n, np.inf)  # the last step of log v; complementarity
        self.crowded = problem.crowded
        self.size = np.abs(problem.slope).max(axis=1)
        penalty = np.repeat((self.v / tau)[:, None], size, axis=1)
        # δ⁺, δ⁻ in one array, and their multipliers in another: (n, 2, S)
        self.x = np.full((n, 2, size), START)
        self.z = np.stack([penalty, penalty], axis=1)

    def run(self) -> None:
        """Iterates until every series is done, or has had its steps."""
        for number in range(STEPS):
            delta = self.x[:, 0] - self.x[:, 1]
            moved = self._update_variance(delta, number)
            if self._leave(*self._conditions(delta), moved):
                return
            self._step(careful=number > LONG)

    def _update_variance(self, delta: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        """Sets v to its optimum given δ, within limits; returns by which share it moved."""
        problem = self.problem
        self.bent = problem.bend(delta)
        if number == 0:
            return np.ones(len(self.v))
        sse = np.maximum(problem.sse(delta, problem.phi(delta, self.v), self.bent), self.least)
        step = np.clip(np.log(best_variance(problem.count, sse) / self.v), -LOG_STEP, LOG_STEP)
        moved = np.abs(step)
        if number > LONG:
            step /= 2
        step[self.crowded & (self.mu * 2 * delta.shape[1] > self.v)] = 0.0
        # near the end v comes nearer by the same factor in every step, if slowly: then go to where that leads (Aitken)
        ratio = step / np.where(self.before == 0, np.inf, self.before)
        slow = (ratio > SLOW) & (ratio < 1 - 1 / FASTER) & (self.mu < 1e-4 * self.v)
        step = np.where(slow, np.clip(step / (1 - ratio), -LOG_STEP, LOG_STEP), step)
        self.before = np.where(slow, 0.0, step)
        factor = np.exp(step)
        self.z *= factor[:, None, None]  # multipliers keep their sum 2λ
        self.v = self.v * factor
        return moved

    def _conditions(self, delta: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Complementarity μ, and the largest residual of the dual conditions against what may remain of it."""
        problem, v = self.problem, self.v[:, None]
        self.weight = 1.0 / (problem.e + v)
        # minus the gradient of the smooth part, with the base at its best
        downhill = problem.slope - self.bent - problem.through(problem.phi(delta, self.v))
        lam = v / self.tau
        self.residual = np.stack([downhill - lam + self.z[:, 0], -downhill - lam + self.z[:, 1]], axis=1)
        self.mu = np.einsum("nij,nij->n", self.x, self.z) / (2 * delta.shape[1])
        allowed = np.maximum(RESIDUAL * lam[:, 0], ROUND_OFF * self.size)
        return self.mu, np.abs(self.residual).max(axis=(1, 2)) / allowed

    def _leave(self, mu: NDArray[np.float64], residual: NDArray[np.float64], moved: NDArray[np.float64]) -> bool:
        """Takes finished series out; says whether none is left."""
        size = self.x.shape[2]
        done = (mu * 2 * size / self.v < self.gap) & (residual < 1) & (moved < RESIDUAL)
        if not done.any():
            return False
        rows, delta, v = self.rows[done], (self.x[:, 0] - self.x[:, 1])[done], self.v[done]
        finished = self.problem.take(done)
        self.result.delta[rows], self.result.v[rows], self.result.good[rows] = delta, v, True
        self.result.base[rows] = np.matmul(finished.basis, finished.phi(delta, v)[..., None])[..., 0]
        left = ~done
        self.problem = self.problem.take(left)
        for name in ("rows", "v", "before", "crowded", "x", "z", "size", "least", "weight", "residual", "mu"):
            setattr(self, name, getattr(self, name)[left])
        return not left.any()

    def _step(self, *, careful: bool) -> None:
        size = self.x.shape[2]
        ratio = self.z / self.x
        inner = 1.0 / (1.0 / ratio[:, 0] + 1.0 / ratio[:, 1])
        matrix = self.problem.curvature(self.weight)
        matrix[:, np.arange(size), np.arange(size)] += inner
        root = _root(matrix)

        def direction(right: NDArray[np.float64]) -> NDArray[np.float64]:
            scaled = right / ratio
            pull = (scaled[:, 0] - scaled[:, 1]) * inner
            rest = pull - inner * _apply(root, pull)
            return np.stack([scaled[:, 0] - rest / ratio[:, 0], scaled[:, 1] + rest / ratio[:, 1]], axis=1)

        right = self.residual - self.z
        bend: NDArray[np.float64] | float = 0.0
        if careful:  # Mehrotra's steps may go round in a circle; plain ones towards the central path do not
            centre = CENTRING * self.mu
        else:
            ahead = direction(right)
            ahead_z = -self.z - ratio * ahead
            step = np.minimum(_room(self.x, ahead), _room(self.z, ahead_z))[:, None, None]
            reached = np.einsum("nij,nij->n", self.x + step * ahead, self.z + step * ahead_z) / (2 * size)
            centre, bend = np.clip((reached / self.mu) ** 3, 1e-12, 1) * self.mu, ahead * ahead_z
        # without the floor μ → 0 and round-off wrecks the system
        correction = (np.maximum(centre, 0.1 * self.gap * self.v / (2 * size))[:, None, None] - bend) / self.x
        move = direction(right + correction)
        move_z = correction - self.z - ratio * move
        step = np.minimum(1.0, STEP_BACK * np.minimum(_room(self.x, move), _room(self.z, move_z)))[:, None, None]
        self.x = self.x + step * move
        self.z = self.z + step * move_z


def _room(at: NDArray[np.float64], move: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) the largest step ≤ 1 that keeps everything positive."""
    ratio = -move / at
    return 1.0 / np.maximum(ratio.max(axis=(1, 2)), 1.0)


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, S, S) lower triangular X with XᵀX the inverses of positive definite matrices; NaN for one that is not, alone.

    Half the work of inverting as a general matrix does.
    """
    try:
        lower = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        lower = np.stack([_lower(single) for single in matrix])
    root = np.zeros_like(lower)
    size = lower.shape[1]
    scale = 1.0 / lower[:, np.arange(size), np.arange(size)]
    for row in range(size):
        np.matmul(lower[:, row, None, :row], root[:, :row, :row], out=root[:, row, None, :row])
        root[:, row, :row] *= -scale[:, row, None]
        root[:, row, row] = scale[:, row]
    return root


def _lower(single: NDArray[np.float64]) -> NDArray[np.float64]:
    try:
        return np.asarray(np.linalg.cholesky(single), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.full_like(single, np.nan)


def _apply(root: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, S) the inverse that `root` stands for, times (n, S)."""
    return np.asarray(np.matmul(np.matmul(root, right[..., None])[:, None, :, 0], root)[:, 0])
