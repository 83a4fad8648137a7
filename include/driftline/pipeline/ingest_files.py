"""Files of a source: which of them have something new, and reading one."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from driftline.core.errors import DataError
from driftline.pipeline import ledger, target
from driftline.pipeline.rowgate import UNPARSED
from driftline.sources import mapping
from driftline.sources.detect import detect
from driftline.sources.discovery import Catalogue, Known, examine, known_from
from driftline.sources.opening import Place, find, is_gzip, read_head
from driftline.sources.reading import Position, nothing_readable, reading
from driftline.sources.rows import text_of

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.progress import Progress
    from driftline.core.source import Source
    from driftline.pipeline.rowsink import RowSink
    from driftline.sources.detect import Detected
    from driftline.sources.discovery import Content
    from driftline.sources.rows import Rows

Handle = dict[str, Any]


@dataclass
class Survey:
    """What a look at a source's files found.

    Attributes:
        handles: Files with something to take.
        known: Files that are taken already, each with the reason.
    """

    handles: list[Handle] = field(default_factory=list)
    known: list[dict[str, str]] = field(default_factory=list)


def survey(client: Elasticsearch, source: Source) -> Survey:
    """Looks at all files of a source. One that cannot be read has a handle too: its turn will tell why."""
    assert source.files is not None
    found, entries = Survey(), {entry.fingerprint: entry for entry in ledger.load(client, source.index)}
    by_path = {entry.path: entry for entry in entries.values()}
    catalogue = Catalogue(known_from(vars(entry)) for entry in entries.values() if "identity" in entry.detail)
    for place in find(source.files.paths):
        seen = by_path.get(place.uri)
        if seen and _untouched(seen, place, source):
            found.known.append({"path": place.uri, "why": "it has not changed since it was taken"})
            continue
        try:
            handle, why = _look(client, source, place, catalogue, entries)
        except DataError:
            handle, why = {"path": place.uri}, ""
        if handle and handle.get("fingerprint") not in {other.get("fingerprint", "") for other in found.handles}:
            found.handles.append(handle)
        else:
            found.known.append({"path": place.uri, "why": why or "another file with the same content is taken now"})
    return found


def _untouched(entry: ledger.Entry, place: Place, source: Source) -> bool:
    """Whether the file at an entry's path is as it was; the token spares reading it."""
    assert source.files is not None
    complete = not (source.files.final and entry.pending)
    return entry.state == "done" and complete and place.version != "" and entry.detail.get("version") == place.version


def _look(
    client: Elasticsearch, source: Source, place: Place, catalogue: Catalogue, entries: dict[str, ledger.Entry]
) -> tuple[Handle | None, str]:
    """A handle for a file if it has something new, else why not."""
    assert source.files is not None
    compressed = is_gzip(place.uri, source.files.compression)
    head = read_head(place.uri, compressed=compressed)
    if not head:
        return None, "it is empty"
    detected = detect(head, place.uri, source.files.format)
    content = examine(place.uri, compressed=compressed, whole=source.files.final or detected.format == "parquet")
    if content.identity.extent == 0:
        return {"path": place.uri, "unfinished": True}, ""
    match = catalogue.match(content, place.uri, compressed=compressed)
    if match.kind == "part":
        return None, f"it is an older copy of {entries[match.known.fingerprint].path}"
    entry = entries.get(match.known.fingerprint)
    if entry is None:
        entry = ledger.Entry(match.known.fingerprint, source.source_id, source.index, place.uri)
        entries[entry.fingerprint] = entry
        catalogue.add(match.known)
    elif not _has_more(entry, content, detected):
        _remember(client, source, place, entry)
        return None, f"its rows were taken from {entry.path}" if entry.path != place.uri else "it has nothing new"
    _update(entry, source, place, content, detected, match.known, compressed)
    ledger.put(client, entry)
    return {"path": place.uri, "fingerprint": entry.fingerprint, "size": content.size}, ""


def _has_more(entry: ledger.Entry, content: Content, detected: Detected) -> bool:
    if entry.state != "done":
        return True
    return detected.format != "parquet" and content.identity.extent > entry.offset


def _remember(client: Elasticsearch, source: Source, place: Place, entry: ledger.Entry) -> None:
    """The file under this name needs no second look, until it changes."""
    if entry.path == place.uri:
        entry.detail["version"] = place.version
        ledger.put(client, entry)


def _update(
    entry: ledger.Entry, source: Source, place: Place, content: Content, detected: Detected, known: Known, compressed: bool
) -> None:
    entry.source_id, entry.path, entry.size = source.source_id, place.uri, content.size
    entry.detail |= {
        "identity": content.identity.as_dict(),
        "apart": [list(pair) for pair in known.discriminators],
        "format": detected.format,
        "delimiter": detected.delimiter,
        "compressed": compressed,
        "version": place.version,
    }


def read_into(client: Elasticsearch, source: Source, entry: ledger.Entry, sink: RowSink, progress: Progress | None) -> None:
    """Reads what is new in a file, makes the index when its first rows show what is in them, and hands the rows on."""
    detail = entry.detail
    position = Position(entry.offset, entry.line)
    types = target.known_types(client, source.index)
    with reading(
        source,
        entry.path,
        form=detail["format"],
        compressed=detail["compressed"],
        delimiter=detail["delimiter"],
        position=position,
        types=types,
    ) as reader:
        batches = reader.batches()
        first = next(batches, None)
        if first is not None:
            _refuse_nonsense(entry, first)
            log = detail["format"] == "access_log"
            target.prepare(client, source, mapping.mappings(source, reader.types, access_log=log))
            detail["birth"] = ledger.birth(client, source.index)
            sink.take(chain([first], batches), progress, total=0 if detail["format"] == "parquet" else entry.size)
        sink.finish(reader.pending)


def _refuse_nonsense(entry: ledger.Entry, first: Rows) -> None:
    """A new file of which nothing can be read is a mistake of the format, not a file of bad rows."""
    if entry.rows == 0 and not len(first) and first.bad and all(row.check == UNPARSED for row in first.bad):
        row = first.bad[0]
        raise nothing_readable(entry.detail["format"], entry.path, text_of(row.raw), row.reason)


def look_again(client: Elasticsearch, source: Source, path: str) -> Handle | None:
    """A file that could not be read when the source was looked at; None when another task took it meanwhile.

    Raises:
        DataError: It still cannot.
    """
    entries = {entry.fingerprint: entry for entry in ledger.load(client, source.index)}
    catalogue = Catalogue(known_from(vars(entry)) for entry in entries.values() if "identity" in entry.detail)
    handle: Handle | None = None
    for place in find([path]):
        handle, _ = _look(client, source, place, catalogue, entries)
    return handle if handle and "fingerprint" in handle else None
