"""Bad rows as documents: what was wrong, in which file, on which line, the row itself, and what would have been indexed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline.sources.rows import text_of

if TYPE_CHECKING:
    from driftline.core.source import Source
    from driftline.sources.rows import BadRow

MAX_REASON = 1_000
MAX_BODY = 64 * 1024  # bytes of a document that are kept: many times an ordinary row, and a batch of them still fits in memory


def name_of(fingerprint: str, offset: int) -> str:
    """What a row is called in quarantine: its place in its file."""
    return f"{fingerprint}-{offset}"


def document(source: Source, row: BadRow, *, path: str, fingerprint: str, added: str) -> dict[str, Any]:
    """The document of a bad row for the source's quarantine index. The same row gives the same document, but for `added`.

    Args:
        source: Where the row belongs.
        row: The row.
        path: Its file.
        fingerprint: The file's name for good.
        added: When it is put aside.
    """
    raw, body = text_of(row.raw), _kept(row.body)
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
        "document_id": row.id or name_of(fingerprint, row.offset),
        "time": row.time,
        "added": added,
        **({"body": body} if body else {}),
    }


def _kept(body: bytes) -> str:
    """The document as text; nothing where it is too large, or no text."""
    if len(body) > MAX_BODY:
        return ""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return ""


def obstacle(document: dict[str, Any]) -> str:
    """Why a row in quarantine cannot be released; nothing where it can."""
    if document.get("body"):
        return ""
    if document.get("check") == "unparsed":
        return "Nothing could be read from it, so there is nothing to index."
    if document.get("truncated") or document.get("raw_bytes", 0) > MAX_BODY // 2:
        return f"It is too large: quarantine keeps rows whole up to {MAX_BODY // 1024} KB."
    return "It was put aside before quarantine kept what it takes to index a row."
