"""Bulk writes: chunked by bytes, retried where Elasticsearch is merely busy, reported by count and sample where it refuses."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from driftline.core.errors import WriteError
from driftline.elastic.client import explained

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from elasticsearch import Elasticsearch

CHUNK_BYTES = 4 * 1024 * 1024  # large enough to amortise the round trip, small against http.max_content_length (100 MB)
AT_ONCE = 2  # requests for actions that may arrive in any order: one keeps one thread of Elasticsearch busy
RETRIES = 5
BUSY = {429, 502, 503, 504}
HEADERS = {"content-type": "application/x-ndjson", "accept": "application/json"}
# what is asked of each item: a tenth of the whole answer, which would be as many bytes as small documents themselves
ASKED = {"filter_path": "items.*.status,items.*.error"}
RESULTS = {
    ("index", 200): "updated",
    ("index", 201): "created",
    ("create", 201): "created",
    ("create", 409): "noop",
    ("update", 200): "updated",
    ("update", 404): "not_found",
    ("delete", 200): "deleted",
    ("delete", 404): "not_found",
}


@dataclass
class Outcome:
    """What a bulk write did: items by result (`created`, `updated`, `deleted`, `not_found`, `noop`)."""

    results: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All items that were accepted."""
        return sum(self.results.values())

    def add(self, other: Outcome) -> None:
        """Counts what another one counted, too."""
        for result, count in other.results.items():
            self.results[result] = self.results.get(result, 0) + count


def index_action(index: str, id_: str | None, source: dict[str, Any] | bytes, *, op: str = "index") -> bytes:
    """One document as two lines of the bulk body; `op` is `index` (replace) or `create` (409 is then no error)."""
    meta = {"_index": index} if id_ is None else {"_index": index, "_id": id_}
    body = source if isinstance(source, bytes) else orjson.dumps(source, option=orjson.OPT_SERIALIZE_NUMPY)
    return orjson.dumps({op: meta}) + b"\n" + body + b"\n"


def update_action(index: str, id_: str, fields: dict[str, Any]) -> bytes:
    """New values of some fields as two lines of the bulk body; a document that is gone is no error."""
    return orjson.dumps({"update": {"_index": index, "_id": id_}}) + b"\n" + orjson.dumps({"doc": fields}) + b"\n"


def delete_action(index: str, id_: str) -> bytes:
    """One deletion as a line of the bulk body; a document that is already gone is no error."""
    return orjson.dumps({"delete": {"_index": index, "_id": id_}}) + b"\n"


def bulk(
    client: Elasticsearch, actions: Iterable[bytes], *, unfit: list[dict[str, Any]] | None = None, at_once: int = 1
) -> Outcome:
    """Sends actions in chunks of about 4 MB. The next chunk is made while others are on their way.

    Args:
        client: The cluster.
        actions: The actions. They arrive in order.
        unfit: Takes the answers to documents that do not fit the mapping, which are then no error: `_index`, `_id`, `error`.
        at_once: Requests on their way at once. With more than one the order is lost: then no two actions may be about the same
            document.

    Raises:
        WriteError: Some items were refused, or the cluster stayed busy; all others were written.
        ClusterError, ClusterDownError: The request itself failed.
    """
    outcome = Outcome()
    refused: list[str] = []
    sending: deque[Future[tuple[Outcome, list[str]]]] = deque()

    def conclude() -> None:
        accepted, others = sending.popleft().result()
        outcome.add(accepted)
        refused.extend(others)

    with ThreadPoolExecutor(at_once, thread_name_prefix="bulk") as senders:
        for chunk in _chunks(actions):
            if len(sending) == at_once:
                conclude()
            sending.append(senders.submit(_send, client, chunk, unfit))
        while sending:
            conclude()
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


def _send(client: Elasticsearch, chunk: list[bytes], unfit: list[dict[str, Any]] | None) -> tuple[Outcome, list[str]]:
    """Sends one chunk until nothing in it is retriable; returns what was accepted, and why the others were refused."""
    outcome = Outcome()
    refused: list[str] = []
    for attempt in range(RETRIES + 1):
        with explained():
            answer = client.perform_request("POST", "/_bulk", params=ASKED, headers=HEADERS, body=b"".join(chunk)).body
        busy = []
        for action, item in zip(chunk, answer["items"], strict=True):
            op, answered = next(iter(item.items()))
            if result := RESULTS.get((op, answered["status"])):
                outcome.results[result] = outcome.results.get(result, 0) + 1
            elif answered["status"] in BUSY and attempt < RETRIES:
                busy.append(action)
            elif unfit is not None and answered["status"] == 400:
                unfit.append(_about(action) | answered)
            else:
                reason, about = answered.get("error") or {}, _about(action)
                refused.append(f"{about['_index']}/{about.get('_id')}: {reason.get('type')}: {reason.get('reason')}"[:400])
        if not busy:
            break
        chunk = busy
        time.sleep(0.2 * 2**attempt)
    return outcome, refused


def _about(action: bytes) -> dict[str, Any]:
    """Which document an action is about: `_index` and `_id`."""
    about: dict[str, Any] = next(iter(orjson.loads(action.split(b"\n", 1)[0]).values()))
    return about
