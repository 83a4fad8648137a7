"""Bad rows as documents: what was wrong, in which file, on which line, and the row itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline.sources.rows import text_of

if TYPE_CHECKING:
    from driftline.core.source import Source
    from driftline.sources.rows import BadRow

MAX_REASON = 1_000


def document(source: Source, row: BadRow, *, path: str, fingerprint: str, document_id: str) -> dict[str, Any]:
    """The document of a bad row for the source's quarantine index. The same row gives the same document."""
    raw = text_of(row.raw)
    return {
        "source_id": source.source_id,
        "index": source.index,
        "path": path,
        "line": row.line,
        "offset": row.offset,
        "check": row.check,
        "reason": row.reason[:MAX_REASON],
        "raw": raw,
        "raw_bytes": len(row.raw),
        "truncated": len(row.raw) > len(raw.encode()),
        "fingerprint": fingerprint,
        "document_id": document_id,
    }
