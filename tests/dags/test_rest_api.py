"""The REST API: who may do what, what it describes, and that jobs can be made, changed and removed with it."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from alert_receivers import receiver
from dag_definitions import PASSWORDS
from typer.testing import CliRunner

from driftline.cli.app import app
from driftline.core.job import Job
from driftline.pipeline.jobs import store
from driftline.pipeline.unfinished import keep, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from elasticsearch import Elasticsearch
    from fastapi.testclient import TestClient

OF_OURS = (
    "source_id",
    "alert_id",
    "analytics_id",
    "doc_id:path",
    "model_id",
    "job_id",
    "stage",
    "run_id",
    "snapshot_id",
    "calendar_id",
    "filter_id",
    "report_id",
    "feedback_id",
    "annotation_id",
    "forecast_id",
    "name",
)
OF_ELASTIC = ("names", "timestamp", "category_id", "datafeed_id", "event_id", "path:path")
VALUES = {"stage": "score", "timestamp": "0", "category_id": "1"}
WRITING = {"POST", "PUT", "PATCH", "DELETE"}
# Asking is no change: a reader may.
ASKING = {
    "/api/v1/validate",
    "/api/v1/signatures/validate",
    "/api/v1/draft/preview",
    "/api/v1/draft/series",
    "/api/v1/draft/estimate",
    "/api/v1/analytics/validate",
    "/api/v1/trained_models/{model_id}/infer",
}
# Elastic's API asks with POST, too; where a path ends so, it changes nothing.
ASKED_ELASTIC = re.compile(
    r"/elastic/_ml/(anomaly_detectors/(_validate(/detector)?|_estimate_model_memory|\{\w+\}/(results/.+|model_snapshots(/\{names\})?))"
    r"|datafeeds/(\{\w+\}/)?_preview|calendars(/\{names\})?)"
)


@pytest.fixture(scope="module")
def web(airflow_database: None, cluster: str) -> Iterator[TestClient]:
    """Airflow's web application, with our plugin found by Airflow itself."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    with TestClient(create_app(), base_url="http://localhost") as client:
        yield client


@pytest.fixture(scope="module")
def as_(web: TestClient) -> Callable[[str], dict[str, str]]:
    """Headers of a user."""

    def headers(user: str) -> dict[str, str]:
        token = web.post("/auth/token", json={"username": user, "password": PASSWORDS[user]}).json()["access_token"]
        return {"Authorization": f"Bearer {token}"}

    return headers


def routes() -> list[tuple[str, str]]:
    """Every route of the application, so that a new one cannot be forgotten: (method, path)."""
    from driftline_airflow.web.app import application

    found = []
    for route in application().routes:
        methods, path = getattr(route, "methods", None), getattr(route, "path", "")
        assert methods, f"{path} is no route that can be guarded"
        found += [(method, path) for method in sorted(methods - {"HEAD", "OPTIONS"})]
    return sorted(found)


def only_asks(method: str, path: str) -> bool:
    """Whether a route changes nothing, though it takes a body."""
    return path in ASKING or (method == "POST" and ASKED_ELASTIC.fullmatch(path) is not None)


def filled(path: str) -> str:
    """A path with something in place of its parameters."""
    for name in (*OF_OURS, *OF_ELASTIC):
        path = path.replace(f"{{{name}}}", VALUES.get(name, "some-thing"))
    assert "{" not in path, path
    return f"/driftline{path}"


def test_the_anonymous_are_refused_everywhere(web: TestClient) -> None:
    answers = {(method, path): web.request(method, filled(path), json={}).status_code for method, path in routes()}
    assert {route: code for route, code in answers.items() if code != 401} == {}


def test_a_viewer_may_change_nothing(web: TestClient, as_: Callable[[str], dict[str, str]]) -> None:
    viewer = as_("viewer")
    asked = [(method, path) for method, path in routes() if method in WRITING and not only_asks(method, path)]
    assert len(asked) > 10
    answers = {route: web.request(route[0], filled(route[1]), json={}, headers=viewer).status_code for route in asked}
    assert {route: code for route, code in answers.items() if code != 403} == {}


def test_a_cookie_alone_changes_nothing_from_another_site(web: TestClient, as_: Callable[[str], dict[str, str]]) -> None:
    cookie = {"Cookie": f"_token={as_('admin')['Authorization'].removeprefix('Bearer ')}"}
    path = "/driftline/api/v1/filters/some-filter"
    for origin in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
        assert web.put(path, json={"items": []}, headers={**cookie, **origin}).status_code == 403
    assert web.delete(path, headers={**cookie, "Sec-Fetch-Site": "same-origin"}).status_code == 404


def test_a_path_in_place_of_an_id_is_of_nothing_that_the_web_shows() -> None:
    from fastapi import HTTPException, Request

    from driftline_airflow.web.access import dag_of, readable_jobs

    for name in ("job_id", "source_id", "analytics_id"):
        assert dag_of(Request({"type": "http", "path_params": {name: "some-thing"}})).startswith("some-thing.")
        with pytest.raises(HTTPException, match="404"):
            dag_of(Request({"type": "http", "path_params": {name: "secret.json"}}))
    with pytest.raises(HTTPException, match="404"):
        readable_jobs(None, None, ["/etc/secret.yaml"])


def test_no_route_tells_what_is_in_a_file_of_the_server(
    web: TestClient, as_: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "own.json").write_text('{"private_key": "hunter2"}')
    monkeypatch.chdir(tmp_path)
    named = re.compile(r"\{(job|source|analytics)_id\}")
    asked = [filled(named.sub("own.json", path)) for method, path in routes() if method == "GET" and named.search(path)]
    assert len(asked) > 20
    asked += [f"/driftline/{page}={tmp_path}/own.json" for page in ("api/v1/records?job", "explorer?job", "series?job")]
    answers = {path: web.get(path, headers=as_("viewer"), follow_redirects=True) for path in asked}
    assert {path: told.text for path, told in answers.items() if "private_key" in told.text or "hunter2" in told.text} == {}
    assert {path: told.status_code for path, told in answers.items() if told.status_code not in {404, 422}} == {}


def test_the_api_describes_itself(web: TestClient, as_: Callable[[str], dict[str, str]]) -> None:
    described = web.get("/driftline/api/v1/openapi.json", headers=as_("viewer")).json()
    assert described["info"]["title"] == "Driftline"
    assert "/api/v1/jobs/{job_id}/series/values" in described["paths"]
    assert all(each.get("description") for path in described["paths"].values() for each in path.values())


@pytest.fixture
def index(client: Elasticsearch, prefix: str) -> str:
    """An index with one document."""
    fields = {"@timestamp": {"type": "date"}, "url": {"type": "keyword"}}
    client.indices.create(index=f"{prefix}web", mappings={"properties": fields}, settings={"number_of_replicas": 0})
    client.index(index=f"{prefix}web", document={"@timestamp": "2026-03-01T00:00:00Z", "url": "/"}, refresh=True)
    return f"{prefix}web"


def test_a_job_is_made_read_changed_and_deleted(
    web: TestClient, as_: Callable[[str], dict[str, str]], prefix: str, index: str
) -> None:
    admin, viewer, path = as_("admin"), as_("viewer"), f"/driftline/api/v1/jobs/{prefix}api"
    definition: dict[str, Any] = {"bucket_span": "1h", "detectors": [{"function": "count"}], "datafeed": {"indices": [index]}}
    made = web.put(path, json=definition, headers=admin)
    assert (made.status_code, made.json()["created"]) == (201, True)
    found = web.get(path, headers=viewer).json()
    assert found["definition"]["bucket_span"] == "1h"
    assert found["scored_until"] is None
    changed = web.put(path, json={**definition, "bucket_span": "30m"}, headers=admin)
    assert (changed.status_code, changed.json()["created"]) == (200, False)
    assert changed.json()["version"] != made.json()["version"]
    assert any(each["id"] == f"{prefix}api" for each in web.get("/driftline/api/v1/jobs", headers=viewer).json()["jobs"])
    assert web.get(f"{path}/elastic", headers=viewer).json()["job"]["analysis_config"]["bucket_span"] == "30m"
    assert web.delete(path, headers=admin).status_code == 200
    assert web.get(path, headers=viewer).status_code == 404


def test_a_stored_job_with_an_old_rule_is_changed_while_what_is_put_now_goes_by_the_new_one(
    web: TestClient, as_: Callable[[str], dict[str, str]], client: Elasticsearch, prefix: str, index: str, tmp_path: Path
) -> None:
    api, admin, name = "/driftline/api/v1", as_("admin"), f"{prefix}old"
    old, new = ({"conditions": [{"applies_to": "time", "operator": "gt", "value": value}]} for value in (1.7e12, 1.8e12))
    rules = {"function": "count", "custom_rules": [old]}
    definition = {"job_id": name, "bucket_span": "1h", "detectors": [rules], "datafeed": {"indices": [index]}}
    for path, method, told in ((f"jobs/{name}", "PUT", "message"), ("validate", "POST", "problems")):
        assert "are these milliseconds" in str(web.request(method, f"{api}/{path}", json=definition, headers=admin).json()[told])
    store(client, "job", name, Job.parse(definition, where="test", stored=True))
    there = web.get(f"{api}/jobs/{name}", headers=admin).json()["definition"]
    mine, worse = {**there, "description": "mine"}, {**there, "detectors": [{**rules, "custom_rules": [old, new]}]}
    assert web.post(f"{api}/validate", json=mine, headers=admin).json()["valid"] is True
    assert web.put(f"{api}/jobs/{name}", json=mine, headers=admin).status_code == 200
    assert web.put(f"{api}/jobs/{name}", json=worse, headers=admin).status_code == 400
    file = tmp_path / "mine.yaml"
    for (text, told), verb in product(
        (({**mine, "description": "of a file"}, "None"), (worse, "milliseconds")), ("validate", "save")
    ):
        file.write_text(json.dumps(text))
        assert told in str(CliRunner().invoke(app, ["jobs", verb, str(file)]).exception)
    assert web.get(f"{api}/jobs/{name}", headers=admin).json()["definition"] == {**there, "description": "of a file"}
    assert web.delete(f"{api}/jobs/{name}", headers=admin).status_code == 200


def test_what_is_made_takes_no_id_that_is_taken(
    web: TestClient, as_: Callable[[str], dict[str, str]], client: Elasticsearch, prefix: str, index: str
) -> None:
    api, admin, name = "/driftline/api/v1", as_("admin"), f"{prefix}taken"
    job: dict[str, Any] = {"bucket_span": "1h", "detectors": [{"function": "count"}], "datafeed": {"indices": [index]}}
    other: dict[str, Any] = {
        "source": {"index": [index]}, "dest": {"index": f"{prefix}out"},
        "analysis": {"classification": {"dependent_variable": "url"}},
    }  # fmt: skip
    for path, definition in ((f"{api}/jobs/{name}", job), (f"{api}/analytics/{name}-too", other)):
        assert web.put(path, params={"create": True}, json=definition, headers=admin).status_code == 201
        again = web.put(path, params={"create": True}, json={**definition, "description": "mine"}, headers=admin)
        assert (again.status_code, "is taken" in again.text) == (409, True)
        assert web.get(path, headers=admin).json()["definition"]["description"] != "mine"
    watched = {"indices": index, "term": "url"}
    others = ((f"jobs/{name}-too", job), (f"analytics/{name}", other), (f"signatures/{name}", watched))
    for (path, definition), create in product(others, (True, False)):
        refused = web.put(f"{api}/{path}", params={"create": True} if create else {}, json=definition, headers=admin)
        assert (refused.status_code, "is taken" in refused.json()["message"]) == (409, True), path
    assert web.get(f"{api}/analytics/{name}-too", headers=admin).status_code == 200
    keep(client, f"{name}-waits", {"job_id": f"{name}-waits"})
    assert web.put(f"{api}/jobs/{name}-waits", params={"create": True}, json=job, headers=admin).status_code == 409
    replaced = web.put(f"{api}/jobs/{name}-waits", json=job, headers=admin)
    assert (replaced.status_code, replaced.json()["created"], f"{name}-waits" in names(client)) == (200, False, False)
    for path in (f"{api}/jobs/{name}", f"{api}/jobs/{name}-waits", f"{api}/analytics/{name}-too"):
        assert web.delete(path, headers=admin).status_code == 200


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"detectors": [{"function": "mean"}]}, "needs a field_name"),
        ({"bucket_span": "soon"}, "'soon' is not a span"),
        ({"detectors": [{"function": "count", "partition_field_name": "urll"}]}, "did you mean 'url'"),
        ({"datafeed": {"indices": ["no-such-index"]}}, "no-such-index"),
        ({"detectorz": []}, "did you mean 'detectors'"),
        ({"detectors": "count"}, "detectors"),
    ],
)
def test_what_is_wrong_with_a_job_is_said(
    web: TestClient, as_: Callable[[str], dict[str, str]], prefix: str, index: str, change: dict[str, Any], told: str
) -> None:
    definition = {"job_id": f"{prefix}x", "detectors": [{"function": "count"}], "datafeed": {"indices": [index]}, **change}
    answer = web.put(f"/driftline/api/v1/jobs/{prefix}x", json=definition, headers=as_("admin"))
    assert answer.status_code in (400, 404)
    assert told in answer.json()["message"].lower() or told in answer.json()["message"]
    checked = web.post("/driftline/api/v1/validate", json=definition, headers=as_("viewer")).json()
    assert checked["valid"] is False
    assert checked["problems"]


def test_an_alert_is_tried_by_those_who_may_change_something_and_shown_to_all(
    web: TestClient, as_: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    for name, more in (("ops", ""), ("typo", "x: 1\n")):
        text = f"alert_id: {name}\ndescription: {hostile}\n{more}channel: {{kind: webhook, conn_id: a_hook, path: in}}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    monkeypatch.setenv("DRIFTLINE_ALERTS_DIR", str(tmp_path))
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # as Airflow's API server sets it for itself
    test, admin = "/driftline/api/v1/alerts/ops/test", as_("admin")
    missing = web.post(test, headers=admin)
    assert (missing.status_code, "airflow connections add a_hook" in missing.json()["fix"]) == (404, True)
    with receiver() as kept:
        # kept in Airflow's database, as somebody makes it in Airflow
        made = {"connection_id": "a_hook", "conn_type": "http", "host": "127.0.0.1", "port": kept.port}
        assert web.post("/api/v2/connections", json=made, headers=admin).status_code == 201
        assert web.post(test, headers=as_("viewer")).status_code == 403
        assert kept.got == []
        assert web.post(test, headers=admin).json() == {"alert_id": "ops", "sent": True}
        kept.status = 500
        refused = web.post(test, headers=admin)
        web.delete("/api/v2/connections/a_hook", headers=admin)
    assert kept.got[0][0] == "/in"
    assert kept.got[0][2]["title"] == "Test of the alert 'ops'"
    assert (refused.status_code, refused.json()["error"]) == (502, "AlertError")
    assert web.post("/driftline/api/v1/alerts/opps/test", headers=admin).status_code == 404
    listed = web.get("/driftline/api/v1/alerts", headers=as_("viewer")).json()
    assert [(each["alert_id"], bool(each["broken"])) for each in listed["alerts"]] == [("ops", False), ("typo", True)]
    page = web.get("/driftline/alerts", headers=admin).text
    assert hostile not in page
    assert 'data-alert="ops"' in page
    assert "data-alert" not in web.get("/driftline/alerts", headers=as_("viewer")).text


def test_pages_open_where_some_jobs_have_no_data_yet(
    web: TestClient, as_: Callable[[str], dict[str, str]], client: Elasticsearch, prefix: str, index: str
) -> None:
    from driftline.pipeline.jobs import delete, save

    for name, source in (("there", index), ("to-come", f"{prefix}to-come")):
        feed = {"indices": [source]}
        save(
            client, Job.parse({"job_id": f"{prefix}{name}", "detectors": [{"function": "count"}], "datafeed": feed}, where="test")
        )
    both = {"job": [f"{prefix}there", f"{prefix}to-come"]}
    found = web.get("/driftline/api/v1/records", params=both, headers=as_("viewer")).json()
    assert (found["count"], found["end"]) == (0, "2026-03-01T00:00:00.001Z")
    page = web.get("/driftline/explorer", params={"job": f"{prefix}to-come"}, headers=as_("viewer"))
    assert (page.status_code, "When, and what" in page.text) == (200, True)
    for name in ("there", "to-come"):
        delete(client, f"{prefix}{name}")


def test_calendars_and_filters_are_kept(web: TestClient, as_: Callable[[str], dict[str, str]], prefix: str) -> None:
    admin = as_("admin")
    event = {"description": "move", "start_time": "2026-03-01T00:00Z", "end_time": "2026-03-02T00:00Z"}
    for kind, body in (("filter", {"items": ["a*"]}), ("calendar", {"events": [event]})):
        path = f"/driftline/api/v1/{kind}s/{prefix}{kind}"
        assert web.put(path, json=body, headers=admin).status_code == 200
        assert any(
            each[f"{kind}_id"] == f"{prefix}{kind}"
            for each in web.get(f"/driftline/api/v1/{kind}s", headers=admin).json()[f"{kind}s"]
        )
        assert web.delete(path, headers=admin).json()["deleted"] is True
        assert web.delete(path, headers=admin).status_code == 404
