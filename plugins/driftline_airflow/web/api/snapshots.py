"""Model snapshots: what was learned, and which is in force."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from driftline.core.timespan import parse_time
from driftline.elastic import snapshots as stored
from driftline_airflow.web.access import ClusterDep, routes
from driftline_airflow.web.api.series import JobDep

router = routes(prefix="/jobs/{job_id}/snapshots", tags=["snapshots"])
SnapshotId = Annotated[str, Path(max_length=100)]


class Revert(BaseModel):
    """From when on a snapshot shall be in force."""

    model_config = ConfigDict(extra="forbid")
    at: str = Field("now", max_length=40, description="A point in data time.")


@router.get("")
def snapshots(client: ClusterDep, job: JobDep) -> dict[str, Any]:
    """A job's snapshots, the newest training window first."""
    found = stored.manifests(client, job.job_id)
    return {"count": len(found), "snapshots": found}


@router.get("/{snapshot_id}")
def snapshot(client: ClusterDep, job: JobDep, snapshot_id: SnapshotId) -> dict[str, Any]:
    """One of them."""
    return stored.find(stored.manifests(client, job.job_id), snapshot_id, job.job_id)


@router.post("/{snapshot_id}/revert")
def revert(client: ClusterDep, job: JobDep, snapshot_id: SnapshotId, asked: Revert | None = None) -> dict[str, Any]:
    """Puts a snapshot in force, until a newer one is promoted. Results stay; score again to replace them."""
    return stored.revert(client, job.job_id, snapshot_id, parse_time((asked or Revert()).at), version=job.version)
