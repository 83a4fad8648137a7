"""Maintain: what is too old is removed; whole months of results, superseded snapshots, expired forecasts, staged files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import fsspec

from driftline.core.paths import staging_uri
from driftline.core.timespan import iso, parse_time
from driftline.elastic import results, snapshots
from driftline.elastic.client import explained
from driftline.elastic.indices import ANNOTATIONS, FORECASTS, QUALITY, RESULTS, RUNS
from driftline.pipeline.store import FOLDER, counting

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

RESULTS_KEPT = timedelta(days=366)
STAGING_KEPT = timedelta(days=2)
STORE_KEPT = timedelta(days=90)  # since it was written: what a longer training window needs beyond that is read again
REPORTS = "reports"
SNAPSHOTS_KEPT = 12


def maintain(
    client: Elasticsearch,
    job_ids: list[str],
    *,
    results_kept: timedelta = RESULTS_KEPT,
    snapshots_kept: int = SNAPSHOTS_KEPT,
    staging_kept: timedelta = STAGING_KEPT,
    now: datetime | None = None,
) -> dict[str, Any]:
    """One round of tidying up.

    Args:
        client: The cluster.
        job_ids: Jobs whose snapshots are pruned.
        results_kept: Months of results that ended longer ago are deleted as whole indices.
        snapshots_kept: So many of each job's newest snapshots stay.
        staging_kept: Staged series and fits older than this go; quality reports stay as long as results, what counts in the
            series store three months.
        now: The present, for tests.

    Returns:
        What was removed: `indices`, `forecasts`, `reports`, `runs`, `annotations`, `snapshots`, `staged`.
    """
    moment = now or datetime.now(UTC)
    return {
        "indices": _drop_months(client, moment - results_kept),
        "forecasts": _drop_forecasts(client, moment),
        "reports": results.delete(client, QUALITY, {"range": {"created": {"lt": iso(moment - results_kept)}}}),
        "runs": results.delete(client, RUNS, {"range": {"@timestamp": {"lt": iso(moment - results_kept)}}}),
        "annotations": results.delete(client, ANNOTATIONS, {"range": {"create_time": {"lt": iso(moment - results_kept)}}}),
        "snapshots": sum(_prune(client, job_id, snapshots_kept) for job_id in job_ids),
        "staged": sweep(moment - staging_kept, reports=moment - results_kept, store=moment - max(STORE_KEPT, staging_kept)),
    }


def _drop_months(client: Elasticsearch, before: datetime) -> list[str]:
    """Months are judged by their newest write, so results over old data are not gone the day after they were made."""
    with explained(f"index {RESULTS}-*"):
        names = sorted(client.indices.get(index=f"{RESULTS}-*", allow_no_indices=True, ignore_unavailable=True).body)
        limit = f"{RESULTS}-{before:%Y.%m}"
        created = {name: _created(client, name) for name in names if name < limit}
        doomed = [name for name, moment in created.items() if moment < before]
        for name in doomed:
            client.indices.delete(index=name)
    return doomed


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


def _prune(client: Elasticsearch, job_id: str, kept: int) -> int:
    """Keeps the newest snapshots, and the one in force however old it is (a revert may have chosen an old one)."""
    found = snapshots.manifests(client, job_id)
    in_force = {m["snapshot_id"] for m in found if any(interval.get("until") is None for interval in m["detail"]["valid"])}
    newest = next((m["snapshot_id"] for m in found if m["snapshot_id"] in in_force), None)
    reverted = {m["snapshot_id"] for m in found if len(m["detail"]["valid"]) > 1}
    doomed = [m["snapshot_id"] for m in found[kept:] if m["snapshot_id"] != newest and m["snapshot_id"] not in reverted]
    return snapshots.delete(client, job_id, doomed) if doomed else 0


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
