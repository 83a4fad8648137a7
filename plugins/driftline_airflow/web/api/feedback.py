"""Feedback: what people say of records, nothing or real. The signed-in user says it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Path, status
from pydantic import BaseModel, ConfigDict, Field

from driftline_airflow.web.access import ClusterDep, routes
from driftline_airflow.web.api.series import JobDep

router = routes(prefix="/jobs/{job_id}/feedback", tags=["feedback"])
FeedbackId = Annotated[str, Path(max_length=100)]


class Said(BaseModel):
    """What somebody says of a record."""

    model_config = ConfigDict(extra="forbid")
    record_id: str = Field(min_length=1, max_length=100, description="Its `_id`; that of an event stands for its peak.")
    verdict: Literal["nothing", "real"]
    note: str = Field("", max_length=2000, description="Why.")


@router.get("")
def listed(client: ClusterDep, job: JobDep, revoked: bool = True) -> dict[str, Any]:
    """All that was said of a job's records, by the record's time; `revoked=false` leaves out what was taken back."""
    from driftline.pipeline.feedback import list_feedback

    found = list_feedback(client, job.job_id, revoked=revoked)
    return {"count": len(found), "feedback": found}


@router.post("", status_code=status.HTTP_201_CREATED)
def give(client: ClusterDep, user: GetUserDep, job: JobDep, said: Said) -> dict[str, Any]:
    """Says of a record that it was nothing, or real, in place of what was said of it before; runs go by it from now on."""
    from driftline.pipeline.feedback import give_feedback

    return give_feedback(client, job.job_id, said.record_id, said.verdict, note=said.note, by=user.get_name())


@router.delete("/{feedback_id}")
def revoke(client: ClusterDep, user: GetUserDep, job: JobDep, feedback_id: FeedbackId) -> dict[str, Any]:
    """Takes back what was said; by its id, or by the record's."""
    from driftline.pipeline.feedback import revoke_feedback

    return revoke_feedback(client, job.job_id, feedback_id, by=user.get_name())
