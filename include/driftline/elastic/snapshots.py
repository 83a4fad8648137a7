"""Model snapshots in Elasticsearch: numbers in chunks, and a manifest, written last, that makes them visible."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from driftline.core.errors import SnapshotError
from driftline.core.timespan import iso, parse_time
from driftline.elastic.bulk import bulk, delete_action, index_action
from driftline.elastic.client import talks_to_cluster
from driftline.elastic.indices import MODELS, SNAPSHOTS, ensure_templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

Manifest = dict[str, Any]
MAX_SNAPSHOTS = 1000
MGET = 20


def _chunk_id(manifest_id: str, chunk: int) -> str:
    return f"{manifest_id}:{chunk}"


def manifest_id(job_id: str, snapshot_id: str) -> str:
    """The manifest's `_id`; both parts are identifiers, so the colon separates."""
    return f"{job_id}:{snapshot_id}"


@talks_to_cluster
def write(client: Elasticsearch, manifest: Manifest, chunks: list[dict[str, Any]]) -> None:
    """Writes a snapshot: all chunks first, then the manifest that makes it visible.

    Raises:
        WriteError: A chunk was refused; there is then no manifest, and so no snapshot.
    """
    ensure_templates(client)
    name = manifest_id(manifest["job_id"], manifest["snapshot_id"])
    common = {"job_id": manifest["job_id"], "snapshot_id": manifest["snapshot_id"]}
    bulk(
        client,
        (
            index_action(MODELS, _chunk_id(name, number), {**common, "row": number, "model": chunk})
            for number, chunk in enumerate(chunks)
        ),
    )
    client.index(
        index=SNAPSHOTS,
        id=name,
        document={**manifest, "detail": {**manifest["detail"], "chunks": len(chunks)}},
        refresh="wait_for",
    )


@talks_to_cluster
def manifests(client: Elasticsearch, job_id: str) -> list[Manifest]:
    """All snapshots of a job, the newest training window first."""
    found = client.search(
        index=SNAPSHOTS,
        query={"term": {"job_id": job_id}},
        sort=[{"training_end": {"order": "desc", "unmapped_type": "date"}}],
        size=MAX_SNAPSHOTS,
        ignore_unavailable=True,
    )
    return [hit["_source"] for hit in found["hits"]["hits"]]


def choose(found: list[Manifest], version: str, moment: datetime) -> Manifest | None:
    """The snapshot in force at a point of data time: of the validity intervals that hold it, the one that began last.

    A promoted snapshot is valid from its training window's end; a revert ends the intervals of the others.
    """
    best: tuple[datetime, Manifest] | None = None
    for manifest in found:
        if manifest["job_version"] != version:
            continue
        for interval in manifest["detail"]["valid"]:
            begin, end = parse_time(interval["from"]), interval.get("until")
            if begin <= moment and (end is None or moment < parse_time(end)) and (best is None or begin > best[0]):
                best = (begin, manifest)
    return best[1] if best else None


def find(found: list[Manifest], snapshot_id: str, job_id: str) -> Manifest:
    """The manifest of that id.

    Raises:
        SnapshotError: There is none.
    """
    for manifest in found:
        if manifest["snapshot_id"] == snapshot_id:
            return manifest
    known = ", ".join(manifest["snapshot_id"] for manifest in found[:5]) or "none"
    raise SnapshotError(f"no snapshot '{snapshot_id}'", where=f"job {job_id}", expected=f"one of {known}")


@talks_to_cluster
def chunks(client: Elasticsearch, manifest: Manifest) -> Iterator[dict[str, Any]]:
    """The snapshot's numbers, chunk by chunk.

    Raises:
        SnapshotError: A chunk is missing, so the snapshot is damaged.
    """
    name = manifest_id(manifest["job_id"], manifest["snapshot_id"])
    ids = [_chunk_id(name, number) for number in range(manifest["detail"]["chunks"])]
    loaded = []
    for first in range(0, len(ids), MGET):
        loaded += client.mget(index=MODELS, ids=ids[first : first + MGET])["docs"]
    missing = [doc["_id"] for doc in loaded if not doc.get("found")]
    if missing:
        raise SnapshotError(
            f"{len(missing)} chunks are missing", where=f"snapshot {name}", fix="Train again, or revert to another snapshot."
        )
    return iter([doc["_source"]["model"] for doc in loaded])


@talks_to_cluster
def revert(client: Elasticsearch, job_id: str, snapshot_id: str, at: datetime) -> Manifest:
    """Puts a snapshot in force from data time `at` on, until a newer one is promoted.

    Raises:
        SnapshotError: No such snapshot.
    """
    found = manifests(client, job_id)
    chosen = find(found, snapshot_id, job_id)
    for manifest in found:
        intervals = _cut(manifest["detail"]["valid"], at)
        if manifest is chosen:
            intervals = [*intervals, {"from": iso(at)}]
        if intervals != manifest["detail"]["valid"]:
            manifest["detail"]["valid"] = intervals
            manifest["state"] = "promoted" if intervals else manifest["state"]
            client.index(index=SNAPSHOTS, id=manifest_id(job_id, manifest["snapshot_id"]), document=manifest, refresh="wait_for")
    return chosen


def _cut(intervals: list[dict[str, str]], at: datetime) -> list[dict[str, str]]:
    """Intervals with everything from `at` on taken away."""
    kept = [dict(interval) for interval in intervals if parse_time(interval["from"]) < at]
    for interval in kept:
        if interval.get("until") is None or parse_time(interval["until"]) > at:
            interval["until"] = iso(at)
    return kept


@talks_to_cluster
def delete(client: Elasticsearch, job_id: str, snapshot_ids: list[str] | None = None) -> int:
    """Removes snapshots of a job (all of them by default), manifest first. Returns how many."""
    doomed = [m for m in manifests(client, job_id) if snapshot_ids is None or m["snapshot_id"] in snapshot_ids]
    for manifest in doomed:
        name = manifest_id(job_id, manifest["snapshot_id"])
        bulk(client, [delete_action(SNAPSHOTS, name)])
        bulk(client, (delete_action(MODELS, _chunk_id(name, number)) for number in range(manifest["detail"]["chunks"])))
    if doomed:
        client.indices.refresh(index=f"{SNAPSHOTS},{MODELS}", ignore_unavailable=True)
    return len(doomed)


def new_manifest(job_id: str, version: str, start: datetime, end: datetime) -> Manifest:
    """A manifest with its identity filled in. The id says the training window's end and the job's version."""
    return {
        "job_id": job_id,
        "job_version": version,
        "snapshot_id": f"{end:%Y%m%dt%H%M%S}-{version}",
        "training_start": iso(start),
        "training_end": iso(end),
        "created": iso(datetime.now(UTC)),
    }
