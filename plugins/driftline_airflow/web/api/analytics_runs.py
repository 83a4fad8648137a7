"""Runs of analyses: an analysis, or predictions for new documents, is a DAG run of Airflow's."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import HTTPException, status
from pydantic import BaseModel, ConfigDict, Field

from driftline.core.timespan import iso, parse_time
from driftline.elastic import state, trained
from driftline_airflow.web.access import ClusterDep, routes
from driftline_airflow.web.airflow import Airflow, AirflowDep, part
from driftline_airflow.web.api.analytics import AnalysisDep
from driftline_airflow.web.api.runs import MOST_LISTED, followed, told

router = routes(prefix="/analytics/{analytics_id}", tags=["analytics"])
Stage = Literal["analyze", "infer"]
STAGES: tuple[Stage, ...] = ("analyze", "infer")
UNDER_WAY = {"queued", "running"}


class Infer(BaseModel):
    """Which new documents."""

    model_config = ConfigDict(extra="forbid")
    start: str | None = Field(None, max_length=40, description="From then on; by default, since the last time.")
    end: str | None = Field(None, max_length=40, description="Before then; by default, now.")


@router.post("/start", status_code=status.HTTP_202_ACCEPTED)
def start(airflow: AirflowDep, analysis: AnalysisDep) -> dict[str, Any]:
    """Runs the analysis: reads, trains, evaluates and writes; answers with the run, or with the one that is under way."""
    dag = f"{analysis.analytics_id}.analyze"
    under_way = [run for run in _runs(airflow, dag) if run["state"] in UNDER_WAY]
    return under_way[-1] if under_way else told(airflow.trigger(dag, {}))


@router.post("/infer", status_code=status.HTTP_202_ACCEPTED)
def infer(airflow: AirflowDep, analysis: AnalysisDep, asked: Infer | None = None) -> dict[str, Any]:
    """Gives new documents predictions by the model in force; answers with the run."""
    if analysis.inference is None:
        raise HTTPException(status.HTTP_409_CONFLICT, "The analysis says nothing of new documents: `inference` is missing.")
    given = (asked or Infer()).model_dump(exclude_none=True)
    return told(airflow.trigger(f"{analysis.analytics_id}.infer", {name: iso(parse_time(text)) for name, text in given.items()}))


@router.post("/stop")
def stop(airflow: AirflowDep, analysis: AnalysisDep) -> dict[str, Any]:
    """Stops what runs: what it has not written is not written."""
    doomed = [run for stage in STAGES for run in _runs(airflow, f"{analysis.analytics_id}.{stage}") if run["state"] in UNDER_WAY]
    for run in doomed:
        where = f"dags/{part(run['dag_id'])}/dagRuns/{part(run['run_id'])}"
        airflow.call("PATCH", where, params={"update_mask": "state"}, json={"state": "failed"})
    return {"analytics_id": analysis.analytics_id, "stopped": [run["run_id"] for run in doomed]}


@router.get("/runs")
def runs(airflow: AirflowDep, analysis: AnalysisDep, stage: Stage | None = None) -> dict[str, Any]:
    """The newest runs."""
    found = [run for each in ((stage,) if stage else STAGES) for run in _runs(airflow, f"{analysis.analytics_id}.{each}")]
    return {"count": len(found), "runs": sorted(found, key=lambda run: run["queued_at"] or "", reverse=True)}


@router.get("/stats")
def stats(client: ClusterDep, airflow: AirflowDep, analysis: AnalysisDep) -> dict[str, Any]:
    """How far the newest run is, task by task, and what the last that ended has done; `state` in Elastic's words."""
    dag_id = f"{analysis.analytics_id}.analyze"
    dag = airflow.dag(dag_id)
    newest = _runs(airflow, dag_id, most=1) if dag else []
    run = followed(airflow, dag_id, newest[0]["run_id"]) if newest else None
    models = trained.list_(client, analysis.analytics_id, brief=True)
    last = state.last_run(client, "analyze", analysis.analytics_id)
    kept = ("@timestamp", "seconds", "verdict", "job_version")
    outcome = {name: last["detail"].get(name) for name in ("written", "model_id", "promoted", "reason")} if last else {}
    words = {"failed": "failed", **dict.fromkeys(UNDER_WAY, "started")}
    return {
        "analytics_id": analysis.analytics_id,
        "state": words.get(run["state"], "stopped") if run else "stopped",
        "dag": {"is_paused": dag["is_paused"], "next_run": dag.get("next_dagrun_run_after")} if dag else None,
        "run": run,
        "model_id": next((each["model_id"] for each in models if each["origin"] == "trained"), None),
        "last": {**{name: last.get(name) for name in kept}, **outcome} if last else None,
    }


def _runs(airflow: Airflow, dag_id: str, most: int = MOST_LISTED) -> list[dict[str, Any]]:
    """Of a DAG, the newest; none while Airflow does not know it."""
    asked = {"limit": most, "order_by": "-run_after"}
    answer = airflow.call("GET", f"dags/{part(dag_id)}/dagRuns", params=asked, also=(404,))
    return [told(run) for run in answer["dag_runs"]] if answer else []
