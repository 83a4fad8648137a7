"""`driftline bench detect`: known anomalies in access-log partitions, replayed day by day and judged against the truth."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.bench.injected import FIRST_DAY, SPANS, Injected, make
from driftline.pipeline.replay import replay
from driftline.scoring.calibration import calibrate
from driftline.scoring.detector import alarms, detect
from driftline.scoring.kinds import kinds
from driftline.scoring.settings import ALARM_SCORE
from driftline.scoring.truth import Alarms, Truth, judge
from driftline.scoring.windows import Windows

if TYPE_CHECKING:
    from driftline.core.progress import Progress

DAY = 1440  # minutes


def run(*, partitions: int, minutes: int, seed: int, progress: Progress | None = None) -> dict[str, Any]:
    """Replays the second half of the set, models and what is usual measured anew every day, and judges its alarms.

    Returns:
        `partitions`, `span_minutes`, `seed`, `threshold`, `recall`, `precision`, `f1`, `false_alarms`, `false_alarms_a_week` (a
        partition), `late` (alarms about a level shift more than a day after it began), `seconds`, `scoring_us` (CPU microseconds
        a bucket and series of the scoring steps alone), and for each kind `recall_…` and `delay_…` (median, in buckets).
    """
    data = make(seed, partitions).binned(minutes)
    first = FIRST_DAY * DAY // minutes
    begun = time.perf_counter()
    found = replay(data.times, data.counts, sqrt=True, start=first, a_day=1, progress=progress)
    seconds = time.perf_counter() - begun
    loud = np.where(found.anomaly_score >= ALARM_SCORE, found.anomaly_score, 0.0)[:, first:]
    truth = Truth(np.arange(partitions), data.first - first, data.last - first, data.kind)
    judged = judge(Alarms.of(loud), truth, ALARM_SCORE, series=partitions, buckets=loud.shape[1], span=SPANS[minutes])
    figures: dict[str, Any] = {
        "partitions": partitions,
        "span_minutes": minutes,
        "seed": seed,
        "threshold": ALARM_SCORE,
        "recall": round(judged.recall, 4),
        "precision": round(judged.precision, 4),
        "f1": round(judged.f1, 4),
        "false_alarms": judged.false_alarms,
        "false_alarms_a_week": round(judged.false_alarms_a_week, 5),
        "late": _late(loud, data, first, DAY // minutes),
        "seconds": round(seconds, 1),
        "scoring_us": round(_cost(data, first, minutes), 2),
    }
    for kind, (hit, known, delay) in sorted(judged.by_kind.items()):
        figures[f"recall_{kind}"] = round(hit / known, 3)
        figures[f"delay_{kind}"] = delay
    return figures


def _late(loud: np.ndarray[Any, Any], data: Injected, first: int, day: int) -> int:
    """Alarms about level shifts more than a day after they began: by then they were reported, and learned."""
    rows = [row for row, kind in enumerate(data.kind) if kind == "level_shift"]
    return sum(int((loud[row, data.first[row] - first + day :] > 0).sum()) for row in rows)


def _cost(data: Injected, first: int, minutes: int) -> float:
    """CPU microseconds a bucket and series of evidence, kinds and alarms, for a day with its look-back."""
    windows, day = Windows.of(SPANS[minutes]), DAY // minutes
    part = slice(max(0, first - windows.lookback), first + day)
    values, space = data.counts[:, part], np.sqrt(data.counts[:, part])
    mean, sqrt = np.broadcast_to(np.median(space, axis=1)[:, None], space.shape).copy(), np.full(len(space), True)
    usual, _ = calibrate(values, space, mean, sqrt, windows)
    begun = time.process_time()
    found = detect(values, space, mean, sqrt, usual, windows)
    kinds(found, space, usual, windows)
    alarms(found.surprise, windows.rest)
    return (time.process_time() - begun) / values.size * 1e6
