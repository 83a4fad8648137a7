"""Calendars and filters as they are stored: found by name, and changed only where they are no files."""

from __future__ import annotations

from typing import Any

from driftline.pipeline import calendars as stored
from driftline_airflow.web.access import ClusterDep
from driftline_airflow.web.elastic.shape import conflict, missing, taken


def listed(client: ClusterDep, kind: stored.Kind) -> dict[str, stored.Stored]:
    """All of a kind, by id; broken ones too."""
    return {each.id: each for each in stored.stored(client) if each.kind == kind}


def readable(client: ClusterDep, model: type[stored.C]) -> dict[str, stored.C]:
    """All of a kind that can be read, by id."""
    return {each.id: each.definition for each in stored.stored(client) if isinstance(each.definition, model)}


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


def make(client: ClusterDep, model: type[stored.C], name: str, definition: dict[str, Any]) -> stored.C:
    """A new one, stored.

    Raises:
        ElasticError: There is one of that id.
    """
    kind = stored.kind_of(model)
    if name in listed(client, kind):
        raise taken(f"Cannot create {kind} with id [{name}] as it already exists")
    one = model.parse(definition, where=kind)
    stored.save(client, one)
    return one
