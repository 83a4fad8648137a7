import warnings

import matplotlib as mpl
import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prophet.serialize import model_from_json, model_to_json

from driftline.core.errors import DataError, DefinitionError
from driftline.models.baseline import Fleet, fit_fleet
from driftline.models.baseline.fleet import select
from driftline.models.baseline.options import check_options, new_prophet

HOURS = pd.date_range("2026-03-02", periods=15 * 24, freq="1h").to_numpy()
AHEAD = pd.date_range("2026-03-02", periods=17 * 24, freq="1h").to_numpy()


def daily(n, level=100.0, seed=0):
    hours = np.arange(len(HOURS))
    rates = level * (1 + 0.4 * np.sin(2 * np.pi * hours / 24))
    return np.random.default_rng(seed).poisson(rates, (n, len(HOURS))).astype(float)


OPTIONS = [
    {},
    {"seasonality_mode": "multiplicative"},
    {"n_changepoints": 5, "scaling": "minmax"},
    {"n_changepoints": 0},
    {"growth": "flat"},
    {"country_holidays": "DE", "holidays_mode": "multiplicative"},
    {"holidays": [{"holiday": "sale", "ds": "2026-03-07", "lower_window": 0, "upper_window": 1}]},
    {"seasonalities": [{"name": "shift", "period": 1 / 3, "fourier_order": 2}], "weekly_seasonality": False},
    {"changepoints": ["2026-03-04 05:00", "2026-03-09"]},
    {"time_zone": "Europe/Berlin", "country_holidays": "DE"},
    {"growth": "logistic", "cap": 200.0, "floor": 10.0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options) or "defaults")
def test_an_exported_prophet_predicts_what_the_fleet_predicts(options):
    values = daily(3)
    values[1, 40:60] = np.nan
    values[2, -9:] = np.nan
    fleet = fit_fleet(HOURS, values, **options)
    assert not fleet.failed
    mine = fleet.predict(AHEAD)
    zone = options.get("time_zone", "UTC")
    frame = pd.DataFrame({"ds": pd.DatetimeIndex(AHEAD, tz="UTC").tz_convert(zone).tz_localize(None)})
    for name in ("cap", "floor"):
        if name in options:
            frame[name] = options[name]
    for row in range(3):
        model = fleet.prophet(row)
        again = model_from_json(model_to_json(model))
        for theirs in (model.predict(frame), again.predict(frame)):
            np.testing.assert_allclose(mine.typical[row], theirs.yhat, rtol=1e-9)
        assert len(model.history) == (~np.isnan(values[row])).sum()
    again = Fleet.from_numbers(orjson.loads(orjson.dumps(fleet.to_numbers())))
    np.testing.assert_array_equal(again.predict(AHEAD).typical, mine.typical)
    assert again.fallbacks == fleet.fallbacks


def test_an_exported_prophet_of_a_fleet_with_regressors():
    random = np.random.default_rng(0)
    load, switch = random.normal(5, 2, len(AHEAD)), (random.random((2, len(AHEAD))) < 0.3).astype(float)
    n = len(HOURS)
    values = daily(2) + 10 * load[:n] + 50 * switch[:, :n]
    past, future = {"load": load[:n], "switch": switch[:, :n]}, {"load": load, "switch": switch}
    for specs in ({}, {"load": {"mode": "multiplicative"}, "switch": {"standardize": False, "prior_scale": 0.5}}):
        fleet = fit_fleet(HOURS, values, regressors=past, extra_regressors=specs)
        mine = fleet.predict(AHEAD, regressors=future)
        for row in range(2):
            frame = pd.DataFrame({"ds": AHEAD, "load": load, "switch": switch[row]})
            np.testing.assert_allclose(mine.typical[row], fleet.prophet(row).predict(frame).yhat, rtol=1e-9)
    with pytest.raises(DataError, match="the regressor 'load' has no values"):
        fleet.predict(AHEAD)


def test_an_exported_prophet_can_be_plotted():
    fleet = fit_fleet(HOURS, daily(1), country_holidays="DE")
    model = fleet.prophet(0)
    with mpl.rc_context({"backend": "agg"}):
        figure = model.plot_components(model.predict(pd.DataFrame({"ds": AHEAD})))
    assert next(axis.get_ylabel() for axis in figure.axes) == "trend"


def test_each_series_can_have_options_of_its_own():
    values = daily(3)
    own = [{}, {"time_zone": "Asia/Tokyo"}, {"holidays": [{"holiday": "sale", "ds": "2026-03-07"}]}]
    together = fit_fleet(HOURS, values, series_options=own).predict(AHEAD).typical
    for row, options in enumerate(own):
        alone = fit_fleet(HOURS, values[row : row + 1], **options).predict(AHEAD).typical[0]
        np.testing.assert_allclose(together[row], alone, rtol=1e-9)


def test_seasons_follow_the_clocks_of_the_time_zone():
    """Work begins at nine in New York, in summer and in winter."""
    times = pd.date_range("2026-02-15", periods=28 * 24, freq="1h", tz="UTC")
    local = times.tz_convert("America/New_York")
    busy = np.where((local.hour >= 9) & (local.hour < 17), 100.0, 10.0)[None]
    errors = {}
    for zone in ("UTC", "America/New_York"):
        fleet = fit_fleet(times, busy, time_zone=zone, daily_seasonality=12)
        errors[zone] = np.abs(fleet.mean(times.tz_localize(None).to_numpy()) - busy).mean()
    assert errors["America/New_York"] < 0.6 * errors["UTC"]


def test_what_the_solver_does_not_take_goes_to_prophet_and_says_so():
    values = daily(2)
    logistic = fit_fleet(HOURS, values, growth="logistic", cap=300.0)
    assert logistic.fallbacks == dict.fromkeys(range(2), "logistic growth is fitted by Prophet")
    asked = fit_fleet(HOURS, values, engine="prophet")
    assert asked.fallbacks == dict.fromkeys(range(2), "engine: prophet")
    np.testing.assert_allclose(asked.predict(AHEAD).typical, fit_fleet(HOURS, values).predict(AHEAD).typical, rtol=0.02)
    model = new_prophet({}).fit(pd.DataFrame({"ds": HOURS, "y": values[0]}))
    np.testing.assert_allclose(asked.predict(AHEAD).typical[0], model.predict(pd.DataFrame({"ds": AHEAD})).yhat, rtol=1e-9)


def test_input_that_does_not_fit_together_is_refused():
    values = daily(1)
    with pytest.raises(DataError, match="Y has the shape"):
        fit_fleet(HOURS, values.T)
    with pytest.raises(DataError, match="the mask has the shape"):
        fit_fleet(HOURS, values, mask=np.zeros(3, dtype=bool))
    with pytest.raises(DataError, match="series_options has 2 entries"):
        fit_fleet(HOURS, values, series_options=[{}, {}])
    for options, message in (
        ({"country_holidays": "XX"}, "Prophet refuses the options"),
        ({"time_zone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"growth": "logistic"}, "needs a 'cap'"),
        ({"regressors": {"load": np.ones(3)}}, "'load' has the shape"),
        ({"regressors": {"load": np.full(len(HOURS), np.nan)}}, "'load' is missing or infinite where Y is not"),
        ({"extra_regressors": {"load": {}}}, "the regressor 'load' has no values"),
    ):
        with pytest.raises(DataError, match=message):
            fit_fleet(HOURS, values, **options)
    with pytest.raises(DataError, match=r"an interval of 1\.5"):
        fit_fleet(HOURS, values).predict(AHEAD, interval=1.5)
    with pytest.raises(DataError, match="there is no series 9"):
        fit_fleet(HOURS, values).prophet(9)
    with pytest.raises(DataError, match="times are not in order"):
        fit_fleet(HOURS, values).predict(AHEAD[::-1])


def test_numbers_read_back_as_the_same_fleet():
    values = daily(3)
    values[1, :50] = np.nan
    values[2] = np.inf
    fleet = fit_fleet(HOURS, values, sqrt=np.array([True, False, True]))
    again = Fleet.from_numbers(orjson.loads(orjson.dumps(fleet.to_numbers())))
    for mine, theirs in zip(vars(fleet.predict(AHEAD)).values(), vars(again.predict(AHEAD)).values(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert again.failed == fleet.failed == {2: "holds infinite values"}


def test_a_series_weighs_a_few_hundred_bytes():
    fleet = fit_fleet(HOURS, daily(20))
    empty = len(orjson.dumps(fit_fleet(HOURS, daily(1)).to_numbers()))
    assert (len(orjson.dumps(fleet.to_numbers())) - empty) / 19 < 800


def test_hard_series_get_a_model_or_a_reason_and_harm_no_other():
    values = daily(9)
    alone = fit_fleet(HOURS, values[:1]).predict(AHEAD).typical
    values[1] = 0.0
    values[2] = 7.0
    values[3] = np.nan
    values[4, 1:] = np.nan
    values[5, 10] = -np.inf
    values[6] *= 1e15
    values[7] *= 1e-15
    values[8, 5:] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fleet = fit_fleet(HOURS, values)
        typical = fleet.predict(AHEAD).typical
    assert set(fleet.failed) == {3, 4, 5}
    assert fleet.failed[4] == "has 1 observed buckets; a model needs two"
    np.testing.assert_allclose(typical[:1], alone, rtol=1e-12)
    np.testing.assert_allclose(typical[1], 0.0, atol=1e-6)
    np.testing.assert_allclose(typical[2], 7.0, rtol=1e-6)
    assert np.isfinite(typical[[6, 7, 8]]).all()
    np.testing.assert_allclose(typical[6] / 1e15, typical[7] * 1e15, rtol=0.5)


def test_large_values_that_hardly_differ_are_expected_as_they_are():
    values = np.full((2, len(HOURS)), 2.0**34)
    values[0] += np.random.default_rng(0).integers(0, 3, len(HOURS))
    values[0, 100:120] = np.nan
    predicted = fit_fleet(HOURS, values).predict(AHEAD)
    np.testing.assert_allclose(predicted.typical, 2.0**34, rtol=1e-9)
    assert (predicted.typical[1] == 2.0**34).all()


def test_a_fit_in_sqrt_space_is_never_negative():
    prediction = fit_fleet(HOURS, daily(1, level=1.0), sqrt=True).predict(AHEAD)
    assert (prediction.lower >= 0).all()
    assert (prediction.typical <= prediction.upper).all()


def test_masked_values_do_not_move_the_fit():
    values = daily(1)
    spiked = values.copy()
    spiked[0, 200:203] = 1e5
    mask = np.zeros(values.shape, dtype=bool)
    mask[0, 200:203] = True
    clean = fit_fleet(HOURS, np.where(mask, np.nan, values)).predict(AHEAD).typical
    np.testing.assert_array_equal(fit_fleet(HOURS, spiked, mask=mask).predict(AHEAD).typical, clean)


def test_histories_of_any_length_and_order_are_fitted():
    values = daily(2)
    assert fit_fleet(HOURS, values[:0]).predict(AHEAD).typical.shape == (0, len(AHEAD))
    for length in (2, 3, 5, 20):
        fleet = fit_fleet(HOURS[:length], values[:, :length])
        assert not fleet.failed
        assert np.isfinite(fleet.predict(AHEAD).upper).all()
    order = np.random.default_rng(0).permutation(len(HOURS))
    mixed = fit_fleet(HOURS[order], values[:, order]).predict(AHEAD).typical
    np.testing.assert_array_equal(mixed, fit_fleet(HOURS, values).predict(AHEAD).typical)
    twice = fit_fleet(np.r_[HOURS, HOURS[:5]], np.c_[values, values[:, :5]])
    assert not twice.failed


def test_a_series_does_not_depend_on_its_company():
    values = daily(60)
    values[30:, :7] = np.nan
    values[50:, 100:110] = np.nan
    together = fit_fleet(HOURS, values).predict(AHEAD)
    for row in (0, 40, 55):
        alone = fit_fleet(HOURS, values[row : row + 1]).predict(AHEAD)
        np.testing.assert_allclose(together.typical[row], alone.typical[0], rtol=1e-6)
        np.testing.assert_allclose(together.upper[row], alone.upper[0], rtol=1e-6)


@settings(max_examples=20)
@given(st.permutations(range(4)))
def test_a_selection_predicts_what_its_rows_predict(order):
    chosen = order[:3]
    np.testing.assert_allclose(select(FLEET, chosen).predict(AHEAD).typical, FLEET.predict(AHEAD).typical[chosen], rtol=1e-12)


FLEET = fit_fleet(HOURS, np.where(np.arange(len(HOURS)) < np.array([[0], [0], [30], [60]]), np.nan, daily(4)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"changepoint_prior": 0.1}, "Did you mean 'changepoint_prior_scale'?"),
        ({"growth": "cubic"}, "Prophet refuses the options"),
        ({"country_holidays": "Atlantis"}, "Prophet refuses the options"),
        ({"mcmc_samples": 300}, "is not an option of Prophet that can be set here"),
    ],
)
def test_options_that_prophet_does_not_have_are_refused(options, message):
    with pytest.raises(DefinitionError, match=message.replace("?", r"\?")):
        check_options(options, "job web")
