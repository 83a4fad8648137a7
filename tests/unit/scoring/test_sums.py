"""Sums of documents: their noise is the larger the more there is, and as roots it is the same at all times."""

from datetime import timedelta

import numpy as np
import pytest

from driftline.scoring.calibration import FORM, Calibration, calibrate, pooled
from driftline.scoring.detector import detect, past_peaks
from driftline.scoring.residuals import PLAIN, ROOT, steps
from driftline.scoring.score import to_score
from driftline.scoring.settings import ALARM_SCORE
from driftline.scoring.windows import Windows

QUARTER = timedelta(minutes=15)
DAY = 96
WINDOWS = Windows.of(QUARTER)
PAST = slice(0, 21 * DAY)
PEAK, NIGHT = 24 * DAY + 24, 24 * DAY + 72  # of the curve below
EACH = np.exp(8.5)  # the mean document


def sums(series=8, days=28, seed=0):
    """Sums (N, T) of a number of skewed documents with a daily curve, from about 4 to 46, and what is expected of them."""
    rng = np.random.default_rng(seed)
    curve = 14 * np.exp(1.2 * np.sin(np.arange(days * DAY) / DAY * 2 * np.pi) + rng.normal(0, 1e-6, days * DAY))
    sizes = rng.poisson(curve, (series, len(curve)))
    owner = np.repeat(np.arange(sizes.size), sizes.ravel())
    total = np.bincount(owner, rng.lognormal(8, 1, len(owner)), sizes.size).reshape(sizes.shape)
    return total, np.broadcast_to(curve * EACH, total.shape).copy()


def known(values, mean, *, told=True):
    """What is usual, learned from three weeks, and what is detected by it in all of them."""
    plain = np.full(len(values), False)
    usual = calibrate(
        values[:, PAST], values[:, PAST], mean[:, PAST], plain, WINDOWS, sums=np.full(len(values), True) if told else None
    ).usual
    return usual, detect(values, values, mean, plain, usual, WINDOWS)


def held(found, values):
    """What share of the values of the last week lies within the bounds, by quarters of a day."""
    lower, _, upper = found.bounds()
    inside = ((values >= lower) & (values <= upper))[:, 21 * DAY :]
    quarter = np.arange(21 * DAY, values.shape[1]) % DAY // 24
    return [float(inside[:, quarter == each].mean()) for each in range(4)]


def test_bounds_hold_by_day_and_by_night_and_what_is_expected_is_a_mean():
    values, mean = sums()
    usual, found = known(values, mean)
    assert (usual.form == ROOT).all()
    assert all(0.92 < share < 0.97 for share in held(found, values))
    for part in (slice(0, DAY // 2), slice(DAY // 2, DAY)):
        days = [table.reshape(len(values), -1, DAY)[:, 21:, part].mean() for table in (found.expected, values)]
        assert days[0] == pytest.approx(days[1], rel=0.05), "a root's mean would lie below"
    _, alike = known(values, mean, told=False)
    shares = held(alike, values)
    assert min(shares) < 0.85
    assert max(shares) > 0.965


def test_what_is_large_for_a_night_and_little_for_a_day_are_told_and_chance_is_not():
    values, mean = sums(series=20)
    values[:, NIGHT : NIGHT + 16] *= 3
    values[:, PEAK : PEAK + 16] *= 0.3
    (_, found), (_, alike) = known(values, mean), known(values, mean, told=False)
    score, without = (to_score(each.surprise, QUARTER) for each in (found, alike))
    assert (score[:, PEAK : PEAK + 16].max(axis=1) >= ALARM_SCORE).mean() >= 0.95
    assert (score[:, NIGHT : NIGHT + 16].max(axis=1) >= ALARM_SCORE).mean() >= 0.85
    assert (without[:, NIGHT : NIGHT + 16].max(axis=1) >= ALARM_SCORE).mean() < 0.65
    assert (score[:, 21 * DAY : 24 * DAY] >= ALARM_SCORE).sum() <= 1


def test_noise_that_is_the_same_at_all_levels_needs_no_roots():
    """Readings that are summed up over hosts, say: the sum has the noise of the sensors, by day and by night."""
    rng = np.random.default_rng(3)
    mean = np.broadcast_to(1000 + 800 * np.sin(np.arange(28 * DAY) / DAY * 2 * np.pi), (6, 28 * DAY)).copy()
    values = mean + rng.normal(0, 40, mean.shape)
    usual, found = known(values, mean)
    np.testing.assert_array_equal(usual.form, PLAIN)
    _, alike = known(values, mean, told=False)
    np.testing.assert_array_equal(found.surprise, alike.surprise)


def test_what_may_be_less_than_nothing_has_no_root():
    values, mean = sums(series=3)
    values[0, 500] = -1.0
    usual, _ = known(values, mean)
    np.testing.assert_array_equal(usual.form, [PLAIN, ROOT, ROOT])
    plain = np.array([False, True, False])
    space, expected = np.where(plain[:, None], np.sqrt(np.maximum(values, 0)), values), mean.copy()
    expected[1] **= 0.5
    usual = calibrate(values, space, expected, plain, WINDOWS, sums=np.full(3, True)).usual
    np.testing.assert_array_equal(usual.form, [PLAIN, PLAIN, ROOT])


def test_nothing_at_all_times_surprises_nobody():
    values, mean = np.zeros((2, 28 * DAY)), np.full((2, 28 * DAY), -0.1)
    mean[1] = 0.0
    usual, found = known(values, mean)
    assert all(np.isfinite(bound).all() for bound in found.bounds())
    assert np.isfinite(found.surprise).all()
    assert found.surprise[:, -DAY:].max() < 3
    assert Calibration.from_numbers(usual.numbers()).form.dtype == usual.form.dtype


def test_a_change_of_scale_changes_no_score():
    values, mean = sums()
    values[:, PEAK : PEAK + 8] *= 1.5
    _, found = known(values, mean)
    _, times = known(7 * values, 7 * mean)
    np.testing.assert_allclose(times.surprise, found.surprise, atol=1e-6)


def test_the_peaks_of_the_past_are_those_that_would_have_been_found():
    values, mean = sums()
    values[0, 10 * DAY + 24] *= 6
    mask = np.zeros(values[:, PAST].shape, dtype=bool)
    mask[0, 10 * DAY + 24] = True
    plain, past = np.full(len(values), False), (values[:, PAST], values[:, PAST], mean[:, PAST])
    learned = calibrate(*past, plain, WINDOWS, mask, sums=np.full(len(values), True))
    peaks = past_peaks(*past, plain, learned, WINDOWS, mask=mask)
    found = detect(*past, plain, learned.usual, WINDOWS)
    np.testing.assert_allclose(np.nanmax(peaks[0]), found.alone[0, 10 * DAY + 24], rtol=1e-6)


def test_new_series_take_noise_of_their_own_form_and_whole_numbers_have_steps_of_roots():
    values, mean = sums(series=6)
    roots, plain = known(values, mean)[0].numbers(), known(values, mean, told=False)[0].numbers()
    wide = pooled(roots[3:], np.concatenate([roots[:3], plain[:3]]))
    np.testing.assert_array_equal(wide[:, FORM], ROOT)
    assert (wide[:, 2] <= roots[:, 2].max()).all(), "a variance of roots is not one of bytes"
    level, whole = np.array([[0.0], [2.0], [2.0], [2.0]]), np.array([True, True, True, False])
    least = steps(level, np.array([True, False, False, False]), whole, np.array([PLAIN, ROOT, PLAIN, ROOT], dtype=np.int8))
    np.testing.assert_allclose(least[:, 0], [1.0, 5**0.5 - 2, 1.0, 0.0])


def test_a_sum_that_was_never_negative_and_is_now_lies_as_far_below():
    values, mean = sums()
    at = [PEAK, NIGHT]
    values[:, at] = -1e6
    usual, found = known(values, mean)
    assert (usual.form == ROOT).all()
    assert (to_score(found.surprise[:, at], QUARTER) >= ALARM_SCORE).all()
    assert (found.z[:, at] < 0).all()
