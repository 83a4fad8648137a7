"""loudml's API of signatures, below `/loudml/api/ivoip`: how each value of a term behaves, and which behave otherwise."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, status
from pydantic import Field

from driftline.core.errors import TakenError
from driftline.core.signature import Signatures
from driftline.elastic import snapshots
from driftline_airflow.web.access import ClusterDep, ReaderDep, may, of_job
from driftline_airflow.web.airflow import AirflowDep
from driftline_airflow.web.loudml import Named, Ranged, Told, allowed, ranged, ready, switched, trigger

router = APIRouter(prefix="/loudml/api/ivoip", tags=["loudml"], route_class=Told)
STAGES = ("train", "score")


class Trained(Ranged):
    """Which signatures, from when to when, and how many random profiles are grouped."""

    limit: int | None = Field(None, ge=10)


class Replayed(Ranged):
    """Which signatures, from when to when, the least score of an anomaly, and seconds from one scoring to the next."""

    threshold: float | None = Field(None, ge=0, le=100)
    interval: int | None = Field(None, gt=0)


def _found(client: ClusterDep, user: Any, name: str, *, change: bool = False) -> Signatures:  # noqa: ANN401 - a user
    """Signatures that the user may see, or change."""
    from driftline.pipeline.loudml import find_signatures

    return allowed(find_signatures, client, user, name, change=change)


@router.post("/create", status_code=status.HTTP_201_CREATED)
def create(request: Request, client: ClusterDep, user: ReaderDep) -> dict[str, Any]:
    """Makes signatures of the values of a term; their first training starts them."""
    from driftline.pipeline.loudml import create_signatures

    try:
        made, notes = create_signatures(client, dict(request.query_params))
    except TakenError as error:
        raise HTTPException(status.HTTP_409_CONFLICT, str(error)) from None
    return {"name": made.loudml["name"], "created": True, "driftline_signatures": made.signature_id, "notes": notes}


@router.get("/list")
def list_(client: ClusterDep, airflow: AirflowDep, user: ReaderDep) -> list[dict[str, Any]]:
    """The signatures that you may see: their parameters, whether they run by the clock, and until when they have learned."""
    from driftline.pipeline.loudml import all_signatures, described_signatures

    shown = []
    for found in all_signatures(client):
        if may(user, "GET", of_job(found.signature_id)):
            dag = airflow.dag(f"{found.signature_id}.score")
            known = snapshots.in_force(snapshots.manifests(client, found.signature_id), found.version)
            started = dag is not None and not dag["is_paused"]
            until = known["training_end"] if known else None
            shown.append({**described_signatures(found), "started": started, "trained_until": until})
    return shown


@router.post("/delete")
@router.delete("/delete")
def delete(client: ClusterDep, user: ReaderDep, asked: Annotated[Named, Query()]) -> dict[str, Any]:
    """Deletes signatures with all that they have learned and found."""
    from driftline.pipeline.jobs import delete as remove

    removed = remove(client, _found(client, user, asked.name, change=True).signature_id, kind="signatures")
    return {"name": asked.name, "deleted": True, "removed": removed}


@router.post("/train", status_code=status.HTTP_202_ACCEPTED)
def train(client: ClusterDep, airflow: AirflowDep, user: ReaderDep, asked: Annotated[Trained, Query()]) -> dict[str, Any]:
    """Learns from a range, or from the newest data, and starts what runs by the clock."""
    found = _found(client, user, asked.name, change=True)
    start, end = ranged(asked)
    _switch(airflow, found, True)
    return trigger(airflow, f"{found.signature_id}.train", asked.name, {"start": start, "as_of": end, "limit": asked.limit})


@router.post("/predict", status_code=status.HTTP_202_ACCEPTED)
def predict(client: ClusterDep, airflow: AirflowDep, user: ReaderDep, asked: Annotated[Replayed, Query()]) -> dict[str, Any]:
    """Scores a range, or what is new, by what was learned last. What is stopped waits until it is started."""
    from driftline.pipeline.signatures import interval_of

    found = _found(client, user, asked.name, change=True)
    start, end = ranged(asked)
    dag_id = f"{found.signature_id}.score"
    waits = ready(airflow, dag_id)["is_paused"]
    every = f"{asked.interval}s" if asked.interval else None
    interval_of(found, every)
    conf = {"start": start, "end": end, "interval": every, "threshold": asked.threshold, "model": "latest"}
    told = trigger(airflow, dag_id, asked.name, conf)
    return {**told, "waiting": "It is stopped: the run begins when it is trained or started."} if waits else told


@router.post("/start")
def start(client: ClusterDep, airflow: AirflowDep, user: ReaderDep, asked: Annotated[Named, Query()]) -> dict[str, Any]:
    """Scores periodically from now on."""
    return _switch(airflow, _found(client, user, asked.name, change=True), True)


@router.post("/stop")
def stop(client: ClusterDep, airflow: AirflowDep, user: ReaderDep, asked: Annotated[Named, Query()]) -> dict[str, Any]:
    """Does nothing by itself any more."""
    return _switch(airflow, _found(client, user, asked.name, change=True), False)


def _switch(airflow: AirflowDep, found: Signatures, started: bool) -> dict[str, Any]:
    return switched(airflow, found.loudml["name"], [f"{found.signature_id}.{stage}" for stage in STAGES], started)
