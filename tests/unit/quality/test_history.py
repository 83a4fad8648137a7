from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftline.core.job import Job
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.timespan import Window
from driftline.quality.history import active, profile, reads, usual

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
HOUR = timedelta(hours=1)
JOB = {"job_id": "web", "bucket_span": "1h", "detectors": [{"function": "count"}], "datafeed": {"indices": ["x"]}}


def job(**changes):
    return Job.parse({**JOB, **changes}, where="t")


def frame(days, span=HOUR):
    """Nights (before 06:00) bring 10 documents an hour from one series, days 100 from two; weekends half of it."""
    buckets = int(timedelta(days=days) / span)
    times = [START + n * span for n in range(buckets)]
    docs = np.array([(10 if t.hour < 6 else 100) // (2 if t.weekday() > 4 else 1) for t in times])
    values = np.stack([docs.astype(float), np.where(docs < 20, 0.0, docs)])
    return SeriesFrame(START, span, [SeriesKey(0, "a"), SeriesKey(0, "b")], values, docs)


def at(known, day, hour, hours, span=HOUR):
    start = START + timedelta(days=day, hours=hour)
    return usual(known, Window(start, start + hours * HOUR), span)


def test_an_interval_is_held_against_the_same_hours_of_the_week():
    known = profile(frame(28), job())
    assert at(known, 35, 0, 6) == {"docs": 10.0, "series": 1.0}
    assert at(known, 35, 12, 1) == {"docs": 100.0, "series": 2.0}
    assert at(known, 40, 12, 1) == {"docs": 50.0, "series": 2.0}, "a Saturday"
    assert at(known, 35, 0, 24)["docs"] == pytest.approx((6 * 10 + 18 * 100) / 24)


def test_less_than_two_weeks_tell_the_hour_of_the_day_only():
    known = profile(frame(7), job())
    assert len(known["hours"]["docs"]) == 24
    assert at(known, 35, 12, 1) == at(known, 40, 12, 1)


def test_hours_that_were_never_seen_are_expected_to_be_average():
    known = profile(frame(28, timedelta(days=1)), job())
    assert at(known, 28, 12, 24, timedelta(days=1))["docs"] == known["docs"]


@pytest.mark.parametrize("buckets", [0, 1])
def test_next_to_nothing_has_a_profile_too(buckets):
    known = profile(frame(1).slice(Window(START, START + buckets * HOUR)), job())
    assert at(known, 1, 0, 0) == {"docs": 10.0 * buckets, "series": 1.0 * buckets}


def test_a_mean_of_zero_is_data_and_a_count_of_zero_is_none():
    data = frame(1)
    mean = job(detectors=[{"function": "mean", "field_name": "t"}])
    assert active(data, job()).sum() == 24 + 18
    assert active(data, mean).sum() == 48
    data.values[:] = np.nan
    assert not active(data, mean).any()


def test_only_what_changes_the_reading_makes_reports_incomparable():
    same = reads(job())
    assert reads(job(description="other", quality={"volume": "stop"}, training={"window": "2w"})) == same
    assert reads(job(bucket_span="15m")) != same
    assert reads(job(datafeed={"indices": ["x"], "query": {"term": {"a": 1}}})) != same
