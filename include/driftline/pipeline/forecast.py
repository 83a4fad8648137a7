"""Forecast: the snapshot's models carried forward, with bounds that never narrow with the horizon."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import SnapshotError, WindowError
from driftline.core.results import Maker, milliseconds, number, numbers, result
from driftline.core.ruling import time_shifts
from driftline.core.timespan import Window, floor_time, format_span, iso, parse_span, parse_time
from driftline.elastic import results, snapshots, state
from driftline.elastic.bulk import AT_ONCE, bulk, index_action
from driftline.elastic.client import explained
from driftline.elastic.indices import FORECASTS, ensure_templates, monthly
from driftline.models.baseline.design import shifted
from driftline.models.trained import Trained

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.series import SeriesKey

INTERVAL = 0.95  # share of values between a forecast's bounds
MAX_STEPS = 100_000
BLOCK = 1_000_000  # values that are predicted at once
FIELDS = ("forecast_lower", "forecast_prediction", "forecast_upper")
LINEAGE = ("snapshot_id", "training_start", "training_end")
LISTED = 10  # series in the summary
SHORT_CYCLES, SHORT_HORIZONS = 2, 3


def forecast(
    client: Elasticsearch,
    job: Job,
    *,
    snapshot_id: str | None = None,
    duration: str | timedelta | None = None,
    start: str | datetime | None = None,
    partitions: list[str] | None = None,
    run: str = "cli",
) -> dict[str, Any]:
    """Writes a forecast of every series with a model, the largest first where there are more than `forecast.max_partitions`.

    Args:
        client: The cluster.
        job: The job.
        snapshot_id: Which snapshot; by default the one in force at the start.
        duration: How far; by default the job's.
        start: First bucket; by default where scored data ends, or the training window if that ends later.
        partitions: Only series with one of these partition or by values.
        run: Who asks, for the journal.

    Returns:
        `forecast_id`, `snapshot_id`, `start`, `end`, `series`, `documents`,
        `summary` (largest series: first and last prediction), `notes`.

    Raises:
        SnapshotError: There is no snapshot to forecast from.
        WindowError: The duration is shorter than a bucket or absurdly long.
    """
    started = datetime.now(UTC)
    length, steps = _horizon(job, duration)
    manifest, begin = _choose(client, job, snapshot_id, start)
    models, notes = _series(client, job, manifest, partitions)
    window = Window(begin, begin + steps * job.bucket_span)
    identity = hashlib.blake2b(
        f"{job.job_id} {job.version} {manifest['snapshot_id']} {iso(begin)} {steps}".encode(), digest_size=10
    ).hexdigest()
    times = np.datetime64(begin.replace(tzinfo=None), "ms") + np.arange(steps) * np.timedelta64(job.span_seconds * 1000, "ms")
    ensure_templates(client)
    summary: list[dict[str, Any]] = []
    written = bulk(client, _actions(job, models, identity, times, manifest, summary), at_once=AT_ONCE).total
    series = sum(len(trained.keys) for trained in models)
    stats = _stats(job, identity, window, started, series)
    bulk(client, [index_action(monthly(FORECASTS, begin), f"stats:{identity}", stats)])
    with explained(f"forecast of job {job.job_id}"):
        client.indices.refresh(index=f"{FORECASTS}-*", ignore_unavailable=True, allow_no_indices=True)
    outcome = {
        "forecast_id": identity,
        "snapshot_id": manifest["snapshot_id"],
        **window.as_dict(),
        "series": series,
        "documents": written,
        "summary": summary,
        "notes": notes + _warnings(manifest, length),
    }
    facts = {"job_id": job.job_id, "job_version": job.version, "snapshot_id": manifest["snapshot_id"]}
    edges = {"window_start": iso(window.start), "window_end": iso(window.end)}
    state.journal(client, run, "forecast", started, **facts, **edges, detail=outcome)
    return outcome


def _horizon(job: Job, duration: str | timedelta | None) -> tuple[timedelta, int]:
    """How far to forecast, and how many buckets that is."""
    length = parse_span(duration) if duration else job.forecast.duration
    steps = int(length / job.bucket_span)
    if not 1 <= steps <= MAX_STEPS:
        raise WindowError(
            f"a forecast of {format_span(length)} is {steps} buckets of {format_span(job.bucket_span)}",
            where=f"job {job.job_id}",
            expected=f"1 to {MAX_STEPS}",
        )
    return length, steps


def _choose(
    client: Elasticsearch, job: Job, snapshot_id: str | None, start: str | datetime | None
) -> tuple[dict[str, Any], datetime]:
    found = [m for m in snapshots.manifests(client, job.job_id) if m["job_version"] == job.version]
    valid = [m for m in found if m["detail"]["valid"]]
    if not valid:
        raise SnapshotError(
            "there is no snapshot to forecast from", where=f"job {job.job_id}", fix=f"Train first: driftline train {job.job_id}"
        )
    until = state.scored_until(client, job.job_id)
    newest = max(parse_time(m["training_end"]) for m in valid)
    begin = floor_time(parse_time(start), job.bucket_span) if start else max(filter(None, (until, newest)))
    manifest = snapshots.find(found, snapshot_id, job.job_id) if snapshot_id else snapshots.choose(found, job.version, begin)
    if manifest is None:
        raise SnapshotError(
            f"no snapshot is in force at {iso(begin)}", where=f"job {job.job_id}", fix="Name one with snapshot_id, or train."
        )
    return manifest, begin


def _series(
    client: Elasticsearch, job: Job, manifest: dict[str, Any], partitions: list[str] | None
) -> tuple[list[Trained], list[str]]:
    """The models to carry forward, as they lie in the snapshot's chunks, and notes on what is left out."""
    wanted = set(partitions or ())
    models = []
    for chunk in snapshots.chunks(client, manifest):
        part = Trained.from_numbers(chunk)
        rows = [row for row in part.fitted if not wanted or wanted & set(part.keys[row][1:])]
        if rows:
            models.append(part.select(rows))
    total, limit = sum(len(part.keys) for part in models), job.forecast.max_partitions
    if not total:
        what = f"none of the partitions {', '.join(sorted(wanted))} has a model" if wanted else "no series has a model"
        raise SnapshotError(what, where=f"snapshot {manifest['snapshot_id']}")
    if total <= limit:
        return models, []
    level = np.concatenate([part.fleet.scale for part in models])  # the largest value of each history
    chosen = np.zeros(total, dtype=bool)
    chosen[np.argsort(-level, kind="stable")[:limit]] = True
    parts = np.split(chosen, np.cumsum([len(part.keys) for part in models])[:-1])
    kept = [part.select(np.flatnonzero(inside).tolist()) for part, inside in zip(models, parts, strict=True) if inside.any()]
    return kept, [f"{total - limit} of {total} series are left out (forecast.max_partitions={limit})"]


def _predict(
    job: Job, trained: Trained, times: NDArray[np.datetime64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """lower, typical, upper, each (N, H).

    Nobody knows more about a later bucket than about an earlier one, so the distance of each bound is at least that of every
    bucket before it, also where the level falls (at night, a count's noise is smaller).
    """
    mean = trained.fleet.mean(times)
    half = trained.fleet.half_width(times, interval=INTERVAL, sigma=trained.scale)
    low, typical, high = (trained.fleet.to_units(part) for part in (mean - half, mean, mean + half))
    lower = typical - np.maximum.accumulate(typical - low, axis=1)
    upper = typical + np.maximum.accumulate(high - typical, axis=1)
    never_negative = np.array(
        [job.detectors[key.detector_index].spec.metric in {"count", "distinct_count"} for key in trained.keys]
    )
    clipped = [np.where(never_negative[:, None], np.maximum(part, 0.0), part) for part in (lower, typical, upper)]
    return clipped[0], clipped[1], clipped[2]


def _actions(
    job: Job,
    models: list[Trained],
    identity: str,
    times: NDArray[np.datetime64],
    manifest: dict[str, Any],
    summary: list[dict[str, Any]],
) -> Iterator[bytes]:
    """The documents of all series, some models at a time; `summary` takes the largest series at the end."""
    maker = Maker(job, "model_forecast", {key: manifest[key] for key in LINEAGE}, extra=(identity,))
    stamps: list[int] = times.astype("datetime64[ms]").astype(np.int64).tolist()
    ends = [parse_time(manifest["training_end"]), parse_time(stamps[-1] / 1000) + job.bucket_span]
    clocks = shifted(times, time_shifts(job, min(ends), max(ends)))
    index_of, largest = results.monthly_index(FORECASTS), _Largest()
    for trained in models:
        for first in range(0, len(trained.keys), size := max(1, BLOCK // len(stamps))):
            part = trained.select(range(first, min(first + size, len(trained.keys))))
            bounds = _predict(job, part, clocks)
            largest.add(part.keys, *bounds)
            for row, key in enumerate(part.keys):
                columns = {name: numbers(bound[row]) for name, bound in zip(FIELDS, bounds, strict=True)}
                for id_, time, document in maker.rows(key, stamps, columns, forecast_id=identity):
                    yield index_action(index_of(time), id_, document)
    summary += largest.summary()


def _stats(job: Job, identity: str, window: Window, created: datetime, series: int) -> dict[str, Any]:
    """Elastic's model_forecast_request_stats: the one forecast document with wall clock times, for its expiry."""
    return result(job, "model_forecast_request_stats", milliseconds(window.start), {"series": series}) | {
        "forecast_id": identity,
        "forecast_create_timestamp": milliseconds(created),
        "forecast_expiry_timestamp": milliseconds(created + job.forecast.expires_in),
        "forecast_start_timestamp": milliseconds(window.start),
        "forecast_end_timestamp": milliseconds(window.end),
        "forecast_status": "finished",
        "forecast_progress": 1.0,
    }


def _warnings(manifest: dict[str, Any], length: timedelta) -> list[str]:
    """What a reader of the forecast should know about the history behind it."""
    history = parse_time(manifest["training_end"]) - parse_time(manifest["training_start"])
    notes = []
    if history < SHORT_HORIZONS * length:
        notes.append(
            f"the history is {format_span(history)}, less than {SHORT_HORIZONS} times the forecast: treat the far end with care"
        )
    if history < SHORT_CYCLES * timedelta(weeks=1):
        notes.append("the history holds fewer than two weeks: no weekly pattern is known")
    return notes


class _Largest:
    """The series with the largest mean predictions, of all that were added."""

    def __init__(self) -> None:
        self._found: list[tuple[float, dict[str, Any]]] = []

    def add(self, keys: list[SeriesKey], *bounds: NDArray[np.float64]) -> None:
        """Takes the series' lower, typical and upper predictions, each (N, H)."""
        means = np.nanmean(bounds[1], axis=1)
        for row in np.argsort(-means, kind="stable")[:LISTED].tolist():
            ends = {
                name: dict(zip(("lower", "prediction", "upper"), (number(bound[row, at], 4) for bound in bounds), strict=True))
                for name, at in (("first", 0), ("last", -1))
            }
            told = {"series": keys[row].label(), "detector_index": keys[row].detector_index, "mean": number(means[row], 4)}
            self._found.append((float(means[row]), told | ends))
        self._found = sorted(self._found, key=lambda pair: -pair[0])[:LISTED]

    def summary(self) -> list[dict[str, Any]]:
        """The largest first: mean prediction, and first and last bucket with bounds."""
        return [told for _, told in self._found]


def delete_forecasts(client: Elasticsearch, job_id: str) -> int:
    """Removes all of a job's forecasts. Returns how many documents."""
    return results.delete(client, f"{FORECASTS}-*", {"term": {"job_id": job_id}})
