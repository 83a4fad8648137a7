"""What is over is over: means, shapes, swings and flatlines remember for hours what was."""

from datetime import timedelta

import numpy as np
import pytest

from driftline.scoring.calibration import calibrate
from driftline.scoring.detector import detect
from driftline.scoring.score import to_score
from driftline.scoring.settings import ALARM_SCORE
from driftline.scoring.statistics import speaking
from driftline.scoring.windows import Windows


@pytest.mark.parametrize(
    ("minutes", "lasts", "most"), [(1, 30, 0.1), (1, 180, 0.05), (15, 4, 0.05), (60, 4, 0.02), (60, 1, 0.03)]
)
def test_what_is_over_is_over(minutes, lasts, most):
    """Means, shapes and swings remember for hours what was; few buckets then are anomalous for it."""
    span, day = timedelta(minutes=minutes), 1440 // minutes
    rng = np.random.default_rng(5)
    curve = 20.0 * minutes * (1 + 0.6 * np.sin(2 * np.pi * np.arange(15 * day) / day))
    counts = rng.poisson(curve * rng.gamma(200, 1 / 200, (10, 15 * day))).astype(float)
    begin = 14 * day + day // 4
    end = begin + lasts
    counts[:, begin:end] = rng.poisson(3 * curve[begin:end], (10, lasts))
    sqrt, space, mean = np.full(10, True), np.sqrt(counts), np.broadcast_to(np.sqrt(curve), counts.shape).copy()
    past, windows = slice(0, 14 * day), Windows.of(span)
    usual = calibrate(counts[:, past], space[:, past], mean[:, past], sqrt, windows).usual
    score = to_score(detect(counts, space, mean, sqrt, usual, windows).surprise, span)
    assert (score[:, begin:end].max(axis=1) >= ALARM_SCORE).all()
    later = score[:, end : end + windows.swing]
    assert (later >= 1).mean() < most


@pytest.mark.parametrize("minutes", [1, 5, 15])
def test_a_flatline_is_over_when_neighbours_differ_again(minutes):
    """Three hours of changes remember it, the newest few do not."""
    span, day = timedelta(minutes=minutes), 1440 // minutes
    rng = np.random.default_rng(6)
    counts = rng.poisson(10.0 * minutes * rng.gamma(200, 1 / 200, (20, 15 * day))).astype(float)
    begin, lasts = 14 * day + day // 4, 360 // minutes
    end = begin + lasts
    counts[:, begin:end] = counts[:, begin : begin + 1] + rng.integers(0, 2, (20, lasts))
    sqrt, space, mean = np.full(20, True), np.sqrt(counts), np.full(counts.shape, np.sqrt(10.0 * minutes))
    past, windows = slice(0, 14 * day), Windows.of(span)
    usual = calibrate(counts[:, past], space[:, past], mean[:, past], sqrt, windows).usual
    score = to_score(detect(counts, space, mean, sqrt, usual, windows).surprise, span)
    assert (score[:, begin:end].max(axis=1) >= ALARM_SCORE).mean() > 0.9
    assert (score[:, end - 60 // minutes : end] >= 1).mean() > 0.9, "while it lasts it goes on"
    assert (score[:, end : end + windows.swing] >= 1).mean() < 0.12


def test_a_shape_speaks_while_it_is_unlike_now_or_the_bucket_is_as_far_from_the_model():
    z, part = np.array([[1.2, 1.2, 5.0, 0.5, np.nan]]), np.array([[0.5, 0.01, 0.01, 9.0, 9.0]])
    nothing = np.zeros_like(z)
    found = {"brief": z, "pair": z, "mean": z, "long": nothing, "shape": np.full_like(z, 4.0)}
    found |= {"shape_now": part, "variance_now": part}
    found["flatline_now"] = np.array([[0.0, 1.0, 2.9, 3.1, np.nan]])
    speaks = speaking(z, found)
    np.testing.assert_array_equal(speaks["shape"], [[True, False, True, False, False]])
    np.testing.assert_array_equal(speaks["variance"], [[True, False, False, False, False]])
    np.testing.assert_array_equal(speaks["mean"], [[True, True, True, False, False]])
    np.testing.assert_array_equal(speaks["long"], [[False] * 5])
    np.testing.assert_array_equal(speaks["flatline"], [[True, True, True, False, False]])
    found["brief"] = np.array([[0.3, 0.3, 0.3, 0.5, np.nan]])
    assert not speaking(z, found)["shape"].any(), "one of five minutes deviates by chance"
    found["pair"] = np.array([[1.9, -1.2, 9.0, 0.5, np.nan]])
    np.testing.assert_array_equal(speaking(z, found)["pair"], [[True, False, False, False, False]])
