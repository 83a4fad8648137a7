from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.scoring.truth import ALL, Alarms, Truth, best, judge, sweep

HOUR = timedelta(hours=1)


def alarms(*rows):
    return Alarms(*(np.array(column) for column in zip(*rows, strict=True)))


def truth(*rows):
    series, first, last, kind = zip(*rows, strict=True)
    return Truth(np.array(series), np.array(first), np.array(last), kind)


def brute(found, what, threshold, *, echo):
    loud = [row for row in zip(found.series, found.column, found.score, strict=True) if row[2] >= threshold]
    delays, innocent = [], list(loud)
    for series, first, last in zip(what.series, what.first, what.last, strict=True):
        own = [row for row in loud if series in (ALL, row[0])]
        within = [row[1] - first for row in own if first <= row[1] < last]
        delays.append(min(within, default=None))
        until = last + (min(last - first, 6) if echo is None else echo)
        innocent = [row for row in innocent if row not in own or not first <= row[1] < until]
    return [d for d in delays if d is not None], len(innocent)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from([None, 0, 3]))
def test_every_threshold_of_a_sweep_is_what_one_counts_by_hand(seed, echo):
    rng = np.random.default_rng(seed)
    cells = rng.choice(3 * 60, 25, replace=False)
    found = Alarms(cells // 60, cells % 60, rng.integers(1, 12, 25).astype(float))
    first = rng.integers(0, 55, 4)
    what = Truth(rng.integers(-1, 3, 4), first, first + rng.integers(1, 10, 4), ["a", "b", "a", "b"])
    what.last = np.minimum(what.last, 60)
    judged = sweep(found, what, series=3, buckets=60, span=HOUR, echo=None if echo is None else echo * HOUR)
    assert [each.threshold for each in judged] == sorted(set(found.score))
    for each in judged:
        delays, wrong = brute(found, what, each.threshold, echo=echo)
        assert (each.found, each.false_alarms, each.events) == (len(delays), wrong, 4)
        if delays:
            assert each.delay_buckets_median == np.median(delays)
        assert each.recall == len(delays) / 4


def test_an_event_counts_once_and_its_echo_is_no_false_alarm():
    found = alarms((0, 10, 80.0), (0, 11, 90.0), (0, 14, 60.0), (0, 17, 60.0), (1, 10, 60.0))
    once = judge(found, truth((0, 9, 13, "spike")), 50, series=2, buckets=168, span=HOUR)
    assert (once.found, once.false_alarms, once.alarms) == (1, 2, 5)  # 17 lies beyond the echo of four hours, 10 on another
    assert (once.precision, once.recall, once.f1) == (pytest.approx(1 / 3), 1.0, 0.5)
    assert once.false_alarms_a_week == 1.0
    assert once.by_kind == {"spike": (1, 1, 1.0)}
    later = judge(found, truth((0, 9, 13, "spike")), 85, series=2, buckets=168, span=HOUR)
    assert (later.delay_buckets_median, later.false_alarms) == (2.0, 0)


def test_an_echo_of_days_ends_after_six_hours():
    found = alarms((0, 53, 80.0), (0, 54, 80.0))
    assert judge(found, truth((0, 0, 48, "shift")), 1, series=1, buckets=168, span=HOUR).false_alarms == 1


def test_what_concerns_all_is_found_by_any_series():
    one = judge(alarms((3, 5, 80.0)), truth((ALL, 4, 8, "outage")), 50, series=5, buckets=20, span=HOUR)
    assert (one.found, one.false_alarms, one.delay_buckets_median) == (1, 0, 1.0)


def test_without_alarms_or_without_events_nothing_is_wrong():
    none = Alarms.of(np.zeros((2, 20)))
    quiet = judge(none, truth((0, 4, 8, "spike")), 50, series=2, buckets=20, span=HOUR)
    assert (quiet.precision, quiet.recall, quiet.f1) == (1.0, 0.0, 0.0)
    assert np.isnan(quiet.delay_buckets_median)
    nothing = Truth(*(np.empty(0, np.int64) for _ in range(3)), [])
    calm = judge(none, nothing, 50, series=2, buckets=20, span=HOUR)
    assert (calm.precision, calm.recall, calm.f1) == (1.0, 1.0, 1.0)
    assert sweep(none, nothing, series=2, buckets=20, span=HOUR) == []


def test_a_sweep_is_short_and_holds_the_best_threshold():
    rng = np.random.default_rng(3)
    found = Alarms(np.zeros(2000, int), np.arange(2000), rng.random(2000))
    found.score[[100, 900]] = [0.95, 2.0]
    judged = sweep(found, truth((0, 98, 101, "a"), (0, 899, 902, "b")), series=1, buckets=2000, span=HOUR)
    assert len(judged) <= 200
    chosen = best(judged)
    assert (chosen.threshold, chosen.precision, chosen.recall) == (2.0, 1.0, 0.5)
