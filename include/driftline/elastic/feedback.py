"""What people said of records, as it is stored: one document a record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline.elastic.client import talks_to_cluster
from driftline.elastic.indices import FEEDBACK, ensure_templates
from driftline.elastic.results import scan

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch


@talks_to_cluster
def put(client: Elasticsearch, id_: str, document: dict[str, Any]) -> None:
    """Stores one; what was said of the same record before is replaced."""
    ensure_templates(client)
    client.index(index=FEEDBACK, id=id_, document=document, refresh=True)


def of_job(client: Elasticsearch, *job_ids: str, revoked: bool = True) -> list[dict[str, Any]]:
    """All that was said of records of a job, or of several, by the record's time, each with its `_id`.

    Args:
        client: The cluster.
        job_ids: Whose.
        revoked: Whether what was taken back is told, too.
    """
    taken_back = [] if revoked else [{"exists": {"field": "revoked"}}]
    query = {"bool": {"filter": [{"terms": {"job_id": list(job_ids)}}], "must_not": taken_back}}
    found = [{"_id": hit["_id"], **hit["_source"]} for hit in scan(client, query, index=FEEDBACK)]
    return sorted(found, key=lambda each: (each["timestamp"], each["_id"]))
