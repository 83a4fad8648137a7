"""The terms of a model: together they are its prediction, and each is Prophet's own."""

import numpy as np
import pandas as pd
import pytest
from reference_cases import random_case

from driftline.core.errors import DataError
from driftline.models.baseline import Fleet, fit_fleet
from driftline.models.baseline.components import components

HOURS = pd.date_range("2026-03-02", periods=21 * 24, freq="1h").to_numpy()
LATER = pd.date_range("2026-03-20", periods=10 * 24, freq="1h").to_numpy()
OPTIONS = [
    {},
    {"seasonality_mode": "multiplicative"},
    {"seasonality_mode": "multiplicative", "scaling": "minmax"},
    {"scaling": "minmax", "time_zone": "America/New_York"},
    {"holidays": [{"holiday": "sale", "ds": "2026-03-11", "lower_window": 0, "upper_window": 1}], "country_holidays": "DE"},
    {"seasonalities": [{"name": "shift", "period": 0.5, "fourier_order": 2, "mode": "multiplicative"}]},
    {"growth": "flat", "weekly_seasonality": False},
]


def series(rng):
    hours = np.arange(len(HOURS))
    level = 40 + 0.02 * hours + 12 * np.sin(2 * np.pi * hours / 24) + 5 * (hours // 24 % 7 > 4)
    return rng.poisson(np.array([level, 3 * level])).astype(float)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("sqrt", [False, True])
def test_terms_are_the_prediction_and_prophets_own(options, sqrt):
    values = series(np.random.default_rng(5))
    fleet = fit_fleet(HOURS, values, sqrt=np.array([sqrt, sqrt]), **options)
    fleet = Fleet.from_numbers(fleet.to_numbers())
    made = components(fleet, 1, LATER)
    np.testing.assert_allclose(made.mean, fleet.mean(LATER)[1], atol=1e-9)
    local = fleet.groups[0].design.local(LATER)
    theirs = fleet.prophet(1).predict(pd.DataFrame({"ds": local}))
    np.testing.assert_allclose(made.trend, theirs["trend"], rtol=1e-9)
    assert {"daily"} <= {each.name for each in made.terms}
    for each in made.terms:
        np.testing.assert_allclose(each.values, theirs[each.name], atol=1e-9, err_msg=each.name)
    for mode in (True, False):
        own = sum((each.values for each in made.terms if each.multiplicative is mode), np.zeros(len(LATER)))
        np.testing.assert_allclose(own, theirs["multiplicative_terms" if mode else "additive_terms"], atol=1e-9)


@pytest.mark.parametrize("seed", range(40, 52))
def test_terms_of_any_options_are_the_prediction(seed):
    case = random_case(seed, 2)
    fleet = fit_fleet(case.ds, case.values, regressors=case.regressors, **case.options)
    mean = fleet.mean(case.ds, case.regressors)
    for row in range(fleet.size):
        made = components(fleet, row, case.ds, case.regressors)
        np.testing.assert_allclose(made.mean, mean[row], atol=1e-9 * np.abs(mean[row]).max())


def test_a_series_without_a_model_has_no_terms():
    values = series(np.random.default_rng(5))
    values[1] = np.nan
    with pytest.raises(DataError, match="there is no model of series 1"):
        components(fit_fleet(HOURS, values), 1, LATER)
