"""Results: records, buckets, influencers, categories, and when several jobs were anomalous together."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import Field

from driftline.core.timespan import Window, parse_span, parse_time
from driftline.elastic import results as stored
from driftline.elastic.indices import MAPPINGS, RESULTS
from driftline.scoring.aggregate import overall_buckets
from driftline_airflow.web.access import ClusterDep, ReaderDep, asks
from driftline_airflow.web.elastic.names import Held, HeldDep, Names, jobs
from driftline_airflow.web.elastic.shape import DEEP, Asked, Elastic, Moment, Paged, Ranged, asked, missing, moment, whole, wrong

router = APIRouter(prefix="/_ml/anomaly_detectors", route_class=Elastic)
BOTH = ["GET", "POST"]
Score = Annotated[float, Field(ge=0, le=100)]
SORTED = {name for name, about in MAPPINGS[RESULTS].items() if about.get("enabled", True) and "properties" not in about}


class Records(Ranged):
    """Which records."""

    desc: bool = True
    record_score: Score = 0.0


class Buckets(Ranged):
    """Which buckets."""

    anomaly_score: Score = 0.0
    expand: bool = False


class Influencers(Ranged):
    """Which influencers."""

    desc: bool = True
    influencer_score: Score = 0.0


class Categories(Paged):
    """Which categories."""

    partition_field_value: str | None = Field(None, max_length=32_766)


class Overall(Asked):
    """Which overall buckets."""

    allow_no_match: bool = True
    bucket_span: str | None = Field(None, max_length=40)
    start: Moment | None = None
    end: Moment | None = None
    exclude_interim: bool = False
    overall_score: Score = 0.0
    top_n: int = Field(1, ge=1)


def _found(client: ClusterDep, held: Held, kind: str, how: Ranged, score: str, sort: str) -> tuple[int, list[dict[str, Any]]]:
    """A page of results of at least a score."""
    if how.sort and how.sort not in SORTED:
        raise wrong(f"[sort] results cannot be sorted by '{how.sort}'")
    first, size = how.place
    if held.job is None:
        return 0, []
    least = float(getattr(how, score))
    where = [{"range": {score: {"gte": least}}}] if least else []
    order = how.sort or sort
    return stored.page(client, held.job, kind, how.window, where=where, sort=order, descending=how.desc, start=first, size=size)


@router.api_route("/{job_id}/results/records", methods=BOTH)
@asks
def records(client: ClusterDep, held: HeldDep, how: Annotated[Records, Depends(asked(Records))]) -> dict[str, Any]:
    """Records, by score unless something else is asked for."""
    count, found = _found(client, held, "record", how, "record_score", "record_score")
    return {"count": count, "records": found}


@router.api_route("/{job_id}/results/influencers", methods=BOTH)
@asks
def influencers(client: ClusterDep, held: HeldDep, how: Annotated[Influencers, Depends(asked(Influencers))]) -> dict[str, Any]:
    """Influencers, by score unless something else is asked for."""
    count, found = _found(client, held, "influencer", how, "influencer_score", "influencer_score")
    return {"count": count, "influencers": found}


@router.api_route("/{job_id}/results/buckets", methods=BOTH)
@asks
def buckets(client: ClusterDep, held: HeldDep, how: Annotated[Buckets, Depends(asked(Buckets))]) -> dict[str, Any]:
    """Buckets in which something happened, by time unless something else is asked for."""
    count, found = _found(client, held, "bucket", how, "anomaly_score", "timestamp")
    return {"count": count, "buckets": _expanded(client, held, found) if how.expand else found}


@router.api_route("/{job_id}/results/buckets/{timestamp}", methods=BOTH)
@asks
def bucket(
    client: ClusterDep,
    held: HeldDep,
    timestamp: Annotated[str, Path(max_length=40)],
    how: Annotated[Buckets, Depends(asked(Buckets))],
) -> dict[str, Any]:
    """One bucket."""
    time = moment("timestamp", timestamp)
    window = Window(time, time + timedelta(milliseconds=1))
    _, found = stored.page(client, held.job, "bucket", window) if held.job else (0, [])
    if not found:
        raise missing(f"No bucket with timestamp [{timestamp}] exists")
    return {"count": 1, "buckets": _expanded(client, held, found) if how.expand else found}


def _expanded(client: ClusterDep, held: Held, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with their records."""
    if not found or held.job is None:
        return found
    times = [int(each["timestamp"]) for each in found]
    window = Window(parse_time(min(times) / 1000), parse_time(max(times) / 1000) + held.job.bucket_span)
    where = [{"terms": {"timestamp": times}}]
    _, records = stored.page(client, held.job, "record", window, where=where, sort="record_score", descending=True, size=DEEP)
    by_time: dict[int, list[dict[str, Any]]] = {}
    for each in records:
        by_time.setdefault(each["timestamp"], []).append(each)
    return [{**each, "records": by_time.get(each["timestamp"], [])} for each in found]


@router.api_route("/{names}/results/overall_buckets", methods=BOTH)
@asks
def overall(
    client: ClusterDep, user: ReaderDep, names: Names, how: Annotated[Overall, Depends(asked(Overall))]
) -> dict[str, Any]:
    """When jobs were anomalous at the same time; it says nothing of causes."""
    found = jobs(client, user, names, how.allow_no_match)
    known = [each.job for each in found if each.job is not None]
    window = whole(how.start, how.end)
    span = max([each.bucket_span for each in known], default=None)
    if span and how.bucket_span and parse_span(how.bucket_span) < span:
        raise wrong(f"[bucket_span] {how.bucket_span} is shorter than the longest bucket span of these jobs")
    parts = [each for job in known for each in stored.of_type(client, job.job_id, "bucket", version=job.version, window=window)]
    made = overall_buckets(parts, top_n=how.top_n, bucket_span=span, jobs=[job.job_id for job in known])
    shown = _wide(made, round(parse_span(how.bucket_span).total_seconds())) if how.bucket_span else made
    shown = [each for each in shown if each["overall_score"] >= how.overall_score]
    return {"count": len(shown), "overall_buckets": shown}


def _wide(buckets: list[dict[str, Any]], seconds: int) -> list[dict[str, Any]]:
    """Wider overall buckets: the highest score of those within, and of each job."""
    out: dict[int, dict[str, Any]] = {}
    for each in buckets:
        time = each["timestamp"] // (seconds * 1000) * seconds * 1000
        wide = out.setdefault(time, {**each, "timestamp": time, "bucket_span": seconds})
        wide["overall_score"] = max(wide["overall_score"], each["overall_score"])
        pairs = zip(wide["jobs"], each["jobs"], strict=True)
        wide["jobs"] = [max(one, other, key=lambda job: job["max_anomaly_score"]) for one, other in pairs]
    return list(out.values())


@router.api_route("/{job_id}/results/categories", methods=BOTH)
@asks
def categories(client: ClusterDep, held: HeldDep, how: Annotated[Categories, Depends(asked(Categories))]) -> dict[str, Any]:
    """The categories of the snapshot in force."""
    return _categories(client, held, how, [])


@router.api_route("/{job_id}/results/categories/{category_id}", methods=BOTH)
@asks
def category(
    client: ClusterDep,
    held: HeldDep,
    category_id: Annotated[int, Path(ge=0)],
    how: Annotated[Categories, Depends(asked(Categories))],
) -> dict[str, Any]:
    """One category."""
    found = _categories(client, held, how, [{"term": {"mlcategory": str(category_id)}}])
    if not found["count"]:
        raise missing(f"No known category with id [{category_id}]")
    return found


def _categories(client: ClusterDep, held: Held, how: Categories, where: list[dict[str, Any]]) -> dict[str, Any]:
    if how.partition_field_value is not None:
        where = [*where, {"term": {"partition_field_value": how.partition_field_value}}]
    first, size = how.place
    if held.job is None:
        return {"count": 0, "categories": []}
    window = whole(None, None)
    count, found = stored.page(
        client, held.job, "category_definition", window, where=where, sort="category_id", start=first, size=size
    )
    return {"count": count, "categories": found}
