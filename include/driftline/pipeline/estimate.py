"""How large a job is before it runs: series, buckets, memory and time, and the bucket span that suits its data.

Counts come from the index. Bytes and seconds are estimates, good to a factor of three: what was measured once, times how fast
this machine fits a small fleet right now.
"""

from __future__ import annotations

from datetime import timedelta
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import DefinitionError
from driftline.core.timespan import format_span
from driftline.models.baseline import fit_fleet
from driftline.pipeline.compared import CELLS_MOST
from driftline.pipeline.fit import BLOCK
from driftline.pipeline.looks import advice_of, look
from driftline.pipeline.read import BATCH, BATCH_VALUES
from driftline.pipeline.segment import look_back
from driftline.pipeline.train import CHUNK

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.progress import Progress
    from driftline.pipeline.looks import Look

DAY = timedelta(days=1)

# Bytes, by `bench retrain`, `bench score`, and `fit_batch` alone in new processes (20 to 8 000 series of four weeks of hours, 100
# and 1 000 of quarters of an hour): the most resident memory.
PROCESS = 295e6  # a process that has imported all that fits; nothing else in it
FIT_VALUE = 230.0  # of the values that are looked at at once: 232 to 260 bytes with 0.1 to 0.3 million, 187 with 1.3 million
FRAME_VALUE = 24.0  # of all values: the frame, its series put together, and what is written of it
SCORE_VALUE = 500.0  # of the values of a thousand series: all evidence, and its past
CELL = 50.0  # of detectors that compare: 20 million cells take a gigabyte
SNAPSHOT_SERIES, SNAPSHOT = 880.0, 1200.0  # as JSON: 880 to 900 bytes a series from 50 series on; one alone takes 2 059

# Seconds by the clock with two cores and nothing else to do: the figures of docs/models.md, which `bench` gives again.
REFERENCE = 0.08  # fit of a fleet of 200 series × 672 hours, the median of five: what a machine is measured with
TRAIN, TRAIN_VALUE = 0.7, 1.1e-6  # a training of one series; each value: 0.7 in 20 000 series, 1.1 to 1.6 in 2 000 (busy)
# A run of one series: 0.7; most of it waits for Elasticsearch, and takes 0.9 where fits take half as long. And each value,
# the look-back's too: 20 000 series and a day in 5.5 s.
SCORE, SCORE_EACH = 1.2, 1.0e-6
READ_CELL = 1.2e-6  # a non-empty bucket that is read for the first time; from the store a tenth
READ_DOC = (
    0.9e-6  # a document that Elasticsearch aggregates: 13.4 million, one a bucket, in 28 s; a million in 0.17 million in 1.2 s
)
BY_PROPHET = 0.05  # a series of 672 buckets that Prophet itself fits: `bench train` gives 30 to 80 ms
WITHIN = 3.0  # the factor that estimates of bytes and seconds are good to


def estimate(client: Elasticsearch, job: Job, *, speed: float | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """How large a job is.

    Args:
        client: The cluster.
        job: The job; nothing of it is trained.
        speed: How much longer work takes here than where it was measured; by default a small fleet is fitted to find out.
        progress: Told how far it is.

    Returns:
        `job_id`, `window`, `buckets`, `documents`, `documents_per_second`, `fields` (of each split field and influencer:
        `values`, `documents`), `splits` (`fields`, `combinations`, `complete`), `series`, `kept` (of them), `values`,
        `bucket_span` (`now`, `suggested`, `reason`, `daily`, `weekly`, `spans`), `bytes` (`snapshot`, `train`, `score`: models as
        JSON, and the most memory of one process), `seconds` (`read` for the first time, `train`, `score` of a day), `speed`,
        `within` (the factor that bytes and seconds are good to), `notes`.

    Raises:
        SourceIndexError, WindowError: There is nothing to look at.
        DefinitionError: The datafeed aggregates: what its fields hold shows only when it is read.
    """
    if job.datafeed.aggregations:
        raise DefinitionError(
            "a datafeed that aggregates cannot be estimated: its series show only when it is read", where=f"job {job.job_id}"
        )
    seen = look(client, job, progress=progress)
    return figures(job, seen, speed if speed is not None else machine_speed())


def figures(job: Job, seen: Look, speed: float) -> dict[str, Any]:
    """The same of what was seen already."""
    length, buckets = seen.window.end - seen.window.start, seen.window.buckets(job.bucket_span)
    series = seen.series(job)
    kept = min(series, job.training.max_partitions)
    return {
        "job_id": job.job_id,
        "window": seen.window.as_dict(),
        "buckets": buckets,
        "documents": seen.documents,
        "documents_per_second": round(seen.documents / length.total_seconds(), 4),
        "fields": {name: {"values": held.values, "documents": held.documents} for name, held in seen.held.items()},
        "splits": [
            {
                "fields": [name for name in split.fields if name],
                "combinations": groups.total,
                "complete": groups.complete,
            }
            for split, groups in seen.splits
        ],
        "series": series,
        "kept": kept,
        "values": kept * buckets,
        "bucket_span": _span(job, seen),
        "bytes": {name: round(value) for name, value in _bytes(job, seen, series, kept).items()},
        "seconds": {name: round(value * speed, 1) for name, value in _seconds(job, seen, kept).items()},
        "speed": round(speed, 2),
        "within": WITHIN,
        "notes": [*job.notes, *advice_of(job, seen)],
    }


def _span(job: Job, seen: Look) -> dict[str, Any]:
    chosen = seen.choice
    spans = [
        {
            "span": format_span(one.span),
            "filled": round(one.filled, 2),
            "clear": round(one.clear, 2),
            "buckets": round(one.buckets, 2),
        }
        for one in chosen.judged
    ]
    suggested = format_span(chosen.span) if chosen.span else None
    now = format_span(job.bucket_span)
    cycles = {"daily": seen.daily, "weekly": seen.weekly}
    return {"now": now, "suggested": suggested, "reason": chosen.reason, **cycles, "spans": spans}


def _scored(job: Job) -> int:
    """Buckets that a run over a day reads: with the look-back, from the start of its day."""
    return int((look_back(job) + 2 * DAY) / job.bucket_span)


def _cells(job: Job, seen: Look, *, compared: bool) -> float:
    """Non-empty buckets of all series, or of what detectors compare, if documents came evenly: they are not more than that."""
    buckets = seen.window.buckets(job.bucket_span)
    total = 0.0
    for split, groups in seen.splits:
        if (job.detectors[split.detectors[0]].kind != "series") == compared and len(groups.docs):
            there = float((buckets * -np.expm1(-groups.docs / buckets)).sum())
            total += there * max(1.0, groups.total / len(groups.docs))
    return total


def _bytes(job: Job, seen: Look, series: int, kept: int) -> dict[str, float]:
    buckets, scored = seen.window.buckets(job.bucket_span), _scored(job)
    compared = min(_cells(job, seen, compared=True), CELLS_MOST) * CELL
    score = SCORE_VALUE * min(kept, CHUNK) * scored + FRAME_VALUE * kept * scored
    return {
        "snapshot": SNAPSHOT + SNAPSHOT_SERIES * kept,
        "train": _training(series, kept, buckets) + compared,
        "score": PROCESS + score + compared,
    }


def _training(series: int, kept: int, buckets: int) -> float:
    """Bytes of a training of `kept` of so many series."""
    batch = min(kept, BATCH, max(1, BATCH_VALUES // buckets)) * buckets
    return PROCESS + max(FIT_VALUE * min(batch, BLOCK) + FRAME_VALUE * batch, FRAME_VALUE * series * buckets)


def training_bytes(job: Job, series: int) -> float:
    """The most memory of one process that trains so many series over the job's training window."""
    return _training(series, min(series, job.training.max_partitions), int(job.training.window / job.bucket_span))


def _seconds(job: Job, seen: Look, kept: int) -> dict[str, float]:
    buckets = seen.window.buckets(job.bucket_span)
    ways, compared = len(seen.splits), _cells(job, seen, compared=True)
    read = READ_DOC * seen.documents * ways + READ_CELL * (_cells(job, seen, compared=False) + compared)
    fit = TRAIN_VALUE * kept * buckets
    if job.training.engine == "prophet":
        fit += BY_PROPHET * kept * max(1.0, buckets / 672)
    return {
        "read": read,
        "train": TRAIN + fit + TRAIN_VALUE * min(compared, CELLS_MOST),
        "score": SCORE + SCORE_EACH * (kept * _scored(job) + compared / max(1, buckets) * (DAY / job.bucket_span)),
    }


def machine_speed() -> float:
    """How much longer a small fit takes here, right now, than where the figures were measured: 1 on two idle cores."""
    hours = np.datetime64("2026-01-05", "s") + np.arange(672) * np.timedelta64(1, "h")
    rate = 50 * (1 + 0.4 * np.sin(2 * np.pi * np.arange(672) / 24))
    values = np.random.default_rng(0).poisson(rate, (200, 672)).astype(np.float64)
    fit_fleet(hours, values[:8])  # imports
    took = []
    for _ in range(5):
        begun = perf_counter()
        fit_fleet(hours, values)
        took.append(perf_counter() - begun)
    return median(took) / REFERENCE
