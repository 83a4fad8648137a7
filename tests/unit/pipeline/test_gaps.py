"""Gaps in readings, and what is looked back on across them."""

import numpy as np
import pytest

from driftline.pipeline.gaps import MOST, spread, with_gaps
from driftline.pipeline.replay import replay
from driftline.scoring.settings import ALARM_SCORE

STEP = np.timedelta64(300, "s")
TIMES = np.datetime64("2026-03-04", "s") + np.arange(600) * STEP
DAY = 288


def test_readings_that_did_not_come_have_their_places():
    keep = np.full(600, True)
    keep[40:52] = keep[70] = keep[300:400] = False
    whole, place = with_gaps(TIMES[keep])
    np.testing.assert_array_equal(whole, TIMES)
    np.testing.assert_array_equal(place, np.flatnonzero(keep))
    values = spread(np.arange(600.0)[None, keep], place, len(whole))
    np.testing.assert_array_equal(np.isnan(values[0]), ~keep)


def test_what_is_steady_or_irregular_stays_as_it_is():
    rng = np.random.default_rng(0)
    jitter = TIMES + rng.integers(-10, 10, 600).astype("timedelta64[s]")
    by_chance = TIMES[0] + np.cumsum(rng.exponential(300, 600) + 1).astype("timedelta64[s]")
    for times in (TIMES, jitter, by_chance, TIMES[:2], TIMES[:0]):
        whole, place = with_gaps(times)
        np.testing.assert_array_equal(whole, times)
        np.testing.assert_array_equal(place, np.arange(len(times)))


@pytest.mark.parametrize("gap", [np.timedelta64(100, "D"), np.timedelta64(100, "D") + 50 * STEP])
def test_of_a_long_gap_whole_days_are_left_out(gap):
    whole, place = with_gaps(np.append(TIMES, TIMES + gap + 600 * STEP))
    assert 7 * DAY <= place[600] - 600 < 8 * DAY
    assert (place[600] - 600) % DAY == gap // STEP % DAY
    assert (np.diff(whole) > np.timedelta64(0)).all()


def test_a_gap_of_too_many_readings_is_a_new_beginning():
    milliseconds = np.datetime64("2026-03-04", "ms") + np.arange(60)
    whole, _ = with_gaps(np.append(milliseconds, milliseconds + MOST * 100))
    assert len(whole) == 120


def test_what_comes_later_does_not_move_a_gap():
    keep = np.full(600, True)
    keep[[10, 90, 91, 200]] = False
    whole, place = with_gaps(TIMES[keep])
    for end in (20, 95, 150, 400):
        part, at = with_gaps(TIMES[keep][:end])
        np.testing.assert_array_equal(part, whole[: len(part)])
        np.testing.assert_array_equal(at, place[:end])


def test_hours_without_readings_make_no_alarm_for_a_week():
    clock = np.arange(26 * 96)
    rng = np.random.default_rng(1)
    values = rng.poisson(60 * np.exp(1.2 * np.sin(2 * np.pi * clock / 96)), (12, len(clock))).astype(float)
    keep = np.full(len(clock), True)
    keep[20 * 96 + 30 : 20 * 96 + 54] = False
    times = np.datetime64("2026-03-04", "s") + clock * np.timedelta64(900, "s")
    found = replay(times[keep], values[:, keep], sqrt=True, a_day=1)
    assert found.anomaly_score.shape == (12, keep.sum())
    assert (found.anomaly_score[:, 20 * 96 :] < ALARM_SCORE).all()


def test_a_day_that_is_one_reading_is_an_incident_of_its_own():
    rng = np.random.default_rng(1)
    values = rng.poisson(200, (10, 130)).astype(float)
    values[:, 100], values[:, 112] = 700, 650
    found = replay(np.datetime64("2026-01-01", "s") + np.arange(130) * np.timedelta64(1, "D"), values, sqrt=True)
    assert (found.anomaly_score[:, [100, 112]] >= 25).all()
