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

from driftline.core.timespan import floor_time, iso, parse_time
from driftline.elastic import results
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.snapshots import manifests
from driftline.pipeline.jobs import delete, load_job
from driftline.pipeline.score import asked_window, score

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
from=$(date +%s --date="2017/01/01")
to=$(date +%s --date="2017/01/31")
curl -s -X POST localhost:8077/api/ivoip/train?name=$name&from_date=$from&to_date=$to
wait
"""
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


@pytest.mark.parametrize("line", [IVOIP, IVOIP_TRAIN, IVOIP_LIMITED], ids=["create", "train", "limited"])
def test_signatures_are_said_not_to_be_there(typed: Callable[[str], Any], line: str) -> None:
    answer = typed(line)
    assert answer["error"] == "Not Implemented"
    assert "does not make signatures yet" in answer["message"]


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
    ],
)
def test_a_wrong_parameter_is_named(call: Callable[..., httpx.Response], model: str, method: str, path: str, told: str) -> None:
    options = {"json": {"features": [{"name": "a", "metric": "count"}]}} if "create" in path else {}
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


def test_a_viewer_changes_nothing(call: Callable[..., httpx.Response], model: str) -> None:
    for method, path in (
        *(("POST", f"model/{each}") for each in ("create", "delete", "train", "predict", "start", "stop")),
        ("DELETE", "model/delete"), ("DELETE", "anomalies"), ("POST", "ivoip/create"), ("POST", "ivoip/train"),
    ):  # fmt: skip
        assert call(method, f"api/{path}", "viewer", params={"name": model}).status_code == 403
    assert listed(call, model) is not None
