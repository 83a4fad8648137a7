import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest

from driftline.core.errors import DataError, WindowError
from driftline.core.job import Job
from driftline.pipeline.detect import Options, detect
from driftline.pipeline.filehistory import of_file
from driftline.pipeline.history import backtest, replayed, verdict
from driftline.pipeline.historyplot import write_plot
from driftline.pipeline.readings import read_readings
from driftline.pipeline.truths import Fact, locate, read_truth, visible
from driftline.scoring.fixed import Fixed
from driftline.scoring.truth import ALL, Judged

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def stamp(hour):
    return f"{START + hour * HOUR:%Y-%m-%d %H:%M:%S}"


def daily(length, base=100.0, seed=0):
    hours = np.arange(length)
    return base * (1 + 0.5 * np.sin(2 * np.pi * hours / 24)) + np.random.default_rng(seed).normal(0, base / 50, length)


@pytest.fixture
def readings(tmp_path):
    """Three weeks by the hour: a night's value at noon, and a spike over everything."""
    values = daily(504)
    values[390:394] = 60.0
    values[450:452] = 400.0
    path = tmp_path / "readings.csv"
    path.write_text("timestamp,value\n" + "".join(f"{stamp(hour)},{value}\n" for hour, value in enumerate(values)))
    return str(path)


@pytest.fixture
def truth(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text(f"start,end,kind\n{stamp(390)},{stamp(394)},contextual\n{stamp(450)},{stamp(452)},spike\n")
    return str(path)


def test_a_known_history_is_judged_from_the_first_model_on(readings, truth):
    report = backtest(of_file(readings), read_truth(truth))
    assert (report["series"], report["bucket_span"], report["end"]) == (1, "1h", "2026-03-22T00:00:00Z")
    assert "2026-03-01T00:00:00Z" < report["start"] < "2026-03-15"  # nothing is known at first
    kinds = report["judged"]["by_kind"]
    assert (kinds["spike"]["found"], kinds["spike"]["events"], kinds["spike"]["recall"]) == (1, 1, 1.0)
    assert kinds["spike"]["delay_median"]["buckets"] <= 1
    assert kinds["contextual"]["found"] == 1
    assert report["best"]["f1"] >= report["judged"]["f1"]
    assert report["best"]["threshold"] in [each["threshold"] for each in report["sweep"]]
    assert report["fixed"]["for_all"]["recall"] == 0.5
    alarms = [level["alarms"] for level in report["alarms"]]
    assert alarms == sorted(alarms, reverse=True)


def test_a_spike_over_everything_is_said_to_need_no_model(readings, tmp_path):
    path = tmp_path / "only.json"
    path.write_bytes(orjson.dumps({"data/readings.csv": [[f"{stamp(450)}.000000", f"{stamp(451)}.000000"]]}))
    report = backtest(of_file(readings, start=START, end=START + 500 * HOUR), read_truth(str(path), of=readings))
    assert report["judged"]["events"] == 1
    assert report["fixed"]["for_all"]["f1"] == 1.0
    assert "you need no model here" in report["fixed"]["sentence"]


def test_without_truth_alarms_are_counted(readings):
    report = backtest(of_file(readings), threshold=60)
    assert "judged" not in report
    level = next(level for level in report["alarms"] if level["threshold"] == 60)
    weeks = report["buckets"] / 168
    assert level["alarms_a_week"] == pytest.approx(level["alarms"] / weeks, abs=1e-3)
    assert level["alarms"] == report["loudest"][0]["alarms"] > 0


def test_the_page_tells_of_hostile_names_without_running_them(readings, truth, tmp_path):
    report = backtest(of_file(readings), read_truth(truth))
    report["name"] = "<script>alert(1)</script>"
    write_plot(report, str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    assert "<script>alert(1)" not in page
    assert "prefers-color-scheme: dark" in page
    with pytest.raises(DataError, match="plot cannot be written"):
        write_plot(report, str(tmp_path / "none" / "page.html"))


def test_many_series_unsorted_with_gaps_and_doubles(tmp_path):
    path = tmp_path / "long.csv"
    rows = [("b", 3, 5.0), ("a", 0, 1.0), ("a", 2, 4.0), ("a", 2, 6.0), ("b", 1, 7.0), ("c", 0, 0.5), ("b", 2, 2.0)]
    path.write_text("unique_id,ds,y\n" + "".join(f"{name},{stamp(hour)},{value}\n" for name, hour, value in rows))
    history = of_file(str(path))
    nan = np.nan
    np.testing.assert_array_equal(history.values, [[1, nan, 5, nan], [nan, 7, 2, 5], [0.5, nan, nan, nan]])
    assert history.sqrt.tolist() == [False] * 3
    assert (history.labels, history.start) == (["a", "b", "c"], START)
    largest = of_file(str(path), most=1)
    assert largest.labels == ["b"]
    assert "largest of 3" in largest.notes[0]
    assert of_file(str(path), partitions=["c", "a"]).labels == ["a", "c"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "columns are a, b"),
        ("timestamp,value\n2026-03-01,1\nyesterday,2\n", "a row cannot be read"),
        ("timestamp,value\n2026-03-01,one\n", "a row cannot be read"),
        ("timestamp,value\n2026-03-01,1\n", "fewer than two readings"),
        ("", "cannot be read as CSV"),
    ],
)
def test_files_that_are_none_are_explained(tmp_path, text, said):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        of_file(str(path))


def test_missing_files_and_unknown_series_are_explained(tmp_path, readings):
    with pytest.raises(DataError, match="No such file"):
        of_file(str(tmp_path / "none.csv"))
    with pytest.raises(DataError, match="no series 'x'"):
        of_file(readings, partitions=["x"])
    with pytest.raises(DataError, match="too short"):
        backtest(of_file(readings, end=START + 20 * HOUR))
    with pytest.raises(DataError, match="fewer than two readings"):
        of_file(readings, end=START)
    empty = tmp_path / "empty.csv"
    empty.write_text("timestamp,value\n" + "".join(f"{stamp(hour)},\n" for hour in range(50)))
    with pytest.raises(DataError, match="there are no values"):
        backtest(of_file(str(empty)))
    empty.write_text("timestamp,value\n2026-03-01,1,5\n")
    with pytest.raises(DataError, match="there are 3 cells, but the header has 2") as caught:
        of_file(str(empty))
    assert (caught.value.where, caught.value.fix) == (f"{empty}, line 2", "Mend the row, or give --skip-bad-rows.")
    assert "a cell for each column" in caught.value.expected


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.json", "{", "no truth file .it is not valid JSON"),
        ("t.json", '[{"kind": "spike"}]', "no truth file .an event has no 'start'"),
        ("t.json", '["spike"]', "no truth file .its form is another"),
        ("t.json", "7", "no truth file .its form is another"),
        ("t.json", '{"readings.csv": [["2026-03-02"]]}', "no truth file"),
        ("t.json", '{"readings.csv": [["2026-03-02", "2026-03-01"]]}', "ends at 2026-03-01T00:00:00.001Z, before its start"),
        ("t.csv", "start,end\n2026-03-02,2026-03-01\n", "ends at 2026-03-01T00:00:00Z, before its start"),
        ("t.json", '{"other.csv": []}', "says nothing of readings.csv"),
        ("t.csv", "begin,end\n1,2\n", "no truth file"),
        ("t.csv", "start,end\nsoon,later\n", "'soon' is not a time"),
    ],
)
def test_broken_truths_are_explained(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_truth(str(path), of="readings.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_truth(str(tmp_path / "none.json"))


def test_windows_keep_their_offsets_and_series_their_names(tmp_path):
    windows, table = tmp_path / "t.json", tmp_path / "t.csv"
    windows.write_text('{"r.csv": [["2026-03-01T02:00:00.000+02:00", "2026-03-01 01:00:00.000000"]]}')
    assert read_truth(str(windows), of="r.csv") == [Fact(START, START + HOUR + timedelta(milliseconds=1), "event")]
    table.write_text("start,end,kind,series\n2026-03-01,2026-03-02,,NA\n2026-03-01,2026-03-02,null,\n")
    named, every = read_truth(str(table))
    assert (named.kind, named.values) == ("event", {"NA"})
    assert (every.kind, every.values) == ("null", None)


def test_buckets_are_as_wide_as_most_series_steps(tmp_path):
    path = tmp_path / "x.csv"
    rows = [f"{name},{START + hour * HOUR + name * timedelta(minutes=10)},{hour}" for name in range(6) for hour in range(48)]
    rows += [f"6,{START + second * timedelta(seconds=1)},1" for second in range(30)]
    path.write_text("\n".join(["unique_id,ds,y", *rows]))
    history = of_file(str(path))
    assert (history.span, history.values.shape) == (HOUR, (7, 48))
    assert history.values[5].tolist() == list(range(48))
    assert history.notes[0] == "readings beside another in a bucket of 1h, where their mean is looked at: 29"
    assert of_file(str(path), partitions=["6"]).span == timedelta(seconds=1)
    # jitter makes no odd width, and readings closer than a second stay apart
    path.write_text("time,y\n" + "".join(f"{60 * minute + 0.3 * (minute % 2)},1\n" for minute in range(20)))
    assert of_file(str(path)).span == timedelta(minutes=1)
    path.write_text("time,y\n" + "".join(f"{100 + place / 4},{place}\n" for place in range(20)))
    history = of_file(str(path))
    assert (history.span, history.values[0].tolist()) == (timedelta(milliseconds=250), list(range(20)))
    assert np.diff(history.times).astype(int).tolist() == [250_000] * 19


def test_a_stamp_far_from_all_others_is_named_instead_of_years_that_are_replayed(tmp_path):
    path = tmp_path / "x.csv"
    rows = [f"{stamp(hour)},1\n" for hour in range(100)]
    path.write_text("timestamp,value\n1970-01-01,1\n" + "".join(rows))
    with pytest.raises(DataError, match=r"nearly all of .* buckets of 1h are empty: 1970-01-01T00:00:00Z lies") as caught:
        of_file(str(path))
    assert "--start" in caught.value.fix
    assert of_file(str(path), start=START).values.shape == (1, 100)
    # what is seldom all the time is legal
    seldom = [f"{START + 200 * day * HOUR + minute * timedelta(minutes=1)},1\n" for day in range(40) for minute in range(2)]
    path.write_text("timestamp,value\n" + "".join(seldom))
    assert np.isnan(of_file(str(path)).values).mean() > 0.99


def test_buckets_are_those_of_detect(tmp_path):
    path = tmp_path / "x.csv"
    rows = [("a", 0.2), ("a", 0.5), ("a", 3.1), ("a", 4.0), ("b", 2.9), ("b", 3.0), ("b", 5.5), ("late", 5.1), ("late", 5.2)]
    path.write_text("unique_id,ds,y\n" + "".join(f"{name},{START + hour * HOUR},2\n" for name, hour in rows))
    counted = Options(span=HOUR, function="count", counts=True)
    history, nan = of_file(str(path), counted), np.nan
    assert (history.start, history.span, history.sqrt.tolist()) == (START, HOUR, [True] * 3)
    # none is 0 between a series' first and its last bucket, which is not complete, and unknown elsewhere
    np.testing.assert_array_equal(history.values, [[2, 0, 0, 1, nan], [nan, nan, 1, 1, 0], [nan] * 5])
    within = of_file(str(path), counted, start=START + 1.5 * HOUR, end=START + 5.5 * HOUR)
    np.testing.assert_array_equal(within.values, [[0, 0, 1, nan], [nan, 1, 1, 0]])  # whole buckets, and silences at the edges
    np.testing.assert_array_equal(of_file(str(path), Options(span=HOUR, function="sum")).values[0], [4, 0, 0, 2, nan])
    np.testing.assert_array_equal(of_file(str(path), Options(span=HOUR)).values[0], [2, nan, nan, 2, nan])


def test_each_series_gets_what_detect_gives_it(tmp_path):
    path = tmp_path / "x.csv"
    values = np.array([np.round(daily(480, seed=seed)) for seed in range(3)])
    values[:, 400] *= 3
    hours = [range(480), range(200, 480), [hour for hour in range(480) if not 100 <= hour < 130]]
    rows = [f"{row},{stamp(hour)},{values[row, hour]}\n" for row, of in enumerate(hours) for hour in of]
    path.write_text("unique_id,ds,y\n" + "".join(rows))
    for options in (Options(), Options(span=2 * HOUR, function="sum", counts=True), Options(span=3 * HOUR, function="max")):
        history = of_file(str(path), options)
        found = replayed(history).anomaly_score
        for scores, each in zip(found, detect(read_readings(str(path)), options), strict=True):
            column = np.searchsorted(history.times, each.times)
            np.testing.assert_allclose(scores[column], each.found.anomaly_score[0])
            assert np.count_nonzero(scores) == np.count_nonzero(each.found.anomaly_score) > 0


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (Options(function="sum"), WindowError, "nothing to take the sum of"),
        (Options(span=timedelta(0)), WindowError, "a bucket lasts longer than 0"),
        (Options(counts=True), DataError, "is no count"),
        (Options(span=1000 * HOUR), DataError, "no complete bucket of"),
    ],
)
def test_options_that_do_not_fit_are_explained(readings, options, error, said):
    with pytest.raises(error, match=said):
        of_file(readings, options)


def test_equal_values_are_said_to_be_events_that_can_be_counted(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("timestamp,value\n" + "".join(f"{START + n * n * timedelta(seconds=40)},0.1\n" for n in range(60)))
    hint = (
        "all values of the series are equal: if each row is an event, count them with --bucket-span {} --function count --counts"
    )
    assert hint.format("…") in of_file(str(path)).notes
    assert hint.format("1h") in of_file(str(path), Options(span=HOUR)).notes
    assert not any("equal" in note for note in of_file(str(path), Options(span=HOUR, function="count")).notes)


def test_a_truth_that_lies_outside_of_what_is_judged_is_an_error(readings):
    def error(*facts, **options):
        with pytest.raises(DataError) as caught:
            backtest(of_file(readings, **options), facts, truth="t.csv")
        assert caught.value.where == "t.csv"
        return caught.value

    inside, early = Fact(START + 450 * HOUR, START + 452 * HOUR, "spike"), Fact(START, START + HOUR, "spike")
    away = [Fact(START - days * 24 * HOUR, START - days * 24 * HOUR + HOUR, "spike") for days in (9, 8)]
    found = error(*away)
    assert found.what == "none of the 2 events of the truth lies in a series and time that is judged"
    assert found.expected == "events between 2026-03-01T00:00:00Z and 2026-03-22T00:00:00Z"
    assert "2026-02-20T00:00:00Z – 2026-02-21T01:00:00Z" in found.fix
    assert "which the first model learns from" in error(early).expected
    named = error(replace(inside, values=frozenset({"x"})))
    assert named.expected == "events of a series that is judged: (all)"
    assert named.fix.startswith("It tells of x: ")
    for others, note in (
        (away[:1], "1 event of the truth lies in no series or time that is judged, and is left out"),
        (away, "2 events of the truth lie in no series or time that is judged, and are left out"),
    ):
        assert note in backtest(of_file(readings), [inside, *others], truth="t.csv")["notes"]
    assert backtest(of_file(readings), [], truth="t.csv")["judged"]["events"] == 0  # nothing happened, as the truth says


def test_a_long_name_of_one_series_weighs_once(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(
        "unique_id,ds,y\n" + "".join(f"{'a' * 100_000 if hour == 3 else 'b'},{stamp(hour)},1\n" for hour in range(500))
    )
    tracemalloc.start()
    assert of_file(str(path)).values.shape == (2, 500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_facts_lie_in_the_buckets_that_they_touch():
    facts = [
        Fact(START + 2.5 * HOUR, START + 4.5 * HOUR, "spike", frozenset({"/a", "/b"})),
        Fact(START, START + HOUR, "outage"),
        Fact(START - 2 * HOUR, START, "drop"),
        Fact(START, START + HOUR, "drop", frozenset({"/elsewhere"})),
    ]
    found, outside = locate(facts, [{"/a"}, {"/x"}, {"/b"}], START, HOUR, 24)
    assert found.series.tolist() == [0, 2, ALL]
    assert (found.first.tolist(), found.last.tolist()) == ([2, 2, 0], [5, 5, 1])
    assert (list(found.kind), outside) == (["spike", "spike", "outage"], 2)


def test_a_job_is_judged_by_what_it_watches():
    job = Job.parse(
        {
            "job_id": "web",
            "bucket_span": "1h",
            "detectors": [{"function": "low_count", "partition_field_name": "url.path"}],
            "datafeed": {"indices": ["x"]},
        },
        where="t",
    )
    facts = [
        Fact(START, START + HOUR, "spike", frozenset({"/a"}), "url.path", ("count", None)),
        Fact(START, START + HOUR, "outage", frozenset({"web-1"}), "host.name", ("count", None)),
        Fact(START, START + HOUR, "ip_collapse", None, None, ("distinct_count", "source.ip")),
        Fact(START, START + HOUR, "event"),
    ]
    seen, others = visible(facts, job)
    assert [fact.kind for fact in seen] == ["spike", "event"]
    assert [fact.kind for fact in others] == ["outage", "ip_collapse"]


@pytest.mark.parametrize(
    ("model", "one", "each", "said"),
    [
        (0.94, 0.95, 0.97, "A fixed threshold does as well (value ≥ 120: F1 0.95 against 0.94): you need no model here."),
        (0.80, 0.95, 0.97, "A fixed threshold does better"),
        (0.94, 0.50, 0.93, "A fixed threshold for each series does as well (F1 0.93 against 0.94; one for all 0.50)"),
        (0.94, 0.50, 0.60, "No fixed threshold is enough"),
        (0.27, 0.67, 0.67, "No fixed threshold is enough"),
    ],
)
def test_it_is_said_when_a_fixed_threshold_suffices(model, one, each, said):
    figures = Judged(1.0, 20, 19, 20, 1, 0.95, 0.95, one, 0.01, 0.0, 1.0, {})
    rule = Fixed(np.array([True]), np.array([120.0]), figures)
    sentence = verdict(model, rule, replace(figures, f1=each))
    assert sentence.startswith(said)
    assert "only" not in sentence
    if not said.startswith("No"):
        assert "This is only 1 event:" in verdict(model, rule, replace(figures, f1=each, events=1))
        assert "only 3 events" in verdict(model, rule, replace(figures, f1=each, events=3))
