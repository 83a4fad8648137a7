"""Reading a file's content as a source says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from driftline.core.source import Source
from driftline.sources.detect import detect
from driftline.sources.opening import is_gzip, read_head
from driftline.sources.reading import Position, reading

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from driftline.sources.rows import BadRow

START = Position()


@dataclass
class Outcome:
    documents: list[dict[str, Any]]
    offsets: list[int]
    lines: list[int]
    bad: list[BadRow]
    pending: int
    end: Position
    types: dict[str, str]
    ids: list[str]


def a_source(**files: Any) -> Source:
    top = {name: files.pop(name) for name in ("time_field", "time_format", "timezone", "quality") if name in files}
    data = {"source_id": "s", "index": "s", "files": {"paths": ["x"], **files}, **top}
    return Source.parse(data, where="a test")


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Outcome]:
    """Writes the content and reads it: `read(b"…", format="csv", …)`; `position` begins further on."""

    def read_content(content: bytes, *, position: Position = START, types: dict[str, str] | None = None, **files: Any) -> Outcome:
        path = tmp_path / "file"
        path.write_bytes(content)
        source, uri = a_source(**files), str(path)
        assert source.files is not None
        compressed = is_gzip(uri, source.files.compression)
        found = detect(read_head(uri, compressed=compressed), uri, source.files.format)
        outcome = Outcome([], [], [], [], 0, position, {}, [])
        with reading(
            source, uri, form=found.format, compressed=compressed, delimiter=found.delimiter, position=position, types=types
        ) as reader:
            for rows in reader.batches():
                outcome.documents += [orjson.loads(body) for body in rows.bodies]
                outcome.offsets += rows.offsets
                outcome.lines += rows.lines
                outcome.bad += rows.bad
                outcome.ids += rows.ids
                outcome.end = Position(rows.end, rows.end_line)
                assert len(rows.bodies) == len(rows.times) == len(rows.raws) == len(rows.offsets) == len(rows.lines)
                assert all(len(values) == len(rows) for values in rows.columns.values())
            outcome.pending, outcome.types = reader.pending, dict(reader.types)
        return outcome

    return read_content
