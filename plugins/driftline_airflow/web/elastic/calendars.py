"""Calendars, their jobs and their events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path
from pydantic import Field

from driftline.core.results import milliseconds
from driftline.core.rules import ALL, Calendar, ScheduledEvent
from driftline.core.timespan import Window
from driftline.pipeline import calendars as stored
from driftline_airflow.web.access import ClusterDep, ReaderDep, asks
from driftline_airflow.web.elastic import known
from driftline_airflow.web.elastic.making import named
from driftline_airflow.web.elastic.names import Names, every, matching, one
from driftline_airflow.web.elastic.shape import Elastic, Moment, Paged, asked, missing, moment, whole, wrong

router = APIRouter(prefix="/_ml/calendars", route_class=Elastic)
CalendarId = Annotated[str, Path(max_length=1000)]
Given = Annotated[dict[str, Any], Body()]
FIELDS = {"calendar_id", "description", "job_ids"}  # of a calendar of Elastic's; the rest of ours stays as it is
LONGEST = timedelta(days=3653)  # of what comes again, in one answer
SAID, OURS = ("skip_result", "skip_model_update"), ("force_time_shift", "partitions", "detectors", "every")


class Events(Paged):
    """Which events."""

    start: Moment | None = None
    end: Moment | None = None
    job_id: str | None = Field(None, max_length=1000)


EventsDep = Annotated[Events, Depends(asked(Events))]
PagedDep = Annotated[Paged, Depends(asked(Paged))]


def _shown(calendar: Calendar) -> dict[str, Any]:
    described = {"description": calendar.description} if calendar.description else {}
    return {"calendar_id": calendar.calendar_id, **described, "job_ids": calendar.job_ids}


def _event(calendar_id: str, event: ScheduledEvent) -> dict[str, Any]:
    """An event as Elastic gives it, with our own fields where they say something."""
    return {
        "calendar_id": calendar_id,
        "event_id": event.id,
        "description": event.description,
        "start_time": milliseconds(event.start_time),
        "end_time": milliseconds(event.end_time),
        **{name: getattr(event, name) for name in SAID},
        **{name: value for name, value in event.model_dump(mode="json", exclude_defaults=True).items() if name in OURS},
    }


def _changed(client: ClusterDep, name: str, changed: Callable[[Calendar], dict[str, Any]]) -> Calendar:
    known.changeable(client, "calendar", name)
    return stored.change(client, Calendar, name, lambda calendar: {**calendar.as_dict(), **changed(calendar)})


@router.put("/{calendar_id}")
def put(
    client: ClusterDep, user: ReaderDep, calendar_id: CalendarId, body: Annotated[dict[str, Any] | None, Body()] = None
) -> Any:  # noqa: ANN401
    """Makes a calendar."""
    given = body or {}
    named(calendar_id, given, "calendar_id")
    if unknown := sorted(given.keys() - FIELDS):
        raise wrong(f"[{unknown[0]}] unknown field of a calendar; events are posted to /events")
    return _shown(known.make(client, Calendar, calendar_id, {**given, "calendar_id": calendar_id}))


@router.api_route("", methods=["GET", "POST"])
@asks
def get_all(client: ClusterDep, user: ReaderDep, page: PagedDep) -> dict[str, Any]:
    """All calendars."""
    return get(client, user, "_all", page)


def _matching(client: ClusterDep, names: str) -> list[Calendar]:
    return matching(known.readable(client, Calendar), names, what="No calendar with id")


@router.delete("/{calendar_id}")
def delete(client: ClusterDep, user: ReaderDep, calendar_id: CalendarId) -> dict[str, Any]:
    """Deletes a calendar with its events."""
    known.changeable(client, "calendar", calendar_id)
    stored.delete(client, "calendar", calendar_id)
    return {"acknowledged": True}


@router.put("/{calendar_id}/jobs/{job_id}")
def put_job(client: ClusterDep, user: ReaderDep, calendar_id: CalendarId, job_id: Names) -> dict[str, Any]:
    """Makes a calendar be about jobs; ids or groups with commas between."""
    fresh = [name for name in job_id.split(",") if name]
    return _shown(_changed(client, calendar_id, lambda one: {"job_ids": list(dict.fromkeys([*one.job_ids, *fresh]))}))


@router.delete("/{calendar_id}/jobs/{job_id}")
def delete_job(client: ClusterDep, user: ReaderDep, calendar_id: CalendarId, job_id: Names) -> dict[str, Any]:
    """Makes a calendar be about some jobs no more."""
    gone = [name for name in job_id.split(",") if name]

    def without(calendar: Calendar) -> dict[str, Any]:
        if unknown := [name for name in gone if name not in calendar.job_ids]:
            raise missing(f"Calendar [{calendar_id}] is not about job or group [{unknown[0]}]")
        return {"job_ids": [name for name in calendar.job_ids if name not in gone]}

    return _shown(_changed(client, calendar_id, without))


@router.post("/{calendar_id}/events")
def post_events(client: ClusterDep, user: ReaderDep, calendar_id: CalendarId, body: Given) -> dict[str, Any]:
    """Adds events to a calendar."""
    given = body.get("events")
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise wrong("[events] at least one event is required")
    ours = [{name: value for name, value in each.items() if name not in ("calendar_id", "event_id")} for each in given]
    fresh = [ScheduledEvent.parse(each, where="events") for each in ours]

    def added(calendar: Calendar) -> dict[str, Any]:
        events = {each.id: each.as_dict() for each in (*calendar.events, *fresh)}
        return {"events": list(events.values())}

    _changed(client, calendar_id, added)
    return {"events": [_event(calendar_id, each) for each in fresh]}


@router.get("/{names}/events")
def events(client: ClusterDep, user: ReaderDep, names: Names, how: EventsDep) -> dict[str, Any]:
    """The events of calendars; those of holidays and iCalendars where the question has a start and an end."""
    found = _matching(client, names)
    if how.job_id is not None:
        if names not in ("_all", "*"):
            raise wrong("[job_id] goes with all calendars only: _all")
        found = [each for each in found if _concerns(client, user, each, how.job_id)]
    shown = [_event(each.calendar_id, event) for each in found for event in _between(each, how)]
    shown.sort(key=lambda each: (each["start_time"], each["calendar_id"], each["event_id"]))
    return {"count": len(shown), "events": how.cut(shown)}


def _concerns(client: ClusterDep, user: Any, calendar: Calendar, name: str) -> bool:  # noqa: ANN401
    """Whether it is about a job, or a group of jobs."""
    if name in calendar.job_ids or ALL in calendar.job_ids:
        return True
    groups = {group for each in every(client, user).values() for group in each.body.get("groups", [])}
    if name in groups:
        return False
    job = one(client, user, name).job
    return job is not None and calendar.concerns(job)


def _between(calendar: Calendar, how: Events) -> list[ScheduledEvent]:
    start, end = (moment(name, each) if each else None for name, each in (("start", how.start), ("end", how.end)))
    if start and end and (calendar.ical or calendar.holidays or any(each.every for each in calendar.events)):
        given, ever = Window(start, end), whole(None, None)
        start, end = max(given.start, ever.start), min(given.end, ever.end)
        if end - start > LONGEST:
            raise wrong(
                f"[end] events of calendar [{calendar.calendar_id}] come again and again: ask for {LONGEST.days} days at most"
            )
        return calendar.between(start, end) if start < end else []
    return [each for each in calendar.events if (not end or each.start_time < end) and (not start or start < each.end_time)]


@router.delete("/{calendar_id}/events/{event_id}")
def delete_event(
    client: ClusterDep, user: ReaderDep, calendar_id: CalendarId, event_id: Annotated[str, Path(max_length=100)]
) -> dict[str, Any]:
    """Deletes an event."""

    def without(calendar: Calendar) -> dict[str, Any]:
        kept = [each.as_dict() for each in calendar.events if each.id != event_id]
        if len(kept) == len(calendar.events):
            raise missing(f"No event with id [{event_id}] in calendar [{calendar_id}]")
        return {"events": kept}

    _changed(client, calendar_id, without)
    return {"acknowledged": True}


@router.api_route("/{names}", methods=["GET", "POST"])
@asks
def get(client: ClusterDep, user: ReaderDep, names: Names, page: PagedDep) -> dict[str, Any]:
    """Some calendars."""
    found = [_shown(each) for each in _matching(client, names)]
    return {"count": len(found), "calendars": page.cut(found)}
