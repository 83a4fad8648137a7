"""Custom rules, filters, calendars: what they are about, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftline.core.errors import DefinitionError
from driftline.core.job import Job
from driftline.core.rules import Calendar, Filter, Known, ScheduledEvent, fits, listed
from driftline.core.ruling import reasons, time_shifts, unlearned
from driftline.core.series import SeriesKey
from driftline.core.timespan import iso

HOUR = 3600.0
START = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
ICAL = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//EN
BEGIN:VEVENT
UID:1
DTSTART;TZID=Europe/Berlin:20260301T020000
DTEND;TZID=Europe/Berlin:20260301T040000
RRULE:FREQ=WEEKLY;BYDAY=SU
SUMMARY:Maintenance
END:VEVENT
BEGIN:VEVENT
UID:2
DTSTART;VALUE=DATE:20260501
SUMMARY:May Day
END:VEVENT
END:VCALENDAR
"""


def job(rules: list[dict] | None = None, known: Known | None = None, **detector: str) -> Job:
    made = Job.parse(
        {
            "job_id": "web",
            "groups": ["front"],
            "bucket_span": "1h",
            "detectors": [{"function": "count", "partition_field_name": "host", **detector, "custom_rules": rules or []}],
            "datafeed": {"indices": ["logs"]},
        },
        where="test",
    )
    return made.knowing(known or Known())


def calendar(**fields: object) -> Calendar:
    return Calendar.parse({"calendar_id": "one", "job_ids": ["web"], **fields}, where="test")


def ical(*lines: str) -> str:
    head = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", "BEGIN:VEVENT", "UID:1", "DTSTART:20260101T000000Z")
    return "\n".join([*head, *lines, "END:VEVENT", "END:VCALENDAR"])


@pytest.mark.parametrize(
    ("value", "items", "expected"),
    [
        ("a.example", ("a.example",), True),
        ("a.example", ("*.example",), True),
        ("a.example", ("a.*",), True),
        ("a.example", ("*exam*",), True),
        ("a.example", ("*",), True),
        ("a.example", ("a?example", "[a].example", "example"), False),
        ("", ("*x*", "x"), False),
    ],
)
def test_a_filter_lists_values_with_stars_at_their_ends_only(value, items, expected):
    assert listed(value, items) is expected


def test_a_rule_holds_where_its_scope_and_all_its_conditions_do():
    rule = {
        "conditions": [
            {"applies_to": "actual", "operator": "lt", "value": 5},
            {"applies_to": "diff_from_typical", "operator": "gte", "value": 3},
            {"applies_to": "time", "operator": "gt", "value": START},
        ],
        "scope": {"host": {"filter_id": "safe", "filter_type": "exclude"}},
    }
    one = job([rule], Known({"safe": ("b*",)}))
    yes = (SeriesKey(0, "a"), START + HOUR, 4.0, 7.5)
    assert reasons(one, *yes) == [
        "custom rule 0 of detector 0: skip_result where host not in safe and actual < 5 and diff_from_typical ≥ 3 and "
        "time > 2026-03-01T00:00:00Z"
    ]
    for no in (
        (SeriesKey(0, "b1"), START + HOUR, 4.0, 7.5),
        (SeriesKey(0, "a"), START, 4.0, 7.5),
        (SeriesKey(0, "a"), START + HOUR, 5.0, 8.5),
        (SeriesKey(0, "a"), START + HOUR, 4.0, 6.5),
        (SeriesKey(0, "a"), START + HOUR, None, None),
    ):
        assert reasons(one, *no) == []
    assert reasons(one, *yes, action="skip_model_update") == []


def test_a_filter_that_is_not_there_is_named():
    with pytest.raises(DefinitionError, match="there is no filter 'safe'"):
        reasons(job([{"scope": {"host": {"filter_id": "safe"}}}]), SeriesKey(0, "a"), START, 1.0, 1.0)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "a rule needs a scope or conditions"),
        ({"scope": {"user": {"filter_id": "x"}}}, r"scope 'user' is not a split field of the detector \('host'\)"),
        ({"actions": ["force_time_shift"], "conditions": [{"applies_to": "time", "operator": "gt", "value": 1}]},
         "time_shift_amount"),
        ({"conditions": [{"applies_to": "actuals", "operator": "lt", "value": 1}]}, "custom_rules.0.conditions.0.applies_to"),
        *(
            ({"conditions": [{"applies_to": "time", "operator": "lt", "value": value}]}, "a time is in epoch seconds")
            for value in (1000 * START, -1e300)
        ),
    ],
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused(rule, message):
    with pytest.raises(DefinitionError, match=message):
        job([rule])


def test_what_has_no_value_takes_conditions_on_time_only():
    rule = {"conditions": [{"applies_to": "actual", "operator": "lt", "value": 1}]}
    with pytest.raises(DefinitionError, match="with function 'rare' conditions are on time only"):
        job([rule], function="rare", by_field_name="process")


def test_nothing_is_learned_of_events_and_of_what_rules_leave_out():
    event = {"description": "upgrade", "start_time": START + 1.5 * HOUR, "end_time": START + 3 * HOUR}
    rule = {
        "actions": ["skip_model_update"],
        "conditions": [{"applies_to": "actual", "operator": "gt", "value": 100}],
        "scope": {"host": {"filter_id": "loud"}},
    }
    one = job([rule], Known({"loud": ("b",)}, (calendar(events=[event]),)))
    keys, values = [SeriesKey(0, "a"), SeriesKey(0, "b")], np.array([[1.0, 1, 1, 1, 900], [1.0, 1, 1, 1, 900]])
    times = START + HOUR * np.arange(5)[None]
    left_out = unlearned(one, keys, times, values, where=lambda chosen: chosen[:, None])
    assert left_out.tolist() == [[False, True, True, False, False], [False, True, True, False, True]]
    hidden = unlearned(one, keys, times, values, where=lambda chosen: chosen[:, None], hidden=True)
    assert hidden.tolist() == [[False, True, True, False, False]] * 2, "the rule's results are shown"
    assert reasons(one, keys[0], START + HOUR, 1.0, 1.0) == ["calendar 'one': upgrade"]
    assert reasons(one, keys[0], START + 3 * HOUR, 1.0, 1.0) == []


def test_no_rules_cost_nothing_and_change_no_version():
    plain = job()
    assert unlearned(plain, [], np.zeros((1, 0)), np.zeros((0, 0)), where=lambda chosen: chosen) is None
    rule = {"conditions": [{"applies_to": "actual", "operator": "gt", "value": 100}]}
    assert job([rule]).version == plain.version


@pytest.mark.parametrize(
    ("ids", "expected"), [(["_all"], True), (["we*"], True), (["front"], True), (["other"], False), ([], False)]
)
def test_a_calendar_is_about_jobs_patterns_and_groups(ids, expected):
    assert calendar(job_ids=ids).concerns(job()) is expected


def test_an_ical_recurs_by_its_own_clock():
    start = datetime(2026, 3, 1, tzinfo=UTC)
    found = calendar(ical=ICAL, time_zone="America/New_York").between(start, start + timedelta(days=70))
    sundays = [event.start_time for event in found if event.description == "Maintenance"]
    assert sundays[0] == datetime(2026, 3, 1, 1, tzinfo=UTC)
    # the clocks go forward on the 29th: two o'clock does not exist, and later it is an hour earlier in UTC
    assert sundays[5] == datetime(2026, 4, 5, 0, tzinfo=UTC)
    (day,) = [event for event in found if event.description == "May Day"]
    assert (day.start_time, day.end_time) == (datetime(2026, 5, 1, 4, tzinfo=UTC), datetime(2026, 5, 2, 4, tzinfo=UTC))


def test_what_was_cancelled_is_no_event():
    repeated = ("DTEND:20260101T010000Z", "RRULE:FREQ=DAILY;COUNT=3", "END:VEVENT", "BEGIN:VEVENT", "UID:1")
    once = (*repeated, "RECURRENCE-ID:20260102T000000Z", "STATUS:CANCELLED", "DTSTART:20260102T000000Z", "DTEND:20260102T010000Z")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    left = calendar(ical=ical(*once)).between(start, start + timedelta(days=9))
    assert [event.start_time.day for event in left] == [1, 3]
    assert calendar(ical=ical("STATUS:cancelled")).between(start, start + timedelta(days=9)) == []


def test_holidays_are_days_by_the_clock_of_the_calendar():
    zone = calendar(holidays=["DE-BY"], time_zone="Europe/Berlin")
    (event,) = zone.between(datetime(2026, 1, 5, 20, tzinfo=UTC), datetime(2026, 1, 7, tzinfo=UTC))
    assert (event.start_time, event.end_time) == (datetime(2026, 1, 5, 23, tzinfo=UTC), datetime(2026, 1, 6, 23, tzinfo=UTC))
    assert "DE-BY" in event.description
    assert calendar(holidays=["GB", "UK", "DEU", "NYSE"]).holidays


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ical": "hello"}, "not an iCalendar"),
        ({"ical": ical("RRULE:FREQ=DAILY;INTERVAL=0")}, "'FREQ=DAILY;INTERVAL=0' comes too often"),
        ({"ical": ical("RRULE:FREQ=DAILY", "RRULE:FREQ=DAILY;INTERVAL=-1")}, "comes too often"),
        ({"ical": ical("RRULE;VALUE=TEXT:freq=secondly")}, "comes too often"),
        ({"ical": ical("RRULE:FREQ=MINUTELY")}, "comes too often"),
        ({"ical": ical("RRULE:FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30,-31")}, "never comes"),
        ({"ical": ical("RRULE:FREQ=DAILY;BYMONTH=4,6;BYMONTHDAY=31")}, "never comes"),
        ({"ical": ical("DURATION:P99999999D")}, "not an iCalendar"),
        *(
            ({"holidays": [name]}, f"no holidays are known of '{name}'")
            for name in ("XX", "registry", "utils", "__doc__", "HolidayBase", "US-", "US-XX", "")
        ),
        ({"time_zone": "Mars"}, "'Mars' is no time zone"),
        ({"events": [{"description": "x", "start_time": 5, "end_time": 5}]}, "over when it begins"),
    ],
)
def test_calendars_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(DefinitionError, match=message):
        calendar(**fields)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), "inf"])
def test_a_number_that_cannot_be_saved_is_refused(value):
    with pytest.raises(DefinitionError, match="finite number"):
        job([{"conditions": [{"applies_to": "actual", "operator": "lt", "value": value}]}])


def test_a_filter_has_an_end():
    with pytest.raises(DefinitionError, match="items"):
        Filter.parse({"filter_id": "x", "items": ["a"] * 10_001}, where="test")


def test_clocks_are_moved_by_events_and_rules():
    event = {"description": "summer time", "start_time": START, "end_time": START + HOUR, "force_time_shift": 3600}
    rule = {
        "actions": ["force_time_shift"],
        "params": {"force_time_shift": {"time_shift_amount": -3600}},
        "conditions": [{"applies_to": "time", "operator": "gte", "value": START + 10 * HOUR}],
    }
    one = job([rule], Known({}, (calendar(events=[event]),)))
    first = datetime.fromtimestamp(START, UTC)
    assert time_shifts(one, first, first + timedelta(days=1)) == [(START, 3600), (START + 10 * HOUR, -3600)]
    assert time_shifts(one, first + timedelta(hours=1), first + timedelta(hours=2)) == []


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({}, {"a", "/x", "all", "second"}),
        ({"partitions": ["*"], "detectors": [0]}, {"a", "/x", "all"}),
        ({"partitions": ["/*"]}, {"/x"}),
        ({"partitions": ["?", "zz"]}, {"a", "second"}),
        ({"partitions": ["[a]"]}, set()),
        ({"partitions": ["u*"], "detectors": [1]}, {"second"}),
    ],
)
def test_an_event_may_be_about_some_series_only(about, expected):
    keys = {"a": SeriesKey(0, "a"), "/x": SeriesKey(0, "/x"), "all": SeriesKey(0), "second": SeriesKey(1, "b", None, "u1")}
    event = {"description": "x", "start_time": START, "end_time": START + HOUR, **about}
    one = ScheduledEvent.parse(event, where="test")
    assert {name for name, key in keys.items() if one.concerns(key)} == expected


def test_a_pattern_is_the_value_itself_whatever_signs_it_has():
    for value in ("a[1]", "*", "?", "[", "]]", "[!x]", "\n", ""):
        assert fits([value or "?", value], value, None)
    assert not fits(["a[1]"], "a1")


def test_only_the_series_that_an_event_is_about_are_hidden_and_not_learned():
    event = {"description": "export", "start_time": START, "end_time": START + HOUR, "partitions": ["a*"]}
    other = {**event, "partitions": ["b"], "skip_model_update": False}
    known = Known(calendars=(calendar(events=[event, other]),))
    one, keys = job(known=known), [SeriesKey(0, "a1"), SeriesKey(0, "b"), SeriesKey(0, "c")]
    said = [reasons(one, key, START, 1.0, 1.0) for key in keys]
    assert said == [["calendar 'one': export (about a*)"], ["calendar 'one': export (about b)"], []]
    assert reasons(one, SeriesKey(0), START, 1.0, 1.0) == [], "nor all of them together"
    times = np.array([[START, START + HOUR]])
    left_out = unlearned(one, keys, times, np.ones((3, 2)), where=lambda chosen: chosen[:, None])
    assert left_out.tolist() == [[True, False], [False, False], [False, False]]


def test_an_event_comes_again_by_the_clocks_of_its_calendar():
    event = {"description": "x", "start_time": "2026-03-22T01:30Z", "end_time": "2026-03-22T02:30Z", "every": "week"}
    found = calendar(events=[event], time_zone="Europe/Berlin").between(
        datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 5, 0, 45, tzinfo=UTC)
    )
    starts = ["2026-03-22T01:30:00Z", "2026-03-29T00:30:00Z", "2026-04-05T00:30:00Z"]
    # at 02:30 of the 29th there is no such time: clocks go from 02:00 to 03:00
    assert [iso(each.start_time) for each in found] == [starts[0], "2026-03-29T01:30:00Z", starts[2]]
    assert {each.end_time - each.start_time for each in found} == {timedelta(hours=1)}
    daily = calendar(events=[{**event, "every": "day"}])
    late = datetime(2030, 1, 1, 2, tzinfo=UTC)
    assert [iso(each.start_time) for each in daily.between(late, late + timedelta(minutes=1))] == ["2030-01-01T01:30:00Z"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"every": "day", "end_time": START + 25 * HOUR}, "comes again every day, before it is over"),
        ({"partitions": []}, "partitions"),
        ({"detectors": [-1]}, "detectors"),
        ({"partitions": ["a"], "force_time_shift": 3600}, "the clocks of all series"),
    ],
)
def test_an_event_that_cannot_be_is_refused(fields, message):
    event = {"description": "x", "start_time": START, "end_time": START + HOUR, **fields}
    with pytest.raises(DefinitionError, match=message):
        ScheduledEvent.parse(event, where="test")
