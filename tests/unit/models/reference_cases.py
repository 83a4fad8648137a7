"""Series and options of every kind, and Prophet's own fits of them, to compare with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from driftline.models.baseline import fit_fleet
from driftline.models.baseline.options import new_prophet
from driftline.models.baseline.reference import log_posterior

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAB = Path(__file__).resolve().parents[4] / "shared" / "data" / "nab" / "data"


@dataclass
class Case:
    """Series (N, T) to fit with the same options."""

    ds: NDArray[np.datetime64]
    values: NDArray[np.float64]
    options: dict[str, Any] = field(default_factory=dict)
    regressors: dict[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass
class Compared:
    """How our fits of a case compare with Prophet's: nats above it for each series, and what was not ours."""

    gains: list[float]
    fallbacks: int
    failed: dict[int, str]


def random_case(seed: int, series: int) -> Case:
    """Any of the options that people set, on series of 50 to 5000 points with and without gaps."""
    random = np.random.default_rng(seed)
    pick = random.choice
    points = round(float(np.exp(random.uniform(np.log(50), np.log(5000)))))
    step = pd.Timedelta(str(pick(["5min", "15min", "1h", "1h", "1D"])))
    ds = pd.date_range("2025-11-03", periods=points, freq=step).to_numpy()
    options: dict[str, Any] = {
        "n_changepoints": int(pick([0, 5, 25, 25, 50])),
        "changepoint_prior_scale": float(10 ** random.uniform(-3, 1)),
        "seasonality_prior_scale": float(10 ** random.uniform(-3, 1)),
        "holidays_prior_scale": float(10 ** random.uniform(-3, 1)),
        "seasonality_mode": str(pick(["additive", "multiplicative"])),
        "scaling": str(pick(["absmax", "absmax", "minmax"])),
        "growth": str(pick(["linear", "linear", "linear", "flat"])),
        "changepoint_range": float(pick([0.8, 0.9, 1.0])),
    }
    for name in ("daily_seasonality", "weekly_seasonality", "yearly_seasonality"):
        options[name] = pick(np.array(["auto", True, False], dtype=object))
    days = np.unique(ds.astype("datetime64[D]"))
    if random.random() < 0.3:
        chosen = pick(days, min(3, len(days)), replace=False)
        options["holidays"] = pd.DataFrame(
            {"holiday": "sale", "ds": chosen, "lower_window": 0, "upper_window": int(pick([0, 1]))}
        )
    if random.random() < 0.2:
        options["country_holidays"] = "DE"
    if random.random() < 0.2:
        options["seasonalities"] = [
            {"name": "shift", "period": 0.5, "fourier_order": 3, "mode": str(pick(["additive", "multiplicative"]))}
        ]
    regressors = {}
    if random.random() < 0.3:
        regressors["load"] = random.normal(5, 2, points).cumsum()
        regressors["switch"] = (random.random(points if random.random() < 0.5 else (series, points)) < 0.3).astype(float)
        options["extra_regressors"] = {
            "load": {"mode": str(pick(["additive", "multiplicative"]))},
            "switch": {"prior_scale": 0.5},
        }
    values = random_series(random, ds, series)
    if random.random() < 0.6:
        values[random.random(values.shape) < random.uniform(0, 0.6)] = np.nan
    return Case(ds, values, options, regressors)


def random_series(random: np.random.Generator, ds: NDArray[np.datetime64], series: int) -> NDArray[np.float64]:
    """(N, T) days and weeks, bends, shifts and outliers; counts, measures, negative ones, large and small ones."""
    day = (ds - ds[0]) / np.timedelta64(1, "D")
    rows = []
    for _ in range(series):
        trend = 1 + random.normal(0, 0.5) * day / day[-1]
        for _ in range(random.integers(0, 4)):
            trend = trend + random.laplace(0, 0.5) * np.maximum(day / day[-1] - random.random(), 0)
        shape = random.uniform(0, 0.7) * np.sin(2 * np.pi * day + random.uniform(0, 6)) + random.uniform(0, 0.3) * np.sin(
            2 * np.pi * day / 7
        )
        level = 10 ** random.uniform(-3, 6)
        typical = level * np.maximum(trend, 0.05) * (1 + shape)
        match random.integers(0, 4):
            case 0:
                y = random.poisson(np.minimum(typical, 1e6)).astype(float)
            case 1:
                y = typical * random.lognormal(0, 0.3, len(day))
            case 2:
                y = typical - 2 * level + random.normal(0, 0.2 * level, len(day))
            case _:
                y = typical + level * 0.1 * random.standard_t(2, len(day))
        if random.random() < 0.3:
            y[random.integers(len(day)) :] += level * random.normal(0, 1)
        rows.append(y)
    return np.array(rows)


def nab_cases() -> list[Path]:
    """The benchmark's files, if they are at hand."""
    return sorted(NAB.glob("*/*.csv"))


def nab_case(path: Path) -> Case:
    """One file of the benchmark, as it is."""
    table = pd.read_csv(path, parse_dates=["timestamp"]).groupby("timestamp", as_index=False).mean()
    return Case(table["timestamp"].to_numpy(), table["value"].to_numpy(dtype=float)[None])


def compare(case: Case) -> Compared:
    """Fits a case ourselves and by Prophet, and judges both by Prophet's own code."""
    fleet = fit_fleet(case.ds, case.values, regressors=case.regressors, **case.options)
    gains = []
    for row, y in enumerate(case.values):
        if row in fleet.failed:
            continue
        frame = pd.DataFrame({"ds": case.ds, "y": y})
        for name, column in case.regressors.items():
            frame[name] = column if column.ndim == 1 else column[row]
        theirs = new_prophet(fleet.options).fit(frame.dropna(subset="y"))
        gains.append(log_posterior(fleet.prophet(row)) - log_posterior(theirs))
    return Compared(gains, len(fleet.fallbacks), fleet.failed)
