"""Staged files between tasks: lines of JSON at an fsspec URI, whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fsspec
import orjson

from driftline.core.errors import DataError
from driftline.core.paths import whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def write_lines(uri: str, lines: Iterable[dict[str, Any]]) -> None:
    """Writes one line of JSON for each dict, so that a reader sees all of them or none."""
    with whole(uri) as file:
        for line in lines:
            file.write(orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE))


def read_lines(uri: str) -> Iterator[bytes]:
    """The lines again, one at a time and as they are: JSON that nobody looks into need not be parsed.

    Raises:
        DataError: There is no such file.
    """
    try:
        with fsspec.open(uri, "rb") as file:
            for line in file:
                yield line.rstrip(b"\n")
    except FileNotFoundError:
        raise DataError("the staged file is gone", where=uri, fix="Run the task that wrote it again.") from None
