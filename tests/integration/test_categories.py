"""Categories of messages: a new kind is found, a burst of one kind is found, clean data is silent, and numbers stay."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from commands import command

from driftline.core.job import Job
from driftline.core.series import SeriesKey
from driftline.core.timespan import Window
from driftline.elastic import query, results, snapshots
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.fields import has_words
from driftline.pipeline import view
from driftline.pipeline.explain import explain
from driftline.pipeline.jobs import reset, save
from driftline.pipeline.score import score
from driftline.pipeline.train import train
from driftline.scoring.categories import NEW_FROM
from driftline.scoring.settings import ALARM_SCORE

START, HOUR = datetime(2026, 3, 1, tzinfo=UTC), timedelta(hours=1)
TRAINED, DAYS = 15, 17
NEW, BURST = 15 * 24 + 3, 16 * 24 + 5  # hours after the training
HOSTS = ("web-1", "web-2")


def messages_of(rng: np.random.Generator, hour: int, planted: bool) -> list[str]:
    """Two dozen an hour and host, of four kinds."""
    out = [f"Accepted password for user{rng.integers(0, 50)} from 10.0.0.{rng.integers(1, 255)} port {n} ssh2" for n in range(9)]
    out += [f"Processed batch {rng.integers(0, 10**6)} in {rng.integers(1, 900)}ms" for _ in range(int(rng.poisson(9)))]
    out += [f"2026-03-01T{hour % 24:02}:00:00Z GET /items/{rng.integers(0, 10**6)} 200" for _ in range(int(rng.poisson(4)))]
    out += [f"Session of {name} closed after {rng.integers(1, 99)} s" for name in rng.choice(["ann", "bob", "cid"], 2)]
    if planted and hour == NEW:
        out.append(f"Filesystem /dev/sda{rng.integers(1, 9)} remounted read-only because of [bold]errors[/]")
    if planted and hour == BURST:
        out += [f"Session of dan closed after {n} s" for n in range(200)]
    return out


@pytest.fixture(scope="module")
def indexed(client, module_prefix):
    for name in ("planted", "clean"):
        rng, index = np.random.default_rng(3), f"{module_prefix}{name}"
        fields = {
            "@timestamp": {"type": "date"},
            "message": {"type": "text"},
            "host": {"type": "keyword"},
            "zone": {"type": "keyword"},
        }
        client.indices.create(index=index, mappings={"properties": fields}, settings={"number_of_replicas": 0})
        rows = (
            {
                "@timestamp": int((START + hour * HOUR).timestamp() * 1000) + n,
                "message": text,
                "host": host,
                "zone": f"zone of {host}",
            }
            for hour in range(DAYS * 24)
            for host in HOSTS
            for n, text in enumerate(messages_of(rng, hour, name == "planted" and host == "web-2"))
        )
        bulk(client, (index_action(index, None, row) for row in rows))
        client.indices.refresh(index=index)
    return module_prefix


def job_of(job_id: str, index: str, **more: Any) -> Job:
    definition = {
        "job_id": job_id,
        "bucket_span": "1h",
        "categorization_field_name": "message",
        "detectors": [
            {"function": "count", "by_field_name": "mlcategory"},
            {"function": "rare", "by_field_name": "mlcategory"},
            {"function": "high_count", "by_field_name": "mlcategory", "partition_field_name": "host"},
        ],
        "influencers": ["zone"],
        "datafeed": {"indices": [index], "on_request": True},
        "training": {"window": "15d", "schedule": "none"},
    }
    return Job.parse(definition | more, where="test")


AFTER = Window(START + TRAINED * 24 * HOUR, START + DAYS * 24 * HOUR)


@pytest.fixture(scope="module")
def scored(client, indexed):
    """Of each index the job, and its records after one training."""
    out = {}
    for name in ("planted", "clean"):
        job = job_of(f"{indexed}{name}", f"{indexed}{name}")
        trained = train(client, job, as_of=AFTER.start)
        assert trained["promoted"], trained["reason"]
        score(client, job, window=AFTER)
        out[name] = job, results.top_records(client, job.job_id, limit=10_000)
    yield out
    for job, _ in out.values():
        reset(client, job.job_id)


def loud(records: list[dict[str, Any]], detector: int) -> list[dict[str, Any]]:
    return [each for each in records if each["detector_index"] == detector and each["record_score"] >= ALARM_SCORE]


def hour_of(record: dict[str, Any]) -> int:
    return round((record["timestamp"] / 1000 - START.timestamp()) / 3600)


def test_a_new_kind_of_message_is_rare_and_is_told(scored):
    (record,) = loud(scored["planted"][1], 1)
    assert hour_of(record) == NEW
    assert int(record["by_field_value"]) >= NEW_FROM
    template = "Filesystem <path> remounted read-only because of bold errors"
    assert record["driftline"]["template"] == template
    assert record["driftline"]["sentence"] == f"mlcategory '{record['by_field_value']}': never seen before; messages '{template}'"


@pytest.mark.parametrize("detector", [0, 2])
def test_a_burst_of_one_kind_is_found_and_its_host_is_to_blame(scored, detector):
    job, records = scored["planted"]
    found = loud(records, detector)
    assert {hour_of(record) for record in found} == {BURST}
    (record,) = found
    assert record["driftline"]["template"] == "Session of <*> closed after <n> s"
    assert record["influencers"] == [{"influencer_field_name": "zone", "influencer_field_values": ["zone of web-2"]}]
    assert record["actual"][0] > 200
    assert int(record["by_field_value"]) < 10
    assert job.categorises


def test_clean_data_is_silent(scored):
    assert [(hour_of(r), r["driftline"]["sentence"]) for r in scored["clean"][1] if r["record_score"] >= ALARM_SCORE] == []


def test_events_tell_the_kind_of_message(client, scored):
    events = results.of_type(client, scored["planted"][0].job_id, "event")
    told = {event["driftline"].get("template") for event in events if event["driftline"]["event"]["alarm"]}
    assert "Session of <*> closed after <n> s" in told
    assert all("; messages '" in e["driftline"]["sentence"] for e in events if e.get("by_field_name") == "mlcategory")


def test_scoring_again_gives_the_same_documents(client, scored):
    job, before = scored["planted"]
    again = score(client, job, window=AFTER)
    assert again["deleted"] == 0
    assert results.top_records(client, job.job_id, limit=10_000) == before


def test_definitions_have_elastics_fields(client, scored):
    found = results.of_type(client, scored["planted"][0].job_id, "category_definition")
    assert sorted(each["category_id"] for each in found) == [1, 2, 3, 4]
    by_template = {each["driftline"]["template"]: each for each in found}
    session = by_template["Session of <*> closed after <n> s"]
    assert session["terms"] == "Session of closed after s"
    assert session["regex"] == ".*?Session.+?of.+?closed.+?after.+?s.*"
    assert session["num_matches"] == TRAINED * 24 * 2 * 2
    assert 1 <= len(session["examples"]) <= 4
    assert max(map(len, session["examples"])) <= session["max_matching_length"] == len("Session of ann closed after 99 s")


def test_numbers_stay_over_a_retrain_and_what_was_new_gets_the_next(client, scored, indexed):
    job = job_of(f"{indexed}retrained", f"{indexed}planted")
    train(client, job, as_of=AFTER.start)
    before = {e["driftline"]["template"]: e["category_id"] for e in results.of_type(client, job.job_id, "category_definition")}
    second = train(client, job, as_of=AFTER.end)
    assert second["promoted"]
    after = {e["driftline"]["template"]: e["category_id"] for e in results.of_type(client, job.job_id, "category_definition")}
    assert after == before | {"Filesystem <path> remounted read-only because of bold errors": 5}
    # an interval that two snapshots score is what each says by itself
    whole = Window(AFTER.start, AFTER.end)
    assert len(snapshots.manifests(client, job.job_id)) == 2
    score(client, job, window=whole)
    told = {
        r["driftline"]["template"] for r in results.top_records(client, job.job_id, limit=100) if r["record_score"] >= ALARM_SCORE
    }
    assert told == {"Session of <*> closed after <n> s", "Filesystem <path> remounted read-only because of bold errors"}
    reset(client, job.job_id)


def test_partitions_may_have_categories_of_their_own(client, indexed):
    job = job_of(
        f"{indexed}partitions",
        f"{indexed}planted",
        detectors=[{"function": "rare", "by_field_name": "mlcategory", "partition_field_name": "host"}],
        per_partition_categorization={"enabled": True},
        categorization_filters=[r"\[/?bold\]", "because of .*"],
    )
    train(client, job, as_of=AFTER.start)
    found = results.of_type(client, job.job_id, "category_definition")
    assert {each["partition_field_value"] for each in found} == set(HOSTS)
    assert len({each["category_id"] for each in found}) == len(found) == 8
    score(client, job, window=AFTER)
    (record,) = [each for each in results.top_records(client, job.job_id) if each["record_score"] >= ALARM_SCORE]
    assert record["partition_field_value"] == "web-2"
    assert record["driftline"]["template"] == "Filesystem <path> remounted read-only"
    reset(client, job.job_id)


def test_the_command_lists_them(client, scored):
    job, _ = scored["planted"]
    save(client, job)
    told = command("categories", job.job_id, "--json")
    assert {each["category_id"] for each in json.loads(told.stdout)} == {1, 2, 3, 4}
    shown = command("categories", job.job_id)
    assert "Session of <*> closed after <n> s" in shown.stdout
    client.delete(index="driftline-jobs", id=f"job:{job.job_id}", refresh=True)


def test_a_category_can_be_looked_at_and_its_documents_are_those_with_its_words(client, scored):
    job, records = scored["planted"]
    (record,) = loud(records, 0)
    key = SeriesKey(0, None, record["by_field_value"])
    hour = Window(START + BURST * HOUR, START + (BURST + 1) * HOUR)
    seen = view.view_series(client, job, key, hour)
    assert seen["actual"] == record["actual"]
    assert seen["typical"][0] < 10
    behind = view.documents(client, job, key, hour, size=500)
    assert behind["total"] == record["actual"][0]
    assert all("closed after" in each["_source"]["message"] for each in behind["documents"])
    why = explain(client, job, record["by_field_value"], hour.start)
    assert why["series"][0]["record"]["record_score"] == record["record_score"]


@pytest.mark.parametrize("kind", ["text", "keyword"])
def test_messages_are_found_by_their_words_whatever_the_field_is(client, prefix, kind):
    client.indices.create(index=prefix, mappings={"properties": {"message": {"type": kind}}})
    said = ["disk a*b\\\\c is full", "disk x is full", "is full disk"]
    bulk(client, (index_action(prefix, None, {"message": text}) for text in said))
    client.indices.refresh(index=prefix)
    job = job_of("words", prefix)
    clause = query.messages(job, "disk <*> is full", words=has_words(client, job))
    assert client.count(index=prefix, query=clause)["count"] == (3 if kind == "text" else 2)
    assert client.count(index=prefix, query=query.messages(job, "<n>", words=has_words(client, job)))["count"] == 3
