"""Noise by the clock: hours that are noisier, or quieter, than most."""

from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import poisson

from driftline.bench.hours import NOISE, make
from driftline.models.baseline.fleet import pack
from driftline.models.trained import SHORT, squeezed, unsqueezed
from driftline.pipeline.replay import replay
from driftline.scoring.calibration import FORMED, STILL, Calibration, calibrate
from driftline.scoring.detector import detect
from driftline.scoring.hours import HOURS, hours_of, laid, noise_by_hour
from driftline.scoring.windows import Windows

PER, START = 96, np.datetime64("2026-03-02T00:00:00")  # quarters of an hour, from a Monday on
WINDOWS = Windows.of(timedelta(minutes=15))


def hours(days, series=1, start=START):
    return hours_of([(np.arange(series), start + np.arange(days * PER) * np.timedelta64(15, "m"))])


def noise(days, series=1, seed=1):
    return np.random.default_rng(seed).normal(size=(series, days * PER))


def by_hour(z):
    return noise_by_hour(z, hours(z.shape[1] // PER, len(z)), PER)


def test_hours_are_those_of_workdays_and_of_weekends_by_the_clock():
    ((_, shown),) = hours_of(
        [(np.arange(1), np.array(["2026-03-06T23:59", "2026-03-07T00:00", "2026-03-09T05:30"], "datetime64[s]"))]
    )
    assert shown.tolist() == [23, 24, 5]


@pytest.mark.parametrize(("days", "error"), [(28, 0.2), (14, 0.3)])
def test_noisy_hours_are_told_with_how_much_beside_quiet_ones(days, error):
    z = noise(days, 10)
    z.reshape(10, days, PER)[:, :, 32:80] *= 3
    found = by_hour(z)[:, :24]
    ratio = np.median(found[:, 8:20], axis=1) / np.median(np.delete(found, np.s_[8:20], axis=1), axis=1)
    assert ratio.mean() == pytest.approx(3, rel=error)


def test_workdays_may_be_noisier_than_weekends():
    z = noise(28, 10)
    z.reshape(10, 4, 7, PER)[:, :, :5, 36:68] *= 4
    found = by_hour(z)
    assert np.median(found[:, 9:17] / found[:, 33:41]) == pytest.approx(4, rel=0.3)


def test_noise_that_is_alike_stays_alike():
    assert (by_hour(noise(28, 200)) == 1).all(axis=1).mean() > 0.99
    assert (by_hour(noise(7, 200)) == 1).all(axis=1).mean() > 0.99


@pytest.mark.parametrize("days", [3, 6])
def test_a_few_days_tell_of_an_hour_with_those_around_it(days):
    z = noise(days, 40)
    z.reshape(40, days, PER)[:, :, 32:80] *= 3
    found = by_hour(z)
    assert np.median(found[:, 11:17]) / np.median(found[:, [0, 1, 2, 3, 4, 23]]) > 2
    assert (found[:, :24] == found[:, 24:]).all(), "of weekends they tell nothing"
    assert (by_hour(noise(days, 200)) == 1).all(axis=1).mean() > 0.98
    z = noise(days, 40)
    z.reshape(40, days, PER)[:, 1, 40:48] += 10
    assert (by_hour(z) == 1).all(axis=1).mean() > 0.95, "two hours of one day decide nothing"
    assert (by_hour(3 * noise(2)) == 1).all()


def test_a_single_hour_that_surely_differs_is_noisier_by_itself():
    z = noise(8, 40)
    z.reshape(40, 8, PER)[:, :, 8:12] *= 5
    found = by_hour(z)[:, :24]
    assert np.median(found[:, 2]) > 3
    assert (np.delete(found, 2, axis=1) == 1).mean() > 0.8


def test_readings_whose_neighbours_are_alike_mostly_stay_alike():
    z = noise(28, 100)
    for column in range(1, z.shape[1]):
        z[:, column] += 0.8 * z[:, column - 1]
    assert (by_hour(z) == 1).all(axis=1).mean() > 0.95


def test_six_days_two_bad_ones_and_buckets_of_a_day_say_nothing():
    z = noise(6)
    z[:, ::PER] *= 50
    assert (by_hour(z) == 1).all()
    z = noise(14)
    z.reshape(14, PER)[5:7, 40:48] += 20
    assert (by_hour(z) == 1).all()
    z.reshape(14, PER)[:, 40:48] *= 9
    assert not (by_hour(z) == 1).all()
    assert (noise_by_hour(noise(14), hours(14), 1) == 1).all()


def test_gaps_and_series_without_values_are_no_matter():
    z = noise(28, 3)
    z.reshape(3, 28, PER)[:, :, 8:12] *= 6
    whole = by_hour(z)
    z[0, 5 * PER : 9 * PER] = np.nan
    z[1] = np.nan
    found = by_hour(z)
    assert found[0, 2] == pytest.approx(whole[0, 2], rel=0.3)
    assert (found[1] == 1).all()
    np.testing.assert_array_equal(found[2], whole[2])


def test_each_series_goes_by_its_own_clock():
    moments = START + np.arange(28 * PER) * np.timedelta64(15, "m")
    clocks = hours_of([(np.array([1]), moments + np.timedelta64(5, "h")), (np.array([0]), moments)])
    z = noise(28, 2)
    z.reshape(2, 28, PER)[:, :, 8:12] *= 6
    factors = noise_by_hour(z, clocks, PER)
    assert factors.argmax(axis=1).tolist() == [2, 7] or factors.argmax(axis=1).tolist() == [26, 31]
    wide = laid(factors, clocks, 28 * PER)
    assert (wide.reshape(2, 28, PER)[:, :, 8:12] > 3).all()
    assert laid(np.ones((2, HOURS)), clocks, 28 * PER) is None


def judged(values, sqrt=False):
    """What is found of the last two of 30 days, with what is usual from those before."""
    series, days = len(values), values.shape[1] // PER
    space = np.sqrt(values) if sqrt else values
    mean = np.tile(np.median(space[:, : 28 * PER].reshape(series, 28, PER), axis=1), (1, days))
    flags, past, clock = np.full(series, sqrt), slice(0, 28 * PER), hours(days, series)
    known = [(rows, shown[past]) for rows, shown in clock]
    usual = calibrate(values[:, past], space[:, past], mean[:, past], flags, WINDOWS, hours=known).usual
    again = Calibration.from_numbers(usual.numbers().astype("<f4").astype(float))
    return detect(values, space, mean, flags, again, WINDOWS, hours=clock).surprise[:, 28 * PER :]


def test_what_comes_at_a_quiet_hour_is_told_though_others_are_loud():
    values = 50 + noise(30, 10)
    values.reshape(10, 30, PER)[:, :, 32:80] += 3 * noise(30, 10, seed=2).reshape(10, 30, PER)[:, :, 32:80]
    values[:, 28 * PER + 12 : 28 * PER + 16] += 6
    found = judged(values)
    assert (found[:, 12:17].max(axis=1) > 5).all()
    assert found[:, PER:].max() < 5


def test_silence_is_no_news_at_hours_at_which_counts_come_and_go():
    rng = np.random.default_rng(4)
    rate = np.full((10, 30, PER), 8.0)
    rate[:, :, 32:80] *= rng.gamma(0.5, 2, (10, 30, 48))
    values = rng.poisson(rate).reshape(10, -1).astype(float)
    values[:, -PER + 40 : -PER + 44] = 0  # an hour of nothing when that comes, and one when it does not
    values[:, -PER + 12 : -PER + 16] = 0
    found = judged(values, sqrt=True)[:, PER:]
    assert found[:, 40:44].max() < 5
    assert (found[:, 12:16].max(axis=1) > 5).all()


@pytest.mark.parametrize("rate", [0.02, 0.2, 1.0, 3.0, 10.0])
def test_few_events_with_a_daily_curve_are_chance_at_all_hours(rate):
    hour = np.arange(28 * PER) % PER / 4
    mean = np.tile(rate * (1 + 0.9 * np.sin(2 * np.pi * (hour - 9) / 24)), (16, 1))
    counts = np.random.default_rng(3).poisson(mean).astype(float)
    several = np.arange(100)
    space = (poisson.pmf(several, mean[0][:, None]) * np.sqrt(several)).sum(axis=1)  # as a model of roots has it
    usual = calibrate(counts, np.sqrt(counts), np.tile(space, (16, 1)), np.full(16, True), WINDOWS, hours=hours(28, 16)).usual
    assert (usual.by_hour == 1).all()


def test_noise_below_the_least_is_none():
    z = noise(28, 4) * np.where((np.arange(28 * PER) % PER >= 32) & (np.arange(28 * PER) % PER < 80), 0.05, 0.005)
    usual = calibrate(1000 + z, 1000 + z, np.full_like(z, 1000.0), np.full(4, False), WINDOWS, hours=hours(28, 4)).usual
    assert (usual.by_hour == 1).all()


def test_snapshots_from_before_have_the_same_noise_at_all_hours():
    values = 50 + noise(28)
    flags = np.full(1, False)
    usual = calibrate(values, values, np.full_like(values, 50.0), flags, WINDOWS).usual
    before = Calibration.from_numbers(usual.numbers()[:, :FORMED])
    assert (before.by_hour == 1).all()
    np.testing.assert_array_equal(before.numbers()[:, :STILL], usual.numbers()[:, :STILL])
    assert np.isnan(before.numbers()[:, STILL:]).all(), "of pairs nothing is known"
    short = usual.numbers().astype(SHORT)
    for text in (squeezed(short), pack(short, SHORT)):
        np.testing.assert_array_equal(unsqueezed(text, 1), short)


def test_bounds_hold_by_day_and_by_night_as_it_would_have_happened():
    values, spread = make(NOISE["by_day"], 4, 15, np.random.default_rng(7))
    times = START + np.arange(values.shape[1]) * np.timedelta64(15, "m")
    found = replay(times, values, a_day=1)
    inside = ((values >= found.lower) & (values <= found.upper))[:, 28 * PER :]
    loud = spread[28 * PER :] > 2
    assert 0.91 < inside[:, loud].mean() < 0.97
    assert 0.92 < inside[:, ~loud].mean() < 0.98
