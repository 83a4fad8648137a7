from datetime import timedelta

import numpy as np
import pytest

from driftline.scoring.fixed import best_for_all, best_for_each
from driftline.scoring.truth import ALL, Truth

HOUR = timedelta(hours=1)


def noisy(levels, length=600):
    return np.random.default_rng(5).normal(np.array(levels)[:, None], 1.0, (len(levels), length))


def truth(*rows):
    series, first, last = zip(*rows, strict=True)
    return Truth(np.array(series), np.array(first), np.array(last), ["spike"] * len(rows))


def test_a_spike_over_everything_needs_no_model():
    values = noisy([10, 10])
    values[1, 300:304] = 40
    rule = best_for_all(values, truth((1, 300, 304)), HOUR)
    assert (rule.judged.f1, rule.judged.false_alarms, rule.judged.delay_buckets_median) == (1.0, 0, 0.0)
    assert rule.above.all()
    assert values[values < 40].max() < rule.limit[0] <= 40


def test_a_drop_is_found_by_looking_below():
    values = noisy([10])
    values[0, 100:103] = 0
    rule = best_for_all(values, truth((0, 100, 103)), HOUR)
    assert rule.judged.f1 == 1.0
    assert not rule.above.any()


def test_series_of_different_sizes_need_a_threshold_each_and_calm_ones_none():
    values = noisy([10, 1000, 100])
    values[0, 300:304] = 40
    values[1, 50:54] = 900
    events = truth((0, 300, 304), (1, 50, 54))
    assert best_for_all(values, events, HOUR).judged.recall == pytest.approx(0.5)
    rule = best_for_each(values, events, HOUR)
    assert (rule.judged.f1, rule.judged.false_alarms) == (1.0, 0)
    assert rule.above.tolist()[:2] == [True, False]
    assert np.isinf(rule.limit[2])


def test_what_is_only_unusual_for_its_hour_is_not_found_by_a_fixed_threshold():
    values = 100 + 50 * np.sin(2 * np.pi * np.arange(600) / 24)[None] + noisy([0])
    values[0, 302:305] = 100.0  # as at many other hours
    assert best_for_each(values, truth((ALL, 302, 305)), HOUR).judged.f1 < 0.3


def test_missing_values_alarm_neither_way():
    values = np.full((1, 50), np.nan)
    assert best_for_all(values, truth((0, 3, 5)), HOUR).judged.alarms == 0
    assert best_for_each(values, truth((0, 3, 5)), HOUR).judged.alarms == 0
