"""A fitted fleet: parameters of many Prophet models as arrays, and predictions of all of them at once."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pandas as pd
from scipy.stats import norm

from driftline.core.errors import DataError
from driftline.models.baseline.design import HEAD, Design, ticks
from driftline.models.baseline.habits import WIDTH, Habits, joined, milliseconds
from driftline.models.baseline.interval import P_STEP, half_width, trend_sd
from driftline.models.baseline.shape import own_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import timedelta

    from numpy.typing import NDArray
    from prophet import Prophet

    from driftline.models.baseline.habits import Clocks

SCALARS = 5  # k, m, sigma, y_scale, y_min
INTERVAL = 0.95
BLOCK = 500_000  # values that a prediction works on at once: they stay in the cache
RARE = 1e3  # ρ beyond which more noise makes no difference


@dataclass
class Prediction:
    """Predictions of N series at T times, each (N, T); NaN for series without a model."""

    typical: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


@dataclass
class Group:
    """Series that share a design.

    Attributes:
        design: Seasonalities, holidays, regressors.
        rows: (n,) which series of the fleet these are.
        basis: (r, 3 + S + 2R) start and scale in microseconds, number of observations, changepoints in scaled time, mean and
            standard deviation of the regressors; r is 1 if all series were observed at the same times, else n.
        numbers: (n, 5 + S + K) k, m, sigma, y_scale, y_min, delta, beta as Prophet has them.
    """

    design: Design
    rows: NDArray[np.intp]
    basis: NDArray[np.float64]
    numbers: NDArray[np.float64]

    @property
    def changepoints(self) -> NDArray[np.float64]:
        """(r, S) changepoints in scaled time."""
        return self.basis[:, HEAD : self.basis.shape[1] - 2 * len(self.design.regressors)]

    @property
    def delta(self) -> NDArray[np.float64]:
        """(n, S) rate changes."""
        return self.numbers[:, SCALARS : SCALARS + self.changepoints.shape[1]]

    @property
    def sigma(self) -> NDArray[np.float64]:
        """(n,) the observation noise in the model's space."""
        return self.numbers[:, 2] * self.numbers[:, 3]

    def take(self, inside: NDArray[np.intp] | slice) -> Group:
        """Some of the series, by their place in the group."""
        basis = self.basis if len(self.basis) == 1 else self.basis[inside]
        return Group(self.design, self.rows[inside], basis, self.numbers[inside])

    def parts(self, length: int) -> Iterator[Group]:
        """The group in pieces that are small enough to be worked on at once over `length` times."""
        size = max(1, BLOCK // max(1, length))
        for first in range(0, len(self.rows), size):
            yield self.take(slice(first, first + size))

    def scaled(self, times: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """(r, T) Prophet's t: 0 at the first observation, 1 at the last."""
        return (ticks(times) - self.basis[:, :1]) / self.basis[:, 1:2]

    def curve(
        self, times: NDArray[np.datetime64], features: NDArray[np.float64], regressors: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean (n, T), and what the trend is multiplied by, (n, T) or (n, 1), in the model's space.

        Args:
            times: (T,) as `Design.local` has them.
            features: (T, K) of the design.
            regressors: (n or 1, T, R) values of the regressors.
        """
        mean, product = self.trend(times), np.ones((len(self.rows), 1))
        beta, by = self.numbers[:, SCALARS + self.changepoints.shape[1] :], self.design.multiplicative
        own = self._by_regressors(beta, regressors) if regressors is not None else (0.0, 0.0)
        if by.any():
            product = 1.0 + beta[:, by] @ features[:, by].T + own[1]
            mean *= product
        if not by.all():
            mean += beta[:, ~by] @ features[:, ~by].T + own[0]
        mean *= self.numbers[:, 3:4]
        if self.numbers[:, 4].any():
            mean += self.numbers[:, 4:5]
        return mean, product * self.numbers[:, 3:4]

    def _by_regressors(
        self, beta: NDArray[np.float64], values: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n, T) what the regressors add, and what they multiply by; their columns among the features are 0."""
        count, standard = len(self.design.regressors), self.standard(values)
        terms = np.zeros((2, len(beta), values.shape[1]))
        for number in range(count):
            column = beta.shape[1] - count + number
            terms[int(self.design.multiplicative[column])] += beta[:, column, None] * standard[:, :, number]
        return terms[0], terms[1]

    def standard(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of regressors (n or 1, T, R) in units of their standard deviations in the history."""
        count = len(self.design.regressors)
        scales = self.basis[:, self.basis.shape[1] - 2 * count :].reshape(-1, 1, count, 2)
        return np.asarray((values - scales[..., 0]) / scales[..., 1])

    def trend(self, times: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """(n, T) the trend alone, in units of `y_scale`; times as `Design.local` has them."""
        t, changes = self.scaled(times), self.changepoints
        if self.design.template.growth == "logistic":
            return self._logistic(t)
        if len(t) == 1:
            design = np.concatenate([t, np.ones_like(t), np.maximum(t - changes[0][:, None], 0.0)])
            return np.concatenate([self.numbers[:, :2], self.delta], axis=1) @ design
        # rate and offset change after each changepoint: sums of steps at the places where they come
        places = np.searchsorted(ticks(times), self.basis[:, :1] + self.basis[:, 1:2] * changes, side="right")
        rate, offset = (np.zeros((len(t), t.shape[1] + 1)) for _ in range(2))
        row = np.arange(len(t))
        for place, change, at in zip(places.T, self.delta.T, changes.T, strict=True):
            rate[row, place] += change
            offset[row, place] -= change * at
        for steps, first in ((rate, self.numbers[:, 0]), (offset, self.numbers[:, 1])):
            steps[:, 0] += first
            np.cumsum(steps, axis=1, out=steps)
        t *= rate[:, :-1]
        t += offset[:, :-1]
        return t

    def _logistic(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        trends = []
        for row, numbers in enumerate(self.numbers):
            own = 0 if len(t) == 1 else row
            cap = np.full(t.shape[1], (self.design.options["cap"] - self.design.options.get("floor", 0.0)) / numbers[3])
            trends.append(
                self.design.template.piecewise_logistic(
                    t[own], cap, self.delta[row], numbers[0], numbers[1], self.changepoints[own]
                )
            )
        return np.array(trends)

    def spread(self, times: NDArray[np.datetime64]) -> Spread:
        """How far the trend may go astray in the future.

        Changepoints come at the rate of the past with Laplace distributed sizes of the past's mean, as Prophet simulates them.
        """
        moments = ticks(times)
        first = int(np.searchsorted(moments, (self.basis[:, 0] + self.basis[:, 1]).min(), side="right"))
        t = (moments[first:] - self.basis[:, :1]) / self.basis[:, 1:2]
        if len(moments) > 1:
            step = float(np.median(np.diff(moments))) / self.basis[:, 1]
        else:
            step = 1.0 / np.maximum(self.basis[:, 2] - 1, 1)
        steps = np.where(t > 1.0, np.maximum(1.0, (t - 1.0) / step[:, None]), 0.0)
        p = np.minimum(1.0, self.changepoints.shape[1] * step)
        size = np.abs(self.delta).mean(axis=1) + 1e-8
        if self.design.template.growth == "flat":
            size = np.zeros_like(size)
        sd = np.where(steps > 0, trend_sd(np.maximum(steps, 1.0), p[:, None]), 0.0)
        return Spread(first, (size * step)[:, None] * sd, steps, p)


@dataclass
class Spread:
    """The uncertainty of the trends of n series.

    Attributes:
        first: The first of the times that lies in any series' future; F follow from there on.
        sd: (n, F) standard deviation in scaled units, 0 in the past.
        steps: (r, F) steps ahead, 0 in the past.
        p: (r,) probability of a change in a step.
    """

    first: int
    sd: NDArray[np.float64]
    steps: NDArray[np.float64]
    p: NDArray[np.float64]


@dataclass
class Fleet:
    """Prophet models of N series.

    Attributes:
        size: N.
        options: Prophet's options.
        groups: The fitted series, by design.
        failed: Series number → why it has no model.
        sqrt: (N,) whether the series was fitted in sqrt space.
        fallbacks: Series number → why Prophet itself fitted it.
        history: ds (T,) and Y (N, T) that it was fitted to, if they are still at hand; used by `prophet` alone.
        habits: What these do besides, which no Prophet has.
    """

    size: int
    options: dict[str, Any]
    groups: list[Group]
    failed: dict[int, str]
    sqrt: NDArray[np.bool_]
    fallbacks: dict[int, str] = field(default_factory=dict)
    history: tuple[NDArray[np.datetime64], NDArray[np.float64], Mapping[str, NDArray[np.float64]]] | None = None
    habits: Habits = field(default_factory=Habits)

    def mean(
        self, times: NDArray[np.datetime64], regressors: Mapping[str, NDArray[np.float64]] | None = None
    ) -> NDArray[np.float64]:
        """(N, T) expected values in the model's space; NaN for series without a model."""
        mean = np.full((self.size, len(times)), np.nan)
        for part, local, features, given in self._parts(times, regressors):
            mean[part.rows], _ = part.curve(local, features, given)
        return mean if (moved := self._moved(times)) is None else mean + moved

    def clocks(self, times: NDArray[np.datetime64]) -> Clocks:
        """What clocks showed at these times (UTC): the series (n,) of each time zone, and this (T,)."""
        zones: dict[str, list[Group]] = {}
        for group in self.groups:
            options = group.design.options
            zones.setdefault(repr((options.get("time_zone"), options.get("time_shifts"))), []).append(group)
        return [(np.concatenate([each.rows for each in some]), some[0].design.local(times)) for some in zones.values()]

    def _moved(self, times: NDArray[np.datetime64]) -> NDArray[np.float64] | None:
        return self.habits.moved(self.clocks(times), self.size) if len(self.habits) else None

    def spread(self, times: NDArray[np.datetime64]) -> NDArray[np.float64] | None:
        """(N, T) how much values vary besides their noise, in the model's space: not 0 where a habit is, None if none is."""
        return self.habits.spread(self.clocks(times), self.size) if self.habits.vary else None

    def habitual(self, times: NDArray[np.datetime64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How far habits move series (N, T) from their curves, and how much values vary for them."""
        moved, spread = self._moved(times), self.spread(times)
        none = np.zeros((self.size, len(times)))
        return none if moved is None else moved, none if spread is None else spread

    def own_part(self, times: NDArray[np.datetime64], residuals: NDArray[np.float64], span: timedelta) -> NDArray[np.float64]:
        """As of `shape.own_part`, of the series (N, T) at times from which their shapes were learned."""
        return own_part(residuals, self.habits, self.clocks(times), milliseconds(span))

    @property
    def smooth(self) -> Fleet:
        """The same without habits."""
        return replace(self, habits=Habits())

    def moments(
        self, times: NDArray[np.datetime64], regressors: Mapping[str, NDArray[np.float64]] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and the trend's standard deviation in the model's space (sqrt space where `sqrt`), each (N, T)."""
        mean, sd = (np.full((self.size, len(times)), np.nan) for _ in range(2))
        for part, local, features, given in self._parts(times, regressors):
            mean[part.rows], product = part.curve(local, features, given)
            spread = part.spread(local)
            sd[part.rows, : spread.first] = 0.0
            sd[part.rows, spread.first :] = np.abs(product[:, -spread.sd.shape[1] :] * spread.sd)
        return (mean if (moved := self._moved(times)) is None else mean + moved), sd

    @property
    def sigma(self) -> NDArray[np.float64]:
        """(N,) Prophet's sigma_obs in the model's space; NaN for series without a model."""
        sigma = np.full(self.size, np.nan)
        for group in self.groups:
            sigma[group.rows] = group.sigma
        return sigma

    @property
    def scale(self) -> NDArray[np.float64]:
        """(N,) what Prophet scales by, the largest value of the history unless asked otherwise; NaN without a model."""
        scale = np.full(self.size, np.nan)
        for group in self.groups:
            scale[group.rows] = group.numbers[:, 3]
        return scale

    def replace(self, rows: NDArray[np.intp], other: Fleet) -> None:
        """Puts the series of another fleet, in the order of `rows`, in the place of those."""
        gone = set(rows.tolist())
        kept = [group.take(np.flatnonzero(~np.isin(group.rows, rows))) for group in self.groups]
        new = [Group(group.design, rows[group.rows], group.basis, group.numbers) for group in other.groups]
        self.groups = [group for group in [*kept, *new] if len(group.rows)]
        for mine, theirs in ((self.failed, other.failed), (self.fallbacks, other.fallbacks)):
            for row in gone & mine.keys():
                del mine[row]
            mine |= {int(rows[row]): reason for row, reason in theirs.items()}
        kept_place = np.arange(self.size)
        kept_place[rows] = -1
        self.habits = joined([self.habits.placed(kept_place), other.habits.placed(rows)])

    def predict(
        self,
        times: NDArray[np.datetime64],
        *,
        interval: float = INTERVAL,
        sigma: NDArray[np.float64] | None = None,
        regressors: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> Prediction:
        """Typical values with the bounds of a central `interval`, in units of y.

        Args:
            times: (T,) UTC, evenly spaced.
            interval: Share of values between the bounds.
            sigma: (N,) takes the place of Prophet's own noise, such as one that was calibrated on residuals.
            regressors: (T,) or (N, T) values at `times` of each regressor that the fleet was fitted with.
        """
        typical, lower, upper = (np.full((self.size, len(times)), np.nan) for _ in range(3))
        noise, moved = self._noise(sigma, interval), self._moved(times)
        for part, local, features, given in self._parts(times, regressors):
            mean, product = part.curve(local, features, given)
            if moved is not None:
                mean += moved[part.rows]
            half = self._half(part, local, product, noise[part.rows, None], interval)
            for target, values in zip((typical, lower, upper), (mean, mean - half, mean + half), strict=True):
                target[part.rows] = self._back(part.rows, values)
        return Prediction(typical, lower, upper)

    def half_width(
        self, times: NDArray[np.datetime64], *, interval: float = INTERVAL, sigma: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """(N, T) half the width of the central `interval` in the model's space; arguments as `predict` takes them."""
        half = np.full((self.size, len(times)), np.nan)
        noise = self._noise(sigma, interval)
        for part, local, features, given in self._parts(times, None):
            _, product = part.curve(local, features, given)
            half[part.rows] = self._half(part, local, product, noise[part.rows, None], interval)
        return half

    def _noise(self, sigma: NDArray[np.float64] | None, interval: float) -> NDArray[np.float64]:
        if not 0 < interval < 1:
            raise DataError(f"an interval of {interval}", expected="the share of values between the bounds: above 0, below 1")
        return self.sigma if sigma is None else sigma

    def _half(
        self,
        part: Group,
        local: NDArray[np.datetime64],
        product: NDArray[np.float64],
        noise: NDArray[np.float64],
        interval: float,
    ) -> NDArray[np.float64]:
        half = np.empty((len(part.rows), len(local)))
        half[:] = norm.ppf(0.5 + interval / 2) * noise
        spread = part.spread(local)
        ahead = spread.sd.shape[1]
        if not ahead:
            return half
        trend = np.abs(product[:, -ahead:] * spread.sd)
        unit = np.maximum(noise, np.maximum(trend / RARE, np.finfo(np.float64).tiny))
        ratio, future = trend / unit, half[:, spread.first :]
        for first, rows in _alike(part, spread.p):
            steps = spread.steps[first]
            begin = int((steps == 0).sum())
            if begin < ahead:
                widths = half_width(ratio[rows, begin:], steps[begin:], float(spread.p[first]), interval)
                future[rows, begin:] = unit[rows, begin:] * widths
        return half

    def _back(self, rows: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self.sqrt[rows].any():
            return values
        return np.where(self.sqrt[rows, None], np.maximum(values, 0.0) ** 2, values)

    def _parts(
        self, times: NDArray[np.datetime64], regressors: Mapping[str, NDArray[np.float64]] | None
    ) -> Iterator[tuple[Group, NDArray[np.datetime64], NDArray[np.float64], NDArray[np.float64] | None]]:
        if len(times) > 1 and not (times[1:] > times[:-1]).all():
            raise DataError("times are not in order", expected="ascending times", fix="Sort them.")
        for group in self.groups:
            local = group.design.local(times)
            features = group.design.features(local)
            for part in group.parts(len(times)):
                yield part, local, features, stack_regressors(group.design.regressors, regressors, part.rows, len(times))

    def to_units(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """From the model's space (N, T) to the units of y."""
        return np.where(self.sqrt[:, None], np.maximum(values, 0.0) ** 2, values) if self.sqrt.any() else values

    def to_space(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """From the units of y (N, T) to the model's space."""
        return np.where(self.sqrt[:, None], np.sqrt(np.maximum(values, 0.0)), values) if self.sqrt.any() else values

    def prophet(self, row: int) -> Prophet:
        """A real, fitted Prophet of one series, for its plots, components and JSON.

        It predicts what the fleet predicts (in sqrt space where the series was fitted there) but habits, for times in the series'
        time zone.
        Its history is what was fitted; a fleet that was read back from numbers knows that no more, and shows its curve instead.

        Raises:
            DataError: The series has no model.
        """
        if row in self.failed:
            raise DataError(f"series {row} has no model: {self.failed[row]}")
        for group in self.groups:
            inside = np.flatnonzero(group.rows == row)
            if len(inside):
                return self._prophet(group.take(inside))
        raise DataError(f"there is no series {row}", expected=f"0 to {self.size - 1}")

    def _prophet(self, one: Group) -> Prophet:
        numbers, changes = one.numbers[0], one.changepoints.shape[1]
        params: dict[str, Any] = {
            "k": numbers[None, :1], "m": numbers[None, 1:2], "sigma_obs": numbers[None, 2:3], "delta": one.delta.copy(),
            "beta": numbers[None, SCALARS + changes :], "y_scale": numbers[3], "y_min": numbers[4],
        }  # fmt: skip
        frame = self._history_of(one)
        for name in ("cap", "floor"):
            if name in one.design.options:
                frame[name] = one.design.options[name]
        return one.design.prophet({name: np.array(value) for name, value in params.items()}, frame, one.basis[0])

    def _history_of(self, one: Group) -> pd.DataFrame:
        row = int(one.rows[0])
        if self.history is None:
            moments = one.basis[0, 0] + one.basis[0, 1] * np.linspace(0, 1, max(2, int(one.basis[0, 2])))
            local = moments.round().astype("datetime64[us]")
            given = np.zeros((1, len(local), len(one.design.regressors)))
            mean, _ = one.curve(local, one.design.features(local), given if one.design.regressors else None)
            frame = pd.DataFrame({"ds": local, "y": mean[0]})
            for name in one.design.regressors:
                frame[name] = 0.0
            return frame
        ds, values, regressors = self.history
        local = one.design.local(ds)
        y = np.sqrt(np.maximum(values[row], 0.0)) if self.sqrt[row] else values[row]
        frame = pd.DataFrame({"ds": local, "y": np.asarray(y, dtype=np.float64)})
        for name in one.design.regressors:
            given = np.asarray(regressors[name], dtype=np.float64)
            frame[name] = given if given.ndim == 1 else given[row]
        return frame.dropna(subset="y").sort_values("ds", kind="stable", ignore_index=True)

    def to_numbers(self) -> dict[str, Any]:
        """JSON data: designs as they are, parameters as base64 of float64."""
        return {
            "size": self.size,
            "options": self.options,
            "failed": {str(row): reason for row, reason in self.failed.items()},
            "fallbacks": {str(row): reason for row, reason in self.fallbacks.items()},
            "sqrt": np.flatnonzero(self.sqrt).tolist(),
            **({"by_clock": self.habits.packed()} if len(self.habits) else {}),
            "groups": [
                {
                    "design": group.design.to_numbers(),
                    "rows": group.rows.tolist(),
                    "basis": pack(group.basis),
                    "numbers": pack(group.numbers),
                }
                for group in self.groups
            ],
        }

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any]) -> Fleet:
        """The fleet again."""
        groups = []
        for group in numbers["groups"]:
            rows = np.asarray(group["rows"], dtype=np.intp)
            values, basis = unpack(group["numbers"], len(rows)), group["basis"]
            design = _design(orjson.dumps(group["design"]))
            width = HEAD + values.shape[1] - SCALARS - len(design.sigmas) + 2 * len(design.regressors)
            groups.append(Group(design, rows, unpack(basis, -1, width), values))
        sqrt = np.zeros(numbers["size"], dtype=bool)
        sqrt[numbers["sqrt"]] = True
        reasons = ({int(row): why for row, why in numbers[name].items()} for name in ("failed", "fallbacks"))
        failed, fallbacks = reasons
        return cls(numbers["size"], numbers["options"], groups, failed, sqrt, fallbacks, habits=_habits(numbers))


def _habits(numbers: dict[str, Any]) -> Habits:
    if "by_clock" in numbers:
        return Habits.unpacked(numbers["by_clock"])
    if "habits" in numbers:  # as they were kept before they had a length: they come in the bucket that starts then
        before = unpack(numbers["habits"], -1, WIDTH - 1)
        return Habits(np.column_stack([before, np.ones(len(before))]))
    return Habits()


@lru_cache(maxsize=256)
def _design(text: bytes) -> Design:
    """Designs are the same in all chunks of a snapshot; making one takes milliseconds."""
    return Design.from_numbers(orjson.loads(text))


def _alike(part: Group, p: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.intp] | slice]]:
    """Series whose intervals one table serves (same last observation, nearly the same p), and the place of one in the basis."""
    kinds = np.column_stack([np.round(np.log(p) / P_STEP), part.basis[:, 0] + part.basis[:, 1]])
    if (kinds == kinds[0]).all():
        yield 0, slice(None)
        return
    _, first, which = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
    for number, place in enumerate(first.tolist()):
        yield place, np.flatnonzero(which.ravel() == number)


def stack_regressors(
    names: list[str], given: Mapping[str, NDArray[np.float64]] | None, rows: NDArray[np.intp], length: int
) -> NDArray[np.float64] | None:
    """(n or 1, T, R) the regressors' values for some series; None where there are no regressors.

    Raises:
        DataError: One is missing, or of the wrong length.
    """
    if not names:
        return None
    columns = []
    for name in names:
        if given is None or name not in given:
            raise DataError(f"the regressor '{name}' has no values", expected=f"regressors={{'{name}': an array of {length}}}")
        values = np.asarray(given[name], dtype=np.float64)
        if values.shape[-1] != length:
            raise DataError(f"the regressor '{name}' has {values.shape[-1]} values", expected=f"{length}, one for each time")
        columns.append(values[None] if values.ndim == 1 else values[rows])
    return np.stack(np.broadcast_arrays(*columns), axis=2)


def pack(numbers: NDArray[np.float64], kind: str = "<f8") -> str:
    """A matrix as base64 text; `<f4` keeps seven digits in half the room."""
    return base64.b64encode(np.ascontiguousarray(numbers, dtype=kind).tobytes()).decode()


def unpack(text: str, rows: int, columns: int = -1, kind: str = "<f8") -> NDArray[np.float64]:
    """The matrix again, (rows, columns); one of them may be -1: whatever there is."""
    return np.frombuffer(base64.b64decode(text), dtype=kind).reshape(rows, columns).astype(np.float64)


def select(fleet: Fleet, rows: Sequence[int]) -> Fleet:
    """The fleet of some of its series, renumbered in the order given."""
    place = np.full(fleet.size, -1, dtype=np.intp)
    place[np.asarray(rows, dtype=np.intp)] = np.arange(len(rows))
    groups = []
    for group in fleet.groups:
        inside = np.flatnonzero(place[group.rows] >= 0)
        if len(inside):
            part = group.take(inside)
            part.rows = place[part.rows]
            groups.append(part)
    failed, fallbacks = (
        {int(place[row]): why for row, why in reasons.items() if place[row] >= 0} for reasons in (fleet.failed, fleet.fallbacks)
    )
    sqrt = fleet.sqrt[np.asarray(rows, dtype=np.intp)]
    return Fleet(len(rows), fleet.options, groups, failed, sqrt, fallbacks, habits=fleet.habits.placed(place))
