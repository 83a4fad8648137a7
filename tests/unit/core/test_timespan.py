from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.core.errors import WindowError
from driftline.core.timespan import Window, floor_time, format_span, iso, parse_span, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("15m", 900), ("1h30m", 5400), ("7d", 604800), ("1w", 604800), ("90", 90), (60, 60), ("500ms", 0.5)],
)
def test_a_span_is_a_number_and_a_unit(text, seconds):
    assert parse_span(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "m15", "15x", "-5m", "1h banana", "now"])
def test_what_is_no_span_is_refused_with_what_was_expected(text):
    with pytest.raises(WindowError, match="expected a number and a unit"):
        parse_span(text)


@pytest.mark.parametrize("text", ["1M", "6 M", "1d1M"])
def test_a_month_is_no_span_and_no_minute(text):
    with pytest.raises(WindowError, match="months, which have no fixed length"):
        parse_span(text)
    assert parse_span("500MS") == parse_span("0.5S")


def test_a_span_without_end_is_refused():
    with pytest.raises(WindowError, match="'9999999999999d' is too long for a span"):
        parse_span("9999999999999d")


def test_a_span_of_parts_of_a_millisecond_has_a_name():
    assert format_span(timedelta(microseconds=100)) == "0.1ms"
    assert format_span(timedelta(milliseconds=1001)) == "1001ms"


@given(st.integers(1, 10**7))
def test_a_formatted_span_reads_back(seconds):
    assert parse_span(format_span(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


NOW = datetime(2026, 3, 18, 10, 7, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01", "2026-03-01T00:00:00Z"),
        ("2026-03-01T05:00+02:00", "2026-03-01T03:00:00Z"),
        (1772323200, "2026-03-01T00:00:00Z"),
        ("1772323200000", "2026-03-01T00:00:00Z"),
        ("now", "2026-03-18T10:07:09Z"),
        ("now-1h", "2026-03-18T09:07:09Z"),
        ("now-7d/d", "2026-03-11T00:00:00Z"),
        ("now/w", "2026-03-16T00:00:00Z"),
        ("now-3d/w", "2026-03-09T00:00:00Z"),
        ("now-2d/w", "2026-03-16T00:00:00Z"),
        (datetime(2026, 3, 1), "2026-03-01T00:00:00Z"),
    ],
)
def test_a_point_in_time_is_read_in_every_spelling(text, expected):
    assert iso(parse_time(text, now=NOW)) == expected


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-13-01", "now-", "12:00", "9" * 20, "1" * 400, "now-9999999d", "0001-01-01T00:00+05:00"]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(WindowError, match=r"is not a time|is beyond all times"):
        parse_time(text)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)), st.integers(1, 86400 * 30))
def test_buckets_are_counted_from_the_epoch(moment, seconds):
    span = timedelta(seconds=seconds)
    start = floor_time(moment.replace(tzinfo=UTC), span)
    assert start <= moment.replace(tzinfo=UTC) + timedelta(milliseconds=1) < start + span + timedelta(milliseconds=1)
    assert start.timestamp() % seconds == 0


def test_a_window_cannot_end_before_it_starts():
    with pytest.raises(WindowError, match="before the start"):
        Window.parse("2026-03-02", "2026-03-01")


def test_a_floored_window_holds_whole_buckets_only():
    window = Window.parse("2026-03-01T00:07", "2026-03-01T01:14").floored(timedelta(minutes=15))
    assert window.as_dict() == {"start": "2026-03-01T00:00:00Z", "end": "2026-03-01T01:00:00Z"}
    assert window.buckets(timedelta(minutes=15)) == 4
