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

    That is where it ended last, or at the first bucket that has changed since, or where the results of former versions begin
    that this one has not scored yet.
    """
    until, changed = changes(client, job)
    return min(filter(None, (until, *changed, versions.owed(client, job))), default=None)


def look(client: Elasticsearch, job: Job, window: Window) -> dict[str, Any]:
    """What a run over a window notes for the next one, and what it finds of the last one's note.

    Returns:
        `start` and `documents`: how many each bucket holds from there to the window's end; `late`, if documents came after
        buckets of the window had been scored (or went): `start`, `end`, `documents`.
    """
    config = job.datafeed.delayed_data_check_config
    if not config.enabled or job.historical or window.empty:
        return {}
    first = window.end - config.buckets(job.bucket_span) * job.bucket_span
    note: dict[str, Any] = {"start": iso(first), "documents": documents(client, job, Window(first, window.end))}
    _, changed = changes(client, job)
    late = {moment: amount for moment, amount in changed.items() if window.start <= moment < window.end}
    if late:
        note["late"] = {**Window(min(late), max(late) + job.bucket_span).as_dict(), "documents": sum(late.values())}
    return note


def changes(client: Elasticsearch, job: Job) -> tuple[datetime | None, dict[datetime, int]]:
    """Where scoring ended last; and of the buckets noted then by how many documents each has changed."""
    scored = state.progress(client, job)
    if scored is None:
        return None, {}
    until, known = scored.window.end, scored.note
    if not known or not job.datafeed.delayed_data_check_config.enabled:
        return until, {}
    start = parse_time(known["start"])
    pairs = zip(documents(client, job, Window(start, until)), known["documents"], strict=False)
    return until, {start + place * job.bucket_span: now - then for place, (now, then) in enumerate(pairs) if now != then}


def documents(client: Elasticsearch, job: Job, window: Window) -> list[int]:
    """How many documents each bucket of a window holds that match the datafeed's query."""
    marks = fingerprints(client, job, window, job.span_seconds)
    first = round(window.start.timestamp()) // job.span_seconds
    return [marks[number][0] if number in marks else 0 for number in range(first, first + window.buckets(job.bucket_span))]


def sentence(late: dict[str, Any], job: Job) -> str:
    """What is told of late data."""
    amount, between = late["documents"], f"{late['start']} – {late['end']}"
    if amount <= 0:
        return f"{between} holds {-amount:,} documents fewer than when it was scored; it was scored again."
    hint = f" If that happens often, raise datafeed.query_delay of {job.job_id}."
    return f"{amount:,} documents of {between} came after it had been scored; it was scored again.{hint}"
