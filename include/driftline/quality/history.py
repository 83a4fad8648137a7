"""What a job's data usually looks like: a profile over the hours of the week, kept with the report of each training.

An interval is held against the profile of the training that was in force, at the same hours. So a night is compared with
nights, an interval may be of any length, and the verdict does not depend on which intervals were scored before.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.series import SeriesFrame
    from driftline.core.timespan import Window

HOUR = 3600
DAY_HOURS, WEEK_HOURS = 24, 168
TWO_WEEKS = timedelta(weeks=2)  # less has at most one of each hour of the week, which says little


def reads(job: Job) -> str:
    """Hash of what decides how much a job reads: reports that differ in it cannot be held against each other."""
    feed = job.datafeed
    parts = {
        "detectors": [detector.model_dump(mode="json") for detector in job.detectors],
        "indices": feed.indices,
        "query": feed.query,
        "span": job.span_seconds,
        "time": job.time_field,
    }
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


def active(frame: SeriesFrame, job: Job) -> NDArray[np.bool_]:
    """(N, T) whether a series holds data in a bucket: where an empty bucket counts as 0, a 0 is none."""
    zeros = by_detector([detector.spec.empty_is_zero for detector in job.detectors], frame)
    found: NDArray[np.bool_] = ~np.isnan(frame.values)
    np.logical_and(found, frame.values != 0, out=found, where=zeros[:, None])
    return found


def by_detector(facts: list[bool], frame: SeriesFrame) -> NDArray[np.bool_]:
    """(N,) what is true of each series' detector."""
    chosen = np.fromiter((key.detector_index for key in frame.keys), np.intp, len(frame.keys))
    return np.array(facts, dtype=bool)[chosen]


def profile(frame: SeriesFrame, job: Job) -> dict[str, Any]:
    """Documents and series with data a bucket: `docs`, `series` on average, and by hour of the week (or day) in `hours`."""
    series = active(frame, job).sum(axis=0)
    slots = WEEK_HOURS if frame.end - frame.start >= TWO_WEEKS else DAY_HOURS
    return {
        "docs": _mean(frame.docs),
        "series": _mean(series),
        "hours": {
            "docs": _by_slot(frame.docs, _slots(frame.start, frame.span, len(frame.docs), slots), slots),
            "series": _by_slot(series, _slots(frame.start, frame.span, len(series), slots), slots),
        },
    }


def usual(known: dict[str, Any], window: Window, span: timedelta) -> dict[str, float]:
    """What a profile lets expect of a window: `docs` and `series` a bucket, at the window's own hours."""
    expected = {}
    for name in ("docs", "series"):
        hours = [known[name] if value is None else value for value in known["hours"][name]]
        slots = _slots(window.start, span, window.buckets(span), len(hours))
        expected[name] = float(np.asarray(hours, dtype=float)[slots].mean()) if len(slots) else float(known[name])
    return expected


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else 0.0


def _slots(start: datetime, span: timedelta, buckets: int, slots: int) -> NDArray[np.int64]:
    """The hour of the day or week in which each bucket starts. The week's zero is a Thursday, as the epoch was."""
    seconds = int(start.astimezone(UTC).timestamp()) + np.arange(buckets) * int(span.total_seconds())
    return (seconds // HOUR) % slots


def _by_slot(values: NDArray[Any], places: NDArray[np.int64], slots: int) -> list[float | None]:
    counts = np.bincount(places, minlength=slots)
    sums = np.bincount(places, weights=values.astype(float), minlength=slots)
    return [round(total / count, 3) if count else None for total, count in zip(sums.tolist(), counts.tolist(), strict=True)]
