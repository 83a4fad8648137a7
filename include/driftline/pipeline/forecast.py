"""Forecast: the snapshot's models carried forward, with bounds that never narrow with the horizon."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import DataError, SnapshotError, WindowError
from driftline.core.results import milliseconds, result
from driftline.core.timespan import Window, floor_time, format_span, iso, parse_span, parse_time
from driftline.elastic import results, snapshots, state
from driftline.elastic.bulk import AT_ONCE, bulk, index_action
from driftline.elastic.client import explained
from driftline.elastic.indices import FORECASTS, RUNS, ensure_templates, monthly
from driftline.pipeline.ahead import Part, Writing, left_out, parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.progress import Progress

STATS = "model_forecast_request_stats"
SHORT_CYCLES, SHORT_HORIZONS = 2, 3
DAYS_A_YEAR = 365.25  # as Prophet counts


def forecast(
    client: Elasticsearch,
    job: Job,
    *,
    snapshot_id: str | None = None,
    duration: str | timedelta | None = None,
    start: str | datetime | None = None,
    partitions: list[str] | None = None,
    every: bool = False,
    expires_in: str | timedelta | None = None,
    run: str = "cli",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes a forecast of every series with a model, and of what members of populations usually have.

    Args:
        client: The cluster.
        job: The job.
        snapshot_id: Which snapshot; by default the one in force at the start.
        duration: How far; by default the job's.
        start: First bucket; by default where scored data ends, or the training window if that ends later.
        partitions: Only series with one of these partition or by values.
        every: All series; by default the largest where there are more than `forecast.max_partitions`.
        expires_in: When its documents may be removed; by default the job's, 0 for never.
        run: Who asks, for the journal.
        progress: Told how many series are done.

    Returns:
        `forecast_id`, `snapshot_id`, `start`, `end`, `expires`, `series`, `documents`,
        `summary` (largest series: first and last prediction), `notes`.

    Raises:
        SnapshotError: There is no snapshot to forecast from, or nothing in it that has a course over time.
        WindowError: The duration is shorter than a bucket, or leads beyond all calendars.
    """
    started = datetime.now(UTC)
    kept = parse_span(expires_in) if expires_in is not None else job.forecast.expires_in
    manifest, begin = _choose(client, job, snapshot_id, start)
    length, steps, window = _horizon(job, duration, begin)
    wanted = set(partitions or ())
    limit = 0 if every else job.forecast.max_partitions
    found, total, notes = _limited(client, job, manifest, wanted, window.end, limit)
    notes += [*left_out(job), *_warnings(job, manifest, length)]
    narrowed = [*sorted(wanted), *([f"the largest {limit}"] if limit and total > limit else [])]
    identity = _identity(job, manifest, window, steps, narrowed)
    index = monthly(FORECASTS, begin)  # of the start: one of years is not strewn over a hundred indices
    ensure_templates(client)
    stats = _Stats(job, manifest, identity, window, started, kept)
    # first: what a run that dies leaves is known, and expires
    bulk(client, [index_action(index, f"stats:{identity}", stats.document("started", 0, 0, notes))])
    writing = Writing(job, manifest, identity, index)
    written = bulk(client, writing.actions(found, begin, steps, progress, min(total, limit or total)), at_once=AT_ONCE).total
    bulk(client, [index_action(index, f"stats:{identity}", stats.document("finished", written, writing.series, notes))])
    with explained(f"forecast of job {job.job_id}"):
        client.indices.refresh(index=f"{FORECASTS}-*", ignore_unavailable=True, allow_no_indices=True)
    outcome = {
        "forecast_id": identity,
        "snapshot_id": manifest["snapshot_id"],
        **window.as_dict(),
        "expires": iso(started + kept) if kept else None,
        "series": writing.series,
        "documents": written,
        "summary": [told for _, told in writing.largest],
        "notes": notes,
    }
    facts = {"job_id": job.job_id, "job_version": job.version, "snapshot_id": manifest["snapshot_id"]}
    edges = {"window_start": iso(window.start), "window_end": iso(window.end)}
    state.journal(client, run, "forecast", started, **facts, **edges, detail=outcome)
    return outcome


def _horizon(job: Job, duration: str | timedelta | None, begin: datetime) -> tuple[timedelta, int, Window]:
    """How far to forecast, how many buckets that is, and from when to when."""
    length = parse_span(duration) if duration else job.forecast.duration
    steps = int(length / job.bucket_span)
    where = f"job {job.job_id}"
    if steps < 1:
        what = f"a forecast of {format_span(length)} is {steps} buckets of {format_span(job.bucket_span)}"
        raise WindowError(what, where=where, expected="at least 1")
    try:
        return length, steps, Window(begin, begin + steps * job.bucket_span)
    except OverflowError:
        raise WindowError(f"a forecast of {format_span(length)} leads beyond the year 9999", where=where) from None


def _identity(job: Job, manifest: dict[str, Any], window: Window, steps: int, narrowed: list[str]) -> str:
    """The forecast's id: a hash of all that decides about its documents."""
    about = f"{job.job_id} {job.version} {manifest['snapshot_id']} {iso(window.start)} {steps}"
    content = "\0".join([about, *narrowed]).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=10).hexdigest()


def _choose(
    client: Elasticsearch, job: Job, snapshot_id: str | None, start: str | datetime | None
) -> tuple[dict[str, Any], datetime]:
    found = [m for m in snapshots.manifests(client, job.job_id) if m["job_version"] == job.version]
    valid = [m for m in found if m["detail"]["valid"]]
    if not valid:
        raise SnapshotError(
            "there is no snapshot to forecast from", where=f"job {job.job_id}", fix=f"Train first: driftline train {job.job_id}"
        )
    until = state.scored_until(client, job)
    newest = max(parse_time(m["training_end"]) for m in valid)
    begin = floor_time(parse_time(start), job.bucket_span) if start else max(filter(None, (until, newest)))
    manifest = snapshots.find(found, snapshot_id, job.job_id) if snapshot_id else snapshots.choose(found, job.version, begin)
    if manifest is None:
        raise SnapshotError(
            f"no snapshot is in force at {iso(begin)}", where=f"job {job.job_id}", fix="Name one with snapshot_id, or train."
        )
    return manifest, begin


def _limited(
    client: Elasticsearch, job: Job, manifest: dict[str, Any], wanted: set[str], until: datetime, limit: int
) -> tuple[Iterator[Part], int, list[str]]:
    """The parts to carry forward, how many series there are, and a note where not all of them are carried.

    Where there may be too many the snapshot is read twice, rather than held: for how large the series are, and for themselves.
    """
    found = parts(client, job, manifest, wanted, until)
    if not limit or manifest["trained"] <= limit:
        first = next(found, None)
        if first is None:
            raise _nothing(job, manifest, wanted)
        return chain([first], found), manifest["trained"], []
    sizes = [part.size for part in found]
    if not sizes:
        raise _nothing(job, manifest, wanted)
    total = sum(map(len, sizes))
    again = parts(client, job, manifest, wanted, until)
    if total <= limit:
        return again, total, []
    chosen = np.zeros(total, dtype=bool)
    chosen[np.argsort(-np.concatenate(sizes), kind="stable")[:limit]] = True
    inside = np.split(chosen, np.cumsum([len(part) for part in sizes])[:-1])
    kept = (part.select(np.flatnonzero(here).tolist()) for part, here in zip(again, inside, strict=True) if here.any())
    note = f"{total - limit} of {total} series are left out (forecast.max_partitions={limit}); --all forecasts them, too"
    return kept, total, [note]


def _nothing(job: Job, manifest: dict[str, Any], wanted: set[str]) -> SnapshotError:
    where, reasons = f"snapshot {manifest['snapshot_id']}", left_out(job)
    if len(reasons) == len(job.detectors):
        return SnapshotError("there is nothing to forecast", where=f"job {job.job_id}", fix=". ".join(reasons))
    if wanted:
        return SnapshotError(f"none of the partitions {', '.join(sorted(wanted))} has a model", where=where)
    return SnapshotError("no series has a model", where=where, fix=f"Train again: driftline train {job.job_id}")


class _Stats:
    """Elastic's model_forecast_request_stats: the one forecast document with wall clock times, for its expiry."""

    def __init__(
        self, job: Job, manifest: dict[str, Any], identity: str, window: Window, created: datetime, kept: timedelta
    ) -> None:
        self._job, self._lineage, self._window, self._created = job, {"snapshot_id": manifest["snapshot_id"]}, window, created
        self._fixed: dict[str, Any] = {
            "forecast_id": identity,
            "forecast_create_timestamp": milliseconds(created),
            "forecast_start_timestamp": milliseconds(window.start),
            "forecast_end_timestamp": milliseconds(window.end),
        }
        if kept:
            self._fixed["forecast_expiry_timestamp"] = milliseconds(created + kept)

    def document(self, status: str, written: int, series: int, notes: list[str]) -> dict[str, Any]:
        """What is known at the beginning, or at the end."""
        seconds = (datetime.now(UTC) - self._created).total_seconds()
        return result(self._job, STATS, milliseconds(self._window.start), {**self._lineage, "series": series}) | {
            **self._fixed,
            "forecast_status": status,
            "forecast_progress": 1.0 if status == "finished" else 0.0,
            "forecast_messages": notes,
            "processed_record_count": written,
            "processing_time_ms": round(seconds * 1000),
        }


def _warnings(job: Job, manifest: dict[str, Any], length: timedelta) -> list[str]:
    """What a reader of the forecast should know about the history behind it."""
    history = parse_time(manifest["training_end"]) - parse_time(manifest["training_start"])
    notes = []
    if history < SHORT_HORIZONS * length:
        notes.append(
            f"the history is {format_span(history)}, less than {SHORT_HORIZONS} times the forecast: treat the far end with care"
        )
    if history < SHORT_CYCLES * timedelta(weeks=1):
        notes.append("the history holds fewer than two weeks: no weekly pattern is known")
    for name, period in _seasons(job):
        if history < SHORT_CYCLES * period:
            told = f"the history is {format_span(history)}, less than {SHORT_CYCLES} cycles of the season '{name}'"
            notes.append(f"{told} ({format_span(period)}): it may be chance")
    return notes


def _seasons(job: Job) -> list[tuple[str, timedelta]]:
    """Seasons that the job asks for, whatever its history, with their periods to the second: the daily and weekly ones apart."""
    options = job.training.prophet
    asked = [(str(each["name"]), float(each["period"])) for each in options.get("seasonalities", ())]
    if options.get("yearly_seasonality", "auto") not in ("auto", False, 0):
        asked.append(("yearly", DAYS_A_YEAR))
    return [(name, timedelta(seconds=round(days * 86_400))) for name, days in asked]


def forecasts(client: Elasticsearch, job_id: str) -> list[dict[str, Any]]:
    """Elastic's statistics documents of a job's forecasts, the newest first."""
    with explained(f"index {FORECASTS}-*"):
        client.indices.refresh(index=f"{FORECASTS}-*", ignore_unavailable=True, allow_no_indices=True)
    query = {"bool": {"filter": [{"term": {"job_id": job_id}}, {"term": {"result_type": STATS}}]}}
    found = [hit["_source"] for hit in results.scan(client, query, index=f"{FORECASTS}-*")]
    return sorted(found, key=lambda each: each["forecast_create_timestamp"], reverse=True)


def made_by(client: Elasticsearch, job_id: str) -> dict[str, str]:
    """Run → the forecast that it made."""
    query = {"bool": {"filter": [{"term": {"job_id": job_id}}, {"term": {"kind": "forecast"}}]}}
    with explained(f"index {RUNS}"):
        client.indices.refresh(index=RUNS, ignore_unavailable=True, allow_no_indices=True)
    found = (hit["_source"] for hit in results.scan(client, query, index=RUNS))
    return {each["run"]: each["detail"]["forecast_id"] for each in found}


def delete_forecasts(client: Elasticsearch, job_id: str, ids: list[str] | None = None) -> int:
    """Removes forecasts of a job, all of them by default. Returns how many documents.

    Raises:
        DataError: The job has no forecast of an id; nothing is removed.
    """
    mine: dict[str, Any] = {"term": {"job_id": job_id}}
    if ids is None:
        return results.delete(client, f"{FORECASTS}-*", mine)
    known = {each["forecast_id"] for each in forecasts(client, job_id)}
    if strange := [id_ for id_ in ids if id_ not in known]:
        raise DataError(f"no forecast '{strange[0]}'", where=f"job {job_id}", fix=f"See: driftline forecasts list {job_id}")
    return results.delete(client, f"{FORECASTS}-*", {"bool": {"filter": [mine, {"terms": {"forecast_id": ids}}]}})
