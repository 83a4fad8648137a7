"""DAG runs one after another and side by side: triggered, followed, and explained where they fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from driftline.core.errors import ServiceError
from driftline.services import airflow

if TYPE_CHECKING:
    from driftline.services.api import AirflowApi

Progress = Callable[[str, int, int], None]
POLL_SECONDS = 2.0  # each poll costs the API server a tenth of a second a run
SHOWN_SECONDS = 90  # how long a new DAG may take to show; 15 s is usual
RUN_SECONDS = 3600
ASSET_SECONDS = 15  # how long to wait for the run that an asset starts; the next loop of the scheduler is usual
DONE = {"success", "failed", "skipped", "upstream_failed", "removed"}


@dataclass
class Run:
    """One run of a DAG: what it is told, and once it has ended, what its tasks returned.

    With `by_asset` it is one that Airflow starts by itself, when the stage before has updated an asset; started by hand
    only where that does not happen.
    """

    dag_id: str
    conf: dict[str, Any] = field(default_factory=dict)
    by_asset: bool = False
    run_id: str = ""
    seconds: float = 0.0
    returned: dict[str, Any] = field(default_factory=dict)


Stages = list[list[Run]]
"""Runs of one stage go side by side; the next stage begins when all have succeeded."""


def follow(
    api: AirflowApi, chains: list[Stages], report: Progress | None = None, ended: Callable[[Run], None] = lambda _: None
) -> list[Run]:
    """Runs all chains side by side and waits for their end; `ended` is told of each run.

    Returns:
        All runs, in order.

    Raises:
        ServiceError: A DAG does not show, a run failed (with the log of its failed task), or Airflow died meanwhile.
    """
    active = [_chain(api, stages, report or _silent, ended) for stages in chains]
    while active:
        active = [chain for chain in active if next(chain, False) is not False]
        if active:
            _still_alive()
            time.sleep(POLL_SECONDS)
    return [run for stages in chains for stage in stages for run in stage]


def _silent(_what: str, _done: int, _total: int) -> None:
    pass


def _chain(api: AirflowApi, stages: Stages, report: Progress, ended: Callable[[Run], None]) -> Iterator[None]:
    began = datetime.now(UTC)
    for stage in stages:
        waiting = [_one(api, run, began, report) for run in stage]
        while waiting:
            waiting = [run for run in waiting if next(run, False) is not False]
            if waiting:
                yield
        for run in stage:
            ended(run)


def _one(api: AirflowApi, run: Run, since: datetime, report: Progress) -> Iterator[None]:
    """One run, a step at each poll."""
    yield from _shown(api, run.dag_id)
    began = time.monotonic()
    if run.by_asset:
        yield from _started_by_asset(api, run, since)
    if not run.run_id:
        run.run_id = f"driftline__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"
        api.trigger(run.dag_id, run.run_id, run.conf)
    while (state := api.state(run.dag_id, run.run_id)) not in {"success", "failed"}:
        _tell(api, run, report)
        if time.monotonic() - began > RUN_SECONDS:
            raise ServiceError(f"the run is still {state} after {RUN_SECONDS} s", where=f"{run.dag_id}, run {run.run_id}")
        yield
    _tell(api, run, report)
    run.seconds = round(time.monotonic() - began, 1)
    if state == "failed":
        raise _failure(api, run)
    for task in api.tasks(run.dag_id, run.run_id):
        if task["map_index"] < 0:
            run.returned[task["task_id"]] = api.returned(run.dag_id, run.run_id, task["task_id"])


def _started_by_asset(api: AirflowApi, run: Run, since: datetime) -> Iterator[None]:
    deadline = time.monotonic() + ASSET_SECONDS
    while time.monotonic() < deadline:
        if run_id := api.asset_run(run.dag_id, since):
            run.run_id = run_id
            return
        yield


def _shown(api: AirflowApi, dag_id: str) -> Iterator[None]:
    deadline = time.monotonic() + SHOWN_SECONDS
    while (dag := api.dag(dag_id)) is None:
        if time.monotonic() > deadline:
            errors = "; ".join(f"{error['filename']}: {error['stack_trace'].strip()[-300:]}" for error in api.import_errors())
            raise ServiceError(
                f"Airflow does not show the DAG '{dag_id}'",
                where=str(airflow.log_file()),
                fix=f"Import errors: {errors}" if errors else "'driftline jobs validate' checks its definition.",
            )
        yield
    if dag["is_paused"]:
        api.unpause(dag_id)


def _tell(api: AirflowApi, run: Run, report: Progress) -> None:
    tasks = api.tasks(run.dag_id, run.run_id)
    report(run.dag_id, sum(task["state"] in DONE for task in tasks), max(1, len(tasks)))


def _failure(api: AirflowApi, run: Run) -> ServiceError:
    failed = [task for task in api.tasks(run.dag_id, run.run_id) if task["state"] == "failed"]
    where = f"{run.dag_id}, run {run.run_id}"
    if not failed:
        return ServiceError("the run failed before any task did", where=where, fix=f"See {api.url}/dags/{run.dag_id}")
    task = failed[0]
    name = task["task_id"] if task["map_index"] < 0 else f"{task['task_id']}[{task['map_index']}]"
    log = "\n  ".join(line[:400] for line in api.log(task))
    return ServiceError(f"the task '{name}' failed", where=where, fix=f"See {api.link(task)}\nIts log ends:\n  {log}")


def _still_alive() -> None:
    dead = airflow.dead_parts()
    if dead:
        raise ServiceError(
            f"Airflow's {' and '.join(dead)} died meanwhile",
            where=str(airflow.log_file()),
            fix="'driftline up' starts it again; then run the command once more.",
        )
