"""Access logs, common and combined, as Apache, nginx and their likes write them.

Beyond the two formats: IPv6, a virtual host in front (Apache's `vhost_combined`), bytes in and out at the end (`combinedio`), an
`X-Forwarded-For` at the end (nginx's usual `main`), user names with spaces, quotes that nobody escaped, and a last quote that was
cut off with the line. What else stands at the end is kept in `event.original`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from driftline.sources.ecs import Pieces, forwarded_fields, known, piece
from driftline.sources.rows import BadRow, Rows
from driftline.sources.stamps import Clock, to_iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from driftline.sources.lines import LineReader, Lines

_QUOTED = rb'"([^"\\]*(?:\\.[^"\\]*)*)'
_LINE = re.compile(
    rb"(\S+) \S+ (\S+) \[([^\]]*)\] "
    + _QUOTED
    + rb'" (\d{3}|-) (\d{1,18}|-)(?: '
    + _QUOTED
    + rb'" '
    + _QUOTED
    + rb'"?(?: (.*))?)?',
    re.DOTALL,
)
_ANSWER = re.compile(rb'" (\d{3}|-) (\d{1,18}|-)(?: |$)')
_USUAL = re.compile(rb"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}")  # with a zone: an offset is whole minutes
_IO = re.compile(rb"(\d{1,18}) (\d{1,18})")
STATUS, BODY = "http.response.status_code", "http.response.body.bytes"
RECEIVED, SENT = "http.request.bytes", "http.response.bytes"
NO_LINE = "not a line of an access log (common or combined format)"


@dataclass(slots=True)
class _Parts:
    """The parts of a line as they stand in it."""

    client: bytes
    user: bytes
    time: bytes
    request: bytes
    status: bytes
    size: bytes
    referrer: bytes | None
    agent: bytes | None
    rest: bytes | None
    host: bytes = b""


def split(line: bytes) -> _Parts | None:
    """A line in its parts, or None where it is none of an access log."""
    found = _LINE.fullmatch(line)
    return _Parts(*found.groups()) if found else _tolerant(line)


def _tolerant(line: bytes) -> _Parts | None:
    """The same without regard to quotes and spaces within parts. Plain searches, so that no line takes long."""
    who, bracket, rest = line.partition(b" [")
    time, closing, rest = rest.partition(b'] "')
    names = who.split(b" ")
    answer = _ANSWER.search(rest)
    if not (bracket and closing and answer) or len(names) < 3:
        return None
    host = b""
    if len(names) > 3 and _is_client(names[1]):
        host, names = names[0], names[1:]
    referrer, agent, more = _ending(rest[answer.end() :])
    user = b" ".join(names[2:])
    status, size = answer.groups()
    return _Parts(names[0], user, time, rest[: answer.start()], status, size, referrer, agent, more, host)


def _is_client(second: bytes) -> bool:
    """`www.example.org:443 192.0.2.1 - - […` begins with a virtual host: an address is where an identity would be."""
    return b"." in second or b":" in second


def _ending(text: bytes) -> tuple[bytes | None, bytes | None, bytes | None]:
    if not text.startswith(b'"'):
        return None, None, text or None
    parts = text[1:].split(b'" "')
    if len(parts) < 2:
        return parts[0].removesuffix(b'"'), None, None
    if len(parts) > 2:
        return parts[0], parts[1], b'"' + b'" "'.join(parts[2:])
    agent, _, more = parts[1].partition(b'" ')
    return parts[0], agent.removesuffix(b'"'), more or None


class AccessLogParser:
    """Makes documents of lines.

    Args:
        pieces: What turns parts into JSON.
        clock: What reads the stamps.
        time_field: The name of the time field.
        add: A piece of JSON for every row.
        original: Whether to keep the line in event.original.
    """

    def __init__(self, pieces: Pieces, clock: Clock, *, time_field: str, add: bytes = b"", original: bool = False) -> None:
        self._pieces, self._clock, self._add, self._original = pieces, clock, add, original
        self._stamp_name = piece({time_field: ""})[:-2]  # up to the opening quote
        self._stamps: dict[bytes, tuple[int, bytes]] = {}
        self._minutes: dict[bytes, tuple[int, bytes]] = {}
        self._statuses: dict[bytes, tuple[int | None, bytes]] = {b"-": (None, b"")}

    def parse(self, batch: Lines) -> Rows:
        """The rows of some lines."""
        rows = Rows(end=batch.end, end_line=batch.first + len(batch.lines))
        rows.bad.extend(batch.bad)
        columns: dict[str, list[Any]] = {STATUS: [], BODY: []}
        status_column, body_column = columns[STATUS].append, columns[BODY].append
        match: Callable[[bytes], re.Match[bytes] | None] = _LINE.fullmatch
        pieces, extra = self._pieces, False
        client, request, agent, referrer = pieces.client, pieces.request, pieces.agent, pieces.referrer
        for number, line in enumerate(batch.lines):
            found = match(line)
            parts = found.groups() if found else None
            if parts is None or parts[8] is not None or parts[6] is None or self._original:
                # anything unusual: a little slower, with all the cases
                extra |= self._unusual(batch, number, rows, columns)
                continue
            try:
                time, stamp = self._stamps.get(parts[2]) or self._stamp(parts[2])
            except ValueError as error:
                rows.bad.append(BadRow(batch.offsets[number], batch.first + number, str(error), line))
                continue
            status, told = self._statuses.get(parts[4]) or self._status(parts[4])
            size = b"0" if parts[5] == b"-" else _number(parts[5])
            body = b"".join((
                b"{", self._add, client(parts[0]), b"" if parts[1] == b"-" else pieces.user(parts[1]), request(parts[3]),
                told, b'"http.response.body.bytes":', size, b",", referrer(parts[6]), agent(parts[7]), stamp,
            ))  # fmt: skip
            rows.add(batch.offsets[number], batch.first + number, time, body, line)
            status_column(status)
            body_column(int(size))
        rows.columns = {} if extra else columns
        return rows

    def _stamp(self, raw: bytes) -> tuple[int, bytes]:
        try:
            found = self._second(raw) or self._moment(raw)
        except ValueError:
            found = self._moment(raw)  # whose message has the stamp as it stands there
        if len(self._stamps) > 100_000:
            self._stamps.clear()
        self._stamps[raw] = found
        return found

    def _second(self, raw: bytes) -> tuple[int, bytes] | None:
        """The usual stamp, `17/May/2015:10:05:03 +0000`, from that of its minute: most seconds are asked for once only."""
        second = raw[18:20]
        if not _USUAL.fullmatch(raw) or second >= b"60":
            return None
        minute = raw[:18] + b"00" + raw[20:]
        found = self._minutes.get(minute)
        if found is None:
            if len(self._minutes) > 10_000:
                self._minutes.clear()
            found = self._minutes[minute] = self._moment(minute)
        time, stamp = found
        return time + 1000 * int(second), stamp[:-9] + second + stamp[-7:]  # it ends in 00.000Z"}

    def _moment(self, raw: bytes) -> tuple[int, bytes]:
        time = self._clock.common(self._pieces.text(raw))
        return time, self._stamp_name + to_iso(time).encode() + b'"}'

    def _status(self, raw: bytes) -> tuple[int | None, bytes]:
        """A status and its piece of JSON: three digits, so there are no more than a thousand."""
        self._statuses[raw] = found = (int(raw), b'"http.response.status_code":' + _number(raw) + b",")
        return found

    def _unusual(self, batch: Lines, number: int, rows: Rows, columns: dict[str, list[Any]]) -> bool:
        """One line with all that it may have; whether it has fields that `columns` does not know."""
        line, place = batch.lines[number], (batch.offsets[number], batch.first + number)
        if not line.strip():
            return False
        parts = split(line)
        try:
            if parts is None:
                raise ValueError(NO_LINE)
            time, stamp = self._stamp(parts.time)
        except ValueError as error:
            rows.bad.append(BadRow(*place, str(error), line))
            return False
        fields, counted = self._more(parts, line)
        pieces = self._pieces
        body = b"".join((
            b"{", self._add, pieces.client(parts.client), pieces.user(parts.user), pieces.request(parts.request),
            pieces.referrer(parts.referrer or b""), pieces.agent(parts.agent or b""), piece(fields), stamp,
        ))  # fmt: skip
        rows.add(*place, time, body, line)
        columns[STATUS].append(fields.get(STATUS))
        columns[BODY].append(fields[BODY])
        return counted

    def _more(self, parts: _Parts, line: bytes) -> tuple[dict[str, Any], bool]:
        fields: dict[str, Any] = {BODY: 0 if parts.size == b"-" else int(parts.size)}
        if parts.status != b"-":
            fields[STATUS] = int(parts.status)
        if parts.host:
            name = self._pieces.text(parts.host.rpartition(b":")[0] or parts.host)
            fields |= known("url.domain", name)
        kept, counted = self._original, False
        if parts.rest is not None:
            if found := _IO.fullmatch(parts.rest):
                fields |= {RECEIVED: int(found[1]), SENT: int(found[2])}
                counted = True
            elif forwarded := forwarded_fields(self._pieces.text(parts.rest.strip(b'"'))):
                fields |= forwarded
            else:
                kept = True
        return fields | ({"event.original": self._pieces.text(line)} if kept else {}), counted


def _number(digits: bytes) -> bytes:
    """Digits as JSON has them: without zeros in front."""
    return digits.lstrip(b"0") or b"0"


class AccessLogReader:
    """Reads an access log."""

    def __init__(self, lines: LineReader, parser: AccessLogParser) -> None:
        self._lines, self._parser = lines, parser
        self.pending, self.types = 0, dict[str, str]()

    def batches(self) -> Iterator[Rows]:
        """The rows, some ten thousand at a time."""
        for batch in self._lines.batches():
            yield self._parser.parse(batch)
        self.pending = int(bool(self._lines.rest.strip()))
