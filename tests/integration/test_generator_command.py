"""`driftline generate` as a user runs it: files, pipes, messages, and a real index."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import command

DRIFTLINE = Path(sys.executable).with_name("driftline")
SMALL = ("--days", "2", "--start", "2026-03-02", "--events-per-day", "3000", "--set", "clients=1000")


def run(*args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = command("generate", *args)
    assert done.returncode == code, done.stderr
    return done


def test_a_file_holds_the_same_bytes_each_time_with_the_truth_beside_it(tmp_path):
    for name in ("a", "b"):
        found = json.loads(run(*SMALL, "--out", str(tmp_path / f"{name}.ndjson.gz"), "--json").stdout)
    first, second = (tmp_path / f"{name}.ndjson.gz" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    lines = gzip.decompress(first.read_bytes()).splitlines()
    assert len(lines) == found["documents"] > 5_000
    assert json.loads(lines[0])["@timestamp"].startswith("2026-03-02T00:")
    assert json.loads((tmp_path / "b.truth.json").read_text()) == found["truth"]
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(("name", "first"), [("a.log", "GET"), ("a.csv", "@timestamp,host.name,url.path")])
def test_the_suffix_says_the_format(tmp_path, name, first):
    found = json.loads(run(*SMALL, "--out", str(tmp_path / name), "--json").stdout)
    lines = (tmp_path / name).read_text().splitlines()
    assert first in lines[0] or "POST" in lines[0]
    assert len(lines) == found["documents"] + (name == "a.csv")


@pytest.mark.parametrize("days", ["0.0007", "0.002", "0.004", "0.01"])
def test_what_does_not_fit_into_minutes_is_left_out_of_the_schedule(tmp_path, days):
    run("--days", days, "--start", "2026-03-02", "--set", "clients=1000", "--out", str(tmp_path / "a.log"))
    assert (tmp_path / "a.log").exists()


def test_all_formats_hold_the_same_events(tmp_path):
    counts = {
        form: len(run(*SMALL, "--out", "-", "--format", form).stdout.splitlines()) for form in ("access_log", "ndjson", "csv")
    }
    assert counts["access_log"] == counts["ndjson"] == counts["csv"] - 1


def test_the_classic_says_when_its_spike_begins_and_ends(tmp_path):
    done = run("smoke_event", "--start", "2026-03-02", "--out", str(tmp_path / "smoke.ndjson"))
    (fact,) = json.loads((tmp_path / "smoke.truth.json").read_text())
    assert f"Anomaly Start Time {fact['start']}\n" in done.stdout
    assert f"Anomaly End Time {fact['end']}\n" in done.stdout
    assert fact["end"].endswith("Z")


def test_the_truth_never_replaces_the_events(tmp_path):
    out = tmp_path / "g.csv"
    done = run("smoke_event", "--days", "0.5", "--out", str(out), "--truth", str(out), code=2)
    assert "two results would be written to one file" in done.stderr
    assert not out.exists()


def test_a_pipe_gets_nothing_but_events():
    words = [str(DRIFTLINE), "generate", "smoke_event", "--start", "2026-03-02", "--days", "1", "--out", "-"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 17_280 + 9 * 360
    assert "Anomaly Start Time" in done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "nowhere to write"),
        (["--out", "-", "--json"], "both want stdout"),
        (["--out", "x.unknown"], "does not say its format"),
        (["--out", "-", "--format", "xml"], "unknown format 'xml'"),
        (["--out", "/nowhere/at/all.log"], "cannot be written"),
        (["--out", f"{__file__}/x.log"], "cannot be written: Not a directory"),
        (["--out", f"{'x' * 252}.log"], "cannot be written: File name too long"),
        (["acess_log", "--out", "-"], "Did you mean 'access_log'?"),
        (["--out", "-", "--days", "0"], "cannot generate 0.0 days"),
        (["--out", "-", "--days", "nan"], "cannot generate nan days"),
        (["--out", "-", "--days", "0.01", "--start", "9999-12-31T23:59"], "go beyond the year 9999"),
        (["--out", "-", "--start", "yesterday"], "'yesterday' is not a time"),
        (["--out", "-", "--set", "schedul=none"], "did you mean 'schedule'?"),
        (["--out", "-", "--set", "none"], "no setting"),
        (["--out", "-", "--set", "injections=[{"], "not valid YAML"),
        (["smoke_event", "--out", "-", "--events-per-day", "5"], "unknown field"),
        (["web_requests", "--out", "-", "--set", "shares={scanner: 0.97}"], "at most 1"),
    ],
)
def test_a_mistake_is_explained_without_a_stack_trace(args, message):
    done = run(*args, code=2)
    said = " ".join((done.stdout + done.stderr).split())
    assert message in said
    assert "Traceback" not in said


def test_an_index_takes_each_event_once_however_often_it_is_generated(client, prefix):
    index = f"{prefix}web"
    results = [json.loads(run(*SMALL, "--index", index, "--json").stdout) for _ in range(2)]
    assert results[0]["results"] == {"created": results[0]["documents"]}
    assert results[1]["results"] == {"updated": results[0]["documents"]}
    aggs = {
        "paths": {"terms": {"field": "url.path", "size": 100}},
        "visitors": {"cardinality": {"field": "source.ip"}},
        "bytes": {"stats": {"field": "http.response.bytes"}},
        "days": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1d"}},
    }
    found = client.search(index=index, size=0, track_total_hits=True, aggs=aggs).body
    assert found["hits"]["total"]["value"] == results[0]["documents"]
    assert sum(bucket["doc_count"] for bucket in found["aggregations"]["paths"]["buckets"]) == results[0]["documents"]
    assert found["aggregations"]["visitors"]["value"] > 300
    assert found["aggregations"]["bytes"]["min"] > 0
    assert len(found["aggregations"]["days"]["buckets"]) == 2
    truth = client.search(index="driftline-truth", query={"term": {"source_id": index}}, size=100).body["hits"]["hits"]
    assert {hit["_id"] for hit in truth} == {fact["truth_id"] for fact in results[0]["truth"]}


def test_the_classic_in_an_index_is_ten_times_the_usual_in_its_spike(client, prefix):
    index = f"{prefix}smoke_event"
    found = json.loads(run("smoke_event", "--start", "2026-03-02", "--index", index, "--json").stdout)
    assert found["documents"] == 124_200
    aggs = {"spans": {"date_histogram": {"field": "timestamp", "fixed_interval": "1m", "min_doc_count": 1}}}
    spans = client.search(index=index, size=0, aggs=aggs).body["aggregations"]["spans"]["buckets"]
    (fact,) = found["truth"]
    high = [span["key_as_string"][:16] for span in spans if span["doc_count"] == 120]
    assert {span["doc_count"] for span in spans} == {12, 120}
    assert (high[0], len(high)) == (fact["start"][:16], 30)


def test_labelled_requests_fill_an_index_by_their_source(client, prefix, tmp_path):
    index = f"{prefix}webapp"
    options = {"rows": 3_000, "unlabelled": 0.2, "shares": {"scanner": 0.2}}
    made = {"kind": "web_requests", "start": "2026-03-02", "days": 2, "options": options}
    source = tmp_path / "webapp.yaml"
    source.write_text(json.dumps({"source_id": index, "index": index, "generator": made}))
    done = command("ingest", "--source", source, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["indexed"] == 3_000
    aggs = {"tags": {"terms": {"field": "tag"}}, "slow": {"max": {"field": "event.duration"}}}
    found = client.search(index=index, size=0, track_total_hits=True, aggs=aggs).body
    tags = {bucket["key"]: bucket["doc_count"] for bucket in found["aggregations"]["tags"]["buckets"]}
    assert found["hits"]["total"]["value"] == 3_000
    assert 450 < tags["scanner"] < 550
    assert 2_250 < sum(tags.values()) < 2_550
    assert found["aggregations"]["slow"]["value"] > 1e8
