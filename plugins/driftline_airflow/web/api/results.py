"""Results: swim lanes, influencers, records, events, buckets, and when jobs were anomalous together."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import HTTPException, Query, Response, status

from driftline.core.timespan import iso
from driftline.elastic import lanes as stored
from driftline.elastic.lanes import LANES, LANES_MOST, SPLITS, Chosen
from driftline.elastic.results import QUIET, of_type, scan
from driftline.scoring.aggregate import overall_buckets
from driftline.scoring.score import severity
from driftline_airflow.web.access import ClusterDep, routes
from driftline_airflow.web.api.choice import ChosenDep

router = routes(tags=["results"])
PAGE, DEEP = 500, 10_000  # of records; Elasticsearch pages no deeper
Limit = Annotated[int, Query(ge=1, le=PAGE)]
Offset = Annotated[int, Query(ge=0, le=DEEP - PAGE)]
Part = Annotated[str, Query(max_length=500, description="Part of a partition, by or over value.")]
Sort = Literal["record_score", "timestamp", "probability", "actual", "typical"]
COLUMNS = (
    "time", "score", "severity", "job", "detector", "partition", "by", "over", "actual", "typical", "probability", "kind", "what",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run
NUMBERS = re.compile(r"(?:[+-]?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?(?: |\Z))+")


@router.get("/lanes")
def lanes(
    client: ClusterDep,
    choice: ChosenDep,
    view: Annotated[str, Query(max_length=300, description="job, detector, partition, by, over, or influencer:FIELD.")] = "job",
    limit: Annotated[int, Query(ge=1, le=LANES_MOST)] = LANES,
    offset: Annotated[int, Query(ge=0, le=DEEP)] = 0,
) -> dict[str, Any]:
    """Swim lanes: the highest scores by time, overall and for the highest values of a field."""
    if view not in {"job", "detector", *SPLITS} and not view.startswith("influencer:"):
        raise HTTPException(
            status.HTTP_422_UNPROCESSABLE_CONTENT, "view: job, detector, partition, by, over or influencer:FIELD is expected."
        )
    return stored.lanes(client, choice, by=view, limit=limit, after=offset)


@router.get("/influencers")
def influencers(client: ClusterDep, choice: ChosenDep, limit: Annotated[int, Query(ge=1, le=100)] = 10) -> dict[str, Any]:
    """The field values that are behind most of it, by influencer field."""
    return {"influencers": stored.influencers(client, choice, limit=limit)}


@router.get("/records")
def records(
    client: ClusterDep,
    choice: ChosenDep,
    sort: Sort = "record_score",
    desc: bool = True,
    limit: Limit = 50,
    offset: Offset = 0,
    q: Part = "",
) -> dict[str, Any]:
    """A page of records, each with what was said of it as `feedback`."""
    from driftline.pipeline.feedback import with_verdicts

    total, found = stored.records(client, choice, sort=sort, descending=desc, size=limit, start=offset, part=q)
    by_id = {job.job_id: job for job in choice.jobs}
    for each in found:
        each["severity"] = severity(each["record_score"])
        each["detector"] = by_id[each["job_id"]].detectors[each["detector_index"]].description
    return {"count": total, **choice.window.as_dict(), "records": with_verdicts(client, found)}


@router.get("/records.csv", response_class=Response)
def records_csv(client: ClusterDep, choice: ChosenDep, sort: Sort = "record_score", desc: bool = True, q: Part = "") -> Response:
    """The highest 10 000 records, for a spreadsheet; what it would take for a formula is written as text."""
    _, found = stored.records(client, choice, sort=sort, descending=desc, size=DEEP, part=q)
    detectors = {job.job_id: [each.description for each in job.detectors] for job in choice.jobs}
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for record in found:
        writer.writerow(_plain(cell) for cell in _row(record, detectors))
    headers = {"Content-Disposition": 'attachment; filename="anomalies.csv"'}
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _row(record: dict[str, Any], detectors: dict[str, list[str]]) -> list[Any]:
    said, score = record.get("driftline") or {}, float(record["record_score"])
    splits = [record.get(field, "") for field in SPLITS.values()]
    numbers = [_first(record.get(name)) for name in ("actual", "typical", "probability")]
    return [
        iso(datetime.fromtimestamp(record["timestamp"] / 1000, UTC)), score, severity(score), record["job_id"],
        detectors[record["job_id"]][record["detector_index"]], *splits, *numbers, said.get("kind", ""), said.get("sentence", ""),
    ]  # fmt: skip


def _first(value: Any) -> Any:  # noqa: ANN401 - a number or Elastic's list of some
    if not isinstance(value, list):
        return value
    return value[0] if len(value) == 1 else " ".join(str(each) for each in value)


def _plain(cell: Any) -> Any:  # noqa: ANN401
    runs = isinstance(cell, str) and cell.startswith(FORMULA) and not NUMBERS.fullmatch(cell)
    return f"'{cell}" if runs else cell


@router.get("/events")
def events(client: ClusterDep, choice: ChosenDep, alarms: bool = False) -> dict[str, Any]:
    """Incidents by time, all or those that alarmed; of chosen values those that a record of theirs is part of."""
    without = QUIET if alarms and not choice.values else None
    found = [
        each
        for job in choice.jobs
        for each in of_type(client, job.job_id, "event", version=job.version, window=choice.window, without=without)
    ]
    if choice.values:
        found = [each for each in _holding(client, choice, found) if each["driftline"]["event"]["alarm"] or not alarms]
    shown = [each for each in found if each["anomaly_score"] >= choice.min_score]
    return {"count": len(shown), **choice.window.as_dict(), "events": sorted(shown, key=lambda each: each["timestamp"])}


def _holding(client: ClusterDep, choice: Chosen, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events that a chosen record is part of, and those that speak for them."""
    fields = ("job_id", "detector_index", *SPLITS.values())
    times: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for hit in scan(client, replace(choice, min_score=0.0).of_records(), source=[*fields, "timestamp"]):
        times[tuple(hit["_source"].get(name) for name in fields)].append(hit["_source"]["timestamp"])
    above = {each["_id"]: each["driftline"]["event"].get("member_of") for each in found}
    more = {
        each["_id"]
        for each in found
        for at in times.get(tuple(each.get(name) for name in fields), ())
        if each["timestamp"] <= at < each["driftline"]["event"]["end"]
    }
    held: set[str] = set()
    while more:
        held |= more
        more = {above[name] for name in more if above.get(name) in above} - held
    return [each for each in found if each["_id"] in held]


@router.get("/buckets")
def buckets(client: ClusterDep, choice: ChosenDep) -> dict[str, Any]:
    """Buckets in which something happened, by time."""
    found = _buckets(client, choice)
    return {"count": len(found), **choice.window.as_dict(), "buckets": found}


@router.get("/overall_buckets")
def overall(client: ClusterDep, choice: ChosenDep, top_n: Annotated[int, Query(ge=1, le=100)] = 1) -> dict[str, Any]:
    """When jobs were anomalous at the same time; it says nothing of causes."""
    found = overall_buckets(_buckets(client, choice), top_n=top_n, jobs=[job.job_id for job in choice.jobs])
    shown = [each for each in found if each["overall_score"] >= choice.min_score]
    return {"count": len(shown), "overall_buckets": shown}


def _buckets(client: ClusterDep, choice: ChosenDep) -> list[dict[str, Any]]:
    found = [
        each for job in choice.jobs for each in of_type(client, job.job_id, "bucket", version=job.version, window=choice.window)
    ]
    return [each for each in found if each["anomaly_score"] >= choice.min_score]
