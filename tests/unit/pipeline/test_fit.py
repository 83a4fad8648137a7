from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftline.core.errors import DefinitionError
from driftline.core.job import Job
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.timespan import Window
from driftline.models.trained import Trained
from driftline.pipeline.ahead import Modelled, _widened
from driftline.pipeline.backtest import _loss, backtest, holdback
from driftline.pipeline.fit import check_job_options, fit
from driftline.scoring.calibration import Calibration
from driftline.scoring.settings import BACKTEST_SERIES, PROMOTE_TOLERANCE

SPAN = timedelta(hours=1)
START = datetime(2026, 3, 2, tzinfo=UTC)
HOURS = 21 * 24


def job(**training):
    return Job.model_validate(
        {
            "job_id": "shops",
            "bucket_span": "1h",
            "detectors": [{"function": "mean", "field_name": "sales", "partition_field_name": "shop"}],
            "datafeed": {"indices": "sales"},
            "training": training,
        }
    )


def frame(*shops):
    """Shops are busy from nine to five by their own clocks; these are UTC hours."""
    random = np.random.default_rng(0)
    hour = np.arange(HOURS) % 24
    opens = {"tokyo": 0, "london": 9, "york": 14}
    rows = [np.where((hour - opens[shop.split("-")[0]]) % 24 < 8, 100.0, 10.0) + random.normal(0, 1, HOURS) for shop in shops]
    return SeriesFrame(START, SPAN, [SeriesKey(0, shop) for shop in shops], np.array(rows), np.full(HOURS, 60))


def options_of(trained):
    return {trained.keys[row].partition_value: group.design.options for group in trained.fleet.groups for row in group.rows}


def test_partitions_have_options_of_their_own():
    own = {"tokyo-*": {"time_zone": "Asia/Tokyo"}, "*-2": {"holidays": [{"holiday": "sale", "ds": "2026-03-07"}]}}
    series = frame("tokyo-1", "tokyo-2", "london-1")
    trained = fit(job(prophet={"weekly_seasonality": False}, prophet_by_partition=own), series)
    options = options_of(trained)
    assert options["london-1"] == {"weekly_seasonality": False}
    assert options["tokyo-1"] == {"weekly_seasonality": False, "time_zone": "Asia/Tokyo"}
    assert options["tokyo-2"]["holidays"] == [{"holiday": "sale", "ds": "2026-03-07"}]
    again = Trained.from_numbers(trained.to_numbers())
    np.testing.assert_array_equal(again.fleet.mean(series.times), trained.fleet.mean(series.times))


def test_gaps_in_a_count_leave_its_noise_known():
    whole = frame("london-1", "york-1")
    counts = {"detectors": [{"function": "nzc", "partition_field_name": "shop"}], "job_id": "n", "datafeed": {"indices": "x"}}
    gaps = replace(whole, values=np.where(np.arange(HOURS) % 7 == 0, np.nan, whole.values.round()))
    late = replace(whole, values=np.where(np.arange(HOURS) < HOURS // 2, np.nan, whole.values.round()))
    for series in (gaps, late):
        usual = Calibration.from_numbers(fit(Job.parse({**counts, "bucket_span": "1h"}, where="test"), series).usual)
        assert np.isfinite(usual.law).all()
        assert (usual.tails["point"].surprise(np.full((2, 1), 20.0)) > 5).all()


def test_the_engine_prophet_fits_all_and_says_so():
    series = frame("london-1", "york-1")
    theirs = fit(job(engine="prophet"), series)
    ours = fit(job(), series)
    assert [fallback["reason"] for fallback in theirs.fallbacks] == ["engine: prophet"] * 2
    assert ours.fallbacks == []
    np.testing.assert_allclose(ours.fleet.mean(series.times), theirs.fleet.mean(series.times), rtol=0.05, atol=1)


def test_only_options_that_are_used_change_a_jobs_version():
    assert job().version == job(engine="driftline", prophet_by_partition={}).version
    assert len({job().version, job(engine="prophet").version, job(prophet_by_partition={"a": {"time_zone": "UTC"}}).version}) == 3


def test_a_wrong_option_of_a_pattern_is_named():
    with pytest.raises(DefinitionError, match="'timezone' is not an option") as error:
        check_job_options(job(prophet_by_partition={"tokyo-*": {"timezone": "Asia/Tokyo"}}))
    assert "training.prophet_by_partition, 'tokyo-*'" in str(error.value)
    with pytest.raises(DefinitionError, match="Mars/Olympus"):
        check_job_options(job(prophet={"time_zone": "Mars/Olympus"}))


def test_the_least_and_the_greatest_value_lie_within_what_was_seen_as_it_is_kept():
    series = frame(*(f"london-{number}" for number in range(8)))
    seen = Calibration.from_numbers(fit(job(), series).usual).seen
    assert (seen[:, 0] <= series.values.min(axis=1)).all()
    assert (seen[:, 1] >= series.values.max(axis=1)).all()
    np.testing.assert_allclose(seen[:, 1], series.values.max(axis=1), rtol=1e-6)


def test_no_more_series_than_the_sample_are_held_back():
    series = frame(*(f"london-{number}" for number in range(BACKTEST_SERIES + 50)))
    options = job(prophet={"weekly_seasonality": False})
    assert len(backtest(options, series, fit(options, series))["rows"]) == (BACKTEST_SERIES + 50) // 2


def test_a_retrain_is_not_worse_because_its_comparison_had_seen_too_few_days_for_a_shape():
    series = frame("london-1", "york-1").slice(Window(START, START + timedelta(days=8)))
    trained = fit(job(), series)
    held = holdback(job(), series.window)
    assert set(trained.fleet.habits.table[:, 0]) == {0, 1}
    new = np.array(backtest(job(), series, trained)["loss"])
    old = _loss(trained.fleet, series.slice(held), trained.usual)
    assert (new <= PROMOTE_TOLERANCE * old).all()


def restless(days=28):
    """A shop whose sales vary by 1 from five on, and by a fifth of that before."""
    hour = np.arange(days * 24) % 24
    noise = np.where(hour < 5, 0.2, 1.0) * np.random.default_rng(5).normal(size=days * 24)
    return SeriesFrame(START, SPAN, [SeriesKey(0, "london-1")], 20 + noise[None], np.full(days * 24, 60))


@pytest.mark.parametrize("first", [0, 10])
def test_forecasts_are_as_sure_of_each_quiet_night_as_of_the_first(first):
    part = Modelled(fit(job(), restless()), ())
    times = np.datetime64("2026-03-30T00:00", "ms") + (first + np.arange(7 * 24)) * np.timedelta64(1, "h")
    (lower, _, upper), _ = _widened(part.predict(times), part.passing(times), np.zeros((2, 1, 1)), np.array([[True]]))
    width, night = (upper - lower)[0] / 2, (first + np.arange(7 * 24)) % 24 < 5
    assert (width[~night] > 1.5).all()
    assert (width[night] < 1.0).all()


def test_a_loss_is_in_units_of_the_noise_of_the_hour():
    series = restless()
    trained = fit(job(), series)
    night = np.arange(28 * 24) % 24 < 5
    wrong = [replace(series, values=series.values + np.where(night == part, 1.0, 0.0)) for part in (True, False)]
    by_night, by_day = (_loss(trained.fleet, each, trained.usual)[0] for each in wrong)
    assert by_night / night.mean() > 2 * by_day / (~night).mean()
