"""The plugin's pages inside Airflow's real web application: who may see what, and that nothing in them is live."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from dag_definitions import PASSWORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.mark.parametrize(
    "path", ["explorer", "series", "reports/some-report", "api/v1/records", "static/common.js", "docs", "openapi.json"]
)
def test_the_anonymous_see_nothing(web: TestClient, path: str) -> None:
    assert web.get(f"/driftline/{path}").status_code in {401, 404}
    if "/" in path:
        assert web.get(f"/driftline/{path}").status_code == 401


def test_a_wrong_token_sees_nothing(web: TestClient) -> None:
    assert web.get("/driftline/explorer", headers={"Authorization": "Bearer x.y.z"}).status_code in {401, 403}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("static/..%2f..%2fapp.py", 404),
        ("static/app.py", 404),
        ("explorer?job=no-such-job", 404),
        ("api/v1/records?job=no-such-job", 404),
        ("api/v1/records?job=..%2f..%2fetc", 404),
        ("api/v1/lanes?view=nonsense", 422),
        ("api/v1/records?min_score=1000", 422),
        ("reports/..%2f..%2fetc%2fpasswd", 404),
        ("reports/%2e%2e", 422),
        ("reports/no-such-report", 404),
        ("reports/a%20b", 422),
    ],
)
def test_bad_requests_are_refused(web: TestClient, path: str, code: int) -> None:
    assert web.get(f"/driftline/{path}", headers=headers(web, "admin")).status_code == code
