"""Feedback: what a record is like, and what follows from it for events, crowds and buckets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from driftline.core.feedback import Verdict, about
from driftline.core.job import Job
from driftline.core.rules import Known
from driftline.scoring.aggregate import bucket_results, event_results, influencer_results
from driftline.scoring.events import direction, probable_surprise, surprises_of
from driftline.scoring.feedback import deviation, is_like, weigh
from driftline.scoring.score import severity, to_score

HOUR, DAY = 3_600_000, 86_400_000
JOB = Job.parse(
    {
        "job_id": "web",
        "bucket_span": "1h",
        "detectors": [{"function": "count", "partition_field_name": "host"}],
        "datafeed": {"indices": ["logs"]},
    },
    where="test",
)


def record(at: int = 0, surprise: float = 10.0, actual: float = 300.0, host: str = "a", **changes: Any) -> dict[str, Any]:
    """A record so many hours after some Monday; 30 were expected."""
    score = float(to_score(surprise, JOB.bucket_span))
    kind = changes.pop("kind", "spike" if actual > 30 else "drop")
    return {
        "job_id": "web", "timestamp": 1772409600000 + at * HOUR, "detector_index": 0, "function": "count", "bucket_span": 3600,
        "partition_field_name": "host", "partition_field_value": host, "actual": [actual], "typical": [30.0],
        "probability": 10.0**-surprise, "record_score": score, "initial_record_score": score,
        "driftline": {"kind": kind, "sentence": "so it is"},
        **changes,
    }  # fmt: skip


def verdict(word: str, of: dict[str, Any] | None = None, **changes: Any) -> Verdict:
    """What was said of a record."""
    one = of or record()
    said = Verdict(
        "id", "record", word, about(one), direction(one), one["timestamp"], probable_surprise(one), deviation(one),
        tuple(one["actual"]), "ana", "2026-03-04T00:00:00Z",
    )  # fmt: skip
    return replace(said, **changes)


def weighed(records: list[dict[str, Any]], *verdicts: Verdict) -> list[dict[str, Any]]:
    weigh(JOB.knowing(Known(feedback=verdicts)), records)
    return records


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (record(24), True),
        (record(24, actual=100.0, surprise=6.0), True),
        (record(24, actual=480.0, surprise=17.0), True),
        (record(24, actual=840.0), False),
        (record(24, surprise=18.0), False),
        (record(24, actual=0.0), False),
        (record(24, kind="variance"), False),
        (record(0), False),
        (record(-24), False),
        (record(90 * 24), True),
        (record(90 * 24 + 1), False),
    ],
)
def test_what_is_no_worse_is_like_nothing_for_ninety_days(later, expected):
    assert is_like(later, verdict("nothing")) is expected


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (record(24, surprise=3.0), True),
        (record(24, surprise=6.0, actual=40.0), True),
        (record(24, surprise=3.0, actual=100.0), False),
        (record(24, surprise=100.0, actual=9000.0), True),
        (record(24, actual=0.0), False),
    ],
)
def test_what_is_nearly_as_bad_by_either_measure_is_like_something_real(later, expected):
    assert is_like(later, verdict("real")) is expected


@pytest.mark.parametrize(
    "other",
    [
        {"partition_field_value": "b"}, {"partition_field_value": None}, {"function": "high_count"}, {"field_name": "bytes"},
        {"by_field_name": "x", "by_field_value": "y"}, {"bucket_span": 900}, {"partition_field_name": "place"},
        {"over_field_name": "user", "over_field_value": "u"},
    ],
)  # fmt: skip
def test_it_is_about_its_own_series_and_detector(other):
    (untouched,) = weighed([record(24, **other)], verdict("nothing"))
    assert untouched == record(24, **other)
    assert "feedback" in weighed([record(24, detector_index=3)], verdict("nothing"))[0]["driftline"], "numbers may change"


def test_places_are_like_those_nearby_only():
    sydney = record(kind="place", actual=0.0) | {"actual": [-33.87, 151.21]}
    for place, expected in (([-33.88, 151.2], True), ([55.75, 37.62], False), ([-34.1, 151.2], False)):
        later = record(24, surprise=5.0, kind="place") | {"actual": place}
        assert is_like(later, verdict("nothing", sydney)) is expected
    assert deviation(sydney) is None


def test_unusual_times_are_like_those_at_the_same_time_only():
    berlin = ZoneInfo("Europe/Berlin")
    monday = record(3, kind="time", function="time_of_day")
    for at, expected in ((27, True), (28, True), (26, True), (29, False), (15, False), (30 * 24 + 4, False), (30 * 24 + 1, True)):
        # thirty days later it is summer
        assert is_like(record(at, kind="time", function="time_of_day"), verdict("nothing", monday), berlin) is expected
    weekly = record(3, kind="time", function="time_of_week")
    for at, expected in ((27, False), (7 * 24 + 3, True), (7 * 24 + 5, False)):
        assert is_like(record(at, kind="time", function="time_of_week"), verdict("nothing", weekly), berlin) is expected


def test_what_is_rare_is_judged_by_its_surprise_alone():
    rare = record(kind="rare", actual=1.0, by_field_name="process", by_field_value="nc")
    for surprise, expected in ((10.0, True), (17.0, True), (18.0, False)):
        later = record(24, surprise, actual=1.0, kind="rare", by_field_name="process", by_field_value="nc")
        assert is_like(later, verdict("nothing", rare)) is expected


def test_the_latest_record_of_which_something_was_said_counts():
    first, second = verdict("nothing"), verdict("real", record(24), id="other")
    for verdicts in ((first, second), (second, first)):
        assert weighed([record(48)], *verdicts)[0]["driftline"]["feedback"]["verdict"] == "real"
        assert weighed([record(24)], *verdicts)[0]["driftline"]["feedback"]["verdict"] == "nothing"


def test_a_damped_record_keeps_what_the_model_says_and_a_warning_stays_as_it_is():
    (damped,) = weighed([record(24)], verdict("nothing"))
    assert severity(damped["record_score"]) == "warning"
    assert (damped["probability"], damped["initial_record_score"]) == (record(24)["probability"], record(24)["record_score"])
    assert damped["driftline"]["sentence"] == "so it is; damped: said to be nothing on 2026-03-04 by ana"
    assert surprises_of([damped, record(24)]).tolist() == [3.3, 10.0]
    (mild,) = weighed([record(24, surprise=2.7)], verdict("nothing"))
    assert mild == record(24, surprise=2.7)


def test_many_damped_records_are_no_event_of_the_job_and_no_bad_bucket():
    hosts = [f"h{number}" for number in range(12)]
    before = [
        record(24, host=host, influencers=[{"influencer_field_name": "dc", "influencer_field_values": ["x"]}]) for host in hosts
    ]
    verdicts = [verdict("nothing", record(host=host)) for host in hosts]
    after = weighed([{**each, "driftline": {**each["driftline"]}} for each in before], *verdicts)
    found = {}
    for name, records in (("before", before), ("after", after)):
        events = [document for _, document in event_results(JOB, records, 12)]
        ((_, bucket),) = bucket_results(JOB, records, 12)
        ((_, influencer),) = influencer_results(JOB, records, 12)
        alarms = [event for event in events if event["driftline"]["event"]["alarm"]]
        found[name] = (len(events), len(alarms), bucket["anomaly_score"], bucket["driftline"]["discoveries"])
        assert bucket["event_count"] == 12
        assert (influencer["influencer_score"] >= 25) == (name == "before")
    assert found["before"][:2] == (13, 1)
    assert found["before"][2] > 75
    assert found["after"] == (12, 0, 0.0, 0)


def test_what_is_like_something_real_alarms_among_any_number_of_series_and_after_another_alarm():
    plain = [record(24), record(30, surprise=9.0, actual=250.0)]
    assert alarming(plain, 100_000) == [24]
    raised = weighed([record(24), record(30, surprise=4.0, actual=250.0)], verdict("real"))
    assert raised[1]["record_score"] == 50.0
    assert alarming(raised, 100_000) == [24, 30]


def alarming(records: list[dict[str, Any]], series: int) -> list[int]:
    events = [document for _, document in event_results(JOB, records, series)]
    return [(each["timestamp"] - 1772409600000) // HOUR for each in events if each["driftline"]["event"]["alarm"]]


def test_what_is_real_is_spoken_for_by_an_event_of_the_job_that_alarms():
    hosts = [f"h{number}" for number in range(12)]
    records = weighed([record(24, host=host) for host in hosts], verdict("real", record(host="h3")))
    events = [document for _, document in event_results(JOB, records, 12)]
    assert [("series" in each["driftline"]["event"]) for each in events if each["driftline"]["event"]["alarm"]] == [True]


def test_an_event_that_goes_on_keeps_its_alarm():
    records = weighed([record(0), record(1), record(2, surprise=12.0)], verdict("nothing"))
    ((_, event),) = event_results(JOB, records, 1)
    assert [round(each["record_score"]) for each in records] == [80, 22, 22]
    assert event["driftline"]["event"]["alarm"]
    assert "feedback" not in event["driftline"]
