"""Prophet itself: for what the solver does not take, and to be compared with. Stan runs in a process of its own for each fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.models.baseline.fleet import SCALARS
from driftline.models.baseline.options import new_prophet

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from prophet import Prophet

RATE_SD = 5.0  # of the normal priors of k and m


def why_not_ours(options: dict[str, Any], engine: str) -> str | None:
    """Why all series with these options are Prophet's to fit, or None."""
    if engine == "prophet":
        return "engine: prophet"
    if options.get("growth") == "logistic":
        return "logistic growth is fitted by Prophet"
    if options.get("mcmc_samples"):
        return "MCMC is sampled by Prophet; the means of its samples are kept"
    return None


def fit_one(frame: pd.DataFrame, options: dict[str, Any], width: int) -> tuple[NDArray[np.float64], Prophet]:
    """One series by Prophet: k, m, sigma, y_scale, y_min, delta, beta (width,), and the model.

    Raises:
        RuntimeError, ValueError: Prophet refuses the series.
    """
    model = new_prophet(options)
    history = frame.copy()
    for name in ("cap", "floor"):
        if name in options:
            history[name] = float(options[name])
    model.fit(history)
    params = {name: np.atleast_2d(np.asarray(values, dtype=np.float64)) for name, values in model.params.items()}
    # of samples the mean, which is what Prophet predicts with
    scalars = [float(params[name].mean()) for name in ("k", "m", "sigma_obs")]
    changes = len(np.atleast_1d(model.changepoints_t))
    draws = params["k"].size
    delta, beta = (params[name].reshape(draws, -1).mean(axis=0) for name in ("delta", "beta"))
    numbers = np.concatenate([scalars, [float(model.y_scale), float(model.history["floor"].iloc[0])], delta[:changes], beta])
    if len(numbers) != width:
        raise RuntimeError(f"Prophet returned {len(numbers) - SCALARS} coefficients instead of {width - SCALARS}")
    return numbers, model


def log_posterior(model: Prophet) -> float:
    """What Stan maximises, without its constants, at the parameters of a fitted Prophet with linear or flat growth.

    Everything but the sum is Prophet's own code, so that it can judge two fits of the same series.
    """
    history, params = model.history, model.params
    features, sigmas, components, _ = model.make_all_seasonality_features(history)
    k, m, sigma, beta = (np.asarray(params[name], dtype=np.float64).ravel() for name in ("k", "m", "sigma_obs", "beta"))
    delta, t = np.asarray(params["delta"], dtype=np.float64).ravel(), history["t"].to_numpy()
    trend = model.flat_trend(t, m) if model.growth == "flat" else model.piecewise_linear(t, delta, k, m, model.changepoints_t)
    by = components["multiplicative_terms"].to_numpy(dtype=np.float64)
    typical = trend * (1 + features.to_numpy() @ (beta * by)) + features.to_numpy() @ (beta * (1 - by))
    sse = float(((history["y_scaled"].to_numpy() - typical) ** 2).sum())
    rate, changes = float(k[0]), float(np.abs(delta).sum())
    tau = float(model.changepoint_prior_scale)
    if model.n_changepoints < 1 and model.growth == "linear":
        # Prophet adds the change at its dummy to the rate; this is the best that the two can have been
        total, rate = rate, float(np.clip(rate, -(RATE_SD**2) / tau, RATE_SD**2 / tau))
        changes = abs(total - rate)
    priors = (rate**2 + m[0] ** 2) / RATE_SD**2 + float(((beta / np.asarray(sigmas)) ** 2).sum())
    variance = float(sigma[0]) ** 2
    return float(-len(t) / 2 * np.log(variance) - sse / (2 * variance) - 2 * variance - priors / 2 - changes / tau)
