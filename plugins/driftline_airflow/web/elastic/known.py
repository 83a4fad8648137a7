"""Calendars and filters as they are stored: found by name, and changed only where they are no files."""

from __future__ import annotations

from typing import Any

from driftline.core.rules import Calendar, Filter
from driftline.pipeline import calendars as stored
from driftline_airflow.web.access import ClusterDep
from driftline_airflow.web.elastic.shape import conflict, missing, taken


def listed(client: ClusterDep, kind: stored.Kind) -> dict[str, stored.Stored]:
    """All of a kind, by id."""
    return {each.id: each for each in stored.stored(client) if each.kind == kind}


def changeable(client: ClusterDep, kind: stored.Kind, name: str) -> stored.Stored:
    """One that may be changed.

    Raises:
        ElasticError: There is none, or it is a file.
    """
    found = listed(client, kind).get(name)
    if found is None:
        raise missing(f"No {kind} with id [{name}]")
    if found.origin == "file":
        raise conflict(f"The {kind} '{name}' is defined in a file, which is under version control.")
    return found


def make(client: ClusterDep, kind: stored.Kind, name: str, definition: dict[str, Any]) -> Calendar | Filter:
    """A new one, stored.

    Raises:
        ElasticError: There is one of that id.
    """
    if name in listed(client, kind):
        raise taken(f"Cannot create {kind} with id [{name}] as it already exists")
    one = stored.MODELS[kind].parse(definition, where=kind)
    stored.save(client, one)
    return one
