"""Rows in quarantine: found, released, dismissed; and what was decided holds when their files are read again."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from driftline.cli import main
from driftline.core.errors import DataError, SourceIndexError
from driftline.core.job import Job
from driftline.core.source import Source
from driftline.core.timespan import Window, iso
from driftline.elastic import results
from driftline.elastic.indices import DECISIONS, LEDGER
from driftline.pipeline import jobs, ledger, quarantine
from driftline.pipeline.ingest import ingest, ingest_file, pending
from driftline.pipeline.quarantine import Choice
from driftline.pipeline.score import score
from driftline.pipeline.train import train
from driftline.sources import mapping

START = datetime(2026, 3, 1, tzinfo=UTC)


def row(number, **more):
    return {"@timestamp": iso(START + timedelta(minutes=number)), "n": number, "status": 200, **more}


@pytest.fixture
def make(client, prefix, tmp_path):
    """A source of NDJSON whose `status` is between 100 and 599, with these rows in its one file."""

    def make_source(rows=None, **changes):
        if rows is not None:
            lines = [each if isinstance(each, bytes) else orjson.dumps(each) for each in rows]
            (tmp_path / "a.ndjson").write_bytes(b"".join(each + b"\n" for each in lines))
        files = {"paths": [str(tmp_path / "a.ndjson")], **changes.pop("files", {})}
        quality = {"ranges": {"status": [100, 599]}, "max_bad_ratio": 0.9}
        definition = {"source_id": f"{prefix}rows", "index": f"{prefix}rows", "files": files, "quality": quality, **changes}
        return Source.parse(definition, where="test")

    yield make_source
    results.delete(client, DECISIONS, {"prefix": {"source_id": prefix}})


def documents(client, index):
    client.indices.refresh(index=index, ignore_unavailable=True)
    return {hit["_id"]: hit["_source"] for hit in results.scan(client, {"match_all": {}}, index=index)}


def look(client, source, **wanted):
    client.indices.refresh(index=source.quarantine, ignore_unavailable=True)
    return quarantine.look(client, Choice(sources=(source.source_id,), **wanted))


def names(client, source, **wanted):
    return [each["id"] for each in look(client, source, **wanted)["rows"]]


def release(client, source, ids, **more):
    return quarantine.release(client, source.source_id, source.index, ids, **more)


def dismiss(client, source, ids, **more):
    return quarantine.dismiss(client, source.source_id, source.index, ids, **more)


BAD = [row(1), row(2, status=999), b"garbage", row(4, status=0), row(5)]


def test_rows_are_found_by_what_is_wrong_where_and_when(client, make):
    source = make([*BAD, row(6, n={"a": 1})])
    ingest(client, source)
    found = look(client, source)
    assert (found["total"], found["checks"]) == (4, {"range": 2, "unparsed": 1, "mapping": 1})
    assert [(each["line"], each["check"]) for each in found["rows"]] == [
        (2, "range"), (3, "unparsed"), (4, "range"), (6, "mapping"),
    ]  # fmt: skip
    first = found["rows"][0]
    assert (first["raw"], first["reason"]) == (orjson.dumps(BAD[1]).decode(), "status is not within 100 to 599: 999")
    assert first["path"].endswith("/a.ndjson")
    assert first["offset"] == len(orjson.dumps(BAD[0])) + 1
    assert "body" not in first
    for wanted, lines in (
        ({"check": "unparsed"}, [3]),
        ({"reason": "WITHIN 100"}, [2, 4]),
        ({"reason": "*"}, []),
        ({"path": "A.ndj"}, [2, 3, 4, 6]),
        ({"path": "other"}, []),
        ({"start": START + timedelta(minutes=3), "moment": "time"}, [4, 6]),
        ({"end": START + timedelta(minutes=3), "moment": "time"}, [2]),
        ({"start": datetime.now(UTC) - timedelta(minutes=5)}, [2, 3, 4, 6]),
        ({"end": datetime.now(UTC) - timedelta(minutes=5)}, []),
    ):
        assert [each["line"] for each in look(client, source, **wanted)["rows"]] == lines, wanted
    page = quarantine.look(client, Choice(sources=(source.source_id,)), size=1, first=1)
    assert (page["total"], [each["line"] for each in page["rows"]]) == (4, [3])
    assert {"source_id": source.source_id, "index": source.index, "rows": 4} in quarantine.kept(client)
    with pytest.raises(DataError, match="only the first"):
        quarantine.look(client, Choice(), first=10_000)


def test_a_released_row_is_in_the_index_as_it_is_and_in_quarantine_no_more(client, make):
    source = make(BAD)
    ingest(client, source)
    first, unread, last = names(client, source)
    outcome = release(client, source, [first, unread], by="ann")
    assert (outcome["released"], outcome["refused"]) == (1, 1)
    assert outcome["rows"][0] == {"id": first, "outcome": "released", "reason": ""}
    assert "nothing to index" in outcome["rows"][1]["reason"]
    assert documents(client, source.index)[first] == BAD[1]
    assert names(client, source) == [unread, last]
    (kept,) = look(client, source, state="released")["rows"]
    assert (kept["id"], kept["by"], kept["raw"]) == (first, "ann", orjson.dumps(BAD[1]).decode())
    before = documents(client, source.index)
    again = release(client, source, [first], by="bob")
    assert (again["released"], again["rows"][0]["reason"]) == (1, "It was released before.")
    assert documents(client, source.index) == before
    assert look(client, source, state="released")["rows"][0]["by"] == "ann"
    (entry,) = ledger.load(client, source.index)
    assert (entry.rows, entry.indexed, entry.quarantined) == (5, 2, 3)


def test_a_dismissed_row_is_never_indexed_but_can_still_be_released(client, make):
    source = make(BAD)
    ingest(client, source)
    first, unread, _ = names(client, source)
    assert dismiss(client, source, [first, unread], by="ann")["dismissed"] == 2
    assert len(names(client, source)) == 1
    assert set(names(client, source, state="dismissed")) == {first, unread}
    assert dismiss(client, source, [first])["rows"][0]["reason"] == "It was dismissed before."
    assert release(client, source, [first])["released"] == 1
    assert names(client, source, state="dismissed") == [unread]
    assert "released" in dismiss(client, source, [first])["rows"][0]["reason"]
    assert first in documents(client, source.index)


@pytest.mark.parametrize("lost", ["index", "ledger"])
def test_a_file_that_is_read_again_keeps_to_what_was_decided(client, make, lost):
    source = make([*BAD, row(6, status=1)])
    ingest(client, source)
    one, unread, two, three = names(client, source)
    release(client, source, [one])
    dismiss(client, source, [two, unread])
    before = documents(client, source.index)
    assert len(before) == 3
    if lost == "index":
        client.indices.delete(index=source.index)
    else:
        results.delete(client, LEDGER, {"term": {"index": source.index}})
    outcome = ingest(client, source)
    assert (outcome["rows"], outcome["indexed"], outcome["quarantined"]) == (6, 3, 3)
    assert documents(client, source.index) == before
    assert names(client, source) == [three]


def test_an_interrupted_file_neither_undoes_a_release_nor_doubles_or_loses_a_row(client, make):
    source = make(BAD)
    (handle,) = pending(client, source)
    ingest_file(client, source, handle, "r")
    one, unread, two = names(client, source)
    before = documents(client, source.index)
    release(client, source, [one])
    # as if the task had died before its last entry in the ledger
    entry = ledger.get(client, source.index, handle["fingerprint"])
    entry.state, entry.offset, entry.line, entry.rows, entry.indexed, entry.quarantined = "running", 0, 1, 0, 0, 0
    entry.detail["run"] = {}
    ledger.put(client, entry)
    done = ingest_file(client, source, handle, "r2")
    assert (done["rows"], done["indexed"], done["quarantined"]) == (5, 3, 2)
    assert documents(client, source.index) == {**before, one: BAD[1]}
    assert set(names(client, source)) == {unread, two}


def test_rows_that_pass_when_they_are_read_again_are_in_quarantine_no_more(client, make):
    source = make(BAD)
    ingest(client, source)
    dismissed, unread, _ = names(client, source)
    dismiss(client, source, [dismissed])
    client.indices.delete(index=source.index)
    mended = make(quality={"ranges": {}, "max_bad_ratio": 0.9})
    assert ingest(client, mended)["indexed"] == 4
    assert names(client, source) == [unread]
    assert len(documents(client, source.index)) == 4


def test_what_an_older_version_put_aside_can_be_dismissed_but_not_released(client, make):
    source = make(BAD)
    old = {name: kind for name, kind in mapping.QUARANTINE.items() if name not in ("time", "added", "body")}
    client.indices.create(index=source.quarantine, mappings={"dynamic": False, "properties": old})
    row_ = {"source_id": source.source_id, "index": source.index, "path": "a", "line": 1, "offset": 0, "check": "gate",
            "reason": "r", "raw": "x", "raw_bytes": 1, "truncated": False, "fingerprint": "f", "document_id": "f-0"}  # fmt: skip
    client.index(index=source.quarantine, id="f-0", document=row_, refresh=True)
    assert look(client, source)["total"] == 1
    ingest(client, source)
    found = look(client, source, start=datetime.now(UTC) - timedelta(minutes=5))
    assert found["total"] == 3
    assert look(client, source)["total"] == 4
    assert "put aside before" in release(client, source, ["f-0"])["rows"][0]["reason"]
    assert dismiss(client, source, ["f-0"])["dismissed"] == 1
    assert look(client, source)["total"] == 3


def test_a_row_with_an_id_of_its_own_is_released_by_it_and_replaces_no_other(client, make):
    rows = [row(1, key="a"), row(2, key="b", status=999), row(3, key="a", status=0), row(4, key="c", status=0),
            row(5, key="c", status=1)]  # fmt: skip
    source = make(rows, files={"id_field": "key"})
    ingest(client, source)
    b, a, c, other = names(client, source)
    outcome = release(client, source, [b, a, c, other])
    assert (outcome["released"], outcome["refused"]) == (2, 2)
    told = {each["id"]: each["reason"] for each in outcome["rows"]}
    assert "another row with its id 'a'" in told[a]
    assert "id 'c' is released with it" in told[other]
    assert documents(client, source.index) == {"a": rows[0], "b": rows[1], "c": rows[3]}
    assert set(names(client, source)) == {a, other}
    client.indices.delete(index=source.index)
    assert ingest(client, source)["indexed"] == 3
    assert documents(client, source.index) == {"a": rows[0], "b": rows[1], "c": rows[3]}


def test_what_the_index_refuses_stays_in_quarantine_with_the_reason(client, make):
    source = make([row(1), row(2, n={"a": 1}), row(3)])
    ingest(client, source)
    (id_,) = names(client, source)
    outcome = release(client, source, [id_])
    assert (outcome["released"], outcome["refused"]) == (0, 1)
    assert "the index refuses it" in outcome["rows"][0]["reason"].lower()
    assert names(client, source) == [id_]
    assert names(client, source, state="released") == []


def test_a_long_row_is_released_whole_or_refused(client, make):
    long, huge = row(2, status=0, text="é" * 20_000), row(3, status=0, text="x" * 70_000)
    source = make([row(1), long, huge])
    ingest(client, source)
    first, second = names(client, source)
    assert look(client, source)["rows"][0]["truncated"]
    outcome = release(client, source, [first, second])
    assert (outcome["released"], outcome["refused"]) == (1, 1)
    assert "too large" in outcome["rows"][1]["reason"]
    assert documents(client, source.index)[first] == long


def test_rows_of_another_source_or_index_are_not_found(client, make, prefix):
    source = make(BAD)
    ingest(client, source)
    (id_, *_) = names(client, source)
    assert quarantine.release(client, f"{prefix}other", source.index, [id_])["rows"][0]["outcome"] == "refused"
    for name in (f"{prefix}nothing", "driftline-jobs", "*", f"{source.index},x", source.quarantine, ""):
        with pytest.raises(SourceIndexError, match="there is no index"):
            release(client, source.model_copy(update={"index": name}), [id_])
    with pytest.raises(DataError, match="too many"):
        release(client, source, [str(number) for number in range(1_001)])
    client.indices.delete(index=source.index)
    with pytest.raises(SourceIndexError, match="there is no index"):
        release(client, source, [id_])


def test_a_release_says_which_jobs_have_scored_without_it(client, make, prefix):
    good = [row(60 * hour + number, n=hour * 100 + number) for hour in range(72) for number in range(hour % 24)]
    bad = [row(60 * 70 + 5, status=0), row(60 * 40, status=0), row(60 * 100, status=0)]
    source = make([*good, *bad])
    ingest(client, source)
    definition = {
        "job_id": f"{prefix}j", "bucket_span": "1h", "detectors": [{"function": "count"}],
        "datafeed": {"indices": [f"{prefix}ro*"], "query_delay": "0s"}, "training": {"schedule": "none", "min_history": "1d"},
    }  # fmt: skip
    job = Job.parse(definition, where="test")
    jobs.save(client, job)
    client.indices.refresh(index="driftline-jobs")
    try:
        train(client, job, as_of=START + timedelta(hours=48))
        score(client, job, window=Window(START + timedelta(hours=24), START + timedelta(hours=72)))
        new, old, later = names(client, source)
        told = {id_: release(client, source, [id_])["score_again"] for id_ in (later, new, old)}
        assert told[later] == []
        (of_new,), (of_old,) = told[new], told[old]
        assert (of_new["start"], of_new["end"], of_new["by_itself"]) == ("2026-03-03T22:00:00Z", "2026-03-03T23:00:00Z", True)
        assert of_old["by_itself"] is False
        assert of_old["command"] == f"driftline score {prefix}j --start 2026-03-02T16:00:00Z --end 2026-03-02T17:00:00Z"
    finally:
        jobs.delete(client, job.job_id)


@pytest.fixture
def run(cluster, monkeypatch, capsys):
    """`driftline quarantine` in this process."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["driftline", "quarantine", *map(str, arguments)])
        for name, value in {"DRIFTLINE_ELASTICSEARCH_URL": cluster, "COLUMNS": "300"}.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().out

    return command


def test_the_command_lists_releases_and_dismisses(client, make, run):
    source = make(BAD)
    ingest(client, source)
    client.indices.refresh(index=source.quarantine)
    code, text = run("list", source.source_id)
    assert code == 0
    assert "status is not within 100 to 599: 999" in text
    code, told = run("list", source.source_id, "--check", "range", "--json")
    rows = json.loads(told)["rows"]
    assert [each["line"] for each in rows] == [2, 4]
    code, told = run("release", source.source_id, rows[0]["id"], "--by", "ann", "--json")
    assert (code, json.loads(told)["released"]) == (0, 1)
    code, text = run("release", source.source_id, "--all")
    assert code == 1  # one of them cannot be released
    assert "1 released" in text
    assert "nothing to index" in text
    code, text = run("dismiss", source.source_id, "--check", "unparsed", "--all")
    assert (code, "1 dismissed" in text) == (0, True)
    assert look(client, source)["total"] == 0
    assert len(documents(client, source.index)) == 4
    for arguments, what in (
        (("release", source.source_id), "no rows are named"),
        (("release", source.source_id, "x-1"), "there is no row 'x-1'"),
        (("dismiss", source.source_id, "x-1", "--all"), "rows are named, and --all"),
    ):
        code, told = run(*arguments, "--json")
        assert (code, what in json.loads(told)["what"]) == (2, True), told
