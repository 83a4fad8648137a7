"""When a job scores: by the clock on the grid of its buckets, or on request; backfills work either way."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.timetables.base import DagRunInfo, DataInterval, Timetable

from driftline.core.timespan import floor_time, format_span

if TYPE_CHECKING:
    from airflow.timetables.base import TimeRestriction

CLOCK, ONCE, REQUEST = "clock", "once", "request"


class JobTimetable(Timetable):
    """Data intervals of the job's frequency, aligned to the epoch as Elasticsearch's buckets are.

    An interval's run is due `delay` after the interval's end, so the data interval that Airflow shows is the very one that is
    scored. Airflow's own delta timetable knows no delay, and its once and asset timetables refuse backfills.

    Args:
        frequency: Length of an interval.
        delay: How long after an interval's end its run is due (the datafeed's query delay).
        mode: `clock` (every interval), `once` (a single run of each version, for a historical job) or `request` (only assets,
            people and backfills start runs).
        version: The job's version; with `once` a changed job runs once more.
    """

    periodic = True

    def __init__(self, frequency: timedelta, delay: timedelta = timedelta(0), mode: str = CLOCK, version: str = "") -> None:
        self.frequency, self.delay, self.mode, self.version = frequency, delay, mode, version
        words = {CLOCK: f"every {format_span(frequency)}", ONCE: "once", REQUEST: "on request"}
        self.description = f"Scores {words[mode]}; a backfill goes in steps of {format_span(frequency)}"

    @property
    def summary(self) -> str:
        """What the list of DAGs shows."""
        return {CLOCK: f"every {format_span(self.frequency)}", ONCE: "once", REQUEST: "on request"}[self.mode]

    def serialize(self) -> dict[str, Any]:
        """The timetable as JSON."""
        spans = {"frequency": self.frequency.total_seconds(), "delay": self.delay.total_seconds()}
        return {**spans, "mode": self.mode, "version": self.version}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Timetable:
        """The timetable from JSON."""
        return cls(timedelta(seconds=data["frequency"]), timedelta(seconds=data["delay"]), data["mode"], data.get("version", ""))

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        """The newest interval that is complete at `run_after`."""
        end = floor_time(run_after - self.delay, self.frequency)
        return DataInterval(pendulum.instance(end - self.frequency), pendulum.instance(end))

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next run. A backfill asks with `catchup`; the scheduler never does, as our DAGs do not catch up."""
        if restriction.catchup:
            return self._backfilled(last_automated_data_interval, restriction)
        if self.mode == REQUEST:
            return None
        if self.mode == ONCE:
            return self._once(last_automated_data_interval, restriction)
        newest = self.infer_manual_data_interval(run_after=pendulum.now("UTC"))
        start = newest.start
        if last_automated_data_interval is not None:
            start = max(start, self._ceil(last_automated_data_interval.end))
        return self._info(start, restriction)

    def _once(self, last: DataInterval | None, restriction: TimeRestriction) -> DagRunInfo | None:
        """The run of this version.

        All that a timetable is told is the last interval, so that says by its microseconds of which version it was: a
        historical job is scored over the range of its data, whatever the interval.
        """
        mark = timedelta(microseconds=1 + int(self.version or "0", 16) % 999_999)
        if last is not None and last.start.microsecond == mark.microseconds:
            return None
        start = self.infer_manual_data_interval(run_after=pendulum.now("UTC")).start
        if last is not None:
            start = max(start, last.start.replace(microsecond=0) + timedelta(seconds=1))
        info = self._info(start + mark, restriction)
        return DagRunInfo(run_after=start, data_interval=info.data_interval) if info else None

    def _backfilled(self, last: DataInterval | None, restriction: TimeRestriction) -> DagRunInfo | None:
        if last is not None:
            return self._info(self._ceil(last.end), restriction)
        return self._info(self._ceil(restriction.earliest), restriction) if restriction.earliest else None

    def _info(self, start: pendulum.DateTime, restriction: TimeRestriction) -> DagRunInfo | None:
        if restriction.latest is not None and start > restriction.latest:
            return None
        end = start + self.frequency
        return DagRunInfo(run_after=end + self.delay, data_interval=DataInterval(start, end))

    def _ceil(self, moment: pendulum.DateTime) -> pendulum.DateTime:
        floored = floor_time(moment, self.frequency)
        return pendulum.instance(floored if floored == moment else floored + self.frequency)
