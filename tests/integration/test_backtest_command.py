"""`driftline backtest` and `explain` against a real Elasticsearch."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from inspect import signature

import numpy as np
import pytest
import yaml
from commands import command

from driftline.cli.backtest import backtest
from driftline.cli.detect import detect
from driftline.core.job import Job
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.indices import TRUTH, ensure_templates
from driftline.elastic.results import delete
from driftline.pipeline.history import of_job, replayed
from driftline.pipeline.jobs import reset
from driftline.scoring.settings import ALARM_SCORE

START = datetime(2026, 3, 1, tzinfo=UTC)
HOURS = 22 * 24
SPIKE, DROP, AGAIN = 16 * 24 + 5, 18 * 24 + 12, 16 * 24 + 7


def run(*arguments):
    return command(*arguments, COLUMNS="200")


def answer(*arguments, code=0):
    done = run(*arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def at(hour):
    return f"{START + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture(scope="module")
def job(client, module_prefix, tmp_path_factory):
    """Two pages and a rare one; a spike of /a that comes back lower, a drop of /b; trained and scored."""
    name = f"{module_prefix}backtest"
    client.indices.create(index=name, mappings={"properties": {"@timestamp": {"type": "date"}, "page": {"type": "keyword"}}})
    rates = 40 * (1 + 0.4 * np.sin(2 * np.pi * np.arange(HOURS) / 24))
    counts = np.random.default_rng(1).poisson([rates, 2 * rates])
    counts[0, SPIKE] *= 10
    counts[0, AGAIN] *= 5
    counts[1, DROP] = 3
    rows = [("/a", counts[0]), ("/b", counts[1]), ("/rare", np.eye(1, HOURS, 100, dtype=int)[0])]
    documents = (
        {"@timestamp": int((START + timedelta(hours=hour)).timestamp() * 1000), "page": page}
        for page, series in rows
        for hour, number in enumerate(series.tolist())
        for _ in range(number)
    )
    bulk(client, (index_action(name, None, document) for document in documents))
    ensure_templates(client)
    facts = [("spike", "/a", SPIKE), ("drop", "/b", DROP), ("outage", "web-1", DROP)]
    bulk(client, (index_action(TRUTH, f"{name}-{kind}", _fact(name, kind, value, hour)) for kind, value, hour in facts))
    client.indices.refresh(index=[name, TRUTH])
    path = tmp_path_factory.mktemp("backtest") / "job.yaml"
    definition = {
        "job_id": f"{module_prefix}backtest",
        "bucket_span": "1h",
        "detectors": [{"function": "low_count" if low else "count", "partition_field_name": "page"} for low in (False, True)],
        "datafeed": {"indices": name, "on_request": True},
        "training": {"window": "14d", "schedule": "none"},
    }
    path.write_text(yaml.safe_dump(definition))
    answer("train", path, "--as-of", "2026-03-15")
    answer("score", path, "--start", "2026-03-15", "--end", "2026-03-21")
    yield path
    reset(client, definition["job_id"])
    delete(client, TRUTH, {"term": {"source_id": name}})


def _fact(source, kind, value, hour):
    field = "host.name" if kind == "outage" else "page"
    return {
        "truth_id": f"{source}-{kind}", "source_id": source, "kind": kind, "start": at(hour), "end": at(hour + 1),
        "function": "count", "partition_field_name": field, "partition_field_value": value,
    }  # fmt: skip


def test_a_job_is_judged_by_what_the_generator_injected_into_its_index(job, tmp_path):
    page = tmp_path / "page.html"
    found = answer("backtest", job, "--partition", "/a", "--partition", "/b", "--plot", page)
    kinds = found["judged"]["by_kind"]
    assert kinds["spike"]["recall"] == 1.0
    assert kinds["drop"]["recall"] == 1.0
    assert set(kinds) == {"spike", "drop"}
    assert any("1 event of the truth is of a function or split" in note for note in found["notes"])
    assert "fixed threshold" in found["fixed"]["sentence"]
    assert page.read_text().startswith("<!doctype html>")


def test_a_job_is_replayed_as_it_says(job, client):
    history = of_job(client, Job.parse(yaml.safe_load(job.read_text()), where="test"), partitions=["/a"])
    found, spike = replayed(history), round((START + timedelta(hours=SPIKE) - history.start) / history.span)
    told = dict(zip(history.labels, found.anomaly_score[:, spike] >= ALARM_SCORE, strict=True))
    assert told == {"0 /a": True, "1 /a": False}, "the second looks at what is low alone"
    assert history.told["history"] == timedelta(days=14)


def test_the_page_replaces_neither_the_readings_nor_the_truth(tmp_path):
    readings, truth = tmp_path / "r.csv", tmp_path / "t.json"
    readings.write_text("timestamp,value\n2026-03-01,1\n")
    truth.write_text("[]")
    for page in (readings, truth):
        error = answer("backtest", readings, "--truth", truth, "--plot", page, code=2)
        assert (error["what"], error["where"]) == ("the results would replace the data", str(page))
    assert truth.read_text() == "[]"


def test_a_file_is_one_whatever_its_ending_and_mistakes_in_times_are_told(tmp_path):
    (tmp_path / "nodata.dat").write_text("timestamp,value\n2026-01-01,1\n2026-01-02,1\n")
    assert "too short" in answer("backtest", tmp_path / "nodata.dat", code=2)["what"]
    for start in ("99999999999999999999", "0001-01-01T00:00+05:00"):
        assert "is beyond all times" in answer("backtest", tmp_path / "nodata.dat", "--start", start, code=2)["what"]


def test_a_file_is_replayed_as_detect_runs_it_with_the_same_options(tmp_path):
    hits = tmp_path / "hits.csv"
    counts = np.random.default_rng(0).poisson(9 * (1 + 0.5 * np.sin(2 * np.pi * np.arange(12 * 24) / 24)))
    counts[250] *= 9
    stamps = (
        f"{START + timedelta(hours=hour, seconds=7 * n):%Y-%m-%d %H:%M:%S}" for hour, of in enumerate(counts) for n in range(of)
    )
    hits.write_text("timestamp,value\n" + "".join(f"{each},1\n" for each in stamps) + "soon,1\n")
    options = ["--bucket-span", "1h", "--function", "count", "--counts", "--time-zone", "Asia/Tokyo", "--skip-bad-rows"]
    known, replayed = answer("detect", hits, *options), answer("backtest", hits, *options)
    told = {level["threshold"]: level["alarms"] for level in replayed["alarms"]}
    assert known["alarms"]["major"] >= 1
    assert {"minor": told[25], "major": told[50], "critical": told[75]} == known["alarms"]
    assert (replayed["bucket_span"], replayed["end"]) == ("1h", "2026-03-12T14:00:00Z")
    assert "rows that cannot be read, and have no result: 1" in replayed["notes"]
    error = answer("backtest", hits, code=2)
    assert "--skip-bad-rows" in error["fix"]
    assert "no time zone 'Mars'" in answer("backtest", hits, "--time-zone", "Mars", code=2)["what"]


def test_the_options_of_files_are_those_of_detect(tmp_path):
    shared = {"bucket_span", "function", "counts", "time_zone", "skip_bad_rows"}
    ours, theirs = (
        {name: each for name, each in signature(of).parameters.items() if name in shared} for of in (backtest, detect)
    )
    assert set(ours) == shared
    for name, each in ours.items():
        assert (each.default, str(each.annotation)) == (theirs[name].default, str(theirs[name].annotation))


def test_a_job_says_itself_how_its_data_is_looked_at(job):
    error = answer("backtest", job, "--function", "mean", "--counts", code=2)
    assert error["what"].startswith("--function, --counts are for a CSV file")
    assert (error["where"], error["fix"]) == (f"job {job}", "Leave --function, --counts out, or edit the job.")


def test_a_truth_of_something_else_is_an_error(job, tmp_path):
    readings, truth = tmp_path / "r.csv", tmp_path / "t.csv"
    readings.write_text("timestamp,value\n" + "".join(f"{at(hour)},{hour % 24}\n" for hour in range(100)))
    truth.write_text(f"start,end,kind\n{at(-50)},{at(-49)},spike\n")
    for what in (readings, job):
        error = answer("backtest", what, "--truth", truth, code=2)
        assert error["what"] == "the only event of the truth lies in no series and time that is judged"
        assert (error["error"], error["where"]) == ("DataError", str(truth))
    unwatched = tmp_path / "t.json"
    unwatched.write_text(json.dumps([_fact("x", "outage", "web-1", DROP)]))
    assert "no event of the truth is of a function" in answer("backtest", job, "--truth", unwatched, code=2)["what"]


def test_it_is_told_in_tables_too(job):
    words = run("backtest", job, "--max-partitions", "2").stdout
    for said in ("Alarms", "Against the truth", "By kind", "only the 2 largest of 6 series"):
        assert said in words


def test_a_backtest_leaves_nothing_behind(job, client):
    def documents():
        client.indices.refresh(index="driftline-*")
        found = client.search(index="driftline-*", size=0, aggs={"of": {"terms": {"field": "_index", "size": 1000}}})
        return {entry["key"]: entry["doc_count"] for entry in found["aggregations"]["of"]["buckets"]}

    before = documents()
    answer("backtest", job, "--start", "2026-03-10", "--partition", "/a")
    answer("explain", job, "--partition", "/a", "--at", at(SPIKE))
    assert documents() == before


def test_a_spike_is_explained(job):
    found = answer("explain", job, "--partition", "/a", "--at", at(SPIKE + 0.5))
    assert found["bucket"]["start"] == at(SPIKE)
    both, low = found["series"]
    assert both["record"]["record_score"] == pytest.approx(both["score"])
    assert both["actual"] > both["expected"]["upper"]
    assert both["suppressed"] == []
    assert both["conclusion"].startswith("An anomaly that alarms")
    assert [each["rule"] for each in low["suppressed"]] == ["one_sided"]
    assert low["conclusion"].startswith("No anomaly")
    assert found["quality"]["verdict"] in {"pass", "warn"}
    assert found["snapshot"]["in_sample"] is False


def test_what_comes_back_is_said_to_have_alarmed_already(job):
    series = answer("explain", job, "--partition", "/a", "--at", at(AGAIN))["series"][0]
    assert series["suppressed"][0]["rule"] == "rate_limit"
    assert at(SPIKE) in series["suppressed"][0]["why"]
    assert "but no alarm" in series["conclusion"]


def test_an_ordinary_hour_is_no_anomaly(job):
    words = run("explain", job, "--partition", "/b", "--at", at(17 * 24 + 3)).stdout
    assert "No anomaly: " in words
    assert "that were expected" in words
    assert "below 1, the least that is recorded" in words


def test_a_series_without_a_model_says_why(job):
    series = answer("explain", job, "--partition", "/rare", "--at", at(SPIKE))["series"][0]
    assert series["suppressed"][0]["rule"] == "no_model"
    assert "too sparse" in series["conclusion"]


@pytest.mark.parametrize(
    ("partition", "hour", "said", "fix"),
    [
        ("/aa", SPIKE, "no partition '/aa'", "Did you mean '/a'?"),
        ("/a", HOURS + 500, "there is no data at that time", ""),
    ],
)
def test_mistakes_are_explained(job, partition, hour, said, fix):
    error = answer("explain", job, "--partition", partition, "--at", at(hour), code=2)
    assert said in error["what"]
    assert fix in error["fix"]


def test_what_is_not_scored_is_told_how_to_be(job):
    error = answer("explain", job, "--partition", "/a", "--at", at(21 * 24 + 12), code=2)
    assert "not scored yet" in error["what"]
    assert "driftline score" in error["fix"]
    assert "must be said which" in answer("explain", job, "--at", at(SPIKE), code=2)["what"]


def test_events_and_overall_tell_the_incidents(job):
    alarmed = answer("events", job)
    assert {event["driftline"]["event"]["kind"] for event in alarmed} >= {"spike"}
    assert all(event["driftline"]["event"]["alarm"] for event in alarmed)
    moments = {event["timestamp"] for event in alarmed}
    assert (START + timedelta(hours=SPIKE)).timestamp() * 1000 in moments
    assert len(answer("events", job, "--all")) > len(alarmed)
    assert "times higher than expected" in run("events", job).stdout
    both = answer("overall", job, "--min-score", "1")
    worst = max(both, key=lambda bucket: bucket["overall_score"])
    assert worst["timestamp"] in {(START + timedelta(hours=hour)).timestamp() * 1000 for hour in (SPIKE, AGAIN, DROP)}
    assert worst["jobs"][0]["max_anomaly_score"] == worst["overall_score"]
