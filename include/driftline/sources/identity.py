"""Which file is which, by content alone: a file keeps its identity when it grows, moves, is rotated or is compressed.

A file is known by short blocks ("probes") of its uncompressed content: one that ends at each of the positions 1024, 1280, 1600 …
(a fifth further each time), and one at the end of what was known of it when it was last seen. All of them lie in what an
appending writer never touches again, so a grown file still matches them; names, inodes and the size play no part, so a renamed
or gzipped copy matches too. Two different files with the same beginning differ at one of the probes; that probe's position and
content then go into the fingerprint of the second, which is as lasting as the beginning itself. The blocks are spread
geometrically so that a file of any size has at most a few dozen, and at most its last fifth goes unprobed when it is compared to
a longer one. Files whose content is the same are one file.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

TAIL = 1024  # bytes of a probe: a few log lines, so at least one time stamp
GROWTH = 1.25
MAX_SIZE = 1 << 50

ReadBlock = Callable[[int, int], bytes]
"""Reads the bytes from a start to an end."""


def _levels() -> list[int]:
    found = [TAIL]
    while found[-1] < MAX_SIZE:
        found.append(int(found[-1] * GROWTH))
    return found


LEVELS = _levels()


def block_hash(block: bytes) -> str:
    """Sixteen hex digits of a block."""
    return hashlib.blake2b(block, digest_size=8).hexdigest()


def levels_until(extent: int) -> list[int]:
    """The positions of the probes that a file of this size has."""
    return LEVELS[: bisect_right(LEVELS, extent)]


@dataclass(frozen=True)
class Identity:
    """What is known of a file's content.

    Attributes:
        extent: How many bytes, counted from the beginning, it is known for.
        probes: The hash of the block of at most 1024 bytes that ends at each position.
    """

    extent: int
    probes: dict[int, str]

    @property
    def head(self) -> int:
        """The position of the first probe: all of the file's first bytes are in it."""
        return min(self.probes, default=0)

    def differs(self, extent: int, read: ReadBlock) -> int | None:
        """The first position at which another file's content differs; None where all that both have is the same."""
        for position in sorted(self.probes):
            if position > extent:
                break
            if probe(position, read) != self.probes[position]:
                return position
        return None

    def as_dict(self) -> dict[str, object]:
        """Plain JSON data."""
        return {"extent": self.extent, "probes": {str(position): value for position, value in self.probes.items()}}

    @classmethod
    def from_dict(cls, data: dict[str, object]) -> Identity:
        """The reverse of `as_dict`."""
        probes = data["probes"]
        assert isinstance(probes, dict)
        return cls(int(str(data["extent"])), {int(position): str(value) for position, value in probes.items()})


def probe(position: int, read: ReadBlock) -> str:
    """The hash of the block that ends at a position."""
    return block_hash(read(max(0, position - TAIL), position))


def identify(extent: int, read: ReadBlock) -> Identity:
    """The identity of a file from its blocks."""
    return Identity(extent, {position: probe(position, read) for position in [*levels_until(extent), extent]})


def fingerprint(identity: Identity, *discriminators: tuple[int, str]) -> str:
    """Twenty hex digits that name a file for good: from its beginning, and from where it differs from its likes."""
    parts = [(identity.head, identity.probes[identity.head]), *discriminators]
    return hashlib.blake2b(repr(parts).encode(), digest_size=10).hexdigest()


class Prober:
    """Takes the probes of a stream as it passes."""

    def __init__(self) -> None:
        self.size = 0
        self.complete = 0
        self._window = b""
        self._probes: dict[int, str] = {}
        self._at_line_end = ""

    def feed(self, chunk: bytes) -> None:
        """The next bytes."""
        joined = self._window + chunk
        base = self.size - len(self._window)
        self.size += len(chunk)
        for position in LEVELS[bisect_right(LEVELS, self.size - len(chunk)) : bisect_right(LEVELS, self.size)]:
            self._probes[position] = block_hash(joined[max(0, position - TAIL - base) : position - base])
        cut = chunk.rfind(b"\n") + 1
        if cut:
            self.complete = self.size - len(chunk) + cut
            end = self.complete - base
            self._at_line_end = block_hash(joined[max(0, end - TAIL) : end])
        self._window = joined[-TAIL:]

    def identity(self, *, whole: bool) -> Identity:
        """What passed: all of it, or up to the last line end."""
        extent = self.size if whole else self.complete
        last = block_hash(self._window) if whole else self._at_line_end
        return Identity(extent, {p: value for p, value in self._probes.items() if p <= extent} | {extent: last})
