"""Small facts about a job that outlive a run: how far each of its versions is scored; and the journal of runs.

Facts of one version are read by their id, which always gives what was written last: nobody has to wait for a refresh.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from elasticsearch import NotFoundError

from driftline.core.timespan import Window, iso, parse_time
from driftline.elastic import results
from driftline.elastic.changes import change
from driftline.elastic.client import talks_to_cluster
from driftline.elastic.indices import RUNS, STATE, ensure_templates

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.results import Owner

KIND, INFERRED, ALERTED = "scored", "inferred", "alerted"
MAX_VERSIONS = 10_000


@dataclass(frozen=True)
class Scored:
    """How far one version of a job is scored.

    Attributes:
        window: From the first bucket that was scored to the end of the newest one.
        meaning: `Job.meaning` of that version.
        note: What was noted of the newest buckets.
        gap: What of that is not scored: somebody scored what is newest, and not all since the run before.
    """

    window: Window
    meaning: dict[str, Any]
    note: dict[str, Any] | None
    gap: Window | None = None


def scored_until(client: Elasticsearch, job: Owner) -> datetime | None:
    """End of the newest bucket that was ever scored by this version of the job, or None."""
    found = progress(client, job)
    return found.window.end if found else None


@talks_to_cluster
def progress(client: Elasticsearch, job: Owner) -> Scored | None:
    """How far this version of the job is scored, or None."""
    try:
        return _scored(client.get(index=STATE, id=_name(job.job_id, job.version))["_source"])
    except NotFoundError:
        return None


@talks_to_cluster
def versions(client: Elasticsearch, job_id: str) -> dict[str, Scored]:
    """How far each version of a job is scored, by version: those that ever were."""
    client.indices.refresh(index=STATE, ignore_unavailable=True, allow_no_indices=True)
    mine = {"bool": {"filter": [{"term": {"job_id": job_id}}, {"term": {"kind": KIND}}]}}
    hits = client.search(index=STATE, query=mine, size=MAX_VERSIONS, ignore_unavailable=True)["hits"]["hits"]
    return {hit["_source"]["job_version"]: _scored(hit["_source"]) for hit in hits if "job_version" in hit["_source"]}


@talks_to_cluster
def advance(client: Elasticsearch, job: Owner, window: Window, note: dict[str, Any] | None = None) -> None:
    """Adds a window to what this version of the job has scored; also when runs overlap.

    The end only ever moves forward, and `note` is of the newest end. The start moves back only without a gap; one before what is
    newest is kept, until it is scored.
    """
    ensure_templates(client)

    def further(stored: dict[str, Any] | None) -> dict[str, Any]:
        known = _scored(stored) if stored else Scored(window, {}, None)
        start = min(window.start, known.window.start) if window.end >= known.window.start else known.window.start
        return {
            "job_id": job.job_id,
            "job_version": job.version,
            "kind": KIND,
            "scored_from": iso(start),
            "scored_until": iso(max(window.end, known.window.end)),
            **({"gap": gap.as_dict()} if (gap := _gap(known, window)) else {}),
            "detail": note if window.end >= known.window.end else known.note,
            "meaning": job.meaning,
        }

    change(client, STATE, _name(job.job_id, job.version), further)


@talks_to_cluster
def rewind(client: Elasticsearch, job: Owner, until: datetime) -> None:
    """Takes back what this version of the job has scored from a time on: its results go, and the next run scores it again."""

    def back(stored: dict[str, Any] | None) -> dict[str, Any] | None:
        known = _scored(stored) if stored else None
        if stored is None or known is None or known.window.end <= until:
            return stored
        gap = Window(known.gap.start, min(known.gap.end, until)) if known.gap and known.gap.start < until else None
        document = {field: value for field, value in stored.items() if field not in ("gap", "detail")}
        document |= {"scored_from": iso(min(known.window.start, until)), "scored_until": iso(until)}
        return document | ({"gap": gap.as_dict()} if gap else {})

    change(client, STATE, _name(job.job_id, job.version), back)


def _gap(known: Scored, window: Window) -> Window | None:
    """What lies between what was scored and what is scored now, and was not: of several gaps all between their ends."""
    gap = known.gap
    if window.start > known.window.end:
        return Window(gap.start if gap else known.window.end, window.start)
    if gap and window.start <= gap.start:
        gap = Window(max(gap.start, window.end), gap.end)
    elif gap and window.end >= gap.end:
        gap = Window(gap.start, min(gap.end, window.start))
    return None if gap is None or gap.start >= gap.end else gap


@talks_to_cluster
def forget(client: Elasticsearch, job_id: str, version: str | None = None) -> None:
    """Drops what is remembered of a job, or of one of its versions."""
    if version:
        client.options(ignore_status=404).delete(index=STATE, id=_name(job_id, version))
    else:
        results.delete(client, STATE, {"term": {"job_id": job_id}})


def _name(job_id: str, version: str) -> str:
    return f"{KIND}:{job_id}:{version}"


def _scored(stored: dict[str, Any]) -> Scored:
    window = Window.parse(stored["scored_from"], stored["scored_until"])
    gap = Window.parse(stored["gap"]["start"], stored["gap"]["end"]) if stored.get("gap") else None
    return Scored(window, stored.get("meaning") or {}, stored.get("detail"), gap)


@talks_to_cluster
def reached(client: Elasticsearch, kind: str, job_id: str, whose: str = "") -> datetime | None:
    """Until when it was done for a job or an analysis, or None: `INFERRED` its predictions, `ALERTED` what an alert claimed."""
    try:
        return parse_time(client.get(index=STATE, id=_mark(kind, job_id, whose))["_source"]["scored_until"])
    except NotFoundError:
        return None


@talks_to_cluster
def reach(client: Elasticsearch, kind: str, job_id: str, until: datetime, whose: str = "") -> None:
    """Notes until when it was done; that only ever moves forward."""
    ensure_templates(client)
    known = reached(client, kind, job_id, whose)
    if known is None or known < until:
        document = {"job_id": job_id, "kind": kind, "scored_until": iso(until)}
        client.index(index=STATE, id=_mark(kind, job_id, whose), document=document)


def _mark(kind: str, job_id: str, whose: str) -> str:
    return f"{kind}:{job_id}:{whose}" if whose else f"{kind}:{job_id}"


@talks_to_cluster
def journal(client: Elasticsearch, run: str, kind: str, started: datetime, **facts: Any) -> None:  # noqa: ANN401 - JSON values
    """Writes what a run did: the one place where run ids and wall clock times are kept."""
    ensure_templates(client)
    now = datetime.now(UTC)
    document = {"run": run, "kind": kind, "@timestamp": iso(now), "seconds": round((now - started).total_seconds(), 3), **facts}
    client.index(index=RUNS, id=f"{kind}:{facts.get('job_id') or facts.get('source_id')}:{run}", document=document)


@talks_to_cluster
def last_run(client: Elasticsearch, kind: str, job_id: str) -> dict[str, Any] | None:
    """The newest journal entry of a kind for a job."""
    found = client.search(
        index=RUNS,
        query={"bool": {"filter": [{"term": {"kind": kind}}, {"term": {"job_id": job_id}}]}},
        sort=[{"@timestamp": {"order": "desc", "unmapped_type": "date"}}],
        size=1,
        ignore_unavailable=True,
    )["hits"]["hits"]
    return found[0]["_source"] if found else None
