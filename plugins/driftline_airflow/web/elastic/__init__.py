"""An API that clients of Elastic's machine learning understand, below `/elastic`: its jobs are our jobs. One resource a file."""

from __future__ import annotations

from fastapi import APIRouter

from driftline_airflow.web.elastic import (
    calendars,
    datafeeds,
    filters,
    forecasts,
    info,
    job_actions,
    jobs,
    model_snapshots,
    results,
)

PREFIX = "/elastic"
# job_actions before jobs: `_stats` is no job's name; what is not here comes last
RESOURCES = (info, job_actions, jobs, datafeeds, results, forecasts, calendars, filters, model_snapshots)


def router() -> APIRouter:
    """All resources."""
    whole = APIRouter(prefix=PREFIX)
    for resource in RESOURCES:
        whole.include_router(resource.router)
    whole.include_router(info.rest)
    return whole
