"""`driftline bench detect`: known anomalies in access-log partitions, replayed day by day and judged against the truth."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.bench.injected import FIRST_DAY, SPANS, START, Injected, make
from driftline.core.job import Job
from driftline.core.results import milliseconds
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.timespan import Window, iso
from driftline.pipeline.fit import fit
from driftline.pipeline.replay import replay
from driftline.pipeline.segment import records, score_segment
from driftline.scoring.aggregate import event_results
from driftline.scoring.calibration import calibrate
from driftline.scoring.detector import detect
from driftline.scoring.events import alarms
from driftline.scoring.kinds import kinds
from driftline.scoring.score import to_score
from driftline.scoring.settings import ALARM_SCORE, CHANGES
from driftline.scoring.truth import Alarms, Truth, judge
from driftline.scoring.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.core.progress import Progress

DAY = 1440  # minutes


def run(*, partitions: int, minutes: int, seed: int, models: str = "daily", progress: Progress | None = None) -> dict[str, Any]:
    """Scores the second half of the set with models that knew what came before, and judges the alarms.

    Args:
        partitions: How many.
        minutes: Bucket span.
        seed: Of the set.
        models: `daily`: as `driftline detect` and backtests, models and what is usual measured anew every day; `weekly`: as the
            DAGs, two snapshots from one retrain to the next.
        progress: Told how far a replay is.

    Returns:
        `partitions`, `span_minutes`, `seed`, `threshold`, `recall`, `precision`, `f1`, `false_alarms`, `false_alarms_a_week` (a
        partition), `level_shifts_in_a_day` (the share reported by then),
        `further_alarms` (about level shifts, after the report), `seconds`, `scoring_us` (CPU microseconds
        a bucket and series of the scoring steps alone), `by_second_…` (the share of 10x spikes told in their first or second
        bucket, also in series that are constant otherwise), and for each kind `recall_…` and `delay_…` (median, in buckets); of
        `weekly` also `late_…`, how many minutes after the anomaly's end its event ends (median), but for lasting changes.
    """
    data = make(seed, partitions).binned(minutes)
    first = FIRST_DAY * DAY // minutes
    begun = time.perf_counter()
    ends: list[tuple[int, int, int]] = []
    if models == "weekly":
        scores, ends = _by_snapshots(data, minutes)
    else:
        scores = replay(data.times, data.counts, sqrt=True, start=first, a_day=1, progress=progress).anomaly_score
    seconds = time.perf_counter() - begun
    loud = np.where(scores >= ALARM_SCORE, scores, 0.0)[:, first:]
    truth = Truth(np.arange(partitions), data.first - first, data.last - first, data.kind)
    judged = judge(Alarms.of(loud), truth, ALARM_SCORE, series=partitions, buckets=loud.shape[1], span=SPANS[minutes])
    figures: dict[str, Any] = {
        "partitions": partitions,
        "span_minutes": minutes,
        "seed": seed,
        "models": models,
        "threshold": ALARM_SCORE,
        "recall": round(judged.recall, 4),
        "precision": round(judged.precision, 4),
        "f1": round(judged.f1, 4),
        "false_alarms": judged.false_alarms,
        "false_alarms_a_week": round(judged.false_alarms_a_week, 5),
        **_shifts(loud, data, first, DAY // minutes),
        **_at_once(loud, data, first),
        "seconds": round(seconds, 1),
        "scoring_us": round(_cost(data, first, minutes), 2),
    }
    for kind, (hit, known, delay) in sorted(judged.by_kind.items()):
        figures[f"recall_{kind}"] = round(hit / known, 3)
        figures[f"delay_{kind}"] = delay
    return figures | _late(ends, data, minutes)


def _at_once(loud: NDArray[np.float64], data: Injected, first: int) -> dict[str, float]:
    """The share of 10x spikes that are told in their first or second bucket."""
    out = {}
    for kind in ("spike_10", "constant"):
        rows = np.flatnonzero(np.asarray(data.kind) == kind)
        begins = data.first[rows] - first
        told = (loud[rows, begins] > 0) | (loud[rows, begins + 1] > 0)
        out[f"by_second_{kind}"] = round(float(told.mean()), 3)
    return out


def _by_snapshots(data: Injected, minutes: int) -> tuple[NDArray[np.float64], list[tuple[int, int, int]]]:
    """Events that alarm, by the training and scoring of a job's DAGs.

    Returns:
        (N, T) their scores, where they begin to alarm; and of each that is a partition's own its row, first bucket and the one
        after the last.
    """
    detectors = [{"function": "count", "partition_field_name": "partition"}]
    job = Job.parse(
        {"job_id": "bench", "bucket_span": f"{minutes}m", "detectors": detectors, "datafeed": {"indices": ["bench"]}},
        where="bench",
    )
    keys = [SeriesKey(0, str(row)) for row in range(len(data.counts))]
    frame = SeriesFrame(START, SPANS[minutes], keys, data.counts, data.counts.sum(axis=0).astype(np.int64))
    found: list[dict[str, Any]] = []
    week = timedelta(weeks=1)
    for cut in (START + timedelta(days=FIRST_DAY), START + timedelta(days=FIRST_DAY) + week):
        trained = fit(job, frame.slice(Window(START, cut)))
        lineage = {"snapshot_id": iso(cut), "training_start": iso(START), "training_end": iso(cut), "in_sample": False}
        segment = {**Window(cut, cut + week).as_dict(), **lineage}
        found += [record for _, record in records(job, score_segment(job, frame, trained, segment), segment, ())]
    loud: dict[str | None, list[int]] = {}
    for record in sorted(found, key=lambda record: int(record["timestamp"])):
        if record["record_score"] >= ALARM_SCORE:
            loud.setdefault(record["partition_field_value"], []).append(record["timestamp"])
    scores, ends = np.zeros(data.counts.shape), []

    def bucket(time: int) -> int:
        return (time - milliseconds(START)) // (job.span_seconds * 1000)

    for _, event in event_results(job, found, len(keys)):
        said, partition = event["driftline"]["event"], event.get("partition_field_value")
        if said["alarm"]:
            # an event of the whole job is nobody's anomaly here: it counts as a false alarm, of the first series
            first = next((time for time in loud.get(partition, ()) if time >= said["start"]), said["start"])
            scores[int(partition or 0), bucket(first)] = event["anomaly_score"]
            if partition is not None:
                ends.append((int(partition), bucket(said["start"]), bucket(said["end"])))
    return scores, ends


def _late(ends: list[tuple[int, int, int]], data: Injected, minutes: int) -> dict[str, float]:
    """Median minutes from the end of anomalies to that of their events, by kind."""
    late: dict[str, list[int]] = {}
    for row, begin, end in ends:
        kind, last = data.kind[row], int(data.last[row])
        if kind not in CHANGES and begin < last and end > data.first[row]:
            late.setdefault(kind, []).append((end - last) * minutes)
    return {f"late_{kind}": float(np.median(each)) for kind, each in sorted(late.items())}


def _shifts(loud: NDArray[np.float64], data: Injected, first: int, day: int) -> dict[str, Any]:
    """Level shifts: the share that was reported within a day, and alarms that came after the report."""
    rows = [row for row, kind in enumerate(data.kind) if kind == "level_shift"]
    told = [np.flatnonzero(loud[row, data.first[row] - first : data.last[row] - first]) for row in rows]
    soon = sum(bool(len(times)) and times[0] < day for times in told)
    return {"level_shifts_in_a_day": round(soon / len(rows), 3), "further_alarms": sum(max(0, len(times) - 1) for times in told)}


def _cost(data: Injected, first: int, minutes: int) -> float:
    """CPU microseconds a bucket and series of evidence, kinds and alarms, for a day with its look-back."""
    windows, day = Windows.of(SPANS[minutes]), DAY // minutes
    part = slice(max(0, first - windows.lookback), first + day)
    values, space = data.counts[:, part], np.sqrt(data.counts[:, part])
    mean, sqrt = np.broadcast_to(np.median(space, axis=1)[:, None], space.shape).copy(), np.full(len(space), True)
    usual = calibrate(values, space, mean, sqrt, windows).usual
    begun = time.process_time()
    found = detect(values, space, mean, sqrt, usual, windows)
    kinds(found, space, usual, windows)
    alarms(to_score(found.surprise, SPANS[minutes]), windows)
    return (time.process_time() - begun) / values.size * 1e6
