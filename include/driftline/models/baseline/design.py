"""A design: what series with the same options and the same switches share. Everything in it is taken from Prophet itself."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pandas as pd

from driftline.models.baseline.options import new_prophet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from prophet import Prophet

KEPT = 64  # designs that are made once
HEAD = 3  # start, scale and count, before a basis' changepoints
TICK = np.timedelta64(1, "us")  # times are counted in whole microseconds, which float64 holds exactly
PERIODS = {"yearly": pd.Timedelta(days=730), "weekly": pd.Timedelta(weeks=2), "daily": pd.Timedelta(days=2)}
STEPS = {"yearly": None, "weekly": pd.Timedelta(weeks=1), "daily": pd.Timedelta(days=1)}


@dataclass
class Design:
    """Seasonalities, holidays and regressors with their priors and modes.

    Attributes:
        template: A Prophet with all of that set; it has no history, start, scale or changepoints of its own.
        sigmas: (K,) prior scales of the features.
        multiplicative: (K,) True where a feature multiplies the trend.
        options: Prophet's options that it was made with, as `options.plain` has them.
    """

    template: Prophet
    sigmas: NDArray[np.float64]
    multiplicative: NDArray[np.bool_]
    options: dict[str, Any]

    @classmethod
    def of(cls, ds: NDArray[np.datetime64], options: dict[str, Any]) -> Design:
        """The design of a history observed at `ds` (T,), at least two, as Prophet would set it up."""
        model = new_prophet(options)
        frame = pd.DataFrame({"ds": ds, "y": np.arange(1.0, len(ds) + 1)})  # y only has to vary: it is scaled later
        for name in model.extra_regressors:
            frame[name] = np.arange(float(len(ds)))
        if "cap" in options:
            frame["cap"] = len(ds) + 1.0
        if model.specified_changepoints:  # they are judged a series at a time
            model.changepoints = None
        inputs = model.preprocess(frame)
        model.history = None
        return cls(model, np.asarray(inputs.sigmas, dtype=np.float64), np.asarray(inputs.s_m, dtype=np.float64) > 0, options)

    @classmethod
    def like(cls, ds: NDArray[np.datetime64], options: dict[str, Any]) -> Design:
        """The same, made once for all histories with equal switches: a replay fits some series anew for each of many days."""
        at = ticks(ds)
        switch = switches(at[:1], at[-1:], np.diff(at).min(keepdims=True), np.array([len(at)]), options)
        key = orjson.dumps(options, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY), int(switch[0])
        design = _MADE.get(key)
        if design is None:
            if len(_MADE) >= KEPT:
                _MADE.clear()
            design = _MADE[key] = cls.of(ds, options)
        return design

    @property
    def regressors(self) -> list[str]:
        """Names of extra regressors, in the order of their columns: the last ones."""
        return list(self.template.extra_regressors)

    def ambiguous(self, span: float) -> bool:
        """Whether models of a history of `span` microseconds are likely to have several optima.

        Multiplicative ones do where an additive term, or a season that was hardly seen twice, can stand in for their trend.
        """
        if not self.multiplicative.any():
            return False
        periods = [float(spec["period"]) for spec in self.template.seasonalities.values()]
        longest = max(periods, default=0.0) * float(np.timedelta64(1, "D") / TICK)
        return not bool(self.multiplicative.all()) or 1.9 * longest > span

    def features(self, times: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """(T, K) seasonality and holiday features at times that `local` gave; the columns of regressors are 0."""
        model, dates = self.template, pd.Series(pd.DatetimeIndex(times))
        # as `make_all_seasonality_features` puts them together, which takes most of its time to tell what belongs to what
        parts = [model.fourier_series(dates, each["period"], each["fourier_order"]) for each in model.seasonalities.values()]
        holidays = model.construct_holiday_dataframe(dates)
        if len(holidays):
            parts.append(model.make_holiday_features(dates, holidays)[0].to_numpy(dtype=np.float64))
        parts.append(np.zeros((len(times), len(self.sigmas) - sum(part.shape[1] for part in parts))))
        return np.concatenate(parts, axis=1)

    def local(self, times: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
        """Times as the clocks of the series' time zone showed them, which is what people's habits follow."""
        return wall_clock(times, self.options)

    def to_numbers(self) -> dict[str, Any]:
        """JSON data that `from_numbers` rebuilds the design from."""
        model = self.template
        return {
            "options": self.options,
            "seasonalities": {name: dict(spec) for name, spec in model.seasonalities.items()},
            "holidays": None if model.train_holiday_names is None else list(model.train_holiday_names),
            "sigmas": self.sigmas.tolist(),
            "multiplicative": np.flatnonzero(self.multiplicative).tolist(),
            "components": {name: model.train_component_cols[name].tolist() for name in model.train_component_cols},
            "modes": model.component_modes,
        }

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any]) -> Design:
        """The design again."""
        model = new_prophet(numbers["options"])
        for name, spec in numbers["seasonalities"].items():
            model.seasonalities[name] = spec
        if numbers["holidays"] is not None:
            model.train_holiday_names = pd.Series(numbers["holidays"], dtype=object)
        components = pd.DataFrame(numbers["components"])
        components.index.name, components.columns.name = "col", "component"
        model.train_component_cols, model.component_modes = components, numbers["modes"]
        sigmas = np.asarray(numbers["sigmas"], dtype=np.float64)
        multiplicative = np.zeros(len(sigmas), dtype=bool)
        multiplicative[numbers["multiplicative"]] = True
        return cls(model, sigmas, multiplicative, numbers["options"])

    def prophet(self, params: dict[str, Any], frame: pd.DataFrame, basis: NDArray[np.float64]) -> Prophet:
        """A real, fitted Prophet.

        Args:
            params: Prophet's params, without `trend`, and `y_scale`, `y_min`.
            frame: The history: ds as `local` has it, y, regressors.
            basis: The series' row of `Group.basis`.
        """
        model = copy.copy(self.template)
        model.seasonalities, model.extra_regressors = copy.deepcopy((model.seasonalities, model.extra_regressors))
        model.y_scale, model.y_min = float(params.pop("y_scale")), float(params.pop("y_min"))
        model.start, model.t_scale = from_ticks(basis[0]), pd.Timedelta(round(basis[1]), unit="us")
        count = len(basis) - HEAD - 2 * len(self.regressors)
        model.changepoints_t = basis[HEAD : HEAD + count].copy()
        model.changepoints = pd.Series([from_ticks(basis[0] + basis[1] * t) for t in model.changepoints_t], name="ds")
        for number, name in enumerate(self.regressors):
            mean, sd = basis[HEAD + count + 2 * number :][:2].tolist()
            model.extra_regressors[name] |= {"mu": mean, "std": sd}
        if model.n_changepoints < 1 or (count == 1 and model.changepoints_t[0] == 0):  # Prophet's dummy
            model.n_changepoints, model.changepoints = min(model.n_changepoints, 0), pd.Series(pd.to_datetime([]), name="ds")
        elif not model.specified_changepoints:
            model.n_changepoints = count
        model.logistic_floor = model.growth == "logistic" and "floor" in frame
        model.history_dates = pd.Series(pd.to_datetime(frame["ds"]).unique(), name="ds").sort_values()
        model.history = model.setup_dataframe(frame.copy())
        model.params = params
        return model


_MADE: dict[tuple[bytes, int], Design] = {}


def wall_clock(times: NDArray[np.datetime64], options: Mapping[str, Any]) -> NDArray[np.datetime64]:
    """UTC times (T,) as the clocks of the options' `time_zone` showed them, moved as `time_shifts` says."""
    return shifted(to_zone(times, options.get("time_zone")), options.get("time_shifts", ()), of=times)


def shifted(
    clocks: NDArray[np.datetime64], moves: Sequence[Sequence[float]], *, of: NDArray[np.datetime64] | None = None
) -> NDArray[np.datetime64]:
    """Clocks (T,) after they were moved.

    Args:
        clocks: What they showed without.
        moves: Pairs of when, in epoch seconds, and by how many seconds.
        of: The UTC times that the clocks are of; by default they are these.
    """
    if not len(moves):
        return clocks
    seconds = (clocks if of is None else of).astype("datetime64[s]").astype(np.int64)
    total = sum(np.where(seconds >= when, int(amount), 0) for when, amount in moves)
    return np.asarray(clocks + np.asarray(total).astype("timedelta64[s]"))


def to_zone(times: NDArray[np.datetime64], zone: str | None) -> NDArray[np.datetime64]:
    """UTC times (T,) as wall clock times of a zone."""
    if not zone or zone == "UTC":
        return times
    return np.asarray(pd.DatetimeIndex(times).tz_localize("UTC").tz_convert(zone).tz_localize(None).to_numpy())


def ticks(times: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """(T,) microseconds since the epoch."""
    return np.asarray(times).astype("datetime64[us]").astype(np.int64).astype(np.float64)


def from_ticks(value: float) -> pd.Timestamp:
    """The moment again."""
    return pd.Timestamp(round(value), unit="us")


def switches(
    first: NDArray[np.float64],
    last: NDArray[np.float64],
    step: NDArray[np.float64],
    count: NDArray[np.int64],
    options: dict[str, Any],
) -> NDArray[np.int64]:
    """(n,) a number for each series; equal ones have equal designs and numbers of changepoints.

    It holds Prophet's rules for automatic seasonalities (a long enough history, a fine enough step), the number of changepoints
    (fewer where the history is short) and, for country holidays, the years.

    Args:
        first: (n,) first observation, in microseconds.
        last: (n,) last observation.
        step: (n,) the least distance of two observations.
        count: (n,) observations.
        options: Prophet's options.
    """
    key = changepoint_count(count, options)
    for name, least in PERIODS.items():
        coarsest = STEPS[name]
        on = last - first >= least / TICK
        if coarsest is not None:
            on &= step < coarsest / TICK
        key = key * 2 + on
    if options.get("country_holidays"):
        for edge in (first, last):
            key = key * 10_000 + edge.astype("int64").astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
    return key


def changepoint_count(count: NDArray[np.int64], options: dict[str, Any]) -> NDArray[np.int64]:
    """(n,) changepoints that Prophet places in histories of `count` observations; 0 or less stands for its dummy."""
    if options.get("changepoints") is not None:
        return np.full(len(count), len(options["changepoints"]), dtype=np.int64)
    reach = np.floor(count * float(options.get("changepoint_range", 0.8))).astype(np.int64)
    return np.minimum(int(options.get("n_changepoints", 25)), reach - 1)


def place_changepoints(
    t: NDArray[np.float64], observed: NDArray[np.bool_], count: int, options: dict[str, Any]
) -> NDArray[np.float64]:
    """(n, S) changepoints in scaled time, where Prophet puts them: evenly over the first **observed** rows.

    Args:
        t: (n, T) or (1, T) scaled time, ascending.
        observed: (n, T) which rows hold a value; all series as many changepoints.
        count: How many, from `changepoint_count`.
        options: Prophet's options.
    """
    if count < 1:
        return np.zeros((len(observed), 1))
    row, column = np.nonzero(observed)
    starts = np.searchsorted(row, np.arange(len(observed)))
    reach = np.floor(np.diff(starts, append=len(row)) * float(options.get("changepoint_range", 0.8))).astype(np.int64)
    chosen = np.linspace(0, reach - 1, count + 1, axis=1).round().astype(np.int64)[:, 1:]
    places = column[starts[:, None] + chosen]
    return np.asarray(t[0][places] if len(t) == 1 else np.take_along_axis(t, places, axis=1))
