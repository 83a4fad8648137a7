"""Which jobs have scored a time already in which documents come only now, and how that is scored again."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from driftline.core.timespan import floor_time, iso, parse_time
from driftline.elastic import state
from driftline.elastic.client import explained
from driftline.pipeline.jobs import list_jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job


def score_again(client: Elasticsearch, index: str, times: Sequence[int]) -> list[dict[str, Any]]:
    """What jobs have scored without documents of these times.

    Args:
        client: The cluster.
        index: Where the documents are.
        times: Theirs, in milliseconds since the epoch.

    Returns:
        For each job that reads the index and has scored some of these times: `job_id`, `start` and `end` of the buckets,
        `by_itself`: whether its next run finds them as late data, and `command`, which does it at once.
    """
    if not times:
        return []
    with explained(f"index {index}"):
        aliases = client.indices.get_alias(index=index).body
    names = {index, *aliases, *(alias for body in aliases.values() for alias in body["aliases"])}
    told = [_told(client, job, times) for job in list_jobs(client) if _reads(job, names)]
    return [each for each in told if each]


def _reads(job: Job, names: set[str]) -> bool:
    patterns = [part for each in job.datafeed.indices for part in each.split(",")]
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _told(client: Elasticsearch, job: Job, times: Sequence[int]) -> dict[str, Any] | None:
    scored = state.progress(client, job)
    if scored is None:
        return None
    span, last = job.bucket_span, parse_time(max(times) / 1000)
    first = max(floor_time(parse_time(min(times) / 1000), span), scored.window.start)
    end = min(floor_time(last, span) + span, scored.window.end)
    if end <= first:
        return None
    looked_at = scored.note if job.datafeed.delayed_data_check_config.enabled and not job.historical else None
    by_itself = looked_at is not None and parse_time(looked_at["start"]) <= first
    return _again(job.job_id, iso(first), iso(end), by_itself)


def merged(told: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Several such lists as one, with each job once."""
    found: dict[str, dict[str, Any]] = {}
    for each in told:
        one = found.get(each["job_id"], each)
        start, end = min(one["start"], each["start"]), max(one["end"], each["end"])
        found[each["job_id"]] = _again(each["job_id"], start, end, one["by_itself"] and each["by_itself"])
    return list(found.values())


def _again(job_id: str, start: str, end: str, by_itself: bool) -> dict[str, Any]:
    command = f"driftline score {job_id} --start {start} --end {end}"
    return {"job_id": job_id, "start": start, "end": end, "by_itself": by_itself, "command": command}
