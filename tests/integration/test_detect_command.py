"""`driftline detect` as a user runs it: no Elasticsearch, nothing but files."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta

import numpy as np
import pytest
from commands import command

COLUMNS = ["lower", "typical", "upper", "probability", "anomaly_score", "kind"]


def run(*arguments, code=0):
    # an address where nothing listens: it must not matter
    done = command("detect", *arguments, COLUMNS="200", DRIFTLINE_ELASTICSEARCH_URL="http://127.0.0.1:9")
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def folder(tmp_path):
    """Two series of an hour's steps, one with a drop; and a file of something else."""
    for number, name in enumerate(("quiet", "deep/drop")):
        values = 100 + 30 * np.sin(2 * np.pi * np.arange(480) / 24) + np.random.default_rng(number).normal(0, 2, 480)
        values[400] = 0.0 if name == "deep/drop" else values[400]
        path = tmp_path / "in" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"{datetime(2026, 3, 1) + hour * timedelta(hours=1)},{value:.3f}" for hour, value in enumerate(values)]
        path.write_text("\n".join(["timestamp,value", *rows, ""]))
    (tmp_path / "in" / "labels.json").write_text("{}")
    return tmp_path / "in"


def test_a_folder_is_scored_with_pictures_and_told_as_json(folder, tmp_path):
    done = run(folder, "--out", tmp_path / "out", "--plot", "--json")
    report = json.loads(done.stdout)
    assert done.stderr == ""
    assert (report["rows"], report["failed"]) == (960, [])
    top = report["top"][0]
    assert (top["time"], top["kind"], top["value"]) == ("2026-03-17T16:00:00Z", "drop", 0.0)
    assert top["score"] >= 50
    assert report["alarms"]["major"] == sum(file["alarms"]["major"] for file in report["files"]) >= 1
    for name in ("quiet", "deep/drop"):
        with (folder / f"{name}.csv").open() as before, (tmp_path / "out" / f"{name}.csv").open() as after:
            read, written = list(csv.reader(before)), list(csv.reader(after))
        assert [row[:2] for row in written] == read
        assert written[0][2:] == COLUMNS
        assert "plotly" in (tmp_path / "out" / f"{name}.html").read_text()
    assert json.loads(run(folder, "--out", tmp_path / "again", "--json").stdout)["top"] == report["top"]
    assert (tmp_path / "again" / "deep" / "drop.csv").read_bytes() == (tmp_path / "out" / "deep" / "drop.csv").read_bytes()


def test_without_out_it_tells_and_writes_nothing(folder):
    before = sorted(folder.rglob("*"))
    told = run(folder / "deep" / "drop.csv").stdout
    assert "2026-03-17T16:00:00Z" in told
    assert "lower than expected for a Tuesday 16:00 (0 instead of " in told
    assert "1 file, 480 rows" in told
    everything = run(folder).stdout
    assert "labels.json" in everything
    assert "2 files, 960 rows" in everything
    assert sorted(folder.rglob("*")) == before


def test_files_of_one_name_are_told_apart_by_their_folders(folder):
    (folder / "other").mkdir()
    (folder / "other" / "drop.csv").write_bytes((folder / "deep" / "drop.csv").read_bytes())
    top = run(folder).stdout.split("Top events")[1]
    assert "│ deep/drop.csv " in top
    assert "│ other/drop.csv " in top
    counted = run(folder / "quiet.csv", "--bucket-span", "2h", "--function", "count").stdout
    assert "Note" not in counted


def test_mistakes_are_explained(folder, tmp_path):
    def refused(*arguments):
        return json.loads(run(*arguments, "--json", code=2).stdout)

    file = folder / "quiet.csv"
    assert "No such file" in refused(tmp_path / "none.csv")["what"]
    assert "not a span" in refused(file, "--bucket-span", "soon")["what"]
    assert refused(file, "--time-zone", "Europe/Atlantis")["what"] == "there is no time zone 'Europe/Atlantis'"
    assert refused(file, "--time-zone", "../etc/passwd")["where"] == "--time-zone"
    assert "replace the data" in refused(file, "--out", file)["what"]
    assert "is no count" in refused(file, "--counts")["what"]
    (folder / "quiet.csv").write_text("timestamp,value\n2026-03-01,[red]ten\n")
    error = refused(file)
    assert error["where"].endswith("quiet.csv, line 2, column 'value'")
    assert "'[red]ten' is not a number" in error["what"]
    assert "'[red]ten' is not a number" in run(file, code=2).stderr
    assert run(file, "--skip-bad-rows").returncode == 0
    # the other file is scored all the same
    both = json.loads(run(folder, "--json", code=2).stdout)
    assert ([file["rows"] for file in both["files"]], len(both["failed"])) == ([480], 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument"),
        (["x.csv", "--function", "foo"], "'foo'"),
        (["x.csv", "--colour"], "No such option"),
        (["x.csv", "y.csv"], "unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_is_told_in_words_or_as_json(words, said):
    told = run(*words, code=2)
    assert (told.stdout, "Usage: driftline detect" in told.stderr) == ("", True)
    done = run(*words, "--json", code=2)
    error = json.loads(done.stdout)
    assert (error["error"], error["where"], done.stderr) == ("UsageError", "driftline detect", "")
    assert said in error["what"]
    assert said in told.stderr
    assert error["fix"] == "Try 'driftline detect --help'."


def test_the_help_has_examples():
    told = run("--help").stdout
    assert "driftline detect data/ --out results/ --json" in told
