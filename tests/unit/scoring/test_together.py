from datetime import timedelta

import numpy as np
import pytest
from fleets import Fleet, stamps
from scipy.stats import norm

from driftline.models.baseline import fit_fleet
from driftline.scoring.calibration import calibrate
from driftline.scoring.statistics import settled
from driftline.scoring.together import SharedNoise, add, noise_of, surprise
from driftline.scoring.windows import Windows

WEEK = 7 * 96
QUIET = SharedNoise((0.0,) * 168, (0.05, 0.03, 0.02))


def test_batches_are_added():
    z = np.random.default_rng(1).normal(size=(30, 50))
    z[3, 4] = np.nan
    whole, parts = add(z), [add(z[:10]), add(z[10:])]
    np.testing.assert_allclose(whole[0], parts[0][0] + parts[1][0])
    np.testing.assert_array_equal(whole[1], parts[0][1] + parts[1][1])
    assert whole[1][4] == 29


def test_one_outage_is_not_everybodys():
    z = np.zeros((1000, 40))
    z[0] = -1e6
    sums, counts = add(z)
    assert surprise(stamps(40), sums, counts, QUIET)[0].max() == 0.0


def test_a_few_series_do_not_speak_for_all():
    sums, counts = add(np.full((5, 40), 3.0))
    assert noise_of(stamps(40), sums, counts) is None
    assert surprise(stamps(40), sums, counts, QUIET)[0].max() == 0.0
    assert surprise(stamps(40), sums, counts, None)[0].tolist() == [0.0] * 40


def test_a_bucket_alone_has_the_tail_of_the_normal_distribution_for_three_looks():
    sums, counts = np.zeros(40), np.full(40, 100)
    sums[20] = -35.0
    found, away = surprise(stamps(40), sums, counts, QUIET)
    assert found[20] == pytest.approx(-np.log10(2 * 3 * norm.sf(7.0)))
    assert away[20] == pytest.approx(-0.35)
    assert found[21:].max() == 0.0, "what is over is no longer reported"


def test_small_deviations_that_last_add_up():
    sums, counts = np.zeros(40), np.full(40, 100)
    sums[20:] = 10.0
    found, _ = surprise(stamps(40), sums, counts, QUIET)
    assert found[20] < 1.5
    assert found[32] == pytest.approx(-np.log10(2 * 3 * norm.sf(5.0)))


@pytest.mark.parametrize(("side", "told"), [("both", True), ("low", True), ("high", False)])
def test_a_one_sided_detector_looks_at_its_side_only(side, told):
    sums, counts = np.zeros(40), np.full(40, 100)
    sums[20:] = -30.0
    assert bool(surprise(stamps(40), sums, counts, QUIET, side=side)[0].max() > 5) is told


def test_what_comes_later_changes_nothing():
    rng = np.random.default_rng(2)
    sums, counts = rng.normal(0, 5, 200), np.full(200, 100)
    whole = surprise(stamps(200), sums, counts, QUIET)[0]
    np.testing.assert_allclose(surprise(stamps(120), sums[:120], counts[:120], QUIET)[0], whole[:120])
    later = surprise(stamps(200)[50:], sums[50:], counts[50:], QUIET)[0]
    np.testing.assert_allclose(later[11:], whole[61:], err_msg="eleven buckets of look-back are enough", atol=1e-9)


def test_what_models_get_wrong_together_every_week_is_no_news():
    times, counts = stamps(5 * WEEK), np.full(5 * WEEK, 500)
    wrong = np.where(np.arange(5 * WEEK) % WEEK >= 5 * 96, 0.4, 0.0)
    sums = 500 * (wrong + np.random.default_rng(3).normal(0, 0.03, 5 * WEEK))
    noise = noise_of(times[: 4 * WEEK], sums[: 4 * WEEK], counts[: 4 * WEEK])
    assert noise.scales[0] < 0.1
    assert surprise(times, sums, counts, noise)[0][4 * WEEK :].max() < 4


def test_five_thousand_clean_endpoints_are_quiet_and_a_drop_of_fifteen_percent_is_not():
    fleet = Fleet(5000, 4 * WEEK, 4)
    times, (sums, counts) = stamps(4 * WEEK), add(fleet.z)
    train = 3 * WEEK
    noise = noise_of(times[:train], sums[:train], counts[:train])
    clean = surprise(times, sums, counts, noise)[0][train:]
    assert (clean >= 5.5).sum() == 0, "none is even minor"
    fleet.thin(slice(None), slice(train + 60, train + 68), 0.85)
    found, away = surprise(times, *add(fleet.z), noise)
    assert found[train + 60 : train + 64].max() > 10
    assert (away[train + 60 : train + 68] < 0).all()
    assert (found[train : train + 60] >= 5.5).sum() == 0


def test_the_same_with_models_that_were_fitted():
    """2 000 endpoints by the hour, four weeks learned and one held back: their weekend is not only a lower weekday."""
    rng = np.random.default_rng(5)
    hours = np.arange(5 * 168)
    times = stamps(1)[0] + hours * np.timedelta64(1, "h")
    curve = np.exp(1.1 * np.cos(2 * np.pi * (hours % 24 - 15.5) / 24)) * np.where(hours // 24 % 7 >= 5, 0.7, 1.0)
    site = np.exp(rng.normal(0, 0.015, (hours.size, 4)).mean(axis=1))
    drift = np.exp(0.05 * np.sin(2 * np.pi * hours / 24 / rng.uniform(9, 40, 2000)[:, None] + rng.uniform(0, 6, 2000)[:, None]))
    rate = np.exp(rng.normal(2.5, 1.3, 2000))[:, None] * curve * site * drift * np.exp(rng.normal(0, 0.045, (2000, hours.size)))
    values = rng.poisson(rate).astype(float)
    train, first = 4 * 168, 4 * 168 + 60
    fleet = fit_fleet(times[:train], values[:, :train], sqrt=True)
    mean, windows = fleet.mean(times), Windows.of(timedelta(hours=1))
    space = fleet.to_space(values)
    usual = calibrate(values[:, :train], space[:, :train], mean[:, :train], fleet.sqrt, windows).usual
    sd = usual.deviation(mean, fleet.sqrt)
    sums, counts = add(settled(space, mean, sd, fleet.sqrt, ~fleet.sqrt, windows)[0])
    shared = noise_of(times[:train], sums[:train], counts[:train])
    assert (surprise(times, sums, counts, shared)[0][train:] >= 5.5).sum() == 0
    values[:, first : first + 3] = rng.binomial(values[:, first : first + 3].astype(int), 0.85)
    found, _ = surprise(times, *add(settled(fleet.to_space(values), mean, sd, fleet.sqrt, ~fleet.sqrt, windows)[0]), shared)
    assert found[first] > 10, "in its first hour"
