"""Bulk writes: chunked by bytes, retried where Elasticsearch is merely busy, reported by count and sample where it refuses."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from driftline.core.errors import WriteError
from driftline.elastic.client import explained

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from elasticsearch import Elasticsearch

CHUNK_BYTES = 8 * 1024 * 1024  # large enough to amortise the round trip, small against http.max_content_length (100 MB)
RETRIES = 5
BUSY = {429, 502, 503, 504}
HEADERS = {"content-type": "application/x-ndjson", "accept": "application/json"}


@dataclass
class Outcome:
    """What a bulk write did: items by result (`created`, `updated`, `deleted`, `noop`)."""

    results: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All items that were accepted."""
        return sum(self.results.values())


def index_action(index: str, id_: str | None, source: dict[str, Any] | bytes, *, op: str = "index") -> bytes:
    """One document as two lines of the bulk body; `op` is `index` (replace) or `create` (409 is then no error)."""
    meta = {"_index": index} if id_ is None else {"_index": index, "_id": id_}
    body = source if isinstance(source, bytes) else orjson.dumps(source, option=orjson.OPT_SERIALIZE_NUMPY)
    return orjson.dumps({op: meta}) + b"\n" + body + b"\n"


def delete_action(index: str, id_: str) -> bytes:
    """One deletion as a line of the bulk body; a document that is already gone is no error."""
    return orjson.dumps({"delete": {"_index": index, "_id": id_}}) + b"\n"


def bulk(client: Elasticsearch, actions: Iterable[bytes], *, unfit: list[dict[str, Any]] | None = None) -> Outcome:
    """Sends actions, in order, in chunks of about 8 MB.

    Args:
        client: The cluster.
        actions: The actions.
        unfit: Takes the answers to documents that do not fit the mapping, which are then no error.

    Raises:
        WriteError: Some items were refused, or the cluster stayed busy; all others were written.
        ClusterError, ClusterDownError: The request itself failed.
    """
    outcome, refused = Outcome(), []
    for chunk in _chunks(actions):
        refused += _send(client, chunk, outcome, unfit)
    if refused:
        total = outcome.total + len(refused)
        raise WriteError(
            f"{len(refused)} of {total} documents were refused: {refused[0]}",
            failed=len(refused),
            total=total,
            sample=refused[:5],
        )
    return outcome


def _chunks(actions: Iterable[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for action in actions:
        chunk.append(action)
        size += len(action)
        if size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _send(client: Elasticsearch, chunk: list[bytes], outcome: Outcome, unfit: list[dict[str, Any]] | None) -> list[str]:
    """Sends one chunk until nothing in it is retriable; returns why items were refused."""
    refused: list[str] = []
    for attempt in range(RETRIES + 1):
        with explained():
            answer = client.perform_request("POST", "/_bulk", headers=HEADERS, body=b"".join(chunk)).body
        if not answer["errors"]:
            for item in answer["items"]:
                _count(outcome, next(iter(item.values())))
            return refused
        busy = []
        for action, item in zip(chunk, answer["items"], strict=True):
            op, result = next(iter(item.items()))
            if result["status"] < 300 or (op, result["status"]) in {("create", 409), ("delete", 404)}:
                _count(outcome, result)
            elif result["status"] in BUSY and attempt < RETRIES:
                busy.append(action)
            elif unfit is not None and result["status"] == 400:
                unfit.append(result)
            else:
                reason = result.get("error") or {}
                refused.append(f"{result['_index']}/{result.get('_id')}: {reason.get('type')}: {reason.get('reason')}"[:400])
        if not busy:
            break
        chunk = busy
        time.sleep(0.2 * 2**attempt)
    return refused


def _count(outcome: Outcome, result: dict[str, Any]) -> None:
    kind = result.get("result") or ("noop" if result["status"] == 409 else "other")
    outcome.results[kind] = outcome.results.get(kind, 0) + 1
