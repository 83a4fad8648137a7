"""Access logs: what servers write comes out as ECS fields, whatever clients sent."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.sources.access_log import AccessLogParser, split
from driftline.sources.ecs import Pieces, client_fields, unescape
from driftline.sources.lines import Lines
from driftline.sources.stamps import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

COMBINED = (
    b'192.0.2.7 - ann [17/May/2015:10:05:03 +0200] "GET /shop/a?b=1&c HTTP/1.1" 200 2030 '
    b'"https://example.org/" "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"'
)


def parse(line: bytes, **options: Any) -> dict[str, Any]:
    parser = AccessLogParser(Pieces("utf-8"), Clock("UTC"), time_field="@timestamp", **options)
    rows = parser.parse(Lines(1, [0], [line], len(line)))
    assert not rows.bad, rows.bad
    return orjson.loads(rows.bodies[0])


def test_a_combined_line_has_all_its_fields() -> None:
    assert parse(COMBINED) == {
        "source.ip": "192.0.2.7",
        "user.name": "ann",
        "@timestamp": "2015-05-17T08:05:03.000Z",
        "http.request.method": "GET",
        "http.version": "1.1",
        "http.request.referrer": "https://example.org/",
        "url.original": "/shop/a?b=1&c",
        "url.path": "/shop/a",
        "url.query": "b=1&c",
        "http.response.status_code": 200,
        "http.response.body.bytes": 2030,
        "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
        "user_agent.name": "Firefox",
        "user_agent.version": "120.0",
        "user_agent.os.name": "Linux",
    }


def test_a_common_line_has_no_agent_and_a_dash_means_no_bytes() -> None:
    document = parse(b'2001:db8::1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.0" 304 -')
    assert document["source.ip"] == "2001:db8::1"
    assert document["http.response.body.bytes"] == 0
    assert not [name for name in document if name.startswith(("user_agent", "user."))]


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (b"-", {}),
        (b"", {}),
        (rb"\x16\x03\x01\x02", {"url.original": r"\x16\x03\x01\x02"}),
        (b"GET /", {"http.request.method": "GET", "url.original": "/", "url.path": "/"}),
        (b"OPTIONS * HTTP/1.1", {"http.request.method": "OPTIONS", "url.original": "*", "http.version": "1.1"}),
        (
            b"GET http://example.org/a?b HTTP/1.1",
            {
                "http.request.method": "GET", "http.version": "1.1", "url.original": "http://example.org/a?b",
                "url.domain": "example.org", "url.path": "/a", "url.query": "b",
            },
        ),
        (b"GET /a b HTTP/1.1", {"http.request.method": "GET", "http.version": "1.1", "url.original": "/a b", "url.path": "/a b"}),
        (b"GET http://[bad/ HTTP/1.1", {"http.request.method": "GET", "http.version": "1.1", "url.original": "http://[bad/"}),
        (
            b"CONNECT example.org:443 HTTP/1.1",
            {"http.request.method": "CONNECT", "http.version": "1.1", "url.original": "example.org:443"},
        ),
        (
            b"GET /\xff\xfe HTTP/1.1",
            {
                "http.request.method": "GET", "http.version": "1.1",
                "url.original": r"/\xff\xfe", "url.path": r"/\xff\xfe",
            },
        ),
    ],
)  # fmt: skip
def test_a_weird_request_is_a_row_all_the_same(request_: bytes, fields: dict[str, Any]) -> None:
    document = parse(b'192.0.2.7 - - [17/May/2015:10:05:03 +0000] "%b" 400 226 "-" "-"' % request_)
    known = {"source.ip", "@timestamp", "http.response.status_code", "http.response.body.bytes"}
    assert {name: value for name, value in document.items() if name not in known} == fields


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (COMBINED.replace(b"192.0.2.7", b"proxy.example.org"), {"source.address": "proxy.example.org"}),
        (COMBINED.replace(b"192.0.2.7", b"fe80::1%eth0"), {"source.address": "fe80::1%eth0"}),
        (COMBINED.replace(b"- ann", b"- Ann of Example"), {"user.name": "Ann of Example"}),
        (b"www.example.org:443 " + COMBINED, {"url.domain": "www.example.org", "source.ip": "192.0.2.7", "user.name": "ann"}),
        (COMBINED + b" 512 2408", {"http.request.bytes": 512, "http.response.bytes": 2408, "http.response.body.bytes": 2030}),
        (COMBINED + b' "203.0.113.9, 10.0.0.1"', {"network.forwarded_ip": "203.0.113.9"}),
        (COMBINED + b' "fe80::1%<x>, 10.0.0.1"', {"network.forwarded_ip": None}),
        (COMBINED + b" 0.004 upstream", {"event.original": (COMBINED + b" 0.004 upstream").decode()}),
        (COMBINED[:-1], {"user_agent.name": "Firefox"}),
        (COMBINED.replace(b"Mozilla/5.0", b'Mozilla "five"'), {"http.response.status_code": 200, "http.request.referrer": "https://example.org/"}),
        (COMBINED.replace(b"200 2030", b"000 007"), {"http.response.status_code": 0, "http.response.body.bytes": 7}),
        (
            COMBINED.replace(b"17/May/2015:10:05:03 +0200", b"2015-05-17T10:05:03.25+02:00"),
            {"@timestamp": "2015-05-17T08:05:03.250Z"},
        ),
    ],
)  # fmt: skip
def test_other_servers_and_settings(line: bytes, fields: dict[str, Any]) -> None:
    document = parse(line)
    assert {name: document.get(name) for name in fields} == fields


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"Lorem ipsum dolor sit amet", "not a line of an access log"),
        (b'192.0.2.7 - - [17/Mai/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1', "no month of that name"),
        (b'192.0.2.7 - - [31/Feb/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1', "does not exist"),
        (b'192.0.2.7 - - [yesterday] "GET / HTTP/1.1" 200 1', "not as access logs write it"),
        (b'192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1', "not a line of an access log"),
        (b'192.0.2.7 - - [17/May/9999:10:05:03 +0000] "GET / HTTP/1.1" 200 1', "outside the years"),
    ],
)
def test_what_is_no_line_says_why(read: Callable[..., Any], line: bytes, reason: str) -> None:
    outcome = read(COMBINED + b"\n" + line + b"\n", format="access_log")
    assert len(outcome.documents) == 1
    (bad,) = outcome.bad
    assert reason in bad.reason
    assert (bad.line, bad.offset, bad.raw) == (2, len(COMBINED) + 1, line)


def test_fields_are_added_and_the_line_is_kept_when_the_source_says_so(read: Callable[..., Any]) -> None:
    outcome = read(COMBINED + b"\n", add={"host.name": "web-1"}, event_original=True)
    assert outcome.documents[0]["host.name"] == "web-1"
    assert outcome.documents[0]["event.original"] == COMBINED.decode()


def test_naive_stamps_are_in_the_zone_of_the_source(read: Callable[..., Any]) -> None:
    line = COMBINED.replace(b" +0200]", b"]") + b"\n"
    assert read(line, timezone="America/New_York").documents[0]["@timestamp"] == "2015-05-17T14:05:03.000Z"


def test_a_hostile_line_takes_no_time_to_refuse() -> None:
    for line in (b" [" * 300_000, b'" 200 1 ' * 100_000, b'"\\' * 300_000, b"a " * 400_000 + b'[x] "'):
        assert split(line) is None


printable = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp", "Co", "Cn", "Cf")), min_size=1, max_size=30)
words = printable.filter(lambda text: text != "-" and "[" not in text and unescape(text) == text)


def _escaped(text: str) -> bytes:
    """As Apache writes a quoted part."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return b"".join(bytes([byte]) if byte < 128 else b"\\x%02x" % byte for byte in plain.encode())


@settings(max_examples=300)
@given(
    address=st.ip_addresses().map(str),
    user=words,
    moment=st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1)).map(lambda moment: moment.replace(microsecond=0)),
    zone=st.integers(-14 * 60, 14 * 60),
    method=st.sampled_from(["GET", "POST", "PROPFIND"]),
    path=printable,
    status=st.integers(100, 599),
    size=st.integers(0, 10**12),
    referrer=words,
    agent=words,
)
def test_what_a_server_writes_is_what_is_read(
    address: str,
    user: str,
    moment: datetime,
    zone: int,
    method: str,
    path: str,
    status: int,
    size: int,
    referrer: str,
    agent: str,
) -> None:
    stamp = moment.replace(tzinfo=timezone(timedelta(minutes=zone)))
    written = stamp.strftime("%d/%b/%Y:%H:%M:%S %z").encode()
    line = b'%b - %b [%b] "%b /%b HTTP/1.1" %d %d "%b" "%b"' % (
        address.encode(), user.encode(), written, method.encode(), _escaped(path), status, size,
        _escaped(referrer), _escaped(agent),
    )  # fmt: skip
    document = parse(line)
    assert document["source.ip"] == address
    assert document["user.name"] == user
    assert datetime.fromisoformat(document["@timestamp"]) == stamp.astimezone(UTC)
    assert document["http.request.method"] == method
    assert document["url.original"] == f"/{path}"
    assert document["http.response.status_code"] == status
    assert document["http.response.body.bytes"] == size
    assert document["http.request.referrer"] == referrer
    assert document["user_agent.original"] == agent


@settings(max_examples=300)
@given(st.binary(max_size=200).filter(lambda raw: b"\n" not in raw))
def test_no_line_breaks_the_parser(raw: bytes) -> None:
    """Anything at all in the quoted parts: a row or a reason, never an error; and what is made is JSON."""
    parser = AccessLogParser(Pieces("utf-8"), Clock("UTC"), time_field="@timestamp")
    lines = [raw, b'192.0.2.7 - - [17/May/2015:10:05:03 +0000] "%b" 200 1 "%b" "%b"' % (raw, raw, raw)]
    rows = parser.parse(Lines(1, [0, 1], lines, 2))
    blank = sum(1 for line in lines if not line.strip())
    assert len(rows) + len(rows.bad) + blank == len(lines)
    for body in rows.bodies:
        assert re.match(r"\d{4}-", orjson.loads(body)["@timestamp"])


def test_each_second_of_a_minute_has_its_own_time_and_a_second_that_is_none_is_named_as_it_stands() -> None:
    seconds = ["00", "07", "59", "60", "61", "7x"]
    lines = [f'192.0.2.1 - - [17/May/2015:10:05:{second} +0200] "GET / HTTP/1.1" 200 1 "-" "-"'.encode() for second in seconds]
    parser = AccessLogParser(Pieces("utf-8"), Clock("UTC"), time_field="@timestamp")
    rows = parser.parse(Lines(1, list(range(len(lines))), lines, len(lines)))
    start = int(datetime(2015, 5, 17, 8, 5, tzinfo=UTC).timestamp()) * 1000
    # a leap second is the last of its minute
    assert rows.times == [start, start + 7_000, start + 59_000, start + 59_000, start + 59_000]
    assert [orjson.loads(body)["@timestamp"][-7:] for body in rows.bodies] == ["00.000Z", "07.000Z", *["59.000Z"] * 3]
    assert [row.reason for row in rows.bad] == [
        "the time '17/May/2015:10:05:7x +0200' is not as access logs write it (17/May/2015:10:05:03 +0000)"
    ]


@given(st.ip_addresses(v=4))
def test_every_address_is_read_as_the_library_reads_it(address: object) -> None:
    assert client_fields(str(address)) == {"source.ip": str(address)}


@pytest.mark.parametrize("text", ["192.0.2.256", "192.0.02.1", "192.0.2", "192.0.2.1.1", "192.0.2.1\n", "١.0.2.1"])
def test_what_is_nearly_an_address_is_none(text: str) -> None:
    assert client_fields(text) == {"source.address": text}
