"""Designs: Prophet's features, made without what only its tables need, and each made once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from driftline.models.baseline.design import Design

HOURS = np.datetime64("2026-01-01", "us") + np.arange(60 * 24) * np.timedelta64(3600 * 10**6, "us")
DESIGNS = {
    "plain": {},
    "none": {"weekly_seasonality": False, "daily_seasonality": False},
    "holidays": {
        "country_holidays": "DE",
        "holidays": [{"holiday": "sale", "ds": "2026-01-20", "lower_window": -1, "upper_window": 2}],
    },
    "own": {
        "seasonalities": [{"name": "shift", "period": 1 / 3, "fourier_order": 2}],
        "extra_regressors": {"load": {"standardize": False}},
        "seasonality_mode": "multiplicative",
    },
}


@pytest.mark.parametrize("name", DESIGNS)
def test_features_are_prophets_to_the_last_bit(name):
    design = Design.of(HOURS, DESIGNS[name])
    times = HOURS[-100:] + np.timedelta64(20, "D") + np.timedelta64(1, "us")
    frame = pd.DataFrame({"ds": pd.DatetimeIndex(times)} | {regressor: 0.0 for regressor in design.regressors})
    wanted = design.template.make_all_seasonality_features(frame)[0].to_numpy(dtype=np.float64)
    assert (design.features(times) == wanted).all()
    assert wanted.shape == (100, len(design.sigmas))


def test_a_design_is_made_once_for_histories_that_prophet_would_set_up_alike():
    whole = Design.like(HOURS, {})
    assert Design.like(HOURS[300:] + np.timedelta64(1, "D"), {}) is whole
    assert Design.like(HOURS, {"weekly_seasonality": False}) is not whole
    short = Design.like(HOURS[: 5 * 24], {})
    assert set(short.template.seasonalities) == {"daily"}, "too short for a week"
    assert set(whole.template.seasonalities) == {"daily", "weekly"}
    for each, ds in ((whole, HOURS), (short, HOURS[: 5 * 24])):
        assert each.to_numbers() == Design.of(ds, {}).to_numbers()
