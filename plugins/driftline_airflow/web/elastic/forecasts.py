"""Forecasts: each is a run of a job's DAG, whose id stands for the forecast that it makes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field

from driftline.core.timespan import parse_span
from driftline_airflow.web.access import ClusterDep
from driftline_airflow.web.airflow import AirflowDep
from driftline_airflow.web.elastic import running
from driftline_airflow.web.elastic.names import ALL, HeldDep, Names
from driftline_airflow.web.elastic.shape import Asked, Elastic, asked, conflict, missing

router = APIRouter(prefix="/_ml/anomaly_detectors/{job_id}/_forecast", route_class=Elastic)


class Forecast(Asked):
    """How far, and for how long it is kept."""

    duration: str | None = Field(None, max_length=40)
    expires_in: str | None = Field(None, max_length=40)
    max_model_memory: str | None = Field(None, max_length=40)  # nothing is held here


class Deleted(Asked):
    """How to delete."""

    allow_no_forecasts: bool = True
    timeout: str | None = Field(None, max_length=40)


DeletedDep = Annotated[Deleted, Depends(asked(Deleted))]


@router.post("")
def forecast(airflow: AirflowDep, held: HeldDep, how: Annotated[Forecast, Depends(asked(Forecast))]) -> dict[str, Any]:
    """Forecasts the job; the answer's id is that of the run."""
    if not running.opened(airflow, held):
        raise conflict(f"Cannot run forecast because job [{held.job_id}] is not open")
    given = {name: value for name, value in (("duration", how.duration), ("expires_in", how.expires_in)) if value is not None}
    for value in given.values():
        parse_span(value)
    return {"acknowledged": True, "forecast_id": running.trigger(airflow, held, "forecast", given)}


@router.delete("")
def delete_all(client: ClusterDep, held: HeldDep, how: DeletedDep) -> dict[str, Any]:
    """Deletes all forecasts of a job."""
    return delete(client, held, "_all", how)


@router.delete("/{names}")
def delete(client: ClusterDep, held: HeldDep, names: Names, how: DeletedDep) -> dict[str, Any]:
    """Deletes forecasts of a job, by their ids or those of the runs that made them."""
    from driftline.pipeline.forecast import delete_forecasts, forecasts, made_by

    if names in ALL:
        if not how.allow_no_forecasts and not forecasts(client, held.job_id):
            raise missing(f"No forecast(s) [{names}] exists for job [{held.job_id}]")
        delete_forecasts(client, held.job_id)
        return {"acknowledged": True}
    made = made_by(client, held.job_id)
    known = {each["forecast_id"] for each in forecasts(client, held.job_id)}
    wanted = [made.get(name, name) for name in filter(None, names.split(","))]
    if unknown := [name for name in wanted if name not in known]:
        raise missing(f"No forecast(s) [{', '.join(unknown)}] exists for job [{held.job_id}]")
    delete_forecasts(client, held.job_id, wanted)
    return {"acknowledged": True}
