"""What the readers of all formats give: rows as JSON with their place in the file, and rows that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_RAW = 8_000  # characters of a bad row that are kept: enough to see what it is, and below the limit of a keyword


@dataclass(slots=True)
class BadRow:
    """A row that cannot be read, or that the gate refuses.

    Attributes:
        offset: Where it begins, in bytes of the uncompressed file (row number in Parquet).
        line: Its line, from 1.
        reason: What is wrong, as a sentence.
        raw: The row as it was found.
        check: Which check it broke.
        time: The row's time in milliseconds since the epoch, where it could be read.
        body: The document as JSON, where it could be made.
        id: The row's own id, where it has one.
    """

    offset: int
    line: int
    reason: str
    raw: bytes
    check: str = "unparsed"
    time: int | None = None
    body: bytes = b""
    id: str = ""


@dataclass(slots=True)
class Rows:
    """A batch: parallel lists, one entry for each row that could be read.

    Attributes:
        offsets: As in `BadRow`.
        lines: As in `BadRow`.
        times: The row's time in milliseconds since the epoch.
        bodies: The document as JSON.
        raws: The row as it was found.
        ids: The rows' own ids, where the source names a field for them.
        columns: Values of some fields, for those parsers that know them without looking into the document.
        bad: Rows that could not be read.
        end: Where the next row begins.
        end_line: The line of the next row.
    """

    offsets: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    bad: list[BadRow] = field(default_factory=list)
    end: int = 0
    end_line: int = 1

    def __len__(self) -> int:
        return len(self.bodies)

    def add(self, offset: int, line: int, time: int, body: bytes, raw: bytes) -> None:
        """Adds a good row."""
        self.offsets.append(offset)
        self.lines.append(line)
        self.times.append(time)
        self.bodies.append(body)
        self.raws.append(raw)


class Reader(Protocol):
    """Reads one file from a position on.

    Attributes:
        pending: Rows at the end that are not complete yet; known when `batches` has ended.
        types: Field types that the first batch shows, for a new index; known when the first batch is there.
    """

    pending: int
    types: dict[str, str]

    def batches(self) -> Iterator[Rows]:
        """The rows, some ten thousand at a time, in the file's order."""
        ...


def text_of(raw: bytes) -> str:
    """A bad row as text that can be shown and stored: cut, undecodable bytes escaped."""
    return raw[: 4 * MAX_RAW].decode("utf-8", "backslashreplace")[:MAX_RAW]
