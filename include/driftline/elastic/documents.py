"""Documents as they are: which fields an index has, and all documents that match, page by page, as of one point in time."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from driftline.core.errors import ClusterDownError, SourceIndexError
from driftline.elastic.client import explained

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

PAGE = 10_000  # index.max_result_window; larger ones are refused
KEEP = "5m"
ANSWER = ["pit_id", "timed_out", "_shards.failed"]
EVERY = ["hits.hits.fields", "hits.hits.ignored_field_values", "hits.hits.sort"]


class _Pause:
    """Garbage collection is off while any thread is in it, and then as it was.

    A page is sixty thousand objects without a circle: looking for circles among them and all others took half of all the time.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._was_on = Lock(), 0, False

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._inside:
                self._was_on = gc.isenabled()
                gc.disable()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside and self._was_on:
                    gc.enable()


_uncollected = _Pause()


def pages(
    client: Elasticsearch,
    index: list[str],
    body: dict[str, Any],
    *,
    where: str,
    answer: list[str] | None = None,
    size: int = PAGE,
) -> Iterator[list[dict[str, Any]]]:
    """The documents that match, page by page, by point in time.

    Args:
        client: The cluster.
        index: Where they are.
        body: A search's body, without `size`, `sort` and what pages need.
        where: What is told of errors.
        answer: Which parts of a hit are wanted, such as `hits.hits.fields`; besides them `sort`. Default: `EVERY`.
        size: Documents a page.

    Raises:
        ClusterDownError: Not all shards answered in full.
    """
    pit = client.open_point_in_time(index=index, keep_alive=KEEP, preference="driftline")["id"]
    after: list[Any] | None = None
    fixed = {"size": size, "sort": ["_shard_doc"], "track_total_hits": False, "allow_partial_search_results": False}
    parts = [*ANSWER, *(EVERY if answer is None else [*answer, "hits.hits.sort"])]
    try:
        while True:
            asked = {**body, **fixed, "pit": {"id": pit, "keep_alive": KEEP}, **({"search_after": after} if after else {})}
            with _uncollected():
                found = client.search(**asked, filter_path=parts).body
            if found["timed_out"] or found["_shards"]["failed"]:
                raise ClusterDownError("not all shards answered in full", where=where, fix="Try again later.")
            hits = found.get("hits", {}).get("hits", [])
            if hits:
                yield hits
            if len(hits) < size:
                return
            after, pit = hits[-1]["sort"], found["pit_id"]
    finally:
        client.options(ignore_status=404).close_point_in_time(id=pit)


def field_caps(client: Elasticsearch, index: list[str], *, where: str) -> dict[str, Any]:
    """What Elasticsearch says of all fields of indices, by name.

    Raises:
        SourceIndexError: There is no such index.
    """
    with explained(where):
        caps = client.field_caps(index=index, fields="*", allow_no_indices=True).body
    if not caps["indices"]:
        raise SourceIndexError(f"no index matches {', '.join(index)}", where=where, fix="Check the name, or ingest first.")
    fields: dict[str, Any] = caps["fields"]
    return fields


def field_types(client: Elasticsearch, index: list[str], *, where: str) -> dict[str, str]:
    """The fields of indices and their types, those of documents only.

    Where indices disagree the first type that is not `unmapped` is told: values that do not fit are missing then.

    Raises:
        SourceIndexError: There is no such index.
    """
    found = {}
    for name, types in sorted(field_caps(client, index, where=where).items()):
        kind = next((kind for kind in types if kind != "unmapped"), "unmapped")
        if not types[kind].get("metadata_field") and kind not in {"object", "nested", "unmapped"}:
            found[name] = kind
    return found


def concrete(client: Elasticsearch, index: list[str], *, where: str) -> set[str]:
    """The indices that names, patterns and aliases stand for; none for what is not there."""
    with explained(where):
        return set(client.indices.get(index=index, ignore_unavailable=True, allow_no_indices=True, features="aliases").body)


def count(client: Elasticsearch, index: list[str], query: dict[str, Any], *, where: str) -> int:
    """How many documents match."""
    with explained(where):
        return int(client.count(index=index, query=query)["count"])
