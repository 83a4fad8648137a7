"""A metric given another, on a real Elasticsearch: what was planted is found, what is ordinary is not, and both are explained."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from driftline.cli.app import app
from driftline.core.errors import DataError, SourceIndexError
from driftline.core.job import Job
from driftline.core.series import SeriesKey
from driftline.core.timespan import Window, iso
from driftline.elastic import results, snapshots
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.fields import check_fields
from driftline.pipeline.explain import explain
from driftline.pipeline.jobs import delete, reset, save
from driftline.pipeline.score import score
from driftline.pipeline.store import read_stored
from driftline.pipeline.train import train
from driftline.scoring.settings import ALARM_SCORE

START, HOUR = datetime(2026, 3, 1, tzinfo=UTC), timedelta(hours=1)
TRAINED, DAYS = 21, 24
BUSY, FAILING = 22 * 24 + 12, 23 * 24 + 14  # hours: of host a, of host b
FIELDS = {
    "@timestamp": {"type": "date"},
    **{name: {"type": "keyword"} for name in ("host", "user", "what")},
    **{name: {"type": "double"} for name in ("cpu", "bytes", "status")},
}
ERRORS = {"range": {"status": {"gte": 500}}}
HOST = {"partition_field_name": "host"}
LOAD, PLAIN_LOAD, SHARE, PLAIN_ERRORS, SIZE, OTHERS, LOW = range(7)
DETECTORS: list[dict[str, Any]] = [
    {"function": "mean", "field_name": "cpu", "given": {"function": "count"}, **HOST},
    {"function": "mean", "field_name": "cpu", **HOST},
    {"function": "high_count", "query": ERRORS, "per": {"function": "count"}, **HOST},
    {"function": "high_count", "query": ERRORS, **HOST},
    {"function": "sum", "field_name": "bytes", "per": {"function": "c"}, **HOST},
    {
        "function": "mean",
        "field_name": "cpu",
        "given": {"function": "count", "query": {"term": {"what": "request"}}},
        "by_field_name": "host",
    },
    {"function": "low_count", "query": {"range": {"status": {"lt": 500}}}, "per": {"function": "count"}, **HOST},
]


def hour_of(rng: np.random.Generator, hour: int, host: str) -> list[dict[str, Any]]:
    """Requests of one host: a hundred by day, one or none at night; four of a hundred fail, and the load goes with them."""
    count = int(rng.poisson(100 * (0.5 - 0.49 * np.cos(2 * np.pi * (hour % 24 - 2) / 24)) ** 2))
    failing = (host, hour) == ("b", FAILING)  # no more errors than a busy hour has, of few requests, by one user
    count = 12 if failing else count
    status = np.where(rng.random(count) < 0.04, 500, 200)
    user = rng.integers(0, 50, count)
    load = 0.05 + 0.5 * count / (count + 100) + rng.normal(0, 0.01)
    if (host, hour) == ("a", BUSY):  # few requests, and the load that many would make
        status, user = status[:8], user[:8]
    if failing:
        status, user = np.array([500] * 9 + [200] * 3), np.array([77] * 9 + [78] * 3)
    stamp = int((START + hour * HOUR).timestamp() * 1000)
    return [
        {
            "@timestamp": stamp + int(rng.integers(0, 3_600_000)),
            "host": host,
            "what": "request",
            "user": f"u{who}",
            "status": code,
            "cpu": load,
            "bytes": float(rng.lognormal(8, 0.5)),
        }
        for code, who in zip(status.tolist(), user.tolist(), strict=True)
    ]


def job_of(prefix: str, name: str, index: str, detectors: list[dict[str, Any]], **feed: Any) -> Job:
    definition = {
        "job_id": f"{prefix}{name}",
        "bucket_span": "1h",
        "detectors": detectors,
        "influencers": ["user"],
        "datafeed": {"indices": [index], "on_request": True, **feed},
        "training": {"window": "21d", "schedule": "none"},
    }
    return Job.parse(definition, where="test")


@pytest.fixture(scope="module")
def index(client, module_prefix):
    """Two hosts, of each of which one hour is not as it should be; another begins when the training is nearly over."""
    rng, name = np.random.default_rng(11), f"{module_prefix}requests"
    client.indices.create(index=name, mappings={"properties": FIELDS}, settings={"number_of_replicas": 0})
    times = [(hour, host) for hour in range(DAYS * 24) for host in "abd" if host != "d" or hour >= (TRAINED - 1) * 24]
    bulk(client, (index_action(name, None, row) for hour, host in times for row in hour_of(rng, hour, host)))
    client.indices.refresh(index=name)
    return name


@pytest.fixture(scope="module")
def job(client, module_prefix, index):
    """Trained before what was planted, and scored."""
    made = job_of(module_prefix, "given", index, DETECTORS)
    save(client, made)
    trained = train(client, made, as_of=START + TRAINED * 24 * HOUR)
    assert trained["promoted"], trained["reason"]
    score(client, made, window=Window(START + TRAINED * 24 * HOUR, START + DAYS * 24 * HOUR))
    yield made
    delete(client, made.job_id)


@pytest.fixture(scope="module")
def records(client, job):
    return results.top_records(client, job.job_id, limit=10_000)


def alarms(records: list[dict[str, Any]], detector: int) -> dict[tuple[str, int], dict[str, Any]]:
    """(host, hour) → record."""
    return {
        (_host(r), round((r["timestamp"] / 1000 - START.timestamp()) / 3600)): r
        for r in records
        if r["detector_index"] == detector and r["record_score"] >= ALARM_SCORE
    }


def _host(record: dict[str, Any]) -> str:
    return record.get("partition_field_value") or record["by_field_value"]


@pytest.mark.parametrize("number", [LOAD, OTHERS])
def test_load_without_requests_is_found_where_load_alone_is_nothing_unusual(records, number):
    found = alarms(records, number)
    assert set(found) == {("a", BUSY)}, [(key, r["driftline"]["sentence"]) for key, r in found.items()]
    record = found["a", BUSY]
    # load alone is what it is at noon; that of few requests elsewhere is none of its business, but that it cannot know
    assert set(alarms(records, PLAIN_LOAD)) == {("b", FAILING)}
    assert record["actual"][0] > 0.25 > 0.15 > record["typical"][0]
    assert record["driftline"]["evidence"]["other"] == 8
    assert record["driftline"]["kind"] == "spike"
    at = "at 8 documents" if number == LOAD else 'at count where {"term":{"what":"request"}} 8'
    actual, typical = record["actual"][0], record["typical"][0]
    assert record["driftline"]["sentence"] == f"mean(cpu) {actual:.3g} where {typical:.3g} is usual {at}"


@pytest.mark.parametrize("number", [SHARE, LOW])
def test_a_share_of_errors_is_found_where_their_number_is_nothing_unusual(records, number):
    found = alarms(records, number)
    assert set(found) == {("b", FAILING)}, [(key, r["driftline"]["sentence"]) for key, r in found.items()]
    record, part = found["b", FAILING], 9 if number == SHARE else 3
    assert not alarms(records, PLAIN_ERRORS)
    assert record["actual"] == [pytest.approx(part / 12)]
    assert record["typical"] == [pytest.approx(0.04 if number == SHARE else 0.96, rel=0.6)]
    assert record["driftline"]["evidence"].items() >= {"other": 12, "part": part}.items()
    assert record["driftline"]["sentence"].startswith(f"{100 * part / 12:.3g} % instead of ")
    assert record["driftline"]["sentence"].endswith(f"({part} of 12)")


def test_sizes_that_go_with_the_requests_are_no_news(records):
    assert not alarms(records, SIZE)


def test_who_is_to_blame_is_asked_among_what_the_detector_reads(records):
    blamed = [each["influencer_field_values"] for each in alarms(records, SHARE)["b", FAILING]["influencers"]]
    assert blamed == [["u77"]], "u78 made requests, too, but no errors"


def test_events_tell_what_records_tell(client, job, records):
    end = START + DAYS * 24 * HOUR
    events = results.of_type(client, job.job_id, "event", version=job.version, window=Window(START, end))
    said = [event["driftline"]["sentence"] for event in events if event.get("detector_index") == SHARE]
    assert said == [f"{alarms(records, SHARE)['b', FAILING]['driftline']['sentence']}, for 1 hour"]


def test_a_series_with_too_few_buckets_is_listed_with_the_reason(client, job):
    (manifest,) = snapshots.manifests(client, job.job_id)
    failures = [each for each in manifest["detail"]["failures"] if each["detector_index"] == LOAD]
    assert [(each["partition_value"], each["reason"]) for each in failures] == [("d", "fewer than 60 buckets with both metrics")]
    assert manifest["series"] == manifest["trained"] + manifest["failed"]
    assert manifest["detail"]["groups"] == {str(number): 2 for number in (LOAD, SHARE, SIZE, OTHERS, LOW)}


def test_scoring_hour_by_hour_and_a_training_that_has_seen_it_find_the_same(client, index, prefix, records):
    detectors = [DETECTORS[LOAD], DETECTORS[SHARE]]
    job, end = job_of(prefix, "again", index, detectors), START + DAYS * 24 * HOUR
    train(client, job, as_of=START + TRAINED * 24 * HOUR)
    for place in (BUSY, FAILING):
        for hour in range(place - 1, place + 2):
            score(client, job, window=Window(START + hour * HOUR, START + (hour + 1) * HOUR))
    again = results.top_records(client, job.job_id, limit=1000)
    for number, detector, key in ((0, LOAD, ("a", BUSY)), (1, SHARE, ("b", FAILING))):
        mine, theirs = alarms(again, number)[key], alarms(records, detector)[key]
        assert [mine[name] for name in ("probability", "typical")] == [theirs[name] for name in ("probability", "typical")]
    reset(client, job.job_id)
    train(client, job, as_of=end)
    score(client, job, window=Window(START, end))
    seen = results.top_records(client, job.job_id, limit=1000)
    assert [set(alarms(seen, number)) for number in (0, 1)] == [{("a", BUSY)}, {("b", FAILING)}]
    reset(client, job.job_id)


def test_one_series_is_explained_by_itself_and_nothing_stands_in_for_it(client, job, index):
    at = START + BUSY * HOUR
    for key in (SeriesKey(LOAD, "a"), SeriesKey(PLAIN_LOAD, "a"), SeriesKey(OTHERS, None, "b")):
        (told,) = explain(client, job, None, at, key=key)["series"]
        assert SeriesKey(*(told[name] for name in SeriesKey._fields)) == key
    with pytest.raises(DataError, match="there is no series 'x'"):
        explain(client, job, None, at, key=SeriesKey(LOAD, "x"))
    compared = job_of("", "compared", index, [{"function": "count", "over_field_name": "user"}])
    with pytest.raises(DataError, match="a detector that compares is not explained bucket by bucket"):
        explain(client, compared, None, at, key=SeriesKey(0, None, None, "u1"))


def test_any_bucket_is_explained(client, job):
    def told(host: str, hour: int, detector: int) -> dict[str, Any]:
        found = explain(client, job, host, START + hour * HOUR)
        return next(each for each in found["series"] if each["detector_index"] == detector)

    loud = told("a", BUSY, LOAD)
    assert loud["conclusion"].startswith(f"An anomaly that alarms: {loud['record']['driftline']['sentence']}, which scores")
    assert (loud["actual"], loud["other"]) == (pytest.approx(loud["record"]["actual"][0], rel=1e-5), 8)
    assert loud["score"] == pytest.approx(loud["record"]["record_score"], rel=1e-3)
    quiet = told("b", BUSY, SHARE)
    assert quiet["conclusion"].startswith("No anomaly: ")
    assert quiet["suppressed"][0]["rule"] in ("below_minimum", "one_sided")
    assert told("d", BUSY, LOAD)["suppressed"][0]["rule"] == "no_model"
    assert "fewer than 60 buckets" in told("d", BUSY, LOAD)["conclusion"]
    with pytest.raises(DataError, match="there is no partition 'x'"):
        explain(client, job, "x", START + BUSY * HOUR)
    at = iso(START + FAILING * HOUR)
    shown = CliRunner().invoke(app, ["explain", job.job_id, "--partition", "b", "--at", at], terminal_width=200)
    assert shown.exit_code == 0, shown.output
    assert "the other metric" in shown.output
    answer = json.loads(CliRunner().invoke(app, ["explain", job.job_id, "-p", "b", "--at", at, "--json"]).output)
    assert len(answer["series"]) == len(DETECTORS)


def test_a_query_of_a_detector_reads_what_one_of_the_datafeed_reads(client, index, prefix):
    rare = {"bool": {"filter": [ERRORS, {"terms": {"host": ["a", "b"]}}]}}
    functions = [("count", None), ("non_zero_count", None), ("distinct_count", "user"), ("mean", "cpu"), ("sum", "bytes")]
    functions += [("median", "cpu"), ("varp", "bytes"), ("std_deviation", "bytes"), ("non_null_sum", "bytes"), ("max", "cpu")]
    plain = [{"function": name, **({"field_name": field} if field else {})} for name, field in functions]
    window = Window(START, START + 3 * 24 * HOUR)
    for split in ({}, HOST, {"partition_field_name": "status", "by_field_name": "host"}):
        mine = job_of(prefix, "mine", index, [{**detector, **split, "query": rare} for detector in plain])
        theirs = job_of(prefix, "theirs", index, [{**detector, **split} for detector in plain], query=rare)
        one, other = (read_stored(client, each, window) for each in (mine, theirs))
        assert one.keys == other.keys
        assert len(one.keys) == len(functions) * (2 if split else 1)
        assert np.array_equal(one.values, other.values, equal_nan=True)


def test_what_was_stored_for_one_query_is_not_taken_for_another(client, index, prefix):
    window, totals = Window(START, START + 3 * 24 * HOUR), []
    for query in (ERRORS, {"range": {"status": {"lt": 500}}}, None):
        detector = {"function": "count", **({"query": query} if query else {})}
        totals.append(read_stored(client, job_of(prefix, "mine", index, [detector]), window).values.sum())
    assert 0 < totals[0] < totals[1]
    assert totals[0] + totals[1] == totals[2]


def test_a_query_narrows_detectors_that_compare_as_one_of_the_datafeed_does(client, index, prefix):
    detectors = [{"function": "high_count", "over_field_name": "user"}, {"function": "rare", "by_field_name": "user"}]
    query, found = {"term": {"host": "b"}}, []
    window = Window(START + TRAINED * 24 * HOUR, START + DAYS * 24 * HOUR)
    for name, extra, feed in (("mine", {"query": query}, {}), ("theirs", {}, {"query": query})):
        job = job_of(prefix, name, index, [{**detector, **extra} for detector in detectors], **feed)
        train(client, job, as_of=window.start)
        score(client, job, window=window)
        records = results.top_records(client, job.job_id, limit=1000)
        found.append(sorted((r["detector_index"], r["timestamp"], r["probability"]) for r in records))
        reset(client, job.job_id)
    assert found[0] == found[1] != []


def test_fields_and_queries_that_cannot_be_read_are_told_where_they_are(client, index, prefix):
    missing = {"function": "mean", "field_name": "cpu", "given": {"function": "mean", "field_name": "cpus"}}
    with pytest.raises(SourceIndexError, match=r"detectors.0.given.field_name: no field 'cpus'.*'cpu'"):
        check_fields(client, job_of(prefix, "x", index, [missing]))
