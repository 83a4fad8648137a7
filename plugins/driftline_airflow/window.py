"""Which interval a DAG run is about: the one place that looks at Airflow's context for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline.core.timespan import Window, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow.sdk.types import DagRunProtocol
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.signature import Signatures

BACKFILL, SCHEDULED = "backfill", "scheduled"
UNTIL = "until"  # in the event of a new snapshot: the end of the data that it was made for


def data_interval(run: DagRunProtocol) -> Window | None:
    """The run's data interval; None for a run without a logical date, and for one of no length."""
    start, end = run.data_interval_start, run.data_interval_end
    return Window(start, end) if start and end and start < end else None


def score_window(context: Mapping[str, Any], job: Job, client: Elasticsearch) -> Window:
    """The interval to score, in whole buckets.

    The params `start` and `end` come first. A backfill means exactly its interval. A scheduled run means its interval and all
    since the job was scored last; a manual run with a logical date the newest interval complete by then; one without, or one
    started by an asset, all that is new. To these three comes what former versions of the job cover, until this one has scored
    it. A historical job that nobody gives an interval is walked from end to end.

    Raises:
        WindowError: The params make no interval.
        SourceIndexError: The beginning of the data is needed, and there is none.
    """
    from driftline.pipeline.late import scored_from
    from driftline.pipeline.score import asked_window, default_window
    from driftline.pipeline.versions import owed
    from driftline.pipeline.window import resolve

    run, params = context["dag_run"], context["params"]
    start, end, interval = params.get("start"), params.get("end"), data_interval(run)
    if start or end:
        return asked_window(client, job, start, end, run_after=run.run_after)
    if run.run_type == BACKFILL and interval:
        return resolve(job, start=interval.start, end=interval.end, run_after=run.run_after)
    if job.historical:
        return default_window(client, job)
    if interval:
        # the interval is data time already: its run was due a query delay after its end
        delay = job.datafeed.query_delay
        until = scored_from(client, job) if run.run_type == SCHEDULED else owed(client, job)
        return resolve(job, interval=Window(interval.start + delay, interval.end + delay), scored_until=until)
    return default_window(client, job, run_after=run.run_after)


def signature_window(context: Mapping[str, Any], signatures: Signatures, client: Elasticsearch) -> Window:
    """What a run of signatures scores, in whole intervals: by the same order as `score_window`.

    Raises:
        WindowError: The params make no interval.
    """
    from driftline.pipeline.signatures import due

    run, params = context["dag_run"], context["params"]
    start, end, planned = params.get("start"), params.get("end"), data_interval(run)
    if not (start or end) and run.run_type == BACKFILL and planned:
        start, end = planned.start, planned.end
    asked = params.get("interval") or None
    return due(client, signatures, start=start, end=end, interval=asked, planned=planned, run_after=run.run_after)


def training_time(context: Mapping[str, Any]) -> str | datetime | None:
    """As of when to train: the param `as_of`, then the end of the data interval of a scheduled run or a backfill.

    None (the newest data) for a manual run, whose logical date is only when the button was pressed.
    """
    if as_of := context["params"].get("as_of"):
        return as_of
    run = context["dag_run"]
    interval = data_interval(run) if run.run_type in {BACKFILL, SCHEDULED} else None
    return interval.end if interval else None


def forecast_start(context: Mapping[str, Any]) -> str | None:
    """Where a forecast begins: the param `start`, then the end of the data that the snapshot it follows was made for.

    A forecast that follows a retrain may run beside a scoring; were it to begin where scored data ends, its place would depend
    on which of the two is first. Of several retrains the one of the latest data counts. None where nobody says.
    """
    if start := context["params"].get("start"):
        return str(start)
    events = context["dag_run"].consumed_asset_events
    told = [str(event.extra[UNTIL]) for event in events if event.extra.get(UNTIL)]
    return max(told, key=parse_time, default=None)
