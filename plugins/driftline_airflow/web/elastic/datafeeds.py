"""Datafeeds: one a job. Starting one starts scoring."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path
from pydantic import Field

from driftline.core.job import Job
from driftline.core.timespan import iso
from driftline_airflow.web.access import STAGES, ClusterDep, ReaderDep, asks
from driftline_airflow.web.airflow import AirflowDep
from driftline_airflow.web.elastic import making, running
from driftline_airflow.web.elastic.names import Held, Names, changing, every, feeds, of, unknown
from driftline_airflow.web.elastic.shape import Asked, Elastic, Moment, Which, asked, conflict, missing, moment, wrong

router = APIRouter(prefix="/_ml/datafeeds", route_class=Elastic)
FeedId = Annotated[str, Path(max_length=1000)]


class Started(Asked):
    """From when to when; without an end for ever."""

    start: Moment | None = None
    end: Moment | None = None
    timeout: str | None = Field(None, max_length=40)


class Stopped(Asked):
    """How to stop."""

    allow_no_match: bool = True
    force: bool = False
    close_job: bool = False
    timeout: str | None = Field(None, max_length=40)


class Deleted(Asked):
    """How to delete."""

    force: bool = False


class Previewed(Asked):
    """Of what, and from when to when."""

    datafeed_config: dict[str, Any] | None = None
    job_config: dict[str, Any] | None = None
    start: Moment | None = None
    end: Moment | None = None


WhichDep = Annotated[Which, Depends(asked(Which))]
PreviewedDep = Annotated[Previewed, Depends(asked(Previewed))]


def _one(client: ClusterDep, user: Any, datafeed_id: str) -> Held:  # noqa: ANN401
    found = next((each for each in every(client, user).values() if each.datafeed_id == datafeed_id), None)
    if found is None:
        raise missing(f"No datafeed with id [{datafeed_id}] exists")
    return found


def _changing(client: ClusterDep, user: Any, datafeed_id: str) -> Held:  # noqa: ANN401
    found = _one(client, user, datafeed_id)
    changing(user, [found])
    return found


@router.put("/{datafeed_id}")
def put(client: ClusterDep, user: ReaderDep, datafeed_id: FeedId, body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    """Gives a job its datafeed; its DAGs appear within seconds, paused."""
    from driftline.pipeline.jobs import save

    there = every(client, user)
    making.fresh_feed(datafeed_id, body, there)
    job_id = body.get("job_id")
    held = there.get(str(job_id))
    if held is None:
        raise wrong("[job_id] is required") if job_id is None else unknown(str(job_id))
    changing(user, [held])
    if held.feed is not None:
        raise conflict(f"A datafeed [{held.datafeed_id}] already exists for job [{job_id}]")
    feed = {**body, "datafeed_id": datafeed_id}
    if held.job is None:
        job = making.made(held.job_id, held.body, feed, former=held.body)
    else:
        job = making.refed(held.job, feed, anew=True)
    save(client, job)
    return of(job).feed or {}


def _previewed(client: ClusterDep, job: Job, how: Previewed) -> list[dict[str, Any]]:
    from driftline.elastic.feed import first_rows

    start, end = (moment(name, each) if each else None for name, each in (("start", how.start), ("end", how.end)))
    return first_rows(client, job, start, end)


@router.api_route("/_preview", methods=["GET", "POST"])
@asks
def preview_given(client: ClusterDep, user: ReaderDep, how: PreviewedDep) -> list[dict[str, Any]]:
    """The first documents that a datafeed would read, which nobody has stored."""
    from driftline_airflow.web.access import maker

    maker(user)  # who may not make a job has no business with the cluster's other indices
    if how.datafeed_config is None:
        raise wrong("[datafeed_config] is required")
    named = str(how.datafeed_config.get("job_id", "previewed"))
    body = how.job_config
    if body is None:
        held = every(client, user).get(named)
        if held is None:
            raise unknown(named)
        body = held.body
    return _previewed(client, making.made("previewed", {**body, "job_id": "previewed"}, how.datafeed_config), how)


@router.get("")
def get_all(client: ClusterDep, user: ReaderDep, how: WhichDep) -> dict[str, Any]:
    """All datafeeds."""
    return get(client, user, "_all", how)


@router.get("/_stats")
def stats_of_all(client: ClusterDep, airflow: AirflowDep, user: ReaderDep, how: WhichDep) -> dict[str, Any]:
    """Whether datafeeds are started, all of them."""
    return stats(client, airflow, user, "_all", how)


@router.get("/{names}")
def get(client: ClusterDep, user: ReaderDep, names: Names, how: WhichDep) -> dict[str, Any]:
    """Some datafeeds."""
    found = feeds(client, user, names, how.allow_no_match)
    return {"count": len(found), "datafeeds": [each.feed for each in found]}


@router.get("/{names}/_stats")
def stats(client: ClusterDep, airflow: AirflowDep, user: ReaderDep, names: Names, how: WhichDep) -> dict[str, Any]:
    """Whether datafeeds are started."""
    found = feeds(client, user, names, how.allow_no_match)
    return {"count": len(found), "datafeeds": [_stats(airflow, each) for each in found]}


def _stats(airflow: AirflowDep, held: Held) -> dict[str, Any]:
    started = running.started(airflow, held)
    counts = dict.fromkeys(
        ("search_count", "bucket_count", "total_search_time_ms", "exponential_average_search_time_per_hour_ms"), 0
    )
    by_clock = held.job is not None and held.job.by_clock
    return {
        "datafeed_id": held.datafeed_id,
        "state": "started" if started else "stopped",
        "timing_stats": {"job_id": held.job_id, **counts},
        **({"running_state": {"real_time_configured": by_clock, "real_time_running": by_clock}} if started else {}),
    }


@router.delete("/{datafeed_id}")
def delete(
    client: ClusterDep,
    airflow: AirflowDep,
    user: ReaderDep,
    datafeed_id: FeedId,
    how: Annotated[Deleted, Depends(asked(Deleted))],
) -> dict[str, Any]:
    """Takes a job's datafeed away: its DAGs go, what it has learned and found stays."""
    from driftline.pipeline.jobs import undefine
    from driftline.pipeline.unfinished import keep

    held = _changing(client, user, datafeed_id).changeable()
    if not how.force and running.started(airflow, held):
        raise conflict(f"Cannot delete datafeed [{datafeed_id}] while its status is started")
    keep(client, held.job_id, held.body, former=held.job)
    undefine(client, held.job_id)
    return {"acknowledged": True}


@router.post("/{datafeed_id}/_update")
def update(client: ClusterDep, user: ReaderDep, datafeed_id: FeedId, body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    """Changes some fields of a datafeed."""
    from driftline.pipeline.jobs import save

    held = _changing(client, user, datafeed_id).changeable()
    if body.get("job_id", held.job_id) != held.job_id:
        raise wrong("[job_id] a datafeed stays with its job")
    if body.get("datafeed_id", datafeed_id) != datafeed_id:
        raise wrong("[datafeed_id] a datafeed keeps its id")
    job = making.refed(held.runnable(), body)
    save(client, job)
    return of(job).feed or {}


@router.post("/{datafeed_id}/_start")
def start(
    client: ClusterDep,
    airflow: AirflowDep,
    user: ReaderDep,
    datafeed_id: FeedId,
    how: Annotated[Started, Depends(asked(Started))],
) -> dict[str, Any]:
    """Scores by the clock from now on; with a start or an end, that range first."""
    from driftline.elastic.fields import check_fields

    held = _changing(client, user, datafeed_id)
    running.await_dags(airflow, held, how.timeout)
    if not running.opened(airflow, held):
        raise conflict(f"cannot start datafeed [{datafeed_id}] because job [{held.job_id}] is closed")
    check_fields(client, held.runnable())
    edges = {"start": how.start, "end": how.end}
    given = {name: iso(moment(name, value)) for name, value in edges.items() if value is not None}
    running.switch(airflow, held, (running.FEED,), True)
    if given:
        running.trigger(airflow, held, running.FEED, given)
    return {"started": True, "node": ""}


@router.post("/{names}/_stop")
def stop(
    client: ClusterDep, airflow: AirflowDep, user: ReaderDep, names: Names, how: Annotated[Stopped, Depends(asked(Stopped))]
) -> dict[str, Any]:
    """Scores nothing by itself any more."""
    found = feeds(client, user, names, how.allow_no_match)
    changing(user, found)
    for each in found:
        running.switch(airflow, each, STAGES if how.close_job else (running.FEED,), False)
    return {"stopped": True}


@router.api_route("/{datafeed_id}/_preview", methods=["GET", "POST"])
@asks
def preview(client: ClusterDep, user: ReaderDep, datafeed_id: FeedId, how: PreviewedDep) -> list[dict[str, Any]]:
    """The first documents that a datafeed reads."""
    return _previewed(client, _one(client, user, datafeed_id).runnable(), how)
