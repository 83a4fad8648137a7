"""Filters: the lists that rules are about."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path
from pydantic import Field

from driftline.core.job import Job
from driftline.core.rules import Filter
from driftline.pipeline import calendars as stored
from driftline_airflow.web.access import ClusterDep, ReaderDep
from driftline_airflow.web.elastic import known
from driftline_airflow.web.elastic.making import named
from driftline_airflow.web.elastic.names import Names, matching
from driftline_airflow.web.elastic.shape import Asked, Elastic, Paged, asked, conflict, wrong

router = APIRouter(prefix="/_ml/filters", route_class=Elastic)
FilterId = Annotated[str, Path(max_length=1000)]


class Changed(Asked):
    """What becomes of a filter."""

    add_items: list[str] = Field(default_factory=list)
    remove_items: list[str] = Field(default_factory=list)
    description: str | None = None


PagedDep = Annotated[Paged, Depends(asked(Paged))]


def _shown(one: Filter) -> dict[str, Any]:
    described = {"description": one.description} if one.description else {}
    return {"filter_id": one.filter_id, **described, "items": sorted(one.items)}


@router.put("/{filter_id}")
def put(client: ClusterDep, user: ReaderDep, filter_id: FilterId, body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    """Makes a filter."""
    named(filter_id, body, "filter_id")
    return _shown(known.make(client, Filter, filter_id, {"items": [], **body, "filter_id": filter_id}))


@router.get("")
def get_all(client: ClusterDep, user: ReaderDep, page: PagedDep) -> dict[str, Any]:
    """All filters."""
    return get(client, user, "_all", page)


@router.get("/{names}")
def get(client: ClusterDep, user: ReaderDep, names: Names, page: PagedDep) -> dict[str, Any]:
    """Some filters."""
    found = matching(known.readable(client, Filter), names, what="No filter with id")
    return {"count": len(found), "filters": [_shown(each) for each in page.cut(found)]}


@router.post("/{filter_id}/_update")
def update(
    client: ClusterDep, user: ReaderDep, filter_id: FilterId, how: Annotated[Changed, Depends(asked(Changed))]
) -> dict[str, Any]:
    """Adds and removes items."""

    def changed(one: Filter) -> dict[str, Any]:
        if unknown := [each for each in how.remove_items if each not in one.items]:
            raise wrong(f"Cannot remove item [{unknown[0]}] as it is not present in filter [{filter_id}]")
        items = [each for each in dict.fromkeys([*one.items, *how.add_items]) if each not in how.remove_items]
        described = one.description if how.description is None else how.description
        return {"filter_id": filter_id, "description": described, "items": items}

    known.changeable(client, "filter", filter_id)
    return _shown(stored.change(client, Filter, filter_id, changed))


@router.delete("/{filter_id}")
def delete(client: ClusterDep, user: ReaderDep, filter_id: FilterId) -> dict[str, Any]:
    """Deletes a filter that no job refers to."""
    known.changeable(client, "filter", filter_id)
    if using := _using(client, filter_id):
        raise conflict(f"Cannot delete filter [{filter_id}] that is currently used by jobs {using}")
    stored.delete(client, "filter", filter_id)
    return {"acknowledged": True}


def _using(client: ClusterDep, filter_id: str) -> list[str]:
    """Ids of jobs whose rules refer to a filter; of all jobs, whoever asks."""
    from driftline.pipeline.jobs import list_jobs

    return [job.job_id for job in list_jobs(client) if filter_id in _referred(job)]


def _referred(job: Job) -> set[str]:
    return {scope.filter_id for each in job.detectors for rule in each.custom_rules for scope in rule.scope.values()}
