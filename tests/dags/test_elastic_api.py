"""Elastic's machine learning API: the official client against it, on a real port."""

from __future__ import annotations

import contextlib
import inspect
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
from dag_definitions import airflow_knows
from dag_explored import DAYS, HOUR, SPIKE, START
from elasticsearch import (
    ApiError,
    AuthenticationException,
    AuthorizationException,
    BadRequestError,
    ConflictError,
    Elasticsearch,
    NotFoundError,
)

from driftline.core.analysis import Analysis
from driftline.core.job import Job
from driftline.core.results import Maker
from driftline.core.rules import Calendar
from driftline.core.timespan import Window, iso
from driftline.elastic import results, state
from driftline.elastic.indices import JOBS, SNAPSHOTS
from driftline.elastic.snapshots import manifest_id, manifests, new_manifest
from driftline.pipeline.calendars import change
from driftline.pipeline.calendars import delete as remove
from driftline.pipeline.calendars import save as store
from driftline.pipeline.jobs import delete, delete_analysis, load_job, save, save_analysis
from driftline.pipeline.unfinished import KIND, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elasticsearch._sync.client.ml import MlClient

    from driftline.core.results import Document

COUNTED = {"bucket_span": "1h", "detectors": [{"function": "count", "partition_field_name": "url"}], "influencers": ["ip"]}
ABOUT = {"time_field": "@timestamp"}
SPIKE_TIME = int((START + SPIKE[0] * HOUR).timestamp() * 1000)
NOT_HERE = {
    "clear_trained_model_deployment_cache", "delete_data_frame_analytics", "delete_expired_data", "delete_trained_model",
    "delete_trained_model_alias", "evaluate_data_frame", "explain_data_frame_analytics", "get_data_frame_analytics",
    "get_data_frame_analytics_stats", "get_memory_stats", "get_model_snapshot_upgrade_stats", "get_trained_models",
    "get_trained_models_stats", "infer_trained_model", "post_data", "preview_data_frame_analytics", "put_data_frame_analytics",
    "put_trained_model", "put_trained_model_alias", "put_trained_model_definition_part", "put_trained_model_vocabulary",
    "set_upgrade_mode", "start_data_frame_analytics", "start_trained_model_deployment", "stop_data_frame_analytics",
    "stop_trained_model_deployment", "update_data_frame_analytics", "update_trained_model_deployment", "upgrade_job_snapshot",
}  # fmt: skip


@pytest.fixture(scope="module")
def as_(site: str, token_of: Callable[[str], str]) -> Iterator[Callable[[str], Elasticsearch]]:
    """The official client, as a user."""
    made: dict[str, Elasticsearch] = {}

    def connected(user: str) -> Elasticsearch:
        if user not in made:
            made[user] = Elasticsearch(f"{site}/driftline/elastic", bearer_auth=token_of(user), request_timeout=60, max_retries=0)
        return made[user]

    yield connected
    for each in made.values():
        each.close()


@pytest.fixture(scope="module")
def ml(as_: Callable[[str], Elasticsearch]) -> MlClient:
    """The client of somebody who may change jobs."""
    return as_("admin").ml


@pytest.fixture(scope="module")
def asking(as_: Callable[[str], Elasticsearch]) -> MlClient:
    """The client of somebody who may only read."""
    return as_("viewer").ml


@pytest.fixture
def index(explored: Job) -> str:
    """An index with data."""
    return explored.datafeed.indices[0]


@pytest.fixture
def name(client: Elasticsearch, module_prefix: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A job id; what becomes of it is removed."""
    from driftline.core.errors import DefinitionError
    from driftline.pipeline.unfinished import drop

    job_id = f"{module_prefix}{abs(hash(request.node.name)) % 10**8}"
    yield job_id
    drop(client, job_id)
    with contextlib.suppress(DefinitionError):  # it is gone already
        delete(client, job_id)


def test_the_client_takes_it_for_elasticsearch(as_: Callable[[str], Elasticsearch]) -> None:
    answer = as_("viewer").info()
    assert answer["version"]["number"] == "9.0.0"
    assert answer.meta.headers["x-elastic-product"] == "Elasticsearch"
    assert answer.meta.headers["content-type"] == "application/vnd.elasticsearch+json;compatible-with=9"
    assert as_("viewer").ping()
    assert as_("viewer").ml.info()["upgrade_mode"] is False


def test_versions_of_the_api_that_nobody_serves_are_refused(site: str, token_of: Callable[[str], str]) -> None:
    headers = {"Authorization": f"Bearer {token_of('viewer')}"}

    def typed(accept: str) -> httpx.Response:
        return httpx.get(f"{site}/driftline/elastic/_ml/info", headers={**headers, "Accept": accept}, trust_env=False, timeout=60)

    assert typed("application/vnd.elasticsearch+json; compatible-with=8").headers["content-type"].endswith("compatible-with=8")
    assert typed("*/*").headers["content-type"] == "application/json"
    refused = typed("application/vnd.elasticsearch+json; compatible-with=6")
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "media_type_header_exception")


def test_a_job_waits_for_its_datafeed_and_is_whole_with_it(
    ml: MlClient, asking: MlClient, client: Elasticsearch, name: str, index: str
) -> None:
    made = ml.put_job(job_id=name, analysis_config=COUNTED, data_description=ABOUT, groups=["web"], description="Requests")
    assert (made["job_id"], made["job_type"]) == (name, "anomaly_detector")
    assert made["analysis_config"]["detectors"][0]["detector_index"] == 0
    assert name in listed(client)
    with pytest.raises(BadRequestError, match="resource_already_exists_exception"):
        ml.put_job(job_id=name, analysis_config=COUNTED, data_description=ABOUT)
    with pytest.raises(ConflictError, match="has no datafeed"):
        ml.open_job(job_id=name)
    assert asking.get_job_stats(job_id=name)["jobs"][0]["state"] == "closed"
    assert asking.get_records(job_id=name)["count"] == 0
    feed = ml.put_datafeed(datafeed_id=f"feed-{name}", job_id=name, indices=[index], query={"term": {"url": "/cart"}})
    assert (feed["job_id"], feed["indices"], feed["query"]) == (name, [index], {"term": {"url": "/cart"}})
    job = load_job(name, client)
    assert (job.paused, job.datafeed.query, job.groups) == (True, {"term": {"url": "/cart"}}, ["web"])
    assert name not in listed(client)
    shown = asking.get_jobs(job_id=name)["jobs"][0]
    assert shown["datafeed_config"]["datafeed_id"] == f"feed-{name}"
    assert shown["description"] == "Requests"
    with pytest.raises(ConflictError, match="already exists for job"):
        ml.put_datafeed(datafeed_id=f"other-{name}", job_id=name, indices=[index])
    with pytest.raises(BadRequestError, match="already exists"):
        ml.put_datafeed(datafeed_id=f"feed-{name}", job_id=name, indices=[index])


def test_a_job_can_be_made_with_its_datafeed_in_it(ml: MlClient, client: Elasticsearch, name: str, index: str) -> None:
    feed = {"indices": [index], "query_delay": "2m"}
    ml.put_job(job_id=name, analysis_config=COUNTED, data_description=ABOUT, datafeed_config=feed)
    assert load_job(name, client).datafeed.query_delay.total_seconds() == 120
    assert ml.get_datafeeds(datafeed_id=f"datafeed-{name}")["datafeeds"][0]["query_delay"] == "2m"
    changed = ml.update_job(job_id=name, description="New", custom_settings={"a": 1}, detectors=[
        {"detector_index": 0, "description": "Each page"}
    ])  # fmt: skip
    assert (changed["description"], changed["custom_settings"]) == ("New", {"a": 1})
    assert changed["analysis_config"]["detectors"][0]["detector_description"] == "Each page"
    with pytest.raises(BadRequestError, match="detectors 0 to 0"):
        ml.update_job(job_id=name, detectors=[{"detector_index": 3, "description": "x"}])
    assert ml.update_datafeed(datafeed_id=f"datafeed-{name}", query={"match_all": {}}, query_delay="3m")["query_delay"] == "3m"
    ml.update_datafeed(datafeed_id=f"datafeed-{name}", frequency="1h", max_empty_searches=3)
    nothing = dict.fromkeys(("query_delay", "frequency", "max_empty_searches"))
    back = ml.update_datafeed(datafeed_id=f"datafeed-{name}", body=nothing)
    assert (back["query_delay"], back.keys() & {"frequency", "max_empty_searches"}) == ("1m", set())
    with pytest.raises(BadRequestError, match="indices"):
        ml.update_datafeed(datafeed_id=f"datafeed-{name}", body={"indices": None})
    with pytest.raises(ConflictError, match="are being made"):
        ml.open_job(job_id=name, timeout="10ms")
    assert ml.delete_job(job_id=name)["acknowledged"] is True
    with pytest.raises(NotFoundError, match="No known job with id"):
        ml.get_jobs(job_id=name)


def test_a_job_that_cannot_be_read_any_more_hides_no_other_and_can_be_deleted(
    ml: MlClient, client: Elasticsearch, name: str, explored: Job, caplog: pytest.LogCaptureFixture
) -> None:
    ml.put_job(job_id=name, analysis_config=COUNTED, data_description=ABOUT)
    there = client.get(index=JOBS, id=f"{KIND}:{name}")["_source"]["definition"]
    rule = {"conditions": [{"applies_to": "time", "operator": "gt", "value": 1.7e12}]}
    older = {**explored.as_dict(), "job_id": name, "detectors": [{"function": "count", "custom_rules": [rule]}]}
    for former, told in ((older, True), ({**older, "of_a_later_version": 1}, False)):
        client.update(index=JOBS, id=f"{KIND}:{name}", doc={"definition": {**there, "former": former}}, refresh=True)
        assert {name, explored.job_id} <= {each["job_id"] for each in ml.get_jobs()["jobs"]}
        assert (listed(client)[name].former is not None) is told
    assert "of_a_later_version: unknown field" in caplog.text
    assert ml.delete_job(job_id=name)["acknowledged"] is True


def test_a_job_that_the_rules_of_today_refuse_can_be_deleted_with_what_it_learned(
    ml: MlClient, client: Elasticsearch, name: str, index: str
) -> None:
    about = {"analysis_config": COUNTED, "data_description": ABOUT}
    ml.put_job(job_id=name, datafeed_config={"indices": [index]}, **about)
    learned = new_manifest(name, load_job(name, client).version, START - HOUR, START)
    client.index(index=SNAPSHOTS, id=manifest_id(name, learned["snapshot_id"]), document=learned, refresh=True)
    broken = {**client.get(index=JOBS, id=f"job:{name}")["_source"], "definition": {"of_a_later_version": 1}}
    client.index(index=JOBS, id=f"job:{name}", document=broken, refresh=True)
    with pytest.raises(BadRequestError, match="of_a_later_version: unknown field"):
        ml.reset_job(job_id=name)
    assert ml.delete_job(job_id=name)["acknowledged"] is True
    assert manifests(client, name) == []
    with pytest.raises(NotFoundError, match="No known job with id"):
        ml.delete_job(job_id=name)
    assert ml.put_job(job_id=name, **about)["job_id"] == name


def test_a_broken_calendar_or_filter_hides_no_other_and_can_be_deleted(
    ml: MlClient, asking: MlClient, client: Elasticsearch, module_prefix: str
) -> None:
    ml.put_calendar(calendar_id=f"{module_prefix}good")
    for kind in ("calendar", "filter"):
        broken = {"id": f"{module_prefix}bad", "kind": kind, "definition": {"of_a_later_version": True}}
        client.index(index=JOBS, id=f"{kind}:{module_prefix}bad", document=broken, refresh=True)
    assert f"{module_prefix}good" in [each["calendar_id"] for each in asking.get_calendars()["calendars"]]
    assert f"{module_prefix}bad" not in [each["filter_id"] for each in asking.get_filters()["filters"]]
    with pytest.raises(BadRequestError, match="already exists"):
        ml.put_calendar(calendar_id=f"{module_prefix}bad")
    for name in ("good", "bad"):
        ml.delete_calendar(calendar_id=f"{module_prefix}{name}")
    ml.delete_filter(filter_id=f"{module_prefix}bad")


def test_a_job_is_opened_scored_forecast_and_closed(
    ml: MlClient, client: Elasticsearch, name: str, index: str, as_: Callable[[str], Elasticsearch]
) -> None:
    feed = f"datafeed-{name}"
    ml.put_job(job_id=name, analysis_config=COUNTED, data_description=ABOUT, datafeed_config={"indices": [index]})
    dags = airflow_knows(name)
    with pytest.raises(ConflictError, match="is closed"):
        ml.start_datafeed(datafeed_id=feed)
    with pytest.raises(ConflictError, match="is not open"):
        ml.forecast(job_id=name)
    assert ml.open_job(job_id=name)["opened"] is True
    assert ml.get_job_stats(job_id=name)["jobs"][0]["state"] == "opened"
    assert ml.get_datafeed_stats(datafeed_id=feed)["datafeeds"][0]["state"] == "stopped"
    assert ml.start_datafeed(datafeed_id=feed, start="2026-03-17T00:00:00Z", end=1773792000000)["started"] is True
    assert ml.get_datafeed_stats(datafeed_id=feed)["datafeeds"][0]["state"] == "started"
    assert ml.flush_job(job_id=name)["flushed"] is True
    for refused, told in ((ml.delete_job, "is opened"), (ml.reset_job, "when it is closed")):
        with pytest.raises(ConflictError, match=told):
            refused(job_id=name)
    with pytest.raises(ConflictError, match="is started"):
        ml.delete_datafeed(datafeed_id=feed)
    with pytest.raises(BadRequestError, match="'soon' is not a span"):
        ml.forecast(job_id=name, duration="soon")
    forecast_id = ml.forecast(job_id=name, duration="1d")["forecast_id"]
    runs = _runs(as_("admin"), f"{name}.forecast") + _runs(as_("admin"), f"{name}.score")
    assert [run["conf"] for run in runs] == [
        {"duration": "1d"}, {"start": "2026-03-17T00:00:00Z", "end": "2026-03-18T00:00:00Z"},
    ]  # fmt: skip
    assert runs[0]["dag_run_id"] == forecast_id
    assert all(dag.dag_id.startswith(name) for dag in dags.values())
    assert ml.stop_datafeed(datafeed_id=feed)["stopped"] is True
    assert ml.close_job(job_id=f"{name},no-such-*")["closed"] is True
    assert ml.get_job_stats(job_id=name)["jobs"][0]["state"] == "closed"
    assert ml.reset_job(job_id=name)["acknowledged"] is True
    assert ml.delete_datafeed(datafeed_id=feed)["acknowledged"] is True
    assert "datafeed_config" not in ml.get_jobs(job_id=name)["jobs"][0]
    assert ml.delete_job(job_id=name)["acknowledged"] is True
    assert name not in listed(client)


def _runs(es: Elasticsearch, dag_id: str) -> list[dict[str, Any]]:
    """Runs of a DAG as Airflow tells them."""
    node = next(iter(es.transport.node_pool.all()))
    url = f"http://{node.host}:{node.port}/api/v2/dags/{dag_id}/dagRuns"
    headers = {"Authorization": str(es._headers["authorization"])}
    found: list[dict[str, Any]] = httpx.get(url, headers=headers, trust_env=False, timeout=60).json()["dag_runs"]
    return found


@pytest.fixture
def more(client: Elasticsearch, explored: Job) -> Iterator[list[float]]:
    """Records of other scores beside the spike's, all with their own time; the scores."""
    scores, maker, window = [12.0, 88.0, 45.0, 3.0], Maker(explored, "record", {}), Window(START, START + 10 * HOUR)

    def documents() -> Iterator[Document]:
        for hour, score in enumerate(scores):
            time = int((START + hour * HOUR).timestamp() * 1000)
            yield maker.id(time), time, orjson.dumps({**maker.document(time), "record_score": score, "probability": 0.01})

    results.replace(client, explored, window, documents(), types=["record"])
    yield scores
    results.replace(client, explored, window, [], types=["record"])


def test_records_are_filtered_sorted_and_paged(asking: MlClient, explored: Job, more: list[float]) -> None:
    def found(**asked: Any) -> Any:
        # scoring may have found milder ones than these
        return asking.get_records(job_id=explored.job_id, **{"record_score": min(more), **asked})

    def scores(**asked: Any) -> list[float]:
        return [each["record_score"] for each in found(**asked)["records"]]

    (spike,) = asking.get_records(job_id=explored.job_id, start=SPIKE_TIME, end=SPIKE_TIME + 1, exclude_interim=True)["records"]
    assert (spike["timestamp"], spike["partition_field_value"], spike["result_type"]) == (SPIKE_TIME, SPIKE[1], "record")
    every = sorted([*more, spike["record_score"]])
    assert scores() == scores(desc=True) == every[::-1]
    assert scores(desc=False) == every
    assert scores(sort="timestamp", desc=False) == [*more, spike["record_score"]]
    assert scores(sort="timestamp") == [*more, spike["record_score"]][::-1]
    assert scores(record_score=45) == every[:1:-1]
    assert scores(start=str(START + HOUR), end=int((START + 3 * HOUR).timestamp() * 1000), sort="timestamp") == more[2:0:-1]
    assert scores(from_=1, size=2) == scores(page={"from": 1, "size": 2}) == every[-2:-4:-1]
    assert found(size=1)["count"] == len(every)
    assert scores(end=str(START)) == []
    path, accept = f"/_ml/anomaly_detectors/{explored.job_id}/results/records", {"accept": "application/json"}
    said = asking.perform_request("GET", path, params={"desc": "", "record_score": min(more)}, headers=accept)
    assert [each["record_score"] for each in said["records"]] == every[::-1], "named is yes"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sort": "no_such_field"}, "cannot be sorted"),
        ({"sort": "driftline"}, "cannot be sorted"),
        ({"start": "whenever"}, "'whenever' is not a time"),
        ({"start": 10**20}, "beyond all times"),
        ({"record_score": 200}, "less than or equal to 100"),
        ({"from_": 10_000, "size": 1}, "cannot be higher than 10000"),
        ({"start": "2026-03-02", "end": "2026-03-01"}, "lies before the start"),
    ],
)
def test_a_wrong_parameter_is_a_bad_request(asking: MlClient, explored: Job, given: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        asking.get_records(job_id=explored.job_id, **given)
    assert told in raised.value.body["error"]["reason"]
    assert raised.value.body["error"]["root_cause"][0]["type"] == raised.value.body["error"]["type"]


def test_buckets_are_told_with_their_records_when_expanded(asking: MlClient, explored: Job) -> None:
    found = asking.get_buckets(job_id=explored.job_id, anomaly_score=50, expand=True)
    spike = next(each for each in found["buckets"] if each["timestamp"] == SPIKE_TIME)
    assert SPIKE[1] in [each["partition_field_value"] for each in spike["records"]]
    times = [each["timestamp"] for each in asking.get_buckets(job_id=explored.job_id, desc=True)["buckets"]]
    assert times == sorted(times, reverse=True)
    assert [each["timestamp"] for each in asking.get_buckets(job_id=explored.job_id)["buckets"]] == sorted(times)
    assert "records" not in asking.get_buckets(job_id=explored.job_id, timestamp=str(SPIKE_TIME))["buckets"][0]
    with pytest.raises(NotFoundError, match="No bucket with timestamp"):
        asking.get_buckets(job_id=explored.job_id, timestamp="2001-01-01")


def test_influencers_and_overall_buckets_are_told(asking: MlClient, explored: Job, module_prefix: str) -> None:
    found = asking.get_influencers(job_id=explored.job_id)["influencers"]
    assert found == asking.get_influencers(job_id=explored.job_id, sort="influencer_score", desc=True)["influencers"]
    assert found[0]["influencer_field_name"] == "ip"
    overall = asking.get_overall_buckets(job_id=f"{module_prefix}expl*", overall_score=50)
    assert SPIKE_TIME in [each["timestamp"] for each in overall["overall_buckets"]]
    assert overall["overall_buckets"][0]["jobs"][0]["job_id"] == explored.job_id
    wide = asking.get_overall_buckets(job_id=explored.job_id, bucket_span="1d", top_n=1)["overall_buckets"]
    assert {each["bucket_span"] for each in wide} == {86_400}
    assert len(wide) <= DAYS
    assert max(each["overall_score"] for each in wide) == max(each["overall_score"] for each in overall["overall_buckets"])
    with pytest.raises(BadRequestError, match="shorter than the longest"):
        asking.get_overall_buckets(job_id=explored.job_id, bucket_span="1m")
    assert asking.get_categories(job_id=explored.job_id)["count"] == 0


def test_jobs_are_named_by_lists_patterns_and_all(asking: MlClient, explored: Job, module_prefix: str) -> None:
    mine = [each["job_id"] for each in asking.get_jobs(job_id=f"{module_prefix}*")["jobs"]]
    assert mine == [explored.job_id]
    assert explored.job_id in [each["job_id"] for each in asking.get_jobs(job_id="_all")["jobs"]]
    assert explored.job_id in [each["job_id"] for each in asking.get_jobs()["jobs"]]
    assert asking.get_jobs(job_id="no-such-*")["count"] == 0
    with pytest.raises(NotFoundError):
        asking.get_jobs(job_id="no-such-*", allow_no_match=False)
    with pytest.raises(NotFoundError, match="No known job with id 'no-such-job'"):
        asking.get_jobs(job_id=f"{explored.job_id},no-such-job")
    for name in (f"{explored.job_id[:-1]}?", f"[{explored.job_id[0]}]{explored.job_id[1:]}"):
        with pytest.raises(NotFoundError, match="No known job"):
            asking.get_jobs(job_id=name)
    stats = asking.get_job_stats(job_id=explored.job_id)["jobs"][0]
    assert stats["data_counts"]["bucket_count"] == 3 * 24
    assert stats["model_size_stats"]["total_partition_field_count"] == 4
    assert stats["forecasts_stats"]["total"] == 1
    generated = asking.get_jobs(job_id=explored.job_id, exclude_generated=True)["jobs"][0]
    assert "job_type" not in generated


def test_a_job_that_elastic_has_no_words_for_takes_nothing_away_from_the_others(
    asking: MlClient, ml: MlClient, client: Elasticsearch, name: str, explored: Job, index: str
) -> None:
    ratio = {"function": "high_count", "query": {"term": {"url": "/cart"}}, "per": {"function": "count"}}
    mine = {"job_id": name, "detectors": [ratio], "datafeed": {"indices": index}, "time_field": "@timestamp"}
    save(client, Job.parse(mine, where=name))
    assert {name, explored.job_id} <= {each["job_id"] for each in asking.get_jobs()["jobs"]}
    (shown,) = asking.get_jobs(job_id=name)["jobs"][0]["analysis_config"]["detectors"]
    told = 'high_count where {"term":{"url":"/cart"}} per count'
    assert shown == {"function": "high_count", "detector_description": told, "detector_index": 0}
    assert asking.get_records(job_id=name)["count"] == 0
    assert ml.close_job(job_id=explored.job_id)["closed"] is True


def test_an_id_that_something_has_is_given_to_nothing_else(
    ml: MlClient, client: Elasticsearch, name: str, explored: Job, index: str
) -> None:
    about = {"analysis_config": COUNTED, "data_description": ABOUT}
    for datafeed_id, told in ((f"datafeed-{explored.job_id}", "already exists"), (["x"], "Invalid datafeed_id")):
        with pytest.raises(BadRequestError, match=told):
            ml.put_job(job_id=name, datafeed_config={"indices": [index], "datafeed_id": datafeed_id}, **about)
    ml.put_job(job_id=name, datafeed_config={"indices": [index]}, **about)
    with pytest.raises(BadRequestError, match="keeps its id"):
        ml.perform_request(
            "POST",
            f"/_ml/datafeeds/datafeed-{name}/_update",
            headers={"accept": "application/json", "content-type": "application/json"},
            body={"datafeed_id": f"datafeed-{explored.job_id}"},
        )
    ml.delete_job(job_id=name)
    spent = {
        "analytics_id": name,
        "source": {"index": index},
        "dest": {"index": f"{name}-out"},
        "analysis": {"outlier_detection": {}},
    }
    save_analysis(client, Analysis.parse(spent, where=name))
    for feed in ({"datafeed_config": {"indices": [index]}}, {}):
        with pytest.raises(BadRequestError, match="resource_already_exists_exception"):
            ml.put_job(job_id=name, **feed, **about)
    delete_analysis(client, name)


def test_a_job_that_gets_another_datafeed_is_otherwise_what_it_was(
    ml: MlClient, client: Elasticsearch, name: str, index: str
) -> None:
    ratio = {"function": "high_count", "query": {"term": {"url": "/pay"}}, "per": {"function": "count"}}
    feed = {"indices": index, "query": {"term": {"url": "/cart"}}}
    own = {"training": {"window": "8w"}, "time_zone": "Europe/Berlin", "time_field": "@timestamp", "detectors": [ratio]}
    before = Job.parse({"job_id": name, **own, "datafeed": {**feed, "start": "2026-01-01"}}, where=name)
    save(client, before)
    ml.delete_datafeed(datafeed_id=f"datafeed-{name}")
    assert ml.update_job(job_id=name, description="Refusals")["description"] == "Refusals"
    ml.put_datafeed(datafeed_id=f"datafeed-{name}", job_id=name, indices=[index], query_delay="2m")
    after = load_job(name, client)
    assert (after.training, after.time_zone, after.detectors) == (before.training, before.time_zone, before.detectors)
    assert (after.description, after.paused, after.datafeed.start) == ("Refusals", True, before.datafeed.start)
    assert (after.datafeed.query, after.datafeed.query_delay.total_seconds()) == ({"match_all": {}}, 120)
    ml.delete_datafeed(datafeed_id=f"datafeed-{name}")
    ml.put_datafeed(datafeed_id=f"datafeed-{name}", job_id=name, **{**feed, "indices": [index]})
    assert load_job(name, client).version == before.version, "with the datafeed that it had its models are in force again"


def test_a_detector_is_changed_by_the_number_that_its_records_have(
    ml: MlClient, client: Elasticsearch, name: str, index: str
) -> None:
    detectors = [{"function": "metric", "field_name": "bytes"}, {"function": "count", "partition_field_name": "url"}]
    feed = {"indices": [index]}
    made = ml.put_job(job_id=name, analysis_config={"detectors": detectors}, data_description=ABOUT, datafeed_config=feed)
    assert [each["detector_index"] for each in made["analysis_config"]["detectors"]] == [0, 3]
    ml.update_job(job_id=name, detectors=[
        {"detector_index": 3, "description": "Each page"}, {"detector_index": 1, "description": "Sizes"},
    ])  # fmt: skip
    job = load_job(name, client)
    assert [each.detector_description for each in job.detectors] == ["Sizes"] * 3 + ["Each page"]


@pytest.mark.parametrize("fed", [True, False])
def test_a_null_in_the_update_of_a_job_takes_the_field_back_to_its_default(
    ml: MlClient, client: Elasticsearch, name: str, index: str, fed: bool
) -> None:
    about = {"analysis_config": {**COUNTED, "bucket_span": "1h"}, "data_description": ABOUT}
    before = ml.put_job(job_id=name, **about, **({"datafeed_config": {"indices": [index]}} if fed else {}))
    rule = {"conditions": [{"applies_to": "actual", "operator": "lt", "value": 5}]}
    given = {
        "description": "Mine", "groups": ["a"], "model_plot_config": {"enabled": True, "annotations_enabled": True},
        "model_prune_window": "3h", "model_snapshot_retention_days": 3, "renormalization_window_days": 5,
        "custom_settings": {"a": 1},
    }  # fmt: skip
    changed = ml.update_job(
        job_id=name, body={**given, "detectors": [{"detector_index": 0, "description": "x", "custom_rules": [rule]}]}
    )
    assert {each: changed.get(each, changed["analysis_config"].get(each)) for each in given} == given
    (detector,) = changed["analysis_config"]["detectors"]
    assert (detector["detector_description"], detector["custom_rules"][0]["conditions"]) == ("x", rule["conditions"])
    ml.update_job(job_id=name, body={"model_plot_config": {"enabled": None, "terms": None}})
    nothing = {"detector_index": 0, "description": None, "custom_rules": None}
    ours = dict.fromkeys(("training", "datafeed"))  # not Elastic's to take back
    assert ml.update_job(job_id=name, body={**dict.fromkeys(given), **ours, "detectors": [nothing]}) == before
    assert ml.get_jobs(job_id=name)["jobs"][0] == before
    if fed:
        stored = client.get(index=JOBS, id=f"job:{name}")["_source"]["definition"]
        assert "job" not in stored["elastic"]
    with pytest.raises(BadRequestError, match="analysis_config"):
        ml.update_job(job_id=name, body={"analysis_config": None})


@pytest.mark.parametrize("fed", [True, False])
def test_a_job_with_an_old_rule_is_changed_while_what_is_put_now_goes_by_the_new_one(
    ml: MlClient, client: Elasticsearch, name: str, index: str, fed: bool
) -> None:
    feed = {"datafeed_id": f"datafeed-{name}", "indices": [index]}
    ml.put_job(job_id=name, analysis_config=COUNTED, data_description=ABOUT, **({"datafeed_config": feed} if fed else {}))
    old, new = ({"conditions": [{"applies_to": "time", "operator": "gt", "value": value}]} for value in (1.7e12, 1.8e12))
    where = f"{'job' if fed else KIND}:{name}"
    document = client.get(index=JOBS, id=where)["_source"]
    body = document["definition"] if fed else document["definition"]["body"]["analysis_config"]
    body["detectors"][0]["custom_rules"] = [old]
    client.index(index=JOBS, id=where, document=document, refresh=True)
    changed = ml.update_job(job_id=name, description="New", detectors=[{"detector_index": 0, "description": "Each page"}])
    assert (changed["description"], changed["analysis_config"]["detectors"][0]["custom_rules"]) == ("New", [old])
    with pytest.raises(BadRequestError, match="are these milliseconds"):
        ml.update_job(job_id=name, detectors=[{"detector_index": 0, "custom_rules": [old, new]}])
    if not fed:
        ml.put_datafeed(job_id=name, **feed)
    assert ml.update_datafeed(datafeed_id=feed["datafeed_id"], query_delay="3m")["query_delay"] == "3m"
    ml.delete_datafeed(datafeed_id=feed["datafeed_id"])
    assert ml.update_job(job_id=name, groups=["a"])["groups"] == ["a"]
    ml.put_datafeed(job_id=name, **feed)
    assert load_job(name, client).detectors[0].custom_rules[0].conditions[0].value == 1.7e12


def test_what_is_wrong_with_a_job_is_said(asking: MlClient, ml: MlClient, name: str) -> None:
    assert asking.validate(job_id=name, analysis_config=COUNTED, data_description=ABOUT)["acknowledged"] is True
    assert asking.validate_detector(detector={"function": "mean", "field_name": "bytes"})["acknowledged"] is True
    with pytest.raises(BadRequestError, match="field_name"):
        asking.validate_detector(detector={"function": "mean"})
    with pytest.raises(BadRequestError, match="multivariate_by_fields is not supported"):
        asking.validate(analysis_config={**COUNTED, "multivariate_by_fields": True})
    with pytest.raises(BadRequestError, match="Invalid job_id"):
        ml.put_job(job_id="Dots.And.Capitals", analysis_config=COUNTED, data_description=ABOUT)
    estimate = asking.estimate_model_memory(analysis_config=COUNTED, overall_cardinality={"url": 5000})
    assert 300 < int(estimate["model_memory_estimate"].removesuffix("mb")) < 5000
    with pytest.raises(BadRequestError, match="overall_cardinality"):
        asking.estimate_model_memory(analysis_config=COUNTED)


def test_a_datafeed_shows_what_it_reads(ml: MlClient, asking: MlClient, explored: Job, index: str) -> None:
    rows = asking.preview_datafeed(datafeed_id=f"datafeed-{explored.job_id}", start=str(START), end=str(START + HOUR))
    assert rows
    assert {"@timestamp", "url", "ip"} == rows[0].keys()
    assert rows[0]["@timestamp"] >= int(START.timestamp() * 1000)
    job = {"analysis_config": COUNTED, "data_description": ABOUT}
    assert len(ml.preview_datafeed(datafeed_config={"indices": [index]}, job_config=job).body) == 1000
    buckets = {"date_histogram": {"field": "@timestamp", "fixed_interval": "1h"}, "aggs": {"n": {"max": {"field": "bytes"}}}}
    summed = {
        **COUNTED,
        "detectors": [{"function": "max", "field_name": "n"}],
        "influencers": [],
        "summary_count_field_name": "doc_count",
    }
    counted = ml.preview_datafeed(
        datafeed_config={"indices": [index], "aggs": {"buckets": buckets}},
        job_config={**job, "analysis_config": summed},
        end=str(START + 3 * HOUR),
    )
    assert [row["@timestamp"] for row in counted] == [int((START + n * HOUR).timestamp() * 1000) for n in range(3)]
    with pytest.raises(AuthorizationException):
        asking.preview_datafeed(datafeed_config={"indices": [index]}, job_config=job)


def test_calendars_are_about_jobs_and_have_events(ml: MlClient, asking: MlClient, module_prefix: str, explored: Job) -> None:
    name = f"{module_prefix}holidays"
    assert ml.put_calendar(calendar_id=name, job_ids=["other"], description="Off")["job_ids"] == ["other"]
    with pytest.raises(BadRequestError, match="already exists"):
        ml.put_calendar(calendar_id=name)
    assert ml.put_calendar_job(calendar_id=name, job_id=explored.job_id)["job_ids"] == ["other", explored.job_id]
    assert ml.delete_calendar_job(calendar_id=name, job_id="other")["job_ids"] == [explored.job_id]
    with pytest.raises(NotFoundError):
        ml.delete_calendar_job(calendar_id=name, job_id="other")
    event = {"description": "move", "start_time": SPIKE_TIME, "end_time": SPIKE_TIME + 3_600_000}
    posted = ml.post_calendar_events(calendar_id=name, events=[event])["events"]
    assert posted[0].items() >= {**event, "calendar_id": name, "skip_result": True}.items()
    ml.post_calendar_events(calendar_id=name, events=[event])
    found = asking.get_calendar_events(calendar_id=name)
    assert (found["count"], found["events"]) == (1, posted)
    assert asking.get_calendar_events(calendar_id=name, end=SPIKE_TIME)["count"] == 0
    assert asking.get_calendar_events(calendar_id="_all", job_id=explored.job_id, start=SPIKE_TIME)["events"] == posted
    assert asking.get_calendars(calendar_id=f"{name}*")["calendars"] == [
        {"calendar_id": name, "description": "Off", "job_ids": [explored.job_id]}
    ]
    assert ml.delete_calendar_event(calendar_id=name, event_id=posted[0]["event_id"])["acknowledged"] is True
    with pytest.raises(NotFoundError):
        ml.delete_calendar_event(calendar_id=name, event_id=posted[0]["event_id"])
    assert ml.delete_calendar(calendar_id=name)["acknowledged"] is True
    with pytest.raises(NotFoundError, match="No calendar with id"):
        asking.get_calendars(calendar_id=name)


def test_what_comes_again_and_again_is_told_of_some_years_only(
    asking: MlClient, client: Elasticsearch, module_prefix: str
) -> None:
    name = f"{module_prefix}nightly"
    nightly = {"description": "backup", "start_time": "2026-03-01", "end_time": "2026-03-01T01:00Z", "every": "day"}
    store(client, Calendar.parse({"calendar_id": name, "events": [nightly], "holidays": ["DE"]}, where=name))
    with pytest.raises(BadRequestError, match="ask for 3653 days at most"):
        asking.get_calendar_events(calendar_id=name, start="2026-01-01", end="3026-01-01")
    for edges, count in ((("0001-01-01", "0001-02-01"), 0), (("9999-12-01", "9999-12-31"), 0), (("2026-12-25", "2026-12-26"), 2)):
        assert asking.get_calendar_events(calendar_id=name, start=edges[0], end=edges[1])["count"] == count
    with pytest.raises(BadRequestError, match="lies before the start"):
        asking.get_calendar_events(calendar_id=name, start="2026-01-02", end="2026-01-01")
    remove(client, "calendar", name)


def test_of_two_who_change_a_calendar_at_once_none_loses_the_change(
    ml: MlClient, client: Elasticsearch, module_prefix: str
) -> None:
    name = f"{module_prefix}shared"
    ml.put_calendar(calendar_id=name, job_ids=["one"])

    def changed(calendar: Calendar) -> dict[str, Any]:
        if calendar.job_ids == ["one"]:
            ml.put_calendar_job(calendar_id=name, job_id="two")  # somebody else is faster
        return {**calendar.as_dict(), "job_ids": [*calendar.job_ids, "three"]}

    assert change(client, Calendar, name, changed).job_ids == ["one", "two", "three"]
    assert ml.get_calendars(calendar_id=name)["calendars"][0]["job_ids"] == ["one", "two", "three"]
    ml.delete_calendar(calendar_id=name)


def test_filters_are_kept_and_not_deleted_while_a_job_needs_them(
    ml: MlClient, asking: MlClient, module_prefix: str, name: str, index: str
) -> None:
    safe = f"{module_prefix}safe"
    assert ml.put_filter(filter_id=safe, items=["b", "a*"])["items"] == ["a*", "b"]
    assert ml.update_filter(filter_id=safe, add_items=["c"], remove_items=["b"], description="Known")["items"] == ["a*", "c"]
    with pytest.raises(BadRequestError, match="not present"):
        ml.update_filter(filter_id=safe, remove_items=["b"])
    assert asking.get_filters(filter_id=safe)["filters"] == [{"filter_id": safe, "description": "Known", "items": ["a*", "c"]}]
    ruled = {"function": "count", "partition_field_name": "url", "custom_rules": [{"scope": {"url": {"filter_id": safe}}}]}
    config = {**COUNTED, "detectors": [ruled]}
    ml.put_job(job_id=name, analysis_config=config, data_description=ABOUT, datafeed_config={"indices": [index]})
    with pytest.raises(ConflictError, match=name):
        ml.delete_filter(filter_id=safe)
    ml.delete_job(job_id=name)
    assert ml.delete_filter(filter_id=safe)["acknowledged"] is True
    with pytest.raises(NotFoundError):
        asking.get_filters(filter_id=safe)


def test_snapshots_are_listed_described_reverted_to_and_kept_while_in_force(
    ml: MlClient, asking: MlClient, explored: Job, client: Elasticsearch
) -> None:
    (one,) = manifests(client, explored.job_id)
    former = {
        **one,
        "snapshot_id": "0-former",
        "created": "2026-01-01T00:00:00Z",
        "detail": {"valid": [], "chunks": 0, "writing": ""},
    }
    client.index(index=SNAPSHOTS, id=manifest_id(explored.job_id, "0-former"), document=former, refresh=True)
    ids = [each["snapshot_id"] for each in asking.get_model_snapshots(job_id=explored.job_id)["model_snapshots"]]
    assert ids == [one["snapshot_id"], "0-former"], "the newest first"
    assert ml.delete_model_snapshot(job_id=explored.job_id, snapshot_id="0-former")["acknowledged"] is True
    found = asking.get_model_snapshots(job_id=explored.job_id)
    assert (found["count"], found["model_snapshots"][0]["snapshot_id"]) == (1, one["snapshot_id"])
    id_ = {"job_id": explored.job_id, "snapshot_id": one["snapshot_id"]}
    changed = ml.update_model_snapshot(**id_, description="before the move", retain=True)["model"]
    assert (changed["description"], changed["retain"]) == ("before the move", True)
    with pytest.raises(ConflictError, match="active snapshot"):
        ml.delete_model_snapshot(**id_)
    assert ml.revert_model_snapshot(**id_)["model"]["snapshot_id"] == one["snapshot_id"]
    with pytest.raises(NotFoundError, match="No model snapshot with id"):
        ml.revert_model_snapshot(job_id=explored.job_id, snapshot_id="no-such")
    with pytest.raises(ApiError, match="no empty snapshot"):
        ml.revert_model_snapshot(job_id=explored.job_id, snapshot_id="empty")


def test_what_is_deleted_when_a_job_is_reverted_is_scored_again(
    ml: MlClient, client: Elasticsearch, name: str, index: str
) -> None:
    save(client, Job.parse({"job_id": name, "detectors": [{"function": "count"}], "datafeed": {"indices": index}}, where=name))
    job, window, learned = load_job(name, client), Window(START, START + 4 * HOUR), START + 2 * HOUR
    detail = {"valid": [{"from": iso(learned)}], "chunks": 0, "writing": ""}
    one = new_manifest(name, job.version, START - 24 * HOUR, learned) | {"trained": 1, "state": "promoted", "detail": detail}
    client.index(index=SNAPSHOTS, id=manifest_id(name, one["snapshot_id"]), document=one, refresh=True)
    state.advance(client, job, window)
    kinds = ("record", "category_definition")
    makers = [(Maker(job, kind, {}), int((START + n * HOUR).timestamp() * 1000)) for kind in kinds for n in range(4)]
    documents = [(maker.id(time), time, orjson.dumps(maker.document(time))) for maker, time in makers]
    results.replace(client, job, window, documents, types=list(kinds))
    ml.revert_model_snapshot(job_id=name, snapshot_id=one["snapshot_id"], delete_intervening_results=True)
    assert state.progress(client, job).window == Window(START, learned)
    left = [hit["_source"]["result_type"] for hit in results.scan(client, {"term": {"job_id": name}})]
    assert Counter(left) == {"record": 2, "category_definition": 4}, "the kinds of messages are the snapshot's"


def test_forecasts_are_deleted_by_their_id_or_that_of_their_run(ml: MlClient, explored: Job, client: Elasticsearch) -> None:
    from driftline.pipeline.forecast import forecast, forecasts

    forecast(client, explored, duration="1d", run="elastic-0123456789ab")
    before = len(forecasts(client, explored.job_id))
    assert ml.delete_forecast(job_id=explored.job_id, forecast_id="elastic-0123456789ab")["acknowledged"] is True
    left = forecasts(client, explored.job_id)
    assert len(left) == before - 1
    with pytest.raises(NotFoundError, match="No forecast"):
        ml.delete_forecast(job_id=explored.job_id, forecast_id="no-such")
    assert ml.delete_forecast(job_id=explored.job_id)["acknowledged"] is True
    with pytest.raises(NotFoundError, match="No forecast"):
        ml.delete_forecast(job_id=explored.job_id, allow_no_forecasts=False)
    forecast(client, explored, duration="2d")


def test_who_may_not_is_told_so_by_the_client(as_: Callable[[str], Elasticsearch], site: str, explored: Job) -> None:
    with pytest.raises(AuthorizationException) as raised:
        as_("viewer").ml.delete_job(job_id=explored.job_id)
    assert raised.value.body["error"]["type"] == "security_exception"
    with Elasticsearch(f"{site}/driftline/elastic") as nobody, pytest.raises(AuthenticationException):
        nobody.ml.get_jobs()


def methods() -> list[str]:
    return sorted(
        name
        for name, each in vars(type(Elasticsearch("http://127.0.0.1:1").ml)).items()
        if callable(each) and not name.startswith("_")
    )


def arguments(ml: MlClient, method: str) -> dict[str, Any]:
    """Something for each required parameter; ids are of what is not there."""
    rather = {
        "estimate_model_memory": {"analysis_config": COUNTED}, "put_datafeed": {"indices": ["x"], "job_id": "no-such"},
        "preview_datafeed": {"datafeed_id": "no-such"}, "explain_data_frame_analytics": {"source": {}, "analysis": {}},
        "post_data": {"data": [{"a": 1}]}, "update_job": {"description": "x"}, "update_datafeed": {"query_delay": "1m"},
        "validate": {"analysis_config": COUNTED}, "evaluate_data_frame": {"evaluation": {"a": 1}, "index": "x"},
    }  # fmt: skip
    objects = {"analysis_config": {"detectors": []}, "data_description": ABOUT, "detector": {"function": "count"}}
    objects |= {"events": [{"description": "x"}], "docs": [{}], "analysis": {"a": {}}, "dest": {"index": "x"}, "evaluation": {}}
    objects |= {"source": {"index": "x"}, "indices": ["x"], "data": [{}], "vocabulary": ["a"], "total_parts": 1, "part": 1}
    objects |= {"total_definition_length": 1, "definition": "x"}
    signature = inspect.signature(inspect.unwrap(getattr(ml, method))).parameters.values()
    needed = [each.name for each in signature if each.name != "self" and (each.default is each.empty or each.name in objects)]
    return {**{each: objects.get(each, "no-such") for each in needed}, **rather.get(method, {})}


@pytest.mark.parametrize("method", methods())
def test_each_method_of_the_client_is_served_or_said_not_to_be_here(ml: MlClient, module_prefix: str, method: str) -> None:
    given = arguments(ml, method)
    if method in ("put_filter", "put_calendar", "put_job"):
        given = {each: (f"{module_prefix}Not.An.Id" if each.endswith("_id") else value) for each, value in given.items()}
    try:
        getattr(ml, method)(**given)
        status, body = 200, {}
    except ApiError as error:
        status, body = error.status_code, error.body
    assert (status == 501) == (method in NOT_HERE), (status, body)
    if status != 200:
        assert status in (400, 404, 409, 501), body
        assert body["error"]["reason"]
        assert "Not Found" not in body["error"]["reason"]
        assert body["error"]["root_cause"]


def test_there_are_as_many_methods_as_are_known() -> None:
    assert len(methods()) == 73
    assert set(methods()) >= NOT_HERE
