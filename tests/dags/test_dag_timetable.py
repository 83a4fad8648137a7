"""The scoring timetable: aligned intervals, due a query delay later; backfills in every mode."""

from __future__ import annotations

from datetime import timedelta

import pendulum
import pytest
from airflow.timetables.base import DataInterval, TimeRestriction

from driftline_airflow.timetable import CLOCK, ONCE, REQUEST, JobTimetable

HOUR, DELAY = timedelta(hours=1), timedelta(minutes=2)
MARCH = pendulum.datetime(2026, 3, 1)
SCHEDULER = TimeRestriction(earliest=pendulum.datetime(2000, 1, 1), latest=None, catchup=False)


def backfill(timetable: JobTimetable, start: pendulum.DateTime, end: pendulum.DateTime) -> list[DataInterval]:
    """As Airflow's backfill asks for runs."""
    found: list[DataInterval] = []
    while info := timetable.next_dagrun_info(
        last_automated_data_interval=found[-1] if found else None, restriction=TimeRestriction(start, end, catchup=True)
    ):
        found.append(info.data_interval)
    return found


def test_a_scheduled_run_covers_the_newest_whole_interval_and_is_due_the_delay_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pendulum, "now", lambda _: pendulum.datetime(2026, 3, 1, 10, 1))
    info = JobTimetable(HOUR, DELAY).next_dagrun_info(last_automated_data_interval=None, restriction=SCHEDULER)
    assert info is not None
    assert info.data_interval == DataInterval(pendulum.datetime(2026, 3, 1, 8), pendulum.datetime(2026, 3, 1, 9))
    assert info.run_after == pendulum.datetime(2026, 3, 1, 9, 2)


def test_the_next_run_follows_the_last_one_and_lies_in_the_future(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pendulum, "now", lambda _: pendulum.datetime(2026, 3, 1, 10, 5))
    last = DataInterval(pendulum.datetime(2026, 3, 1, 9), pendulum.datetime(2026, 3, 1, 10))
    info = JobTimetable(HOUR, DELAY).next_dagrun_info(last_automated_data_interval=last, restriction=SCHEDULER)
    assert info is not None
    assert info.run_after == pendulum.datetime(2026, 3, 1, 11, 2)


def test_after_an_outage_there_is_one_run_not_one_for_each_missed_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pendulum, "now", lambda _: pendulum.datetime(2026, 3, 9, 10, 5))
    last = DataInterval(MARCH, MARCH + HOUR)
    info = JobTimetable(HOUR, DELAY).next_dagrun_info(last_automated_data_interval=last, restriction=SCHEDULER)
    assert info is not None
    assert info.data_interval.end == pendulum.datetime(2026, 3, 9, 10)


@pytest.mark.parametrize("mode", [CLOCK, ONCE, REQUEST])
def test_a_backfill_gets_exactly_the_intervals_that_begin_in_its_range(mode: str) -> None:
    found = backfill(JobTimetable(HOUR, DELAY, mode), MARCH + timedelta(minutes=7), MARCH + timedelta(hours=3))
    assert [interval.start.hour for interval in found] == [1, 2, 3]
    assert all(interval.end - interval.start == HOUR for interval in found)


def test_a_frequency_that_cron_cannot_say_is_aligned_to_the_epoch() -> None:
    found = backfill(JobTimetable(timedelta(seconds=150)), MARCH, MARCH + timedelta(minutes=10))
    assert len(found) == 5
    assert {interval.start.timestamp() % 150 for interval in found} == {0}


def test_a_historical_job_runs_once() -> None:
    timetable = JobTimetable(HOUR, DELAY, ONCE)
    first = timetable.next_dagrun_info(last_automated_data_interval=None, restriction=SCHEDULER)
    assert first is not None
    assert timetable.next_dagrun_info(last_automated_data_interval=first.data_interval, restriction=SCHEDULER) is None


def test_a_historical_job_that_is_changed_runs_once_more() -> None:
    first = JobTimetable(HOUR, DELAY, ONCE, "5a1c0de4f2ab").next_dagrun_info(
        last_automated_data_interval=None, restriction=SCHEDULER
    )
    assert first is not None
    changed = JobTimetable.deserialize(JobTimetable(HOUR, DELAY, ONCE, "bb1c0de4f2ab").serialize())
    second = changed.next_dagrun_info(last_automated_data_interval=first.data_interval, restriction=SCHEDULER)
    assert second is not None
    assert first.data_interval.start < second.data_interval.start
    assert second.run_after <= pendulum.now("UTC") + timedelta(seconds=2)
    assert changed.next_dagrun_info(last_automated_data_interval=second.data_interval, restriction=SCHEDULER) is None


def test_a_job_on_request_is_never_started_by_the_clock() -> None:
    assert JobTimetable(HOUR, DELAY, REQUEST).next_dagrun_info(last_automated_data_interval=None, restriction=SCHEDULER) is None


def test_a_manual_run_means_the_newest_interval_that_was_complete_then() -> None:
    interval = JobTimetable(HOUR, DELAY).infer_manual_data_interval(run_after=pendulum.datetime(2026, 3, 1, 10, 1))
    assert interval == DataInterval(pendulum.datetime(2026, 3, 1, 8), pendulum.datetime(2026, 3, 1, 9))


def test_it_survives_serialisation() -> None:
    timetable = JobTimetable(HOUR, DELAY, REQUEST, "5a1c0de4f2ab")
    assert JobTimetable.deserialize(timetable.serialize()).serialize() == timetable.serialize()
