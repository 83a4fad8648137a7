"""Which interval a run is about. One rule for the scheduler, backfills, forms, assets and the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from driftline.core.errors import WindowError
from driftline.core.timespan import Window, floor_time, iso, parse_time

if TYPE_CHECKING:
    from driftline.core.job import Job


def resolve(
    job: Job,
    *,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    interval: Window | None = None,
    run_after: datetime | None = None,
    scored_until: datetime | None = None,
    oldest: datetime | None = None,
) -> Window:
    """The interval to score, in whole buckets.

    Looks first at `start` and `end` as given by a person or a backfill, then at the run's data `interval`, then at `run_after`.
    The query delay is subtracted from what a clock gave, never slept: the buckets it hides are the next run's. What a person
    gave is taken as it is, but not beyond what is complete now: there are no interim results.

    Args:
        job: Gives bucket span, query delay and frequency.
        start: As the user gave it; alone it means from there to what is complete at `run_after`.
        end: As the user gave it; alone it means one frequency before it.
        interval: The data interval of a scheduled run or a backfill.
        run_after: When the run was due; now by default.
        scored_until: How far the job is scored; a run by the clock begins there, and so makes up for an outage.
        oldest: The oldest document: where a run begins that knows no other beginning.

    Raises:
        WindowError: The end lies before the start.
    """
    now = run_after or datetime.now(UTC)
    due = floor_time(now - job.datafeed.query_delay, job.bucket_span)
    if start is not None or end is not None:
        last = min(parse_time(end, now=now), datetime.now(UTC) - job.datafeed.query_delay) if end is not None else due
        first = parse_time(start, now=now) if start is not None else last - job.frequency
        if last < first:
            raise WindowError(f"end {iso(last)} lies before start {iso(first)}", where=f"job {job.job_id}", fix="Exchange them.")
        return Window(first, last).floored(job.bucket_span)
    if interval is not None and not interval.empty:
        delayed = Window(interval.start - job.datafeed.query_delay, interval.end - job.datafeed.query_delay).floored(
            job.bucket_span
        )
        return Window(min(delayed.start, scored_until), delayed.end) if scored_until else delayed
    begin = scored_until or (floor_time(oldest, job.bucket_span) if oldest else due - job.frequency)
    return Window(min(begin, due), due)
