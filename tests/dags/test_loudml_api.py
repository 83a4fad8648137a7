"""loudml's REST API: the command lines of its documentation, with another host, prefix and credentials; and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from dag_definitions import airflow_knows
from fastapi import HTTPException

from driftline.core.job import Job
from driftline.core.timespan import floor_time, iso, parse_time
from driftline.elastic import results
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.snapshots import manifests
from driftline.pipeline import loudml as models
from driftline.pipeline.jobs import delete, load_job
from driftline.pipeline.score import asked_window, score
from driftline_airflow.web import access
from driftline_airflow.web import loudml as web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.models.dagrun import DagRun
    from elasticsearch import Elasticsearch

HOUR = timedelta(hours=1)
SECONDS_A_DAY = 86_400
CREATE = """
curl -X POST -H 'Content-Type: application/json' "localhost:8077/api/model/create?name=foo&index=voip-*&interval=60&span=3600&bucket_interval=1200" -d '
{
"features": [
    {"name": "avg_duration", "metric": "avg", "script": "def val = doc['"'"'end_date'"'"'].value; if(val != 0) return (val - doc['"'"'@timestamp'"'"'].value)"}
 ]
}
'
"""  # noqa: E501 - as it is documented
IVOIP = """
span=$((7*24*3600))
curl -s -X POST "localhost:8077/api/ivoip/create?name=$name&index=bananas*&term=banana_ref&max_terms=20000&span=$span&interval=3600"
"""  # noqa: E501
IVOIP_TRAIN = """
from=$(date -u +%s --date="2017/01/01")
to=$(date -u +%s --date="2017/01/31")
curl -s -X POST "localhost:8077/api/ivoip/train?name=$name&from_date=$from&to_date=$to"
"""  # it is documented without the quotes, and a shell then cuts it at each &
IVOIP_LIMITED = IVOIP_TRAIN.replace("to_date=$to", "to_date=$to&limit=1000")
SEARCH = "curl -s localhost:9200/.loudml-anomalies/_search?size=1000"


@pytest.fixture(scope="module")
def call(site: str, token_of: Callable[[str], str]) -> Callable[..., httpx.Response]:
    """Asks the API as a user."""
    tokens = {user: token_of(user) for user in ("admin", "viewer")}

    def ask(method: str, path: str, user: str = "admin", **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {tokens[user]}"}
        url = f"{site}/driftline/loudml/{path}"
        return httpx.request(method, url, headers=headers, trust_env=False, timeout=60, **options)

    return ask


@pytest.fixture(scope="module")
def typed(site: str, token_of: Callable[[str], str], module_prefix: str) -> Callable[[str], Any]:
    """Runs a documented command line, with host, prefix and credentials changed, and gives the answer."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine")
    signed = f"curl --noproxy '*' -H 'Authorization: Bearer {token_of('admin')}'"
    prefix = f"{site}/driftline/loudml"

    def run(line: str) -> Any:
        line = line.replace("curl", signed, 1).replace("localhost:8077", prefix).replace("localhost:9200", prefix)
        line = line.replace("name=foo", f"name={module_prefix}foo")
        done = subprocess.run(["bash", "-c", f"name={module_prefix}voip\n{line}"], capture_output=True, text=True, timeout=120)
        assert done.stdout.startswith(("{", "[")), done
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def model(client: Elasticsearch, own_jobs: str, call: Callable[..., httpx.Response]) -> Iterator[str]:
    """A model of calls of the last eleven days; in the fifth last, one hour has very many."""
    index, now = f"{own_jobs}calls", floor_time(datetime.now(UTC), HOUR)
    fields = {"@timestamp": {"type": "date"}, "seconds": {"type": "double"}}
    client.indices.create(index=index, mappings={"properties": fields}, settings={"number_of_replicas": 0})
    rng = np.random.default_rng(5)
    rows = [
        {"@timestamp": int((now - hour * HOUR).timestamp() * 1000) + number, "seconds": float(rng.normal(100, 10))}
        for hour in range(1, 11 * 24)
        for number in range(200 if hour == 4 * 24 + 3 else int(rng.poisson(12)))
    ]
    bulk(client, (index_action(index, None, row) for row in rows))
    client.indices.refresh(index=index)
    name = f"{own_jobs}calls"
    query = {"name": name, "index": index, "interval": 3600, "span": 3600, "bucket_interval": 3600}
    made = call("POST", "api/model/create", params=query, json={"features": [{"name": "calls", "metric": "count"}]})
    assert (made.status_code, made.json()["created"]) == (201, True)
    yield name
    delete(client, name)


@pytest.fixture(scope="module")
def dags(model: str, client: Elasticsearch, site: str, call: Callable[..., httpx.Response]) -> dict[str, Any]:
    """The model's DAGs as Airflow has them once its DAG processor has seen them; before that, what a user is told."""
    for path in ("train", "predict", "start", "stop"):
        early = call("POST", f"api/model/{path}", params={"name": model})
        assert early.status_code == 503
        assert early.json()["message"] == "The model's DAGs are being made: ask again in some seconds."
        assert early.headers["retry-after"] == "10"
    return airflow_knows(model)


def run_as_asked(dags: dict[str, Any], told: dict[str, Any]) -> DagRun:
    """What Airflow does with a run that it was given: the same DAG with the same params."""
    dag = dags[told["job_id"].rpartition(".")[0]]
    for task in dag.tasks:
        if task.is_mapped:
            task.partial_kwargs["retries"] = 0
        else:
            task.retries = 0
    return dag.test(logical_date=None, run_conf=told["conf"])


def listed(call: Callable[..., httpx.Response], name: str) -> dict[str, Any] | None:
    return next((each for each in call("GET", "api/model/list", "viewer").json() if each["name"] == name), None)


def test_the_documented_create_call_makes_a_model_with_its_script(
    typed: Callable[[str], Any], call: Callable[..., httpx.Response], client: Elasticsearch, module_prefix: str
) -> None:
    made = typed(CREATE)
    name = f"{module_prefix}foo"
    assert (made["name"], made["created"]) == (name, True)
    job = load_job(name, client)
    assert job.paused
    shown = listed(call, name)
    assert shown is not None
    assert (shown["index"], shown["interval"], shown["span"], shown["bucket_interval"]) == ("voip-*", 60, 3600, 1200)
    assert shown["features"][0]["script"].startswith("def val = doc['end_date'].value; if(val != 0)")
    assert (shown["started"], shown["trained_until"]) == (False, None)
    again = typed(CREATE)
    assert again["error"] == "Conflict"
    assert f"the name '{name}' is taken" in again["message"]
    assert call("POST", "api/model/delete", params={"name": name}).json()["deleted"] is True
    assert listed(call, name) is None
    assert typed(CREATE)["created"] is True
    assert call("DELETE", "api/model/delete", params={"name": name}).json()["deleted"] is True
    gone = call("DELETE", "api/model/delete", params={"name": name})
    assert (gone.status_code, gone.json()["what"]) == (404, f"there is no model '{name}'")


@pytest.fixture(scope="module")
def ivoip(
    client: Elasticsearch, own_jobs: str, typed: Callable[[str], Any], call: Callable[..., httpx.Response]
) -> Iterator[str]:
    """Signatures, made by the documented call, of 40 bananas in January 2017; one of them is eaten by night in March."""
    name, index, start = f"{own_jobs}voip", f"{own_jobs}bananas", datetime(2017, 1, 1, tzinfo=UTC)
    fields = {"@timestamp": {"type": "date"}, "banana_ref": {"type": "keyword"}}
    client.indices.create(index=index, mappings={"properties": fields}, settings={"number_of_replicas": 0})
    rng = np.random.default_rng(6)

    def rows() -> Iterator[dict[str, Any]]:
        for day in [*range(30), *range(55, 66)]:
            for banana in range(40):
                hours = rng.integers(9, 17, rng.poisson(8)) if banana or day < 40 else rng.integers(0, 5, 30)
                for hour in hours.tolist():
                    yield {"@timestamp": iso(start + timedelta(days=day, hours=hour)), "banana_ref": f"b-{banana}"}

    bulk(client, (index_action(index, None, row) for row in rows()))
    client.indices.refresh(index=index)
    made = typed(IVOIP.replace("bananas*", index))
    assert (made["name"], made["created"], made["driftline_signatures"]) == (name, True, name)
    assert "made" in call("POST", "api/ivoip/train", params={"name": name}).json()["message"]  # its DAGs are being made
    yield name
    delete(client, name, kind="signatures")


@pytest.fixture(scope="module")
def ivoip_dags(ivoip: str) -> dict[str, Any]:
    return airflow_knows(ivoip)


def test_signatures_are_made_trained_and_replayed_as_documented(
    ivoip: str,
    ivoip_dags: dict[str, Any],
    typed: Callable[[str], Any],
    call: Callable[..., httpx.Response],
    client: Elasticsearch,
) -> None:
    query = {"name": ivoip, "index": "x", "term": "y"}
    assert call("POST", "api/ivoip/create", params=query).status_code == 409
    query = {"name": ivoip, "index": "x", "interval": 60, "span": 60, "bucket_interval": 60}
    features = {"features": [{"name": "a", "metric": "count"}]}
    assert call("POST", "api/model/create", params=query, json=features).status_code == 409
    assert sorted(ivoip_dags) == [f"{ivoip}.score", f"{ivoip}.train"]
    told = typed(IVOIP_LIMITED)
    assert told["operation"] == "train"
    assert told["conf"] == {"start": "2017-01-01T00:00:00Z", "as_of": "2017-01-31T00:00:00Z", "limit": 1000}
    assert call("GET", f"api/job?job_id={told['job_id']}", "viewer").json()["job_id"] == told["job_id"]
    assert run_as_asked(ivoip_dags, told).state == "success"
    assert typed(IVOIP_TRAIN)["conf"].keys() == {"start", "as_of"}
    (snapshot,) = manifests(client, ivoip)
    assert (snapshot["training_start"][:10], snapshot["training_end"]) == ("2017-01-01", "2017-01-31T00:00:00Z")
    assert (snapshot["trained"], snapshot["detail"]["limit"]) == (40, 1000)
    (shown,) = [each for each in call("GET", "api/ivoip/list", "viewer").json() if each["name"] == ivoip]
    assert (shown["span"], shown["interval"], shown["max_terms"]) == (604_800, 3600, 20_000)
    assert (shown["started"], shown["trained_until"]) == (True, "2017-01-31T00:00:00Z")
    replay = {"name": ivoip, "from_date": "2017-03-04", "to_date": "2017-03-06", "threshold": 99, "interval": 86_400}
    parts = call("POST", "api/ivoip/predict", params={**replay, "interval": 5400})
    assert (parts.status_code, "must be a multiple of the resolution 1h" in parts.json()["message"]) == (400, True)
    asked = call("POST", "api/ivoip/predict", params=replay).json()
    assert asked["conf"] == {
        "start": "2017-03-04T00:00:00Z", "end": "2017-03-06T00:00:00Z", "interval": "86400s", "threshold": 99, "model": "latest"
    }  # fmt: skip
    assert run_as_asked(ivoip_dags, asked).state == "success"
    found = call("GET", ".loudml-anomalies/_search", "viewer", params={"name": ivoip, "size": 1000}).json()["hits"]["hits"]
    assert {hit["_source"]["partition_field_value"] for hit in found} == {"b-0"}
    assert [hit for hit in typed(SEARCH)["hits"]["hits"] if hit["_source"]["job_id"] == ivoip]
    assert call("POST", "api/ivoip/stop", params={"name": ivoip}).json() == {"name": ivoip, "started": False}
    assert "waiting" in call("POST", "api/ivoip/predict", params=replay).json()
    assert call("DELETE", "api/anomalies", params={"name": ivoip}).json()["deleted"] >= len(found)
    assert len(manifests(client, ivoip)) == 1


def test_the_page_and_the_api_of_signatures_show_what_was_found(
    ivoip: str, ivoip_dags: dict[str, Any], site: str, token_of: Callable[[str], str], client: Elasticsearch
) -> None:
    from driftline.core.timespan import Window
    from driftline.pipeline.jobs import load_signatures
    from driftline.pipeline.signatures import score as score_signatures

    if not manifests(client, ivoip):
        pytest.skip("the training did not run")
    score_signatures(client, load_signatures(ivoip, client), Window.parse("2017-03-05", "2017-03-06"), interval="24h")
    head = {"Authorization": f"Bearer {token_of('viewer')}"}

    def get(path: str, **params: Any) -> httpx.Response:
        return httpx.get(f"{site}/driftline/{path}", headers=head, params=params, trust_env=False, timeout=60)

    mine = f"api/v1/signatures/{ivoip}"
    assert ivoip in {each["id"] for each in get("api/v1/signatures").json()["signatures"]}
    assert get(mine).json()["snapshot"]["entities"] == 40
    found = get(f"{mine}/anomalies").json()
    assert [row["entity"] for row in found["entities"]] == ["b-0"]
    assert (found["times"][-1]["records"], found["more"]) == (1, False)
    shown = get(f"{mine}/entity", name="b-0").json()
    assert "Other hours: more " in shown["sentence"]
    assert sum(shown["short"]["workday"][:5]) > 1 > sum(shown["long"]["workday"][:5])
    assert get(f"{mine}/entity", name="nobody").status_code in {400, 404, 422}
    assert get("api/v1/signatures/no-such").status_code == 404
    page = get("signatures", id=ivoip, entity="<b>").text
    assert "Anomalous entities over time" in page
    assert "<b>" not in page.split("</header>")[1]
    asked = httpx.post(f"{site}/driftline/{mine}/score", headers=head, json={}, trust_env=False, timeout=60)
    assert asked.status_code == 403
    admin = {"Authorization": f"Bearer {token_of('admin')}"}
    body = {"start": "2017-03-01", "end": "2017-03-06", "interval": "24h"}
    run = httpx.post(f"{site}/driftline/{mine}/score", headers=admin, json=body, trust_env=False, timeout=60)
    assert (run.status_code, run.json()["conf"]["interval"]) == (202, "24h")
    broken = httpx.post(f"{site}/driftline/{mine}/score", headers=admin, json={"interval": "90m"}, trust_env=False, timeout=60)
    assert "must be a multiple of the resolution" in broken.json()["message"]


def test_a_training_reads_exactly_the_range_that_the_shell_computes(
    call: Callable[..., httpx.Response], model: str, dags: dict[str, Any], client: Elasticsearch
) -> None:
    start, end = (int(time.time()) - SECONDS_A_DAY * days for days in (10, 6))
    asked = call("POST", "api/model/train", params={"name": model, "from_date": start, "to_date": end})
    assert asked.status_code == 202
    told = asked.json()
    assert (told["operation"], told["state"]) == ("train", "queued")
    assert told["conf"] == {"start": iso(parse_time(start)), "as_of": iso(parse_time(end))}
    followed = call("GET", f"api/job?job_id={told['job_id']}", "viewer").json()
    assert (followed["job_id"], followed["state"]) == (told["job_id"], "queued")
    assert call("POST", f"api/job/cancel?job_id={told['job_id']}", "viewer").status_code == 403
    assert call("POST", f"api/job/cancel?job_id={told['job_id']}").json()["state"] == "failed"
    assert run_as_asked(dags, told).state == "success"
    (snapshot,) = manifests(client, model)
    assert parse_time(snapshot["training_start"]) == floor_time(parse_time(start), HOUR)
    assert parse_time(snapshot["training_end"]) == floor_time(parse_time(end), HOUR)
    shown = listed(call, model)
    assert shown is not None
    assert (shown["started"], shown["trained_until"]) == (False, snapshot["training_end"])


def test_a_stopped_model_predicts_once_it_is_started(
    call: Callable[..., httpx.Response], model: str, dags: dict[str, Any]
) -> None:
    query = {"name": model, "from_date": "now-6d", "to_date": "now-1d"}
    waiting = call("POST", "api/model/predict", params=query).json()
    assert "the run begins when it is started" in waiting["waiting"]
    assert call("POST", "api/model/start", params={"name": model}).json() == {"name": model, "started": True}
    started = call("POST", "api/model/predict", params=query).json()
    assert "waiting" not in started
    assert started["conf"]["model"] == "latest"
    assert parse_time(started["conf"]["end"]) - parse_time(started["conf"]["start"]) >= timedelta(days=5) - HOUR
    shown = listed(call, model)
    assert shown is not None
    assert shown["started"] is True
    assert call("POST", "api/model/stop", params={"name": model}).json() == {"name": model, "started": False}


def test_anomalies_are_read_and_deleted_as_from_their_index(
    call: Callable[..., httpx.Response], typed: Callable[[str], Any], model: str, client: Elasticsearch
) -> None:
    job = load_job(model, client)
    if not manifests(client, model):
        pytest.skip("the training did not run")
    before = len(manifests(client, model))
    window = asked_window(client, job, "now-6d", "now-1d")
    score(client, job, window=window, model="latest")
    found = typed(SEARCH)["hits"]["hits"]
    mine = [hit["_source"] for hit in found if hit["_source"]["job_id"] == model]
    assert mine
    top = max(mine, key=lambda record: record["record_score"])
    assert (top["actual"], top["function"]) == ([200.0], "count")
    one = call("GET", "api/anomalies/_search", "viewer", params={"name": model, "size": 1}).json()["hits"]
    assert (len(one["hits"]), one["total"]["value"]) == (1, len(mine))
    assert call("DELETE", "api/anomalies", "viewer", params={"name": model}).status_code == 403
    assert call("DELETE", "api/anomalies", params={"name": model}).json()["deleted"] >= len(mine)
    assert list(results.scan(client, {"term": {"job_id": model}})) == []
    assert len(manifests(client, model)) == before
    score(client, job, window=window, model="latest")
    assert [hit["_source"] for hit in typed(SEARCH)["hits"]["hits"] if hit["_source"]["job_id"] == model] == mine


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("POST", "api/model/create?index=a&interval=60&span=60&bucket_interval=60", "name: required"),
        ("POST", "api/model/create?name=a&index=a&interval=soon&span=60&bucket_interval=60", "interval: Input should be a valid"),
        ("POST", "api/model/create?name=a&index=a&interval=60&span=60&bucket_intervall=60", "did you mean 'bucket_interval'"),
        ("POST", "api/model/delete", "name: Field required"),
        ("POST", "api/model/train?name={model}&from=now-1d", "from: Extra inputs"),
        ("POST", "api/model/train?name={model}&from_date=yesterday", "from_date: 'yesterday' is not a time"),
        ("POST", "api/model/train?name={model}&to_date=99999999999999999999", "to_date: '99999999999999999999' is beyond"),
        ("POST", "api/model/predict?name={model}&from_date=now-1d&to_date=now-2d", "from_date is not before to_date"),
        ("GET", "api/anomalies/_search?size=many", "size: Input should be a valid integer"),
        ("GET", "api/job", "job_id: Field required"),
        ("POST", "api/ivoip/create?name=a&index=a", "term: required"),
        ("POST", "api/ivoip/create?name=a&index=a&term=b&span=3600", "span must be whole days"),
        ("POST", "api/ivoip/create?name=a&index=a&term=b&interval=60", "interval: a multiple of 900 or of 1200 seconds"),
        ("POST", "api/ivoip/train?name={model}&limit=1", "limit: Input should be greater than or equal to 10"),
    ],
)
def test_a_wrong_parameter_is_named(call: Callable[..., httpx.Response], model: str, method: str, path: str, told: str) -> None:
    options = {"json": {"features": [{"name": "a", "metric": "count"}]}} if "model/create" in path else {}
    answer = call(method, path.replace("{model}", model), **options)
    assert answer.status_code == 400
    assert told in answer.json()["message"]


def test_a_body_that_is_wrong_is_told(call: Callable[..., httpx.Response]) -> None:
    path = "api/model/create?name=a&index=a&interval=60&span=60&bucket_interval=60"
    for body, told in (
        ({"features": [{"name": "a", "metric": "p95", "field": "x"}]}, "features.0.metric"),
        ({}, "features: required"),
        ({"features": [], "name": "b"}, "name: given in the wrong place"),
        ([], "body: "),
    ):
        answer = call("POST", path, json=body)
        assert answer.status_code == 400
        assert told in answer.json()["message"], answer.json()


@pytest.mark.parametrize("path", ["train", "predict", "start", "stop", "delete"])
def test_what_is_no_model_is_not_there(call: Callable[..., httpx.Response], path: str) -> None:
    for name in ("no-such-model", "demo-hosts", "No Id"):
        answer = call("POST", f"api/model/{path}", params={"name": name})
        assert (answer.status_code, answer.json()["what"]) == (404, f"there is no model '{name}'")


def test_a_run_that_is_none_is_not_there(call: Callable[..., httpx.Response]) -> None:
    for name in ("x", "some.train.loudml-0123456789ab", "../dags.train.loudml-0123456789ab"):
        assert call("GET", "api/job", params={"job_id": name}).status_code == 404


def test_the_rights_that_count_are_those_of_the_job_that_has_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def copied(id_: str) -> Job:
        text = {"job_id": id_, "detectors": [{"function": "count"}], "datafeed": {"indices": "x"}, "loudml": {"name": "voip"}}
        return Job.parse(text, where="test")

    monkeypatch.setattr(models, "list_definitions", lambda _: [])
    for module in (access, web):
        monkeypatch.setattr(module, "may", lambda user, method, dag: dag.startswith("voip."))
    monkeypatch.setattr(models, "list_jobs", lambda _: [copied("payroll"), copied("voip")])
    assert web._model(None, "bob", "voip", change=True).job_id == "voip"
    assert [each.job_id for each in web._origins(None, "bob", "voip", "PUT")] == ["voip"]
    monkeypatch.setattr(models, "list_jobs", lambda _: [copied("payroll")])
    for ask in (lambda: web._model(None, "bob", "voip"), lambda: web._origins(None, "bob", "voip", "GET")):
        with pytest.raises(HTTPException) as refused:
            ask()
        assert refused.value.status_code == 403


def test_a_viewer_changes_nothing(call: Callable[..., httpx.Response], model: str) -> None:
    for method, path in (
        *(("POST", f"model/{each}") for each in ("create", "delete", "train", "predict", "start", "stop")),
        ("DELETE", "model/delete"), ("DELETE", "anomalies"),
        *(("POST", f"ivoip/{each}") for each in ("create", "delete", "train", "predict", "start", "stop")),
    ):  # fmt: skip
        assert call(method, f"api/{path}", "viewer", params={"name": model}).status_code == 403
    assert listed(call, model) is not None
