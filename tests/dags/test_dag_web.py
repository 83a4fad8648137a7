"""The plugin's pages inside Airflow's real web application: who may see what, and that nothing in them is live."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from dag_definitions import PASSWORDS

from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.indices import ensure_templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch
    from fastapi.testclient import TestClient

HOSTILE = "<script>alert(1)</script>"
MOMENT = datetime(2026, 3, 26, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def web(airflow_database: None, cluster: str) -> Iterator[TestClient]:
    """Airflow's web application, with our plugin found by Airflow itself."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    with TestClient(create_app(), base_url="http://localhost") as client:
        yield client


def headers(web: TestClient, user: str) -> dict[str, str]:
    token = web.post("/auth/token", json={"username": user, "password": PASSWORDS[user]}).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def job_id(client: Elasticsearch, own_jobs: str) -> str:
    """A job with two records, one with hostile text."""
    name = f"{own_jobs}web"
    ensure_templates(client)
    record = {
        "job_id": name,
        "result_type": "record",
        "timestamp": int(MOMENT.timestamp() * 1000),
        "function": "count",
        "partition_field_name": "url.path",
        "partition_field_value": HOSTILE,
        "record_score": 91.0,
        "actual": [500.0],
        "typical": [20.25],
        "driftline": {"sentence": "25 times higher than expected"},
    }
    other = record | {"record_score": 12.0, "partition_field_value": "/quiet", "timestamp": record["timestamp"] + 3_600_000}
    actions = [index_action("driftline-results-2026.03", f"{name}-{n}", doc) for n, doc in enumerate((record, other))]
    bulk(client, actions)
    client.indices.refresh(index="driftline-results-2026.03")
    return name


@pytest.mark.parametrize("path", ["results/some-job", "reports/some-report", "docs", "openapi.json"])
def test_the_anonymous_see_nothing(web: TestClient, path: str) -> None:
    assert web.get(f"/driftline/{path}").status_code in {401, 404}
    if "/" in path:
        assert web.get(f"/driftline/{path}").status_code == 401


def test_a_wrong_token_sees_nothing(web: TestClient) -> None:
    assert web.get("/driftline/results/some-job", headers={"Authorization": "Bearer x.y.z"}).status_code in {401, 403}


@pytest.mark.parametrize("user", ["admin", "viewer"])
def test_a_user_sees_the_top_records_escaped_and_without_scripts(web: TestClient, job_id: str, user: str) -> None:
    answer = web.get(f"/driftline/results/{job_id}", headers=headers(web, user))
    assert answer.status_code == 200
    assert "91 critical" in answer.text
    assert "25 times higher than expected" in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "<script" not in answer.text
    assert answer.text.index("91 critical") < answer.text.index("12 warning")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_interval_narrows_the_records(web: TestClient, job_id: str) -> None:
    query = {"start": "2026-03-26T11:00:00Z", "end": "2026-03-26T12:00:00Z"}
    answer = web.get(f"/driftline/results/{job_id}", headers=headers(web, "admin"), params=query)
    assert "/quiet" in answer.text
    assert "91 critical" not in answer.text


def test_a_job_without_results_says_so(web: TestClient) -> None:
    assert "Nothing unusual was found" in web.get("/driftline/results/no-such", headers=headers(web, "admin")).text


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("results/..%2f..%2fetc", 404),
        ("results/UPPER%20case", 422),
        ("results/x?start=nonsense&end=now", 400),
        ("results/x?start=2026-03-01T00:00Z", 400),
        ("reports/..%2f..%2fetc%2fpasswd", 404),
        ("reports/%2e%2e", 422),
        ("reports/no-such-report", 404),
        ("reports/a%20b", 422),
    ],
)
def test_bad_requests_are_refused(web: TestClient, path: str, code: int) -> None:
    assert web.get(f"/driftline/{path}", headers=headers(web, "admin")).status_code == code
