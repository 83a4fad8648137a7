"""Late data: buckets whose documents are others than when they were scored are scored again, and it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline.core.timespan import Window, iso, parse_time
from driftline.elastic import state
from driftline.elastic.read import fingerprints
from driftline.pipeline import versions

if TYPE_CHECKING:
    from datetime import datetime

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job


def scored_from(client: Elasticsearch, job: Job) -> datetime | None:
    """Where scoring goes on; None if it never began.

    That is where it ended last, or where it left something out before, or at the first bucket that has changed since, or where
    the results of former versions begin that this one has not scored yet.
    """
    scored, changed = changes(client, job)
    known = () if scored is None else (scored.window.end, *([scored.gap.start] if scored.gap else []))
    return min(filter(None, (*known, *changed, versions.owed(client, job))), default=None)


def look(client: Elasticsearch, job: Job, window: Window) -> dict[str, Any]:
    """What a run over a window notes for the next one, and what it finds of the last one's note.

    Returns:
        `start` and `documents`: how many each bucket holds from there to the window's end, of those before the window how many
        were noted last: who has not scored them knows of no late ones; `late`, if documents came after buckets of the window had
        been scored (or went): `start`, `end`, `documents`.
    """
    config = job.datafeed.delayed_data_check_config
    if not config.enabled or job.historical or window.empty:
        return {}
    first = window.end - config.buckets(job.bucket_span) * job.bucket_span
    scored, changed = changes(client, job)
    before = _noted(job, scored)
    counts = [
        before.get(moment, count) if moment < window.start else count
        for moment, count in documents(client, job, Window(first, window.end)).items()
    ]
    note: dict[str, Any] = {"start": iso(first), "documents": counts}
    late = {moment: amount for moment, amount in changed.items() if window.start <= moment < window.end}
    if late:
        note["late"] = {**Window(min(late), max(late) + job.bucket_span).as_dict(), "documents": sum(late.values())}
    return note


def changes(client: Elasticsearch, job: Job) -> tuple[state.Scored | None, dict[datetime, int]]:
    """What is scored; and of the buckets noted then by how many documents each has changed."""
    scored = state.progress(client, job)
    before = _noted(job, scored) if job.datafeed.delayed_data_check_config.enabled else {}
    if not before or scored is None:
        return scored, {}
    counts = documents(client, job, Window(min(before), scored.window.end))
    return scored, {moment: now - before[moment] for moment, now in counts.items() if now != before.get(moment, now)}


def _noted(job: Job, scored: state.Scored | None) -> dict[datetime, int]:
    """How many documents each bucket held when it was scored, of those that were noted."""
    if scored is None or not scored.note:
        return {}
    start = parse_time(scored.note["start"])
    return {start + place * job.bucket_span: count for place, count in enumerate(scored.note["documents"])}


def documents(client: Elasticsearch, job: Job, window: Window) -> dict[datetime, int]:
    """How many documents each bucket of a window holds that match the datafeed's query."""
    marks = fingerprints(client, job, window, job.span_seconds)
    first = round(window.start.timestamp()) // job.span_seconds
    moments = [window.start + place * job.bucket_span for place in range(window.buckets(job.bucket_span))]
    return {moment: marks[first + place][0] if first + place in marks else 0 for place, moment in enumerate(moments)}


def sentence(late: dict[str, Any], job: Job) -> str:
    """What is told of late data."""
    amount, between = late["documents"], f"{late['start']} – {late['end']}"
    if amount <= 0:
        return f"{between} holds {-amount:,} documents fewer than when it was scored; it was scored again."
    hint = f" If that happens often, raise datafeed.query_delay of {job.job_id}."
    return f"{amount:,} documents of {between} came after it had been scored; it was scored again.{hint}"
