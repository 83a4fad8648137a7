"""A whole Airflow on this machine: a job is backfilled by Airflow's own command, and a worker is killed in its middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import psutil
import pytest
from dag_definitions import make_job, write_job
from dag_traffic import TRAINED, index_traffic

from driftline.core.timespan import iso
from driftline.elastic import results
from driftline.elastic.snapshots import manifests
from driftline.services import airflow
from driftline.services.environment import airflow_environment, password

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job

pytestmark = pytest.mark.full
PATIENCE = 240
T = TypeVar("T")


class House:
    """A running Airflow and the job that the tests work with."""

    def __init__(self, client: Elasticsearch, web: httpx.Client, job: Job, environment: dict[str, str]) -> None:
        self.client, self.web, self.job, self.environment = client, web, job, environment

    def trigger(self, dag_id: str, **conf: Any) -> str:
        answer = self.web.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
        assert answer.status_code == 200, answer.text
        return answer.json()["dag_run_id"]

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        return self.web.get(f"/api/v2/dags/{dag_id}/dagRuns", params={"limit": 100}).json()["dag_runs"]

    def finished(self, dag_id: str, run_id: str) -> str:
        """Waits for a run, and returns its state."""

        def state() -> str | None:
            found = self.web.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}").json()["state"]
            return found if found in {"success", "failed"} else None

        return until(state)

    def documents(self) -> dict[str, dict[str, Any]]:
        query = {"term": {"job_id": self.job.job_id}}
        return {hit["_id"]: hit["_source"] for hit in results.scan(self.client, query)}


def until(ask: Callable[[], T | None]) -> T:
    """Asks until there is an answer. Airflow tells nobody when it is done, so it must be asked."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if (answer := ask()) is not None:
            return answer
        time.sleep(0.3)
    raise AssertionError(f"no answer within {PATIENCE} s")


@pytest.fixture(scope="module")
def house(client: Elasticsearch, cluster: str, own_jobs: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Airflow with one job that only runs on request, over four weeks of traffic."""
    folder: Path = tmp_path_factory.mktemp("standalone")
    job = make_job(
        f"{own_jobs}requests",
        bucket_span="1h",
        datafeed={"frequency": "12h", "after_source": "nobody"},
        training={"window": "21d", "schedule": "none"},
        model_plot_config={"enabled": True},
    )
    index_traffic(client, job.datafeed.indices[0])
    write_job(folder / "jobs", job)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "DRIFTLINE_STATE_DIR": str(folder / "state"),
            "DRIFTLINE_ELASTICSEARCH_URL": cluster,
            "DRIFTLINE_JOBS_DIR": str(folder / "jobs"),
            "DRIFTLINE_SOURCES_DIR": str(folder / "sources"),
            "DRIFTLINE_AIRFLOW_PORT": "18180",
        }.items():
            patch.setenv(name, value)
        started = airflow.start(None)
        try:
            assert started.url
            given = {"username": "admin", "password": password()}
            token = httpx.post(f"{started.url}/auth/token", json=given, trust_env=False, timeout=120).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            environment = airflow_environment(port=int(started.url.rsplit(":", 1)[1]))
            with httpx.Client(base_url=started.url, headers=headers, timeout=120, trust_env=False) as web:
                until(lambda: web.get(f"/api/v2/dags/{job.job_id}.score").status_code == 200 or None)
                yield House(client, web, job, environment)
        finally:
            airflow.stop()


@pytest.fixture(scope="module")
def scored(house: House) -> dict[str, dict[str, Any]]:
    """The documents of two days, scored in one straight run by a snapshot of before."""
    train, score = f"{house.job.job_id}.train", f"{house.job.job_id}.score"
    assert house.finished(train, house.trigger(train, as_of=iso(TRAINED))) == "success"
    assert len(manifests(house.client, house.job.job_id)) == 1
    run = house.trigger(score, start=iso(TRAINED), end=iso(TRAINED + timedelta(days=2)))
    assert house.finished(score, run) == "success"
    documents = house.documents()
    assert sum(document["result_type"] == "model_plot" for document in documents.values()) == 2 * 48
    return documents


def test_airflows_own_backfill_gives_the_documents_of_a_straight_run(house: House, scored: dict[str, dict[str, Any]]) -> None:
    dag_id = f"{house.job.job_id}.score"
    results.delete(house.client, "driftline-results-*", {"term": {"job_id": house.job.job_id}})
    last = TRAINED + timedelta(days=2, seconds=-1)
    command = ["backfill", "create", "--dag-id", dag_id, "--from-date", iso(TRAINED), "--to-date", iso(last)]
    program = str(Path(sys.executable).with_name("airflow"))
    done = subprocess.run([program, *command, "--max-active-runs", "2"], env=house.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    def backfilled() -> list[dict[str, Any]] | None:
        found = [run for run in house.runs(dag_id) if run["run_type"] == "backfill"]
        return found if found and all(run["state"] in {"success", "failed"} for run in found) else None

    runs = until(backfilled)
    assert [run["state"] for run in runs] == ["success"] * 4
    assert sorted(run["data_interval_start"] for run in runs)[0] == iso(TRAINED)
    assert house.documents() == scored


def test_a_worker_killed_in_its_middle_is_tried_again_with_the_same_result(
    house: House, scored: dict[str, dict[str, Any]]
) -> None:
    dag_id = f"{house.job.job_id}.score"
    results.delete(house.client, "driftline-results-*", {"term": {"job_id": house.job.job_id}})
    run = house.trigger(dag_id, start=iso(TRAINED), end=iso(TRAINED + timedelta(days=2)))
    tries = f"/api/v2/dags/{dag_id}/dagRuns/{run}/taskInstances/write"

    def running() -> psutil.Process | None:
        task = house.web.get(tries).json()
        return _worker_of(task["id"]) if task.get("state") == "running" else None

    until(running).kill()
    assert house.finished(dag_id, run) == "success"
    assert house.web.get(tries).json()["try_number"] == 2
    assert house.documents() == scored


def _worker_of(task_instance: str) -> psutil.Process | None:
    """The process that works on a task instance, by its title; None while it has not begun."""
    for process in psutil.process_iter(["cmdline"]):
        if task_instance in " ".join(process.info["cmdline"] or []):
            return process
    return None


def test_a_new_job_shows_within_fifteen_seconds_and_a_broken_one_is_alone(house: House) -> None:
    folder = Path(os.environ["DRIFTLINE_JOBS_DIR"])
    fresh = make_job(f"{house.job.job_id}-new", datafeed={"after_source": "nobody"})
    began = time.monotonic()
    write_job(folder, fresh)
    until(lambda: house.web.get(f"/api/v2/dags/{fresh.job_id}.score").status_code == 200 or None)
    assert time.monotonic() - began < 15
    (folder / "broken.yaml").write_text(json.dumps({"job_id": "broken", "detectorz": []}))

    def errors() -> list[str] | None:
        found = house.web.get("/api/v2/importErrors").json()["import_errors"]
        return [error["stack_trace"] for error in found] or None

    (message,) = until(errors)
    assert "detectorz: unknown field; did you mean 'detectors'?" in message
    assert not house.web.get(f"/api/v2/dags/{house.job.job_id}.score").json()["is_stale"]
    (folder / "broken.yaml").unlink()
    until(lambda: True if errors() is None else None)
