"""Opening files: where they are, whether they are compressed, whether they can be read at all."""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import fsspec

from driftline.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
HEAD = 256 * 1024
_FOREIGN = {
    b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip", b"7z\xbc\xaf": "7-Zip",
}  # fmt: skip
UNREADABLE = (OSError, EOFError, zlib.error)  # what a stream raises that breaks in the middle


@dataclass(frozen=True)
class Place:
    """A file that was found.

    Attributes:
        uri: As fsspec has it.
        size: Bytes, as stored.
        version: A token that changes when the file does; empty where the file system has none.
    """

    uri: str
    size: int
    version: str


def find(patterns: list[str]) -> list[Place]:
    """The files of paths, folders and globs, each once, by name.

    Raises:
        DataError: A path that is no glob does not exist, or its file system cannot be used.
    """
    found: dict[str, Place] = {}
    for pattern in patterns:
        try:
            for place in _expand(pattern):
                found.setdefault(place.uri, place)
        except (OSError, ValueError, ImportError) as error:
            raise unreadable(pattern, error) from None
    return [found[uri] for uri in sorted(found)]


def _expand(pattern: str) -> Iterator[Place]:
    filesystem, path = fsspec.core.url_to_fs(str(Path(pattern).expanduser()) if pattern.startswith("~") else pattern)
    if filesystem.exists(path):  # a name may hold brackets and stars of its own
        names = filesystem.ls(path, detail=False) if filesystem.isdir(path) else [path]
    elif any(sign in path for sign in "*?["):
        names = filesystem.glob(path)
    else:
        raise FileNotFoundError
    for name in names:
        if filesystem.isfile(name):
            yield _place(filesystem, name)


def _place(filesystem: Any, path: str) -> Place:  # noqa: ANN401 - fsspec has no types
    local = "file" in filesystem.protocol
    if local:
        status = Path(path).stat()
        return Place(path, status.st_size, f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}")
    uri = filesystem.unstrip_protocol(path)
    info = filesystem.info(path)
    return Place(uri, int(info.get("size") or 0), str(info.get("ETag") or info.get("LastModified") or ""))


def unreadable(where: str, error: Exception) -> DataError:
    """A file's error in words."""
    if isinstance(error, FileNotFoundError):
        return DataError("there is no such file", where=where, fix="Check the path; globs (*, **) are allowed.")
    if isinstance(error, PermissionError):
        return DataError(
            "the file may not be read: permission denied", where=where, fix="Let the user that runs Driftline read it."
        )
    if isinstance(error, gzip.BadGzipFile | zlib.error | EOFError):
        return DataError(
            f"the gzip file is broken: {error}",
            where=where,
            fix="If it is still being written, ingest it when it is whole; if not, compress it again.",
        )
    return DataError(f"the file cannot be read: {error}", where=where)


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turns what reading raises into a `DataError`."""
    try:
        yield
    except UNREADABLE as error:
        raise unreadable(where, error) from None


@contextmanager
def opened(uri: str, *, compressed: bool, offset: int = 0) -> Iterator[IO[bytes]]:
    """The uncompressed bytes of a file, from an offset on.

    Raises:
        DataError: It cannot be opened, or breaks while it is read.
    """
    with explained(uri), fsspec.open(uri, "rb").open() as raw:
        stream: Any = gzip.GzipFile(fileobj=raw, mode="rb") if compressed else raw
        if offset:
            stream.seek(offset)
        yield stream


def is_gzip(uri: str, wanted: Literal["auto", "gzip", "none"] = "auto") -> bool:
    """Whether a file is gzipped: by its first bytes, whatever its name says."""
    if wanted != "auto":
        return wanted == "gzip"
    with opened(uri, compressed=False) as stream:
        return stream.read(2) == GZIP


def read_head(uri: str, *, compressed: bool) -> bytes:
    """The first bytes of the uncompressed content, enough to tell what it is."""
    with opened(uri, compressed=compressed) as stream:
        return stream.read(HEAD)


def check_text(head: bytes, where: str) -> None:
    """Refuses what is no text that lines can be read from.

    Raises:
        DataError: It is binary, in another compression, or in UTF-16 or UTF-32.
    """
    for magic, name in _FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"the file is compressed with {name}", where=where, expected="plain or gzip", fix="Unpack it first.")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or _mostly_every_other_zero(head):
        raise DataError(
            "the file is in UTF-16 or UTF-32", where=where, expected="UTF-8", fix="Convert it: iconv -f UTF-16 -t UTF-8."
        )
    if _is_binary(head[:8192]):
        raise DataError("the file is binary, not text", where=where, expected="a log, NDJSON or CSV as text, gzip, or Parquet")


def _is_binary(sample: bytes) -> bool:
    """More than a few per cent of control characters and broken UTF-8; a stray one is a matter of its line."""
    text = sample.decode("utf-8", "replace")
    odd = sum(1 for letter in text if letter == "\ufffd" or (letter < " " and letter not in "\t\r\n\f\x1b"))
    return odd > 0.1 * len(text)


def _mostly_every_other_zero(head: bytes) -> bool:
    sample = head[:2000]
    return len(sample) > 8 and max(sample[::2].count(0), sample[1::2].count(0)) > 0.4 * len(sample)
