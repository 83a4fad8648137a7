from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.core.job import Job
from driftline.core.results import result_id
from driftline.scoring.events import (
    KINDS,
    alarms,
    capped,
    comes_back,
    find_events,
    key_of,
    longest,
    look_back,
    rested,
    series_events,
    speaks_for,
)
from driftline.scoring.sentence import compare, duration, sentence
from driftline.scoring.settings import CHANGE_MOST, EVENT_GAP
from driftline.scoring.windows import Windows

JOB = Job.parse(
    {
        "job_id": "web",
        "bucket_span": "5m",
        "detectors": [{"function": "count", "partition_field_name": "url.path"}],
        "datafeed": {"indices": ["x"]},
    },
    where="t",
)
TUESDAY = int(datetime(2026, 3, 3, 10, tzinfo=UTC).timestamp() * 1000)
SPAN = JOB.span_seconds * 1000


def record(bucket, score, *, path="/a", actual=2.0, typical=34.0, kind="drop", probability=1e-12):
    return {
        "timestamp": TUESDAY + bucket * SPAN,
        "detector_index": 0,
        "partition_field_name": "url.path",
        "partition_field_value": path,
        "record_score": score,
        "actual": [actual],
        "typical": [typical],
        "probability": probability,
        "driftline": {"kind": kind, "snapshot_id": "s", "in_sample": False, "quality": "pass"},
    }


def brute_rested(surprise, rest):
    return np.array([[v > max([0.0, *row[max(0, t - rest) : t]]) for t, v in enumerate(row)] for row in surprise])


@given(st.integers(1, 12), st.integers(0, 1000))
def test_a_bucket_has_rested_if_it_exceeds_all_before_it(rest, seed):
    surprise = np.round(np.random.default_rng(seed).exponential(size=(3, 40)), 1)
    np.testing.assert_array_equal(rested(surprise, rest), brute_rested(surprise, rest))


def brute_alarms(score, windows):
    """By the sentence: told again within half a day, or at its time on the day before, only when it gets worse by a severity."""
    told = np.zeros(score.shape, dtype=bool)
    for row, t in np.ndindex(*score.shape):
        around = range(t - windows.day - windows.around, t - windows.day + windows.around + 1)
        before = max((score[row, n] for n in {*range(t - windows.alarm, t), *around} if 0 <= n < t), default=0.0)
        edges = [edge for edge in (25, 50, 75) if before < edge <= score[row, t]]
        told[row, t] = score[row, t] > before and (before < 25 or bool(edges))
    return told


@pytest.mark.parametrize("minutes", [30, 60, 240, 720, 1440, 10_080])
def test_an_incident_is_told_once_in_half_a_day_and_at_its_time_on_the_next_day(minutes):
    windows = Windows.of(timedelta(minutes=minutes))
    score = np.random.default_rng(minutes).choice([0, 0, 0, 0, 0, 10, 30, 40, 60, 80.0], size=(4, 150))
    told = alarms(score, windows)
    np.testing.assert_array_equal(told, brute_alarms(score, windows))
    assert 0 < told.sum() < (score > 0).sum()


def test_what_comes_each_night_is_told_once_and_what_comes_after_half_a_day_is_news():
    windows, score = Windows.of(timedelta(hours=1)), np.zeros((2, 10 * 24))
    score[0, 3::24] = 60
    score[1, 3::13] = 60
    assert np.flatnonzero(alarms(score, windows)[0]).tolist() == [3]
    assert np.flatnonzero(alarms(score, windows)[1]).tolist() == list(range(3, 10 * 24, 13))


def test_missing_values_and_no_surprise_at_all_do_not_alarm():
    assert rested(np.array([[0.0, np.nan, 2.0, np.nan, 1.0, 3.0]]), 4).tolist() == [[False, False, True, False, False, True]]
    assert rested(np.array([[1.0, 1.0, 0.0]]), 0).tolist() == [[True, True, False]]


def found(score, kind=None, deviation=None, most=50):
    score = np.atleast_2d(np.asarray(score, dtype=float))
    kind = np.full(score.shape, 2, dtype=np.int8) if kind is None else np.atleast_2d(np.asarray(kind, dtype=np.int8))
    deviation = -score if deviation is None else np.atleast_2d(np.asarray(deviation, dtype=float))
    return find_events(score, kind, deviation, most=most)


def test_anomalous_buckets_that_follow_one_another_are_one_event():
    events = found([[0, 10, 40, 0, 0, 30, 0, 0, 0, 5, 0], [0] * 10 + [70]])
    assert events.series.tolist() == [0, 0, 1]
    assert events.start.tolist() == [1, 9, 10]
    assert events.end.tolist() == [6, 10, 11]
    assert events.peak.tolist() == [2, 9, 10]
    assert events.score.tolist() == [40, 5, 70]
    assert events.buckets.tolist() == [3, 1, 1]
    assert events.deviation.tolist() == [-80, -5, -70]


def test_no_anomalies_are_no_events():
    assert len(found(np.zeros((3, 20))).start) == 0
    assert len(found(np.zeros((0, 0))).start) == 0


def test_what_lasts_outweighs_what_it_began_as_and_a_change_is_no_fault():
    shift = KINDS.index("level_shift")
    events = found([90, 60, 60, 60], kind=[2, shift, shift, shift])
    assert [KINDS[code] for code in events.kind] == ["level_shift"]
    assert events.score.tolist() == [CHANGE_MOST]
    assert found([90, 20, 20], kind=[1, shift, shift]).kind.tolist() == [1]
    assert capped(90.0, "ramp") == CHANGE_MOST
    assert capped(90.0, "drop") == 90.0


def test_an_event_is_closed_after_a_day_and_does_not_come_back():
    events = found(np.full(200, 30.0), most=50)
    assert (events.start.tolist(), events.end.tolist()) == ([0], [50])


def test_a_greater_fault_in_a_chain_that_does_not_end_is_an_event_of_its_own():
    score = np.full(300, 30.0)
    score[120:123] = [60, 80, 70]
    events = found(score, most=50)
    assert events.start.tolist() == [0, 120]
    assert events.score.tolist() == [30, 80]


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(0, 120))
def test_events_need_no_more_than_their_neighbourhood(seed, cut):
    rng = np.random.default_rng(seed)
    most = int(rng.integers(3, 12))
    score = np.where(rng.random((2, 240)) < rng.choice([0.1, 0.5, 0.95]), rng.integers(1, 100, (2, 240)), 0.0)
    reach = 2 * most + EVENT_GAP + 1
    whole, part = found(score, most=most), found(score[:, cut:], most=most)
    for name in ("start", "end", "peak", "score", "buckets", "deviation", "kind"):
        a, b = getattr(whole, name)[whole.start >= cut + reach], getattr(part, name)[part.start >= reach]
        np.testing.assert_allclose(a, b + cut if name in ("start", "end", "peak") else b)
    later = found(score[:, : cut + 20], most=most)
    done, same = whole.start + most + EVENT_GAP < cut + 20, later.start + most + EVENT_GAP < cut + 20
    np.testing.assert_array_equal(whole.end[done], later.end[same])


def test_records_give_the_same_events_as_matrices():
    rng = np.random.default_rng(5)
    score = np.where(rng.random((4, 400)) < 0.3, rng.integers(1, 100, (4, 400)), 0).astype(float)
    records = [
        record(int(t), score[n, t], path=f"/{n}", actual=34 - score[n, t]) for n, t in zip(*np.nonzero(score), strict=True)
    ]
    rng.shuffle(records)
    made = {
        (event.document["partition_field_value"], (event.document["timestamp"] - TUESDAY) // SPAN): event.document
        for event in series_events(JOB, records)
    }
    events = found(score, most=longest(JOB.bucket_span))
    assert len(made) == len(events.start)
    for n, start, end, peak, top in zip(events.series, events.start, events.end, events.peak, events.score, strict=True):
        document = made[f"/{n}", start]
        said = document["driftline"]["event"]
        assert ((said["end"] - TUESDAY) // SPAN, (said["peak"] - TUESDAY) // SPAN) == (end, peak)
        assert document["anomaly_score"] == top


def test_an_event_tells_what_happened():
    records = [record(n, score) for n, score in enumerate([60.0, 80.0, 70.0, 55.0, 52.0])]
    records[1]["actual"] = [0.5]
    (event,) = series_events(JOB, records)
    said = event.document["driftline"]["event"]
    assert said == {
        "start": TUESDAY,
        "end": TUESDAY + 5 * SPAN,
        "peak": TUESDAY + SPAN,
        "buckets": 5,
        "total_deviation": -161.5,
        "kind": "drop",
        "alarm": True,
    }
    assert event.document["result_type"] == "event"
    assert event.document["timestamp"] == TUESDAY
    assert event.document["driftline"]["sentence"] == (
        "68 times lower than expected for a Tuesday 10:05 (0.5 instead of 34), for 25 minutes"
    )
    assert event.id == result_id(JOB, "event", TUESDAY, key=key_of(records[0]))
    assert event.id == series_events(JOB, records[:2])[0].id, "an event that grows keeps its id"


def test_minor_events_do_not_alarm():
    (event,) = series_events(JOB, [record(0, 30.0)])
    assert event.document["driftline"]["event"]["alarm"] is False


def test_no_records_are_no_events():
    assert series_events(JOB, []) == []


@pytest.mark.parametrize(("seconds", "gap"), [(60, 10), (300, 2), (3600, 2)])
def test_ten_quiet_minutes_or_two_buckets_do_not_end_an_event(seconds, gap):
    job = JOB.model_copy(update={"bucket_span": timedelta(seconds=seconds)})

    def at(*buckets):
        return [record(0, 60.0) | {"timestamp": TUESDAY + bucket * seconds * 1000} for bucket in buckets]

    assert len(series_events(job, at(0, gap + 1))) == 1
    assert len(series_events(job, at(0, gap + 2))) == 2
    assert look_back(job.bucket_span) == 6 * longest(job.bucket_span) + gap + 1


HALF_A_DAY, SAME_TIME = {1, 11}, {23.5, 24, 24.5}
TWO_DAYS = {1, 11, 13, 22, 23.5, 24, 24.5, 26, 47}


@pytest.mark.parametrize(
    ("kinds", "probabilities", "speaks"),
    [
        (("ramp", "level_shift"), (1e-7, 1e-7), TWO_DAYS),
        (("level_shift", "level_shift"), (1e-7, 1e-9), HALF_A_DAY | SAME_TIME),
        (("level_shift", "drop"), (1e-7, 1e-7), HALF_A_DAY | SAME_TIME),
        (("spike", "level_shift"), (1e-7, 1e-7), HALF_A_DAY | SAME_TIME),
        (("spike", "flatline"), (1e-9, 1e-7), set()),
        (("level_shift", "silence"), (1e-9, 1e-7), set()),
        (("silence", "flatline"), (1e-9, 1e-7), HALF_A_DAY | SAME_TIME),
        (("flatline", "spike"), (1e-9, 1e-7), HALF_A_DAY | SAME_TIME),
    ],
)
def test_one_speaks_for_the_next_for_as_long_as_their_kinds_have_it_of_records_and_events_alike(kinds, probabilities, speaks):
    for hours in [1, 11, 13, 22, 23.5, 24, 24.5, 26, 47, 49]:
        at = zip((0, round(hours * 12)), kinds, probabilities, strict=True)
        pair = [record(bucket, 60.0, kind=kind, probability=p) for bucket, kind, p in at]
        events = [series_events(JOB, [each])[0].document for each in pair]
        assert speaks_for(*pair) == speaks_for(*events) == (hours in speaks), hours


@pytest.mark.parametrize(
    ("hours", "told"), [(1, [20, 21, 22, *range(33, 49)]), (2, [20, 22, *range(32, 49, 2)]), (4, [20, *range(32, 49, 4)])]
)
def test_an_incident_of_hours_speaks_for_all_of_its_time_on_the_next_day(hours, told):
    job = JOB.model_copy(update={"bucket_span": timedelta(hours=hours)})
    hour = 3_600_000

    def at(time):
        return record(0, 60.0) | {"timestamp": TUESDAY + time * hour}

    (lasting,) = series_events(job, [at(time) for time in range(0, 8, hours)])
    assert [time for time in range(8, 49, hours) if not comes_back(lasting.document, at(time))] == told


def test_of_daily_buckets_one_speaks_for_the_next_day_and_no_longer():
    job = JOB.model_copy(update={"bucket_span": timedelta(days=1)})
    first, *others = (record(0, 60.0) | {"timestamp": TUESDAY + day * 86_400_000} for day in range(4))
    (event,) = series_events(job, [first])
    assert [comes_back(event.document, other) for other in others] == [True, False, False]


def test_a_fleet_takes_one_pass():
    assert look_back(timedelta(hours=1)) == 6 * 24 + EVENT_GAP + 1
    score = np.zeros((20_000, 24))
    score[::50, 3:6] = 40
    assert len(found(score, most=24).start) == 400


LOWER = "17 times lower than expected for a Tuesday 10:00 (2 instead of 34), for 25 minutes"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("drop", LOWER),
        ("level_shift", f"a new level: {LOWER}"),
        ("flatline", "stuck at 2, for 25 minutes"),
        ("contextual", f"unlike the same time on other days: {LOWER}"),
    ],
)
def test_an_anomaly_is_told_in_one_sentence(kind, said):
    moment = datetime(2026, 3, 3, 10, tzinfo=UTC)
    assert sentence(2, 34, time=moment, lasted=timedelta(minutes=25), kind=kind) == said


def test_a_sentence_tells_the_time_of_the_zone_that_is_given():
    moment = datetime(2026, 3, 3, 23, 30, tzinfo=UTC)
    assert "a Wednesday 00:30" in sentence(0, 34, time=moment, zone=ZoneInfo("Europe/Berlin"))
    assert sentence(0, 34, time=moment) == "nothing at all, 34 expected for a Tuesday 23:30"


def test_a_measured_zero_is_a_value_and_not_nothing():
    moment = datetime(2026, 3, 3, 10, tzinfo=UTC)
    assert compare(0, 80.9, counts=False) == "lower than expected (0 instead of 80.9)"
    assert sentence(0, 80.9, time=moment, counts=False) == "lower than expected for a Tuesday 10:00 (0 instead of 80.9)"
    assert sentence(0, 0.1, kind="silence") == "still nothing at all"
    assert sentence(0, 0.1, kind="silence", counts=False) == "still at 0"


@pytest.mark.parametrize(("function", "said"), [("sum", "nothing at all, 34 expected"), ("mean", "lower than expected")])
def test_an_event_of_a_function_tells_what_its_zero_means(function, said):
    detector = {"function": function, "field_name": "bytes", "partition_field_name": "url.path"}
    job = Job.parse({"job_id": "web", "bucket_span": "5m", "detectors": [detector], "datafeed": {"indices": ["x"]}}, where="t")
    (event,) = series_events(job, [record(0, 60.0, actual=0.0)])
    assert event.document["driftline"]["sentence"].startswith(said)


@pytest.mark.parametrize(
    ("actual", "typical", "said"),
    [
        (86, 1460, "17 times lower than expected (86 instead of 1,460)"),
        (60, 6, "10 times higher than expected (60 instead of 6)"),
        (12, 6, "2 times higher than expected (12 instead of 6)"),
        (196, 100, "2 times higher than expected (196 instead of 100)"),
        (100, 253, "2.5 times lower than expected (100 instead of 253)"),
        (15, 44.3, "3 times lower than expected (15 instead of 44.3)"),
        (149, 100, "higher than expected (149 instead of 100)"),
        (6000, 1.5, "4,000 times higher than expected (6,000 instead of 1.5)"),
        (0, 12.5, "nothing at all, 12.5 expected"),
        (11, 10, "higher than expected (11 instead of 10)"),
        (5, 0, "higher than expected (5 instead of 0)"),
        (-5, 3, "lower than expected (-5 instead of 3)"),
    ],
)
def test_two_values_are_compared_in_words(actual, typical, said):
    assert compare(actual, typical) == said


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(minutes=25), "25 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=2, minutes=30), "2 hours 30 minutes"),
        (timedelta(days=1, hours=1, minutes=5), "1 day 1 hour"),
        (timedelta(seconds=30), "30 seconds"),
        (timedelta(0), "0 seconds"),
    ],
)
def test_durations_are_words(span, said):
    assert duration(span) == said
