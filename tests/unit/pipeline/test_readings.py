import csv
import gzip
import os
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from driftline.core.errors import DataError
from driftline.pipeline.readings import aggregate, by_series, read_readings, write_readings

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def file(tmp_path):
    def write(text, name="x.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def times(readings):
    return [str(time)[:16] for time in readings.times.astype("datetime64[s]")]


@pytest.mark.parametrize(
    ("stamp", "utc"),
    [
        ("2026-03-01 10:05:00", "2026-03-01T10:05"),
        ("2026-03-01T10:05", "2026-03-01T10:05"),
        ("2026-03-01T10:05:00Z", "2026-03-01T10:05"),
        ("2026-03-01 10:05:00 UTC", "2026-03-01T10:05"),
        ("2026-03-01T10:05:00.000+02:00", "2026-03-01T08:05"),
        ("2026-03-01 10:05:00-0330", "2026-03-01T13:35"),
        ("2026/03/01 10:05", "2026-03-01T10:05"),
        ("2026-03-01", "2026-03-01T00:00"),
        ("20260301", "2026-03-01T00:00"),
        ("20260301T1005", "2026-03-01T10:05"),
        ("1772359500", "2026-03-01T10:05"),
        ("1772359500.25", "2026-03-01T10:05"),
        ("1.7723595e9", "2026-03-01T10:05"),
        ("1772359500000", "2026-03-01T10:05"),
        ("1772359500000000", "2026-03-01T10:05"),
        ("1772359500000000000", "2026-03-01T10:05"),
        ("0", "1970-01-01T00:00"),
        ("-60", "1969-12-31T23:59"),
    ],
)
def test_stamps_of_many_forms_are_read(file, stamp, utc):
    readings = read_readings(file(f"timestamp,value\n{stamp},1\n"))
    assert times(readings) == [utc]
    assert readings.rows == [[stamp, "1"]]


def test_the_first_stamp_says_what_a_number_is(file):
    relative = read_readings(file("time,value\n0,1\n20260301,2\n"))
    assert times(relative) == ["1970-01-01T00:00", "1970-08-23T11:51"]
    for other in ("2026-03-01", "1772359500000"):
        with pytest.raises(DataError, match=f"'{other}' is not a time stamp .in seconds, as the first one is"):
            read_readings(file(f"time,value\n1772359500,1\n{other},2\n"))


def test_the_hour_that_occurs_twice_is_told_apart_by_its_order(file):
    local = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    text = "timestamp,value\n" + "".join(f"2026-10-25 {clock}:00,1\n" for clock in local)
    utc = [f"2026-10-{clock}" for clock in ("24T23:30", "25T00:00", "25T00:30", "25T01:00", "25T01:30", "25T02:00")]
    readings = read_readings(file(text), zone=BERLIN)
    assert times(readings) == utc
    assert readings.notes == []
    # each series has a clock of its own
    pairs = [f"{name},2026-10-25 {clock}:00,1\n" for clock in local for name in "ab"]
    assert times(read_readings(file("unique_id,ds,y\n" + "".join(pairs)), zone=BERLIN)) == [each for each in utc for _ in "ab"]


def test_an_hour_that_clocks_skip_and_offsets_are_noted(file):
    skipped = read_readings(file("timestamp,value\n2026-03-29 01:30,1\n2026-03-29 02:30,1\n2026-03-29 04:30,2\n"), zone=BERLIN)
    assert times(skipped) == ["2026-03-29T00:30", "2026-03-29T01:30", "2026-03-29T02:30"]
    assert skipped.notes == ["time stamps in an hour that clocks of Europe/Berlin skipped, read as if they had not: 1"]
    mixed = read_readings(file("timestamp,value\n2026-07-01T00:00Z,1\n2026-07-01T03:00,1\n"), zone=BERLIN)
    assert times(mixed) == ["2026-07-01T00:00", "2026-07-01T01:00"]
    assert "are read as of Europe/Berlin: 1" in mixed.notes[0]
    assert "not used" in read_readings(file("timestamp,value\n2026-07-01T00:00Z,1\n"), zone=BERLIN).notes[0]


@pytest.mark.parametrize(
    ("stamp", "zone"), [("0001-01-01 00:00:00", "Europe/Berlin"), ("9999-12-31 23:59:59", "America/New_York")]
)
def test_a_stamp_beyond_all_times_is_a_row_that_cannot_be_read(file, stamp, zone):
    readings = read_readings(file(f"timestamp,value\n{stamp},1\n2026-03-01,1\n"), zone=ZoneInfo(zone), skip_bad=True)
    assert readings.bad.tolist() == [True, False]


@pytest.mark.parametrize(
    "text",
    [
        "Timestamp,Value\n2026-03-01,1.5\n",
        "@timestamp,y\n2026-03-01,1.5\n",
        "date;count\n2026-03-01;1.5\n",
        "time\tvalue\n2026-03-01\t1.5\n",
        "\ufefftimestamp,value\r\n2026-03-01,1.5\r\n",
        '"timestamp", "value"\n"2026-03-01", "1.5"\n\n',
        "host,value,other,ds\na,1.5,,2026-03-01\n",
        '"timestamp";"value";"a,b,c,d"\n2026-03-01;1.5;\n',
        "\n\ntime;value\n2026-03-01;1.5\n",
        'note,time,value\n12" pipe,2026-03-01,1.5\n',
        '"time" ,"value","note"\n"2026-03-01" ,1.5,"12" pipe"\n',
        pytest.param(gzip.compress(b"timestamp,value\n2026-03-01,1.5\n"), id="compressed"),
    ],
)
def test_headers_and_delimiters_as_people_have_them(file, text):
    readings = read_readings(file(text, "x.csv.gz" if isinstance(text, bytes) else "x.csv"))
    assert (times(readings), readings.values.tolist(), readings.names) == (["2026-03-01T00:00"], [1.5], ["(all)"])


def test_values_that_are_missing_are_no_errors(file):
    missing = ["", "NaN", "null", "N/A", " ", "None"]
    readings = read_readings(file("timestamp,value\n" + "".join(f"2026-03-{day + 1:02},{v}\n" for day, v in enumerate(missing))))
    assert np.isnan(readings.values).all()
    assert not readings.bad.any()
    assert readings.notes == ["missing values: 6"]


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("timestamp,value\n2026-03-01,1\n\n2026-03-02,one\n", "line 4, column 'value'", "'one' is not a number"),
        ("timestamp,value\n2026-03-01,1\nyesterday,2\n", "line 3, column 'timestamp'", "'yesterday' is not a time stamp"),
        ("timestamp,value\n2026-03-01,1e999\n", "column 'value'", "'1e999' is not a number"),
        ("timestamp,value\n2026-03-01,1_000\n", "column 'value'", "'1_000' is not a number"),
        ("timestamp;value\n2026-03-01;1,5\n", "column 'value'", "'1,5' is not a number"),
        ("timestamp,value\n,1\n", "column 'timestamp'", "'' is not a time stamp"),
        ("timestamp,value\n1200-03-01,1\n", "column 'timestamp'", "outside of the years"),
        ("timestamp,value\n0001-01-01T00:00:00+14:00,1\n", "column 'timestamp'", "outside of the years"),
        ("timestamp,value\n9e99,1\n", "column 'timestamp'", "'9e99' is not a time stamp"),
        ("timestamp,value\nnan,1\n", "column 'timestamp'", "'nan' is not a time stamp"),
        ("timestamp,value\n2026-03-01\n", "line 2", "there are 1 cells, but the header has 2"),
        ("timestamp,value\n2026-03-01,1,5\n", "line 2", "there are 3 cells"),
        ("timestamp,value\n2026-03-01,x\n2026-03-02,y\n2026-03-03,z\n", "line 2", "is not a number (and 2 more)"),
    ],
)
def test_bad_rows_are_named_or_left_out(file, text, where, said):
    with pytest.raises(DataError) as caught:
        read_readings(file(text))
    assert where in caught.value.where
    assert said in caught.value.what
    assert "--skip-bad-rows" in caught.value.fix
    readings = read_readings(file(text), skip_bad=True)
    assert readings.bad.any()
    assert np.isnan(readings.values[readings.bad]).all()
    assert readings.notes[0] == f"rows that cannot be read, and have no result: {readings.bad.sum()}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("a,b\n1,2\n", "its columns are a, b: none of them is known to hold the time stamps"),
        ("timestamp,b\n1,2\n", "known to hold the values"),
        ("2026-03-01,1.5\n2026-03-02,1.5\n", "its columns are 2026-03-01, 1.5"),
        (
            'timestamp,value,note\n2026-03-01,1,\n2026-03-02,1,"open\n2026-03-03,1,\n',
            "line 2: a quote is opened and never closed",
        ),
        ('"timestamp,value\n', "x.csv: a quote is opened and never closed"),
        (b"\xff\xfet\x00i\x00", "cannot be read as CSV"),
        (b"\x1f\x8b\x08\x00broken", "cannot be read"),
    ],
)
def test_files_that_are_none_name_what_they_lack(file, text, said):
    with pytest.raises(DataError, match=said):
        read_readings(file(text, "x.gz" if text[:1] == b"\x1f" else "x.csv"))
    with pytest.raises(DataError, match="No such file"):
        read_readings("/nowhere/x.csv")
    with pytest.raises(DataError, match="Is a directory"):
        read_readings("/")


def test_disorder_doubles_and_gaps_are_noted(file):
    hours = [0, 1, 2, 4, 3, 5, 5, 9]
    readings = read_readings(file("timestamp,value\n" + "".join(f"2026-03-01 {hour:02}:00,1\n" for hour in hours)))
    back, double, gaps = readings.notes
    assert back.startswith("places where time goes back: 1;")
    assert "their mean is looked at: 1 (" in double
    assert gaps == "steps are irregular; the longest is 4 hours, the usual one 1 hour"
    rows = "".join(f"{1772359500 + 0.5 * place + 60 * (place > 20)},1\n" for place in range(30))
    assert read_readings(file("time,value\n" + rows)).notes == ["gaps: 1; the longest is 1 minute, the usual one 500ms"]
    assert read_readings(file("timestamp,value\n")).notes == []


def test_of_buckets_neither_doubles_nor_odd_steps_are_noted(file):
    hours = [0, 1, 2, 4, 3, 5, 5, 9]
    readings = read_readings(file("timestamp,value\n" + "".join(f"2026-03-01 {hour:02}:00,1\n" for hour in hours)), buckets=True)
    assert readings.notes == ["places where time goes back: 1; rows are looked at in the order of time"]


def test_series_are_told_apart(file):
    rows = ["b,2026-03-01,1", "a,2026-03-01,2", "b,2026-03-02,x", "b,2026-03-03,4"]
    readings = read_readings(file("\n".join(["unique_id,ds,y", *rows])), skip_bad=True)
    assert readings.names == ["b", "a"]
    assert [rows.tolist() for rows in by_series(readings)] == [[0, 3], [1]]


def test_rows_are_written_back_as_they_were(file, tmp_path):
    text = 'unique_id,ds,y,kind\n"a, or ""b""",2026-03-01 00:00:00,1.50,old\nc,1. March,,\n'
    readings = read_readings(file(text), skip_bad=True)
    out = tmp_path / "deep" / "out.csv"
    write_readings(readings, {"score": ["1", ""], "kind": ["spike", ""]}, str(out))
    with out.open() as lines:
        assert list(csv.reader(lines)) == [
            ["unique_id", "ds", "y", "score", "kind"],
            ['a, or "b"', "2026-03-01 00:00:00", "1.50", "1", "spike"],
            ["c", "1. March", "", "", ""],
        ]
    packed = tmp_path / "out.csv.gz"
    write_readings(readings, {"score": ["1", ""]}, str(packed))
    assert gzip.decompress(packed.read_bytes()).startswith(b"unique_id,ds,y,kind,score\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "out.csv.gz", "x.csv"]
    with pytest.raises(DataError, match="cannot be written"):
        write_readings(readings, {"score": ["1", ""]}, str(out / "below.csv"))


def test_cells_too_many_and_carriage_returns_come_back_too(file, tmp_path):
    rows = [
        ["timestamp", "value", "note"],
        ["2026-01-01", "3", "5", "hello"],
        ["2026-01-02", "4", "a\rb"],
        ["2026-01-03", "5", "c"],
    ]
    with (tmp_path / "in.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows(rows)
    write_readings(read_readings(str(tmp_path / "in.csv"), skip_bad=True), {"score": ["", "1", "2"]}, str(tmp_path / "out.csv"))
    with (tmp_path / "out.csv").open(newline="") as lines:
        assert list(csv.reader(lines)) == [
            [*rows[0], "score"], ["2026-01-01", "3", "5", "", "hello"], [*rows[2], "1"], [*rows[3], "2"]
        ]  # fmt: skip


def test_results_go_through_links_and_into_pipes(file, tmp_path):
    readings = read_readings(file("timestamp,value\n2026-03-01,1\n"))
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    write_readings(readings, {"score": ["1"]}, str(tmp_path / "link.csv"))
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "timestamp,value,score\n2026-03-01,1,1\n"
    os.mkfifo(tmp_path / "pipe.csv")
    end = os.open(tmp_path / "pipe.csv", os.O_RDONLY | os.O_NONBLOCK)
    write_readings(readings, {"score": ["1"]}, str(tmp_path / "pipe.csv"))
    assert os.read(end, 1000) == b"timestamp,value,score\n2026-03-01,1,1\n"
    os.close(end)
    assert (tmp_path / "pipe.csv").is_fifo()


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        ("mean", [2.0, np.nan, np.nan, 5.0]),
        ("sum", [4.0, 0.0, 0.0, 5.0]),
        ("count", [2.0, 0.0, 0.0, 1.0]),
        ("min", [1.0, np.nan, np.nan, 5.0]),
        ("max", [3.0, np.nan, np.nan, 5.0]),
    ],
)
def test_buckets_have_the_values_of_their_readings(function, wanted):
    values = np.array([1.0, 3.0, np.nan, 5.0, np.nan])
    found = aggregate(np.array([0, 0, 0, 3, 2]), values, 4, function)
    np.testing.assert_array_equal(found, wanted)


def test_times_are_utc_to_the_microsecond(file):
    readings = read_readings(file("timestamp,value\n2026-03-01T00:00:00.123456Z,1\n"))
    assert readings.times[0] == np.datetime64(datetime(2026, 3, 1, 0, 0, 0, 123456, UTC).replace(tzinfo=None))
