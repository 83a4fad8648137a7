"""Airflow's audit log has every change that was made through our APIs, by whom, and what became of it; and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

WRITING = {"POST", "PUT", "PATCH", "DELETE"}


@pytest.fixture
def ask(site: str, token_of: Callable[[str], str]) -> Callable[..., httpx.Response]:
    """Asks Airflow's web server as a user."""

    def asked(user: str, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token_of(user)}"}
        return httpx.request(method, f"{site}{path}", headers=headers, trust_env=False, timeout=60, **options)

    return asked


@pytest.fixture
def logged(ask: Callable[..., httpx.Response]) -> Callable[..., list[dict[str, Any]]]:
    """Our rows of the audit log that hold a text, by time, as Airflow's API gives them."""

    def found(text: str) -> list[dict[str, Any]]:
        asked = {"event_pattern": "driftline.", "order_by": "id", "limit": 100, "offset": 0}
        rows: list[dict[str, Any]] = []
        while page := ask("admin", "GET", "/api/v2/eventLogs", params=asked).json()["event_logs"]:
            rows += page
            asked["offset"] = len(rows)
        return [{**row, "extra": json.loads(row["extra"])} for row in rows if text in row["extra"]]

    return found


def test_a_change_is_found_with_who_made_it_and_what_became_of_it(
    ask: Callable[..., httpx.Response], logged: Callable[..., list[dict[str, Any]]], prefix: str
) -> None:
    path = f"/driftline/api/v1/filters/{prefix}f"
    assert ask("admin", "PUT", path, json={"items": ["a*"]}).status_code == 200
    assert ask("admin", "PUT", path, json={"itemz": ["a*"], "password": "hunter2"}).status_code == 400
    assert ask("admin", "PUT", path, content=b"[").status_code == 422
    assert ask("admin", "DELETE", path).status_code == 200
    assert ask("admin", "DELETE", path).status_code == 404
    rows = logged(f"{prefix}f")
    assert [row["extra"]["status"] for row in rows] == [200, 400, 422, 200, 404]
    assert {(row["owner"], row["dag_id"], row["extra"]["path"]) for row in rows} == {
        ("admin", None, "/api/v1/filters/{filter_id}")
    }
    assert [row["event"] for row in rows[2:4]] == ["driftline.rules.put_filter", "driftline.rules.delete_filter"]
    assert rows[0]["extra"] == {
        "method": "PUT", "path": "/api/v1/filters/{filter_id}", "status": 200, "filter_id": f"{prefix}f",
        "body": {"items": ["a*"]},
    }  # fmt: skip
    assert rows[1]["extra"]["body"] == {"itemz": ["a*"], "password": "***"}
    assert rows[2]["extra"]["body_bytes"] == 1


def test_reading_asking_and_being_refused_leave_nothing(
    ask: Callable[..., httpx.Response], logged: Callable[..., list[dict[str, Any]]], prefix: str
) -> None:
    name = f"{prefix}x"
    assert ask("viewer", "GET", "/driftline/api/v1/filters", params={"name": name}).status_code == 200
    assert ask("viewer", "GET", f"/driftline/api/v1/jobs/{name}").status_code == 404
    assert ask("admin", "POST", "/driftline/api/v1/validate", json={"job_id": name}).status_code == 200
    assert ask("viewer", "PUT", f"/driftline/api/v1/filters/{name}", json={"items": []}).status_code == 403
    assert logged(name) == []


def test_loudmls_calls_are_logged_with_the_status_that_they_were_answered(
    ask: Callable[..., httpx.Response], logged: Callable[..., list[dict[str, Any]]], prefix: str
) -> None:
    gone, wrong = {"name": f"{prefix}gone"}, {"name": f"{prefix}gone", "nonsense": "1"}
    codes = [ask("admin", "POST", "/driftline/loudml/api/model/start", params=asked).status_code for asked in (gone, wrong)]
    rows = logged(f"{prefix}gone")
    assert [row["extra"]["status"] for row in rows] == codes == [404, 400]
    assert {(row["event"], row["extra"]["query"]["name"]) for row in rows} == {("driftline.loudml.start", f"{prefix}gone")}


def test_calls_of_elastics_api_are_logged_by_its_paths(
    ask: Callable[..., httpx.Response], logged: Callable[..., list[dict[str, Any]]], prefix: str
) -> None:
    path = f"/driftline/elastic/_ml/filters/{prefix}f"
    codes = [ask("admin", method, path, json=body).status_code for method, body in (("PUT", {"items": ["a"]}), ("PUT", {"x": 1}))]
    codes.append(ask("admin", "DELETE", path).status_code)
    rows = logged(f"{prefix}f")
    assert [row["extra"]["status"] for row in rows] == codes == [200, 400, 200]
    assert {row["extra"]["path"] for row in rows} == {"/elastic/_ml/filters/{filter_id}"}
    assert rows[0]["event"].startswith("driftline.elastic.filters.")


def test_a_change_of_a_job_names_its_dag_once_airflow_has_it(
    ask: Callable[..., httpx.Response], logged: Callable[..., list[dict[str, Any]]], prefix: str
) -> None:
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    job = f"{prefix}j"
    assert ask("admin", "DELETE", f"/driftline/api/v1/jobs/{job}").status_code == 404
    with create_session() as session:
        session.merge(DagBundleModel(name="test"))
        session.flush()
        session.add(DagModel(dag_id=f"{job}.score", bundle_name="test"))
    assert ask("admin", "POST", f"/driftline/api/v1/jobs/{job}/reset").status_code == 404
    assert [row["dag_id"] for row in logged(job)] == [None, f"{job}.score"]
    with create_session() as session:
        session.delete(session.get(DagModel, f"{job}.score"))


def test_every_route_that_changes_something_is_logged(site: str) -> None:
    from driftline_airflow.web.access import Guarded
    from driftline_airflow.web.app import application

    writing = [route for route in application().routes if WRITING & (getattr(route, "methods", None) or set())]
    logging = [route for route in writing if isinstance(route, Guarded) and route.changes]
    silent = [route for route in writing if route not in logging]
    assert all(getattr(route.endpoint, "asks", False) for route in silent)  # type: ignore[attr-defined]
    for route in logging:
        assert route.get_route_handler().__qualname__ == "audited.<locals>.logged", route.path
    assert len(logging) > 20
