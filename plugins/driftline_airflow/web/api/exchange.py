"""Jobs of other systems: Elastic's files and loudml's models taken over, and jobs in their form."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import HTTPException, status
from pydantic import BaseModel, ConfigDict, Field

from driftline.core.job import Job
from driftline_airflow.web.access import ClusterDep, may, of_job, routes
from driftline_airflow.web.api.series import JobDep

router = routes(tags=["exchange"])
# One part of a path whatever is in it; manifests and datafeeds find their jobs by it.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.json$")]


class Files(BaseModel):
    """Files as they would lie in one folder."""

    model_config = ConfigDict(extra="forbid")
    files: dict[Name, Any] = Field(min_length=1, max_length=500, description="File name → its JSON.")
    index_pattern: str | None = Field(
        None, max_length=500, description="What to read where a file has a placeholder or no datafeed."
    )
    dry_run: bool = Field(False, description="Tell what would become of each file, and save nothing.")


@router.post("/import")
def imported(client: ClusterDep, user: GetUserDep, asked: Files) -> dict[str, Any]:
    """Takes over Elastic's jobs, with or without datafeeds, modules with a manifest, and loudml's models."""
    from driftline.pipeline.imports import import_jobs

    with TemporaryDirectory(prefix="driftline-import-") as folder:
        for name, content in asked.files.items():
            Path(folder, name).write_text(json.dumps(content), encoding="utf-8")
        found = import_jobs(None, [Path(folder)], index_pattern=asked.index_pattern)
        if not asked.dry_run:
            _refuse_others(client, user, [each.job for each in found if each.job])
            found = import_jobs(client, [Path(folder)], index_pattern=asked.index_pattern)
        told = [each.as_dict() for each in found]
        for each in told:
            each["file"] = Path(each["file"]).name
            each["notes"] = [note.replace(f"{folder}/", "") for note in each["notes"]]
    return {"count": len(told), "jobs": told}


def _refuse_others(client: ClusterDep, user: Any, jobs: list[Job]) -> None:  # noqa: ANN401
    """Refuses what the user may not change, and what is under version control."""
    from driftline.pipeline.jobs import list_definitions

    files = {each.id for each in list_definitions(client) if each.kind == "job" and each.origin == "file"}
    for job in jobs:
        if not may(user, "PUT", of_job(job.job_id)):
            raise HTTPException(status.HTTP_403_FORBIDDEN, f"You may not change {job.job_id}.")
        if job.job_id in files:
            detail = f"The job is defined in a file, which is under version control: {job.job_id}.yaml"
            raise HTTPException(status.HTTP_409_CONFLICT, detail)


@router.get("/jobs/{job_id}/export")
def exported(job: JobDep, to: Literal["elastic", "loudml"] = "elastic") -> dict[str, Any]:
    """A job in another system's form; in `notes`, what of it is different there."""
    from driftline.pipeline.imports import export_job

    body, notes = export_job(job, to)
    return {"job": body, "notes": notes}
