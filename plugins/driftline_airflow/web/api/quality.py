"""The quality gate's verdicts and reports."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query

from driftline_airflow.web.access import ClusterDep, ReaderDep, may, of_source, routes

router = routes(prefix="/quality", tags=["quality"])
Name = Annotated[str | None, Query(max_length=64, description="A job or source.")]
Stage = Literal["train", "score", "ingest"]


@router.get("")
def latest(client: ClusterDep, user: ReaderDep, name: Name = None) -> dict[str, Any]:
    """The latest verdict of each stage of each job and source, with the trend of the last ten."""
    from driftline.pipeline.gate import latest as newest

    found = [each for each in newest(client, name) if may(user, "GET", dag_of(each))]
    return {"count": len(found), "quality": found}


@router.get("/reports")
def reports(
    client: ClusterDep,
    user: ReaderDep,
    name: Name = None,
    stage: Stage | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> dict[str, Any]:
    """Reports, the latest made first."""
    from driftline.pipeline.gate import reports as stored

    found = [each for each in stored(client, name, stage=stage, limit=limit) if may(user, "GET", dag_of(each))]
    return {"count": len(found), "reports": found}


def dag_of(found: dict[str, Any]) -> str:
    """The DAG whose readers may see a report."""
    if found.get("source_id"):
        return of_source(found["source_id"])
    return f"{found.get('job_id')}.{found.get('stage') or 'score'}"
