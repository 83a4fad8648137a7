"""Ingest on a real Elasticsearch: each row once, bad ones in quarantine, nothing lost, whatever happens in between."""

from __future__ import annotations

import gzip
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from driftline.core.errors import DataError, DefinitionError, QualityStopError
from driftline.core.source import Source
from driftline.core.timespan import iso
from driftline.elastic.results import scan
from driftline.pipeline import ledger
from driftline.pipeline.gate import reports
from driftline.pipeline.ingest import finish, ingest, ingest_file, pending

START, MONDAY = datetime(2026, 3, 1, tzinfo=UTC), "2026-03-02T00:00:00Z"


def line(number, *, stamp=None, status=200):
    moment = (stamp or START + timedelta(seconds=number)).strftime("%d/%b/%Y:%H:%M:%S +0000")
    who, request = f"192.0.2.{number % 250}", f"GET /p/{number % 40} HTTP/1.1"
    return f'{who} - - [{moment}] "{request}" {status} {number} "-" "Browser/{number % 9}.0"\n'.encode()


def log(count, first=0):
    return b"".join(line(number) for number in range(first, first + count))


@pytest.fixture
def make(prefix, tmp_path):
    def make_source(*paths, **changes):
        files = {"paths": [str(tmp_path / path) for path in paths or ["*.log*"]], **changes.pop("files", {})}
        return Source.parse({"source_id": f"{prefix}logs", "index": f"{prefix}logs", "files": files, **changes}, where="test")

    return make_source


def documents(client, index):
    client.indices.refresh(index=index, ignore_unavailable=True)
    return {hit["_id"]: hit["_source"] for hit in scan(client, {"match_all": {}}, index=index)}


def counts(outcome):
    return tuple(outcome[name] for name in ("rows", "indexed", "quarantined", "pending"))


def test_equal_lines_are_different_rows_and_a_second_time_adds_none(client, make, tmp_path):
    (tmp_path / "a.log").write_bytes(line(1) * 500)
    source = make()
    assert counts(ingest(client, source)) == (500, 500, 0, 0)
    again = ingest(client, source)
    assert counts(again) == (0, 0, 0, 0)
    assert "not changed" in again["known"][0]["why"]
    assert len(documents(client, source.index)) == 500
    assert pending(client, source) == []


def test_a_copy_that_is_renamed_or_gzipped_adds_nothing(client, make, tmp_path):
    (tmp_path / "a.log").write_bytes(log(300))
    source = make()
    ingest(client, source)
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    (tmp_path / "a.log.2.gz").write_bytes(gzip.compress(log(300)))
    (tmp_path / "a.log").write_bytes(log(50, first=300))  # what logrotate leaves
    outcome = ingest(client, source)
    assert counts(outcome) == (50, 50, 0, 0)
    assert {known["path"].rpartition("/")[2] for known in outcome["known"]} == {"a.log.1", "a.log.2.gz"}
    assert len(documents(client, source.index)) == 350


def test_a_file_that_grew_goes_on_where_it_was_and_half_a_line_waits(client, make, tmp_path):
    path, source, half = tmp_path / "a.log", make(), line(100)
    path.write_bytes(log(100) + half[:70])
    assert counts(ingest(client, source)) == (100, 100, 0, 1)
    path.write_bytes(log(100) + half[:90])
    assert counts(ingest(client, source))[:3] == (0, 0, 0)
    path.write_bytes(log(100) + half + log(20, first=101))
    assert counts(ingest(client, source)) == (21, 21, 0, 0)
    assert len(documents(client, source.index)) == 121
    (entry,) = ledger.load(client, source.index)
    assert (entry.rows, entry.indexed, entry.quarantined, entry.offset, entry.line) == (121, 121, 0, path.stat().st_size, 122)


def test_half_a_line_of_a_complete_file_is_parsed_or_quarantined(client, make, tmp_path):
    (tmp_path / "a.log").write_bytes(log(10) + line(10)[:-1])
    (tmp_path / "b.log").write_bytes(log(10, first=500) + line(10)[:60])
    assert counts(ingest(client, make())) == (20, 20, 0, 2)
    assert counts(ingest(client, make(files={"final": True}))) == (2, 1, 1, 0)
    assert len(documents(client, make().index)) == 21


def test_a_file_of_one_half_line_is_pending(client, make, tmp_path):
    (tmp_path / "a.log").write_bytes(line(1)[:-1])
    assert counts(ingest(client, make())) == (0, 0, 0, 1)
    (tmp_path / "a.log").write_bytes(line(1))
    assert counts(ingest(client, make())) == (1, 1, 0, 0)


def test_bad_lines_go_to_quarantine_with_reason_file_and_line(client, make, tmp_path):
    bad = b"\x00\xff garbage " + b"x" * 20_000 + b"\n"
    (tmp_path / "a.log").write_bytes(log(8) + bad + log(1, first=8) + line(9).replace(b"Mar", b"Mai") + log(1, first=10))
    source = make()
    outcome = ingest(client, source)
    assert counts(outcome) == (12, 10, 2, 0)
    assert outcome["verdict"] == "warn"
    first, second = sorted(documents(client, source.quarantine).values(), key=lambda row: row["line"])
    assert first["path"] == str(tmp_path / "a.log")
    assert (first["line"], first["offset"], first["check"]) == (9, len(log(8)), "unparsed")
    assert (first["raw_bytes"], first["truncated"]) == (len(bad) - 1, True)
    assert first["raw"].startswith("\x00\\xff garbage xxx")
    assert (second["line"], second["reason"]) == (11, "the time '01/Mai/2026:00:00:09 +0000' has no month of that name")
    (report,) = reports(client, source.source_id)
    assert (report["stage"], report["rows"], report["bad"], report["failed_checks"]) == ("ingest", 12, 2, ["unparsed"])


def test_stamps_in_the_future_are_quarantined_or_stop_the_run_or_pass_as_the_source_says(client, make, tmp_path):
    later = line(3, stamp=datetime.now(UTC) + timedelta(days=3))
    (tmp_path / "a.log").write_bytes(log(8) + later)
    source = make(quality={"future": "stop"})
    with pytest.raises(QualityStopError, match="future") as stopped:
        ingest(client, source)
    assert stopped.value.exit_code == 1
    assert reports(client, source.source_id)[0]["verdict"] == "stop"
    assert counts(ingest(client, make())) == (9, 8, 1, 0)
    (row,) = documents(client, source.quarantine).values()
    assert "lies in the future" in row["reason"]
    assert row["line"] == 9
    other = make(index=f"{source.index}-kept", quality={"future": "pass"})
    assert counts(ingest(client, other)) == (9, 9, 0, 0)


def test_too_many_bad_rows_stop_the_run_and_mended_they_are_all_there(client, make, tmp_path):
    (tmp_path / "a.log").write_bytes(log(4) + b"garbage\n" * 6)
    source = make()
    with pytest.raises(QualityStopError, match="bad_ratio"):
        ingest(client, source)
    tolerant = make(quality={"max_bad_ratio": 0.9})
    assert counts(ingest(client, tolerant)) == (10, 4, 6, 0)
    assert (len(documents(client, source.index)), len(documents(client, source.quarantine))) == (4, 6)


def test_rows_that_the_index_refuses_are_quarantined_with_its_reason(client, make, tmp_path):
    rows = [{"@timestamp": iso(START), "n": 1}, {"@timestamp": iso(START), "n": 1.5}, {"@timestamp": iso(START), "n": {"a": 1}}]
    (tmp_path / "a.ndjson").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in [rows[0]] * 4 + rows[2:]))
    source = make("a.ndjson")
    assert counts(ingest(client, source)) == (5, 4, 1, 0)
    (row,) = documents(client, source.quarantine).values()
    assert (row["line"], row["check"]) == (5, "mapping")
    assert "the index refuses it" in row["reason"]
    # a fraction that comes late must not be cut to a whole number without a word
    with (tmp_path / "a.ndjson").open("ab") as file:
        file.write(b"".join(orjson.dumps(row) + b"\n" for row in [rows[0], rows[1], rows[0]]))
    assert counts(ingest(client, source)) == (3, 2, 1, 0)


def test_hostile_objects_are_rows_or_reasons_and_never_stop_the_others(client, make, tmp_path):
    good = [{"@timestamp": iso(START), "n": number} for number in range(30)]
    bad = [{"_id": "x"}, {"": 1}, {"a..b": 1}, {".": 1}, {"n": "many"}, {"@timestamp.x": 1}, {"d": 1e999}]
    deep = b'{"a":' * 200 + b"1" + b"}" * 200
    lines = [orjson.dumps(row) for row in good] + [orjson.dumps({"@timestamp": iso(START), **row}) for row in bad]
    lines += [b'{"@timestamp": "%s", "deep": %s}' % (iso(START).encode(), deep), b'{"@timestamp": "x", "@timestamp": "y"}']
    # more fields than an index may have
    wide = [{f"f{number}": 1 for number in range(first, first + 300)} for first in range(0, 1_500, 300)]
    lines += [orjson.dumps({"@timestamp": iso(START), **row}) for row in wide]
    (tmp_path / "a.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    source = make("a.ndjson")
    outcome = ingest(client, source)
    assert outcome["rows"] == len(lines) == outcome["indexed"] + outcome["quarantined"]
    assert outcome["indexed"] >= len(good) + len(wide)
    assert len(documents(client, source.index)) == outcome["indexed"]
    assert len(documents(client, source.quarantine)) == outcome["quarantined"] >= 5


def test_csv_parquet_and_ndjson_have_types_that_can_be_aggregated(client, make, tmp_path):
    pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    stamps = [START + timedelta(minutes=n) for n in range(100)]
    table = pa.table({"time": stamps, "host": [f"h{n % 3}" for n in range(100)], "ms": [n / 2 for n in range(100)]})
    pq.write_table(table, tmp_path / "a.parquet")
    rows = [f"{iso(stamp)},h{n % 3},{n / 2:g}" for n, stamp in enumerate(stamps)]
    (tmp_path / "a.csv").write_text("time,host,ms\n" + "\n".join(rows) + "\n")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes() + b"2026-03-02T00:00:00Z,h1,1\n"))
    documents_ = [{"time": stamp.timestamp(), "host": f"h{n % 3}", "ms": n / 2} for n, stamp in enumerate(stamps)]
    (tmp_path / "a.ndjson").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in documents_))
    for name, expected in (("a.parquet", 100), ("a.csv", 100), ("a.csv.gz", 101), ("a.ndjson", 100)):
        source = make(name, index=make().index + "-" + name.replace(".", "-"), time_field="time")
        assert counts(ingest(client, source)) == (expected, expected, 0, 0)
        assert counts(ingest(client, source))[0] == 0
        found = client.search(
            index=source.index,
            size=0,
            aggs={
                "hosts": {"terms": {"field": "host"}, "aggs": {"ms": {"sum": {"field": "ms"}}}},
                "days": {"date_histogram": {"field": "time", "fixed_interval": "1d"}},
            },
        )["aggregations"]
        assert sum(bucket["ms"]["value"] for bucket in found["hosts"]["buckets"]) == pytest.approx(2475, abs=1)
        assert found["days"]["buckets"][0]["doc_count"] == 100


def test_an_index_that_was_deleted_takes_its_files_again(client, make, tmp_path):
    (tmp_path / "a.log").write_bytes(log(30))
    source = make()
    ingest(client, source)
    client.indices.delete(index=source.index)
    assert counts(ingest(client, source)) == (30, 30, 0, 0)


def test_one_file_that_cannot_be_read_does_not_keep_the_others(client, make, tmp_path):
    for name in ("a.log", "c.log"):
        (tmp_path / name).write_bytes(log(10, first=ord(name[0])))
    (tmp_path / "b.log").write_bytes(b"\x7fELF\0\0\0")
    source = make()
    with pytest.raises(DataError, match=r"b\.log: the file is binary"):
        ingest(client, source)
    assert len(documents(client, source.index)) == 20
    assert [handle["path"].rpartition("/")[2] for handle in pending(client, source)] == ["b.log"]


def test_nothing_readable_is_a_mistake_of_the_format(client, make, tmp_path):
    (tmp_path / "a.log").write_bytes(b'{"a": 1}\n' * 5)
    with pytest.raises(DataError, match="no row can be read as ndjson; the first one: there is no time in field '@timestamp'"):
        ingest(client, make())
    with pytest.raises(DataError, match="no row can be read as access_log"):
        ingest(client, make(files={"format": "access_log"}))


CHILD = """
import itertools, os, signal, sys
from driftline.core.source import Source
from driftline.elastic.client import connect
from driftline.pipeline.ingest import ingest
from driftline.sources import lines
lines.BATCH, told = 500, itertools.count(1)
def progress(what, done, total):
    if next(told) == 5:  # a watcher from outside might come too late
        os.kill(os.getpid(), signal.SIGKILL)
ingest(connect(), Source.model_validate_json(sys.argv[1]), run="r", progress=progress)
"""


def test_a_kill_in_the_middle_and_a_second_run_leave_what_an_undisturbed_run_leaves(client, make, tmp_path):
    content = b"".join(line(number) if number % 97 else b"garbage %d\n" % number for number in range(1, 20_000))
    (tmp_path / "a.log").write_bytes(content)
    source, straight = make(), make(index=make().index + "-straight")
    child = subprocess.run([sys.executable, "-c", CHILD, orjson.dumps(source.as_dict())], stderr=subprocess.PIPE)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    (entry,) = ledger.load(client, source.index)
    assert entry.state == "running"
    assert 0 < entry.offset < len(content)
    assert entry.rows == entry.indexed + entry.quarantined
    outcome = ingest(client, source, run="r")
    assert counts(outcome) == counts(ingest(client, straight, run="s"))
    assert documents(client, source.index) == documents(client, straight.index)
    assert documents(client, source.quarantine).keys() == documents(client, straight.quarantine).keys()
    (entry,) = ledger.load(client, source.index)
    assert (entry.state, entry.rows) == ("done", 19_999)


def test_a_task_that_is_tried_again_returns_what_it_returned(client, make, tmp_path):
    (tmp_path / "a.log").write_bytes(log(40) + b"garbage\n")
    source = make()
    (handle,) = orjson.loads(orjson.dumps(pending(client, source)))
    first = ingest_file(client, source, handle, "run 1")
    assert ingest_file(client, source, handle, "run 1") == first
    assert counts(finish(client, source, orjson.loads(orjson.dumps([first])), "run 1")) == (41, 40, 1, 0)


def generated(prefix, **changes):
    data = {
        "source_id": f"{prefix}made", "index": f"{prefix}made",
        "generator": {"kind": "access_log", "seed": 5, "start": MONDAY, "days": 3, "options": {"events_per_day": 900}},
    }  # fmt: skip
    return Source.parse({**data, **changes}, where="test")


def test_a_generated_source_is_in_the_index_once_with_its_truth(client, prefix, monkeypatch):
    from driftline.generator.registry import open_source
    from driftline.pipeline import ingest_generated

    monkeypatch.setattr(ingest_generated, "ROWS_A_TASK", 1_000)
    source = generated(prefix)
    made = open_source("access_log", 5, START + timedelta(days=1), 3, {"events_per_day": 900})
    expected = {id_: body for chunk in made.chunks() for id_, body in zip(chunk.ids(made.digest), chunk.documents(), strict=True)}
    handles = pending(client, source)
    assert len(handles) == 3
    results = [ingest_file(client, source, handle, "r") for handle in handles]
    outcome = finish(client, source, results, "r")
    assert counts(outcome) == (len(expected), len(expected), 0, 0)
    assert documents(client, source.index) == expected
    assert pending(client, source) == []
    truth = list(scan(client, {"term": {"source_id": source.source_id}}, index="driftline-truth"))
    assert len(truth) == outcome["truth"] == len(made.truth())


def test_two_versions_of_a_generated_source_are_not_mixed(client, prefix):
    ingest(client, generated(prefix))
    other = generated(prefix, generator={"kind": "access_log", "seed": 6, "start": "2026-03-02T00:00Z", "days": 3})
    with pytest.raises(DefinitionError, match="before its definition was changed"):
        pending(client, other)
