"""`driftline ingest`: a real log by one command, and the mistakes that its users make."""

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import dataclass

import pytest

from driftline.cli import main
from driftline.core.paths import ROOT

LOG = ROOT.parent / "shared" / "data" / "logs" / "apache_access.log"
real_log = pytest.mark.skipif(not LOG.exists(), reason="the real access log is not at hand (../shared/data/logs)")
LINE = '192.0.2.1 - - [01/Mar/2026:00:00:0{} +0000] "GET / HTTP/1.1" 200 1 "-" "-"\n'


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(cluster, monkeypatch, capsys):
    """The command in this process: its start would cost seconds each time."""

    def command(*arguments, **environment):
        monkeypatch.setattr(sys, "argv", ["driftline", "ingest", *map(str, arguments)])
        for name, value in {"DRIFTLINE_ELASTICSEARCH_URL": cluster, "COLUMNS": "300", **environment}.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return command


@real_log
def test_the_real_log_is_ten_thousand_documents_once(client, run, prefix, tmp_path):
    index = f"{prefix}apache"
    first = json.loads(run(LOG, "--index", index, "--json").stdout)
    assert [first[name] for name in ("rows", "indexed", "quarantined", "pending")] == [10_000, 10_000, 0, 0]
    copy = tmp_path / "renamed.log.gz"
    copy.write_bytes(gzip.compress(LOG.read_bytes()))
    spoken = run(LOG, copy, "--index", index)
    assert spoken.returncode == 0
    assert "0 rows indexed" in spoken.stdout
    assert "renamed.log.gz: its rows were taken from" in spoken.stdout
    client.indices.refresh(index=index)
    assert client.count(index=index)["count"] == 10_000
    assert client.count(index=index, query={"term": {"http.response.status_code": 200}})["count"] == 9_126
    found = client.search(
        index=index,
        size=0,
        aggs={
            "ips": {"cardinality": {"field": "source.ip", "precision_threshold": 10_000}},
            "bytes": {"sum": {"field": "http.response.body.bytes"}},
        },
    )["aggregations"]
    lines = [line.split() for line in LOG.read_text().splitlines()]
    assert found["ips"]["value"] == pytest.approx(len({line[0] for line in lines}), rel=0.01)
    assert found["bytes"]["value"] == sum(int(line[9]) for line in lines if line[9].isdigit())


def test_a_summary_tells_what_was_read_and_what_was_not(run, prefix, tmp_path):
    path = tmp_path / "a.log"
    path.write_text("".join(LINE.format(n) for n in range(5)) + "[red]garbage\n" + LINE.format(7)[:50])
    done = run(path, "--index", f"{prefix}a")
    assert done.returncode == 0
    assert "access_log" in done.stdout
    assert "5 rows indexed" in done.stdout
    assert "1 quarantined; quality: warn" in done.stdout
    assert f"Why: driftline quarantine list {prefix}a" in done.stdout
    assert "A last line is half written" in done.stdout


def test_a_source_file_says_how_and_options_go_before_it(client, run, prefix, tmp_path):
    source = tmp_path / "s.yaml"
    source.write_text(
        f"source_id: {prefix}s\nindex: {prefix}s\ntime_field: when\nfiles: {{paths: {tmp_path}/*.csv, add: {{host.name: a}}}}\n"
    )
    (tmp_path / "a.csv").write_text("when,n\n2026-03-01 00:00,1\n")
    assert json.loads(run("--source", source, "--timezone", "Europe/Berlin", "--json").stdout)["indexed"] == 1
    client.indices.refresh(index=f"{prefix}s")
    (hit,) = client.search(index=f"{prefix}s")["hits"]["hits"]
    assert hit["_source"] == {"when": "2026-02-28T23:00:00.000Z", "n": 1, "host.name": "a"}


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "options", "code", "what"),
    [
        (None, (), 2, "there is no such file"),
        (b"\x7fELF\x01\x02\x03\x00\x00\x00", (), 2, "the file is binary, not text"),
        ("a,b\n1,2\n".encode("utf-16"), (), 2, "the file is in UTF-16 or UTF-32"),
        (gzip.compress(b"x" * 10_000)[:-12], (), 2, "the gzip file is broken"),
        (b"Lorem ipsum\ndolor sit\n", (), 2, "the format cannot be told; the file begins 'Lorem ipsum'"),
        (b"Lorem ipsum\ndolor sit\n", ("--format", "access_log"), 2, "no row can be read as access_log"),
        (b"a,b\n1,2\n", ("--format", "parquet"), 2, "the file is not Parquet"),
        (b"a,b\n1,2\n", ("--format", "xml"), 2, "files.format"),
        (b"a,b\n1,2\n", ("--timezone", "Mars"), 2, "is not a time zone"),
        (b"a,b\n1,2\n", ("--time-field", "c"), 2, "there is no time in field 'c'"),
        ((LINE.format(1) + "garbage\n" * 3).encode(), (), 1, "bad_ratio"),
    ],
    ids=["missing", "binary", "utf-16", "cut gzip", "prose", "prose as log", "csv as parquet", "format", "zone", "time", "ratio"],
)
def test_what_cannot_be_read_says_why(run, prefix, tmp_path, content, options, code, what):
    path = tmp_path / "bad"
    if content is not None:
        path.write_bytes(content)
    done = run(path, "--index", f"{prefix}bad", *options, "--json")
    assert done.returncode == code
    assert what in json.loads(done.stdout)["what"]


def test_mistakes_of_the_command_line_say_what_to_do(run, prefix):
    for arguments, what in (
        ((), "nothing to ingest"),
        (("a.log",), "no index is named"),
        (("a.log", "--index", "Bad Name"), "is not an index name"),
        (("--source", "nosuch"), "there is no source 'nosuch'"),
        (("x.log", "--source", "demo"), "is generated"),
    ):
        done = run(*arguments, "--json")
        assert (done.returncode, what in json.loads(done.stdout)["what"]) == (2, True), done.stdout


def test_a_cluster_that_is_down_is_no_mistake_of_the_file(run, prefix, tmp_path):
    path = write(tmp_path / "a.log", LINE.format(1).encode())
    done = run(path, "--index", f"{prefix}a", "--json", DRIFTLINE_ELASTICSEARCH_URL="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "does not answer" in json.loads(done.stdout)["what"]
