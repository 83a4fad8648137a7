"""Long work: each is a DAG run of Airflow's. It is started, followed and cancelled here; Airflow keeps its history."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, status
from pydantic import BaseModel, ConfigDict, Field

from driftline.core.timespan import iso, parse_span, parse_time
from driftline_airflow.web.access import routes
from driftline_airflow.web.airflow import Airflow, AirflowDep, part
from driftline_airflow.web.api.series import JobDep

router = routes(prefix="/jobs/{job_id}", tags=["runs"])
Stage = Literal["train", "score", "forecast"]
RunId = Annotated[str, Path(max_length=250)]
MOST_LISTED = 100


class Asked(BaseModel):
    """What a run takes; all may be left out."""

    model_config = ConfigDict(extra="forbid")


class Train(Asked):
    """A training."""

    as_of: str | None = Field(None, max_length=40, description="Learn from what came before; by default, all that is complete.")
    start: str | None = Field(None, max_length=40, description="Learn from then on; by default, as training.window says.")


class Score(Asked):
    """A scoring."""

    start: str | None = Field(None, max_length=40, description="First bucket; by default, where the job was scored last.")
    end: str | None = Field(None, max_length=40, description="End of the last bucket.")
    model: Literal["as_of", "latest"] = Field("as_of", description="The snapshot of each bucket's time, or the newest for all.")
    partitions: list[str] = Field(default_factory=list, max_length=1000, description="Only these partition or by values.")


class Forecast(Asked):
    """A forecast."""

    start: str | None = Field(None, max_length=40)
    duration: str | None = Field(None, max_length=40, description="How far, such as 7d; by default as the job says.")
    partitions: list[str] = Field(default_factory=list, max_length=1000)


def _started(airflow: AirflowDep, job_id: str, stage: Stage, asked: Asked) -> dict[str, Any]:
    given = asked.model_dump(exclude_none=True, exclude_defaults=True)
    for name in ("as_of", "start", "end"):
        if name in given:
            given[name] = iso(parse_time(given[name]))
    if "duration" in given:
        parse_span(given["duration"])
    return told(airflow.trigger(f"{job_id}.{stage}", given))


def told(run: dict[str, Any]) -> dict[str, Any]:
    """A run as it is told here."""
    names = (
        "dag_id",
        "state",
        "queued_at",
        "start_date",
        "end_date",
        "conf",
        "run_type",
        "data_interval_start",
        "data_interval_end",
    )
    return {"run_id": run["dag_run_id"], **{name: run.get(name) for name in names}}


@router.post("/train", status_code=status.HTTP_202_ACCEPTED)
def train(airflow: AirflowDep, job: JobDep, asked: Train | None = None) -> dict[str, Any]:
    """Train the job; answers with the run."""
    return _started(airflow, job.job_id, "train", asked or Train())


@router.post("/score", status_code=status.HTTP_202_ACCEPTED)
def score(airflow: AirflowDep, job: JobDep, asked: Score | None = None) -> dict[str, Any]:
    """Score an interval; answers with the run."""
    return _started(airflow, job.job_id, "score", asked or Score())


@router.post("/forecast", status_code=status.HTTP_202_ACCEPTED)
def forecast(airflow: AirflowDep, job: JobDep, asked: Forecast | None = None) -> dict[str, Any]:
    """Forecast the job's series; answers with the run."""
    return _started(airflow, job.job_id, "forecast", asked or Forecast())


@router.get("/runs")
def runs(airflow: AirflowDep, job: JobDep, stage: Stage | None = None) -> dict[str, Any]:
    """The newest runs of a job's DAGs."""
    found: list[dict[str, Any]] = []
    for each in (stage,) if stage else ("train", "score", "forecast"):
        asked = {"limit": MOST_LISTED, "order_by": "-run_after"}
        answer = airflow.call("GET", f"dags/{part(f'{job.job_id}.{each}')}/dagRuns", params=asked, also=(404,)) or {
            "dag_runs": []
        }
        found += [told(run) for run in answer["dag_runs"]]
    return {"count": len(found), "runs": sorted(found, key=lambda run: run["queued_at"] or "", reverse=True)}


@router.get("/runs/{stage}/{run_id}")
def run(airflow: AirflowDep, job: JobDep, stage: Stage, run_id: RunId) -> dict[str, Any]:
    """How far a run is: its state, and that of each task."""
    return followed(airflow, f"{job.job_id}.{stage}", run_id)


def followed(airflow: Airflow, dag_id: str, run_id: str) -> dict[str, Any]:
    """A run with its tasks, and how much of it is done."""
    where = f"dags/{part(dag_id)}/dagRuns/{part(run_id)}"
    found = told(airflow.call("GET", where))
    tasks = airflow.call("GET", f"{where}/taskInstances", params={"limit": MOST_LISTED})["task_instances"]
    done = sum(task["state"] in {"success", "skipped", "failed", "upstream_failed"} for task in tasks)
    shown = [{name: task.get(name) for name in ("task_id", "map_index", "state", "try_number", "duration")} for task in tasks]
    return {**found, "progress": done / len(tasks) if tasks else 0.0, "tasks": shown}


@router.post("/runs/{stage}/{run_id}/cancel")
def cancel(airflow: AirflowDep, job: JobDep, stage: Stage, run_id: RunId) -> dict[str, Any]:
    """Stops a run: what it has not written is not written."""
    where = f"dags/{part(f'{job.job_id}.{stage}')}/dagRuns/{part(run_id)}"
    return told(airflow.call("PATCH", where, params={"update_mask": "state"}, json={"state": "failed"}))


@router.post("/pause")
def pause(airflow: AirflowDep, job: JobDep) -> dict[str, Any]:
    """Nothing of the job runs by itself any more."""
    return _paused(airflow, job.job_id, True)


@router.post("/unpause")
def unpause(airflow: AirflowDep, job: JobDep) -> dict[str, Any]:
    """The job runs by its schedules again."""
    return _paused(airflow, job.job_id, False)


def _paused(airflow: AirflowDep, job_id: str, paused: bool) -> dict[str, Any]:
    for stage in ("train", "score", "forecast"):
        airflow.pause(f"{job_id}.{stage}", paused)
    return {"job_id": job_id, "paused": paused}
