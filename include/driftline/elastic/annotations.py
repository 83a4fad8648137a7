"""Annotations: what is to be known of a stretch of time of a job, in Elastic's document shape."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from driftline.core.results import milliseconds
from driftline.elastic.client import talks_to_cluster
from driftline.elastic.indices import ANNOTATIONS, ensure_templates

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.timespan import Window

DELAYED = "delayed_data"


@talks_to_cluster
def annotate(client: Elasticsearch, job_id: str, window: Window, text: str, *, event: str, by: str = "driftline") -> str:
    """Writes one annotation; the same event of the same stretch replaces the one before it.

    Returns:
        Its id.
    """
    ensure_templates(client)
    now = milliseconds(datetime.now(UTC))
    id_ = hashlib.sha256("\0".join([job_id, event, *window.as_dict().values()]).encode()).hexdigest()[:40]
    document = {
        "job_id": job_id,
        "type": "annotation",
        "event": event,
        "annotation": text,
        "timestamp": milliseconds(window.start),
        "end_timestamp": milliseconds(window.end),
        "create_time": now,
        "create_username": by,
        "modified_time": now,
        "modified_username": by,
    }
    client.index(index=ANNOTATIONS, id=id_, document=document, refresh=True)
    return id_


@talks_to_cluster
def of_job(client: Elasticsearch, job_id: str, *, limit: int = 1000) -> list[dict[str, Any]]:
    """A job's annotations by time, the newest `limit` of them, each with its `_id`."""
    found = client.search(
        index=ANNOTATIONS,
        query={"bool": {"filter": [{"term": {"job_id": job_id}}]}},
        sort=[{"timestamp": {"order": "desc", "unmapped_type": "date"}}],
        size=limit,
        ignore_unavailable=True,
    )
    return [{"_id": hit["_id"], **hit["_source"]} for hit in reversed(found["hits"]["hits"])]
