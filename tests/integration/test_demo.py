"""The demo from end to end, through the scheduler: it finds what was injected, and a second one changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from driftline.core.errors import DriftlineError
from driftline.elastic.results import scan, top_records
from driftline.services import airflow
from driftline.services.demo import demo_jobs
from driftline.services.findings import matches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]
DRIFTLINE = Path(sys.executable).parent / "driftline"
SECONDS_APART = {"forecast_create_timestamp", "forecast_expiry_timestamp"}  # when it was made: the one wall clock in results


def run_demo() -> dict[str, Any]:
    done = subprocess.run([DRIFTLINE, "demo", "--json"], env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = orjson.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def demo(cluster: str) -> Iterator[dict[str, Any]]:
    yield run_demo()
    try:
        airflow.stop()
    except DriftlineError as error:
        pytest.fail(str(error))


def stored(client: Elasticsearch) -> dict[str, dict[str, Any]]:
    query = {"prefix": {"job_id": "demo-"}}
    return {
        hit["_id"]: {key: value for key, value in hit["_source"].items() if key not in SECONDS_APART}
        for index in ("driftline-results-*", "driftline-forecasts-*")
        for hit in scan(client, query, index=index)
    }


@pytest.mark.parametrize("kind", ["spike", "drop", "outage"])
def test_the_injected_anomaly_is_in_the_top_ten_of_a_job(demo: dict[str, Any], client: Elasticsearch, kind: str) -> None:
    entries = [entry for entry in demo["injected"] if entry["kind"] == kind]
    assert entries
    top = [record for job in demo_jobs() for record in top_records(client, job.job_id, limit=10)]
    assert any(matches(record, entry) for record in top for entry in entries)


def test_all_that_was_injected_is_found(demo: dict[str, Any]) -> None:
    assert [entry["kind"] for entry in demo["injected"] if not entry["found_by"]] == []
    assert {entry["kind"]: entry["found_by"] for entry in demo["injected"]}["not_found"] == "demo-status"


def test_every_run_has_a_verdict_and_every_job_a_forecast(demo: dict[str, Any]) -> None:
    jobs = {run["dag_id"].rpartition(".")[0] for run in demo["runs"] if run["dag_id"].endswith(".train")}
    assert {entry["job_id"] for entry in demo["forecasts"]} == jobs != set()
    assert all(entry["summary"] for entry in demo["forecasts"])
    assert {entry["start"] for entry in demo["forecasts"]} == {demo["scored"]["start"]}, "where the training ends, each time"
    assert {entry["dag_id"] for entry in demo["quality"]} >= {f"{job}.{stage}" for job in jobs for stage in ("train", "score")}
    assert {entry["verdict"] for entry in demo["quality"]} <= {"pass", "warn"}


def test_a_second_demo_leaves_the_same_documents(demo: dict[str, Any], client: Elasticsearch) -> None:
    before, count = stored(client), client.count(index="demo-access")["count"]
    assert before
    assert count > 900_000
    again = run_demo()
    client.indices.refresh(index="demo-access,driftline-*")
    assert client.count(index="demo-access")["count"] == count
    after = stored(client)
    assert after.keys() == before.keys()
    assert after == before
    assert again["anomalies"] == demo["anomalies"]
