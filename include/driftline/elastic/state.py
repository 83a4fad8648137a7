"""Small facts about a job that outlive a run: how far it is scored; and the journal of runs.

Facts are read by their id, which always gives what was written last: nobody has to wait for a refresh.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from elasticsearch import ConflictError, NotFoundError

from driftline.core.timespan import iso, parse_time
from driftline.elastic.client import talks_to_cluster
from driftline.elastic.indices import RUNS, STATE, ensure_templates

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

ATTEMPTS = 10  # another run changed the document in between; it only ever moves forward, so a few rounds settle it


def scored_until(client: Elasticsearch, job_id: str) -> datetime | None:
    """End of the newest bucket that was ever scored, or None."""
    return progress(client, job_id)[0]


@talks_to_cluster
def progress(client: Elasticsearch, job_id: str) -> tuple[datetime | None, dict[str, Any] | None]:
    """As `scored_until`, and what was noted of the newest buckets then."""
    try:
        found = client.get(index=STATE, id=f"scored:{job_id}")["_source"]
    except NotFoundError:
        return None, None
    return parse_time(found["scored_until"]), found.get("detail")


@talks_to_cluster
def advance(client: Elasticsearch, job_id: str, until: datetime, note: dict[str, Any] | None = None) -> None:
    """Moves `scored_until` forward, with a note; a run over older data leaves it where it is, also when runs overlap."""
    ensure_templates(client)
    name, document = f"scored:{job_id}", {"job_id": job_id, "kind": "scored", "scored_until": iso(until), "detail": note}
    for _ in range(ATTEMPTS):
        try:
            stored = client.get(index=STATE, id=name)
            if parse_time(stored["_source"]["scored_until"]) > until or stored["_source"] == document:
                return
            unchanged = {"if_seq_no": stored["_seq_no"], "if_primary_term": stored["_primary_term"]}
        except NotFoundError:
            unchanged = {"op_type": "create"}
        try:
            client.index(index=STATE, id=name, document=document, **unchanged)
        except ConflictError:
            continue
        return


@talks_to_cluster
def forget(client: Elasticsearch, job_id: str) -> None:
    """Drops what is remembered of a job."""
    client.options(ignore_status=404).delete(index=STATE, id=f"scored:{job_id}")


@talks_to_cluster
def journal(client: Elasticsearch, run: str, kind: str, started: datetime, **facts: Any) -> None:  # noqa: ANN401 - JSON values
    """Writes what a run did: the one place where run ids and wall clock times are kept."""
    ensure_templates(client)
    now = datetime.now(UTC)
    document = {"run": run, "kind": kind, "@timestamp": iso(now), "seconds": round((now - started).total_seconds(), 3), **facts}
    client.index(index=RUNS, id=f"{kind}:{facts.get('job_id') or facts.get('source_id')}:{run}", document=document)


@talks_to_cluster
def last_run(client: Elasticsearch, kind: str, job_id: str) -> dict[str, Any] | None:
    """The newest journal entry of a kind for a job."""
    found = client.search(
        index=RUNS,
        query={"bool": {"filter": [{"term": {"kind": kind}}, {"term": {"job_id": job_id}}]}},
        sort=[{"@timestamp": {"order": "desc", "unmapped_type": "date"}}],
        size=1,
        ignore_unavailable=True,
    )["hits"]["hits"]
    return found[0]["_source"] if found else None
