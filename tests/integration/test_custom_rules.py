"""Custom rules, filters and calendars, from the command line to the results."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from driftline.cli.app import app
from driftline.core.errors import DefinitionError
from driftline.core.job import Job
from driftline.core.timespan import Window, iso
from driftline.elastic import results
from driftline.elastic.bulk import bulk, index_action
from driftline.pipeline.calendars import delete, known, stored
from driftline.pipeline.explain import explain
from driftline.pipeline.jobs import reset
from driftline.pipeline.score import score
from driftline.pipeline.train import train
from driftline.scoring.settings import ALARM_SCORE

if TYPE_CHECKING:
    from collections.abc import Iterator

START, HOUR, DAY = datetime(2026, 3, 2, tzinfo=UTC), timedelta(hours=1), timedelta(days=1)
TRAINED, END = START + 15 * DAY, START + 18 * DAY
OUTAGE = START + 16 * DAY + 10 * HOUR  # of both hosts, four hours long
MOVED = START + 15 * DAY + 12 * HOUR  # from here on, people come an hour earlier, in one of the indices


def hours(name: str) -> Iterator[dict[str, Any]]:
    """Two hosts that are busy from eight to eighteen; while `planned` maintenance is on, every third day, they are idle."""
    rng, at = np.random.default_rng(4), START
    while at < END:
        clock = (at + HOUR if name == "moved" and at >= MOVED else at).hour
        rate = 120 if 8 <= clock < 18 else 12
        planned = name == "planned" and (at - START).days % 3 == 0 and 9 <= at.hour < 12
        for host in ("a", "b"):
            idle = planned or (name != "moved" and OUTAGE <= at < OUTAGE + 4 * HOUR)
            for _ in range(1 if idle else int(rng.poisson(rate))):
                yield {"@timestamp": int((at + rng.random() * HOUR).timestamp() * 1000), "host": host}
        at += HOUR


@pytest.fixture(scope="module")
def indexed(client, module_prefix):
    """An index of each kind."""
    fields = {"@timestamp": {"type": "date"}, "host": {"type": "keyword"}}
    for name in ("planned", "outage", "moved"):
        index = f"{module_prefix}{name}"
        client.indices.create(index=index, mappings={"properties": fields}, settings={"number_of_replicas": 0})
        bulk(client, (index_action(index, None, row) for row in hours(name)))
        client.indices.refresh(index=index)
    return module_prefix


def run(*words: str) -> Any:
    """A command's answer."""
    found = CliRunner().invoke(app, [*words, "--json"])
    assert found.exit_code == 0, found.output
    return json.loads(found.output)


@pytest.fixture
def prefixed(client, prefix):
    """What a test stores is deleted again."""
    yield prefix
    for one in stored(client):
        if one.id.startswith(prefix):
            delete(client, one.kind, one.id)
    for name in ("web", "plain"):
        reset(client, f"{prefix}{name}")


def job_of(name: str, index: str, **detector: Any) -> Job:
    definition = {
        "job_id": name,
        "bucket_span": "1h",
        "detectors": [{"function": "count", "partition_field_name": "host", **detector}],
        "datafeed": {"indices": [index], "on_request": True},
        "training": {"schedule": "none"},
    }
    return Job.parse(definition, where="test")


def alarms(client: Any, job: Job) -> list[tuple[str, datetime]]:
    """Trains and scores a job with what is known of it: host and hour of records that alarm."""
    job = job.knowing(known(client, job))
    train(client, job, as_of=TRAINED)
    score(client, job, window=Window(TRAINED, END))
    found = [each for each in results.top_records(client, job.job_id, limit=1000) if each["record_score"] >= ALARM_SCORE]
    return sorted((each["partition_field_value"], datetime.fromtimestamp(each["timestamp"] / 1000, UTC)) for each in found)


def outage(found: list[tuple[str, datetime]], host: str) -> bool:
    return any(who == host and OUTAGE <= at < OUTAGE + 4 * HOUR for who, at in found)


def test_a_calendar_hides_an_outage_and_keeps_planned_ones_out_of_the_model(client, indexed, prefixed, tmp_path):
    plain, job = (job_of(f"{prefixed}{name}", f"{indexed}planned") for name in ("plain", "web"))
    told = {at - OUTAGE for _, at in alarms(client, plain)}
    assert told & {0 * HOUR, HOUR} == set(), "at nine to twelve it is nothing unusual where nobody says that they are planned"
    # its shape may be told once more when it has just been over
    assert {2 * HOUR, 3 * HOUR} <= told <= {2 * HOUR, 3 * HOUR, 5 * HOUR}
    planned = [START + day * DAY + 9 * HOUR for day in range(0, 18, 3)]
    events = [
        {"event_id": "x", "description": "planned", "start_time": iso(at), "end_time": iso(at + 3 * HOUR)} for at in planned
    ]
    events.append({"description": "outage", "start_time": iso(OUTAGE - HOUR), "end_time": iso(OUTAGE + 4 * HOUR)})
    (tmp_path / f"{prefixed}cal.json").write_text(json.dumps({"events": events}))
    assert run("calendars", "put", str(tmp_path / f"{prefixed}cal.json"), "--job", job.job_id) == {"saved": [f"{prefixed}cal"]}
    assert f"{prefixed}cal" in {one["calendar_id"] for one in run("calendars", "list")}
    listed = run("calendars", "events", "--start", iso(START), "--end", iso(END))
    assert len([one for one in listed if one["calendar_id"] == f"{prefixed}cal"]) == 7
    assert alarms(client, job) == []
    (said,) = explain(client, job.knowing(known(client, job)), "a", OUTAGE)["series"]
    assert said["suppressed"][0]["rule"] == "custom_rule"
    assert f"calendar '{prefixed}cal': outage" in said["conclusion"]
    (tmp_path / f"{prefixed}cal.json").write_text(json.dumps({"events": events[:-1]}))
    run("calendars", "put", str(tmp_path / f"{prefixed}cal.json"), "--job", job.job_id)
    assert outage(alarms(client, job), "a"), "it is an anomaly where it was not planned"
    expected = [explain(client, each.knowing(known(client, each)), "a", OUTAGE)["series"][0]["expected"] for each in (plain, job)]
    assert expected[0]["typical"] + 10 < expected[1]["typical"], "maintenance is no lesson"
    run("calendars", "delete", f"{prefixed}cal")
    assert f"{prefixed}cal" not in {one["calendar_id"] for one in run("calendars", "list")}


def test_a_rule_with_a_filter_hides_one_host_and_no_other(client, indexed, prefixed, tmp_path):
    rule = {"actions": ["skip_result"], "scope": {"host": {"filter_id": f"{prefixed}known"}}}
    rule["conditions"] = [{"applies_to": "actual", "operator": "lt", "value": 5}]
    job = job_of(f"{prefixed}web", f"{indexed}outage", custom_rules=[rule])
    (tmp_path / "f.yaml").write_text(f"filter_id: {prefixed}known\nitems: ['*a']\n")
    run("filters", "put", str(tmp_path / "f.yaml"))
    assert [one["items"] for one in run("filters", "list") if one["filter_id"] == f"{prefixed}known"] == [["*a"]]
    found = alarms(client, job)
    assert outage(found, "b")
    assert not outage(found, "a")


def test_when_clocks_are_moved_the_model_moves_with_them(client, indexed, prefixed, tmp_path):
    plain, job = (job_of(f"{prefixed}{name}", f"{indexed}moved") for name in ("plain", "web"))
    assert alarms(client, plain), "an hour earlier than usual"
    event = {"description": "summer time", "start_time": iso(MOVED), "end_time": iso(MOVED + HOUR), "force_time_shift": 3600,
             "skip_result": False, "skip_model_update": False}  # fmt: skip
    (tmp_path / "c.json").write_text(json.dumps({"calendar_id": f"{prefixed}cal", "job_ids": [job.job_id], "events": [event]}))
    run("calendars", "put", str(tmp_path / "c.json"))
    assert alarms(client, job) == []


def test_a_file_that_is_no_calendar_is_refused_in_words(tmp_path):
    (tmp_path / "c.yaml").write_text("calendar_id: c\nevents: [{description: x, start_time: soon, end_time: later}]\n")
    found = CliRunner().invoke(app, ["calendars", "put", str(tmp_path / "c.yaml")])
    assert "'soon' is not a time" in str(found.exception)


def test_a_broken_calendar_of_the_index_stops_the_jobs_that_it_is_about_and_no_other(client, prefix):
    from driftline.elastic.indices import JOBS, ensure_templates

    ensure_templates(client)
    broken = {"calendar_id": f"{prefix}newer", "job_ids": [f"{prefix}one"], "events": [{"of_a_later_version": True}]}
    document = {"id": f"{prefix}newer", "kind": "calendar", "definition": broken}
    client.index(index=JOBS, id=f"calendar:{prefix}newer", document=document, refresh=True)
    one, other = (
        Job.parse(
            {"job_id": f"{prefix}{name}", "detectors": [{"function": "count"}], "datafeed": {"indices": "web"}}, where="test"
        )
        for name in ("one", "other")
    )
    try:
        assert known(client, other).calendars == ()
        with pytest.raises(DefinitionError, match="of_a_later_version"):
            known(client, one)
        (listed,) = [each for each in stored(client) if each.id == f"{prefix}newer"]
        assert "of_a_later_version" in str(listed.error)
        assert listed.as_dict() == {"origin": "index", "calendar_id": f"{prefix}newer", "error": listed.error}
    finally:
        delete(client, "calendar", f"{prefix}newer")


@pytest.mark.parametrize(
    "text",
    [
        "calendar_id: bad\njob_ids: [one, 'o?e*', web]\neventz: []\n",
        "calendar_id: bad\njob_ids: [one, 'o?e*']\nevents: [{description: it's not: closed\n",
    ],
)
def test_a_broken_file_stops_the_jobs_that_it_may_be_about_and_no_other(tmp_path, monkeypatch, write, text):
    monkeypatch.setenv("DRIFTLINE_CALENDARS_DIR", str(tmp_path / "calendars"))
    monkeypatch.setenv("DRIFTLINE_FILTERS_DIR", str(tmp_path / "filters"))
    write(tmp_path / "calendars" / "bad.yaml", text)
    write(tmp_path / "calendars" / "good.yaml", "calendar_id: good\njob_ids: [_all]\n")
    write(tmp_path / "filters" / "safe.yaml", "filter_id: safe\nitemz: []\n")
    one, other = (job_of(name, "web") for name in ("one", "other"))
    asks = {"custom_rules": [{"scope": {"url": {"filter_id": "safe"}}}], "partition_field_name": "url"}
    careful = Job.parse({**other.as_dict(), "detectors": [{"function": "count", **asks}]}, where="t")
    assert [each.calendar_id for each in known(None, other).calendars] == ["good"]
    with pytest.raises(DefinitionError, match=r"bad\.yaml"):
        known(None, one)
    with pytest.raises(DefinitionError, match="itemz: unknown field"):
        known(None, careful)
    assert [(each.id, bool(each.error)) for each in stored()] == [("bad", True), ("good", False), ("safe", True)]
