"""CSV: columns by a header or by the source, types by the index or by the first rows, records over several lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from driftline.core.errors import DataError
from driftline.sources.documents import LONG_MAX, LONG_MIN, shape_into
from driftline.sources.lines import MAX_LINE, Lines
from driftline.sources.rows import BadRow, Rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from driftline.core.source import Csv
    from driftline.sources.documents import Shaper
    from driftline.sources.lines import LineReader

COMMA = ","
MAX_RECORD_LINES = 200  # a quote that is opened and not closed must not swallow the rest of the file
_WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,18})")
_LEADING_ZERO = re.compile(r"[+-]?0\d+")
Place = tuple[int, int, bytes]
Convert = Callable[[str], Any]


def _long(text: str) -> int:
    number = int(text)
    if not LONG_MIN <= number <= LONG_MAX or "_" in text:  # 1_000 is a number in Python only
        raise ValueError("out of range")
    return number


def _double(text: str) -> float | None:
    number = float(text)
    if "_" in text:
        raise ValueError("a number in Python only")
    return number if number - number == 0 else None  # nan and inf mean: no value


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.strip().lower()]


_CONVERT: dict[str, Convert] = {"long": _long, "double": _double, "boolean": _boolean}
_NAMES = {"long": "a whole number", "double": "a number", "boolean": "true or false"}


def infer(values: Iterable[str]) -> str:
    """The narrowest type that holds all values; empty ones say nothing, and numbers with zeros in front are words."""
    kinds = {_kind(value.strip()) for value in values if value and not value.isspace()}
    if kinds == {"long"} or kinds == {"boolean"}:
        return kinds.pop()
    return "double" if kinds and kinds <= {"long", "double"} else "keyword"


def _kind(text: str) -> str:
    if _WHOLE.fullmatch(text):
        return "long" if LONG_MIN <= int(text) <= LONG_MAX else "double"
    if text.lower() in {"true", "false"}:
        return "boolean"
    if _LEADING_ZERO.fullmatch(text) or "_" in text:
        return "keyword"
    try:
        float(text)
    except ValueError:
        return "keyword"
    return "double"


def read_header(line: bytes, layout: Csv, encoding: str, where: str) -> list[str]:
    """The column names of a header line.

    Raises:
        DataError: It is no header.
    """
    try:
        names = [
            name.strip()
            for name in next(csv.reader([_text(line, encoding)], delimiter=layout.delimiter or COMMA, quotechar=layout.quote))
        ]
    except (csv.Error, StopIteration, ValueError) as error:
        raise DataError(f"the header line cannot be read: {error or 'it is empty'}", where=where) from None
    if len(set(names)) < len(names) or not all(names):
        raise DataError(
            "the header names a column twice or not at all",
            where=where,
            expected="a different name for each column",
            fix="Name the columns in csv.columns of the source.",
        )
    return names


def _text(line: bytes, encoding: str) -> str:
    try:
        return line.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError(f"the row is not in {encoding}; files.encoding says what it is in") from None


class CsvReader:
    """Reads CSV.

    Args:
        lines: The lines behind the header.
        shaper: What makes documents of records.
        columns: The column names.
        layout: Delimiter and quote.
        types: Types of fields that are known: from the source or from the index.
        renames: New names of columns; types go by them.
        encoding: The encoding of the text.
    """

    def __init__(
        self,
        lines: LineReader,
        shaper: Shaper,
        columns: list[str],
        layout: Csv,
        *,
        types: dict[str, str],
        renames: dict[str, str],
        encoding: str = "utf-8",
    ) -> None:
        self._lines, self._shaper, self._columns, self._layout = lines, shaper, columns, layout
        self._encoding = encoding
        self._fields = [renames.get(column, column) or column for column in columns]
        self.pending, self.types = 0, dict(types)
        self._convert: list[Convert | None] | None = None
        self._carry: list[Place] = []

    def batches(self) -> Iterator[Rows]:
        """The rows, some ten thousand at a time."""
        for batch in self._lines.batches():
            yield self._batch(batch)
        if self._carry and self._lines.final:
            end, line = self._lines.position
            yield self._batch(Lines(line, [], [], end), ended=True)
        self.pending = int(bool(self._carry or self._lines.rest.strip()))

    def _batch(self, batch: Lines, *, ended: bool = False) -> Rows:
        rows = Rows(end=batch.end, end_line=batch.first + len(batch.lines), bad=list(batch.bad))
        places = [
            *self._carry,
            *zip(batch.offsets, range(batch.first, batch.first + len(batch.lines)), batch.lines, strict=True),
        ]
        records, self._carry = self._records(places, rows, ended=ended)
        if self._carry:
            rows.end, rows.end_line = self._carry[0][:2]
        if self._convert is None and records:
            self._decide([values for _, values in records])
        for place, values in records:
            self._row(rows, place, values)
        return rows

    def _records(self, places: list[Place], rows: Rows, *, ended: bool) -> tuple[list[tuple[Place, list[str]]], list[Place]]:
        """Whole records, and the lines of one that is not whole yet."""
        records: list[tuple[Place, list[str]]] = []
        quote, delimiter, number = self._layout.quote.encode(), self._layout.delimiter or COMMA, 0
        while number < len(places):
            offset, line, raw = places[number]
            number += 1
            if not raw:
                continue
            try:
                if quote not in raw:
                    records.append(((offset, line, raw), _text(raw, self._encoding).split(delimiter)))
                    continue
                values, joined, used = self._quoted(places, number - 1)
                if values is None and number - 1 + used >= len(places) and used < MAX_RECORD_LINES and not ended:
                    return records, places[number - 1 :]
                if values is None:
                    raise ValueError("a quote is opened and not closed")
                number += used - 1
                records.append(((offset, line, joined), values))
            except (ValueError, csv.Error) as error:
                rows.bad.append(BadRow(offset, line, str(error), raw))
        return records, []

    def _quoted(self, places: list[Place], first: int) -> tuple[list[str] | None, bytes, int]:
        """The record that begins at a line, with as many lines as its quotes need; None where they never close."""
        joined, quote = b"", self._layout.quote.encode()
        for used, (_, _, raw) in enumerate(places[first : first + MAX_RECORD_LINES], 1):
            joined = raw if used == 1 else joined + b"\n" + raw
            if len(joined) > MAX_LINE:
                return None, joined, MAX_RECORD_LINES
            # only a line with a quote can close what is open
            if quote in raw and (values := _closed(joined, self._layout, self._encoding)) is not None:
                return values, joined, used
        return None, joined, min(MAX_RECORD_LINES, len(places) - first)

    def _decide(self, sample: list[list[str]]) -> None:
        """Types of the columns that nothing is known about, from the first rows."""
        for number, field in enumerate(self._fields):
            if field not in self.types:
                self.types[field] = infer(values[number] for values in sample if number < len(values))
        self._convert = [_CONVERT.get(self.types[field]) for field in self._fields]

    def _row(self, rows: Rows, place: Place, values: list[str]) -> None:
        assert self._convert is not None
        offset, line, raw = place
        try:
            if len(values) != len(self._columns):
                raise ValueError(f"the row has {len(values)} columns, the header {len(self._columns)}")
            record: dict[str, Any] = {}
            for column, field, convert, value in zip(self._columns, self._fields, self._convert, values, strict=True):
                if value == "":
                    continue
                try:
                    record[column] = value if convert is None else convert(value)
                except (ValueError, KeyError):
                    wanted = _NAMES[self.types[field]]
                    raise ValueError(f"column '{column}': '{value[:60]}' is not {wanted}") from None
            shape_into(rows, self._shaper, record, offset, line, raw)
        except ValueError as error:
            rows.bad.append(BadRow(offset, line, str(error), raw))


def _closed(raw: bytes, layout: Csv, encoding: str) -> list[str] | None:
    """The values of a record, or None while a quote is open.

    Raises:
        csv.Error: The record is wrong whatever follows.
    """
    reader = csv.reader([_text(raw, encoding)], delimiter=layout.delimiter or COMMA, quotechar=layout.quote, strict=True)
    try:
        return next(reader)
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            return None
        raise
