from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from driftline.core.errors import DataError, WindowError
from driftline.pipeline.detect import COLUMNS, Options, columns, detect, detect_file, detect_path
from driftline.pipeline.detectplot import _thinned
from driftline.pipeline.readings import read_readings

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
HOURLY = timedelta(hours=1)
PLAIN = Options()


def curve(length, seed=0, day=96):
    slots = np.arange(length)
    return 100 + 40 * np.sin(2 * np.pi * slots / day) + np.random.default_rng(seed).normal(0, 2, length)


def text(values, step=timedelta(minutes=15), keep=None, form="%Y-%m-%d %H:%M:%S"):
    places = range(len(values)) if keep is None else keep
    return "timestamp,value\n" + "".join(f"{START + place * step:{form}},{values[place]:.6f}\n" for place in places)


@pytest.fixture
def spiky(tmp_path):
    """Ten days of quarters of an hour, and a spike on the ninth."""
    values = curve(960)
    values[800:803] = 400.0
    path = tmp_path / "spiky.csv"
    path.write_text(text(values))
    return str(path)


def results(path, options=PLAIN):
    """The columns that `detect` gives, as text."""
    readings = read_readings(path, zone=options.zone, skip_bad=options.skip_bad)
    return pd.DataFrame(columns(detect(readings, options), len(readings.rows)))


def test_a_spike_alarms_once_and_every_row_is_written_in_its_place(spiky, tmp_path):
    out = tmp_path / "out.csv"
    report = detect_file(spiky, PLAIN, out=str(out))
    before, after = pd.read_csv(spiky, dtype=str), pd.read_csv(out, dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(after[["timestamp", "value"]], before)
    assert list(after) == ["timestamp", "value", *COLUMNS]
    scores = after["anomaly_score"].astype(float)
    assert (scores[800:803] >= 75).sum() == 1
    assert (scores >= 75).sum() == 1
    assert report["alarms"]["critical"] == 1
    assert after.loc[scores.idxmax(), "kind"] == "spike"
    known = after[200:800].astype({"lower": float, "typical": float, "upper": float, "value": float, "probability": float})
    assert ((known.lower <= known.typical) & (known.typical <= known.upper)).all()
    assert known.value.between(known.lower, known.upper).mean() > 0.85
    assert known.probability.between(0, 1).all()
    top = report["top"][0]
    assert (top["severity"], top["kind"], top["line"], top["value"]) == ("critical", "spike", int(scores.idxmax()) + 2, 400.0)
    assert top["stamp"] == before.timestamp[int(scores.idxmax())]
    assert "times higher than expected for a Tuesday 08:" in top["what"]
    assert (report["rows"], report["series"], report["notes"]) == (960, 1, [])


@pytest.mark.parametrize("span", [None, HOURLY], ids=["readings", "buckets"])
@pytest.mark.parametrize("gappy", [False, True], ids=["regular", "gappy"])
def test_what_comes_later_changes_nothing(tmp_path, span, gappy):
    values = curve(600, seed=3)
    values[400:403], values[500] = 300.0, 0.0
    random = np.random.default_rng(4)
    keep = np.sort(random.choice(600, 440, replace=False)) if gappy else np.arange(600)
    options = Options(span=span)
    path = tmp_path / "x.csv"
    path.write_text(text(values, keep=keep))
    whole = results(str(path), options)
    assert (whole.anomaly_score.astype(float) > 0).any()
    # within and just after what is odd, near the beginning, and anywhere
    odd = np.searchsorted(keep, [399, 402, 404, 501]).tolist()
    for cut in [*odd, 20, *random.integers(1, len(keep), 15).tolist()]:
        path.write_text(text(values, keep=keep[:cut]))
        part = results(str(path), options)
        pd.testing.assert_frame_equal(part, whole[:cut])


def test_order_doubles_and_names_of_columns_change_nothing(spiky, tmp_path):
    rows = pd.read_csv(spiky, dtype=str)
    whole = results(spiky)
    whole.index = rows.timestamp
    shuffled = rows.sample(frac=1, random_state=1).rename(columns={"timestamp": "Time", "value": "Y"})
    path = tmp_path / "shuffled.csv"
    shuffled.to_csv(path, index=False)
    found = results(str(path))
    found.index = shuffled["Time"]
    pd.testing.assert_frame_equal(found.loc[rows.timestamp], whole, check_names=False)
    twice = pd.concat([rows.assign(value=rows.value.astype(float) + change) for change in (-10, 10)]).sort_index()
    twice.to_csv(path, index=False)
    found = results(str(path))
    assert (found[::2].to_numpy() == found[1::2].to_numpy()).all()
    np.testing.assert_allclose(
        found["typical"][::2].replace("", "nan").astype(float), whole["typical"].replace("", "nan").astype(float)
    )


@pytest.mark.parametrize("form", ["epoch", "offset", "local"])
def test_the_form_of_stamps_changes_nothing(spiky, tmp_path, form):
    stamps = pd.to_datetime(pd.read_csv(spiky).timestamp, utc=True).dt.tz_convert("Europe/Berlin")
    spell = {"epoch": lambda stamp: f"{stamp.timestamp():.0f}", "offset": str, "local": "{:%Y-%m-%d %H:%M:%S}".format}[form]
    path = tmp_path / "x.csv"
    pd.read_csv(spiky, dtype=str).assign(timestamp=stamps.map(spell)).to_csv(path, index=False)
    pd.testing.assert_frame_equal(results(str(path), Options(zone=ZoneInfo("Europe/Berlin"))), results(spiky))


def test_a_long_file_gives_each_series_what_it_would_get_alone(tmp_path, spiky):
    first, second = pd.read_csv(spiky, dtype=str), pd.DataFrame({"value": curve(960, seed=9).round(3).astype(str)})
    second["timestamp"] = first.timestamp
    second.loc[900, "value"] = "-500"
    second.loc[:200, "value"] = ""  # it starts later
    third = second[:400]
    alone = []
    for number, frame in enumerate((first, second, third)):
        frame[["timestamp", "value"]].to_csv(tmp_path / f"{number}.csv", index=False)
        alone.append(results(str(tmp_path / f"{number}.csv")))
    together = pd.concat(
        [frame.assign(unique_id=name, note="x") for frame, name in zip((first, second, third), "cab", strict=True)]
    )
    together = together.rename(columns={"timestamp": "ds", "value": "y"})
    mixed = together.sample(frac=1, random_state=2)
    mixed.to_csv(tmp_path / "long.csv", index=False)
    report = detect_file(str(tmp_path / "long.csv"), PLAIN, out=str(tmp_path / "out.csv"))
    assert (report["series"], report["rows"]) == (3, 2320)
    assert {event["series"] for event in report["top"][:2]} == {"a", "c"}
    out = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)
    assert list(out) == ["ds", "y", "unique_id", "note", *COLUMNS]
    assert (out["ds"].to_numpy() == mixed["ds"].to_numpy()).all()
    for name, wanted in zip("cab", alone, strict=True):
        mine = out[out.unique_id == name].sort_values("ds")
        numbers = [column for column in COLUMNS if column != "kind"]
        np.testing.assert_allclose(
            mine[numbers].replace("", "nan").astype(float), wanted[numbers].replace("", "nan").astype(float), rtol=1e-6
        )
        assert mine["kind"].tolist() == wanted["kind"].tolist()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "there are no rows"),
        (["2026-03-01,5"], "no more than 24"),
        ([f"2026-03-{day + 1:02},{day}" for day in range(10)], "no more than 24"),
        ([f"2026-03-{day + 1:02}," for day in range(28)], "missing values: 28"),
        ([f"2026-03-{day + 1:02}," for day in range(28)], "the series has no values, only missing ones"),
        ([f"2026-03-01 00:{minute:02}," for minute in range(28)], "the series has no values, only missing ones"),
        ([f"2026-03-{day + 1:02},7" for day in range(28)], None),
    ],
    ids=["none", "one", "ten", "empty", "no values", "no values in a day", "constant"],
)
@pytest.mark.parametrize("span", [None, timedelta(days=1)])
def test_files_with_little_in_them_give_no_alarm(tmp_path, rows, said, span):
    path, out = tmp_path / "x.csv", tmp_path / "out.csv"
    path.write_text("\n".join(["timestamp,value", *rows, ""]))
    report = detect_file(str(path), Options(span=span), out=str(out))
    found = pd.read_csv(out)
    assert len(found) == report["rows"] == len(rows)
    assert (found.anomaly_score == 0).all()
    assert report["alarms"] == {"minor": 0, "major": 0, "critical": 0}
    assert said is None or any(said in note for note in report["notes"])
    assert said is None or sum("than" in note or "no " in note for note in report["notes"]) <= 1, "one reason is enough"


def test_what_a_file_of_less_than_a_day_shows_is_minor_and_the_report_says_why(tmp_path):
    path = tmp_path / "x.csv"
    rows = [
        f"2026-03-01 {minute // 60:02}:{minute % 60:02}:00,{900 if minute == 600 else 40 + minute % 7}" for minute in range(720)
    ]
    path.write_text("\n".join(["timestamp,value", *rows, ""]))
    report = detect_file(str(path), PLAIN)
    assert report["alarms"] == {"minor": 1, "major": 0, "critical": 0}
    assert report["notes"] == ["the series has less than a day: until a whole day was seen, nothing is more than minor"]


def test_missing_and_bad_rows_keep_their_place(spiky, tmp_path):
    rows = pd.read_csv(spiky, dtype=str)
    rows.loc[100, "value"], rows.loc[300, "value"], rows.loc[301, "timestamp"] = "", "?", "?"
    path, out = tmp_path / "x.csv", tmp_path / "out.csv"
    rows.to_csv(path, index=False)
    with pytest.raises(DataError, match="1 more"):
        detect_file(str(path), PLAIN)
    report = detect_file(str(path), Options(skip_bad=True), out=str(out))
    found = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert (found[["timestamp", "value"]] == rows[["timestamp", "value"]]).all(axis=None)
    assert found.loc[100, "anomaly_score"] == "0"
    assert (found.loc[[300, 301], list(COLUMNS)] == "").all(axis=None)
    assert report["alarms"]["critical"] == 1
    assert report["notes"][0].endswith("no result: 2")


def test_buckets_are_told_once_complete(tmp_path):
    values = np.repeat(curve(240, day=24), 4)
    values[803] = 2000.0  # the last quarter of an hour
    path = tmp_path / "x.csv"
    path.write_text(text(values))
    found = results(str(path), Options(span=HOURLY))
    scores = found.anomaly_score.astype(float)
    assert np.flatnonzero(scores >= 75).tolist() == [804, 805, 806, 807]
    assert found[:4].typical.tolist() == [""] * 4
    report = detect_file(str(path), Options(span=HOURLY))
    assert report["alarms"]["critical"] == 1
    top = report["top"][0]
    assert (top["time"], top["stamp"]) == ("2026-03-10T08:00:00Z", "2026-03-10 09:00:00")
    assert top["value"] == pytest.approx(np.mean(values[800:804]), abs=1e-5)
    # an alarm before a gap is told after it
    path.write_text(text(values, keep=[*range(804), *range(816, 960)]))
    gap = results(str(path), Options(span=HOURLY)).anomaly_score.astype(float)
    assert np.flatnonzero(gap >= 75).tolist() == [804, 805, 806, 807]


def test_of_buckets_only_those_without_a_value_are_noted(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(text(np.repeat(curve(48, day=24), 4), keep=[*range(100), *range(112, 190), 189, 191]))
    for function, notes in (("mean", ["buckets without a value: 3 of 47"]), ("max", ["buckets without a value: 3 of 47"])):
        assert detect_file(str(path), Options(span=HOURLY, function=function))["notes"] == notes
    for function in ("sum", "count"):  # these are 0
        assert detect_file(str(path), Options(span=HOURLY, function=function))["notes"] == []
    assert len(detect_file(str(path), PLAIN)["notes"]) == 2


def test_a_feed_that_stops_is_told_by_how_many_there_are_whatever_their_values(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(text(curve(960), keep=[*range(700), *range(800, 960)]))
    report = detect_file(str(path), Options(span=HOURLY, function="count", counts=True))
    top = report["top"][0]
    assert (top["value"], top["severity"], top["line"]) == (0.0, "major", 702), "of the first row after the gap"
    assert "nothing at all, 4 expected" in top["what"]


def test_a_zero_that_is_measured_is_told_as_such(tmp_path):
    values = curve(960)
    values[800] = 0.0
    path = tmp_path / "x.csv"
    path.write_text(text(values))
    assert "lower than expected for a Tuesday 08:00 (0 instead of " in detect_file(str(path), PLAIN)["top"][0]["what"]


def test_an_incident_that_gets_worse_is_told_again_and_stands_in_the_top_once(tmp_path):
    values = curve(960)
    values[[700, 720, 800]] += (10, 400, 400)
    path = tmp_path / "x.csv"
    path.write_text(text(values))
    scores = results(str(path)).anomaly_score.astype(float)
    assert 25 <= scores[700] < 75 <= scores[720]
    assert (scores[50:68] > 0).sum() > 5, "a first morning is told again and again"
    report = detect_file(str(path), PLAIN)
    assert [event["line"] - 2 for event in report["top"]] == [800, 720, 67]
    assert report["alarms"] == {
        name: int((scores >= least).sum()) for name, least in (("minor", 25), ("major", 50), ("critical", 75))
    }


def test_counts_are_modelled_as_such_and_must_be_counts(tmp_path, spiky):
    counts = np.random.default_rng(5).poisson(3 + 2 * np.sin(2 * np.pi * np.arange(960) / 96)).astype(float)
    path = tmp_path / "x.csv"
    path.write_text(text(counts))
    found = results(str(path), Options(counts=True))
    assert (found.lower[found.lower != ""].astype(float) >= 0).all()
    few = slice(150, 280)  # of less than three days: from then on what is noisier by the hour is seen of any values
    upper, typical = (found[name].replace("", "nan").astype(float)[few] for name in ("upper", "typical"))
    assert np.corrcoef(upper - typical, typical)[0, 1] > 0.95, "the noise of counts grows with them"
    other = results(str(path))[["upper", "typical"]].replace("", "nan").astype(float)[few]
    assert np.corrcoef(other.upper - other.typical, other.typical)[0, 1] < 0.5
    with pytest.raises(DataError, match="is no count"):
        results(spiky, Options(counts=True))


def test_a_span_that_is_too_small_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("timestamp,value\n2000-01-01,1\n2026-01-01,1\n")
    with pytest.raises(DataError, match="820540800 buckets of 1s"):
        results(str(path), Options(span=timedelta(seconds=1)))


def test_options_that_look_at_nothing_are_refused(spiky):
    for span in (timedelta(0), timedelta(milliseconds=0.0001)):
        with pytest.raises(WindowError, match="longer than 0"):
            detect_path(spiky, Options(span=span))
    with pytest.raises(WindowError, match="nothing to take the sum of"):
        detect_path(spiky, Options(function="sum"))


def test_readings_closer_than_a_millisecond_take_no_more_memory_than_others(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("time,value\n" + "".join(f"1772359500.{place:06},{place % 7}\n" for place in range(60)))
    report = detect_path(str(path), PLAIN)
    assert (report["rows"], report["alarms"]["minor"]) == (60, 0)


def test_a_folder_keeps_its_tree_and_goes_on_after_a_broken_file(tmp_path, spiky):
    source, out = tmp_path / "in", tmp_path / "in" / "out"
    (source / "deep" / "er").mkdir(parents=True)
    Path(spiky).rename(source / "deep" / "er" / "a.csv")
    (source / "b.CSV").write_text("time,y\n2026-03-01,1\n")
    (source / "c.csv").write_text("nothing,known\n1,2\n")
    (source / "read.me").write_text("x")
    told = []
    for _ in range(2):  # results inside of the folder are not read the next time
        report = detect_path(str(source), PLAIN, out=str(out), progress=lambda *step: told.append(step))
        assert [Path(file["file"]).name for file in report["files"]] == ["b.CSV", "a.csv"]
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == ["b.CSV", "deep/er/a.csv"]
    assert (report["rows"], report["alarms"]["critical"]) == (961, 1)
    assert report["top"][0]["file"].endswith("a.csv")
    assert report["notes"] == ["no CSV files, left out: read.me"]
    assert [error["where"].endswith("c.csv") for error in report["failed"]] == [True]
    assert ("files", 3, 3) in told


def test_data_is_never_replaced(tmp_path, spiky):
    for out in (spiky, str(tmp_path), str(tmp_path / ".." / tmp_path.name / "spiky.csv")):
        with pytest.raises(DataError, match="would replace the data"):
            detect_path(spiky, PLAIN, out=out)
    with pytest.raises(DataError, match="would replace the data"):
        detect_path(str(tmp_path), PLAIN, out=str(tmp_path))
    with pytest.raises(DataError, match="need a folder"):
        detect_path(str(tmp_path), PLAIN, out=spiky)
    with pytest.raises(DataError, match="--plot needs --out"):
        detect_path(spiky, PLAIN, plot=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no CSV file"):
        detect_path(str(tmp_path / "empty"), PLAIN)
    (tmp_path / "empty" / "x.csv").write_text("a\n")
    with pytest.raises(DataError, match="its columns are a"):  # there is nothing else
        detect_path(str(tmp_path / "empty"), PLAIN)


def test_pictures_replace_neither_the_data_nor_results_nor_each_other(tmp_path, spiky):
    page = tmp_path / "page.html"
    page.write_bytes(Path(spiky).read_bytes())
    with pytest.raises(DataError, match="would replace the data"):
        detect_path(str(page), PLAIN, out=str(tmp_path / "page.csv"), plot=True)
    assert page.read_bytes() == Path(spiky).read_bytes()
    with pytest.raises(DataError, match="two results would be written to one file"):
        detect_path(spiky, PLAIN, out=str(tmp_path / "found.html"), plot=True)
    (tmp_path / "in").mkdir()
    for name in ("a.csv", "a.CSV"):
        (tmp_path / "in" / name).write_bytes(page.read_bytes())
    with pytest.raises(DataError, match="two results would be written to one file"):
        detect_path(str(tmp_path / "in"), PLAIN, out=str(tmp_path / "out"), plot=True)
    (tmp_path / "link.csv").hardlink_to(spiky)
    with pytest.raises(DataError, match="would replace the data"):
        detect_path(spiky, PLAIN, out=str(tmp_path / "link.csv"))


def test_a_folders_results_replace_earlier_results_and_nothing_else(tmp_path):
    (tmp_path / "data" / "2026").mkdir(parents=True)
    few = "timestamp,value\n2026-03-01,1\n"
    for name in ("b.csv", "2026/b.csv", "2026/c.csv"):
        (tmp_path / "data" / name).write_text(few)
    inner = tmp_path / "data" / "2026"
    with pytest.raises(DataError, match="no earlier result") as caught:
        detect_path(str(tmp_path / "data"), PLAIN, out=str(inner))
    assert caught.value.where == str(inner / "b.csv")
    assert (inner / "b.csv").read_text() == few
    (inner / "b.csv").unlink()
    for _ in range(2):  # the second time over its own results
        report = detect_path(str(tmp_path / "data"), PLAIN, out=str(inner))
        assert [file["file"] for file in report["files"]] == [str(tmp_path / "data" / "b.csv")]
        assert report["notes"] == ["data where results are written, left out: 2026/c.csv"]


def test_results_may_go_where_the_folder_lies(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "b.csv").write_text("timestamp,value\n2026-03-01,1\n")
    assert detect_path(str(tmp_path / "data"), PLAIN, out=str(tmp_path))["rows"] == 1
    assert (tmp_path / "b.csv").exists()
    with pytest.raises(DataError, match="cannot be written: File name too long"):
        detect_path(str(tmp_path / "data"), PLAIN, out=str(tmp_path / ("x" * 256)))


def test_a_long_picture_keeps_the_least_and_the_greatest_where_readings_are_missing():
    values = np.random.default_rng(0).normal(0, 5, 100_000)
    values[::10] = np.nan
    for level in (100, -100):  # away from 0, which nothing that is missing may stand for
        kept = (values + level)[_thinned(values + level, np.array([], dtype=np.intp))]
        assert not np.isnan(kept).any()
        assert (kept.min(), kept.max()) == (np.nanmin(values + level), np.nanmax(values + level))


def test_the_picture_shows_hostile_names_without_running_them(tmp_path, spiky):
    rows = pd.read_csv(spiky)
    evil = "<script>alert(1)</script></script><b>"
    rows.assign(unique_id=evil).to_csv(tmp_path / "x.csv", index=False)
    report = detect_path(str(tmp_path / "x.csv"), PLAIN, out=str(tmp_path / "o" / "<i>.csv"), plot=True)
    picture = Path(report["files"][0]["plot"])
    assert picture == tmp_path / "o" / "<i>.html"
    page = picture.read_text()
    assert "<script>alert(1)" not in page
    assert "prefers-color-scheme: dark" in page
    assert '"critical"' in page
    assert "https://cdn" not in page.split("<body>")[0]
