"""Annotations, forecasts and categories: what is noted of a job, what was made ahead, the kinds of its messages."""

from __future__ import annotations

from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Path, Query, status
from pydantic import BaseModel, ConfigDict, Field

from driftline.core.series import SeriesKey
from driftline.core.timespan import Window, parse_time
from driftline.elastic import annotations as stored
from driftline.elastic.results import of_type
from driftline_airflow.web.access import ClusterDep, routes
from driftline_airflow.web.api.series import JobDep, Moment

router = routes(prefix="/jobs/{job_id}", tags=["annotations, forecasts, categories"])
Id = Annotated[str, Path(max_length=100)]
Value = Annotated[str | None, Field(max_length=32_766)]


class Note(BaseModel):
    """What is to be known of a stretch of time, or of one series in it."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1, max_length=stored.MOST_TEXT)
    start: str = Field(max_length=40, description="ISO 8601, epoch, or now-7d.")
    end: str | None = Field(None, max_length=40, description="By default a moment.")
    detector: int | None = Field(None, ge=0, le=10_000)
    partition: Value = None
    by: Value = None
    over: Value = None


@router.get("/annotations")
def annotations(client: ClusterDep, job: JobDep, start: Moment = None, end: Moment = None) -> dict[str, Any]:
    """A job's newest annotations by time, those that touch the window."""
    found = stored.of_job(client, job.job_id)
    first = parse_time(start).timestamp() * 1000 if start else float("-inf")
    last = parse_time(end).timestamp() * 1000 if end else float("inf")
    shown = [each for each in found if each["timestamp"] < last and each.get("end_timestamp", each["timestamp"]) >= first]
    return {"count": len(shown), "annotations": shown}


@router.post("/annotations", status_code=status.HTTP_201_CREATED)
def annotate(client: ClusterDep, user: GetUserDep, job: JobDep, note: Note) -> dict[str, Any]:
    """Notes something, as the signed-in user; the same again changes nothing."""
    about = any(given is not None for given in (note.detector, note.partition, note.by, note.over))
    key = SeriesKey(note.detector or 0, note.partition, note.by, note.over) if about else None
    window = Window.parse(note.start, note.end or note.start)
    return {"_id": stored.add(client, job, window, note.text, by=user.get_name(), key=key), "job_id": job.job_id}


@router.delete("/annotations/{annotation_id}")
def remove_annotation(client: ClusterDep, job: JobDep, annotation_id: Id) -> dict[str, Any]:
    """Deletes an annotation."""
    return {"removed": stored.delete(client, job.job_id, [annotation_id])}


@router.get("/forecasts")
def forecasts(client: ClusterDep, job: JobDep) -> dict[str, Any]:
    """A job's forecasts, the newest first: range, expiry, series, and what a reader should know of each."""
    from driftline.pipeline.forecast import forecasts as made

    found = made(client, job.job_id)
    return {"count": len(found), "forecasts": found}


@router.delete("/forecasts/{forecast_id}")
def remove_forecast(client: ClusterDep, job: JobDep, forecast_id: Id) -> dict[str, Any]:
    """Deletes a forecast; answers with how many documents that were."""
    from driftline.pipeline.forecast import delete_forecasts

    return {"removed": delete_forecasts(client, job.job_id, [forecast_id])}


@router.get("/categories")
def categories(client: ClusterDep, job: JobDep, limit: Annotated[int, Query(ge=1, le=10_000)] = 1000) -> dict[str, Any]:
    """The kinds of messages that a job tells apart, the most frequent first."""
    found = of_type(client, job.job_id, "category_definition", version=job.version)
    found.sort(key=lambda each: (-each["num_matches"], each["category_id"]))
    return {"count": len(found), "categories": found[:limit]}
