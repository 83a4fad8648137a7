"""What else the REST API does: files of Elastic's in and out, notes, forecasts, estimates, proposals, modules."""

from __future__ import annotations

from shutil import copytree
from typing import TYPE_CHECKING, Any

import pytest
from dag_definitions import PASSWORDS
from dag_explored import START

from driftline.core.paths import modules_dir
from driftline.core.timespan import iso
from driftline.pipeline.jobs import delete, load_job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from elasticsearch import Elasticsearch
    from fastapi.testclient import TestClient

    from driftline.core.job import Job


@pytest.fixture(scope="module")
def web(airflow_database: None, cluster: str) -> Iterator[TestClient]:
    """The application, as an editor asks it."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    with TestClient(create_app(), base_url="http://localhost/driftline/api/v1/") as client:
        asked = {"username": "admin", "password": PASSWORDS["admin"]}
        token = client.post("http://localhost/auth/token", json=asked).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def answered(answer: Any, code: int = 200) -> Any:
    assert answer.status_code == code, answer.text
    return answer.json()


def test_elastics_files_come_in_and_go_out(web: TestClient, client: Elasticsearch, explored: Job, module_prefix: str) -> None:
    name = f"{module_prefix}taken"
    body = {
        "analysis_config": {"bucket_span": "1h", "detectors": [{"function": "count"}]},
        "data_description": {"time_field": "@timestamp"},
    }
    feed = {"job_id": name, "indices": ["INDEX_PATTERN_NAME"], "query": {"match_all": {}}}
    files = {f"{name}.json": {"job_id": name, **body}, f"datafeed_{name}.json": feed}
    asked = {"files": files, "index_pattern": explored.datafeed.indices[0]}
    tried = answered(web.post("import", json={**asked, "dry_run": True}))
    status = next(each["status"] for each in tried["jobs"] if each["job_id"] == name)
    assert status.startswith("imported")
    assert web.get(f"jobs/{name}").status_code == 404
    answered(web.post("import", json=asked))
    assert load_job(name, client).datafeed.indices == explored.datafeed.indices
    exported = answered(web.get(f"jobs/{name}/export"))
    assert exported["job"]["analysis_config"]["detectors"][0]["function"] == "count"
    assert exported["job"]["datafeed_config"]["indices"] == explored.datafeed.indices
    refused = answered(web.post("import", json={"files": {"x.json": {"analysis_config": {"detectors": []}}}}))
    assert refused["jobs"][0]["status"] == "refused"
    assert answered(web.post("import", json={"files": {"../x.json": {}}}), 422)
    delete(client, name)


def test_notes_are_made_found_and_taken_back(web: TestClient, explored: Job) -> None:
    note = {"text": "<b>Moved</b>", "start": iso(START), "partition": "/cart"}
    made = answered(web.post(f"jobs/{explored.job_id}/annotations", json=note), 201)
    assert answered(web.post(f"jobs/{explored.job_id}/annotations", json=note), 201)["_id"] == made["_id"]
    found = answered(web.get(f"jobs/{explored.job_id}/annotations", params={"start": iso(START)}))["annotations"]
    mine = next(each for each in found if each["annotation"] == note["text"])
    assert (mine["create_username"], mine["partition_field_value"]) == ("admin", "/cart")
    assert answered(web.delete(f"jobs/{explored.job_id}/annotations/{made['_id']}"))["removed"]
    left = answered(web.get(f"jobs/{explored.job_id}/annotations"))["annotations"]
    assert note["text"] not in [each["annotation"] for each in left]


def test_forecasts_are_listed_and_deleted(web: TestClient, explored: Job, client: Elasticsearch) -> None:
    from driftline.pipeline.forecast import forecast

    forecast(client, explored, duration="1d", run="another")
    before = answered(web.get(f"jobs/{explored.job_id}/forecasts"))
    one = next(each["forecast_id"] for each in before["forecasts"])
    assert answered(web.delete(f"jobs/{explored.job_id}/forecasts/{one}"))["removed"] > 0
    assert answered(web.get(f"jobs/{explored.job_id}/forecasts"))["count"] == before["count"] - 1
    assert answered(web.get(f"jobs/{explored.job_id}/categories")) == {"count": 0, "categories": []}


def test_a_job_is_estimated_and_an_index_has_proposals(web: TestClient, explored: Job) -> None:
    told = answered(web.get(f"jobs/{explored.job_id}/estimate"))
    draft = {name: value for name, value in explored.as_dict().items() if name != "job_id"} | {"job_id": "draft"}
    assert answered(web.post("draft/estimate", json=draft))["series"] == told["series"]
    found = answered(web.get("draft/suggest", params={"index": explored.datafeed.indices[0], "prefix": "shop-"}))
    assert found["jobs"]
    assert all(each["job"]["job_id"].startswith("shop-") and each["reason"] for each in found["jobs"])


def test_a_job_is_replayed(web: TestClient, explored: Job) -> None:
    told = answered(web.get(f"jobs/{explored.job_id}/backtest", params={"partition": "/cart", "threshold": 50}))
    assert (told["series"], told["bucket_span"]) == (1, "1h")
    assert next(each for each in told["alarms"] if each["threshold"] == 50)["alarms"] >= 1, "the spike"
    long = {"start": "2020-01-01", "end": "2026-03-20"}
    assert "at most" in web.get(f"jobs/{explored.job_id}/backtest", params=long).text


def test_modules_are_listed_tried_and_fit_or_not(web: TestClient, explored: Job) -> None:
    listed = answered(web.get("modules"))
    names = [each["module"] for each in listed["modules"]]
    assert "web_access" in names
    one = answered(web.get("modules/web_access"))
    assert [job["job_id"] for job in one["jobs"]] == listed["modules"][names.index("web_access")]["jobs"]
    assert web.get("modules/..%2Fjobs").status_code in (400, 404)
    index = explored.datafeed.indices[0]
    assert {each["module"] for each in answered(web.get("draft/modules", params={"index": index}))["modules"]} == set(names)
    tried = answered(web.post("modules/web_access/setup", json={"index_pattern": index, "dry_run": True}))
    assert tried
    assert "web_access" not in str(answered(web.get("jobs"))), "nothing was saved"


def test_a_broken_module_is_listed_with_its_reason_and_hides_no_other(
    web: TestClient, explored: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copytree(modules_dir(), tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("DRIFTLINE_MODULES_DIR", str(tmp_path))
    (tmp_path / "dns" / "module.yaml").write_text("titel: Names\n")
    for path in ("modules", f"draft/modules?index={explored.datafeed.indices[0]}"):
        found = {each["module"]: each.get("error", "") for each in answered(web.get(path))["modules"]}
        assert "did you mean 'title'?" in found.pop("dns")
        assert found == dict.fromkeys(("authentication", "system_metrics", "web_access"), "")
    assert "did you mean 'title'?" in answered(web.get("modules/dns"), 400)["message"]
