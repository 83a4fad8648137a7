import warnings

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.core.errors import DefinitionError
from driftline.models.baseline import Fleet, fit_fleet
from driftline.models.baseline.fleet import select
from driftline.models.baseline.options import check_options, new_prophet

HOURS = pd.date_range("2026-03-02", periods=15 * 24, freq="1h").to_numpy()
AHEAD = pd.date_range("2026-03-02", periods=17 * 24, freq="1h").to_numpy()


def daily(n, level=100.0, seed=0):
    hours = np.arange(len(HOURS))
    rates = level * (1 + 0.4 * np.sin(2 * np.pi * hours / 24))
    return np.random.default_rng(seed).poisson(rates, (n, len(HOURS))).astype(float)


@pytest.mark.parametrize(
    "options",
    [{}, {"seasonality_mode": "multiplicative"}, {"n_changepoints": 5, "scaling": "minmax"}, {"country_holidays": "DE"}],
)
def test_a_fleet_predicts_what_prophet_predicts(options):
    values = daily(2)
    values[1, 40:60] = np.nan
    fleet = fit_fleet(HOURS, values, **options)
    mine = fleet.predict(AHEAD)
    for row in range(2):
        seen = ~np.isnan(values[row])
        model = new_prophet(options).fit(pd.DataFrame({"ds": HOURS[seen], "y": values[row, seen]}))
        np.testing.assert_allclose(mine.typical[row], model.predict(pd.DataFrame({"ds": AHEAD})).yhat, rtol=1e-9)


def test_bounds_agree_with_prophets_simulation():
    values = daily(1)
    mine = fit_fleet(HOURS, values).predict(AHEAD, interval=0.8)
    model = new_prophet({}).fit(pd.DataFrame({"ds": HOURS, "y": values[0]}))
    model.uncertainty_samples = 4000
    np.random.seed(0)
    theirs = model.predict(pd.DataFrame({"ds": AHEAD}))
    ratio = (mine.upper - mine.lower)[0] / (theirs.yhat_upper - theirs.yhat_lower)
    assert np.abs(ratio - 1).median() < 0.02
    assert np.abs(ratio - 1).max() < 0.1


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


@settings(max_examples=20, deadline=None)
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
