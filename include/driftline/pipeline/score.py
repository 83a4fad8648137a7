"""Score: staged series and a plan → records, and the interval's results replaced."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.paths import own_run, staging_uri
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.timespan import Window, floor_time, iso, parse_time
from driftline.elastic import snapshots
from driftline.elastic.fields import data_range
from driftline.models.trained import Trained, unsqueezed
from driftline.pipeline import gate, late
from driftline.pipeline.categories import of_snapshot, read_names, tell
from driftline.pipeline.compared import score_compared
from driftline.pipeline.files import write_lines
from driftline.pipeline.lessons import anew
from driftline.pipeline.plan import Model, prepare
from driftline.pipeline.publish import write
from driftline.pipeline.read import batches, read_series
from driftline.pipeline.read import together as as_one
from driftline.pipeline.segment import Segment, newcomers, plots, records, score_segment, together
from driftline.pipeline.window import resolve
from driftline.scoring.calibration import WIDTH, complete

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.progress import Progress
    from driftline.pipeline.categories import Naming

FLEET = 10  # chunks of a thousand series that a newcomer is compared with

__all__ = ["known_keys", "prepare", "read_plan", "score", "score_batch", "write"]


def known_keys(client: Elasticsearch, job: Job, plan: dict[str, Any]) -> list[SeriesKey]:
    """All series that the plan's snapshots have a model for: a silent partition is scored too."""
    manifests = snapshots.manifests(client, job.job_id)
    keys: dict[SeriesKey, None] = {}
    for snapshot_id in {segment["snapshot_id"] for segment in plan["segments"]}:
        manifest = snapshots.find(manifests, snapshot_id, job.job_id)
        for chunk in snapshots.chunks(client, manifest, fields=["keys", "fitted"]):
            keys |= {SeriesKey(*chunk["keys"][row]): None for row in chunk["fitted"]}
    return list(keys)


def read_plan(
    client: Elasticsearch, job: Job, plan: dict[str, Any], *, uri: str, progress: Progress | None = None
) -> dict[str, Any]:
    """Reads what a plan needs: its interval with the look-back, silent series included.

    Returns:
        The frame's handle, with the plan's own `interval`: what the gate judges, and reports.
    """
    window = Window.parse(plan["read_start"], plan["end"])
    interval = Window.parse(plan["start"], plan["end"])
    handles: dict[str, dict[str, Any]] = {}
    for number, (snapshot_id, segments, naming) in enumerate(_parts(client, job, plan)):
        fresh = [parse_time(segment["training_end"]) for segment in segments if not segment["in_sample"]]
        since = Window(max(min([interval.start, *fresh]), interval.start - job.training.window), interval.end)
        keys, place = known_keys(client, job, {"segments": segments}), f"{uri}.{number}" if number else uri
        seen = (interval, since)
        handles[snapshot_id] = read_series(
            client, job, window, uri=place, keys=keys, cells=seen, naming=naming, progress=progress
        )
    return {**as_one(handles), "interval": {"start": plan["start"], "end": plan["end"]}}


def _parts(client: Elasticsearch, job: Job, plan: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]], Naming | None]]:
    """What is read by itself: all, or where messages are put in categories what each snapshot scores."""
    if not job.categorises:
        yield "", plan["segments"], None
        return
    manifests = snapshots.manifests(client, job.job_id)
    for snapshot_id in dict.fromkeys(segment["snapshot_id"] for segment in plan["segments"]):
        segments = [segment for segment in plan["segments"] if segment["snapshot_id"] == snapshot_id]
        yield snapshot_id, segments, of_snapshot(client, job, snapshots.find(manifests, snapshot_id, job.job_id))


def score_batch(
    client: Elasticsearch, job: Job, batch: dict[str, Any], plan: dict[str, Any], *, partitions: list[str] | None = None, out: str
) -> dict[str, Any]:
    """Scores one batch of staged series and stages what it finds, a line for the models of each chunk of a snapshot.

    Series that a snapshot has not seen, or not since a marker, are fitted on the look-back, day by day, and marked as `learning`.

    Returns:
        `uri`, `scored` (series with a model), `unscored` (without), `records`.
    """
    if "detector" in batch:
        return score_compared(client, job, batch, plan, partitions=partitions, out=out)
    manifests = snapshots.manifests(client, job.job_id)
    scored, seen = set[SeriesKey](), set[SeriesKey]()
    lines, at = [], None
    for segment in plan["segments"]:
        mine = batch.get("frames", {}).get(segment["snapshot_id"], batch)
        if mine["uri"] != at:  # as a rule all segments have the same
            rows = (batch["first"], batch["last"]) if mine is batch else None
            at, frame, names = mine["uri"], SeriesFrame.read(mine["uri"], rows=rows), read_names(mine.get("names"))
        place = {key: row for row, key in enumerate(frame.keys)}
        seen |= place.keys()
        manifest = snapshots.find(manifests, segment["snapshot_id"], job.job_id)
        marked = anew(job, frame.keys, segment)
        for trained in _models(client, manifest, place.keys() - marked if marked else place):
            scored |= set(trained.keys)
            part = frame.take([place[key] for key in trained.keys])
            lines.append(_line(job, score_segment(job, part, trained, segment), segment, partitions, names))
        known = _known(client, manifest, frame.keys) - marked
        if len(known) == len(frame.keys):
            continue
        usual = usual_of_fleet(client, job, manifest, segment)
        for day in _days(segment):
            made = newcomers(job, frame, known, usual, day)
            if made is not None:
                scored |= set(made.keys)
                part = frame.take([place[key] for key in made.keys])
                lines.append(_line(job, score_segment(job, part, made, day, new=True), day, partitions, names, new=True))
    write_lines(out, lines)
    found = sum(len(line["records"]) for line in lines)
    return {"uri": out, "scored": len(scored), "unscored": len(seen) - len(scored), "records": found}


def _models(client: Elasticsearch, manifest: dict[str, Any], keys: Collection[SeriesKey]) -> Iterator[Trained]:
    """The snapshot's models of these series, those that could be trained, chunk by chunk."""
    for chunk in snapshots.chunks(client, manifest, keys=keys):
        rows = [row for row in chunk["fitted"] if SeriesKey(*chunk["keys"][row]) in keys]
        if rows:
            trained = Trained.from_numbers(chunk)
            yield trained if len(rows) == len(trained.keys) else trained.select(rows)


def usual_of_fleet(client: Elasticsearch, job: Job, manifest: dict[str, Any], segment: dict[str, Any]) -> NDArray[np.float64]:
    """(M, K) what is usual for series with a model in a snapshot but those that begin anew, the same whatever batch asks.

    Of a large snapshot it is a part: the middle of ten thousand series is that of all.
    """
    out = [np.empty((0, WIDTH))]
    for chunk in islice(snapshots.chunks(client, manifest, fields=["keys", "fitted", "usual"]), FLEET):
        keys = [SeriesKey(*key) for key in chunk["keys"]]
        marked = anew(job, keys, segment)
        if rows := [row for row in chunk["fitted"] if keys[row] not in marked]:
            out.append(complete(unsqueezed(chunk["usual"], len(keys))[rows]))
    return np.concatenate(out)


def _known(client: Elasticsearch, manifest: dict[str, Any], keys: list[SeriesKey]) -> set[SeriesKey]:
    """Which of the series a snapshot has seen, those that could not be trained included."""
    chunks = snapshots.chunks(client, manifest, keys=keys, fields=["keys"])
    return {SeriesKey(*key) for chunk in chunks for key in chunk["keys"]} & set(keys)


def _line(
    job: Job,
    scored: Segment,
    segment: dict[str, Any],
    partitions: list[str] | None,
    names: dict[str, str],
    *,
    new: bool = False,
) -> dict[str, Any]:
    """What is staged of a scored segment: records of the partitions named; what all did together, newcomers left out."""
    line = {
        "snapshot_id": segment["snapshot_id"],
        "start": segment["start"],
        "end": segment["end"],
        "series": len(scored.frame.keys),
        "records": tell(records(job, scored, segment, partitions or ()), names),
        "together": {} if new else together(job, scored),
    }
    wanted = set(partitions or ())
    if job.model_plot_config.enabled:
        rows = [n for n, key in enumerate(scored.frame.keys) if not wanted or wanted & {key.partition_value, key.by_value}]
        line["plots"] = plots(job, scored, segment, rows)
    return line


def _days(segment: dict[str, Any]) -> list[dict[str, Any]]:
    """The segment by days in UTC: what newcomers are fitted on must not depend on how an interval is cut."""
    start, end = parse_time(segment["start"]), parse_time(segment["end"])
    days, day = [], floor_time(start, timedelta(days=1))
    while day < end:
        first, last = max(day, start), min(day + timedelta(days=1), end)
        days.append({**segment, "start": iso(first), "end": iso(last), "day": iso(day)})
        day += timedelta(days=1)
    return days


def score(
    client: Elasticsearch,
    job: Job,
    *,
    window: Window | None = None,
    model: Model = "as_of",
    partitions: list[str] | None = None,
    run: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The whole scoring of an interval in one process: plan (train where needed), read, gate, score, write.

    Without a window a historical job is walked from end to end, and another from where it was scored last.

    Returns:
        As `write`, with the gate's `quality` and the plan's `segments`.

    Raises:
        QualityStopError: The gate stops the run; nothing is written.
    """
    run = own_run(run)
    interval = window or default_window(client, job)
    plan = prepare(client, job, interval, model=model, run=run, progress=progress)
    if interval.empty:
        return {"records": 0, "written": 0, "deleted": 0, "segments": [], **interval.as_dict(), "notes": ["nothing new to score"]}
    place = staging_uri(job.job_id, "score", f"{interval.end:%Y%m%dT%H%M%S}-{run}")
    handle = read_plan(client, job, plan, uri=f"{place}/series.parquet", progress=progress)
    verdict = gate.check_series(client, job, handle, stage="score", run=run)
    parts = []
    for batch_number, batch in enumerate(batches(handle)):
        parts.append(score_batch(client, job, batch, plan, partitions=partitions, out=f"{place}/scored-{batch_number}.jsonl"))
        if progress:
            progress("series scored", batch.get("last", handle["series"]), handle["series"])
    outcome = write(client, job, plan, parts, verdict=verdict, partitions=partitions, run=run)
    return {**outcome, "quality": verdict, "segments": plan["segments"], "notes": [*plan["notes"], *handle["notes"]]}


def default_window(client: Elasticsearch, job: Job, *, run_after: datetime | None = None) -> Window:
    """What to score when nobody says: a historical job's whole range, or what is new since the last run."""
    data = data_range(client, job)
    if job.historical:
        last = parse_time(job.datafeed.end) if job.datafeed.end else data.end
        whole = Window(parse_time(job.datafeed.start) if job.datafeed.start else data.start, last)
        floored = whole.floored(job.bucket_span)
        # the range's last bucket counts even if it is not full: no more will come
        return floored if floored.end >= whole.end else Window(floored.start, floored.end + job.bucket_span)
    fresh = resolve(job, run_after=run_after, scored_until=late.scored_from(client, job), oldest=data.start)
    # where data comes in lots, what has not come yet is not silence: the newest bucket waits for the next lot
    end = fresh.end if job.by_clock else min(fresh.end, floor_time(data.end, job.bucket_span))
    return Window(min(fresh.start, end), end)


def asked_window(
    client: Elasticsearch,
    job: Job,
    start: str | datetime | None,
    end: str | datetime | None,
    *,
    run_after: datetime | None = None,
) -> Window:
    """The interval that a person asks for. An end left open is what is complete by the clock, or else where the data ends."""
    if not job.by_clock and not (start and end):
        whole = default_window(client, job, run_after=run_after)
        end = end or whole.end
        start = start or (whole.start if job.historical else None)
    return resolve(job, start=start or None, end=end or None, run_after=run_after)
