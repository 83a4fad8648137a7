"""The ledger: which files an index has taken, and how far, so that each counts once and an ingest goes on where it was."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from elasticsearch import NotFoundError

from driftline.core.timespan import iso
from driftline.elastic.client import explained
from driftline.elastic.indices import LEDGER, ensure_templates
from driftline.elastic.results import scan

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

State = Literal["new", "running", "done", "stopped"]
COUNTS = ("rows", "indexed", "quarantined", "bytes")


@dataclass
class Entry:
    """One file of one index, or one range of generated days.

    Attributes:
        fingerprint: The content's name for good.
        source_id: The source that took it last.
        index: Where its rows are.
        path: Where it was seen last.
        state: new, running (perhaps interrupted), done (until it grows) or stopped by the gate.
        offset: Up to where its rows are taken (a row number in Parquet).
        line: The line that begins there.
        size: The bytes of its uncompressed content when it was seen last.
        rows: Rows read so far; `indexed` and `quarantined` add up to it.
        indexed: Of these, in the index.
        quarantined: Of these, in quarantine.
        pending: Rows at its end that were not complete.
        detail: What tells the file from others, its format, and the counts of the run that touched it last.
    """

    fingerprint: str
    source_id: str
    index: str
    path: str
    state: State = "new"
    offset: int = 0
    line: int = 1
    size: int = 0
    rows: int = 0
    indexed: int = 0
    quarantined: int = 0
    pending: int = 0
    detail: dict[str, Any] = field(default_factory=dict)


_NAMES = {item.name for item in fields(Entry)}


def _id(index: str, fingerprint: str) -> str:
    return f"{index}:{fingerprint}"


def birth(client: Elasticsearch, index: str) -> str:
    """What tells an index from one of the same name that was deleted; empty where there is none, the name for an alias."""
    with explained(f"index {index}"):
        try:
            found = client.indices.get_settings(index=index, name="index.uuid").body
        except NotFoundError:
            return ""
    return str(found[index]["settings"]["index"]["uuid"]) if index in found else index


def load(client: Elasticsearch, index: str) -> list[Entry]:
    """All entries of an index. Those of a deleted index of its name are left out: its files have to be taken again."""
    ensure_templates(client)
    now = birth(client, index)
    with explained(f"index {LEDGER}"):
        client.indices.refresh(index=LEDGER, ignore_unavailable=True, allow_no_indices=True)
    hits = scan(client, {"term": {"index": index}}, index=LEDGER)
    return [entry for hit in hits if (entry := _entry(hit["_source"])) and _alive(entry, now)]


def get(client: Elasticsearch, index: str, fingerprint: str) -> Entry | None:
    """One entry, as it is this moment."""
    with explained(f"index {LEDGER}"):
        try:
            entry = _entry(client.get(index=LEDGER, id=_id(index, fingerprint))["_source"])
        except NotFoundError:
            return None
    return entry if _alive(entry, birth(client, index)) else None


def put(client: Elasticsearch, entry: Entry) -> None:
    """Writes an entry."""
    document = asdict(entry) | {"bad": entry.quarantined, "updated": iso(datetime.now(UTC))}
    with explained(f"index {LEDGER}"):
        client.index(index=LEDGER, id=_id(entry.index, entry.fingerprint), document=document)


def _entry(document: dict[str, Any]) -> Entry:
    return Entry(**{name: value for name, value in document.items() if name in _NAMES})


def _alive(entry: Entry, birth_now: str) -> bool:
    """Whether the rows that the entry speaks of can still be there."""
    return entry.offset == 0 or entry.detail.get("birth", "") == birth_now
