"""Averages of documents: their noise hangs on how many there are, and where these are skewed, logarithms are looked at."""

from datetime import timedelta

import numpy as np
import pytest

from driftline.scoring.calibration import PEAKED, Calibration, calibrate, complete, pooled
from driftline.scoring.detector import detect, past_peaks
from driftline.scoring.residuals import usual_size
from driftline.scoring.score import to_score
from driftline.scoring.settings import ALARM_SCORE
from driftline.scoring.windows import Windows

QUARTER = timedelta(minutes=15)
DAY = 96
WINDOWS = Windows.of(QUARTER)
PAST = slice(0, 21 * DAY)
PEAK, NIGHT = 24 * DAY + 24, 24 * DAY + 72  # of the curve below


def averages(draw, series=8, days=28, seed=0):
    """Averages (N, T) of a number of documents with a daily curve, from about 4 to 46, and these numbers."""
    rng = np.random.default_rng(seed)
    curve = np.exp(1.2 * np.sin(np.arange(days * DAY) / DAY * 2 * np.pi))
    sizes = np.maximum(rng.poisson(14 * curve, (series, len(curve))), 1)
    total = np.add.reduceat(draw(rng, sizes.sum()), np.concatenate([[0], np.cumsum(sizes.ravel())[:-1]]))
    return total.reshape(sizes.shape) / sizes, sizes.astype(float)


def normal(rng, count):
    return rng.normal(50, 15, count)


def skewed(rng, count):
    return rng.lognormal(8, 1, count)


MEANS = {normal: 50.0, skewed: np.exp(8.5)}


def known(values, sizes, expected, **options):
    """What is usual, learned from three weeks, and what is detected by it in all of them."""
    plain, mean = np.full(len(values), False), np.full(values.shape, expected)
    past = None if sizes is None else sizes[:, PAST]
    usual = calibrate(values[:, PAST], values[:, PAST], mean[:, PAST], plain, WINDOWS, sizes=past).usual
    return usual, detect(values, values, mean, plain, usual, WINDOWS, sizes=sizes, **options)


@pytest.mark.parametrize("draw", [normal, skewed])
def test_bounds_hold_by_day_and_by_night(draw):
    values, sizes = averages(draw)
    _, found = known(values, sizes, MEANS[draw])
    lower, typical, upper = found.bounds()
    inside = (values >= lower) & (values <= upper)
    hour = np.arange(values.shape[1]) % DAY // 4
    for quarter in range(4):
        assert 0.92 < inside[:, 21 * DAY :][:, hour[21 * DAY :] // 6 == quarter].mean() < 0.97
    np.testing.assert_allclose(np.median(typical), MEANS[draw], rtol=0.1)
    _, without = known(values, None, MEANS[draw])
    lower, _, upper = without.bounds()
    nights = hour // 6 == 3
    assert ((values >= lower) & (values <= upper))[:, nights].mean() < 0.9, "of a noise that is the same at all times"


@pytest.mark.parametrize("draw", [normal, skewed])
def test_buckets_without_documents_have_no_part_in_the_noise(draw):
    """A feed that delivers once an hour: three of four buckets are empty."""
    values, sizes = averages(draw)
    empty = np.arange(values.shape[1]) % 4 > 0
    values[:, empty], sizes[:, empty] = np.nan, np.nan
    _, found = known(values, sizes, MEANS[draw])
    lower, _, upper = found.bounds()
    inside = ((values >= lower) & (values <= upper))[:, ~empty]
    assert 0.92 < inside.mean() < 0.98


def test_bounds_hold_most_values_of_what_is_more_skewed_than_any_law():
    """The mean of files of all sizes lies far above most means of a few of them."""
    values, sizes = averages(lambda rng, count: 10 * (1 + rng.pareto(1.1, count)))
    mean = float(values.mean())
    usual, found = known(values, sizes, mean)
    lower, typical, upper = found.bounds()
    assert (usual.form == 1).all()
    assert (usual.shift < -0.2).all()
    assert 0.85 < ((values >= lower) & (values <= upper)).mean() <= 1
    assert 0.8 < np.median(typical) / mean < 1.25, "what is expected is the model's mean"


def test_documents_that_are_moved_together_are_judged_as_if_their_number_were_nothing():
    """Readings of one host within a bucket: the quiet hours of its noise are those of many documents, or are not."""
    _, sizes = averages(normal)
    rng = np.random.default_rng(6)
    values = 50 + rng.normal(0, 1, sizes.shape) * np.sqrt(sizes / sizes.mean())  # if anything, more make it noisier
    usual, found = known(values, sizes, 50.0)
    _, without = known(values, None, 50.0)
    np.testing.assert_array_equal(usual.law[:, 1], 0)
    assert np.abs(found.surprise - without.surprise)[usual.form == 0].max(initial=0) < 0.5
    assert np.median(found.sd[usual.form == 0] / without.sd[usual.form == 0]) == pytest.approx(1, abs=0.05)


def test_logarithms_are_looked_at_where_documents_are_skewed():
    values, sizes = averages(skewed, series=20)
    usual, found = known(values, sizes, MEANS[skewed])
    assert usual.form.mean() > 0.9
    score = to_score(found.surprise[:, 21 * DAY :], QUARTER)
    _, without = known(values, None, MEANS[skewed])
    before = to_score(without.surprise[:, 21 * DAY :], QUARTER)
    assert (score >= ALARM_SCORE).sum() <= 1
    assert (before >= ALARM_SCORE).sum() > 5


def test_what_is_told_at_the_peak_is_chance_at_night():
    values, sizes = averages(skewed)
    values[:, PEAK : PEAK + 16] *= 1.7
    values[0, NIGHT] = 1.7 * MEANS[skewed]
    _, found = known(values, sizes, MEANS[skewed])
    score = to_score(found.surprise, QUARTER)
    assert (score[:, PEAK : PEAK + 16].max(axis=1) >= ALARM_SCORE).all()
    assert score[0, NIGHT] < 25
    _, without = known(values, None, MEANS[skewed])
    assert (to_score(without.surprise, QUARTER)[:, PEAK : PEAK + 16].max(axis=1) >= ALARM_SCORE).mean() < 0.5


def test_a_drop_to_nothing_is_told_though_a_logarithm_knows_no_zero():
    values, sizes = averages(skewed)
    values[0, PEAK : PEAK + 4] = 0.0
    usual, found = known(values, sizes, MEANS[skewed])
    assert usual.form[0] == 1
    assert np.isfinite(found.surprise).all()
    assert to_score(found.surprise[0, PEAK : PEAK + 4], QUARTER).max() >= ALARM_SCORE


def test_what_spans_all_numbers_has_no_logarithms():
    values, sizes = averages(lambda rng, count: 10.0 ** rng.uniform(-140, 140, count), series=2)
    usual, found = known(values, sizes, float(np.median(values)))
    np.testing.assert_array_equal(usual.form, 0)
    assert all(np.isfinite(bound).all() for bound in found.bounds())


def test_what_was_ever_zero_or_is_a_root_has_no_logarithms():
    values, sizes = averages(skewed, series=3)
    values[0, 500] = 0.0
    sqrt, mean = np.array([False, True, False]), np.full(values.shape, MEANS[skewed])
    space, mean[1] = values.copy(), MEANS[skewed] ** 0.5
    space[1] = values[1] ** 0.5
    sizes[2] = np.nan
    usual = calibrate(values, space, mean, sqrt, WINDOWS, sizes=sizes).usual
    np.testing.assert_array_equal(usual.form, 0)
    np.testing.assert_array_equal(usual.sized, [True, False, False])


def test_the_usual_number_is_the_one_whose_variance_is_the_mean():
    sizes = np.array([[1.0, 3.0, 3.0, np.nan], [2.0, 2.0, 2.0, 2.0]])
    there = np.array([[True, True, True, False], [True, True, True, True]])
    np.testing.assert_allclose(usual_size(sizes, there, np.array([False, False])), [1.8, 2.0])
    np.testing.assert_array_equal(usual_size(sizes, there, np.array([True, True])), 0)
    np.testing.assert_array_equal(usual_size(None, there, np.array([False, False])), 0)


def test_a_change_of_scale_and_a_later_start_change_no_score():
    values, sizes = averages(skewed)
    values[:, PEAK : PEAK + 8] *= 1.5
    _, found = known(values, sizes, MEANS[skewed])
    _, times = known(7 * values, sizes, 7 * MEANS[skewed])
    np.testing.assert_allclose(times.surprise, found.surprise, atol=1e-6)
    begin = PEAK - WINDOWS.evidence
    usual, whole = known(values, sizes, MEANS[skewed])
    part, plain = slice(begin, PEAK + 8), np.full(len(values), False)
    mean = np.full(values.shape, MEANS[skewed])
    piece = detect(values[:, part], values[:, part], mean[:, part], plain, usual, WINDOWS, sizes=sizes[:, part])
    np.testing.assert_allclose(piece.surprise[:, WINDOWS.evidence :], whole.surprise[:, PEAK : PEAK + 8], atol=1e-6)


def test_the_peaks_of_the_past_are_those_that_would_have_been_found():
    values, sizes = averages(skewed)
    values[0, 10 * DAY + 24] *= 6
    mask = np.zeros(values[:, PAST].shape, dtype=bool)
    mask[0, 10 * DAY + 24] = True
    plain, mean = np.full(len(values), False), np.full(values[:, PAST].shape, MEANS[skewed])
    learned = calibrate(values[:, PAST], values[:, PAST], mean, plain, WINDOWS, mask, sizes[:, PAST])
    assert learned.usual.form[0] == 1
    peaks = past_peaks(values[:, PAST], values[:, PAST], mean, plain, learned, WINDOWS, mask=mask, sizes=sizes[:, PAST])
    found = detect(values[:, PAST], values[:, PAST], mean, plain, learned.usual, WINDOWS, sizes=sizes[:, PAST])
    np.testing.assert_allclose(np.nanmax(peaks[0]), found.alone[0, 10 * DAY + 24], rtol=1e-6)


def test_older_snapshots_know_of_no_numbers_and_new_series_take_noise_of_their_own_kind():
    values, sizes = averages(skewed, series=6)
    numbers = known(values, sizes, MEANS[skewed])[0].numbers()
    old = complete(numbers[:, :PEAKED])
    assert old.shape == numbers.shape
    assert not Calibration.from_numbers(old).sized.any()
    plain = known(values, None, MEANS[skewed])[0].numbers()
    both = np.concatenate([numbers[:3], plain[:3]])
    wide = pooled(numbers[3:], both)
    assert (wide[:, 2] <= max(numbers[:, 2])).all(), "a variance of logarithms is not one of milliseconds"
    np.testing.assert_array_equal(pooled(numbers[:1], plain)[:, 2:4], numbers[:1, 2:4])
