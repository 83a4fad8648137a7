"""Which files of a source are new, which have grown, and which are copies of what is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from driftline.sources.identity import Identity, Prober, block_hash, fingerprint, identify
from driftline.sources.lines import CHUNK
from driftline.sources.opening import opened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from driftline.sources.identity import ReadBlock

BACK = 64 * 1024


@dataclass(frozen=True)
class Content:
    """What a file holds, as far as it is needed to know it again."""

    identity: Identity
    size: int


@dataclass
class Known:
    """A file that the ledger knows, or that was just found.

    Attributes:
        fingerprint: Its name for good.
        identity: Its content.
        discriminators: Where it differs from files with the same beginning.
    """

    fingerprint: str
    identity: Identity
    discriminators: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Match:
    """What a file turned out to be: `new`, `same` (perhaps grown) or `part` (a shorter copy) of a known one."""

    kind: Literal["new", "same", "part"]
    known: Known


def examine(uri: str, *, compressed: bool, whole: bool) -> Content:
    """The identity of a file's content.

    Args:
        uri: The file.
        compressed: Whether it is gzipped: then it is read through once, for it cannot be read in places.
        whole: Whether all of it counts; if not, up to the last line end, for half a line may still change.
    """
    with opened(uri, compressed=compressed) as stream:
        if compressed:
            prober = Prober()
            while chunk := stream.read(CHUNK):
                prober.feed(chunk)
            return Content(prober.identity(whole=whole), prober.size)

        def read(start: int, end: int) -> bytes:
            stream.seek(start)
            return stream.read(end - start)

        size = stream.seek(0, 2)
        return Content(identify(size if whole else _last_line_end(size, read), read), size)


def _last_line_end(size: int, read: ReadBlock) -> int:
    end = size
    while end > 0:
        start = max(0, end - BACK)
        if (cut := read(start, end).rfind(b"\n")) >= 0:
            return start + cut + 1
        end = start
    return 0


class Catalogue:
    """All files known of an index, to find a file among them."""

    def __init__(self, known: Iterable[Known]) -> None:
        self._by_head: dict[tuple[int, str], list[Known]] = {}
        for entry in known:
            self.add(entry)

    def add(self, entry: Known) -> None:
        """Makes a file known."""
        head = entry.identity.head
        self._by_head.setdefault((head, entry.identity.probes[head]), []).append(entry)

    def match(self, content: Content, uri: str, *, compressed: bool) -> Match:
        """What a file is: one of the known, or a new one with a fingerprint of its own."""
        identity = content.identity
        discriminators: list[tuple[int, str]] = []
        for entry in self._alike(identity, uri, compressed):
            differs = self._difference(entry, identity, uri, compressed)
            if differs is None:
                return Match("part" if identity.extent < entry.identity.extent else "same", entry)
            discriminators.append(differs)
        # sorted: the order in which the others became known must not matter
        chosen = sorted(set(discriminators))
        return Match("new", Known(fingerprint(identity, *chosen), identity, chosen))

    def _alike(self, identity: Identity, uri: str, compressed: bool) -> list[Known]:
        """The known files that begin as this one does; the longest known first."""
        found: list[Known] = []
        hashes: dict[int, str] = {}
        for (head, value), entries in self._by_head.items():
            if head <= identity.extent:
                if head not in hashes:
                    hashes[head] = identity.probes.get(head) or _block(uri, compressed, head)
                if hashes[head] == value:
                    found += entries
            elif identity.extent and self._begins(entries, identity):
                found += entries
        return sorted(found, key=lambda entry: -entry.identity.extent)

    @staticmethod
    def _begins(entries: list[Known], identity: Identity) -> bool:
        """A file shorter than all that is known of another cannot be told to be its beginning: it is a file of its own."""
        return any(entry.identity.probes.get(identity.extent) == identity.probes[identity.extent] for entry in entries)

    @staticmethod
    def _difference(entry: Known, identity: Identity, uri: str, compressed: bool) -> tuple[int, str] | None:
        """The first probe of a known file that this one does not match, with what it has there."""
        for position in sorted(entry.identity.probes):
            if position > identity.extent:
                break
            mine = identity.probes.get(position) or _block(uri, compressed, position)
            if mine != entry.identity.probes[position]:
                return position, mine
        return None


def _block(uri: str, compressed: bool, position: int) -> str:
    """The probe at a position that is no level: where a known file ended."""
    start = max(0, position - 1024)
    with opened(uri, compressed=compressed, offset=start) as stream:
        return block_hash(stream.read(position - start))


def known_from(document: dict[str, Any]) -> Known:
    """What the ledger holds of a file."""
    detail = document["detail"]
    return Known(document["fingerprint"], Identity.from_dict(detail["identity"]), [tuple(pair) for pair in detail["apart"]])
