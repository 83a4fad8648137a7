"""Results in Elasticsearch: an interval is replaced as a whole, and read back by score or by time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from driftline.elastic.bulk import AT_ONCE, bulk, delete_action, index_action
from driftline.elastic.client import explained, talks_to_cluster
from driftline.elastic.indices import RESULTS, ensure_templates, monthly
from driftline.elastic.query import between

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from elasticsearch import Elasticsearch

    from driftline.core.results import Document, Owner
    from driftline.core.timespan import Window

PAGE = 10_000
QUIET = {"term": {"driftline.event.alarm": False}}
"""Events that do not alarm."""
HITS = ["pit_id", "hits.hits._index", "hits.hits._id", "hits.hits._source", "hits.hits.sort"]


@dataclass
class Replaced:
    """What a replacement did, in documents."""

    written: int
    deleted: int


def replace(
    client: Elasticsearch,
    job: Owner,
    window: Window,
    documents: Iterable[Document],
    *,
    types: list[str],
    within: list[dict[str, Any]] | None = None,
) -> Replaced:
    """Makes the stored results of an interval exactly these documents.

    New ones are written before stale ones are removed, so that a reader never finds less than there is; a run that dies in
    between is made good by the next one over the interval.

    Args:
        client: The cluster.
        job: Whose results; those of its other versions are left alone.
        window: The interval, by `timestamp`.
        documents: The results. They are written as they come, and not kept.
        types: The result types that are replaced.
        within: More query clauses that narrow what is replaced, e.g. some partitions.

    Raises:
        WriteError: Documents were refused.
    """
    ensure_templates(client)
    with explained(f"results of job {job.job_id}"):
        client.indices.refresh(index=f"{RESULTS}-*", ignore_unavailable=True, allow_no_indices=True)
    scope = [*interval(job, window), {"terms": {"result_type": types}}, *(within or [])]
    stale = {(hit["_index"], hit["_id"]) for hit in scan(client, {"bool": {"filter": scope}}, source=False)}

    def actions() -> Iterator[bytes]:
        index_of = monthly_index(RESULTS)
        for id_, timestamp, source in documents:
            index = index_of(timestamp)
            stale.discard((index, id_))
            yield index_action(index, id_, source)

    written = bulk(client, actions(), at_once=AT_ONCE).total
    bulk(client, (delete_action(index, id_) for index, id_ in sorted(stale)), at_once=AT_ONCE)
    with explained(f"results of job {job.job_id}"):
        client.indices.refresh(index=f"{RESULTS}-*", ignore_unavailable=True, allow_no_indices=True)
    return Replaced(written, len(stale))


def monthly_index(index: str) -> Callable[[int], str]:
    """The month's index by timestamp in epoch milliseconds; results come many to a bucket, so each is worked out once."""
    return cache(lambda timestamp: monthly(index, datetime.fromtimestamp(timestamp / 1000, UTC)))


def interval(job: Owner, window: Window) -> list[dict[str, Any]]:
    """Query clauses for one version of a job's results in a window."""
    version = {"term": {"driftline.job_version": job.version}}
    return [{"term": {"job_id": job.job_id}}, version, between("timestamp", window)]


def scan(
    client: Elasticsearch, query: dict[str, Any], *, source: bool | list[str] = True, index: str = f"{RESULTS}-*"
) -> Iterator[dict[str, Any]]:
    """All hits of a query, page by page, by point in time; of their sources all, nothing, or some fields."""
    with explained(f"index {index}"):
        if not client.indices.exists(index=index, allow_no_indices=False):
            return
        pit = client.open_point_in_time(index=index, keep_alive="2m", ignore_unavailable=True)["id"]
        try:
            after = None
            while True:
                options: dict[str, Any] = {"search_after": after} if after else {}
                answer = client.search(
                    pit={"id": pit, "keep_alive": "2m"},
                    query=query,
                    size=PAGE,
                    sort=["_shard_doc"],
                    source={"includes": source} if isinstance(source, list) else source,
                    track_total_hits=False,
                    filter_path=HITS,
                    **options,
                )
                hits = answer.get("hits", {}).get("hits", [])
                yield from hits
                if len(hits) < PAGE:
                    return
                after, pit = hits[-1]["sort"], answer["pit_id"]
        finally:
            client.close_point_in_time(id=pit)


@talks_to_cluster
def top_records(
    client: Elasticsearch,
    job_id: str,
    *,
    version: str | None = None,
    window: Window | None = None,
    min_score: float = 0.0,
    limit: int = 10,
) -> list[dict[str, Any]]:
    """The records with the highest scores, each with its `_id`; of equal ones the earlier first."""
    filters: list[dict[str, Any]] = [
        {"term": {"job_id": job_id}},
        {"term": {"result_type": "record"}},
        {"range": {"record_score": {"gte": min_score}}},
    ]
    if version:
        filters.append({"term": {"driftline.job_version": version}})
    if window:
        filters.append(between("timestamp", window))
    found = client.search(
        index=f"{RESULTS}-*",
        query={"bool": {"filter": filters}},
        sort=[
            {"record_score": {"order": "desc", "unmapped_type": "double"}},
            {"probability": {"order": "asc", "unmapped_type": "double"}},
            {"timestamp": {"order": "asc", "unmapped_type": "date"}},
        ],
        size=limit,
        ignore_unavailable=True,
        allow_no_indices=True,
    )
    return [{"_id": hit["_id"], **hit["_source"]} for hit in found["hits"]["hits"]]


@talks_to_cluster
def page(
    client: Elasticsearch,
    job: Owner,
    result_type: str,
    window: Window,
    *,
    where: list[dict[str, Any]] | None = None,
    sort: str = "timestamp",
    descending: bool = False,
    start: int = 0,
    size: int = 100,
) -> tuple[int, list[dict[str, Any]]]:
    """A page of the results of one type of a job as it is defined now, and how many there are; those of equal rank by time.

    Args:
        client: The cluster.
        job: Whose.
        result_type: `record`, `bucket`, …
        window: By `timestamp`.
        where: More query clauses.
        sort: A field.
        descending: Whether the highest is first.
        start: So many are left out.
        size: So many are given.
    """
    order = {"order": "desc" if descending else "asc", "unmapped_type": "double"}
    found = client.search(
        index=f"{RESULTS}-*",
        query={"bool": {"filter": [*interval(job, window), {"term": {"result_type": result_type}}, *(where or [])]}},
        sort=[{sort: order}, {"timestamp": {"order": "asc", "unmapped_type": "date"}}],
        from_=start,
        size=size,
        track_total_hits=True,
        ignore_unavailable=True,
        allow_no_indices=True,
    )["hits"]
    return int(found["total"]["value"]), [hit["_source"] for hit in found["hits"]]


def of_type(
    client: Elasticsearch,
    job_id: str,
    result_type: str,
    *,
    version: str | None = None,
    window: Window | None = None,
    without: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """All results of one type of a job, but those that match `without`, by time, each with its `_id`."""
    clauses: list[dict[str, Any]] = [{"term": {"job_id": job_id}}, {"term": {"result_type": result_type}}]
    if version:
        clauses.append({"term": {"driftline.job_version": version}})
    if window:
        clauses.append(between("timestamp", window))
    query = {"bool": {"filter": clauses, "must_not": [without] if without else []}}
    found = [{"_id": hit["_id"], **hit["_source"]} for hit in scan(client, query)]
    return sorted(found, key=lambda document: (document["timestamp"], document["job_id"]))


@talks_to_cluster
def delete(client: Elasticsearch, index: str, query: dict[str, Any]) -> int:
    """Deletes what a query matches, in bulk (the minimal distribution has no delete_by_query). Returns how many."""
    client.indices.refresh(index=index, ignore_unavailable=True, allow_no_indices=True)
    doomed = [(hit["_index"], hit["_id"]) for hit in scan(client, query, source=False, index=index)]
    bulk(client, (delete_action(where, id_) for where, id_ in doomed), at_once=AT_ONCE)
    client.indices.refresh(index=index, ignore_unavailable=True, allow_no_indices=True)
    return len(doomed)
