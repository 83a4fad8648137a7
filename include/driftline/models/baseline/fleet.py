"""A fitted fleet: parameters of many Prophet models as arrays, and predictions of all of them at once."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm

from driftline.models.baseline.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SCALARS = 5  # k, m, sigma, y_scale, y_min
INTERVAL = 0.95


@dataclass
class Prediction:
    """Predictions of N series at T times, each (N, T); NaN for series without a model."""

    typical: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


@dataclass
class Group:
    """Series that share a grid.

    Attributes:
        grid: Their design.
        rows: (n,) which series of the fleet these are.
        numbers: (n, 5 + S + K) k, m, sigma, y_scale, y_min, delta, beta as Prophet has them.
    """

    grid: Grid
    rows: NDArray[np.intp]
    numbers: NDArray[np.float64]

    def predict(self, times: NDArray[np.datetime64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and the trend's standard deviation, each (n, T), in the model's space.

        The trend's future uncertainty is Prophet's own, in closed form instead of simulated: changepoints come at the rate
        of the past with Laplace distributed sizes of the past's mean; their sum after h steps of d has variance
        2 p (λ d)² h (4h² − 1) / 12 with p = min(1, S d).
        """
        t, features = self.grid.scaled(times), self.grid.features(times)
        changes = self.grid.changepoints
        k, m, _, scale, floor = self.numbers[:, :SCALARS].T[:, :, None]
        delta, beta = self.numbers[:, SCALARS : SCALARS + len(changes)], self.numbers[:, SCALARS + len(changes) :]
        trend = k * t + m + delta @ np.maximum(t[None] - changes[:, None], 0.0)
        multiplicative = self.grid.multiplicative > 0
        product = 1 + beta[:, multiplicative] @ features[:, multiplicative].T
        mean = trend * product + beta[:, ~multiplicative] @ features[:, ~multiplicative].T
        return mean * scale + floor, np.abs(self._trend_sd(t, delta) * product * scale)

    @property
    def sigma(self) -> NDArray[np.float64]:
        """(n,) the observation noise in the model's space."""
        return self.numbers[:, 2] * self.numbers[:, 3]

    def _trend_sd(self, t: NDArray[np.float64], delta: NDArray[np.float64]) -> NDArray[np.float64]:
        future = t > 1.0
        sd = np.zeros((len(delta), len(t)))
        if future.any() and delta.shape[1]:
            step = float(np.median(np.diff(t))) if len(t) > 1 else float(t[-1] - 1.0)
            steps = np.maximum(1.0, (t[future] - 1.0) / step)
            rate = min(1.0, len(self.grid.changepoints) * step)
            size = np.abs(delta).mean(axis=1)[:, None] + 1e-8
            sd[:, future] = size * step * np.sqrt(2 * rate * steps * (4 * steps**2 - 1) / 12)
        return sd


@dataclass
class Fleet:
    """Prophet models of N series.

    Attributes:
        size: N.
        options: Prophet's options.
        groups: The fitted series, by grid.
        failed: Series number → why it has no model.
        sqrt: (N,) whether the series was fitted in sqrt space.
    """

    size: int
    options: dict[str, Any]
    groups: list[Group]
    failed: dict[int, str]
    sqrt: NDArray[np.bool_]

    def moments(self, times: NDArray[np.datetime64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and the trend's standard deviation in the model's space (sqrt space where `sqrt`), each (N, T)."""
        mean, sd = (np.full((self.size, len(times)), np.nan) for _ in range(2))
        for group in self.groups:
            mean[group.rows], sd[group.rows] = group.predict(times)
        return mean, sd

    @property
    def sigma(self) -> NDArray[np.float64]:
        """(N,) Prophet's sigma_obs in the model's space; NaN for series without a model."""
        sigma = np.full(self.size, np.nan)
        for group in self.groups:
            sigma[group.rows] = group.sigma
        return sigma

    def predict(
        self, times: NDArray[np.datetime64], *, interval: float = INTERVAL, sigma: NDArray[np.float64] | None = None
    ) -> Prediction:
        """Typical values with the bounds of a central `interval`, in units of y.

        `sigma` (N,) takes the place of Prophet's own noise, such as one that was calibrated on residuals.
        """
        mean, trend = self.moments(times)
        noise = self.sigma if sigma is None else sigma
        half = norm.ppf(0.5 + interval / 2) * np.sqrt(trend**2 + noise[:, None] ** 2)
        return Prediction(*(self.to_units(part) for part in (mean, mean - half, mean + half)))

    def to_units(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """From the model's space (N, T) to the units of y."""
        return np.where(self.sqrt[:, None], np.maximum(values, 0.0) ** 2, values)

    def to_space(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """From the units of y (N, T) to the model's space."""
        return np.where(self.sqrt[:, None], np.sqrt(np.maximum(values, 0.0)), values)

    def to_numbers(self) -> dict[str, Any]:
        """JSON data: grids as lists, parameters as base64 of float64."""
        return {
            "size": self.size,
            "options": self.options,
            "failed": {str(row): reason for row, reason in self.failed.items()},
            "sqrt": np.flatnonzero(self.sqrt).tolist(),
            "groups": [
                {"grid": group.grid.to_numbers(), "rows": group.rows.tolist(), "numbers": pack(group.numbers)}
                for group in self.groups
            ],
        }

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any]) -> Fleet:
        """The fleet again."""
        options = numbers["options"]
        groups = [
            Group(
                Grid.from_numbers(group["grid"], options),
                np.asarray(group["rows"], dtype=np.intp),
                unpack(group["numbers"], len(group["rows"])),
            )
            for group in numbers["groups"]
        ]
        sqrt = np.zeros(numbers["size"], dtype=bool)
        sqrt[numbers["sqrt"]] = True
        return cls(numbers["size"], options, groups, {int(row): why for row, why in numbers["failed"].items()}, sqrt)


def pack(numbers: NDArray[np.float64]) -> str:
    """A float64 matrix as base64 text."""
    return base64.b64encode(np.ascontiguousarray(numbers, dtype="<f8").tobytes()).decode()


def unpack(text: str, rows: int) -> NDArray[np.float64]:
    """The matrix again, (rows, …)."""
    return np.frombuffer(base64.b64decode(text), dtype="<f8").reshape(rows, -1).astype(np.float64)


def select(fleet: Fleet, rows: Sequence[int]) -> Fleet:
    """The fleet of some of its series, renumbered in the order given."""
    place = {row: new for new, row in enumerate(rows)}
    groups = []
    for group in fleet.groups:
        inside = [n for n, row in enumerate(group.rows.tolist()) if row in place]
        if inside:
            numbers = np.array([place[int(group.rows[n])] for n in inside], dtype=np.intp)
            groups.append(Group(group.grid, numbers, group.numbers[inside]))
    failed = {place[row]: why for row, why in fleet.failed.items() if row in place}
    return Fleet(len(place), fleet.options, groups, failed, fleet.sqrt[list(rows)])
