"""Lines of a byte stream in batches, each with its offset: bounded in memory whatever the file holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from driftline.sources.rows import BadRow

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 8 * 1024 * 1024
BATCH = 50_000
MAX_LINE = 1024 * 1024
HEAD = 64 * 1024  # what is kept of a line that is too long
BOM = b"\xef\xbb\xbf"


class Stream(Protocol):
    """Bytes, read forwards."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; none at the end."""


@dataclass(slots=True)
class Lines:
    """Some whole lines without their ends.

    Attributes:
        first: Number of the first line, from 1.
        offsets: Where each begins.
        lines: The lines.
        end: The offset behind the last.
        bad: Lines that are too long; they are empty in `lines`.
        ended: Whether the last line has its line end.
    """

    first: int
    offsets: list[int]
    lines: list[bytes]
    end: int
    bad: list[BadRow] = field(default_factory=list)
    ended: bool = True


class LineReader:
    """Cuts a stream into batches of lines.

    Args:
        stream: The uncompressed bytes, standing at `offset`.
        offset: Where the stream stands.
        line: The number of the line that begins there.
        final: Whether a last line without a line end is a line. If not, it is left in `rest`.
    """

    def __init__(self, stream: Stream, offset: int = 0, line: int = 1, *, final: bool = False) -> None:
        self._stream, self._offset, self._line, self.final = stream, offset, line, final
        self.rest = b""

    @property
    def position(self) -> tuple[int, int]:
        """The offset and the line of what has not been given yet."""
        return self._offset, self._line

    def batches(self) -> Iterator[Lines]:
        """The lines, at most `BATCH` at a time."""
        buffer = b""
        while chunk := self._stream.read(CHUNK):
            buffer += chunk
            if len(buffer) > MAX_LINE and b"\n" not in buffer:
                oversize, buffer = self._skip(buffer)
                yield from oversize
            cut = buffer.rfind(b"\n") + 1
            if cut:
                yield from self._cut(buffer[: cut - 1])
                buffer = buffer[cut:]
        if buffer and self.final:
            yield self._batch([buffer], ended=False)
        elif buffer:
            self.rest = buffer

    def _cut(self, block: bytes) -> Iterator[Lines]:
        parts = block.split(b"\n")
        for first in range(0, len(parts), BATCH):
            yield self._batch(parts[first : first + BATCH])

    def _batch(self, parts: list[bytes], *, ended: bool = True) -> Lines:
        ends = list(accumulate(map(len, parts), lambda at, size: at + size + 1, initial=self._offset))
        end = ends.pop() - (not ended)
        batch = Lines(self._line, ends, parts, end, ended=ended)
        self._offset, self._line = end, self._line + len(parts)
        if batch.offsets and batch.offsets[0] == 0 and parts[0].startswith(BOM):
            parts[0] = parts[0][len(BOM) :]
        if max(map(len, parts)) > MAX_LINE:
            for number, line in enumerate(parts):
                if len(line) > MAX_LINE:
                    batch.bad.append(_too_long(batch.offsets[number], batch.first + number, line[:HEAD]))
                    parts[number] = b""
        batch.lines = self._clean(parts)
        return batch

    @staticmethod
    def _clean(parts: list[bytes]) -> list[bytes]:
        return [part[:-1] if part.endswith(b"\r") else part for part in parts]

    def _skip(self, buffer: bytes) -> tuple[list[Lines], bytes]:
        """Reads on to the end of a line that is too long to hold; what follows it is given back."""
        head, size = buffer[:HEAD], len(buffer)
        while True:
            chunk = self._stream.read(CHUNK)
            cut = chunk.find(b"\n") + 1
            if cut or not chunk:
                break
            size += len(chunk)
        if not chunk and not self.final:
            self.rest = head
            return [], b""
        size += cut
        bad = _too_long(self._offset, self._line, head)
        batch = Lines(self._line, [self._offset], [b""], self._offset + size, [bad], ended=bool(chunk))
        self._offset, self._line = self._offset + size, self._line + 1
        return [batch], chunk[cut:]


def _too_long(offset: int, line: int, head: bytes) -> BadRow:
    return BadRow(offset, line, f"the line is longer than {MAX_LINE // 1024} KB", head)
