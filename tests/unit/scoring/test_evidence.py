"""Residuals, statistics, tails and the detector: each against what is known of simulated series."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, poisson

from driftline.scoring.bursts import burst_mask, rare
from driftline.scoring.calibration import (
    HOURLY,
    PEAKED,
    STILL,
    TAILED,
    WIDTH,
    Calibration,
    calibrate,
    pooled,
)
from driftline.scoring.detector import OTHER_SIDE, detect
from driftline.scoring.events import alarms
from driftline.scoring.hours import hours_of
from driftline.scoring.kinds import KINDS, kinds
from driftline.scoring.residuals import noise_floor, noise_law, running_level
from driftline.scoring.score import among, severity, to_job_score, to_score
from driftline.scoring.settings import ALARM_SCORE, ALONE_COST, EDGES, LEARNING_MOST, SPAN_BASE
from driftline.scoring.statistics import frozen, settled, silent, statistics
from driftline.scoring.tail import Tail, fit_tail
from driftline.scoring.windows import Windows

QUARTER = timedelta(minutes=15)
DAY = 96
WINDOWS = Windows.of(QUARTER)


def traffic(days, seed=0, level=400.0, series=2):
    """Counts (N, T) with a daily curve, and their expectation in square roots."""
    rng = np.random.default_rng(seed)
    curve = level * (1 + 0.6 * np.sin(2 * np.pi * np.arange(days * DAY) / DAY))
    counts = rng.poisson(curve * rng.gamma(200, 1 / 200, (series, days * DAY))).astype(float)
    return counts, np.broadcast_to(np.sqrt(curve), counts.shape).copy()


def scored(counts, mean, train=14 * DAY, sides=None, learning=None):
    """What is detected after the training, and the calibration."""
    sqrt, space = np.full(len(counts), True), np.sqrt(counts)
    usual = calibrate(counts[:, :train], space[:, :train], mean[:, :train], sqrt, WINDOWS).usual
    return detect(counts, space, mean, sqrt, usual, WINDOWS, sides=sides, learning=learning), usual


def test_the_noise_law_finds_chance_and_what_multiplies():
    rng = np.random.default_rng(1)
    mean = np.broadcast_to(np.sqrt(np.linspace(50, 3000, 4000)), (3, 4000))
    sd = np.sqrt(0.25 + 0.0025 * mean**2)
    law = noise_law(rng.normal(0, sd), mean, np.full(3, 0.1), np.full(3, True))
    np.testing.assert_allclose(law[:, 1], 0.0025, rtol=0.25)
    np.testing.assert_allclose(np.sqrt(law[:, 0] + law[:, 1] * 2500), np.sqrt(0.25 + 0.0025 * 2500), rtol=0.1)
    other = noise_law(rng.normal(0, 2.0, (3, 4000)), mean, np.full(3, 0.1), np.full(3, False))
    np.testing.assert_allclose(other, np.broadcast_to([4.0, 0.0], (3, 2)), rtol=0.12)


def test_a_level_is_learned_within_a_day_and_an_outage_is_none():
    z = np.random.default_rng(2).normal(0, 1, (1, 4 * DAY))
    shifted, outage = z.copy(), z.copy()
    shifted[:, 2 * DAY :] += 5
    outage[:, 2 * DAY : 2 * DAY + 8] -= 30
    level = running_level(shifted, WINDOWS.block)[0]
    assert abs(level[2 * DAY + 12]) < 1, "three hours in it is news"
    assert abs(level[3 * DAY] - 5) < 1, "after a day it is known"
    assert np.abs(running_level(outage, WINDOWS.block)).max() < 1.5


def test_a_new_level_may_be_so_much_more_or_so_many_times_as_much():
    """A level that has been there on four weekdays, and the morning of a Saturday with a third of the traffic."""
    rng = np.random.default_rng(7)
    hours = np.arange(6 * DAY) / DAY * 24
    rate = 400 * np.exp(np.cos(2 * np.pi * (hours - 14) / 24)) * np.where(hours >= 96, 1 / 3, 1.0)
    mean = np.sqrt(np.stack([rate] * 4))
    sd = np.full_like(mean, 1.0)
    truth = np.stack([rate, rate * 1.6, (np.sqrt(rate) + 7) ** 2, rate * 0.5])
    counts = np.sqrt(rng.poisson(truth))
    z, centre, unit = settled(counts, mean, sd, np.full(4, True), np.full(4, False), WINDOWS)
    weekend = slice(4 * DAY, 4 * DAY + DAY // 2)
    assert (np.abs(z[:, weekend].mean(axis=1)) < 0.5).all()
    assert np.abs(z[0] - (counts - mean)[0]).max() < 0.5, "without a new level nothing changes"
    np.testing.assert_allclose(counts - centre, z * unit)
    new = slice(2 * DAY, 3 * DAY)
    assert (unit[1:3, new] > 1.15 * unit[0, new].max()).all(), "what a level does that is new is known less well"
    np.testing.assert_allclose(unit[:, : DAY // 2], 1.0, err_msg="without one there is no doubt")
    readings, *_ = settled(counts, mean, sd, np.full(4, False), np.full(4, False), WINDOWS)
    assert readings[1, weekend].mean() < -1.5, "of what may be negative a level adds"
    np.testing.assert_allclose(readings[2, weekend].mean(), 0, atol=0.2)


def test_a_shape_without_precedent_stands_out_and_one_that_recurs_does_not():
    rng = np.random.default_rng(3)
    space = rng.normal(10, 1, (2, 10 * DAY))
    space[0, 20::DAY] += 30  # every day at the same time
    space[1, 9 * DAY + 20] += 30
    sd = np.ones_like(space)
    shape = statistics(space - 10, space, np.full_like(space, 10.0), sd, np.zeros_like(sd), WINDOWS)["shape"]
    assert shape[1, 9 * DAY + 20] > 5
    assert shape[0, 9 * DAY + 20] < 2


def test_hours_without_one_of_few_events_are_no_flatline_and_a_reading_that_stands_still_is():
    """Of two events an hour at night, three hours without one come up; what is read in fine steps does not stand still."""
    rng = np.random.default_rng(14)
    curve = 2.0 * np.exp(1.2 * np.sin(2 * np.pi * np.arange(16 * DAY) / DAY) - 0.3)
    counts = rng.poisson(np.broadcast_to(curve, (20, 16 * DAY))).astype(float)
    train, night = 14 * DAY, 15 * DAY + 72
    quiet = slice(night - 6, night + 7)
    counts[:, quiet] = 0
    level = np.broadcast_to(curve, counts.shape).copy()
    for sqrt, space, mean in ((True, np.sqrt(counts), np.sqrt(level)), (False, counts, level)):
        flags = np.full(20, sqrt)
        usual = calibrate(counts[:, :train], space[:, :train], mean[:, :train], flags, WINDOWS).usual
        found = detect(counts, space, mean, flags, usual, WINDOWS)
        assert found.evidence["flatline"][:, train:].max() < EDGES[0]
        assert found.surprise[:, quiet].max() < EDGES[0]
    readings = rng.normal(0, 1, counts.shape)
    readings[:, quiet] = 0.5
    flags, mean = np.full(20, False), np.zeros_like(readings)
    usual = calibrate(readings[:, :train], readings[:, :train], mean[:, :train], flags, WINDOWS).usual
    found = detect(readings, readings, mean, flags, usual, WINDOWS)
    assert found.evidence["flatline"][:, quiet].max(axis=1).min() > EDGES[1]


def test_a_shape_counts_by_itself_where_the_model_did_not_foresee_it():
    """A day's traffic comes three hours early: once the model knows, as of clocks that were moved, and once it does not."""
    counts, mean = traffic(18, seed=11)
    day = slice(16 * DAY, 17 * DAY)
    early = np.random.default_rng(12).poisson(np.roll(mean[0, day], -12) ** 2)
    counts[:, day] = early
    mean[0, day] = np.roll(mean[0, day], -12)
    found, _ = scored(counts, mean)
    shape = found.evidence["shape"][:, day]
    assert (shape.max(axis=1) > EDGES[1] + ALONE_COST).all(), "no day was like it"
    known, unknown = found.surprise[:, day].max(axis=1)
    assert known < EDGES[1] < unknown
    assert unknown >= shape[1].max() - ALONE_COST


def test_runs_weigh_what_their_law_says():
    values = np.array([[3.0, 3, 3, 5, 5, 0, 0, 0]])
    mu = np.full(values.shape, 4.0)
    equal = float((poisson.pmf(np.arange(60), 4.0) ** 2).sum())
    stuck = frozen(values, mu, np.zeros(1), np.array([True]))[0]
    np.testing.assert_allclose(stuck, -np.log10(equal) * np.array([0, 1, 2, 0, 1, 0, 0, 0]), rtol=1e-9)
    nearly = frozen(values, mu, np.zeros(1), np.array([True]), apart=1)[0]
    chance = poisson.pmf(np.arange(60), 4.0)
    near = equal + 2 * float((chance[1:] * chance[:-1]).sum())
    np.testing.assert_allclose(nearly, -np.log10(near) * np.array([0, 1, 2, 0, 1, 0, 0, 0]), rtol=1e-9)
    gone = silent(values, mu, np.zeros((1, 1)), np.zeros(1))[0]
    np.testing.assert_allclose(gone[5:], np.array([1, 2, 3]) * 4.0 / np.log(10) * (gone[5] / (4.0 / np.log(10))), rtol=1e-9)
    assert gone[5] <= 4.0 / np.log(10) + 1e-6
    assert not gone[:5].any()


def test_a_constant_rate_in_buckets_is_stuck_and_chance_is_not():
    """Two and a third requests a minute: 2, 2, 3 in turn. No two buckets in three are equal, but all are nearly."""
    rng = np.random.default_rng(8)
    counts = rng.poisson(7 / 3, (20, 8 * DAY)).astype(float)
    counts[0, 7 * DAY :] = np.diff(np.floor(7 / 3 * np.arange(DAY + 1)))
    counts[1] = np.diff(np.floor(7 / 3 * np.arange(8 * DAY + 1)))
    space, mean, sqrt = np.sqrt(counts), np.full(counts.shape, np.sqrt(7 / 3)), np.full(20, True)
    past = slice(0, 7 * DAY)
    usual = calibrate(counts[:, past], space[:, past], mean[:, past], sqrt, WINDOWS).usual
    found = detect(counts, space, mean, sqrt, usual, WINDOWS)
    told = kinds(found, space, usual, WINDOWS)[0, 7 * DAY :][found.surprise[0, 7 * DAY :] >= EDGES[1]]
    assert len(told) > DAY / 2
    assert {KINDS[code] for code in told} == {"flatline"}
    assert found.surprise[1:].max() < EDGES[1], "neither chance is, nor what was always so"
    before = Calibration.from_numbers(usual.numbers()[:, :PEAKED])
    assert detect(counts, space, mean, sqrt, before, WINDOWS).evidence["frozen"].max() < EDGES[1], "older snapshots do not know"


def test_what_stands_still_each_night_is_stuck_by_day_only():
    """Whole degrees: a few by day, and by night one, but for a bucket in a hundred."""
    rng, days, a_day = np.random.default_rng(3), 10, 288
    moments = np.datetime64("2026-03-02T00:00:00") + 300 * np.arange(days * a_day)
    by_night, windows = np.arange(days * a_day) % a_day < a_day // 2, Windows.of(timedelta(minutes=5))
    degrees = np.round(20 + np.where(by_night, 0.2, 1.0) * rng.normal(size=(10, days * a_day)))
    degrees[5:, -84:] = 21  # seven hours of the last day, of every other series
    mean, never, past = np.full(degrees.shape, 20.0), np.zeros(10, dtype=bool), slice(0, -a_day)
    before, now = (hours_of([(np.arange(10), moments[part])]) for part in (past, slice(None)))
    usual = calibrate(degrees[:, past], degrees[:, past], mean[:, past], never, windows, hours=before).usual
    found = detect(degrees, degrees, mean, never, usual, windows, hours=now).evidence["frozen"][:, -a_day:]
    assert found[:, :-84].max() < EDGES[0]
    assert (found[5:, -84:].max(axis=1) > EDGES[1]).all()
    older = Calibration.from_numbers(usual.numbers()[:, :HOURLY])
    assert detect(degrees, degrees, mean, never, older, windows, hours=now).evidence["frozen"][:5, -a_day:].max() > EDGES[1]


def test_tails_say_how_rare_a_value_is():
    past = np.abs(np.random.default_rng(4).normal(size=(20, 4000)))
    tail = fit_tail(past)
    at = np.array([1.0, 2.0, 3.0, 4.0])
    said = tail.surprise(np.broadcast_to(at, (20, 4))).mean(axis=0)
    true = -norm.logsf(at) / np.log(10) - np.log10(2)
    np.testing.assert_allclose(said[:3], true[:3], atol=0.25)
    assert 3.0 < said[3] <= true[3] + 0.3, "beyond all that was seen it is careful"
    many = tail.surprise(np.broadcast_to(np.linspace(0, 60, 500), (20, 500)))
    assert (np.diff(many, axis=1) >= -1e-12).all()
    np.testing.assert_array_equal(Tail.from_numbers(tail.numbers()).surprise(past), tail.surprise(past))


def test_a_statistic_with_no_past_surprises_nobody():
    assert not fit_tail(np.full((1, 5), 1.0)).surprise(np.array([[1e9]])).any()
    assert not fit_tail(np.full((1, 500), np.nan)).surprise(np.array([[1e9]])).any()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda c: np.multiply(c[0, 1440:1442], 10, out=c[0, 1440:1442]), "spike"),
        (lambda c: np.multiply(c[0, 1440:1452], 0.4, out=c[0, 1440:1452]), "drop"),
        (lambda c: c[0].__setitem__(slice(1440, 1448), 0), "silence"),
        (lambda c: c[0].__setitem__(slice(1440, 1488), 300), "flatline"),
    ],
)
def test_what_happens_is_found_and_named(change, kind):
    counts, mean = traffic(16)
    change(counts)
    found, usual = scored(counts, mean)
    assert to_score(found.surprise[0, 1440:1488], QUARTER).max() >= ALARM_SCORE
    assert to_score(found.surprise[1, 1344:], QUARTER).max() < ALARM_SCORE, "the other series is quiet"
    codes = kinds(found, np.sqrt(counts), usual, WINDOWS)[0, 1440:1488]
    loud = codes[to_score(found.surprise[0, 1440:1488], QUARTER) >= ALARM_SCORE]
    assert kind in {KINDS[code] for code in loud}


def test_a_shift_is_news_once_and_then_learned():
    counts, mean = traffic(18)
    counts[0, 15 * DAY :] = np.random.default_rng(9).poisson(counts[0, 15 * DAY :] * 1.6)
    found, usual = scored(counts, mean)
    scores = to_score(found.surprise, QUARTER)
    news = (alarms(scores, WINDOWS) & (scores >= ALARM_SCORE))[0]
    assert 15 * DAY <= np.flatnonzero(news)[0] < 15 * DAY + 4
    assert not news[16 * DAY :].any()
    assert "level_shift" in {KINDS[code] for code in kinds(found, np.sqrt(counts), usual, WINDOWS)[0, 15 * DAY : 16 * DAY]}


def test_twenty_series_of_noise_raise_no_alarm():
    counts, mean = traffic(21, seed=7, series=20)
    found, _ = scored(counts, mean)
    assert (to_score(found.surprise, QUARTER)[:, 14 * DAY :] < ALARM_SCORE).all()


def test_a_piece_with_its_look_back_says_what_the_whole_says():
    counts, mean = traffic(21, seed=8)
    counts[0, 16 * DAY : 16 * DAY + 3] *= 4
    whole, usual = scored(counts, mean)
    rng = np.random.default_rng(0)
    for start in rng.integers(15 * DAY, 20 * DAY, 5).tolist():
        begin = start - WINDOWS.evidence
        part = slice(begin, start + 40)
        piece = detect(counts[:, part], np.sqrt(counts[:, part]), mean[:, part], np.full(2, True), usual, WINDOWS)
        np.testing.assert_allclose(piece.surprise[:, WINDOWS.evidence :], whole.surprise[:, start : start + 40], atol=1e-9)


@pytest.mark.parametrize("least", [0.0, -1.0])
def test_nothing_negative_is_expected_where_none_was_seen(least):
    mean, plain = 3 * np.sin(2 * np.pi * np.arange(28 * DAY) / DAY)[None], np.full(1, fill_value=False)
    values = np.maximum(np.random.default_rng(3).normal(mean, 1), least)
    usual = calibrate(values[:, : 14 * DAY], values[:, : 14 * DAY], mean[:, : 14 * DAY], plain, WINDOWS).usual
    values[:, 27 * DAY :] -= 20  # and it may become so
    lower, typical, _ = detect(values, values, mean, plain, usual, WINDOWS).bounds()
    before = slice(14 * DAY, 27 * DAY)
    assert (lower[:, before].min() < 0) == (typical[:, before].min() < 0) == (least < 0)
    assert (lower[:, 27 * DAY + 70 :] < -10).all()


def test_one_side_does_not_see_the_other():
    counts, mean = traffic(15)
    counts[:, 1400] *= 10
    high, _ = scored(counts, mean, sides=["high", "low"])
    assert high.surprise[0, 1400] > 10
    assert high.surprise[1, 1400] == 0
    assert high.damped[1, 1400] == OTHER_SIDE


def test_while_it_learns_only_what_was_never_seen_is_more_than_minor():
    counts, mean = traffic(15)
    counts[0, 1392:1396] *= 0.5
    counts[1, 1392:1396] *= 10
    found, _ = scored(counts, mean, learning=np.full(counts.shape, True))
    assert 0 < found.surprise[0, 1392:1396].max() <= LEARNING_MOST
    assert found.surprise[1, 1392:1396].max() > EDGES[2]


def test_while_it_learns_what_is_as_near_to_what_was_seen_as_noise_goes_is_minor_too():
    counts, mean = traffic(15)
    least = counts[:, : 14 * DAY].min(axis=1)
    counts[:, 1376:1380] = np.array([[0.98], [0.5]]) * least[:, None]  # when it is busy
    found, _ = scored(counts, mean, learning=np.full(counts.shape, True))
    assert 0 < found.surprise[0, 1376:1380].max() <= LEARNING_MOST
    assert found.surprise[1, 1376:1380].max() > EDGES[2]


def test_while_it_learns_an_outage_is_no_quiet_night():
    counts, mean = traffic(15, level=12.0, series=10)
    counts = np.maximum(counts, 1)
    counts[:, 1376:1384] = 0
    found, _ = scored(counts, mean, learning=np.full(counts.shape, True))
    assert (found.surprise[:, 1376:1384].max(axis=1) > EDGES[2]).all()


def test_of_what_was_always_nothing_something_is_news():
    values, plain = np.zeros((1, 15 * DAY)), np.full(1, fill_value=False)
    usual = calibrate(values, values, values, plain, WINDOWS).usual
    kept = Calibration.from_numbers(usual.numbers().astype(np.float32).astype(np.float64))
    values[0, -5] = 50.0
    found = detect(values, values, np.zeros_like(values), plain, kept, WINDOWS)
    assert found.surprise[0, -5] > EDGES[2]
    assert found.surprise[0, : 14 * DAY].max() < 1


@pytest.mark.parametrize("hours", [0.25, 1, 6, 12])
def test_while_it_learns_long_buckets_are_minor_at_most_too(hours):
    span = timedelta(hours=hours)
    windows, day = Windows.of(span), round(24 / hours)
    level = np.where(np.arange(30 * day) % day < day // 2, 100.0, 400.0)[None]
    counts = np.random.default_rng(3).poisson(level).astype(float)
    counts[0, -1] = 105  # a day that is as a night
    sqrt, space, mean = np.full(1, True), np.sqrt(counts), np.sqrt(level)
    usual = calibrate(counts[:, :-day], space[:, :-day], mean[:, :-day], sqrt, windows).usual
    known = detect(counts, space, mean, sqrt, usual, windows)
    young = detect(counts, space, mean, sqrt, usual, windows, learning=np.full(counts.shape, True))
    assert severity(float(to_score(known.surprise[0, -1], span))) == "critical"
    assert severity(float(to_score(young.surprise[0, -1], span))) == "minor"


def test_a_count_is_no_more_surprising_than_its_own_law():
    rng = np.random.default_rng(5)
    counts = rng.poisson(0.3, (4, 20 * DAY)).astype(float)
    counts[:, 15 * DAY] = 3
    found, usual = scored(counts, np.full(counts.shape, np.sqrt(0.3)))
    assert (found.evidence["point"][:, 15 * DAY] <= -np.log10(2 * poisson.sf(2, 0.25)) + 0.7).all()
    assert usual.numbers().shape == (4, WIDTH)
    np.testing.assert_array_equal(Calibration.from_numbers(usual.numbers()).numbers(), usual.numbers())


def minutes(rate, series=12, days=21):
    """Counts (N, T) of a minute with a daily curve, their expectation in square roots, and where the training ends."""
    rng = np.random.default_rng(3)
    curve = rate * (1 + 0.6 * np.sin(2 * np.pi * np.arange(days * 1440) / 1440))
    counts = rng.poisson(curve * rng.gamma(30, 1 / 30, (series, len(curve)))).astype(float)
    roots = np.sqrt(counts).reshape(-1, 1440 // 20, 20).reshape(series, days, -1, 20).mean(axis=(1, 3))
    return counts, np.tile(np.repeat(roots, 20, axis=1), (1, days)), 14 * 1440


def test_at_a_minute_two_buckets_in_a_row_are_enough_and_chance_is_not():
    counts, mean, past = minutes(8.0)
    windows, flags = Windows.of(timedelta(minutes=1)), np.full(len(counts), True)
    at = past + 2000 + 300 * np.arange(len(counts))
    spiked = counts.copy()
    for row, first in enumerate(at):
        spiked[row, first : first + 2] = np.ceil(10 * mean[row, first] ** 2)
    usual = calibrate(counts[:, :past], np.sqrt(counts[:, :past]), mean[:, :past], flags, windows).usual
    quiet = detect(counts, np.sqrt(counts), mean, flags, usual, windows)
    assert (quiet.surprise[:, past:] < EDGES[1]).all()
    assert (np.fmax.reduce(quiet.evidence["pair"][:, past:], axis=1) > 2.0).all(), "chance is rare, and seen"
    found = detect(spiked, np.sqrt(spiked), mean, flags, usual, windows)
    rows = np.arange(len(counts))
    assert (found.surprise[rows, at + 1] >= EDGES[1]).all()
    assert (found.evidence["pair"][rows, at + 1] > found.evidence["point"][rows, at + 1]).all()
    assert (found.evidence["pair"][rows, at + 3] < 1).all(), "over is over"
    before = detect(spiked, np.sqrt(spiked), mean, flags, Calibration.from_numbers(usual.numbers()[:, :STILL]), windows)
    assert not before.evidence["pair"].any(), "a snapshot that knows nothing of pairs judges none"
    np.testing.assert_array_equal(before.evidence["brief"], found.evidence["brief"])
    assert (before.surprise[rows, at + 1] < EDGES[1]).any(), "it takes two"
    assert not scored(*traffic(15))[0].evidence["pair"].any(), "where a bucket is five minutes, it is told alone"


def test_bursts_are_kept_apart_until_they_are_usual():
    residuals = np.random.default_rng(7).normal(0, 1, (3, 10 * DAY))
    residuals[0, 500] = 40
    residuals[1, 40::DAY] = 40
    residuals[2, 500:] += 10  # a new level is no burst
    mask = burst_mask(residuals, np.ones(3), QUARTER)
    assert (mask[0].sum(), mask[1].sum(), mask[2].sum() < 60) == (1, 10, True)
    known = np.ones(mask.shape, dtype=bool)
    kept = rare(mask, known, DAY)
    assert (kept[0].sum(), kept[1].sum()) == (1, 0)
    known[0, : 4 * DAY] = False
    assert not rare(mask, known, DAY)[0].any(), "what came on one of six days may be usual"
    known[0, 3 * DAY :] = True
    mask[0, 5 * DAY - 3 : 5 * DAY + 3] = True
    mask[0, 500] = False
    assert rare(mask, known, DAY)[0].sum() == 6, "what lasts over midnight came once"
    mask[0], mask[0, 500] = False, True
    assert rare(mask, known, DAY)[0].sum() == 1
    for hours in (4, 6, 12):
        mask[0] = np.arange(mask.shape[1]) % (hours * DAY // 24) == 3
        assert not rare(mask, known, DAY)[0].any(), "what comes several times a day came on all days"


def test_young_series_take_the_wider_bounds():
    counts, mean = traffic(15, series=6)
    _, usual = scored(counts, mean)
    own = usual.numbers()
    narrow = own[:1] * 0.5
    wide = pooled(narrow, own)
    assert (wide[:, 11:TAILED] >= narrow[:, 11:TAILED] - 1e-12).all()
    np.testing.assert_array_equal(pooled(narrow, own[:0]), narrow)


def test_values_of_any_size_and_gaps_are_endured():
    rng = np.random.default_rng(8)
    for values in (
        rng.normal(0, 1, (1, 800)) * 1e140,
        rng.normal(0, 1, (1, 800)) * 1e-140,
        np.full((1, 800), 7.0),
        np.zeros((1, 800)),
    ):
        gaps = values.copy()
        gaps[0, 100:300] = np.nan
        for each in (values, gaps):
            mean, sqrt = np.zeros_like(each), np.full(1, False)
            usual = calibrate(each[:, :600], each[:, :600], mean[:, :600], sqrt, WINDOWS).usual
            found = detect(each, each, mean, sqrt, usual, WINDOWS)
            assert np.isfinite(found.surprise).all()
            assert (noise_floor(each, sqrt) > 0).all()
    nothing, none = np.full((2, 50), np.nan), np.array([True, False])
    z, centre, unit = settled(nothing, np.full((2, 50), 7.0), np.ones((2, 50)), none, none, WINDOWS)
    assert np.isnan(z).all()
    assert (centre == 7.0).all()
    assert (unit == 1.0).all()


def test_scores_keep_the_order_of_probabilities_and_end_at_100():
    surprises = np.linspace(0, 320, 2000)
    for scores in (to_score(surprises, SPAN_BASE), to_score(surprises, timedelta(days=1)), to_job_score(surprises)):
        assert (np.diff(scores) >= 0).all()
        assert (scores[0], scores[-1]) == (0.0, 100.0)
    for minutes in (1, 5):
        np.testing.assert_allclose(to_score(np.array(EDGES), timedelta(minutes=minutes)), [25, 50, 75])


def test_of_longer_buckets_there_are_fewer_so_each_counts_more_and_nothing_none_at_any_span():
    spans = [timedelta(minutes=minutes) for minutes in (5, 15, 60, 1440, 7 * 1440)]
    assert (np.diff([to_score(3.4, span) for span in spans]) > 0).all()
    # twelve times fewer: the root of it
    assert to_score(5.0 - np.log10(12) / 2, timedelta(hours=1)) == pytest.approx(50, abs=0.01)
    assert not any(to_score(0.0, span) for span in spans)


@pytest.mark.parametrize(
    ("score", "word"), [(0, "warning"), (24.9, "warning"), (25, "minor"), (50, "major"), (75, "critical"), (100, "critical")]
)
def test_severities_are_elastics(score, word):
    assert severity(score) == word


@given(st.floats(0.0, 300.0), st.integers(1, 20_000))
def test_looking_at_more_series_never_makes_a_bucket_more_surprising(surprise, looks):
    assert 0.0 <= among(surprise, looks) <= surprise + 1e-9


def test_five_thousand_series_at_one_percent_are_no_alarm():
    assert to_job_score(among(2.0, 5000)) == 0.0
    assert to_job_score(among(3.5, 5000)) == 0.0
    assert among(12.0, 1000) == pytest.approx(9.0, abs=1e-3)


@pytest.mark.parametrize("count", [28, 60, 120, 2000])
def test_chance_is_as_rare_as_a_tail_of_few_values_says(count):
    rng = np.random.default_rng(0)
    tail = fit_tail(np.abs(rng.normal(size=(4000, count))))
    said = tail.surprise(np.abs(rng.normal(size=(4000, 200))))
    for surprise in (1.3, 2.0, 2.6):
        assert (said >= surprise).mean() < 2.2 * 10**-surprise


def test_days_of_four_weeks_alarm_no_more_often_than_hours():
    span = timedelta(days=1)
    windows = Windows.of(span)
    values, mean, plain = np.random.default_rng(1).normal(100, 10, (300, 35)), np.full((300, 35), 100.0), np.full(300, False)
    usual = calibrate(values[:, :28], values[:, :28], mean[:, :28], plain, windows).usual
    score = to_score(detect(values, values, mean, plain, usual, windows).surprise, span)[:, 28:]
    assert (score >= 25).sum() / 300 < 0.4
    assert (score >= ALARM_SCORE).sum() / 300 < 0.02


@pytest.mark.parametrize(("side", "told"), [("high", False), ("low", True), ("both", True)])
def test_silence_is_low_though_the_level_has_followed(side, told):
    counts, mean = traffic(16, level=20.0)
    counts[:, 14 * DAY + 20 : 15 * DAY + 60] = 0
    found, _ = scored(counts, mean, sides=[side] * 2)
    late = to_score(found.surprise, QUARTER)[:, 15 * DAY : 15 * DAY + 60]
    assert (late >= ALARM_SCORE).all() if told else (late == 0).all(), "15 hours later nothing is what is expected"


def test_one_absurd_value_does_not_hide_what_comes_after():
    rng = np.random.default_rng(2)
    values, mean, plain = rng.normal(100, 10, (20, 21 * DAY)), np.full((20, 21 * DAY), 100.0), np.full(20, False)
    usual = calibrate(values[:, : 14 * DAY], values[:, : 14 * DAY], mean[:, : 14 * DAY], plain, WINDOWS).usual
    values[:, 17 * DAY + 40 : 17 * DAY + 48] -= 30
    found = detect(values, values, mean, plain, usual, WINDOWS).evidence
    values[:, 14 * DAY + 9] = 1e15
    later = slice(17 * DAY + 20, 18 * DAY)  # at another time of day: it is like no other at its own
    again = detect(values, values, mean, plain, usual, WINDOWS)
    for name in ("point", "mean", "shape", "variance"):
        np.testing.assert_allclose(again.evidence[name][:, later], found[name][:, later], atol=1e-4)
    assert (to_score(again.surprise[:, 14 * DAY + 9], QUARTER) > 90).all()


@pytest.mark.parametrize("span", [5, 60])
def test_a_bucket_far_out_in_noise_that_follows_itself_is_no_swing(span):
    windows, rng = Windows.of(timedelta(minutes=span)), np.random.default_rng(4)
    day, series = windows.day, 30
    z = np.zeros((series, 12 * day))
    for place in range(1, z.shape[1]):
        z[:, place] = 0.95 * z[:, place - 1] + rng.normal(0, np.sqrt(1 - 0.95**2), series)
    values, past = 50 + z, 10 * day
    mean, flags = np.full_like(values, 50.0), np.full(series, False)
    at = past + 9 * day // 24 + np.arange(series)
    values[np.arange(series), at] += 7
    usual = calibrate(values[:, :past], values[:, :past], mean[:, :past], flags, windows).usual
    found = detect(values, values, mean, flags, usual, windows)
    named = kinds(found, values, usual, windows)[np.arange(series), at]
    loud = found.surprise[np.arange(series), at] >= EDGES[1]
    assert loud.mean() > 0.5
    assert {KINDS[code] for code in named[loud]} <= {"spike", "ramp", "level_shift"}
