"""Habits: what comes at the same time each day or week is found, and nothing else is."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from driftline.models.baseline.components import components
from driftline.models.baseline.fleet import Fleet, select
from driftline.models.baseline.habits import DAY, WEEK, find
from driftline.pipeline.fit import fit_series

SPAN, PER = 15, 96
START = np.datetime64("2026-03-02T00:00:00")  # a Monday
AT = 9  # a quarter past two


def times(days):
    return START + np.arange(days * PER) * np.timedelta64(SPAN, "m")


def noise(days, series=1, seed=0):
    return np.random.default_rng(seed).normal(0, 1, (series, days * PER))


def everywhere(series, local):
    return [(np.arange(series), local)]


def found(residuals, local=None):
    local = times(residuals.shape[1] // PER) if local is None else local
    least = np.full(len(residuals), 6.0)
    return find(residuals, np.abs(residuals) > 6, least, everywhere(len(residuals), local), SPAN * 60_000)


def test_what_comes_each_night_is_found_with_its_height_and_how_much_that_varies():
    z = noise(28, 3)
    z[1, AT::PER] += np.random.default_rng(1).normal(40, 4, 28)
    habits = found(z)
    (row,) = habits.table
    assert (row[0], row[1], row[2]) == (1, DAY, AT * SPAN * 60_000)
    assert row[3] == pytest.approx(40, abs=3)
    assert row[4] == pytest.approx(4, abs=2)
    moved = habits.moved(everywhere(3, times(2)), 3)
    assert (moved[1] != 0).sum() == 2
    assert not moved[[0, 2]].any()


def test_a_habit_may_be_a_drop():
    z = noise(14)
    z[0, AT::PER] -= 30
    assert found(z).table[:, 3] == pytest.approx([-30], abs=1.5)


def test_two_nights_of_28_may_lack_it_and_three_may_not():
    for lacking, count in ((2, 1), (3, 0)):
        z = noise(28)
        z[0, AT::PER] += 40
        z[0, AT::PER][np.arange(lacking) * 8 + 1] -= 40
        assert (found(z).table[:, 1] == DAY).sum() == count, lacking


@pytest.mark.parametrize(("days", "count"), [(6, 0), (7, 1)])
def test_a_week_must_have_been_seen(days, count):
    z = noise(days)
    z[0, AT::PER] += 40
    assert len(found(z)) == count


def test_what_comes_on_workdays_is_a_habit_of_these_weekdays():
    z = noise(28)
    nights = np.arange(28)
    z[0, AT::PER][nights % 7 < 5] += 40
    habits = found(z)
    assert (habits.table[:, 1] == WEEK).all()
    moved = habits.moved(everywhere(1, times(7)), 1)[0]
    assert (np.flatnonzero(moved) // PER).tolist() == [0, 1, 2, 3, 4]


def test_what_comes_about_then_has_no_height_and_is_no_news_there():
    z, rng = noise(28), np.random.default_rng(3)
    for day in range(28):
        z[0, day * PER + AT + rng.integers(-1, 2)] += 40
    habits = found(z)
    assert not habits.table[:, 3].any()
    spread = habits.spread(everywhere(1, times(1)), 1)[0]
    places = np.flatnonzero(spread)
    assert {AT - 1, AT, AT + 1} <= set(places.tolist()) <= set(range(AT - 2, AT + 3))
    assert spread[AT] == pytest.approx(21, abs=2)


def test_a_night_that_is_larger_at_weekends_is_no_less_certain_on_workdays():
    z = noise(28)
    weekend = np.arange(28) % 7 >= 5
    z[0, AT::PER] += np.where(weekend, 90, 40)
    habits, week = found(z), everywhere(1, times(7))
    assert habits.moved(week, 1)[0, AT::PER] == pytest.approx([40] * 5 + [90] * 2, abs=1.5)
    assert habits.spread(week, 1)[0, AT::PER].max() < 2


def test_a_night_that_is_at_random_larger_is_uncertain():
    z = noise(28)
    z[0, AT::PER] += np.random.default_rng(8).choice([40, 60], 28)
    assert found(z).spread(everywhere(1, times(1)), 1)[0, AT] > 5


def test_bursts_of_every_third_bucket_are_no_habit_of_a_week():
    z, rng = noise(28, 20), np.random.default_rng(4)
    z[rng.random(z.shape) < 0.3] += 40
    assert not len(found(z))


def test_what_comes_about_then_is_found_though_a_day_is_not_over_and_something_comes_at_its_minute():
    z, rng = noise(28), np.random.default_rng(3)
    z[0, AT::PER] += 40
    for day in range(28):
        z[0, day * PER + 3 * AT + rng.integers(-1, 2)] += 40
    spread = found(z[:, : -PER // 2]).spread(everywhere(1, times(1)), 1)[0]
    assert {3 * AT - 1, 3 * AT, 3 * AT + 1} <= set(np.flatnonzero(spread).tolist())


def test_bursts_at_any_time_are_no_habit():
    z, rng = noise(28, 40), np.random.default_rng(4)
    z[rng.random(z.shape) < 0.03] += 40
    assert not len(found(z))


def test_what_moves_more_than_a_quarter_of_the_day_is_another_shape():
    z = noise(14)
    z[0].reshape(14, PER)[:, :30] += 40
    assert not len(found(z))


def test_missing_values_count_neither_way():
    z = noise(28)
    z[0, AT::PER] += 40
    z[0, : 10 * PER] = np.nan
    z[0, 15 * PER : 18 * PER] = np.nan
    assert len(found(z)) == 1
    z[0, 10 * PER + 4 * PER :] = np.nan
    assert not len(found(z)), "four nights"


def test_habits_follow_the_clocks_of_the_job():
    utc = times(42)  # clocks are put forward on the 29th
    local = pd.DatetimeIndex(utc).tz_localize("UTC").tz_convert("Europe/Berlin")
    y = np.random.default_rng(5).poisson(100, (1, len(utc))).astype(float)
    night = (local.hour == 4) & (local.minute == 30)
    y[0, night] *= 8
    fleet = fit_series(utc, y, timedelta(minutes=SPAN), sqrt=np.array([True]), time_zone="Europe/Berlin")
    expected = fleet.to_units(fleet.mean(utc))[0]
    assert expected[night] == pytest.approx(np.full(night.sum(), 800), rel=0.1)
    assert expected[~night].max() < 150


def test_each_series_follows_the_clocks_of_its_own_zone():
    utc = times(42)
    y = np.random.default_rng(5).poisson(100, (2, len(utc))).astype(float)
    zones = ["UTC", "America/New_York"]
    nights = []
    for row, zone in enumerate(zones):
        local = pd.DatetimeIndex(utc).tz_localize("UTC").tz_convert(zone)
        nights.append((local.hour == 4) & (local.minute == 30))
        y[row, nights[row]] *= 8
    learned, own = times(21), [{"time_zone": zone} for zone in zones]
    fleet = fit_series(learned, y[:, : 21 * PER], timedelta(minutes=SPAN), sqrt=np.full(2, True), series_options=own)
    expected = fleet.to_units(fleet.mean(utc))
    for row, night in enumerate(nights):
        assert expected[row, night] == pytest.approx(np.full(night.sum(), 800), rel=0.1)
        assert expected[row, ~night].max() < 150
        np.testing.assert_allclose(components(fleet, row, utc).mean, fleet.mean(utc)[row], atol=1e-9)


def nightly(days=28, seed=6):
    y = np.random.default_rng(seed).poisson(100, (3, days * PER)).astype(float)
    y[1, AT::PER] = np.random.default_rng(seed + 1).poisson(900, days)
    return y


def fitted():
    return fit_series(times(28), nightly(), timedelta(minutes=SPAN), sqrt=np.full(3, True))


def test_models_expect_it_and_keep_it_when_they_are_stored_and_chosen():
    fleet, later = fitted(), times(30)[-2 * PER :]
    mean = fleet.to_units(fleet.mean(later))
    assert mean[1, AT] == pytest.approx(900, rel=0.05)
    assert np.delete(mean, [AT, AT + PER], axis=1).max() < 130
    assert mean[[0, 2]].max() < 130
    again = Fleet.from_numbers(fleet.to_numbers())
    np.testing.assert_array_equal(again.mean(later), fleet.mean(later))
    chosen = select(again, [2, 1])
    np.testing.assert_allclose(chosen.mean(later), fleet.mean(later)[[2, 1]])
    np.testing.assert_array_equal(chosen.spread(later), fleet.spread(later)[[2, 1]])
    np.testing.assert_allclose(fleet.predict(later).typical, mean)
    np.testing.assert_array_equal(fleet.moments(later)[0], fleet.mean(later))


def test_fleets_without_habits_are_stored_as_before():
    fleet = fit_series(times(28), nightly()[[0, 2]], timedelta(minutes=SPAN), sqrt=np.full(2, True))
    assert "habits" not in fleet.to_numbers()
    assert fleet.spread(times(1)) is None


def test_components_show_habits_as_a_term():
    fleet, day = fitted(), times(29)[-PER:]
    made = components(fleet, 1, day)
    np.testing.assert_allclose(made.mean, fleet.mean(day)[1], atol=1e-9)
    (term,) = (each for each in made.terms if each.name == "habits")
    assert np.flatnonzero(term.values).tolist() == [AT]
    assert "habits" not in {each.name for each in components(fleet, 0, day).terms}
