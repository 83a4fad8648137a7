"""Schedules and assets of a job's DAGs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetOrTimeSchedule, CronDataIntervalTimetable, CronTriggerTimetable

from driftline.core.job import NO_SCHEDULE
from driftline_airflow.timetable import CLOCK, ONCE, REQUEST, JobTimetable

if TYPE_CHECKING:
    from driftline.core.analysis import Inference
    from driftline.core.job import Job
    from driftline.core.signature import Signatures

UTC = "UTC"


def snapshot_asset(job_id: str) -> Asset:
    """Updated whenever a job's snapshot is promoted."""
    return Asset(name=f"driftline snapshots of {job_id}", uri=f"driftline://snapshots/{job_id}")


def source_asset(source_id: str) -> Asset:
    """Updated whenever a source has ingested something."""
    return Asset(name=f"driftline source {source_id}", uri=f"driftline://sources/{source_id}")


def cron(expression: str | None) -> CronDataIntervalTimetable | None:
    """A cron expression in UTC with real data intervals, or None where there is none."""
    return CronDataIntervalTimetable(expression, UTC) if expression and expression != NO_SCHEDULE else None


def at(expression: str | None) -> CronTriggerTimetable | None:
    """A cron expression in UTC whose first run waits for its time, or None where there is none: for what has no interval."""
    return CronTriggerTimetable(expression, timezone=UTC) if expression and expression != NO_SCHEDULE else None


def train_schedule(job: Job) -> CronDataIntervalTimetable | None:
    """As `training.schedule` says; a historical job trains as it walks, not by the clock."""
    return None if job.historical else cron(job.training.schedule)


def score_schedule(job: Job) -> Any:  # noqa: ANN401 - any of Airflow's schedules
    """By the clock; once for each version of a historical job; on request; after each ingest with `after_source`."""
    delay = job.datafeed.query_delay
    if job.datafeed.after_source:
        on_request = JobTimetable(job.frequency, delay, REQUEST)
        return AssetOrTimeSchedule(timetable=on_request, assets=[source_asset(job.datafeed.after_source)])
    if job.historical:
        return JobTimetable(job.frequency, delay, ONCE, job.version)
    return JobTimetable(job.frequency, delay, CLOCK if job.by_clock else REQUEST)


def signature_schedule(signatures: Signatures) -> JobTimetable:
    """By the clock, each interval once it is complete, or on request."""
    mode = CLOCK if signatures.scan_schedule == "interval" else REQUEST
    return JobTimetable(signatures.interval, signatures.query_delay, mode)


def forecast_schedule(job: Job) -> Any:  # noqa: ANN401 - any of Airflow's schedules
    """After a retrain, and by the clock as `forecast.schedule` says (not for a historical job, whose data does not grow)."""
    retrained = [snapshot_asset(job.job_id)]
    by_clock = None if job.historical else cron(job.forecast.schedule)
    return AssetOrTimeSchedule(timetable=by_clock, assets=retrained) if by_clock else retrained


def infer_schedule(inference: Inference) -> Any:  # noqa: ANN401 - any of Airflow's schedules
    """By the clock, after each ingest with `after_source`, or both; else by hand."""
    by_clock = cron(inference.schedule)
    if not inference.after_source:
        return by_clock
    ingested = [source_asset(inference.after_source)]
    return AssetOrTimeSchedule(timetable=by_clock, assets=ingested) if by_clock else ingested
