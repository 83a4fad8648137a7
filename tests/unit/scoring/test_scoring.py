from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from driftline.scoring.calibration import burst_mask, calibrate, multi_bucket_mean, noise_floor
from driftline.scoring.evidence import impact, weigh
from driftline.scoring.score import among, severity, to_score
from driftline.scoring.settings import LOOKBACK, SQRT_FLOOR

RNG = np.random.default_rng(3)
QUARTER = timedelta(minutes=15)


def test_a_short_burst_is_masked_and_a_new_level_is_not():
    residuals = RNG.normal(size=(2, 1000))
    residuals[0, 500:504] += 50
    residuals[1, 500:] += 8
    mask = burst_mask(residuals, np.ones(2), QUARTER)
    assert np.flatnonzero(mask[0]).tolist() == [500, 501, 502, 503]
    assert mask[1, 520:].sum() == 0


def test_noise_matches_the_middle_of_normal_and_the_tail_of_heavy_residuals():
    normal, heavy = RNG.normal(size=(1, 5000)), RNG.standard_t(3, size=(1, 5000))
    noise = calibrate(np.vstack([normal, heavy]), np.zeros(2))
    assert noise[0, 0] == pytest.approx(1.0, rel=0.08)
    assert (np.abs(heavy) > 2.576 * noise[1, 0]).mean() <= 0.0102
    assert noise[0, 1] == pytest.approx(1 / np.sqrt(LOOKBACK), rel=0.15)


def test_a_count_is_never_less_noisy_than_a_poisson_process():
    constant = np.full((1, 300), np.sqrt(6.0))
    floor = noise_floor(constant, np.array([True]))
    assert calibrate(constant - np.sqrt(6.0), floor)[0, 0] == SQRT_FLOOR


def evidence(residuals, side="both"):
    return weigh(residuals, np.ones_like(residuals), np.full(len(residuals), 1 / np.sqrt(LOOKBACK)), [side] * len(residuals))


def test_the_probability_is_the_normal_tail_doubled_for_two_looks():
    residuals = np.zeros((1, 30))
    residuals[0, 20] = 6.0
    expected = -np.log10(2 * 2 * norm.sf(6.0))
    assert evidence(residuals).surprise[0, 20] == pytest.approx(expected)
    assert evidence(residuals).surprise[0, 21:].max() == 0.0, "one spike is one bucket's news"


def test_many_small_deviations_add_up():
    residuals = np.full((1, 40), 2.0)
    found = evidence(residuals)
    assert found.surprise[0, 0] < 2
    assert found.surprise[0, 20] > 8
    assert impact(2.0, float(found.multi[0, 20])) > 2


@pytest.mark.parametrize(("side", "high", "low"), [("both", True, True), ("high", True, False), ("low", False, True)])
def test_a_one_sided_function_looks_at_its_side_only(side, high, low):
    residuals = np.array([[0.0, 9.0, 0.0, -9.0, np.nan]])
    surprise = evidence(residuals, side).surprise[0]
    assert (surprise[1] > 10, surprise[3] > 10) == (high, low)
    assert surprise[4] == 0.0, "a missing value is no evidence"


@given(st.integers(LOOKBACK, 60))
def test_scores_of_a_prefix_do_not_change_when_more_comes(cut):
    residuals = np.random.default_rng(cut).normal(size=(2, 80)) * 3
    np.testing.assert_array_equal(evidence(residuals[:, :cut]).surprise, evidence(residuals).surprise[:, :cut])


@given(st.integers(0, 40))
def test_a_score_needs_no_more_than_the_look_back(start):
    residuals = np.random.default_rng(start).normal(size=(1, 80)) * 3
    short = evidence(residuals[:, start:]).surprise[:, LOOKBACK - 1 :]
    np.testing.assert_allclose(short, evidence(residuals).surprise[:, start + LOOKBACK - 1 :], rtol=1e-9, atol=1e-9)


def test_the_mean_over_buckets_counts_missing_ones_as_none():
    z = np.full((1, 24), 3.0)
    z[0, 12:] = np.nan
    np.testing.assert_allclose(multi_bucket_mean(z)[0, [0, 11, 23]], [3 / LOOKBACK, 3.0, 0.0])


def test_scores_keep_the_order_of_probabilities_and_end_at_100():
    surprises = np.linspace(0, 320, 2000)
    scores = to_score(surprises)
    assert (np.diff(scores) >= 0).all()
    assert (scores[0], scores[-1]) == (0.0, 100.0)


@pytest.mark.parametrize(
    ("score", "word"), [(0, "warning"), (24.9, "warning"), (25, "minor"), (50, "major"), (75, "critical"), (100, "critical")]
)
def test_severities_are_elastics(score, word):
    assert severity(score) == word


@given(st.floats(0.0, 300.0), st.integers(1, 20_000))
def test_looking_at_more_series_never_makes_a_bucket_more_surprising(surprise, looks):
    assert 0.0 <= among(surprise, looks) <= surprise + 1e-9


def test_five_thousand_series_at_one_percent_are_no_alarm():
    assert to_score(among(2.0, 5000)) == 0.0
    assert to_score(among(3.5, 5000)) == 0.0
    assert among(12.0, 1000) == pytest.approx(9.0, abs=1e-3)
