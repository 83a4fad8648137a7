"""Calendars and filters: what is known in advance."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, HTTPException, status

from driftline.core.rules import Calendar, Filter
from driftline.pipeline import calendars as stored
from driftline_airflow.web.access import ClusterDep, ReaderDep, routes

router = routes(tags=["calendars and filters"])
Definition = Annotated[dict[str, Any], Body()]


def _listed(client: ClusterDep, kind: stored.Kind) -> dict[str, Any]:
    shown = [each.as_dict() for each in stored.stored(client) if each.kind == kind]
    return {"count": len(shown), f"{kind}s": shown}


def _put(client: ClusterDep, kind: stored.Kind, name: str, definition: dict[str, Any]) -> dict[str, Any]:
    model: type[Calendar | Filter] = stored.MODELS[kind]
    if definition.setdefault(f"{kind}_id", name) != name:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, f"{kind}_id: it is not that of the address.")
    if any(each.id == name and each.kind == kind and each.origin == "file" for each in stored.stored(client)):
        raise HTTPException(status.HTTP_409_CONFLICT, f"The {kind} is defined in a file, which is under version control.")
    made = model.parse(definition, where=kind)
    stored.save(client, made)
    return made.as_dict()


@router.get("/calendars")
def calendars(client: ClusterDep, user: ReaderDep) -> dict[str, Any]:
    """All calendars; broken ones with what is wrong."""
    return _listed(client, "calendar")


@router.put("/calendars/{calendar_id}")
def put_calendar(client: ClusterDep, calendar_id: str, definition: Definition) -> dict[str, Any]:
    """Makes or replaces a calendar; runs go by it from now on."""
    return _put(client, "calendar", calendar_id, definition)


@router.delete("/calendars/{calendar_id}")
def delete_calendar(client: ClusterDep, calendar_id: str) -> dict[str, Any]:
    """Deletes a calendar."""
    stored.delete(client, "calendar", calendar_id)
    return {"calendar_id": calendar_id, "deleted": True}


@router.get("/filters")
def filters(client: ClusterDep, user: ReaderDep) -> dict[str, Any]:
    """All filters; broken ones with what is wrong."""
    return _listed(client, "filter")


@router.put("/filters/{filter_id}")
def put_filter(client: ClusterDep, filter_id: str, definition: Definition) -> dict[str, Any]:
    """Makes or replaces a filter; runs go by it from now on."""
    return _put(client, "filter", filter_id, definition)


@router.delete("/filters/{filter_id}")
def delete_filter(client: ClusterDep, filter_id: str) -> dict[str, Any]:
    """Deletes a filter."""
    stored.delete(client, "filter", filter_id)
    return {"filter_id": filter_id, "deleted": True}
