"""Annotations: what is to be known of a stretch of time of a job, in Elastic's document shape."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from driftline.core.errors import DataError
from driftline.core.results import milliseconds, series_fields
from driftline.elastic.client import talks_to_cluster
from driftline.elastic.indices import ANNOTATIONS, ensure_templates

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.series import SeriesKey
    from driftline.core.timespan import Window

# Elastic's names of events
DELAYED, STORED, MODEL_CHANGE, USER = "delayed_data", "model_snapshot_stored", "model_change", "user"
MOST_TEXT = 1000  # characters, as in Elastic


@talks_to_cluster
def annotate(
    client: Elasticsearch,
    job_id: str,
    window: Window,
    text: str,
    *,
    event: str,
    about: str = "",
    by: str = "driftline",
    fields: dict[str, Any] | None = None,
) -> str:
    """Writes one annotation; the same event of the same stretch replaces the one before it, and keeps when that was made.

    Args:
        client: The cluster.
        job_id: Whose.
        window: The stretch; it may be a moment.
        text: What is to be known.
        event: One of the names above.
        about: Tells events of one stretch apart, such as two snapshots.
        by: Who says it.
        fields: More of the document, such as the series that it is about.

    Returns:
        Its id.
    """
    ensure_templates(client)
    now = milliseconds(datetime.now(UTC))
    what = [job_id, event, *window.as_dict().values(), *([about] if about else [])]
    id_ = hashlib.sha256("\0".join(what).encode("utf-8", "surrogatepass")).hexdigest()[:40]
    document = {
        "job_id": job_id,
        "type": "annotation",
        "event": event,
        "annotation": text,
        "timestamp": milliseconds(window.start),
        "end_timestamp": milliseconds(window.end),
        **(fields or {}),
    }
    before = client.options(ignore_status=404).get(index=ANNOTATIONS, id=id_).body.get("_source", {})
    if before and before.items() >= document.items():
        return id_
    document |= {
        "create_time": before.get("create_time", now),
        "create_username": before.get("create_username", by),
        "modified_time": now,
        "modified_username": by,
    }
    client.index(index=ANNOTATIONS, id=id_, document=document, refresh=True)
    return id_


def add(client: Elasticsearch, job: Job, window: Window, text: str, *, by: str, key: SeriesKey | None = None) -> str:
    """Writes what a user has to say of a stretch of time, or of one series in it. The same again changes nothing.

    Raises:
        DataError: There is no text, or too much; or the detector does not split its series so.
    """
    where = f"job {job.job_id}"
    if not 0 < len(text) <= MOST_TEXT:
        raise DataError(f"the text has {len(text)} characters", where=where, expected=f"1 to {MOST_TEXT}")
    fields: dict[str, Any] = {}
    if key is not None:
        if not 0 <= key.detector_index < len(job.detectors):
            raise DataError(f"there is no detector {key.detector_index}", where=where, expected=f"0 to {len(job.detectors) - 1}")
        detector = job.detectors[key.detector_index]
        for kind, value in (("partition", key.partition_value), ("by", key.by_value), ("over", key.over_value)):
            if value is not None and getattr(detector, f"{kind}_field_name") is None:
                raise DataError(f"{detector.description} has no {kind}_field_name", where=where, fix=f"Leave out --{kind}.")
        found = series_fields(detector, key)
        fields = {name: value for name, value in found.items() if name == "detector_index" or "_field_" in name}
    about = "\0".join([text, *(f"{name}={value}" for name, value in sorted(fields.items()))])
    return annotate(client, job.job_id, window, text, event=USER, about=about, by=by, fields=fields)


@talks_to_cluster
def delete(client: Elasticsearch, job_id: str, ids: list[str]) -> int:
    """Removes annotations of a job by id. Returns how many.

    Raises:
        DataError: The job has none of that id; nothing is removed.
    """
    found = {
        id_: client.options(ignore_status=404).get(index=ANNOTATIONS, id=id_).body.get("_source", {}).get("job_id") for id_ in ids
    }
    if strange := [id_ for id_, owner in found.items() if owner != job_id]:
        raise DataError(f"no annotation '{strange[0]}'", where=f"job {job_id}", fix=f"See: driftline annotations list {job_id}")
    for id_ in found:
        client.delete(index=ANNOTATIONS, id=id_, refresh=True)
    return len(found)


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
