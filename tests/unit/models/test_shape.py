"""The shape of days and weeks that smooth seasons do not follow."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from driftline.models.baseline.fleet import Fleet, pack
from driftline.models.baseline.shape import own_part, shape
from driftline.pipeline.fit import fit_series

SPAN, PER = 15, 96
START = np.datetime64("2026-03-02T00:00:00")  # a Monday
OFFICE = slice(36, 68)  # nine to five


def times(days, span=SPAN):
    return START + np.arange(days * 1440 // span) * np.timedelta64(span, "m")


def counts(rate, seed=9):
    return np.random.default_rng(seed).poisson(rate).astype(float)


def expected(y, days=28, span=SPAN, at=None, **options):
    fleet = fit_series(times(days, span), y, timedelta(minutes=span), sqrt=np.full(len(y), True), **options)
    return fleet.to_units(fleet.mean(times(days + 7, span)[-7 * 1440 // span :] if at is None else at))


def shaped(residuals, floor=0.5):
    return shape(
        residuals, np.full(len(residuals), floor), [(np.arange(len(residuals)), times(residuals.shape[1] // PER))], SPAN * 60_000
    )


@pytest.mark.parametrize("length", [8, 12, 16, 24])
def test_a_run_of_hours_is_expected_from_its_first_bucket_to_its_last(length):
    rate = np.full((1, 28 * PER), 100.0)
    rate.reshape(28, PER)[:, 9 : 9 + length] *= 4
    assert expected(counts(rate))[0, :PER] == pytest.approx(rate[0, :PER], rel=0.15)


def test_three_days_tell_a_shape_and_two_do_not():
    rate = np.full((1, 3 * PER), 100.0)
    rate.reshape(3, PER)[:, OFFICE] *= 6
    y = counts(rate)
    assert expected(y, 3)[0, OFFICE] == pytest.approx(np.full(32, 600), rel=0.2)
    assert expected(y, 3)[0, :30] == pytest.approx(np.full(30, 100), rel=0.4)
    assert not len(fit_series(times(2), y[:, : 2 * PER], timedelta(minutes=SPAN), sqrt=np.array([True])).habits)


@pytest.mark.parametrize("span", [15, 5])
def test_what_is_expected_of_a_day_is_told_as_if_that_day_was_no_part_of_the_shape(span):
    per = 1440 // span
    z = np.random.default_rng(2).normal(0, 1, (3, 3 * per))
    z[::2].reshape(2, 3, per)[:, :, per // 2 :] += 20
    clocks = [(np.array([0, 2]), times(3, span)), (np.array([1]), times(3, span))]
    habits = shape(z, np.full(3, 0.5), clocks, span * 60_000)
    part = own_part(z - habits.moved(clocks, 3), habits, clocks, span * 60_000)
    own = z[::2].reshape(2, 3, 96, -1).mean(axis=3)
    others = (own.sum(axis=1, keepdims=True) - own) / 2
    moved = (habits.moved(clocks, 3) - part)[::2].reshape(2, 3, 96, -1)
    assert not part[1].any()
    assert part[::2, per // 2 : per // 2 + 3].all()
    assert np.abs(moved - others[..., None])[:, :, 48:].mean() < 0.35 * np.abs(own - others)[:, :, 48:].mean()
    gaps = np.where(np.arange(3 * per) < 2 * per, np.nan, z)
    assert not own_part(gaps, habits, clocks, span * 60_000)[:, : 2 * per].any(), "of a day alone there are no others"


def test_office_hours_are_expected_on_workdays_and_no_others():
    rate = np.full((1, 28 * PER), 100.0)
    rate.reshape(4, 7, PER)[:, :5, OFFICE] *= 6
    week = expected(counts(rate))[0].reshape(7, PER)
    assert week[:5, OFFICE] == pytest.approx(np.full((5, 32), 600), rel=0.15)
    assert week[5:, OFFICE] == pytest.approx(np.full((2, 32), 100), rel=0.3)
    assert week[:, :30] == pytest.approx(np.full((7, 30), 100), rel=0.4)


def test_a_shape_is_known_to_a_quarter_of_an_hour_at_spans_of_a_minute():
    rate = np.full((1, 14 * 1440), 20.0)
    rate.reshape(14, 1440)[:, 120:300] *= 5
    day = expected(counts(rate), 14, 1)[0, :1440]
    assert day[120:300] == pytest.approx(np.full(180, 100), rel=0.2)
    assert day[330:] == pytest.approx(np.full(1110, 20), rel=0.3)


def test_smooth_days_have_none():
    clock = np.arange(28 * PER) / PER
    rate = 100 * (1 + 0.6 * np.sin(2 * np.pi * clock)) * (1 + 0.2 * np.sin(2 * np.pi * clock / 7))
    y = counts(np.tile(rate, (20, 1)))
    fleet = fit_series(times(28), y, timedelta(minutes=SPAN), sqrt=np.full(20, True))
    assert not len(fleet.habits)


def test_noise_has_next_to_none():
    z = np.random.default_rng(1).normal(0, 0.5, (50, 28 * PER))
    assert len(shaped(z).table) < 5


def test_few_events_have_next_to_none_though_their_middle_is_not_their_mean():
    rate = np.where(np.arange(28 * PER) % PER < 48, 0.3, 0.9)
    y = np.sqrt(counts(np.tile(rate, (20, 1))))
    mean = np.where(rate < 0.5, y[:, rate < 0.5].mean(), y[:, rate > 0.5].mean())
    assert len(shaped(y - mean).table) < 10


def test_days_that_are_not_over_and_gaps_count_neither_way():
    z = np.random.default_rng(3).normal(0, 1, (1, 28 * PER))
    z.reshape(28, PER)[:, OFFICE] += 8
    z[0, 5 * PER : 7 * PER] = np.nan
    z[0, 100:140] = np.nan
    moved = shaped(z[:, : 20 * PER + 50]).moved([(np.arange(1), times(1))], 1)[0]
    assert moved[OFFICE] == pytest.approx(np.full(32, 8), abs=1)


def test_a_shape_follows_clocks_that_are_put_forward():
    utc = times(42)  # on the 29th
    local = pd.DatetimeIndex(utc).tz_localize("UTC").tz_convert("Europe/Berlin")
    open_ = (local.hour >= 9) & (local.hour < 17)
    y = counts(np.where(open_, 600.0, 100.0)[None])
    after = expected(y[:, : 26 * PER], 26, at=utc, time_zone="Europe/Berlin")[0]
    assert after == pytest.approx(np.where(open_, 600, 100), rel=0.25)


def test_it_is_kept_when_models_are_stored():
    rate = np.full((2, 28 * PER), 100.0)
    rate[1].reshape(28, PER)[:, OFFICE] *= 6
    fleet = fit_series(times(28), counts(rate), timedelta(minutes=SPAN), sqrt=np.full(2, True))
    assert set(fleet.habits.table[:, 0]) == {1}
    np.testing.assert_array_equal(Fleet.from_numbers(fleet.to_numbers()).mean(times(2)), fleet.mean(times(2)))


def test_habits_of_snapshots_from_before_they_had_a_length_are_read():
    fleet = fit_series(times(28), counts(np.full((1, 28 * PER), 100.0)), timedelta(minutes=SPAN), sqrt=np.array([True]))
    numbers = fleet.to_numbers() | {"habits": pack(np.array([[0, 86_400_000, 8_100_000, 7.5, 0.5]]))}
    before = Fleet.from_numbers(numbers)
    assert np.flatnonzero(before.spread(times(1))[0]).tolist() == [9]
    assert before.mean(times(1))[0, 9] - fleet.mean(times(1))[0, 9] == pytest.approx(7.5)


@pytest.mark.parametrize("daily", [True, False])
def test_the_whole_error_of_the_curve_is_mended(daily):
    rate = np.full((1, 28 * PER), 100.0)
    rate.reshape(28, PER)[:, OFFICE] *= 6
    y = counts(rate)
    fleet = fit_series(times(28), y, timedelta(minutes=SPAN), sqrt=np.array([True]), daily_seasonality=daily)
    assert abs(np.median(np.sqrt(y) - fleet.mean(times(28)))) < 0.15


@pytest.mark.parametrize("span", [35, 50, 75])
def test_spans_that_divide_no_day_know_a_shape_by_the_clock_of_a_zone(span):
    utc = times(42, span)
    local = pd.DatetimeIndex(utc).tz_localize("UTC").tz_convert("Asia/Kolkata").tz_localize(None).to_numpy()
    place = (local - local.astype("datetime64[D]")).astype("timedelta64[m]").astype(int) // span
    z = np.random.default_rng(5).normal(0, 0.5, (1, len(utc))) + 8 * (place < 240 // span)
    clocks = [(np.arange(1), local)]
    left = z - shape(z, np.array([0.5]), clocks, span * 60_000).moved(clocks, 1)
    assert np.abs(left).max() < 4


def test_shapes_of_many_series_are_kept_in_little_room():
    rate = np.full((20, 28 * PER), 100.0)
    rate.reshape(20, 4, 7, PER)[:, :, :5, OFFICE] *= 6
    numbers = fit_series(times(28), counts(rate), timedelta(minutes=SPAN), sqrt=np.full(20, True)).to_numbers()
    assert len(numbers["by_clock"]) < 20 * 3000
