"""loudml's REST API, below `/loudml/api`: its models are jobs, its job ids stand for runs of their DAGs."""

from __future__ import annotations

import re
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Body, HTTPException, Query, Request, Response, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from driftline.core.errors import DefinitionError, TakenError, WindowError
from driftline.core.job import Job
from driftline.core.timespan import iso, parse_time
from driftline.elastic import snapshots
from driftline_airflow.web.access import STAGES, ClusterDep, Guarded, ReaderDep, may, of_job, require_read
from driftline_airflow.web.airflow import AirflowDep, part
from driftline_airflow.web.audit import Handler

if TYPE_CHECKING:
    from collections.abc import Callable

    from elasticsearch import Elasticsearch

    from driftline.core.signature import Signatures

Owned = TypeVar("Owned", bound="Job | Signatures")
STEPS = {"train": "train", "score": "predict"}
RUN = re.compile(r"([a-z0-9][a-z0-9_-]{0,63}\.(train|score))\.(loudml-[0-9a-f]{12})")
MANY = 10_000  # documents in one answer: Elasticsearch's own limit


class Told(Guarded):
    """A route that answers 400 for wrong parameters, and says in `message` what was wrong."""

    def answered(self, handle: Handler) -> Handler:
        """What becomes of errors."""

        async def told(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                wrong = [f"{each['loc'][-1]}: {each['msg']}" for each in error.errors()]
                return _error(status.HTTP_400_BAD_REQUEST, "; ".join(wrong))
            except HTTPException as error:
                return _error(error.status_code, str(error.detail), error.headers)

        return told


def _error(code: int, message: str, headers: Any = None) -> Response:  # noqa: ANN401 - as starlette takes them
    return JSONResponse({"error": HTTPStatus(code).phrase, "message": message}, status_code=code, headers=headers)


router = APIRouter(prefix="/loudml", tags=["loudml"], route_class=Told)


class Asked(BaseModel):
    """Query parameters; those that nobody knows are refused."""

    model_config = ConfigDict(extra="forbid")


class Named(Asked):
    """Which model."""

    name: str = Field(min_length=1, max_length=1000)


class Ranged(Named):
    """Which model, and which range of time: seconds, ISO 8601 or date math."""

    from_date: str | None = Field(None, max_length=40)
    to_date: str | None = Field(None, max_length=40)


class Run(Asked):
    """Which run."""

    job_id: str = Field(max_length=200)


class Which(Asked):
    """Which anomalies: those of a model, or of all."""

    name: str | None = Field(None, max_length=1000)


class Sized(Which):
    """Which anomalies, and how many."""

    size: int = Field(10, ge=0, le=MANY)


def allowed(find: Callable[[Elasticsearch, str], Owned], client: ClusterDep, user: Any, name: str, *, change: bool) -> Owned:  # noqa: ANN401
    """What is found by a name, if the user may see it, or change it: a job may have another id than its name would make."""
    from driftline.pipeline.loudml import id_of

    try:
        found = find(client, name)
    except DefinitionError:
        require_read(of_job(id_of(name)), user)  # who may see nothing is not told that there is none
        raise
    require_read(of_job(found.job_id), user)
    if change:
        require_change(found.job_id, user)
    return found


def _model(client: ClusterDep, user: Any, name: str, *, change: bool = False) -> Job:  # noqa: ANN401 - a user
    """A model that the user may see, or change."""
    from driftline.pipeline.loudml import find

    return allowed(find, client, user, name, change=change)


def require_change(job_id: str, user: Any) -> None:  # noqa: ANN401
    """Refuses a user who may not change a job or signatures, with 403."""
    if not may(user, "PUT", of_job(job_id)):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You may not change this.")


@router.post("/api/model/create", status_code=status.HTTP_201_CREATED)
def create(
    request: Request,
    client: ClusterDep,
    user: ReaderDep,
    body: Annotated[dict[str, Any], Body(description="`features`; the other parameters are those of the query.")],
) -> dict[str, Any]:
    """Makes a model, which is stopped until somebody starts it."""
    from driftline.pipeline.loudml import create as make

    twice = sorted(set(body) & set(request.query_params))
    if twice or "features" in request.query_params:
        raise DefinitionError(f"{', '.join(twice) or 'features'}: given in the wrong place", expected="features in the body only")
    try:
        job, notes = make(client, {**body, **request.query_params})
    except TakenError as error:
        raise HTTPException(status.HTTP_409_CONFLICT, str(error)) from None
    return {"name": job.loudml["name"], "created": True, "driftline_job": job.job_id, "notes": notes}


@router.get("/api/model/list")
def list_(client: ClusterDep, airflow: AirflowDep, user: ReaderDep) -> list[dict[str, Any]]:
    """The models that you may see: their parameters, whether they are started, and until when they have learned."""
    from driftline.pipeline.loudml import described, models

    shown = []
    for job in models(client):
        if may(user, "GET", of_job(job.job_id)):
            dag = airflow.dag(f"{job.job_id}.score")
            known = [each for each in snapshots.manifests(client, job.job_id) if each["state"] == "promoted"]
            started = dag is not None and not dag["is_paused"]
            shown.append({**described(job), "started": started, "trained_until": known[0]["training_end"] if known else None})
    return shown


@router.post("/api/model/delete")
@router.delete("/api/model/delete")
def delete(client: ClusterDep, user: ReaderDep, asked: Annotated[Named, Query()]) -> dict[str, Any]:
    """Deletes a model with all that it has learned and found."""
    from driftline.pipeline.jobs import delete as remove

    removed = remove(client, _model(client, user, asked.name, change=True).job_id)
    return {"name": asked.name, "deleted": True, "removed": removed}


@router.post("/api/model/train", status_code=status.HTTP_202_ACCEPTED)
def train(client: ClusterDep, airflow: AirflowDep, user: ReaderDep, asked: Annotated[Ranged, Query()]) -> dict[str, Any]:
    """Trains a model on exactly a range, or on the newest of its data."""
    job = _model(client, user, asked.name, change=True)
    start, end = ranged(asked)
    dag_id = f"{job.job_id}.train"
    if ready(airflow, dag_id)["is_paused"]:
        airflow.pause(dag_id, False)  # Airflow runs nothing of a paused DAG
    return trigger(airflow, dag_id, asked.name, {"start": start, "as_of": end})


@router.post("/api/model/predict", status_code=status.HTTP_202_ACCEPTED)
def predict(client: ClusterDep, airflow: AirflowDep, user: ReaderDep, asked: Annotated[Ranged, Query()]) -> dict[str, Any]:
    """Scores a range, or what is new, by the newest snapshot. For a stopped model it waits until that is started."""
    job = _model(client, user, asked.name, change=True)
    start, end = ranged(asked)
    dag_id = f"{job.job_id}.score"
    waits = ready(airflow, dag_id)["is_paused"]
    told = trigger(airflow, dag_id, asked.name, {"start": start, "end": end, "model": "latest"})
    return {**told, "waiting": "The model is stopped: the run begins when it is started."} if waits else told


@router.post("/api/model/start")
def start(client: ClusterDep, airflow: AirflowDep, user: ReaderDep, asked: Annotated[Named, Query()]) -> dict[str, Any]:
    """Predicts periodically from now on."""
    return _switched(airflow, _model(client, user, asked.name, change=True), True)


@router.post("/api/model/stop")
def stop(client: ClusterDep, airflow: AirflowDep, user: ReaderDep, asked: Annotated[Named, Query()]) -> dict[str, Any]:
    """Does nothing by itself any more."""
    return _switched(airflow, _model(client, user, asked.name, change=True), False)


@router.get("/api/job")
def job(airflow: AirflowDep, user: ReaderDep, asked: Annotated[Run, Query()]) -> dict[str, Any]:
    """How far a training or prediction is."""
    path, _ = _run(asked.job_id, user)
    return _told(airflow.call("GET", path), asked.job_id)


@router.post("/api/job/cancel")
def cancel(airflow: AirflowDep, user: ReaderDep, asked: Annotated[Run, Query()]) -> dict[str, Any]:
    """Stops a training or prediction: what it has not written is not written."""
    path, job_id = _run(asked.job_id, user)
    require_change(job_id, user)
    return _told(airflow.call("PATCH", path, params={"update_mask": "state"}, json={"state": "failed"}), asked.job_id)


@router.get("/api/anomalies/_search")
@router.get("/.loudml-anomalies/_search")
def anomalies(client: ClusterDep, user: ReaderDep, asked: Annotated[Sized, Query()]) -> dict[str, Any]:
    """The anomalies with the highest scores, in the shape of Elasticsearch's answers."""
    from driftline.pipeline.loudml import anomalies as search

    return search(client, _origins(client, user, asked.name, "GET"), size=asked.size)


@router.delete("/api/anomalies")
@router.delete("/.loudml-anomalies")
def forget(client: ClusterDep, user: ReaderDep, asked: Annotated[Which, Query()]) -> dict[str, Any]:
    """Deletes what was found for a model, or for all; what they have learned stays."""
    from driftline.pipeline.loudml import forget as remove

    return {"deleted": remove(client, _origins(client, user, asked.name, "PUT"))}


def _origins(client: ClusterDep, user: Any, name: str | None, method: str) -> list[Any]:  # noqa: ANN401
    """What has anomalies, models and signatures: that of a name, or all that the user may read or change."""
    from driftline.pipeline.loudml import find_origin, origins

    if name is None:
        return [each for each in origins(client) if may(user, method, of_job(each.job_id))]
    return [allowed(find_origin, client, user, name, change=method != "GET")]


def ranged(asked: Ranged) -> tuple[str | None, str | None]:
    """Both ends as a run takes them."""
    ends = {name: _moment(name, value) for name, value in (("from_date", asked.from_date), ("to_date", asked.to_date))}
    start, end = ends.values()
    if start and end and parse_time(start) >= parse_time(end):
        raise WindowError("from_date is not before to_date", where=f"from_date {start}, to_date {end}")
    return start, end


def _moment(name: str, value: str | None) -> str | None:
    try:
        return iso(parse_time(value)) if value else None
    except WindowError as error:
        raise WindowError(error.what, where=name, expected=error.expected) from None


def ready(airflow: AirflowDep, dag_id: str) -> dict[str, Any]:
    """The DAG; one that is new shows within seconds."""
    dag = airflow.dag(dag_id)
    if dag is None:
        wait = {"Retry-After": "10"}
        raise HTTPException(
            status.HTTP_503_SERVICE_UNAVAILABLE, "The model's DAGs are being made: ask again in some seconds.", wait
        )
    return dag


def trigger(airflow: AirflowDep, dag_id: str, name: str, conf: dict[str, Any]) -> dict[str, Any]:
    """Starts a run, with what is given of its params, and tells of it."""
    run_id = f"loudml-{uuid.uuid4().hex[:12]}"  # Airflow's own names have signs that mean something else in an address
    given = {key: value for key, value in conf.items() if value is not None}
    body = {"dag_run_id": run_id, "logical_date": None, "conf": given}
    run = airflow.call("POST", f"dags/{part(dag_id)}/dagRuns", json=body)
    return {"name": name, **_told(run, f"{dag_id}.{run_id}")}


def _run(job_id: str, user: Any) -> tuple[str, str]:  # noqa: ANN401
    """The run's place in Airflow, and the job that it is of."""
    parts = RUN.fullmatch(job_id)
    if parts is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"job_id: there is no run '{job_id[:200]}'.")
    of = parts[1].removesuffix(f".{parts[2]}")
    require_read(of_job(of), user)
    return f"dags/{part(parts[1])}/dagRuns/{part(parts[3])}", of


def _told(run: dict[str, Any], job_id: str) -> dict[str, Any]:
    names = ("state", "queued_at", "start_date", "end_date")
    stage = str(run["dag_id"]).rpartition(".")[2]
    return {"job_id": job_id, "operation": STEPS[stage], "conf": run["conf"], **{name: run.get(name) for name in names}}


def switched(airflow: AirflowDep, name: str, dag_ids: list[str], started: bool) -> dict[str, Any]:
    """Starts or stops what is of a name: all of its DAGs, or none while one is not there yet."""
    for dag_id in dag_ids:
        ready(airflow, dag_id)
    for dag_id in dag_ids:
        airflow.pause(dag_id, not started)
    return {"name": name, "started": started}


def _switched(airflow: AirflowDep, job: Job, started: bool) -> dict[str, Any]:
    return switched(airflow, job.loudml["name"], [f"{job.job_id}.{stage}" for stage in STAGES], started)
