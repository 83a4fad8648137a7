"""Which snapshot scores which buckets: point in time, and the same however the interval is cut."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from driftline.core.errors import SnapshotError
from driftline.core.job import NO_SCHEDULE
from driftline.core.timespan import Window, floor_time, iso, parse_time
from driftline.elastic import snapshots
from driftline.elastic.fields import data_range
from driftline.pipeline import late
from driftline.pipeline.backtest import MIN_BUCKETS
from driftline.pipeline.segment import look_back
from driftline.pipeline.train import train

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.progress import Progress

Model = Literal["as_of", "latest"]
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
_SUNDAY = timedelta(days=3)  # the epoch was a Thursday; weeks are cut at Sunday 00:00 UTC, before the default retrain


def week_floor(moment: datetime) -> datetime:
    """The start of the week, Sunday 00:00 UTC, that holds `moment`."""
    return floor_time(moment - _SUNDAY, WEEK) + _SUNDAY


def cut_offs(job: Job, window: Window, data: Window) -> list[datetime]:
    """Where models must have been trained for the window to be scored point in time: weekly, once there is enough history.

    A pure function of the bucket time and the data's beginning, so that a backfill in pieces, in any order, trains the same
    models as one straight run. A job over historical data shorter than `min_history` trains once, at its end.
    """
    first = floor_time(data.start + job.training.min_history, job.bucket_span) + job.bucket_span
    if first >= window.end:
        return [window.end]
    weeks = [first]
    moment = week_floor(window.start)
    while moment < window.end:
        # less than a week after the first there is little to add, and `_train_missing` would take the first one's for it
        if moment - first >= WEEK:
            weeks.append(moment)
        moment += WEEK
    inside = [w for w in weeks if w <= window.start]
    return sorted({*([max(inside)] if inside else []), *(w for w in weeks if w > window.start)})


def prepare(
    client: Elasticsearch, job: Job, window: Window, *, model: Model = "as_of", run: str = "cli", progress: Progress | None = None
) -> dict[str, Any]:
    """The plan of a scoring run; trains first where no snapshot is there that may be used.

    Returns:
        `job_version`, `start`, `end`, `read_start` (with the look-back, from the start of the day), `segments`: which snapshot
        scores from when to when, and whether it has learned from those buckets itself (`in_sample`); `data`: what `late.look`
        notes.

    Raises:
        SnapshotError: There is no usable snapshot and none could be trained.
    """
    if not window.empty:
        if model == "as_of":
            _train_missing(client, job, window, run, progress)
        elif not _usable(job, snapshots.manifests(client, job.job_id)):
            train(client, job, run=run, progress=progress)
    found = _usable(job, snapshots.manifests(client, job.job_id))
    segments = [] if window.empty else _segments(job, found, window, model)
    return {
        "job_version": job.version,
        **window.as_dict(),
        "read_start": iso(floor_time(floor_time(window.start, DAY) - look_back(job), job.bucket_span)),
        "model": model,
        "segments": segments,
        "data": late.look(client, job, window),
        "notes": job.notes,
    }


def segments_of(job: Job, found: list[dict[str, Any]], window: Window) -> list[dict[str, Any]]:
    """Which of the snapshots scores which part of a window, as `prepare` plans it, without training any.

    Raises:
        SnapshotError: None can.
    """
    return _segments(job, _usable(job, found), window, "as_of")


def _usable(job: Job, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [m for m in found if m["job_version"] == job.version and m["detail"]["valid"]]


def _train_missing(client: Elasticsearch, job: Job, window: Window, run: str, progress: Progress | None) -> None:
    """Trains at the cut-offs that have no snapshot of their week, tried or promoted."""
    found = [m for m in snapshots.manifests(client, job.job_id) if m["job_version"] == job.version]
    ends = [parse_time(m["training_end"]) for m in found]
    live_and_covered = any(end <= window.start for end in ends) and job.training.schedule == NO_SCHEDULE
    if live_and_covered:
        return
    data = data_range(client, job)
    for moment in cut_offs(job, window, data):
        due = floor_time(moment, job.bucket_span)  # buckets may be longer than a week
        if any(end == due or moment - WEEK < end <= moment for end in ends):
            continue
        if ends and moment == window.end and min(ends) <= window.start:
            continue  # too little history for a better one; what there is serves until the next week
        if due - floor_time(data.start, job.bucket_span) >= MIN_BUCKETS * job.bucket_span:
            train(client, job, as_of=moment, run=run, progress=progress)
            ends.append(due)


def _segments(job: Job, found: list[dict[str, Any]], window: Window, model: Model) -> list[dict[str, Any]]:
    if not found:
        raise SnapshotError(
            "no snapshot can score this interval", where=f"job {job.job_id}, {window}", fix="Train the job on more history first."
        )
    edges = {window.start, window.end}
    for manifest in found:
        for interval in manifest["detail"]["valid"]:
            edges |= {parse_time(interval[side]) for side in ("from", "until") if interval.get(side)}
        edges.add(parse_time(manifest["training_end"]))
    marks = {floor_time(marker.at, job.bucket_span) for marker in job.markers}
    edges |= marks
    inside = sorted(edge for edge in edges if window.start <= edge <= window.end)
    newest = max(found, key=lambda m: parse_time(m["training_end"]))
    earliest = min(found, key=lambda m: parse_time(m["training_end"]))
    segments: list[dict[str, Any]] = []
    for start, end in itertools.pairwise(inside):
        chosen = newest if model == "latest" else snapshots.choose(found, job.version, start) or earliest
        entry = {
            "start": iso(start),
            "end": iso(end),
            "snapshot_id": chosen["snapshot_id"],
            "in_sample": start < parse_time(chosen["training_end"]),
            "training_start": chosen["training_start"],
            "training_end": chosen["training_end"],
        }
        last = segments[-1] if segments else None
        if last and start not in marks and (last["snapshot_id"], last["in_sample"]) == (entry["snapshot_id"], entry["in_sample"]):
            last["end"] = entry["end"]
        else:
            segments.append(entry)
    return segments
