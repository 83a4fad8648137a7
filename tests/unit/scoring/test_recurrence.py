"""Recurrence: the third of its like is worth less, the second is not, and a snapshot knows what its training window had."""

from datetime import timedelta

import numpy as np
import pytest

from driftline.scoring.bursts import rare_bursts
from driftline.scoring.calibration import TAILED, WIDTH, Calibration, calibrate
from driftline.scoring.detector import RECURRING, detect, past_peaks
from driftline.scoring.recurrence import lowered, peaks
from driftline.scoring.settings import EDGES, RECUR_BLOCKS, RECUR_LEAST, RENORMAL_SHAPE
from driftline.scoring.windows import Windows

DAY = 96
WINDOWS = Windows.of(timedelta(minutes=15))


def test_peaks_are_of_blocks_from_the_newest_back_without_the_last_day():
    surprise = np.zeros((1, 7 * DAY))
    surprise[0, [DAY, 3 * DAY, 5 * DAY, 6 * DAY - 1, 6 * DAY]] = [3.0, 4.0, 5.0, 6.0, 9.0]
    found = peaks(surprise, WINDOWS)
    assert found.shape == (1, RECUR_BLOCKS)
    np.testing.assert_array_equal(found[0, :4], [6.0, 4.0, 3.0, np.nan])
    assert peaks(np.full((1, 7 * DAY), 2.3), WINDOWS)[0, 0] == 0.0, "nothing that has no score"
    assert np.isnan(peaks(surprise[:, :DAY], WINDOWS)).all()


@pytest.mark.parametrize("start", range(0, 5 * DAY, 37))
def test_one_incident_counts_once_wherever_a_block_ends(start):
    surprise = np.zeros((1, 9 * DAY))
    surprise[0, start : start + 40] = np.linspace(8.0, 12.0, 40)
    surprise[0, start + DAY // 2 : start + DAY // 2 + 10] = 11.0  # it comes back the same day
    found = peaks(surprise, WINDOWS)[0]
    assert np.nansum(found > 0) == 1
    assert np.nanmax(found) == 12.0
    past = peaks(surprise, WINDOWS)
    assert lowered(np.array([[8.0]]), past, WINDOWS)[0][0, 0] == 8.0, "the second incident is worth what the first was"


def test_what_is_not_known_is_no_history():
    surprise = np.full((1, 9 * DAY), np.nan)
    surprise[0, 5 * DAY :] = 0.0
    np.testing.assert_array_equal(peaks(surprise, WINDOWS)[0, :4], [0.0, 0.0, np.nan, np.nan])


def test_no_surprise_is_too_large():
    assert lowered(np.array([[320.0, 450.0]]), np.full((1, RECUR_BLOCKS), np.nan), WINDOWS)[0].tolist() == [[320.0, 450.0]]
    assert np.isfinite(lowered(np.array([[320.0]]), np.full((1, RECUR_BLOCKS), 400.0), WINDOWS)[0]).all()


@pytest.mark.parametrize("before", [0, 1, 2, 5])
def test_the_third_of_its_like_is_worth_less_and_the_second_is_not(before):
    past = np.zeros((1, RECUR_BLOCKS))
    past[0, :before] = 8.0
    out, times = lowered(np.array([[8.0, 8.1, 1.0]]), past, WINDOWS)
    assert times.tolist() == [[before, 0, 0]]
    assert out[0, 1:].tolist() == [8.1, 1.0], "what was never as surprising stays"
    if before < RECUR_LEAST:
        assert out[0, 0] == 8.0
    else:
        assert out[0, 0] == pytest.approx(8.0 - np.log10(1 + before / RENORMAL_SHAPE), abs=0.01)


def test_what_is_as_frequent_as_its_law_says_stays():
    past = np.full((1, RECUR_BLOCKS), 2.7)
    # at 1 in 500, three of a block's 192 buckets in ten are expected to be as surprising
    assert lowered(np.array([[2.7]]), past[:, :RECUR_LEAST], WINDOWS)[0][0, 0] < 2.7
    assert lowered(np.array([[2.7]]), np.where(np.arange(RECUR_BLOCKS) < 5, past, 0.0), WINDOWS)[0][0, 0] == 2.7


def bursts(days=28, seed=3):
    """Four series of counts with spikes: on two days, on seven, on none, and one-sided lows."""
    rng = np.random.default_rng(seed)
    curve = 200 * (1 + 0.5 * np.sin(2 * np.pi * np.arange(days * DAY) / DAY))
    counts = rng.poisson(curve, (4, days * DAY)).astype(float)
    counts[0, [9 * DAY + 40, 17 * DAY + 70]] *= 5
    counts[1, np.arange(7) * 3 * DAY + 2 * DAY + rng.integers(0, DAY, 7)] *= 5
    counts[3, [5 * DAY + 10, 11 * DAY + 10, 15 * DAY + 30, 20 * DAY + 50]] = 1
    return counts, np.broadcast_to(np.sqrt(curve), counts.shape).copy()


@pytest.mark.parametrize("sides", [None, ["both", "high", "low", "high"]])
@pytest.mark.parametrize("sqrt", [True, False])
def test_peaks_of_the_past_are_what_detection_finds_there(sqrt, sides):
    counts, mean = bursts()
    flags = np.full(len(counts), sqrt)
    space = np.sqrt(counts) if sqrt else counts
    mean = mean if sqrt else mean**2
    mask = rare_bursts(space, mean, flags, WINDOWS)
    assert mask[0].any()
    assert not mask[1].any(), "what came on seven days is no burst"
    learned = calibrate(counts, space, mean, flags, WINDOWS, mask)
    found = past_peaks(counts, space, mean, flags, learned, WINDOWS, mask=mask, sides=sides)
    dense = detect(counts, space, mean, flags, learned.usual, WINDOWS, sides=sides)
    np.testing.assert_array_equal(found, peaks(dense.alone, WINDOWS))
    assert (found[0] > EDGES[1]).sum() == 2, "bursts that were left out of the tails are part of the past"
    if not sides:
        assert (found[3] > EDGES[0]).sum() == 4
    else:
        assert (found[3] > EDGES[0]).sum() == 0, "what the other side had is no history"


def test_a_snapshot_keeps_them_and_one_from_before_there_were_any_scores_as_it_did():
    counts, mean = bursts()
    counts[:, -20] *= 5
    flags, space = np.full(len(counts), True), np.sqrt(counts)
    past = slice(0, 26 * DAY)
    learned = calibrate(counts[:, past], space[:, past], mean[:, past], flags, WINDOWS)
    learned.usual.peaks = past_peaks(counts[:, past], space[:, past], mean[:, past], flags, learned, WINDOWS)
    numbers = learned.usual.numbers()
    assert numbers.shape == (4, WIDTH)
    again = Calibration.from_numbers(numbers)
    np.testing.assert_array_equal(again.peaks, learned.usual.peaks)
    now = detect(counts, space, mean, flags, again, WINDOWS)
    assert now.damped[1, -20] == RECURRING
    assert now.surprise[1, -20] < now.alone[1, -20]
    assert now.times[1, -20] >= 5
    assert (now.damped[[0, 2], -20] == 0).all(), "twice at most is no habit of what is no more surprising"
    older = detect(counts, space, mean, flags, Calibration.from_numbers(numbers[:, :TAILED]), WINDOWS)
    np.testing.assert_array_equal(older.alone, now.alone)
    assert (older.damped != RECURRING).all()
    taken = again.take(np.array([1]))
    np.testing.assert_array_equal(taken.numbers(), numbers[[1]])


def test_what_has_a_score_in_long_buckets_recurs_in_them():
    windows = Windows.of(timedelta(days=1))
    surprise = np.zeros((1, 400))
    surprise[0, 3::3] = 2.5
    past = peaks(surprise, windows)
    out, times = lowered(np.array([[2.5]]), past, windows)
    assert times[0, 0] > RECUR_LEAST
    assert out[0, 0] < 2.0
