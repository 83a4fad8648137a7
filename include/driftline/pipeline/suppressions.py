"""Suppressions: times for which series of a job have no results, kept as scheduled events of a calendar of the job's own."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson

from driftline.core.errors import DefinitionError
from driftline.core.rules import Calendar, ScheduledEvent
from driftline.elastic import changes
from driftline.elastic.indices import JOBS, ensure_templates
from driftline.pipeline.calendars import as_document, stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job

SUFFIX = "-suppressions"
LONGEST = 64  # characters of an id

Events = list[ScheduledEvent]


def calendar_of(job_id: str) -> str:
    """The id of the calendar that holds a job's suppressions."""
    if len(job_id) + len(SUFFIX) <= LONGEST:
        return job_id + SUFFIX
    mark = hashlib.sha256(job_id.encode()).hexdigest()[:8]
    return f"{job_id[: LONGEST - len(SUFFIX) - len(mark) - 1]}-{mark}{SUFFIX}"


def suppress(client: Elasticsearch, job: Job, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of the event
    """Adds a suppression; the same one again is the same one.

    Args:
        client: The cluster.
        job: The job.
        fields: Those of a scheduled event.

    Returns:
        As `listed` tells it.

    Raises:
        DefinitionError: The event does not say what it must, or names a detector that the job does not have.
    """
    where = f"job {job.job_id}"
    event = ScheduledEvent.parse(fields, where=where)
    if any("\ud800" <= character <= "\udfff" for text in (event.description, *event.partitions) for character in text):
        raise DefinitionError("partitions or description hold bytes that are no text", where=where, expected="UTF-8")
    if beyond := [each for each in event.detectors if each >= len(job.detectors)]:
        raise DefinitionError(
            f"there is no detector {beyond[0]}", where=where, expected=f"a number from 0 to {len(job.detectors) - 1}"
        )
    name = calendar_of(job.job_id)
    fresh = Calendar(
        calendar_id=name, description=f"what was suppressed of {job.job_id}", job_ids=[job.job_id], time_zone=job.time_zone
    )
    _change(client, name, fresh, lambda events: [*(each for each in events if each.id != event.id), event])
    return _told(fresh, event)


def listed(client: Elasticsearch, job_id: str | None = None) -> list[dict[str, Any]]:
    """The suppressions of a job, or of all: `id`, `job_id`, `calendar_id`, and the fields of the event."""
    found = [one.definition for one in stored(client) if isinstance(one.definition, Calendar)]
    mine = [one for one in found if one.job_ids and one.calendar_id == calendar_of(one.job_ids[0])]
    return [_told(one, event) for one in mine for event in one.events if job_id in (None, one.job_ids[0])]


def remove(client: Elasticsearch, id_: str, job_id: str | None = None) -> dict[str, Any]:
    """Removes a suppression, and tells it as `listed` does.

    Raises:
        DefinitionError: There is none of that id, or several jobs have it.
    """
    found = [each for each in listed(client, job_id) if each["id"] == id_]
    if not found:
        raise DefinitionError(f"there is no suppression '{id_}'", fix="See: driftline suppress --list")
    if len(found) > 1:
        jobs = ", ".join(each["job_id"] for each in found)
        raise DefinitionError(f"several jobs have the suppression '{id_}'", expected=f"one of {jobs}", fix="Name the job, too.")
    _change(client, found[0]["calendar_id"], None, lambda events: [each for each in events if each.id != id_])
    return found[0]


def _change(client: Elasticsearch, name: str, fresh: Calendar | None, change: Callable[[Events], Events]) -> None:
    """Changes the events of a calendar in the index; without any left, it goes. Changes that come at once are all made."""
    if any(one.id == name and one.origin == "file" for one in stored(client)):
        raise DefinitionError(f"calendar '{name}' is defined in a file", fix="Rename it: its name is that of the suppressions.")
    ensure_templates(client)

    def changed(found: dict[str, Any] | None) -> dict[str, Any] | None:
        there = Calendar.parse(found["definition"], where=name, stored=True) if found else fresh
        events = change(there.events) if there else []
        return as_document(there.model_copy(update={"events": events})) if there and events else None

    changes.change(client, JOBS, f"calendar:{name}", changed, refresh="wait_for")


def _told(calendar: Calendar, event: ScheduledEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "job_id": calendar.job_ids[0],
        "calendar_id": calendar.calendar_id,
        **orjson.loads(event.model_dump_json(exclude_none=True)),
        "time_zone": calendar.time_zone,
    }
