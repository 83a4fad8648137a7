"""What all series with the same time stamps and options share: Prophet's design, taken from Prophet itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from driftline.models.baseline.options import new_prophet

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from prophet import Prophet

NS_PER_SECOND = 1_000_000_000


@dataclass
class Grid:
    """The design of one group of series.

    Attributes:
        template: A Prophet with everything set that does not depend on y: start, t_scale, changepoints, seasonalities.
        multiplicative: (K,) 1 where a feature multiplies the trend.
    """

    template: Prophet
    multiplicative: NDArray[np.float64]

    @classmethod
    def of(cls, ds: NDArray[np.datetime64], options: dict[str, Any]) -> Grid:
        """The grid of observed time stamps `ds` (T,), at least two, as Prophet would set it up."""
        model = new_prophet(options)
        # y only has to vary: scaling is done a series at a time, later
        model.preprocess(pd.DataFrame({"ds": ds, "y": np.arange(1.0, len(ds) + 1)}))
        model.history = None
        return cls(model, model.component_modes and _multiplicative(model))

    @property
    def changepoints(self) -> NDArray[np.float64]:
        """(S,) changepoints in scaled time."""
        return np.asarray(self.template.changepoints_t, dtype=np.float64)

    def scaled(self, times: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """(T,) Prophet's t: 0 at the first observation, 1 at the last."""
        model = self.template
        return np.asarray((pd.DatetimeIndex(times) - model.start) / model.t_scale, dtype=np.float64)

    def features(self, times: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """(T, K) seasonality and holiday features."""
        frame = pd.DataFrame({"ds": pd.DatetimeIndex(times)})
        features, *_ = self.template.make_all_seasonality_features(frame)
        return np.asarray(features, dtype=np.float64)

    def to_numbers(self) -> dict[str, Any]:
        """JSON data that `from_numbers` rebuilds the grid from."""
        model = self.template
        return {
            "start": model.start.timestamp() if model.start.tzinfo else pd.Timestamp(model.start, tz="UTC").timestamp(),
            "t_scale": model.t_scale.total_seconds(),
            "changepoints": self.changepoints.tolist(),
            "seasonalities": {name: dict(spec) for name, spec in model.seasonalities.items()},
            "holidays": None if model.train_holiday_names is None else list(model.train_holiday_names),
            "multiplicative": self.multiplicative.tolist(),
        }

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any], options: dict[str, Any]) -> Grid:
        """The grid again; `options` are those it was made with."""
        model = new_prophet(options)
        model.start = pd.Timestamp(numbers["start"], unit="s")
        model.t_scale = pd.Timedelta(seconds=numbers["t_scale"])
        model.changepoints_t = np.asarray(numbers["changepoints"], dtype=np.float64)
        model.changepoints = pd.Series(model.start + model.changepoints_t * model.t_scale)
        for name, spec in numbers["seasonalities"].items():
            model.seasonalities[name] = spec
        if numbers["holidays"] is not None:
            model.train_holiday_names = pd.Series(numbers["holidays"], dtype=object)
        return cls(model, np.asarray(numbers["multiplicative"], dtype=np.float64))


def _multiplicative(model: Prophet) -> NDArray[np.float64]:
    frame = pd.DataFrame({"ds": [model.start]})
    features, _, components, modes = model.make_all_seasonality_features(frame)
    columns = components["multiplicative_terms"] if modes["multiplicative"] else np.zeros(features.shape[1])
    return np.asarray(columns, dtype=np.float64)
