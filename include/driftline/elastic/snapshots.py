"""Model snapshots in Elasticsearch: numbers in chunks, and a manifest, written last, that makes them visible."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from driftline.core.errors import SnapshotError, SnapshotPartError
from driftline.core.timespan import Window, iso, parse_time
from driftline.elastic import results
from driftline.elastic.annotations import MODEL_CHANGE, annotate
from driftline.elastic.bulk import bulk, delete_action, index_action
from driftline.elastic.client import explained, talks_to_cluster
from driftline.elastic.indices import MODELS, SNAPSHOTS, ensure_templates

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from elasticsearch import Elasticsearch

    from driftline.core.series import SeriesKey

Manifest = dict[str, Any]
MAX_SNAPSHOTS = 1000
CATEGORIES = "categories"  # in `detail.ranges`: the chunk holds categories of messages
MGET = 8  # chunks a request, some 4 MB


def manifest_id(job_id: str, snapshot_id: str) -> str:
    """The manifest's `_id`; both parts are identifiers, so the colon separates."""
    return f"{job_id}:{snapshot_id}"


def key_range(keys: Collection[SeriesKey]) -> list[list[Any]]:
    """The first and the last of a chunk's keys, for `detail.ranges` of a manifest: who needs a few series reads few chunks."""
    return [list(min(keys, key=_order)), list(max(keys, key=_order))]


def _order(key: Iterable[Any]) -> tuple[int, str, str]:
    detector, partition, by, *_ = key
    return detector, partition or "", by or ""


def _chunk_ids(manifest: Manifest) -> list[str]:
    name, detail = manifest_id(manifest["job_id"], manifest["snapshot_id"]), manifest["detail"]
    return [f"{name}:{detail['writing']}:{number}" for number in range(detail["chunks"])]


def _needed(manifest: Manifest, keys: Collection[SeriesKey]) -> list[str]:
    """The ids of the chunks whose range of keys meets that of `keys`."""
    ranges = manifest["detail"].get("ranges")
    if ranges is None or not keys:
        return _chunk_ids(manifest) if keys else []
    first, last = map(_order, key_range(keys))
    pairs = ((id_, between) for id_, between in zip(_chunk_ids(manifest), ranges, strict=True) if isinstance(between, list))
    return [id_ for id_, (low, high) in pairs if _order(low) <= last and first <= _order(high)]


def _of_series(manifest: Manifest) -> list[str]:
    """The ids of the chunks that hold series; the others are of detectors that compare."""
    ids, ranges = _chunk_ids(manifest), manifest["detail"].get("ranges")
    return ids if ranges is None else [id_ for id_, between in zip(ids, ranges, strict=True) if isinstance(between, list)]


@talks_to_cluster
def write(client: Elasticsearch, manifest: Manifest, chunks: Iterable[bytes]) -> None:
    """Writes a snapshot: all chunks first, then the manifest that makes it visible.

    The chunks of each writing have ids of their own, so that a snapshot that is written again is the old one until it is the
    new one, also for who reads it meanwhile or dies in between.

    Args:
        client: The cluster.
        manifest: What describes it; `detail.ranges` may hold each chunk's `key_range`, the number of the detector it is of, or
            `CATEGORIES`.
        chunks: Models of some series each, as JSON.

    Raises:
        WriteError: A chunk was refused; there is then no manifest, and so no snapshot.
    """
    ensure_templates(client)
    name = manifest_id(manifest["job_id"], manifest["snapshot_id"])
    before = client.options(ignore_status=404).get(index=SNAPSHOTS, id=name).body.get("_source")
    writing, size = secrets.token_hex(4), 0
    head = orjson.dumps({"job_id": manifest["job_id"], "snapshot_id": manifest["snapshot_id"]})[:-1]

    def actions() -> Iterator[bytes]:
        nonlocal size
        for number, chunk in enumerate(chunks):
            size += len(chunk)
            yield index_action(MODELS, f"{name}:{writing}:{number}", b'%b,"row":%d,"model":%b}' % (head, number, chunk))

    written = bulk(client, actions())
    said = before["detail"].get("said", {}) if before else {}  # by a user; it stays when a snapshot is written again
    detail = {**manifest["detail"], "chunks": written.total, "writing": writing, "bytes": size, "said": said}
    client.index(index=SNAPSHOTS, id=name, document={**manifest, "retain": False, "detail": detail, **said}, refresh=True)
    if before:
        bulk(client, (delete_action(MODELS, id_) for id_ in _chunk_ids(before)))


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


def in_force(found: list[Manifest], version: str) -> Manifest | None:
    """The snapshot that scores the newest data of a version."""
    return choose(found, version, datetime.max.replace(tzinfo=UTC))


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


def chunks(
    client: Elasticsearch, manifest: Manifest, *, keys: Collection[SeriesKey] | None = None, fields: list[str] | None = None
) -> Iterator[dict[str, Any]]:
    """The snapshot's numbers, chunk by chunk.

    Args:
        client: The cluster.
        manifest: Which snapshot.
        keys: Leave out chunks that hold none of these series, as far as can be told from the manifest.
        fields: Only these parts of each chunk, such as `keys`.

    Raises:
        SnapshotPartError: A chunk is missing, so the snapshot is damaged.
    """
    ids = _of_series(manifest) if keys is None else _needed(manifest, keys)
    asked = [f"model.{name}" for name in fields] if fields else None
    yield from _fetched(client, manifest, ids, asked)


def detector_chunk(client: Elasticsearch, manifest: Manifest, detector: int) -> dict[str, Any] | None:
    """What a detector that compares has learned; None where it has not.

    Raises:
        SnapshotPartError: The chunk is missing.
    """
    ranges = manifest["detail"].get("ranges") or []
    ids = [id_ for id_, of in zip(_chunk_ids(manifest), ranges, strict=False) if of == detector and not isinstance(of, list)]
    return next((model["numbers"] for model in _fetched(client, manifest, ids, None)), None)


def category_chunks(client: Elasticsearch, manifest: Manifest, fields: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The categories of messages that a snapshot knows, chunk by chunk; `fields` as of `chunks`.

    Raises:
        SnapshotPartError: A chunk is missing.
    """
    ranges = manifest["detail"].get("ranges") or []
    ids = [id_ for id_, of in zip(_chunk_ids(manifest), ranges, strict=False) if of == CATEGORIES]
    yield from _fetched(client, manifest, ids, [f"model.{name}" for name in fields] if fields else None)


def _fetched(client: Elasticsearch, manifest: Manifest, ids: list[str], asked: list[str] | None) -> Iterator[dict[str, Any]]:
    for place in range(0, len(ids), MGET):
        with explained(f"snapshot {manifest['snapshot_id']}"):
            found = client.mget(index=MODELS, ids=ids[place : place + MGET], source_includes=asked)["docs"]
        if missing := [doc["_id"] for doc in found if not doc.get("found")]:
            raise SnapshotPartError(
                f"{len(missing)} chunks are missing, the first is {missing[0]}",
                where=f"job {manifest['job_id']}, snapshot {manifest['snapshot_id']}",
                fix="If it was trained again just now, start anew. Else train again, or revert to another snapshot.",
            )
        for doc in found:
            yield doc["_source"]["model"]


@talks_to_cluster
def revert(client: Elasticsearch, job_id: str, snapshot_id: str, at: datetime, *, version: str | None = None) -> Manifest:
    """Puts a snapshot in force from data time `at` on, until a newer one is promoted; an annotation tells of it.

    Raises:
        SnapshotError: No such snapshot, or it is of another version of the job than `version`.
    """
    found = manifests(client, job_id)
    chosen = find(found, snapshot_id, job_id)
    if version and chosen["job_version"] != version:
        raise SnapshotError(
            f"snapshot '{snapshot_id}' is of version {chosen['job_version']} of the job; the job is now of version {version}",
            where=f"job {job_id}",
            fix="Put the job's former definition back: its snapshots are in force again then.",
        )
    for manifest in (each for each in found if each["job_version"] == chosen["job_version"]):
        intervals = _cut(manifest["detail"]["valid"], at)
        if manifest is chosen:
            intervals = [*intervals, {"from": iso(at)}]
        if intervals != manifest["detail"]["valid"]:
            manifest["detail"]["valid"] = intervals
            manifest["state"] = "promoted" if intervals else manifest["state"]
            client.index(index=SNAPSHOTS, id=manifest_id(job_id, manifest["snapshot_id"]), document=manifest, refresh=True)
    text = f"The job was reverted to the model snapshot {snapshot_id}, trained on data until {chosen['training_end']}."
    annotate(client, job_id, Window(at, at), text, event=MODEL_CHANGE, about=snapshot_id)
    return chosen


@talks_to_cluster
def update(
    client: Elasticsearch, job_id: str, snapshot_id: str, *, description: str | None = None, retain: bool | None = None
) -> Manifest:
    """Sets a snapshot's description, and whether it is kept for ever. It stays so when the snapshot is trained again.

    Raises:
        SnapshotError: No such snapshot.
    """
    manifest = find(manifests(client, job_id), snapshot_id, job_id)
    given = {"description": description, "retain": retain}
    said = {name: value for name, value in given.items() if value is not None}
    manifest["detail"]["said"] = {**manifest["detail"].get("said", {}), **said}
    manifest |= said
    client.index(index=SNAPSHOTS, id=manifest_id(job_id, snapshot_id), document=manifest, refresh=True)
    return manifest


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
        bulk(client, [delete_action(SNAPSHOTS, manifest_id(job_id, manifest["snapshot_id"]))])
    if doomed:
        client.indices.refresh(index=SNAPSHOTS, ignore_unavailable=True)
        # found by search, not by the manifest: a writing that died left chunks as well
        ids = [manifest["snapshot_id"] for manifest in doomed]
        results.delete(client, MODELS, {"bool": {"filter": [{"term": {"job_id": job_id}}, {"terms": {"snapshot_id": ids}}]}})
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
