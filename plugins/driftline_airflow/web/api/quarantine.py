"""Rows that an ingest put aside: looking at them, releasing and dismissing them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from driftline.core.timespan import parse_time
from driftline.pipeline import quarantine as stored
from driftline.pipeline.quarantine import Choice
from driftline_airflow.web.access import ClusterDep, ReaderDep, may, of_job, of_source, require_read, routes

router = routes(prefix="/quarantine", tags=["quarantine"])
Text = Annotated[str | None, Query(max_length=1000)]
Moment = Annotated[str | None, Query(max_length=40, description="ISO 8601, epoch, or now-7d.")]
SourceId = Annotated[str, Path(max_length=64)]
Name = Annotated[str, Field(min_length=1, max_length=512)]


class Rows(BaseModel):
    """Rows of a source."""

    model_config = ConfigDict(extra="forbid")
    index: str = Field(min_length=1, max_length=255, description="The index where they belong.")
    ids: list[Name] = Field(min_length=1, max_length=stored.MOST)


def readable(found: list[dict[str, Any]], user: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """What is about sources that the user may see."""
    return [each for each in found if may(user, "GET", of_source(each["source_id"]))]


def choice(
    source: Annotated[str | None, Query(max_length=64, description="By default, all that you may see.")] = None,
    check: Text = None,
    reason: Annotated[str | None, Query(max_length=1000, description="What the reason contains.")] = None,
    file: Annotated[str | None, Query(max_length=1000, description="What the file's name contains.")] = None,
    start: Moment = None,
    end: Moment = None,
    moment: Annotated[Literal["added", "time"], Query(description="Start and end of being put aside, or of the row.")] = "added",
    state: stored.State = "open",
) -> Choice:
    """Which rows the request is about; what is empty says nothing."""
    return Choice(
        sources=(source,) if source else None,
        check=check or None,
        reason=reason or None,
        path=file or None,
        start=parse_time(start) if start else None,
        end=parse_time(end) if end else None,
        moment=moment,
        state=state,
    )


@router.get("")
def rows(
    client: ClusterDep,
    user: ReaderDep,
    wanted: Annotated[Choice, Depends(choice)],
    size: Annotated[int, Query(ge=1, le=stored.MOST)] = 50,
    first: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    """Rows, the latest put aside first, why each is there, and whether it can be released; with counts by check."""
    if wanted.sources:
        require_read(of_source(wanted.sources[0]), user)
    else:
        seen = {each["source_id"] for each in readable(stored.kept(client, wanted.state), user)}
        wanted = replace(wanted, sources=tuple(sorted(seen)))
    return stored.look(client, wanted, size=size, first=first)


@router.get("/sources")
def sources(client: ClusterDep, user: ReaderDep, state: stored.State = "open") -> dict[str, Any]:
    """Sources with rows in that state, for which index, and how many."""
    found = readable(stored.kept(client, state), user)
    return {"count": len(found), "sources": found}


@router.post("/{source_id}/release")
def release(client: ClusterDep, user: ReaderDep, source_id: SourceId, asked: Rows) -> dict[str, Any]:
    """Indexes rows as they are. Of each is said what became of it; and which jobs have scored without them."""
    told = stored.release(client, source_id, asked.index, asked.ids, by=user.get_name())
    return {**told, "score_again": [each for each in told["score_again"] if may(user, "GET", of_job(each["job_id"]))]}


@router.post("/{source_id}/dismiss")
def dismiss(client: ClusterDep, user: ReaderDep, source_id: SourceId, asked: Rows) -> dict[str, Any]:
    """Puts rows out of sight for good."""
    return stored.dismiss(client, source_id, asked.index, asked.ids, by=user.get_name())
