"""The gate on a real Elasticsearch: what it keeps, what it compares with, and what it stops."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from commands import command

from driftline.core.errors import ClusterDownError, QualityStopError
from driftline.core.job import Job
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.source import Source
from driftline.core.timespan import Window, iso
from driftline.elastic.client import connect
from driftline.elastic.indices import QUALITY
from driftline.pipeline import gate, ingest
from driftline.pipeline.read import handle_of

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOSTILE = "<script>alert('p')</script> [red]& ../../etc"


@pytest.fixture
def job(prefix):
    return define(prefix)


def define(prefix, **changes):
    data = {
        "job_id": f"{prefix}web",
        "bucket_span": "1h",
        "detectors": [{"function": "count", "partition_field_name": "url.path"}],
        "datafeed": {"indices": [prefix]},
    }
    return Job.parse(data | changes, where="test")


@pytest.fixture
def stage(tmp_path):
    """Stages series with 100 documents an hour by day and 10 by night, and returns the frame's handle."""

    def stage_frame(start, hours, *, times=1.0, look_back=0, change=None):
        first = start - look_back * HOUR
        day = np.array([10 if (first + n * HOUR).hour < 6 else 100 for n in range(hours + look_back)])
        docs = np.round(day * times).astype(np.int64)
        frame = SeriesFrame(first, HOUR, [SeriesKey(0, "/"), SeriesKey(0, HOSTILE)], np.stack([docs / 2, docs / 2]), docs)
        if change:
            change(frame)
        uri = frame.write(str(tmp_path / f"{start:%d%H}-{hours}.parquet"))
        return handle_of(frame, uri) | {"interval": {"start": iso(start), "end": iso(frame.end)}}

    return stage_frame


def stored(client, job):
    return [hit["_source"] for hit in search(client, job)]


def search(client, job):
    client.indices.refresh(index=QUALITY)
    return client.search(index=QUALITY, query={"term": {"job_id": job.job_id}}, size=100)["hits"]["hits"]


def checks(document):
    return {check["name"]: check for check in document["checks"]}


def scored(client, job, handle, run="r"):
    outcome = gate.check_series(client, job, handle, stage="score", run=run)
    document = client.get(index=QUALITY, id=outcome["report_id"])["_source"]
    return outcome, checks(document)


def test_a_report_is_kept_as_document_and_page_and_replaced_when_checked_again(client, job, stage):
    handle = stage(START, 24 * 28)
    first = gate.check_series(client, job, handle, stage="train", run="one")
    again = gate.check_series(client, job, handle, stage="train", run="two")
    assert (first["verdict"], first["failed"]) == ("pass", [])
    assert again == first
    [document] = stored(client, job)
    assert (document["run"], document["verdict"], document["report"]) == ("two", "pass", first["report"])
    assert document["@timestamp"] == document["end"] == iso(START + 28 * DAY)
    assert (document["docs"], document["buckets"], document["series"]) == (28 * 1860, 672, 2)
    page = Path(first["report"]).read_text(encoding="utf-8")
    assert Path(first["report"]).name == f"{first['report_id']}.html"
    assert "✓ pass" in page
    assert "two" in page


def test_the_interval_is_reported_without_its_look_back(client, job, stage):
    outcome, _ = scored(client, job, stage(START + DAY, 1, look_back=11))
    document = client.get(index=QUALITY, id=outcome["report_id"])["_source"]
    assert (document["start"], document["end"], document["buckets"]) == (iso(START + DAY), iso(START + DAY + HOUR), 1)


def test_volume_is_held_against_the_training_at_the_same_hours(client, job, stage):
    gate.check_series(client, job, stage(START, 24 * 28), stage="train", run="r")
    night, noon = START + 28 * DAY, START + 28 * DAY + 12 * HOUR
    assert scored(client, job, stage(night, 1))[0]["verdict"] == "pass"
    assert scored(client, job, stage(noon, 1))[0]["verdict"] == "pass"
    outcome, found = scored(client, job, stage(night + HOUR, 1, times=10))
    assert (outcome["verdict"], found["volume"]["verdict"]) == ("warn", "warn"), "as many as by day are too many by night"
    assert outcome["failed"] == ["volume: There are 100 documents a bucket; at these hours there used to be 10."]
    assert scored(client, job, stage(noon + HOUR, 1, times=0.05))[1]["volume"]["verdict"] == "warn"


def test_the_verdict_does_not_depend_on_what_was_scored_before(client, job, stage):
    gate.check_series(client, job, stage(START, 24 * 28), stage="train", run="r")
    days = [START + (28 + n) * DAY for n in range(4)]
    factors = [1, 8, 8, 8]
    backwards = {
        day: scored(client, job, stage(day, 24, times=by))[0] for day, by in reversed(list(zip(days, factors, strict=True)))
    }
    straight = {day: scored(client, job, stage(day, 24, times=by))[0] for day, by in zip(days, factors, strict=True)}
    assert straight == backwards
    assert [straight[day]["verdict"] for day in days] == ["pass", "warn", "warn", "warn"]


def test_a_training_is_held_against_the_one_before_it(client, job, stage):
    gate.check_series(client, job, stage(START, 24 * 14), stage="train", run="r")
    outcome = gate.check_series(client, job, stage(START + 7 * DAY, 24 * 14, times=20), stage="train", run="r")
    assert outcome["verdict"] == "warn"
    first = gate.check_series(client, job, stage(START, 24 * 14), stage="train", run="again")
    assert first["verdict"] == "pass", "a later training says nothing about an earlier one"


def test_nothing_is_compared_where_nothing_was_known_or_something_else_was_read(client, job, prefix, stage):
    day = stage(START + 28 * DAY, 24, times=50)
    assert scored(client, job, day)[1]["volume"]["verdict"] == "skipped"
    gate.check_series(client, job, stage(START, 24 * 28), stage="train", run="r")
    assert scored(client, job, stage(START + DAY, 24, times=50))[1]["volume"]["verdict"] == "skipped", "trained later"
    narrowed = define(prefix, datafeed={"indices": [prefix], "query": {"term": {"url.path": "/"}}})
    assert scored(client, narrowed, day)[1]["volume"]["verdict"] == "skipped"
    assert scored(client, job, day)[1]["volume"]["verdict"] == "warn"


def test_a_stop_names_its_reason_and_leaves_its_report(client, job, stage):
    def break_it(frame):
        frame.values[1, 3] = np.inf

    with pytest.raises(QualityStopError, match=r"the quality gate stops the run: finite: 1 of 2 series hold infinite") as stop:
        gate.check_series(client, job, stage(START, 48, change=break_it), stage="train", run="r")
    [document] = stored(client, job)
    assert (document["verdict"], document["failed_checks"]) == ("stop", ["finite"])
    assert (stop.value.report, stop.value.report_id, stop.value.exit_code) == (document["report"], document["report_id"], 1)
    page = Path(stop.value.report).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert" in page
    assert gate.history(client, job, "train", Window(START, START + 9 * DAY)) is None, "data that was stopped is no measure"


def test_an_ingest_is_reported_with_what_its_source_wants(client, prefix, tmp_path):
    rows = [{"@timestamp": f"2026-03-02T00:00:{n:02d}Z", "path": "/" if n else HOSTILE, "ms": 5} for n in range(20)]
    file = tmp_path / "rows.ndjson"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"@timestamp": "2026-03-02T00:01:00Z", "ms": -1}]))
    quality = {"required": ["path"], "patterns": {"path": "^/$"}, "ranges": {"ms": [0, None]}}
    source = Source.parse(
        {"source_id": f"{prefix}rows", "index": f"{prefix}rows", "files": {"paths": str(file)}, "quality": quality}, where="t"
    )
    done = ingest.ingest(client, source, run="r")
    assert (done["indexed"], done["quarantined"], done["verdict"]) == (19, 2, "warn")
    document = client.get(index=QUALITY, id=done["report_id"])["_source"]
    assert document["failed_checks"] == ["missing", "range", "value"]
    assert checks(document)["value"]["sample"] == [f"path does not match ^/$: {HOSTILE}"]
    assert (document["start"], document["rows"], document["bad"]) == ("2026-03-02T00:00:00Z", 21, 2)
    page = Path(done["report"]).read_text(encoding="utf-8")
    assert "<script" not in page
    [entry] = gate.latest(client, source.source_id)
    assert (entry["name"], entry["stage"], entry["trend"]) == (source.source_id, "ingest", ["warn"])


def run(*arguments):
    return command("quality", *arguments)


def test_the_command_tells_the_latest_verdicts_and_their_trend(client, job, stage):
    gate.check_series(client, job, stage(START, 24 * 28), stage="train", run="r")
    for n, times in enumerate((1, 1, 30)):
        scored(client, job, stage(START + (28 + n) * DAY, 24, times=times))
    [last, trained] = json.loads(run("list", job.job_id, "--json").stdout)
    assert (last["stage"], last["verdict"], last["trend"]) == ("score", "warn", ["pass", "pass", "warn"])
    assert (trained["stage"], trained["trend"]) == ("train", ["pass"])
    assert len(json.loads(run("list", job.job_id, "--all", "--json").stdout)) == 4
    assert "✓✓!" in run("list", job.job_id).stdout
    shown = json.loads(run("show", job.job_id, "--stage", "train", "--json").stdout)
    assert (shown["stage"], shown["verdict"]) == ("train", "pass")
    told = run("show", job.job_id).stdout
    assert f"Report: {last['report']}" in told
    assert "at these hours there used to be" in told


def test_text_from_data_reaches_the_terminal_as_text(client, job, stage):
    def break_it(frame):
        frame.values[1, 3] = -1

    with pytest.raises(QualityStopError):
        gate.check_series(client, job, stage(START, 48, change=break_it), stage="train", run="r")
    assert f"  {HOSTILE}\n" in run("show", job.job_id).stdout


def test_a_name_without_reports_is_the_users_mistake(client):
    done = run("show", "nobody-knows-this")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no quality report of 'nobody-knows-this'" in done.stderr


def test_a_cluster_that_is_down_is_told(job, stage):
    with pytest.raises(ClusterDownError):
        gate.check_series(connect({"url": "http://127.0.0.1:9"}), job, stage(START, 48), stage="train", run="r")
