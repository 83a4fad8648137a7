"""Open and closed, started and stopped: which of a job's DAGs Airflow runs. A datafeed is scoring, the rest is the job."""

from __future__ import annotations

import time
import uuid
from typing import Any

from driftline.core.timespan import parse_span
from driftline_airflow.web.access import STAGES
from driftline_airflow.web.airflow import AirflowDep, part
from driftline_airflow.web.elastic.names import Held
from driftline_airflow.web.elastic.shape import conflict

JOB, FEED = ("train", "forecast"), "score"
WAIT, STEP = 20.0, 0.5  # seconds: DAGs of a new job appear within some; a request is held no longer than that
RUN = "elastic-"


def opened(airflow: AirflowDep, held: Held) -> bool:
    """Whether a job is open: it is trained, and can be forecast."""
    return held.feed is not None and not held.broken and _runs(airflow, f"{held.job_id}.{JOB[0]}")


def started(airflow: AirflowDep, held: Held) -> bool:
    """Whether a datafeed is started: what is new is scored."""
    return held.feed is not None and _runs(airflow, f"{held.job_id}.{FEED}")


def _runs(airflow: AirflowDep, dag_id: str) -> bool:
    dag = airflow.dag(dag_id)
    return dag is not None and not dag["is_paused"]


def switch(airflow: AirflowDep, held: Held, stages: tuple[str, ...], on: bool) -> None:
    """Lets DAGs run, or pauses them; those that are not there run as little."""
    for stage in stages:
        dag_id = f"{held.job_id}.{stage}"
        if on or airflow.dag(dag_id) is not None:
            airflow.pause(dag_id, not on)


def await_dags(airflow: AirflowDep, held: Held, timeout: str | None) -> None:
    """Waits until Airflow has the DAGs of a job that is new.

    Raises:
        ElasticError: It has not, in time.
    """
    held.runnable()
    until = time.monotonic() + min(parse_span(timeout).total_seconds() if timeout else WAIT, WAIT)
    while any(airflow.dag(f"{held.job_id}.{stage}") is None for stage in STAGES):
        if time.monotonic() >= until:
            raise conflict(f"The DAGs of job '{held.job_id}' are being made: ask again in some seconds.")
        time.sleep(STEP)


def trigger(airflow: AirflowDep, held: Held, stage: str, conf: dict[str, Any]) -> str:
    """Starts a run, and gives its id."""
    run_id = f"{RUN}{uuid.uuid4().hex[:12]}"  # Airflow's own names have signs that mean something else in an address
    body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
    airflow.call("POST", f"dags/{part(f'{held.job_id}.{stage}')}/dagRuns", json=body)
    return run_id
