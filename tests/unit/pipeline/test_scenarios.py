"""What people look for: each a small world with one thing wrong, from series to records."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftline.core.job import Job
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.timespan import Window
from driftline.pipeline.fit import fit
from driftline.pipeline.replay import FIRST, begun_anew, replay
from driftline.pipeline.segment import newcomers, records, score_segment
from driftline.scoring.aggregate import event_results
from driftline.scoring.settings import ALARM_SCORE

START = datetime(2026, 3, 4, tzinfo=UTC)  # a Wednesday
HOUR = timedelta(hours=1)


def job(function="count", field=None, split="status"):
    detector = {"function": function} | ({"field_name": field} if field else {})
    detectors = [detector | ({"partition_field_name": split} if split else {})] + ([detector] if split else [])
    return Job.parse({"job_id": "web", "bucket_span": "1h", "detectors": detectors, "datafeed": {"indices": "web"}}, where="test")


def keys_of(count):
    return [SeriesKey(0, str(row)) for row in range(count)]


def expected(hours, level):
    """A day's curve and quieter weekends."""
    clock = np.arange(hours)
    weekend = ((clock // 24 + START.weekday()) % 7) >= 5
    return level * (1 + 0.5 * np.sin(2 * np.pi * clock / 24)) * np.where(weekend, 0.6, 1.0)


def found(definition, keys, values, train=21 * 24, *, new=(), begin=None):
    """Records of what comes after the training (hours), or later from the begin of a day on, as a run of the job makes them."""
    frame = SeriesFrame(START, definition.bucket_span, keys, values, np.ones(values.shape[1], dtype=np.int64))
    known = [row for row in range(len(keys)) if row not in new]
    history = frame.take(known).slice(Window(START, START + train * HOUR))
    trained = fit(definition, history)
    day = START + (begin or train) * HOUR
    segment = {"start": day, "end": frame.end, "snapshot_id": "s", "training_start": START,
               "training_end": START + train * HOUR, "in_sample": False, "day": day}  # fmt: skip
    segment = {name: f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value for name, value in segment.items()}
    out = [
        record for _, record in records(definition, score_segment(definition, frame.take(known), trained, segment), segment, ())
    ]
    if new:
        made = newcomers(definition, frame, set(history.keys), trained.usual, segment)
        assert made is not None
        rows = [keys.index(key) for key in made.keys]
        more = records(definition, score_segment(definition, frame.take(rows), made, segment, new=True), segment, ())
        out += [record for _, record in more]
    return sorted(out, key=lambda record: -record["record_score"])


@pytest.mark.parametrize(("function", "said"), [("sum", "nothing at all, "), ("mean", "lower than expected for a ")])
def test_what_a_zero_means_the_function_tells(function, said):
    values = expected(22 * 24, 100.0)[None] + np.random.default_rng(1).normal(0, 3, 22 * 24)
    values[0, -8] = 0.0
    top, *_ = found(job(function, "load", split=None), [SeriesKey(0)], values)
    assert top["actual"] == [0.0]
    assert top["driftline"]["sentence"].startswith(said)


def test_unique_addresses_that_fall_from_1460_to_86_are_the_top_record():
    rng = np.random.default_rng(1)
    rate = expected(22 * 24, 1460.0)
    values = rng.poisson(rate).astype(float)[None]
    at = 21 * 24 + int(np.abs(rate[21 * 24 :] - 1460).argmin())
    values[0, at] = 86
    top, *rest = found(job("distinct_count", "source.ip", split=None), [SeriesKey(0)], values)
    assert top["timestamp"] == (START + at * HOUR).timestamp() * 1000
    assert top["record_score"] >= 75, "critical"
    assert top["driftline"]["sentence"].startswith("17 times lower than expected for a ")
    assert "(86 instead of 1,4" in top["driftline"]["sentence"]
    assert max((record["record_score"] for record in rest), default=0) < ALARM_SCORE
    told = top["anomaly_score_explanation"]
    assert told["anomaly_type"] == "dip"
    assert told["lower_confidence_bound"] < told["typical_value"] < told["upper_confidence_bound"]
    assert top["multi_bucket_impact"] < 0, "it is the bucket alone"


def test_a_bad_link_shows_in_its_status_and_in_the_overall_lane_only():
    rng = np.random.default_rng(2)
    keys = [SeriesKey(0, code) for code in ("200", "301", "404", "500")]
    values = rng.poisson(np.array([4000, 300, 60, 20])[:, None] * expected(22 * 24, 1.0)).astype(float)
    values[2, -9:-4] += 2500
    overall = values.sum(axis=0)[None]
    out = found(job(), [*keys, SeriesKey(1)], np.concatenate([values, overall]))
    loud = {record.get("partition_field_value") for record in out if record["record_score"] >= ALARM_SCORE}
    assert loud == {"404", None}
    assert out[0]["partition_field_value"] == "404"


def test_twenty_series_of_pure_noise_raise_no_alarm():
    values = np.random.default_rng(3).poisson(expected(23 * 24, 200.0), (20, 23 * 24)).astype(float)
    definition = job()
    out = found(definition, keys_of(20), values)
    events = [document["driftline"]["event"] for _, document in event_results(definition, out, 20)]
    assert not any(event["alarm"] for event in events)


def test_data_that_starts_on_a_wednesday_knows_the_weekend_by_its_third_time():
    rng = np.random.default_rng(4)
    values = rng.poisson(expected(21 * 24, 400.0), (5, 21 * 24)).astype(float)
    times = np.datetime64("2026-03-04", "s") + np.arange(21 * 24) * np.timedelta64(1, "h")
    said = replay(times, values, sqrt=True)
    assert said.record_score.max() < ALARM_SCORE, "no clean weekend is a major anomaly"
    third = slice(17 * 24, 19 * 24)
    assert (said.record_score[:, third] >= 25).mean() < 0.05
    off = np.abs(said.typical / expected(21 * 24, 400.0) - 1).mean(axis=0)
    assert off[third].mean() < 0.6 * off[3 * 24 : 5 * 24].mean(), "nearer to it than the first time"


@pytest.mark.parametrize("began", [0, 6, 12, 18])
def test_the_first_morning_and_the_first_night_of_a_series_are_no_incidents(began):
    """Before a whole day was seen, ten times the night's traffic may be the morning, and nothing at all the night."""
    rng = np.random.default_rng(began)
    clock = (np.arange(3 * 96) / 96 + began / 24) * 2 * np.pi
    level = np.array([[3.0], [6.0], [20.0], [60.0]]).repeat(5, axis=0)
    values = rng.poisson(level * np.exp(1.2 * np.sin(clock)) * rng.gamma(20, 1 / 20, (20, 3 * 96))).astype(float)
    values[0, 90] = 400
    times = np.datetime64("2026-03-04", "s") + np.arange(3 * 96) * np.timedelta64(15, "m")
    said = replay(times, values, sqrt=True)
    assert said.record_score.max() < ALARM_SCORE
    assert said.record_score[0, 90] >= 25, "what is odd is told all the same"


def test_a_new_partition_is_scored_before_the_next_training_and_says_that_it_learns():
    rng = np.random.default_rng(5)
    values = rng.poisson(expected(22 * 24, 300.0), (4, 22 * 24)).astype(float)
    values[3, : 16 * 24] = np.nan
    values[3, -5] = 4000
    out = found(job(), keys_of(4), values, new=(3,))
    assert out[0]["partition_field_value"] == "3"
    assert out[0]["driftline"]["learning"] is True
    assert out[0]["record_score"] >= 75, "never seen before, whatever is known of the series"
    assert not [record for record in out[1:] if record["record_score"] >= ALARM_SCORE and record["partition_field_value"] != "3"]


@pytest.mark.parametrize("late", [0, 5])
def test_of_days_that_are_alike_the_fifth_is_known_whenever_the_series_began(late):
    hours = (late + 5) * 24
    open_ = (np.arange(hours) % 24 >= 9) & (np.arange(hours) % 24 < 18)
    values = 20 + 60 * open_ + np.random.default_rng(4).normal(0, 2, (2, hours))
    values[1, : late * 24] = np.nan
    values[1, -13:-10] -= 30  # before noon
    said = replay(np.datetime64("2026-03-02T00:00:00") + np.arange(hours) * np.timedelta64(1, "h"), values)
    assert (said.upper - said.lower)[1, -14] < 20
    assert 25 <= said.record_score[1, -13:-10].max() < ALARM_SCORE, "a night's value, of a series of some days"
    assert said.record_score[0, -24:].max() < 25


def test_the_first_weekend_after_a_first_training_of_three_days_is_no_critical_incident():
    rate = expected(7 * 24, 200.0)
    rate[3 * 24 : 5 * 24] = 150  # all day, which is within what the days before had
    values = np.random.default_rng(5).poisson(rate, (20, 7 * 24)).astype(float)
    values[3, -30] = 2000
    out = found(job(), keys_of(20), values, train=3 * 24)
    assert all(record["driftline"].get("learning") for record in out)
    critical = [record for record in out if record["record_score"] >= 75]
    assert [record["partition_field_value"] for record in critical] == ["3"], "only what was never seen before"


def test_the_clock_of_a_new_partition_is_moved_once():
    rng = np.random.default_rng(9)
    clock, moved = np.arange(22 * 24), 18 * 24
    rate = 100 * (1.2 + np.sin(2 * np.pi * np.where(clock >= moved, clock + 3, clock) / 24))
    values = rng.poisson(rate, (4, 22 * 24)).astype(float)
    values[3, : 16 * 24] = np.nan
    condition = {"applies_to": "time", "operator": "gte", "value": (START + moved * HOUR).timestamp()}
    rule = {
        "actions": ["force_time_shift"],
        "conditions": [condition],
        "params": {"force_time_shift": {"time_shift_amount": 3 * 3600}},
    }
    detector = {"function": "count", "partition_field_name": "status", "custom_rules": [rule]}
    definition = Job.parse(job().as_dict() | {"detectors": [detector]}, where="test")
    out = found(definition, keys_of(4), values, train=15 * 24, new=(3,), begin=21 * 24)
    assert [record for record in out if record["record_score"] >= 25] == []


@pytest.mark.parametrize("every", [7, 1])
def test_a_peak_that_recurs_stops_alarming_after_some_times(every):
    rng = np.random.default_rng(6)
    days = 42
    values = rng.poisson(expected(days * 24, 300.0), (1, days * 24)).astype(float)
    peaks = np.arange(16 * 24 + 3, days * 24, every * 24)
    values[0, peaks] *= 6
    times = np.datetime64("2026-03-04", "s") + np.arange(days * 24) * np.timedelta64(1, "h")
    score = replay(times, values, sqrt=True).anomaly_score[0]
    alarmed = score[peaks] >= ALARM_SCORE
    assert alarmed[0]
    assert not alarmed[3:].any() or (every == 7 and alarmed[3:].sum() == 0)


@pytest.mark.parametrize("hours", [1, 3, 5])
def test_an_incident_that_a_training_saw_does_not_hide_the_next_in_noisy_minutes(hours):
    minutes, hour = np.arange(17 * 24 * 60), 60
    rate = np.random.default_rng(4).uniform(3, 30, 10)[:, None] * (1 + 0.6 * np.sin(2 * np.pi * minutes / 1440))
    for begins in (12 * 24 + 8, 16 * 24 + 12):
        rate[:, begins * hour : (begins + hours) * hour] *= 3
    values = np.random.default_rng(5).poisson(rate).astype(float)
    definition = Job.parse(job(split="status").as_dict() | {"bucket_span": "1m"}, where="test")
    out = found(definition, keys_of(10), values, train=15 * 24)
    loud = [record["partition_field_value"] for record in out if record["record_score"] >= ALARM_SCORE]
    assert set(loud) == {str(row) for row in range(10)}


@pytest.mark.parametrize("times_as_many", [3.0, 0.2])
@pytest.mark.parametrize("sqrt", [True, False])
def test_an_incident_does_not_hide_the_next_in_a_replay(sqrt, times_as_many):
    days, quarters = 24, 4 * 24
    rate = 400 * (1 + 0.5 * np.sin(2 * np.pi * np.arange(days * quarters) / quarters))[None].repeat(6, axis=0)
    begins = [16 * quarters + 40, 21 * quarters + 60]
    for begin in begins:
        rate[:, begin : begin + 12] *= times_as_many
    values = np.random.default_rng(11).poisson(rate).astype(float)
    times = np.datetime64("2026-03-04", "s") + np.arange(days * quarters) * np.timedelta64(15, "m")
    loud = replay(times, values, sqrt=sqrt, start=14 * quarters).anomaly_score >= ALARM_SCORE
    first, second = (loud[:, begin : begin + 12].any(axis=1) for begin in begins)
    assert (first.sum(), second.sum()) == (6, 6)


def test_after_a_shift_was_reported_nothing_more_is_said():
    rng = np.random.default_rng(7)
    rate = expected(35 * 24, 300.0)
    rate[27 * 24 :] *= 2.0
    values = rng.poisson(rate)[None].astype(float)
    times = np.datetime64("2026-03-04", "s") + np.arange(35 * 24) * np.timedelta64(1, "h")
    loud = np.flatnonzero(replay(times, values, sqrt=True).anomaly_score[0] >= ALARM_SCORE)
    assert 27 * 24 <= loud[0] < 28 * 24
    assert loud[-1] < 28 * 24


def test_a_unit_and_a_calendar_change_nothing():
    rng = np.random.default_rng(8)
    values = expected(20 * 24, 50.0)[None] + rng.normal(0, 4, (1, 20 * 24))
    values[0, 400:404] += 60
    times = np.datetime64("2026-03-04", "s") + np.arange(20 * 24) * np.timedelta64(1, "h")
    said = replay(times, values)
    assert said.record_score[0, 400] >= 25
    for other in (replay(times, values * 7), replay(times + np.timedelta64(35, "D"), values)):
        np.testing.assert_allclose(other.record_score, said.record_score, atol=0.1)
        np.testing.assert_array_equal(other.anomaly_score > 0, said.anomaly_score > 0)


def first_alarms(said, first):
    """How many buckets after `first` (N,) each series alarms; infinite where it never does."""
    loud = said.anomaly_score >= ALARM_SCORE
    return [np.flatnonzero(row[at:]).min(initial=loud.shape[1]) for row, at in zip(loud, first, strict=True)]


def test_a_run_is_told_wherever_in_it_what_is_usual_is_measured_again():
    rng, width = np.random.default_rng(4), 96 * 20
    values, first = np.round(100 + rng.normal(0, 3, (16, width)), 3), 96 * 18 + np.arange(16)
    for row, at in zip(values, first, strict=True):
        row[at : at + 12] = row[at]
    times = np.datetime64("2026-03-02T00:00:00") + np.arange(width) * np.timedelta64(15, "m")
    assert max(first_alarms(replay(times, values), first)) <= 7


@pytest.mark.parametrize(("rate", "told", "within"), [(3, 24, 16), (2, 23, 18)])
def test_few_counts_that_cease_are_told_however_soon_the_level_follows(rate, told, within):
    rng, width = np.random.default_rng(5), 24 * 21
    values, first = rng.poisson(rate, (24, width)).astype(float), 24 * 18 + np.arange(24)
    for row, at in zip(values, first, strict=True):
        row[at : at + 36] = 0
    times = np.datetime64("2026-03-02T00:00:00") + np.arange(width) * np.timedelta64(1, "h")
    said = replay(times, values, sqrt=True)
    assert (np.array(first_alarms(said, first)) <= within).sum() >= told
    assert (said.anomaly_score[:, : first.min()] >= ALARM_SCORE).sum() <= 1


@pytest.mark.parametrize("before", [1, 36])
def test_what_was_seen_for_an_hour_long_ago_is_no_past(before):
    moment = np.datetime64("2026-03-02T00:00:00") + np.arange(5 * 288) * np.timedelta64(5, "m")
    times = np.concatenate([moment[:before] - np.timedelta64(20, "D"), moment])
    days = times.astype("M8[s]").astype(float) / 86_400
    values = 100 + 50 * np.sin(days * 2 * np.pi) + np.random.default_rng(6).normal(0, 1, len(times))
    said = replay(times, values[None])
    assert said.anomaly_score.max() < ALARM_SCORE
    assert said.record_score[0, before + FIRST :].max() > 0, "it is looked at, as a series that has just begun"
    assert begun_anew(times) == [0, before]
    weekly = np.datetime64("2020-01-01T00:00:00") + np.arange(60) * np.timedelta64(7, "D")
    assert begun_anew(weekly) == [0]
    assert begun_anew(np.concatenate([moment, moment + np.timedelta64(5 + 3, "D")])) == [0], "a gap of three days after five"
