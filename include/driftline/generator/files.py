"""Generated events as a file: access log, NDJSON or CSV, gzipped by suffix. The same source gives the same bytes."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from driftline.core.errors import DataError
from driftline.core.paths import replacing

if TYPE_CHECKING:
    from driftline.generator.base import Chunk, Generated

FORMATS = ("access_log", "ndjson", "csv")
_SUFFIXES = {".log": "access_log", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson", ".csv": "csv"}

Progress = Callable[[str, int, int], None]


class Sink(Protocol):
    """Anything that takes bytes: a file, a gzip stream, stdout."""

    def write(self, data: bytes, /) -> int:
        """Writes all of the data."""


def find_format(name: str, wanted: str | None) -> str:
    """The format that is asked for, or the one that the file's suffix means (`.gz` left aside).

    Raises:
        DataError: An unknown format, or a suffix that means none.
    """
    if wanted is not None:
        if wanted not in FORMATS:
            raise DataError(f"unknown format '{wanted}'", where="--format", expected=", ".join(FORMATS))
        return wanted
    if name == "-":
        return "ndjson"
    found = _SUFFIXES.get(Path(name.removesuffix(".gz")).suffix.lower())
    if found is None:
        raise DataError("the file's name does not say its format", where=name, fix=f"Give --format: {', '.join(FORMATS)}.")
    return found


def write_file(source: Generated, path: Path, form: str, progress: Progress | None = None) -> int:
    """Writes all events to a file that appears under its name only when it is complete; returns how many they are.

    Raises:
        DataError: The file cannot be written.
    """
    try:
        with replacing(path) as part, _opened(part, compressed=path.suffix.lower() == ".gz") as stream:
            return write(source, stream, form, progress)
    except OSError as error:
        raise DataError(f"the file cannot be written: {error.strerror or error}", where=str(path)) from None


def write(source: Generated, stream: Sink, form: str, progress: Progress | None = None) -> int:
    """Writes all events to a stream, a chunk at a time; returns how many they are."""
    count, columns = 0, _columns(source)
    if form == "csv":
        stream.write(_csv([columns]))
    for chunk in source.chunks():
        stream.write(_encode(chunk, form, columns))
        count += len(chunk)
        if progress:
            progress("events", count, max(count, source.documents_estimate))
    return count


def _encode(chunk: Chunk, form: str, columns: list[str]) -> bytes:
    if form == "csv":
        return _csv([[_at(document, column) for column in columns] for document in chunk.documents()])
    lines = chunk.lines() if form == "access_log" else chunk.encoded()
    return b"\n".join([*lines, b""]) if lines else b""


def _columns(source: Generated) -> list[str]:
    """One column for each field of the mapping, by its dotted name."""
    return list(source.properties)


def _at(document: dict[str, Any], name: str) -> object:
    value: Any = document
    for part in name.split("."):
        value = value.get(part, "")
        if value == "":
            break
    return value


def _csv(rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


@contextmanager
def _opened(path: Path, *, compressed: bool) -> Iterator[Sink]:
    with path.open("wb") as raw:
        if not compressed:
            yield raw
            return
        # no name and no time in the header: the same events give the same bytes
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as packed:
            yield packed
