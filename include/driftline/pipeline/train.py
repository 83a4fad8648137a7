"""Train: history → batched fits → backtest → a snapshot, promoted unless it is worse than the one in use."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from driftline.core.errors import SourceIndexError, WindowError
from driftline.core.paths import own_run, staging_uri
from driftline.core.ruling import compares_typical
from driftline.core.series import SeriesFrame
from driftline.core.timespan import Window, ceil_time, floor_time, format_span, iso, parse_time
from driftline.elastic import snapshots, state
from driftline.elastic.annotations import STORED, annotate
from driftline.elastic.fields import check_fields, data_range
from driftline.models.baseline.fleet import pack, unpack
from driftline.pipeline import gate
from driftline.pipeline.backtest import MIN_BUCKETS, backtest, judge
from driftline.pipeline.categories import define, staged
from driftline.pipeline.compared import MAX_LISTED, fit_compared
from driftline.pipeline.files import read_lines, write_lines
from driftline.pipeline.fit import check_job_options, fit
from driftline.pipeline.lessons import learned, remembered
from driftline.pipeline.read import batches, read_series
from driftline.scoring.calibration import GRADES, Calibration
from driftline.scoring.together import Together, noise_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.progress import Progress
    from driftline.models.trained import Trained

CHUNK = 1000  # series in one document of a snapshot: half a megabyte, little to read for who needs few series


def training_window(
    client: Elasticsearch, job: Job, as_of: str | datetime | None = None, *, start: str | datetime | None = None
) -> Window:
    """The history that a training as of a point in data time reads: whole buckets, at most `training.window` of them.

    Without `as_of` it ends with what is complete now, or with the newest document if that is older: old data trains as well.
    With `start` it begins there, however long that is, or with the oldest document if that is newer.

    Raises:
        SourceIndexError: There is no history before that point.
        WindowError: It is too short for a model.
    """
    check_fields(client, job)
    data = data_range(client, job)
    due = datetime.now(UTC) - job.datafeed.query_delay
    if as_of is None:
        newest = ceil_time(data.end, job.bucket_span)
        end = min(floor_time(due, job.bucket_span), newest)
    else:
        end = floor_time(min(parse_time(as_of), due), job.bucket_span)
    first = floor_time(data.start, job.bucket_span)
    if end <= first:
        raise SourceIndexError(
            f"there is no history before {iso(end)}; the oldest document is of {iso(data.start)}",
            where=f"job {job.job_id}, as_of",
        )
    begin = floor_time(parse_time(start) if start else end - job.training.window, job.bucket_span)
    if begin >= end:
        raise WindowError(f"the history from {iso(begin)} to {iso(end)} is empty", where=f"job {job.job_id}, start")
    window = Window(max(first, begin), end)
    if window.buckets(job.bucket_span) < MIN_BUCKETS:
        raise WindowError(
            f"the history {window} holds {window.buckets(job.bucket_span)} buckets of {format_span(job.bucket_span)}",
            where=f"job {job.job_id}",
            expected=f"at least {MIN_BUCKETS}",
            fix="Wait for more data, or use a smaller bucket_span.",
        )
    return window


def fit_batch(job: Job, batch: dict[str, Any], *, out: str, progress: Progress | None = None) -> dict[str, Any]:
    """Fits the models of one batch of staged series and stages their numbers.

    Returns:
        `uri`, `trained`, `failed` (counts), `fallbacks` (how many of the trained Prophet itself had to fit).
    """
    if "detector" in batch:
        return fit_compared(job, batch, out=out)
    check_job_options(job)
    read = remembered(job, SeriesFrame.read(batch["uri"], rows=(batch["first"], batch["last"])))
    frame = learned(job, read)
    trained = fit(job, frame, progress=progress)
    if compares_typical(job):
        expected = trained.fleet.to_units(trained.fleet.mean(read.times))
        frame = learned(job, read, typical=expected)
        trained = fit(job, frame, progress=progress)
    write_lines(out, _staged(trained, backtest(job, frame, trained)))
    fallbacks = len(trained.fleet.fallbacks)
    return {"uri": out, "trained": len(trained.fitted), "failed": len(trained.failed), "fallbacks": fallbacks}


def _staged(trained: Trained, tested: dict[str, list[float]]) -> Iterator[dict[str, Any]]:
    """The lines of a staged fit: what promotion looks at, then the chunks of the snapshot, which nobody has to parse."""
    chunks = [range(first, min(first + CHUNK, len(trained.keys))) for first in range(0, len(trained.keys), CHUNK)]
    sample = [int(row) for row in tested["rows"]] or trained.fitted[:1]
    yield {
        "series": len(trained.keys),
        "fitted": len(trained.fitted),
        "failures": trained.failed[:MAX_LISTED],
        "fallbacks": trained.fallbacks[:MAX_LISTED],
        **_graded(trained),
        "ranges": [snapshots.key_range(trained.keys[rows.start : rows.stop]) for rows in chunks],
        # only the series that were tested, as a batch of their own
        "trained": trained.select(sample).to_numbers(),
        "backtest": {**tested, "rows": list(range(len(tested["rows"])))},
        "together": {
            str(detector): [pack(sums), pack(counts.astype(np.float64))] for detector, (sums, counts) in trained.together.items()
        },
    }
    for rows in chunks:
        yield (trained.select(rows) if len(chunks) > 1 else trained).to_numbers()


def _graded(trained: Trained) -> dict[str, Any]:
    """How many series have which grade of predictability, and those that are hard to predict."""
    fitted = trained.fitted
    grade = Calibration.from_numbers(trained.usual[fitted]).grade if fitted else np.empty(0, np.int8)
    poor = [trained.keys[fitted[row]]._asdict() for row in np.flatnonzero(grade == GRADES.index("poor"))]
    return {
        "grades": {name: int((grade == code).sum()) for code, name in enumerate(GRADES)},
        "unpredictable": poor[:MAX_LISTED],
    }


def _together(job: Job, handle: dict[str, Any], parts: list[dict[str, Any]]) -> dict[str, Any]:
    """What is usual for all series of each detector together: the batches' sums, added up and measured."""
    width = handle["buckets"]
    merged = Together(width)
    for part in parts:
        for detector, (sums, counts) in part["together"].items():
            merged.merge(int(detector), unpack(sums, 1)[0], unpack(counts, 1)[0].astype(np.int64))
    start = np.datetime64(parse_time(handle["start"]).replace(tzinfo=None), "s")
    times = start + np.arange(width) * np.timedelta64(job.span_seconds, "s")
    noises = {detector: noise_of(times, *sums) for detector, sums in merged.parts.items()}
    return {str(detector): asdict(noise) for detector, noise in noises.items() if noise is not None}


def promote(
    client: Elasticsearch,
    job: Job,
    handle: dict[str, Any],
    fitted: list[dict[str, Any]],
    *,
    verdict: dict[str, Any] | None = None,
    run: str = "cli",
) -> dict[str, Any]:
    """Makes a snapshot of the staged fits, and puts it in force unless its backtest is worse than the current one's.

    Returns:
        `snapshot_id`, `promoted`, `reason`, `trained`, `failed`, `failures` (the first thousand), `fallbacks` (how many of the
        trained Prophet itself fitted; the manifest's detail says which and why), `window`.
    """
    started = datetime.now(UTC)
    heads = [orjson.loads(next(read_lines(part["uri"]))) for part in fitted]
    parts, compared = [head for head in heads if "detector" not in head], [head for head in heads if "detector" in head]
    window = Window.parse(handle["start"], handle["end"])
    manifest = snapshots.new_manifest(job.job_id, job.version, window.start, window.end)
    current = snapshots.choose(
        [m for m in snapshots.manifests(client, job.job_id) if m["snapshot_id"] != manifest["snapshot_id"]],
        job.version,
        window.end,
    )
    outcome = judge(client, job, handle, parts, current, compared=any(head["groups"] for head in compared))
    failures = [failure for head in heads for failure in head["failures"]]
    fallbacks = [fallback for part in parts for fallback in part["fallbacks"]]
    groups = sum(head["groups"] for head in compared)
    keys, fits = (sum(part[name] for part in parts) + groups for name in ("series", "fitted"))
    keys += sum(head["failed"] for head in compared)
    learned_categories, category_chunks = staged(handle)
    manifest |= {
        "state": "promoted" if outcome["promoted"] else "rejected",
        "engine": job.training.engine,
        "verdict": (verdict or {}).get("verdict", "pass"),
        "series": keys,
        "trained": fits,
        "failed": keys - fits,
        "description": outcome["reason"],
        "detail": {
            "valid": [{"from": iso(window.end)}] if outcome["promoted"] else [],
            "backtest": outcome["backtest"],
            "failures": failures[:MAX_LISTED],
            "fallbacks": fallbacks[:MAX_LISTED],
            "notes": [*handle["notes"], *job.notes],
            "docs_per_bucket": handle["docs"] / max(1, handle["buckets"]),
            "ranges": [
                *(between for head in heads for between in head.get("ranges", [head.get("detector")])),
                *([snapshots.CATEGORIES] * learned_categories.get("chunks", 0)),
            ],
            **({"categories": learned_categories} if learned_categories else {}),
            "groups": {str(head["detector"]): head["groups"] for head in compared},
            "together": _together(job, handle, parts),
            "grades": {grade: sum(part["grades"][grade] for part in parts) for grade in GRADES},
            "unpredictable": [key for part in parts for key in part["unpredictable"]][:MAX_LISTED],
        },
    }
    models = (chunk for part in fitted for chunk in islice(read_lines(part["uri"]), 1, None))
    snapshots.write(client, manifest, chain(models, category_chunks))
    if outcome["promoted"]:
        if learned_categories:
            stored = snapshots.manifests(client, job.job_id)
            define(client, job, snapshots.find(stored, manifest["snapshot_id"], job.job_id))
        text = f"Model snapshot {manifest['snapshot_id']} is in force: {fits} models, trained on {window}."
        annotate(client, job.job_id, Window(window.end, window.end), text, event=STORED, about=manifest["snapshot_id"])
    facts = {key: manifest[key] for key in ("job_id", "job_version", "snapshot_id", "state", "verdict")}
    state.journal(client, run, "train", started, **facts, window_start=iso(window.start), window_end=iso(window.end))
    return {
        "snapshot_id": manifest["snapshot_id"],
        "promoted": outcome["promoted"],
        "reason": outcome["reason"],
        "trained": manifest["trained"],
        "failed": manifest["failed"],
        "failures": failures[:MAX_LISTED],
        "fallbacks": sum(part["fallbacks"] for part in fitted),
        "window": window.as_dict(),
        "notes": manifest["detail"]["notes"],
    }


def train(
    client: Elasticsearch,
    job: Job,
    *,
    as_of: str | datetime | None = None,
    start: str | datetime | None = None,
    run: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The whole training in one process: read, gate, fit, backtest, promote.

    Returns:
        As `promote`, with the gate's `quality`.

    Raises:
        SourceIndexError, WindowError: There is nothing to train on.
        QualityStopError: The gate stops the run.
    """
    run = own_run(run)
    window = training_window(client, job, as_of, start=start)
    place = staging_uri(job.job_id, "train", f"{window.end:%Y%m%dT%H%M%S}-{run}")
    handle = read_series(client, job, window, uri=f"{place}/series.parquet", progress=progress)
    verdict = gate.check_series(client, job, handle, stage="train", run=run)
    fitted = list(_fit_all(job, handle, place, progress))
    return {**promote(client, job, handle, fitted, verdict=verdict, run=run), "quality": verdict}


def _fit_all(job: Job, handle: dict[str, Any], place: str, progress: Progress | None) -> Iterator[dict[str, Any]]:
    total = handle["series"]
    for number, batch in enumerate(batches(handle)):
        inner = _shifted(progress, batch.get("first", total), total) if progress else None
        yield fit_batch(job, batch, out=f"{place}/fit-{number}.jsonl", progress=inner)


def _shifted(progress: Progress, offset: int, total: int) -> Progress:
    return lambda what, done, _: progress(what, offset + done, total)
