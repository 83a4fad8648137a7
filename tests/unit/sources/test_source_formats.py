"""NDJSON, CSV and Parquet as documents; formats told from each other; what cannot be read says why."""

from __future__ import annotations

import csv
import gzip
import io
import os
from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.core.errors import DataError, DefinitionError
from driftline.core.source import Csv
from driftline.sources.csvfile import CsvReader, infer
from driftline.sources.detect import detect
from driftline.sources.discovery import examine
from driftline.sources.documents import Shaper
from driftline.sources.lines import LineReader
from driftline.sources.opening import find, read_head
from driftline.sources.reading import Position
from driftline.sources.stamps import Clock, to_iso

T = "2026-03-01T00:00:00Z"


def parquet(table, **options):
    sink = io.BytesIO()
    pq.write_table(pa.table(table), sink, **options)
    return sink.getvalue()


# NDJSON


def test_ndjson_keeps_what_it_has_and_writes_the_time_so_that_it_can_be_read(read):
    lines = [
        {"@timestamp": T, "a": {"b": 1}, "list": [1, 2], "none": None},
        {"@timestamp": 1772323200, "a.b": 2},
        {"@timestamp": 1772323200123, "text": "ü\u2028"},
        {"@timestamp": "2026-03-01 01:00:00+01:00"},
    ]
    outcome = read(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    assert [document["@timestamp"] for document in outcome.documents] == [
        T, "2026-03-01T00:00:00.000Z", "2026-03-01T00:00:00.123Z", "2026-03-01T00:00:00.000Z",
    ]  # fmt: skip
    assert outcome.documents[0] == lines[0]
    assert outcome.documents[2]["text"] == "ü\u2028"


def test_ndjson_names_what_is_wrong_with_a_line_and_goes_on(read):
    rows = [
        b'{"@timestamp": "%s"}' % T.encode(),
        b"{",
        b"[1]",
        b'{"a": 1}',
        b'{"@timestamp": "soon"}',
        b"",
        b'{"@timestamp": true}',
    ]
    outcome = read(b"\n".join([*rows, b'{"@timestamp": ']), format="ndjson")
    assert len(outcome.documents) == 1
    assert [(bad.line, bad.reason.split(":")[0]) for bad in outcome.bad] == [
        (2, "not valid JSON"), (3, "a JSON object was expected, not list"), (4, "there is no time in field '@timestamp'"),
        (5, "the time 'soon' is not in ISO 8601, or epoch seconds or milliseconds"), (7, "a bool is no time"),
    ]  # fmt: skip
    assert outcome.pending == 1


def test_fields_are_renamed_added_dropped_and_can_name_the_row(read):
    outcome = read(
        b'{"when": "2026-03-01T02:00", "secret": 1, "deep": {"id": 7}}\n',
        format="ndjson", time_field="event.time", timezone="Europe/Berlin",
        fields={"when": "event.time", "secret": "", "deep.id": "id"}, add={"host.name": "a"}, id_field="id",
    )  # fmt: skip
    assert outcome.documents == [{"event.time": "2026-03-01T01:00:00.000Z", "deep": {}, "id": 7, "host.name": "a"}]
    assert outcome.ids == ["7"]


def test_a_field_is_taken_however_its_name_is_cut(read):
    for record in (b'{"a.b": {"c": 1431857103}}', b'{"a": {"b.c": 1431857103}}', b'{"a": {"b": {"c": 1431857103}}}'):
        (document,) = read(record + b"\n", format="ndjson", time_field="a.b.c").documents
        assert document.pop("a.b.c") == "2015-05-17T10:05:03.000Z"
        assert b"c" not in orjson.dumps(document), "the time is there once only"


def test_a_fraction_among_the_first_rows_makes_a_double(read):
    outcome = read(b'{"@timestamp": 1772323200, "a": 1, "b": {"c": 1}}\n{"@timestamp": 1772323200, "a": 1, "b": {"c": 1.5}}\n')
    assert outcome.types == {"b.c": "double"}


# CSV

CSV_FILE = (
    b'@timestamp,host,ms,ok,code,empty\n2026-03-01T00:00:00Z,a,1,true,007,\n2026-03-01T00:00:01Z,"b, ""c""\nd",2.5,false,010,\n'
)


def test_csv_has_types_by_its_rows_and_records_over_several_lines(read):
    outcome = read(CSV_FILE)
    assert outcome.documents == [
        {"@timestamp": "2026-03-01T00:00:00Z", "host": "a", "ms": 1.0, "ok": True, "code": "007"},
        {"@timestamp": "2026-03-01T00:00:01Z", "host": 'b, "c"\nd', "ms": 2.5, "ok": False, "code": "010"},
    ]
    assert outcome.lines == [2, 3]
    assert outcome.types["ms"], outcome.types["code"] == ("double", "keyword")


def test_csv_goes_on_in_the_middle_with_the_types_of_the_index(read):
    whole = read(CSV_FILE)
    part = read(CSV_FILE, position=Position(whole.offsets[1], 3), types={"ms": "long"})
    assert "whole number" in part.bad[0].reason
    assert (part.bad[0].line, part.bad[0].offset) == (3, whole.offsets[1])


def test_a_number_that_only_python_reads_is_none(read):
    rows = b"1772323200,1_000,1\n1772323200,1,2_0.5\n1772323200,1000,20.5\n"
    outcome = read(b"@timestamp,n,x\n" + rows, types={"n": "long", "x": "double"})
    assert [bad.line for bad in outcome.bad] == [2, 3]
    assert [(document["n"], document["x"]) for document in outcome.documents] == [(1000, 20.5)]


def test_an_open_quote_is_pending_at_the_end_and_bad_in_the_middle(read):
    half = CSV_FILE + b'2026-03-01T00:00:02Z,"open,3,true,1,\n'
    outcome = read(half)
    assert (len(outcome.documents), outcome.pending, outcome.end) == (2, 1, Position(len(CSV_FILE), 5))
    assert [bad.line for bad in read(half, final=True).bad] == [5]
    outcome = read(half + b"2026-03-01T00:00:03Z,x,3,true,1,\n" * 500)
    assert [(bad.line, bad.reason) for bad in outcome.bad] == [(5, "a quote is opened and not closed")]
    assert (len(outcome.documents), outcome.pending) == (502, 0)


def test_a_hostile_number_of_quotes_takes_no_time_and_no_row_with_it(read):
    rows = b"".join(b'"%d\n' % number for number in range(3_000)) + b"".join(b"%d,x\n" % number for number in range(3_000))
    outcome = read(b"@timestamp,a\n" + rows, format="csv")
    assert len(outcome.documents) >= 2_999
    outcome = read(b"@timestamp,a\n" + (b'0,"' + b"y" * 9_000 + b"\n") + b"0,x\n" * 250 + b"z" * 900_000 + b"\n", format="csv")
    assert (len(outcome.documents), len(outcome.bad)) == (250, 2)


def test_a_record_that_does_not_fit_the_header_is_bad(read):
    outcome = read(b"@timestamp,a\n2026-03-01T00:00:00Z,1\n2026-03-01T00:00:00Z,1,2\n,1\n2026-03-01T00:00:00Z\n", format="csv")
    assert [(bad.line, bad.reason) for bad in outcome.bad] == [
        (3, "the row has 3 columns, the header 2"), (4, "there is no time in field '@timestamp'"),
        (5, "the row has 1 columns, the header 2"),
    ]  # fmt: skip


def test_delimiters_are_found_and_columns_can_be_named(read):
    outcome = read(b"1772323200;1,5\n1772323201;2,5\n", csv={"columns": ["@timestamp", "value"]})
    assert [document["value"] for document in outcome.documents] == ["1,5", "2,5"]
    with pytest.raises(DataError, match="twice"):
        read(b"a,a\n1,2\n", format="csv")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "", "-2"], "long"), (["1", "2.5", "nan"], "double"), (["1e3"], "double"), (["true", "FALSE"], "boolean"),
        (["01"], "keyword"), (["1_000"], "keyword"), (["1", "x"], "keyword"), ([""], "keyword"), ([str(2**63)], "double"),
    ],
)  # fmt: skip
def test_types_are_the_narrowest_that_lose_nothing(values, kind):
    assert infer(values) == kind


cells = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\0"), max_size=12)


@settings(max_examples=200)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=20))
def test_what_a_csv_writer_writes_is_what_is_read(rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows((T, *row, "end") for row in rows)
    lines = LineReader(io.BytesIO(text.getvalue().encode()))
    reader = CsvReader(
        lines, Shaper(Clock("UTC"), "t"), ["t", "a", "b", "c"], Csv(), types={"a": "keyword", "b": "keyword"}, renames={}
    )
    found = [orjson.loads(body) for batch in reader.batches() for body in batch.bodies]
    assert [(row.get("a", ""), row.get("b", "")) for row in found] == [(a, b) for a, b in rows]


# Parquet


def test_parquet_keeps_types_and_goes_on_by_row(read):
    stamps = [datetime(2026, 3, 1, hour, tzinfo=UTC) for hour in range(5)]
    data = parquet(
        {
            "@timestamp": stamps, "n": [1, 2, None, 4, 5], "x": [0.5, float("nan"), 1, 2, 3], "price": [Decimal("1.50")] * 5,
            "s": ["a"] * 5, "raw": [b"\xff"] * 5, "deep": [{"k": [1]}] * 5,
        },
        row_group_size=2,
    )  # fmt: skip
    outcome = read(data)
    assert outcome.documents[0] == {
        "@timestamp": "2026-03-01T00:00:00.000Z", "n": 1, "x": 0.5, "price": 1.5, "s": "a", "raw": "\\xff", "deep": {"k": [1]},
    }  # fmt: skip
    assert "x" not in outcome.documents[1]
    assert outcome.types == {"@timestamp": "date", "n": "long", "x": "double", "price": "double", "s": "keyword"}
    assert read(data, position=Position(3, 4)).offsets == [3, 4]
    with pytest.raises(DataError, match="Parquet file cannot be read"):
        read(data[:-20])


# what it is


@pytest.mark.parametrize(
    ("content", "form", "delimiter"),
    [
        (b'{"a": 1}\n{"a": 2}\n', "ndjson", ","),
        (b'192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1\n', "access_log", ","),
        (b"a,b\n1,2\n", "csv", ","),
        (b"a;b;c\n1,5;2;3\n", "csv", ";"),
        (b"a\tb\n1\t2\n", "csv", "\t"),
        (b"PAR1....", "parquet", ","),
    ],
)
def test_a_format_is_told_by_the_content(content, form, delimiter):
    found = detect(content, "file")
    assert (found.format, found.delimiter) == (form, delimiter)


@pytest.mark.parametrize(
    ("content", "wanted", "form"),
    [
        (b'1.1.1.1 - - [17/May/2015:10:05:03 +0000] "GET /a\rb HTTP/1.1" 200 1\n' * 3, "access_log", "access_log"),
        (b'{"t": "%b"}\n' % (b"x" * 140_000), "ndjson", "ndjson"),
        (b"time,a\n1,x\ry\n2,z\n", "auto", "csv"),
        (b"time,a\n1,%b\n2,z\n" % (b"x" * 140_000), "csv", "csv"),
    ],
)
def test_a_stray_return_or_a_very_long_line_stops_no_look_at_a_file(content, wanted, form):
    found = detect(content, "file", wanted)
    assert (found.format, found.delimiter) == (form, ",")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Dear diary\ntoday I\n", "the format cannot be told; the file begins 'Dear diary'"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0", "binary"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "UTF-16"),
        (b"BZh91AY", "bzip2"),
        (b"PK\x03\x04", "zip"),
    ],
)
def test_what_is_no_log_says_so(content, message):
    with pytest.raises(DataError) as caught:
        detect(content, "/logs/x")
    assert message in str(caught.value)
    assert "/logs/x" in str(caught.value)


def test_a_gzip_file_is_known_by_its_content_and_a_broken_one_says_so(read, tmp_path):
    line = b'192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1\n'
    assert len(read(gzip.compress(line * 3) + gzip.compress(line)).documents) == 4
    packed = gzip.compress(os.urandom(1_000_000))
    broken = tmp_path / "broken"
    for content in (packed[:-20], packed[:5000] + b"x" * 5000 + packed[10_000:], packed + b"more"):
        broken.write_bytes(content)
        with pytest.raises(DataError, match="the gzip file is broken"):
            examine(str(broken), compressed=True, whole=False)


def test_files_are_found_by_path_folder_and_glob_each_once(tmp_path):
    for name in ("a.log", "b.log", "c[1].log", "sub/d.log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")

    def names(*patterns):
        return [place.uri.removeprefix(f"{tmp_path}/") for place in find([f"{tmp_path}/{pattern}" for pattern in patterns])]

    assert names("*.log", "a.log") == ["a.log", "b.log", "c[1].log"]
    assert names("**/*.log") == ["a.log", "b.log", "c[1].log", "sub/d.log"]
    assert names("") == ["a.log", "b.log", "c[1].log"]
    assert names("c[1].log") == ["c[1].log"]
    assert names("*.gz") == []
    with pytest.raises(DataError, match="there is no such file"):
        find([str(tmp_path / "nothing.log")])
    with pytest.raises(DataError):
        find(["nosuchprotocol://x/y"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path):
    path = tmp_path / "secret.log"
    path.write_text("x")
    path.chmod(0)
    with pytest.raises(DataError, match="permission denied"):
        read_head(str(path), compressed=False)


# times


@pytest.mark.parametrize(
    ("value", "form", "zone", "expected"),
    [
        ("2026-03-01T00:00:00.5Z", None, "UTC", "2026-03-01T00:00:00.500Z"),
        ("2026-03-29 02:30:00", None, "Europe/Berlin", "2026-03-29T01:30:00.000Z"),
        ("20260301T000000+0100", None, "UTC", "2026-02-28T23:00:00.000Z"),
        ("01/Mar/2026:00:00:60 +0000", None, "UTC", "2026-03-01T00:00:59.000Z"),
        ("1.3.2026 05:00", "%d.%m.%Y %H:%M", "Europe/Berlin", "2026-03-01T04:00:00.000Z"),
        ("1772323200", None, "UTC", "2026-03-01T00:00:00.000Z"),
        (1772323200123.4, None, "UTC", "2026-03-01T00:00:00.123Z"),
        ("86400000", "epoch_ms", "UTC", "1970-01-02T00:00:00.000Z"),
        (-1, None, "UTC", "1969-12-31T23:59:59.000Z"),
    ],
)
def test_stamps(value, form, zone, expected):
    assert to_iso(Clock(zone, form).read(value)) == expected


@pytest.mark.parametrize("value", ["", "tomorrow", None, float("nan"), float("inf"), 1e300, "0001-01-01T00:00:00Z", [], {"a": 1}])
def test_what_is_no_time_is_refused(value):
    with pytest.raises(ValueError, match="time"):
        Clock("UTC").read(value)


def test_a_log_has_no_columns_to_rename(read):
    line = b'192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1\n'
    with pytest.raises(DefinitionError, match=r"files\.fields"):
        read(line, fields={"a": "b"})
    with pytest.raises(DefinitionError, match=r"url\.path"):
        read(line, add={"url.path": "b"})
