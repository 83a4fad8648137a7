"""How a job is doing: its runs, how far behind it is, what it could not train, how often it alarms."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from driftline.core.errors import DriftlineError
from driftline.core.timespan import Window, iso
from driftline.elastic import snapshots, state
from driftline.elastic.fields import data_range
from driftline.elastic.results import of_type
from driftline_airflow.web.access import STAGES, ClusterDep, routes
from driftline_airflow.web.airflow import AirflowDep, part
from driftline_airflow.web.api.series import JobDep

router = routes(prefix="/jobs/{job_id}", tags=["jobs"])
WEEK = timedelta(weeks=1)


@router.get("/health")
def health(client: ClusterDep, airflow: AirflowDep, job: JobDep) -> dict[str, Any]:
    """State of the DAGs, last and next runs, data lag, partitions trained and failed, alarms of the last scored week, quality."""
    from driftline.pipeline.gate import latest

    until = state.scored_until(client, job)
    found = [each for each in snapshots.manifests(client, job.job_id) if each["job_version"] == job.version]
    promoted = next((each for each in found if each["state"] == "promoted"), None)
    alarms = 0
    if until is not None:
        week = of_type(client, job.job_id, "event", version=job.version, window=Window(until - WEEK, until))
        alarms = sum(bool(each["driftline"]["event"]["alarm"]) for each in week)
    verdicts = {each["stage"]: each["verdict"] for each in latest(client, job.job_id)}
    return {
        "job_id": job.job_id,
        "scored_until": iso(until) if until else None,
        **_lag(client, job, until),
        "snapshot": {name: promoted[name] for name in ("snapshot_id", "trained", "failed", "training_end")} if promoted else None,
        "alarms_last_week": alarms,
        "quality": verdicts,
        "dags": {stage: _dag(airflow, f"{job.job_id}.{stage}") for stage in STAGES},
    }


def _lag(client: ClusterDep, job: JobDep, until: Any) -> dict[str, Any]:  # noqa: ANN401 - a datetime or None
    """How much data is there that was not scored; why that cannot be told."""
    try:
        data = data_range(client, job)
    except DriftlineError as error:
        return {"data": None, "lag_seconds": None, "problem": str(error)}
    lag = max(0.0, (data.end - until).total_seconds() - job.span_seconds) if until else None
    return {"data": data.as_dict(), "lag_seconds": lag, "problem": None}


def _dag(airflow: AirflowDep, dag_id: str) -> dict[str, Any] | None:
    """A DAG's state and runs; None while Airflow does not know it."""
    dag = airflow.dag(dag_id)
    if dag is None:
        return None
    asked = {"limit": 1, "order_by": "-run_after"}
    runs = airflow.call("GET", f"dags/{part(dag_id)}/dagRuns", params=asked)["dag_runs"]
    last = {name: runs[0].get(name) for name in ("dag_run_id", "state", "start_date", "end_date")} if runs else None
    return {"is_paused": dag["is_paused"], "next_run": dag.get("next_dagrun_run_after"), "last_run": last}
