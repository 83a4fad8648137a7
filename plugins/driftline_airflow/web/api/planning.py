"""Before a job runs: how large it would be, which jobs an index asks for, and modules of ready ones."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Depends, HTTPException, Query, status
from pydantic import BaseModel, ConfigDict, Field

from driftline.core.job import Job
from driftline.core.timespan import Window, parse_time
from driftline.scoring.settings import ALARM_SCORE
from driftline_airflow.web.access import ClusterDep, ReaderDep, asks, maker, routes
from driftline_airflow.web.api.draft import Pattern
from driftline_airflow.web.api.series import JobDep, Moment

router = routes(tags=["planning"])
BUCKETS, BUCKETS_MOST, SERIES_MOST = 2_000, 10_000, 20  # what a request waits for


def _estimated(client: ClusterDep, job: Job) -> dict[str, Any]:
    from driftline.pipeline.estimate import estimate, machine_speed
    from driftline.pipeline.fit import check_job_options

    check_job_options(job)
    return estimate(client, job, speed=machine_speed())


@router.get("/jobs/{job_id}/estimate")
def estimate_job(client: ClusterDep, job: JobDep) -> dict[str, Any]:
    """How large a job is: series, buckets, memory, time, and the bucket span that suits its data. It takes seconds."""
    return _estimated(client, job)


@router.post("/draft/estimate", dependencies=[Depends(maker)])
@asks
def estimate_draft(client: ClusterDep, definition: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    """The same of a job that is not saved."""
    return _estimated(client, Job.parse(definition, where="job"))


@router.get("/draft/suggest", dependencies=[Depends(maker)])
def suggested(
    client: ClusterDep,
    index: Pattern,
    prefix: Annotated[str, Query(max_length=64, description="What the jobs' ids begin with.")] = "",
    time_field: Annotated[str | None, Query(max_length=500)] = None,
) -> dict[str, Any]:
    """Jobs that an index asks for, each with its reason, the best first. Nothing is saved: `PUT /jobs/{job_id}` keeps one."""
    from driftline.pipeline.suggest import named, suggest

    seen, found = suggest(client, index, time_field=time_field)
    return {
        "index": seen.probe.datafeed.indices,
        **seen.window.as_dict(),
        "documents": seen.documents,
        "daily": seen.daily,
        "weekly": seen.weekly,
        "notes": seen.notes,
        "jobs": [{"job": each.definition, "reason": each.reason} for each in named(found, prefix)],
    }


@router.get("/jobs/{job_id}/backtest")
def backtested(
    client: ClusterDep,
    job: JobDep,
    start: Moment = None,
    end: Moment = None,
    partition: Annotated[list[str] | None, Query(max_length=SERIES_MOST, description="Only these.")] = None,
    max_partitions: Annotated[int, Query(ge=1, le=SERIES_MOST, description="So many of the largest.")] = 6,
    threshold: Annotated[float, Query(ge=0, le=100)] = ALARM_SCORE,
) -> dict[str, Any]:
    """A replay of history as it would have happened: alarms at each threshold, and, where the truth is known, which were right.

    It takes seconds to minutes, so it is of some series, by default of the newest 2 000 buckets; `driftline backtest` takes all.
    """
    from driftline.elastic.fields import data_range
    from driftline.pipeline import truths
    from driftline.pipeline.history import backtest, of_job

    data = data_range(client, job)
    last = parse_time(end) if end else data.end
    first = parse_time(start) if start else last - BUCKETS * job.bucket_span
    if Window(first, last).buckets(job.bucket_span) > BUCKETS_MOST:
        told = f"start, end: {BUCKETS_MOST} buckets at most are replayed here; `driftline backtest` takes any number."
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, told)
    history = of_job(client, job, start=first, end=last, partitions=partition or [], most=max_partitions)
    facts, notes = truths.watched(truths.stored_truth(client, job, history.window), job)
    found = backtest(history, facts, threshold=threshold)
    return {**found, "notes": [*found["notes"], *notes]}


class Setup(BaseModel):
    """How a module's jobs shall be stored."""

    model_config = ConfigDict(extra="forbid")
    index_pattern: str | None = Field(None, min_length=1, max_length=500, description="By default the module's own.")
    prefix: str | None = Field(None, max_length=64, description="What the jobs' ids begin with; by default the module's own.")
    jobs: list[str] = Field(default_factory=list, max_length=100, description="Only these; by default all.")
    historical: bool = Field(False, description="Run once over data that has ended, rather than by the clock.")
    dry_run: bool = Field(False, description="Tell what would be done, and save nothing.")


@router.get("/modules")
def modules(user: ReaderDep) -> dict[str, Any]:
    """All modules, with their jobs; broken ones with what is wrong."""
    from driftline.pipeline.modules import listed

    found = listed()
    return {"count": len(found), "modules": found}


@router.get("/modules/{name}")
def module(user: ReaderDep, name: str) -> dict[str, Any]:
    """A module with its jobs as they are defined."""
    from driftline.pipeline.modules import jobs_of, load_module

    return {"module": name, **load_module(name).as_dict(), "jobs": [job.as_dict() for job in jobs_of(name)]}


@router.get("/draft/modules", dependencies=[Depends(maker)])
def fitting(client: ClusterDep, index: Pattern) -> dict[str, Any]:
    """Which modules fit an index, the best first, and what the others lack; broken ones with what is wrong."""
    from driftline.pipeline.modules import recognise

    found = recognise(client, index)
    return {"count": len(found), "modules": found}


@router.post("/modules/{name}/setup")
def setup(client: ClusterDep, name: str, asked: Setup | None = None) -> dict[str, Any]:
    """Stores a module's jobs; their DAGs appear within seconds. Those whose fields are missing, or whose id is taken, are not."""
    from driftline.pipeline.modules import setup as stored

    how = asked or Setup()
    return stored(
        client,
        name,
        index_pattern=how.index_pattern,
        prefix=how.prefix,
        only=how.jobs,
        historical=how.historical,
        dry_run=how.dry_run,
    )
