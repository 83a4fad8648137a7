"""Maintain: old results, superseded snapshots, expired forecasts and stale files are removed, and scores are renormalised."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import fsspec

from driftline.core.job import Job
from driftline.core.paths import staging_uri
from driftline.core.timespan import iso, parse_time
from driftline.elastic import results, snapshots
from driftline.elastic.annotations import USER
from driftline.elastic.client import explained
from driftline.elastic.indices import ALERTS, ANNOTATIONS, FORECASTS, QUALITY, RESULTS, RUNS
from driftline.pipeline.renormalise import renormalise
from driftline.pipeline.store import FOLDER, counting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elasticsearch import Elasticsearch

    from driftline.core.signature import Signatures

RESULTS_KEPT = timedelta(days=366)
STAGING_KEPT = timedelta(days=2)
STORE_KEPT = timedelta(days=90)  # since it was written: what a longer training window needs beyond that is read again
REPORTS = "reports"
SNAPSHOTS_KEPT = 12
_MONTH = re.compile(rf"{RESULTS}-\d{{4}}\.\d\d")


def maintain(
    client: Elasticsearch,
    jobs: Sequence[Job | Signatures],
    *,
    results_kept: timedelta = RESULTS_KEPT,
    snapshots_kept: int = SNAPSHOTS_KEPT,
    staging_kept: timedelta = STAGING_KEPT,
    now: datetime | None = None,
) -> dict[str, Any]:
    """One round of tidying up.

    Args:
        client: The cluster.
        jobs: Jobs and signatures whose snapshots are pruned; jobs whose scores are renormalised.
        results_kept: Months of results that ended longer ago are deleted as whole indices.
        snapshots_kept: So many of each version's newest snapshots stay, where a job does not say for how long.
        staging_kept: Staged series and fits older than this go; quality reports stay as long as results, what counts in the
            series store three months.
        now: The present, for tests.

    Returns:
        What was removed: `indices`, `forecasts`, `reports`, `runs`, `annotations`, `alerts`, `snapshots`, `staged`; and
        `renormalised`: of how many results the scores were lowered, or raised again.
    """
    moment = now or datetime.now(UTC)
    return {
        "indices": _drop_months(client, moment - results_kept),
        "forecasts": _drop_forecasts(client, moment),
        "reports": results.delete(client, QUALITY, {"range": {"created": {"lt": iso(moment - results_kept)}}}),
        "runs": results.delete(client, RUNS, {"range": {"@timestamp": {"lt": iso(moment - results_kept)}}}),
        "annotations": results.delete(client, ANNOTATIONS, _told_before(moment - results_kept)),
        "alerts": results.delete(client, ALERTS, {"range": {"created": {"lt": iso(moment - results_kept)}}}),
        "snapshots": sum(prune(client, job, snapshots_kept, superseded=moment - results_kept) for job in jobs),
        "renormalised": sum(renormalise(client, job) for job in jobs if isinstance(job, Job)),
        "staged": sweep(moment - staging_kept, reports=moment - results_kept, store=moment - max(STORE_KEPT, staging_kept)),
    }


def _told_before(moment: datetime) -> dict[str, Any]:
    """Annotations that are old, but for those of people: nobody else could tell that again."""
    old = {"range": {"create_time": {"lt": iso(moment)}}}
    return {"bool": {"filter": [old], "must_not": [{"term": {"event": USER}}]}}


def _drop_months(client: Elasticsearch, before: datetime) -> list[str]:
    """Months are judged by their newest write, so results over old data are not gone the day after they were made.

    An index does not tell that; it is later than when it was made and than what the journal says of who wrote into the month.
    """
    with explained(f"index {RESULTS}-*"):
        names = sorted(client.indices.get(index=f"{RESULTS}-*", allow_no_indices=True, ignore_unavailable=True).body)
        limit = f"{RESULTS}-{before:%Y.%m}"
        created = {name: _created(client, name) for name in names if name < limit and _MONTH.fullmatch(name)}
        client.indices.refresh(index=RUNS, ignore_unavailable=True, allow_no_indices=True)
        doomed = [name for name, moment in created.items() if moment < before and not _written(client, name, before)]
        for name in doomed:
            client.indices.delete(index=name)
    return doomed


def _written(client: Elasticsearch, name: str, since: datetime) -> bool:
    """Whether a run has written results into a month's index since: of an interval, or a training's categories, at its end."""
    month = datetime.strptime(name, f"{RESULTS}-%Y.%m").replace(tzinfo=UTC)
    after = {"lt": iso((month + timedelta(days=31)).replace(day=1))}
    writers = [
        {"bool": {"filter": [{"term": {"kind": kind}}, {"range": {edge: after}}]}}
        for kind, edge in (("score", "window_start"), ("train", "window_end"))
    ]
    clauses = [{"range": {"@timestamp": {"gte": iso(since)}}}, {"range": {"window_end": {"gte": iso(month)}}}]
    query = {"bool": {"filter": clauses, "should": writers, "minimum_should_match": 1}}
    return bool(client.search(index=RUNS, query=query, size=1, source=False, ignore_unavailable=True)["hits"]["hits"])


def _created(client: Elasticsearch, name: str) -> datetime:
    settings = client.indices.get_settings(index=name).body[name]["settings"]["index"]
    return parse_time(settings["creation_date"])


def _drop_forecasts(client: Elasticsearch, now: datetime) -> int:
    expired = {"bool": {"filter": [
        {"term": {"result_type": "model_forecast_request_stats"}},
        {"range": {"forecast_expiry_timestamp": {"lt": iso(now)}}},
    ]}}  # fmt: skip
    ids = [hit["_source"]["forecast_id"] for hit in results.scan(client, expired, index=f"{FORECASTS}-*")]
    return results.delete(client, f"{FORECASTS}-*", {"terms": {"forecast_id": ids}}) if ids else 0


def prune(client: Elasticsearch, job: Job | Signatures, kept: int, *, superseded: datetime) -> int:
    """Removes a job's old snapshots; never one that is to be retained, and of its version none that is or was put in force.

    Args:
        client: The cluster.
        job: Whose. With `model_snapshot_retention_days` those stay whose data ends within so many days of the newest one's.
        kept: Otherwise, so many of each version's newest stay.
        superseded: Those of former versions that were made before this moment go in any case.

    Returns:
        How many.
    """
    found = snapshots.manifests(client, job.job_id)
    doomed: list[str] = []
    for version in {manifest["job_version"] for manifest in found}:
        mine = [manifest for manifest in found if manifest["job_version"] == version]
        old, now = _old(mine, getattr(job, "model_snapshot_retention_days", None), kept), snapshots.in_force(mine, version)
        for number, manifest in enumerate(mine):
            if version == job.version:
                goes = number in old and manifest is not now and len(manifest["detail"]["valid"]) < 2  # it was reverted to
            else:
                goes = number in old or parse_time(manifest["created"]) < superseded
            if goes and not manifest.get("retain"):
                doomed.append(manifest["snapshot_id"])
    return snapshots.delete(client, job.job_id, doomed) if doomed else 0


def _old(mine: list[dict[str, Any]], days: int | None, kept: int) -> range:
    """Which of a version's snapshots, the newest first, are past keeping."""
    if days is None:
        return range(kept, len(mine))
    limit = parse_time(mine[0]["training_end"]) - timedelta(days=days)
    return range(sum(parse_time(manifest["training_end"]) >= limit for manifest in mine), len(mine))


def sweep(before: datetime, *, reports: datetime, store: datetime) -> int:
    """Removes staged files that were written before a moment; reports and what counts in the series store have their own.

    Returns:
        How many.
    """
    filesystem, root = fsspec.core.url_to_fs(staging_uri())
    if not filesystem.exists(root):
        return 0
    files = filesystem.find(root, detail=True)
    below = {folder: [path for path in files if path[len(root) :].startswith(f"/{folder}/")] for folder in (REPORTS, FOLDER)}
    limits = dict.fromkeys(below[REPORTS], reports) | dict.fromkeys(counting(filesystem, below[FOLDER]), store)
    removed = 0
    for path, info in files.items():
        changed = info.get("mtime") or info.get("LastModified") or info.get("updated")
        if changed is not None and parse_time(changed) < limits.get(path, before):
            filesystem.rm_file(path)
            removed += 1
    return removed
