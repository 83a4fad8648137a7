"""The solver against Prophet itself, judged by Prophet's own code."""

from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_cases import Case, compare, nab_case, nab_cases, random_case, random_series

from driftline.models.baseline import fit_fleet
from driftline.models.baseline.interval import half_width, trend_sd
from driftline.models.baseline.options import new_prophet
from driftline.models.baseline.reference import log_posterior

WORSE = -1e-6  # nats
needs_nab = pytest.mark.skipif(not nab_cases(), reason="the Numenta benchmark is not at hand (../shared/data/nab)")
HOURS = pd.date_range("2026-03-02", periods=28 * 24, freq="1h").to_numpy()


@pytest.mark.parametrize("seed", range(12))
def test_no_fit_is_worse_than_prophets(seed):
    compared = compare(random_case(seed, 3))
    assert min(compared.gains) >= WORSE
    assert not compared.failed


@needs_nab
@pytest.mark.parametrize("path", nab_cases()[::10], ids=lambda path: path.stem)
def test_no_fit_of_the_benchmark_is_worse_than_prophets(path):
    compared = compare(nab_case(path))
    assert min(compared.gains) >= WORSE
    assert not compared.fallbacks


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_no_fit_of_two_thousand_is_worse_than_prophets():
    with ProcessPoolExecutor(2) as pool:
        compared = list(pool.map(_random, range(1000, 1250)))
    gains = np.concatenate([one.gains for one in compared])
    fallbacks = sum(one.fallbacks for one in compared)
    print(
        f"{len(gains)} series: gain {gains.min():.3g} to {gains.max():.3g}, median {np.median(gains):.3g}; {fallbacks} fallbacks"
    )
    assert len(gains) >= 2000 - sum(len(one.failed) for one in compared)
    assert gains.min() >= WORSE


def _random(seed):
    return compare(random_case(seed, 8))


@needs_nab
@pytest.mark.full
@pytest.mark.timeout(3600)
def test_no_fit_of_the_whole_benchmark_is_worse_than_prophets():
    for path in nab_cases():
        for options in ({}, {"seasonality_mode": "multiplicative"}):
            case = nab_case(path)
            case.options = options
            compared = compare(case)
            assert min(compared.gains) >= WORSE, (path.name, options)
            assert not compared.failed


def test_the_objective_is_stans():
    """Both differ by a constant that depends on the design alone."""
    values = random_series(np.random.default_rng(3), HOURS, 4)
    differences = []
    for y in values:
        model = new_prophet({}).fit(pd.DataFrame({"ds": HOURS, "y": y}))
        differences.append(float(model.params["lp__"].ravel()[0]) - log_posterior(model))
    np.testing.assert_allclose(differences, differences[0], atol=1e-3)  # Stan prints six digits


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    n_changepoints=st.sampled_from([1, 5, 25]),
    tau=st.floats(1e-3, 10),
    mode=st.sampled_from(["additive", "multiplicative"]),
    scale=st.floats(1e-3, 1e3),
)
def test_no_neighbour_of_an_estimate_is_better(seed, n_changepoints, tau, mode, scale):
    """What a maximum is: every step away from it, in any coordinate, lowers the log posterior."""
    random = np.random.default_rng(seed)
    times = HOURS[: 24 * 10]
    values = random_series(random, times, 1) * scale
    options = {"n_changepoints": n_changepoints, "changepoint_prior_scale": tau, "seasonality_mode": mode}
    fleet = fit_fleet(times, values, **options)
    if fleet.fallbacks:
        return
    model = fleet.prophet(0)
    best = log_posterior(model)
    for name in ("k", "m", "sigma_obs", "delta", "beta"):
        at = np.array(model.params[name])
        for _ in range(4):
            step = 10 ** random.uniform(-5, -2)
            nearby = (
                at * (1 + step) if name == "sigma_obs" else at + step * random.normal(size=at.shape) * (np.abs(at).max() + 1e-3)
            )
            model.params[name] = nearby
            assert log_posterior(model) <= best + 1e-6
        model.params[name] = at


def test_ordinary_series_do_not_fall_back():
    random = np.random.default_rng(0)
    values = random_series(random, HOURS, 400)
    values[200:][random.random((200, len(HOURS))) < 0.05] = np.nan
    for options in ({}, {"seasonality_mode": "multiplicative"}):
        fleet = fit_fleet(HOURS, values, **options)
        assert len(fleet.fallbacks) <= 4
        assert not fleet.failed


@pytest.mark.parametrize("changes", [25, 5])
def test_bounds_are_as_wide_as_prophets_with_many_samples(changes):
    random = np.random.default_rng(5)
    days = np.arange(len(HOURS)) / 24
    y = 100 + 3 * np.abs(days - 12) + 20 * np.sin(2 * np.pi * days) + random.normal(0, 5, len(days))
    ahead = HOURS[0] + np.arange(len(HOURS) + 10 * 24) * np.timedelta64(1, "h")
    fleet = fit_fleet(HOURS, y[None], n_changepoints=changes)
    mine = fleet.predict(ahead, interval=0.8)
    model = fleet.prophet(0)
    model.uncertainty_samples = 40_000
    np.random.seed(0)
    theirs = model.predict(pd.DataFrame({"ds": ahead}))
    ratio = (mine.upper - mine.lower)[0] / (theirs.yhat_upper - theirs.yhat_lower)
    # 40 000 samples know a width to half a percent; a day's mean is nearer
    daily = ratio.to_numpy().reshape(-1, 24).mean(axis=1)
    assert np.abs(daily - 1).max() < 0.015


@pytest.mark.parametrize("interval", [0.5, 0.8, 0.95, 0.99])
def test_bounds_cover_what_they_should(interval):
    """Against a simulation of our own, over the range of everyday ratios."""
    random = np.random.default_rng(1)
    steps, p, draws = 48, 0.05, 100_000
    changes = random.laplace(size=(draws, steps)) * (random.random((draws, steps)) < p)
    v = changes @ (steps - np.arange(steps) - 0.5) / float(trend_sd(steps, p))
    noise = random.normal(size=draws)
    for ratio in (0.0, 0.3, 1.0, 5.0, 20.0):
        half = half_width(np.array([[ratio]]), np.array([float(steps)]), p, interval)[0, 0]
        covered = (np.abs(ratio * v + noise) <= half).mean()
        assert covered == pytest.approx(interval, abs=0.008)


def test_a_case_with_nothing_to_compare_is_told():
    """The comparison is no check that cannot fail: a fit that is spoiled loses."""
    case = Case(HOURS, random_series(np.random.default_rng(0), HOURS, 1))
    fleet = fit_fleet(case.ds, case.values)
    good = log_posterior(fleet.prophet(0))
    fleet.groups[0].numbers[0, 1] *= 1.01
    assert log_posterior(fleet.prophet(0)) < good - 1e-3
