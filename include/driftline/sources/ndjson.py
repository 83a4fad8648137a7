"""NDJSON: one JSON object a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from driftline.sources.documents import float_fields, shape_into
from driftline.sources.rows import BadRow, Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from driftline.sources.documents import Shaper
    from driftline.sources.lines import LineReader, Lines


class NdjsonReader:
    """Reads NDJSON.

    Args:
        lines: The lines.
        shaper: What makes documents of objects.
        encoding: The encoding of the text.
        original: Whether to keep the line in event.original.
    """

    def __init__(self, lines: LineReader, shaper: Shaper, *, encoding: str = "utf-8", original: bool = False) -> None:
        self._lines, self._shaper, self._encoding, self._original = lines, shaper, encoding, original
        self.pending, self.types = 0, dict[str, str]()

    def batches(self) -> Iterator[Rows]:
        """The rows, some ten thousand at a time."""
        first = True
        for batch in self._lines.batches():
            rows = Rows(end=batch.end, end_line=batch.first + len(batch.lines), bad=list(batch.bad))
            for number, line in enumerate(batch.lines):
                if line and not line.isspace():
                    self._row(rows, batch, number, line)
            if first:
                self.types = float_fields(orjson.loads(body) for body in rows.bodies[:5_000])
                first = False
            yield rows
        self.pending = int(bool(self._lines.rest.strip()))

    def _row(self, rows: Rows, batch: Lines, number: int, line: bytes) -> None:
        offset, at = batch.offsets[number], batch.first + number
        try:
            record = orjson.loads(line if self._encoding == "utf-8" else line.decode(self._encoding))
            if not isinstance(record, dict):
                raise ValueError(f"a JSON object was expected, not {type(record).__name__}")
            if self._original:
                record["event.original"] = line.decode(self._encoding, "backslashreplace")
            shape_into(rows, self._shaper, record, offset, at, line)
        except orjson.JSONDecodeError as error:
            rows.bad.append(BadRow(offset, at, f"not valid JSON: {error}", line))
        except ValueError as error:
            rows.bad.append(BadRow(offset, at, str(error), line))
