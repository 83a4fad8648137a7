"""What format a file is in, by looking at it."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import orjson

from driftline.core.errors import DataError
from driftline.sources.access_log import split
from driftline.sources.lines import BOM
from driftline.sources.opening import PARQUET, check_text

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE = 50
ENOUGH = 0.2  # no prose looks like a log by chance, and a log may be full of garbage
DELIMITERS = ";\t|,"  # the comma last: where another one cuts as often, commas are decimal
Found = Literal["access_log", "ndjson", "csv", "parquet"]


@dataclass(frozen=True)
class Detected:
    """A format, and the delimiter of a CSV file."""

    format: Found
    delimiter: str = ","


def detect(head: bytes, where: str, wanted: str = "auto") -> Detected:
    """The format of a file by its first bytes.

    Args:
        head: The beginning of the uncompressed content.
        where: The file's name, for messages.
        wanted: The format that it must have, or auto.

    Raises:
        DataError: It is none that Driftline reads, or not the wanted one.
    """
    if head.startswith(PARQUET):
        if wanted not in {"auto", "parquet"}:
            raise DataError(f"the file is Parquet, not {wanted}", where=where, fix="Set the format to parquet.")
        return Detected("parquet")
    if wanted == "parquet":
        raise DataError("the file is not Parquet", where=where, expected="a file that begins with PAR1")
    check_text(head, where)
    lines = _sample(head)
    if wanted != "auto":
        return Detected(_known(wanted), (_delimiter(lines) if wanted == "csv" else "") or ",")
    if _enough(lines, _is_object):
        return Detected("ndjson")
    if _enough(lines, lambda line: split(line) is not None):
        return Detected("access_log")
    if delimiter := _delimiter(lines):
        return Detected("csv", delimiter)
    first = lines[0][:120].decode("utf-8", "backslashreplace") if lines else ""
    raise DataError(
        f"the format cannot be told; the file begins '{first}'",
        where=where,
        expected="an access log, NDJSON, CSV or Parquet",
        fix="Name the format: --format, or files.format in the source.",
    )


def _known(wanted: str) -> Found:
    for name in ("access_log", "ndjson", "csv"):
        if wanted == name:
            return name
    raise DataError(f"unknown format '{wanted}'", expected="access_log, ndjson, csv or parquet")


def _sample(head: bytes) -> list[bytes]:
    lines = head.removeprefix(BOM).split(b"\n")
    if len(lines) > 1:
        lines.pop()  # cut in the middle
    return [line.rstrip(b"\r") for line in lines if line.strip()][:SAMPLE]


def _enough(lines: list[bytes], test: Callable[[bytes], bool]) -> bool:
    return sum(map(test, lines)) > ENOUGH * len(lines)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _delimiter(lines: list[bytes]) -> str:
    """The delimiter that cuts most lines in the same number of columns, more than one; empty where there is none."""
    texts = [line.decode("latin-1").replace("\r", " ") + "\n" for line in lines]
    best = ("", 1)
    for delimiter in DELIMITERS:
        try:
            widths = Counter(len(row) for row in csv.reader(texts, delimiter=delimiter))
        except csv.Error:  # a value longer than any is
            continue
        width, often = widths.most_common(1)[0] if widths else (1, 0)
        if width > best[1] and often * 2 > widths.total():
            best = (delimiter, width)
    return best[0]
