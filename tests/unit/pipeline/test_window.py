from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from driftline.core.errors import WindowError
from driftline.core.job import Job
from driftline.core.timespan import Window, floor_time, iso, parse_time
from driftline.pipeline import plan
from driftline.pipeline.plan import cut_offs, week_floor
from driftline.pipeline.window import resolve


def job(**datafeed):
    feed = {"indices": ["x"], "query_delay": "90s", **datafeed}
    return Job.parse({"job_id": "web", "bucket_span": "15m", "detectors": [{"function": "count"}], "datafeed": feed}, where="t")


def window(*args, **kwargs):
    return resolve(job(), *args, **kwargs).as_dict()


NOON = datetime(2026, 3, 18, 12, 0, tzinfo=UTC)


def test_a_scheduled_interval_is_delayed_and_floored():
    interval = Window(NOON - timedelta(minutes=15), NOON)
    assert window(interval=interval) == {"start": "2026-03-18T11:30:00Z", "end": "2026-03-18T11:45:00Z"}


def test_consecutive_scheduled_intervals_leave_no_gap_and_no_overlap():
    edges = [NOON + n * timedelta(minutes=7) for n in range(50)]
    windows = [resolve(job(), interval=Window(a, b)) for a, b in pairwise(edges)]
    assert all(a.end == b.start for a, b in pairwise(windows))


def test_after_an_outage_one_run_covers_all_that_was_missed():
    interval = Window(NOON - timedelta(minutes=15), NOON)
    until = NOON - timedelta(days=2)
    assert window(interval=interval, scored_until=until)["start"] == "2026-03-16T12:00:00Z"


def test_what_was_scored_already_is_not_taken_out_of_a_scheduled_interval():
    interval = Window(NOON - timedelta(hours=1), NOON)
    assert window(interval=interval, scored_until=NOON)["start"] == "2026-03-18T10:45:00Z"


def test_what_a_person_gives_comes_first_and_is_floored_only():
    interval = Window(NOON, NOON + timedelta(hours=1))
    given = window(start="2026-03-01T00:07", end="2026-03-02T00:14", interval=interval, scored_until=NOON)
    assert given == {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"}


def test_nothing_incomplete_is_scored_whatever_a_person_asks():
    now = datetime.now(UTC)
    asked = resolve(job(), start=now - timedelta(hours=2), end=now + timedelta(days=3))
    assert now - timedelta(minutes=17) < asked.end <= now - timedelta(seconds=90)


def test_a_run_without_an_interval_takes_what_is_new():
    assert window(run_after=NOON, scored_until=NOON - timedelta(hours=3)) == {
        "start": "2026-03-18T09:00:00Z",
        "end": "2026-03-18T11:45:00Z",
    }
    assert window(run_after=NOON, oldest=NOON - timedelta(days=1, minutes=4))["start"] == "2026-03-17T11:45:00Z"
    assert window(run_after=NOON, scored_until=NOON)["end"] == window(run_after=NOON, scored_until=NOON)["start"]


def test_a_start_alone_means_until_what_is_complete():
    assert window(start="2026-03-18T10:00", run_after=NOON)["end"] == "2026-03-18T11:45:00Z"


def test_an_end_before_the_start_is_refused():
    with pytest.raises(WindowError, match="lies before start"):
        window(start="2026-03-02", end="2026-03-01")


def test_a_zero_length_interval_is_not_taken_for_one():
    assert (
        window(interval=Window(NOON, NOON), run_after=NOON, scored_until=NOON - timedelta(hours=1))["start"]
        == "2026-03-18T11:00:00Z"
    )


DATA = Window.parse("2026-01-05", "2026-04-01")


def cuts(start, end, data=DATA):
    return [moment.strftime("%m-%d") for moment in cut_offs(job(), Window.parse(start, end), data)]


def test_models_are_cut_weekly_on_sundays():
    assert week_floor(parse_time("2026-03-25")).strftime("%a %m-%d") == "Sun 03-22"
    assert cuts("2026-03-03", "2026-03-20") == ["03-01", "03-08", "03-15"]


def test_the_first_model_waits_for_enough_history():
    assert cuts("2026-01-05", "2026-02-05") == ["01-19", "02-01"]


def test_a_short_history_is_trained_at_its_end():
    assert cuts("2026-01-05", "2026-01-12", Window.parse("2026-01-05", "2026-01-12")) == ["01-12"]


def test_a_backfill_in_pieces_needs_the_same_models_as_one_straight_run():
    whole = cuts("2026-02-01", "2026-03-01")
    pieces = {c for day in range(28) for c in cuts(f"2026-02-{day + 1:02}", f"2026-02-{day + 1:02}T12:00")}
    assert pieces == set(whole)


@pytest.mark.parametrize("span", ["7d", "14d", "30d"])
def test_buckets_longer_than_a_week_are_learned_from_once(span, monkeypatch):
    long = Job.parse({**job().as_dict(), "bucket_span": span, "training": {"window": "800d"}}, where="t")
    data = Window.parse("2024-01-01", "2026-03-20")
    ends = []
    monkeypatch.setattr(
        plan.snapshots, "manifests", lambda *_: [{"job_version": long.version, "training_end": iso(e)} for e in ends]
    )
    monkeypatch.setattr(plan, "data_range", lambda *_: data)
    monkeypatch.setattr(plan, "train", lambda *_, as_of, **__: ends.append(floor_time(as_of, long.bucket_span)))
    last = floor_time(data.end, long.bucket_span)
    for _ in range(2):
        plan._train_missing(None, long, Window(last - 2 * long.bucket_span, last), "run", None)
    assert len(ends) == len(set(ends)) > 1
