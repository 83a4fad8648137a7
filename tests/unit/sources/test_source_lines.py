"""Lines and their offsets, whatever the chunks, the line ends and the lengths are."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.sources import lines as module
from driftline.sources.lines import MAX_LINE, LineReader


class Dripping(io.BytesIO):
    """A stream that gives a few bytes at a time, as sockets do."""

    def __init__(self, content: bytes, step: int) -> None:
        super().__init__(content)
        self._step = step

    def read(self, size=-1, /):
        return super().read(min(size, self._step) if size >= 0 else self._step)


def collect(stream, **options):
    reader = LineReader(stream, **options)
    found = list(reader.batches())
    rows = [pair for batch in found for pair in zip(batch.offsets, batch.lines, strict=True)]
    return rows, reader, [bad for batch in found for bad in batch.bad]


@given(content=st.binary(max_size=300), step=st.integers(1, 40), final=st.booleans())
def test_every_line_is_where_it_says(content, step, final):
    rows, reader, _ = collect(Dripping(content, step), final=final)
    for offset, line in rows:
        if not (offset == 0 and content.startswith(b"\xef\xbb\xbf")):
            assert content[offset : offset + len(line)] == line
    expected = content.split(b"\n")
    rest = expected.pop()
    assert len(rows) == len(expected) + bool(final and rest)
    assert reader.rest == (b"" if final else rest)
    assert reader.position == (len(content) - len(reader.rest), len(rows) + 1)


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_a_line():
    rows, _, _ = collect(io.BytesIO(b"\xef\xbb\xbfa\r\nb\r\n"))
    assert rows == [(0, b"a"), (6, b"b")]


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("final", [True, False])
def test_a_line_without_end_is_named_and_the_rest_is_read(ended, final, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", MAX_LINE // 2)
    content = b"a\n" + b"x" * (3 * MAX_LINE) + (b"\nb\n" if ended else b"")
    rows, reader, bad = collect(io.BytesIO(content), final=final)
    if ended:
        assert [line for _, line in rows] == [b"a", b"", b"b"]
        assert rows[2][0] == len(content) - 2
    if ended or final:
        assert [(row.offset, row.line) for row in bad] == [(2, 2)]
        assert "longer than" in bad[0].reason
        assert len(bad[0].raw) <= module.HEAD
    else:
        assert not bad
        assert reader.rest


def test_a_batch_is_never_larger_than_said(monkeypatch):
    monkeypatch.setattr(module, "BATCH", 3)
    reader = LineReader(io.BytesIO(b"a\n" * 10))
    assert [(batch.first, len(batch.lines), batch.end) for batch in reader.batches()] == [
        (1, 3, 6),
        (4, 3, 12),
        (7, 3, 18),
        (10, 1, 20),
    ]
