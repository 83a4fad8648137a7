"""Fits of a fleet, against Prophet's own loop on a sample of the same series."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pandas as pd
from threadpoolctl import threadpool_limits

from driftline.bench.measure import Cost, PeakRss
from driftline.core.errors import DataError
from driftline.core.timespan import parse_span
from driftline.models.baseline import fit_fleet
from driftline.models.baseline.options import new_prophet
from driftline.models.baseline.reference import log_posterior

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from prophet import Prophet

    from driftline.core.progress import Progress
    from driftline.models.baseline import Fleet

START = "2026-01-05"
SAMPLES = 1000  # Prophet's own number of simulated futures
INTERVAL = 0.8  # Prophet's own
MSTL = "statsforecast==2.1.1"


def run(
    *,
    series: int,
    points: int,
    freq: str = "1h",
    gaps: float = 0.0,
    mode: str = "additive",
    growth: str = "linear",
    sample: int = 40,
    peers: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fits and predicts `series` series, and lets Prophet do the same with `sample` of them.

    Processor time is compared with one thread on each side, and counts child processes; times by the clock compare Prophet's loop
    with our fit on all processors. Ratios are per series. What falls back to Prophet is part of our times.

    Returns:
        `series`, `points`, `freq`, `mode`, `growth`, `gaps`, `fit_cpu_ratio`, `fit_wall_ratio`, `fit_predict_cpu_ratio` (with
        bounds of 80 %, over the history and a quarter more), `lp_gain_min`, `lp_gain_median` (nats of log posterior above
        Prophet's; None for logistic growth), `fallbacks`, `failed`, `rss_mb` (the most resident memory above the data's, in the
        fit), `seconds` (of our fit of all series, by the clock), `fit_us`, `prophet_fit_us` (processor time a series); with
        `peers`, `mstl_fit_predict_cpu_ratio` (MSTL's over ours).
    """
    ds, values = fleet_data(series, points, freq, gaps)
    ahead = _ahead(ds)
    options: dict[str, Any] = {"seasonality_mode": mode, "growth": growth}
    if growth == "logistic":
        options["cap"] = float(np.nanmax(values)) * 2
    fit_fleet(ds, values[: min(series, 64)], **options).predict(ahead, interval=INTERVAL)  # imports, caches
    with PeakRss() as memory, Cost() as parallel:
        fleet = fit_fleet(ds, values, progress=progress, **options)
    with Cost() as fitting:
        fit_fleet(ds, values, workers=1, **options)
    with threadpool_limits(1, "blas"), Cost() as predicting:
        _predict(fleet, ahead)
    chosen = np.linspace(0, series - 1, min(sample, series)).astype(int)
    theirs, fit_cost, whole_cost = _loop(ds, values[chosen], ahead, options, progress)
    gains = [
        log_posterior(fleet.prophet(int(row))) - log_posterior(model)
        for row, model in zip(chosen, theirs, strict=True)
        if growth != "logistic" and int(row) not in fleet.failed
    ]
    n, m = series, len(chosen)
    figures = {
        "series": series,
        "points": points,
        "freq": freq,
        "mode": mode,
        "growth": growth,
        "gaps": gaps,
        "fit_cpu_ratio": round(fit_cost.cpu / m / (fitting.cpu / n), 1),
        "fit_wall_ratio": round(fit_cost.wall / m / (parallel.wall / n), 1),
        "fit_predict_cpu_ratio": round(whole_cost.cpu / m / ((fitting.cpu + predicting.cpu) / n), 1),
        "lp_gain_min": float(f"{min(gains):.3g}") if gains else None,
        "lp_gain_median": float(f"{np.median(gains):.3g}") if gains else None,
        "fallbacks": len(fleet.fallbacks),
        "failed": len(fleet.failed),
        "rss_mb": memory.mb,
        "seconds": round(parallel.wall, 3),
        "fit_us": round(fitting.cpu / n * 1e6, 1),
        "prophet_fit_us": round(fit_cost.cpu / m * 1e6, 1),
    }
    if peers:
        figures["mstl_fit_predict_cpu_ratio"] = round(
            _mstl(ds, values[chosen], progress) / ((fitting.cpu + predicting.cpu) / n), 1
        )
    return figures


def fleet_data(
    series: int, points: int, freq: str, gaps: float, seed: int = 1
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Times (T,) and counts (N, T) of a fleet: days and weeks of their own shape, rates that bend, Poisson noise."""
    random = np.random.default_rng(seed)
    step = parse_span(freq)
    ds = pd.date_range(START, periods=points, freq=step).to_numpy()
    day = np.arange(points) * (step / pd.Timedelta(days=1))
    values = np.empty((series, points))
    for first in range(0, series, 1000):
        part = values[first : first + 1000]
        n = len(part)
        daily, weekly, phase = (random.uniform(low, high, (n, 1)) for low, high in ((0, 0.6), (0, 0.3), (0, 1)))
        bends = random.laplace(0, 0.3, (n, 6))
        places = random.uniform(0, day[-1], (n, 6))
        trend = 1 + sum(bends[:, j : j + 1] / day[-1] * np.maximum(day - places[:, j : j + 1], 0) for j in range(6))
        shape = 1 + daily * np.sin(2 * np.pi * (day + phase)) + weekly * np.sin(2 * np.pi * (day / 7 + phase))
        rates = random.lognormal(4, 1, (n, 1)) * np.maximum(trend, 0.1) * np.maximum(shape, 0.05)
        part[:] = random.poisson(rates)
        if gaps:
            part[random.random(part.shape) < gaps] = np.nan
    return ds, values


def _ahead(ds: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """The history and a quarter of it more."""
    return np.asarray(ds[0] + (ds[1] - ds[0]) * np.arange(len(ds) + len(ds) // 4))


def _predict(fleet: Fleet, ahead: NDArray[np.datetime64]) -> None:
    """Predicts all series, some at a time, as nobody keeps all of it."""
    from driftline.models.baseline.fleet import select

    for first in range(0, fleet.size, 1000):
        select(fleet, range(first, min(first + 1000, fleet.size))).predict(ahead, interval=INTERVAL)


def _loop(
    ds: NDArray[np.datetime64],
    values: NDArray[np.float64],
    ahead: NDArray[np.datetime64],
    options: dict[str, Any],
    progress: Progress | None,
) -> tuple[list[Prophet], Cost, Cost]:
    """What a user's loop does: a Prophet for each series, fitted, then asked for predictions with bounds."""
    models: list[Prophet] = []
    fit, whole = Cost(), Cost()
    limit = {"cap": options["cap"]} if "cap" in options else {}
    future = pd.DataFrame({"ds": ahead, **limit})
    frames = [pd.DataFrame({"ds": ds, "y": row, **limit}).dropna() for row in values]
    with threadpool_limits(1, "blas"):
        for number, frame in enumerate(frames):
            model = new_prophet({**options, "uncertainty_samples": SAMPLES, "interval_width": INTERVAL})
            with Cost() as one:
                model.fit(frame)
            fit.wall, fit.cpu = fit.wall + one.wall, fit.cpu + one.cpu
            with Cost() as two:
                model.predict(future)
            whole.wall, whole.cpu = whole.wall + one.wall + two.wall, whole.cpu + one.cpu + two.cpu
            models.append(model)
            if progress:
                progress("series fitted by Prophet", number + 1, len(frames))
    return models, fit, whole


def _mstl(ds: NDArray[np.datetime64], values: NDArray[np.float64], progress: Progress | None) -> float:
    """Processor seconds that MSTL of statsforecast takes a series to fit and to predict with bounds.

    It cannot share our environment (it needs an older pandas), so that uv runs it in one of its own.

    Raises:
        DataError: There is no uv, or it cannot get the library.
    """
    if progress:
        progress("series fitted by MSTL", 0, len(values))
    steps = np.timedelta64(1, "D") / (ds[1] - ds[0])
    seasons = [round(steps * days) for days in (1, 7) if 1 < steps * days <= len(ds) / 2]
    filled = pd.DataFrame(values.T).interpolate(limit_direction="both").T  # it knows no missing values
    given = orjson.dumps({"values": filled.to_numpy().tolist(), "seasons": seasons, "steps": len(ds) // 4})
    script = str(Path(__file__).with_name("mstl.py"))
    try:
        command = ["uv", "run", "--no-project", "--with", MSTL, "python", script]
        done = subprocess.run(  # noqa: S603 - our own script
            command,
            input=given,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", b"").decode(errors="replace").strip().splitlines()[-1:] or [str(error)]
        raise DataError(
            f"MSTL cannot be run: {why[0]}", expected=f"uv, and {MSTL} within its reach", fix="Leave out --peers."
        ) from None
    return float(orjson.loads(done.stdout.splitlines()[-1])["cpu_seconds"])
