"""Model snapshots: what was learned, and which is in force."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import Field

from driftline.core.results import milliseconds
from driftline.core.timespan import floor_time, iso, parse_time
from driftline.elastic import results, snapshots, state
from driftline.elastic.indices import RESULTS
from driftline_airflow.web.access import ClusterDep, asks
from driftline_airflow.web.airflow import AirflowDep
from driftline_airflow.web.elastic import running
from driftline_airflow.web.elastic.names import Held, HeldDep, Names, matching
from driftline_airflow.web.elastic.shape import Asked, Elastic, Ranged, absent, asked, conflict, missing, whole, wrong

router = APIRouter(prefix="/_ml/anomaly_detectors/{job_id}/model_snapshots", route_class=Elastic)
SnapshotId = Annotated[str, Path(max_length=100)]
SORTS = {"timestamp", "min_version", "description", "snapshot_id", "latest_record_time_stamp", "latest_result_time_stamp"}


class Listed(Ranged):
    """Which snapshots."""

    desc: bool = True


class Changed(Asked):
    """What is said of a snapshot."""

    description: str | None = Field(None, max_length=10_000)
    retain: bool | None = None


class Reverted(Asked):
    """What becomes of later results."""

    delete_intervening_results: bool = False


ListedDep = Annotated[Listed, Depends(asked(Listed))]


def _shown(manifest: dict[str, Any]) -> dict[str, Any]:
    """A snapshot as Elastic gives it; the lineage is ours."""
    until = milliseconds(parse_time(manifest["training_end"]))
    sizes = {"job_id": manifest["job_id"], "result_type": "model_size_stats", "model_bytes": 0, "memory_status": "ok"}
    return {
        "job_id": manifest["job_id"],
        "min_version": "9.0.0",
        "timestamp": milliseconds(parse_time(manifest["created"])),
        "description": manifest.get("description") or "",
        "snapshot_id": manifest["snapshot_id"],
        "snapshot_doc_count": manifest["detail"].get("chunks", 1),
        "model_size_stats": {**sizes, "total_partition_field_count": manifest["trained"]},
        "latest_record_time_stamp": until,
        "latest_result_time_stamp": until,
        "retain": bool(manifest.get("retain")),
        "driftline": {name: manifest[name] for name in ("job_version", "state", "training_start", "training_end")},
    }


def _one(client: ClusterDep, held: Held, snapshot_id: str) -> dict[str, Any]:
    found = next((each for each in snapshots.manifests(client, held.job_id) if each["snapshot_id"] == snapshot_id), None)
    if found is None:
        raise missing(f"No model snapshot with id [{snapshot_id}] exists for job [{held.job_id}]")
    return found


@router.api_route("", methods=["GET", "POST"])
@asks
def get_all(client: ClusterDep, held: HeldDep, how: ListedDep) -> dict[str, Any]:
    """All snapshots of a job."""
    return get(client, held, "_all", how)


@router.api_route("/{names}", methods=["GET", "POST"])
@asks
def get(client: ClusterDep, held: HeldDep, names: Names, how: ListedDep) -> dict[str, Any]:
    """Some snapshots of a job."""
    sort = how.sort or "timestamp"
    if sort not in SORTS:
        raise wrong(f"[sort] snapshots cannot be sorted by '{sort}'")
    there = {each["snapshot_id"]: _shown(each) for each in snapshots.manifests(client, held.job_id)}
    found = matching(there, names, what="No model snapshot with id")
    window = how.window
    inside = [each for each in found if window.start <= parse_time(each["timestamp"] / 1000) < window.end]
    inside.sort(key=lambda each: each[sort], reverse=how.desc)
    return {"count": len(inside), "model_snapshots": how.cut(inside)}


@router.delete("/{snapshot_id}")
def delete(client: ClusterDep, held: HeldDep, snapshot_id: SnapshotId) -> dict[str, Any]:
    """Deletes a snapshot that is not in force."""
    _one(client, held, snapshot_id)
    found = snapshots.manifests(client, held.job_id)
    force = snapshots.in_force(found, held.job.version) if held.job else None
    if force and force["snapshot_id"] == snapshot_id:
        raise conflict(f"Model snapshot '{snapshot_id}' is the active snapshot for job '{held.job_id}', so cannot be deleted")
    snapshots.delete(client, held.job_id, [snapshot_id])
    return {"acknowledged": True}


@router.post("/{snapshot_id}/_update")
def update(
    client: ClusterDep, held: HeldDep, snapshot_id: SnapshotId, how: Annotated[Changed, Depends(asked(Changed))]
) -> dict[str, Any]:
    """Says something of a snapshot, and whether it is kept."""
    _one(client, held, snapshot_id)
    changed = snapshots.update(client, held.job_id, snapshot_id, description=how.description, retain=how.retain)
    return {"acknowledged": True, "model": _shown(changed)}


@router.post("/{snapshot_id}/_revert")
def revert(
    client: ClusterDep,
    airflow: AirflowDep,
    held: HeldDep,
    snapshot_id: SnapshotId,
    how: Annotated[Reverted, Depends(asked(Reverted))],
) -> dict[str, Any]:
    """Puts a snapshot in force from where its data ends, until a newer one is promoted."""
    from driftline.pipeline.versions import COUNTED

    if snapshot_id == "empty":
        raise absent("There is no empty snapshot here: _reset forgets all that a job has learned.")
    found = _one(client, held, snapshot_id)
    if running.opened(airflow, held):
        raise conflict(f"Can only revert to a model snapshot when the job is closed: [{held.job_id}] is opened")
    job, end = held.runnable(), parse_time(found["training_end"])
    snapshots.revert(client, held.job_id, snapshot_id, end, version=job.version)
    if how.delete_intervening_results:
        since = floor_time(end, job.bucket_span)
        state.rewind(client, job, since)  # first: what is left of a half deletion is scored again, too
        later = [*results.interval(job, whole(iso(since), None)), {"terms": {"result_type": list(COUNTED)}}]
        results.delete(client, f"{RESULTS}-*", {"bool": {"filter": later}})
    return {"model": _shown(_one(client, held, snapshot_id))}
