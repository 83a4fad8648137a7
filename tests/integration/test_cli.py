"""The command line, with the mistakes that users make: each has its message and its exit code, and no stack trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import yaml
from commands import command

from driftline.elastic.bulk import bulk, index_action
from driftline.pipeline.jobs import reset

START = datetime(2026, 3, 1, tzinfo=UTC)


run = command


def process(*arguments, **environment):
    """The same in a process of its own."""
    words = [sys.executable, "-W", "ignore", "-c", "from driftline.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "300", **environment},
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def refused(*arguments, **environment):
    """The JSON error of a command that a user got wrong, checked to say the same in words."""
    done = run(*arguments, "--json", **environment)
    error = json.loads(done.stdout)
    spoken = run(*arguments, **environment)
    assert spoken.returncode == done.returncode
    assert error["what"].split()[0] in spoken.stderr
    return done.returncode, error


@pytest.fixture(scope="module")
def index(client, module_prefix):
    name = f"{module_prefix}cli"
    client.indices.create(index=name, mappings={"properties": {"@timestamp": {"type": "date"}, "message": {"type": "text"}}})
    rates = 40 * (1 + 0.4 * np.sin(2 * np.pi * np.arange(15 * 24) / 24))
    counts = np.random.default_rng(1).poisson(rates)
    counts[14 * 24 + 5] *= 10
    at = ((START + timedelta(hours=h)).timestamp() * 1000 for h, n in enumerate(counts.tolist()) for _ in range(n))
    bulk(client, (index_action(name, None, {"@timestamp": int(t), "message": "hello"}) for t in at))
    client.indices.refresh(index=name)
    return name


@pytest.fixture
def job_file(tmp_path, index, prefix, client):
    def write(**changes):
        data = {
            "job_id": f"{prefix}job",
            "bucket_span": "1h",
            "detectors": [{"function": "count"}],
            "datafeed": {"indices": index, "on_request": True},
            "training": {"window": "14d", "schedule": "none"},
            **changes,
        }
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(data))
        return path

    yield write
    reset(client, f"{prefix}job")


def test_a_process_of_its_own_says_and_exits_as_the_command_does_here(job_file):
    job = job_file()
    for words, code in (
        (("jobs", "validate", job, "--json"), 0),
        (("train", job, "--as-of", "yesterday", "--json"), 2),
    ):
        done, here = process(*words), run(*words)
        assert (done.returncode, done.stdout, done.stderr) == (code, here.stdout, here.stderr)
        assert here.returncode == code
    down = process("train", job, DRIFTLINE_ELASTICSEARCH_URL="http://127.0.0.1:9")
    assert down.returncode == 1


def test_the_main_path_by_hand(job_file):
    job = job_file()
    valid = json.loads(run("jobs", "validate", job, "--json").stdout)
    assert valid[0]["valid"] is True
    trained = json.loads(run("train", job, "--as-of", "2026-03-15", "--json").stdout)
    assert (trained["trained"], trained["promoted"], trained["quality"]["verdict"]) == (1, True, trained["quality"]["verdict"])
    scored = json.loads(run("score", job, "--start", "2026-03-15", "--end", "2026-03-16", "--json").stdout)
    assert scored["records"] >= 1
    top = json.loads(run("anomalies", job, "--json").stdout)[0]
    assert top["timestamp"] == int((START + timedelta(days=14, hours=5)).timestamp() * 1000)
    assert top["severity"] == "critical"
    forecast = json.loads(run("forecast", job, "--duration", "2d", "--json").stdout)
    assert forecast["documents"] == 48
    listed = json.loads(run("snapshots", "list", job, "--json").stdout)
    assert [s["snapshot_id"] for s in listed] == [trained["snapshot_id"]]
    words = run("anomalies", job)
    assert "times higher than expected" in words.stdout
    assert words.returncode == 0


def test_an_unknown_field_in_a_job_file(job_file):
    code, error = refused("jobs", "validate", job_file(bucket_spam="15m"))
    assert code == 2
    assert "bucket_spam: unknown field; did you mean 'bucket_span'?" in error["what"]
    assert error["where"].endswith("job.yaml")


def test_a_wrong_function_suggests_the_nearest(job_file):
    code, error = refused("jobs", "validate", job_file(detectors=[{"function": "coutn"}]))
    assert code == 2
    assert "did you mean 'count'?" in error["what"]


def test_an_unknown_index(job_file):
    code, error = refused("train", job_file(datafeed={"indices": "nowhere-at-all"}))
    assert code == 2
    assert error["error"] == "SourceIndexError"
    assert "nowhere-at-all" in error["what"]


def test_an_empty_index(job_file, client, prefix):
    client.indices.create(index=f"{prefix}empty", mappings={"properties": {"@timestamp": {"type": "date"}}})
    code, error = refused("train", job_file(datafeed={"indices": f"{prefix}empty"}))
    assert code == 2
    assert "holds no document that the query matches" in error["what"]


def test_a_field_that_is_text(job_file):
    code, error = refused("train", job_file(detectors=[{"function": "count", "partition_field_name": "message"}]))
    assert code == 2
    assert "field 'message' is of type text, which cannot be aggregated" in error["what"]
    assert error["fix"]


def test_a_query_that_elasticsearch_does_not_understand(job_file, index):
    code, error = refused("train", job_file(datafeed={"indices": index, "query": {"mach_all": {}}}))
    assert code == 2
    assert "mach_all" in error["what"]


def test_a_cluster_that_is_down(job_file):
    code, error = refused("train", job_file(), DRIFTLINE_ELASTICSEARCH_URL="http://127.0.0.1:9")
    assert code == 1
    assert error["error"] == "ClusterDownError"
    assert "does not answer" in error["what"]


def test_an_address_that_is_none(job_file):
    code, error = refused("train", job_file(), DRIFTLINE_ELASTICSEARCH_URL="localhost:9200")
    assert code == 2
    assert error["expected"] == "http(s)://host:port"


def test_a_job_that_does_not_exist_names_the_nearest():
    code, error = refused("jobs", "show", "demo-endpoint")
    assert code == 2
    assert error["fix"] == "Did you mean 'demo-endpoints'?"


def test_a_time_that_is_none(job_file):
    code, error = refused("score", job_file(), "--start", "yesterday")
    assert code == 2
    assert "'yesterday' is not a time" in error["what"]


def test_an_option_that_prophet_does_not_have(job_file):
    code, error = refused("jobs", "validate", job_file(training={"prophet": {"changepoint_prior": 1}}))
    assert code == 2
    assert error["fix"] == "Did you mean 'changepoint_prior_scale'?"


def test_a_snapshot_that_does_not_exist(job_file):
    code, error = refused("snapshots", "revert", job_file(), "20200101t000000-000000000000")
    assert code == 2
    assert error["error"] == "SnapshotError"


def test_help_has_examples_for_every_command():
    for name in ("train", "score", "forecast", "anomalies", "ingest", "generate", "up"):
        done = run(name, "--help")
        assert done.returncode == 0
        assert f"driftline {name}" in done.stdout


def test_saved_jobs_are_listed_and_deleted(job_file, prefix):
    path = job_file()
    assert run("jobs", "save", path).returncode == 0
    listed = {entry["id"]: entry for entry in json.loads(run("jobs", "list", "--json").stdout)}
    assert listed[f"{prefix}job"]["origin"] == "index"
    assert {"demo-endpoints", "demo-hosts", "demo-visitors"} <= set(listed)
    assert run("jobs", "delete", f"{prefix}job", "--yes").returncode == 0
    assert f"{prefix}job" not in run("jobs", "list", "--json").stdout
    code, error = refused("jobs", "delete", "demo-endpoints", "--yes")
    assert code == 2
    assert "is defined in a file" in error["what"]


def test_a_job_of_elastic_is_imported_scored_by_nobody_yet_and_exported_again(prefix, tmp_path):
    detectors = [{"function": "high_mean", "field_name": "ms", "partition_field_name": "path"}]
    whole = {
        "job_id": f"{prefix}elastic",
        "analysis_config": {"bucket_span": "15m", "detectors": detectors, "influencers": []},
        "data_description": {"time_field": "@timestamp"},
        "allow_lazy_open": True,
        "datafeed_config": {"indices": ["web-*"], "query": {"match_all": {}}},
    }
    (tmp_path / "job.json").write_text(json.dumps(whole))
    (tmp_path / "rare.json").write_text(
        json.dumps({**whole, "job_id": "rare", "analysis_config": {"detectors": [{"function": "rare"}]}})
    )
    dry = run("jobs", "import", tmp_path, "--dry-run", "--json")
    assert dry.returncode == 1, "one was refused"
    assert {entry["job_id"]: entry["status"] for entry in json.loads(dry.stdout)} == {
        f"{prefix}elastic": "imported_with_notes",
        "rare": "refused",
    }
    assert f"{prefix}elastic" not in run("jobs", "list", "--json").stdout
    done = run("jobs", "import", tmp_path / "job.json")
    assert done.returncode == 0
    assert "allow_lazy_open has no effect here: Airflow starts the work" in done.stdout
    whole["datafeed_config"]["query_delay"] = "1m"  # where it is not said, Elastic's is of its own choice
    assert json.loads(run("jobs", "export", f"{prefix}elastic").stdout) == whole
    assert run("jobs", "delete", f"{prefix}elastic", "--yes").returncode == 0


def test_an_edited_job_by_hand(job_file):
    path = job_file()
    run("score", path, "--start", "2026-03-15", "--end", "2026-03-16", "--json")
    old = json.loads(run("anomalies", path, "--json").stdout)
    version = json.loads(run("jobs", "show", path, "--json").stdout)["version"]
    job_file(bucket_span="2h")
    shown = json.loads(run("jobs", "show", path, "--json").stdout)
    assert shown["trained"] is False
    assert shown["notes"][0].endswith("scores again what former versions covered, from 2026-03-15T00:00:00Z on")
    assert f"driftline jobs versions {path}" in run("anomalies", path).stdout
    assert json.loads(run("anomalies", path, "--version", version[:6], "--json").stdout) == old
    assert json.loads(run("anomalies", path, "--all-versions", "--json").stdout) == old
    assert version in run("events", path, "--all-versions", "--all").stdout
    overall = [json.loads(run("overall", path, *more, "--min-score", "1", "--json").stdout)
               for more in ((), ("--version", version), ("--all-versions",))]  # fmt: skip
    assert overall[0] == []
    assert overall[1] == overall[2] != []
    code, error = refused("anomalies", path, "--version", "nothing")
    assert (code, error["error"]) == (2, "DefinitionError")
    listed = json.loads(run("jobs", "versions", path, "--json").stdout)
    assert [(each["current"], each["records"] > 0) for each in listed] == [(True, False), (False, True)]
    assert listed[1]["changed"] == ["bucket_span"]
    assert "bucket_span" in run("jobs", "versions", path).stdout
    removed = json.loads(run("jobs", "reset", path, "--version", version, "--json").stdout)["removed"]
    assert removed["results"] == listed[1]["results"]
    assert json.loads(run("anomalies", path, "--all-versions", "--json").stdout) == []


def test_snapshots_annotations_and_forecasts_by_hand(job_file):
    path = job_file()
    first, second = (
        json.loads(run("train", path, "--as-of", day, "--json").stdout)["snapshot_id"] for day in ("2026-03-10", "2026-03-15")
    )
    assert run("snapshots", "update", path, first, "--description", "before the [move]", "--retain").returncode == 0
    described = json.loads(run("snapshots", "describe", path, first, "--json").stdout)
    told = {name: described[name] for name in ("description", "retain", "in_force_now", "current_version", "trained", "failures")}
    assert told == {"description": "before the [move]", "retain": True, "in_force_now": False, "current_version": True,
                    "trained": 1, "failures": []}  # fmt: skip
    assert described["bytes"] > 100
    assert sum(described["grades"].values()) == 1
    assert "before the [move]" in run("snapshots", "describe", path, first).stdout
    assert "before the [move]" in run("snapshots", "list", path).stdout
    assert json.loads(run("snapshots", "unretain", path, first, "--json").stdout)["retain"] is False
    assert json.loads(run("snapshots", "retain", path, first, "--json").stdout)["retain"] is True
    assert refused("snapshots", "update", path, first)[0] == 2
    code, error = refused("snapshots", "delete", path, second)
    assert (code, error["what"]) == (2, f"snapshot '{second}' is in force")
    assert run("snapshots", "delete", path, first).returncode == 0
    assert [each["snapshot_id"] for each in json.loads(run("snapshots", "list", path, "--json").stdout)] == [second]

    added = run("annotations", "add", path, "--start", "2026-03-14", "--end", "2026-03-15", "--text", "a [red]move[/]", "--json")
    id_ = json.loads(added.stdout)["_id"]
    assert "a [red]move[/]" in run("annotations", path).stdout
    listed = json.loads(run("annotations", "list", path, "--start", "2026-03-14", "--end", "2026-03-14T12:00Z", "--json").stdout)
    assert [each["event"] for each in listed] == ["user"]
    assert run("annotations", "delete", path, id_).returncode == 0
    assert {each["event"] for each in json.loads(run("annotations", path, "--json").stdout)} == {"model_snapshot_stored"}

    made = json.loads(run("forecast", path, "--duration", "3h", "--all", "--expires-in", "0", "--json").stdout)
    assert made["expires"] is None
    (kept,) = json.loads(run("forecasts", "list", path, "--json").stdout)
    assert kept["forecast_id"] == made["forecast_id"]
    assert "never" in run("forecasts", "list", path).stdout
    assert refused("forecasts", "delete", path)[0] == 2
    assert json.loads(run("forecasts", "delete", path, made["forecast_id"], "--json").stdout) == {"removed": 4}


def test_alerts_are_listed_with_their_problems_and_checked(client, cluster, tmp_path, prefix):
    (tmp_path / "ops.yaml").write_text(f"alert_id: {prefix}ops\nchannel: {{kind: slack, conn_id: a}}\n")
    (tmp_path / "typo.yaml").write_text("alert_id: typo\nchanel: {}\n")
    there = {
        "DRIFTLINE_ALERTS_DIR": str(tmp_path),
        "DRIFTLINE_STATE_DIR": str(tmp_path),
        "DRIFTLINE_ELASTICSEARCH_URL": cluster,
    }
    checked = run("alerts", "validate", **there)
    assert checked.returncode == 2
    assert "did you mean 'channel'?" in checked.stderr
    listed = run("alerts", "list", **there)
    assert listed.returncode == 0
    assert f"{prefix}ops" in listed.stdout
    assert "unknown field" in listed.stdout
    assert run("alerts", "test", f"{prefix}ops", **there).returncode == 1, "no Airflow runs there"
