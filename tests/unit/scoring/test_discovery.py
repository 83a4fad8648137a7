import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc
from scipy.stats import binom, false_discovery_control

from driftline.scoring.discovery import adjusted, discoveries, excess, job_surprise
from driftline.scoring.score import among, to_job_score
from driftline.scoring.settings import EXCESS_SHAPE, EXCESS_SLACK

surprises = st.lists(st.floats(0, 300), min_size=1, max_size=40).map(lambda values: np.array(values))


@pytest.mark.parametrize(("n", "p", "k"), [(5000, 1e-5, 40), (40, 1e-4, 5), (100, 1e-6, 60), (12, 1e-9, 12), (5000, 1e-6, 2)])
def test_an_excess_has_the_probability_of_the_negative_binomial_tail(n, p, k):
    found = excess(np.array([-np.log10(p)]), np.array([k]), n)[0]
    mean = n * p * EXCESS_SLACK
    exact = -np.log10(betainc(k, EXCESS_SHAPE, mean / (mean + EXCESS_SHAPE)))
    assert found == pytest.approx(exact, rel=0.03)
    assert found <= exact + 1e-6, "never more than it is"
    assert exact < -binom.logsf(k - 1, n, p) / np.log(10), "series that err together are allowed for"


def test_no_probability_is_too_small():
    assert excess(np.array([250.0]), np.array([30]), 5000)[0] == 300.0
    assert np.isfinite(excess(np.array([0.0, 300.0]), np.array([5, 1]), 5)).all()


def test_five_thousand_series_at_one_percent_are_no_alarm():
    assert job_surprise(np.full(50, 2.0), 5000) == 0.0
    assert job_surprise(np.array([3.7]), 5000) < 0.5


def test_a_fleet_whose_models_err_in_the_same_hour_is_no_alarm():
    rng = np.random.default_rng(4)
    hour = 3.3 + rng.exponential(1 / np.log(10) * 1.6, 67)
    assert to_job_score(job_surprise(hour, 5000)) < 50


def test_five_percent_of_five_thousand_at_one_in_ten_thousand_are_a_big_one():
    assert to_job_score(job_surprise(np.full(250, 4.0), 5000)) >= 75


def test_one_series_far_out_counts_as_the_worst_of_all():
    assert job_surprise(np.array([30.0]), 5000) == pytest.approx(among(30.0, 5000) - np.log10(2), abs=1e-9)


def test_nothing_is_no_surprise():
    assert job_surprise(np.array([]), 5000) == 0.0


def test_chance_is_as_rare_as_it_is_said_to_be():
    rng = np.random.default_rng(1)
    for series in (20, 1000):
        found = np.array([job_surprise(np.sort(-np.log10(rng.random(series))), series) for _ in range(4000)])
        for level in (1.0, 2.0):
            assert (found >= level).mean() <= 1.3 * 10.0**-level


def test_twenty_series_of_noise_at_once_are_no_alarm():
    rng = np.random.default_rng(2)
    week = [job_surprise(-np.log10(rng.random(20)), 20) for _ in range(672)]
    assert to_job_score(max(week)) < 25


@given(surprises, st.integers(1, 6000), st.data())
def test_a_series_that_gets_worse_never_makes_the_bucket_better(values, n, data):
    worse = values.copy()
    worse[data.draw(st.integers(0, len(values) - 1))] += data.draw(st.floats(0, 50))
    assert job_surprise(worse, max(n, len(values))) >= job_surprise(values, max(n, len(values))) - 1e-9


@given(surprises, st.floats(0, 300), st.integers(50, 6000))
def test_one_more_series_never_makes_the_bucket_better(values, more, n):
    assert job_surprise(np.append(values, more), n) >= job_surprise(values, n) - 1e-9


@given(surprises)
def test_adjusted_probabilities_are_those_of_benjamini_and_hochberg(values):
    expected = false_discovery_control(10.0**-values)
    np.testing.assert_allclose(10.0 ** -adjusted(values, len(values)), expected, rtol=1e-9, atol=1e-300)


def test_series_that_were_not_handed_over_count_as_looks():
    values = np.array([6.0, 5.5, 2.7])
    assert discoveries(values, 3).tolist() == [True, True, True]
    assert discoveries(values, 5000).tolist() == [True, True, False]


def test_the_mildest_add_up_to_nothing():
    """What models get wrong together is in them: no number of them is news, and they change nothing of the others."""
    mild = np.full(60, 2.5)
    assert job_surprise(mild, 200) == 0.0
    assert not discoveries(mild, 200).any()
    assert job_surprise(np.append(mild, 9.0), 200) == job_surprise(np.array([9.0]), 200)


def test_the_false_share_of_discoveries_is_what_was_asked_for():
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(200):
        values = -np.log10(rng.random(1000))
        values[:50] = rng.uniform(4, 8, 50)
        stand = discoveries(values, 1000)
        shares.append(stand[50:].sum() / stand.sum())
        assert stand[:50].sum() >= 45
    assert np.mean(shares) <= 0.11
