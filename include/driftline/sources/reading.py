"""From a source and a file to the reader that fits."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from driftline.core.errors import DataError, DefinitionError
from driftline.sources.access_log import AccessLogParser, AccessLogReader
from driftline.sources.csvfile import CsvReader, read_header
from driftline.sources.documents import Shaper
from driftline.sources.ecs import Pieces, piece
from driftline.sources.geo import Places
from driftline.sources.lines import BOM, MAX_LINE, LineReader
from driftline.sources.mapping import ECS
from driftline.sources.ndjson import NdjsonReader
from driftline.sources.opening import opened
from driftline.sources.parquet import ParquetReader
from driftline.sources.stamps import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from driftline.core.source import Files, Source
    from driftline.sources.rows import Reader


@dataclass(frozen=True)
class Position:
    """Where reading goes on: an offset (row number in Parquet) and the line that begins there."""

    offset: int = 0
    line: int = 1


@contextmanager
def reading(
    source: Source,
    uri: str,
    *,
    form: str,
    compressed: bool,
    delimiter: str = ",",
    position: Position = Position(),
    types: dict[str, str] | None = None,
) -> Iterator[Reader]:
    """A reader of a file, from a position on.

    Args:
        source: What the file's rows mean.
        uri: The file.
        form: Its format.
        compressed: Whether it is gzipped.
        delimiter: Of a CSV file, where the source names none.
        position: Where to begin.
        types: The types of the index's fields as far as they are known.

    Raises:
        DataError: The file cannot be read.
        DefinitionError: The source asks for what the format does not have.
    """
    files = source.files
    assert files is not None
    clock = Clock(source.timezone, source.time_format)
    shaper = Shaper(clock, source.time_field, renames=files.fields, add=files.add, id_field=files.id_field)
    with opened(uri, compressed=compressed, offset=0 if form == "parquet" else position.offset) as stream:
        if form == "parquet":
            yield ParquetReader(stream, shaper, where=uri, first=position.offset, renames=files.fields)
            return
        if form == "csv":
            yield _csv(source, uri, stream, shaper, compressed, delimiter, position, types or {})
            return
        lines = LineReader(stream, position.offset, position.line, final=files.final)
        if form == "ndjson":
            yield NdjsonReader(lines, shaper, encoding=files.encoding, original=files.event_original)
        else:
            yield AccessLogReader(lines, _access_log(source, files, clock))


def _access_log(source: Source, files: Files, clock: Clock) -> AccessLogParser:
    wrong = [name for name, value in (("fields", files.fields), ("id_field", files.id_field)) if value]
    taken = sorted(set(files.add) & (set(ECS) - {"host.name"} | {source.time_field}))
    if wrong or taken:
        raise DefinitionError(
            f"files.{wrong[0]} has no meaning for an access log" if wrong else f"files.add: the log itself has '{taken[0]}'",
            where=f"source {source.source_id}",
            fix="Leave it out.",
        )
    pieces = Pieces(files.encoding, Places(files.geoip) if files.geoip else None)
    return AccessLogParser(pieces, clock, time_field=source.time_field, add=piece(dict(files.add)), original=files.event_original)


def _csv(
    source: Source,
    uri: str,
    stream: IO[bytes],
    shaper: Shaper,
    compressed: bool,
    delimiter: str,
    position: Position,
    types: dict[str, str],
) -> CsvReader:
    files = source.files
    assert files is not None
    layout = files.csv if files.csv.delimiter else files.csv.model_copy(update={"delimiter": delimiter})
    columns = layout.columns
    if not columns:
        header = _first_line(uri, compressed) if position.offset else stream.readline(MAX_LINE)
        columns = read_header(header.removeprefix(BOM).rstrip(b"\r\n"), layout, files.encoding, uri)
        position = position if position.offset else Position(len(header), 2)
    lines = LineReader(stream, position.offset, position.line, final=files.final)
    known = {**types, **files.types}
    return CsvReader(lines, shaper, columns, layout, types=known, renames=files.fields, encoding=files.encoding)


def _first_line(uri: str, compressed: bool) -> bytes:
    with opened(uri, compressed=compressed) as stream:
        return stream.readline(MAX_LINE)


def nothing_readable(form: str, uri: str, first: str, reason: str) -> DataError:
    """The error where not one row of a file can be read."""
    return DataError(
        f"no row can be read as {form}; the first one: {reason}: '{first[:160]}'",
        where=uri,
        fix="Check the format and the time field: --format and --time-field, or files.format and time_field in the source.",
    )
