"""Markers: changes that are known, such as a deployment. What lies before one is no baseline for what comes after it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.timespan import parse_time
from driftline.scoring.settings import TREND_FROM

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.series import SeriesFrame, SeriesKey


def newest(job: Job, keys: list[SeriesKey], before: datetime) -> NDArray[np.float64]:
    """(N,) epoch seconds of the last marker of each series before a time; −inf where there is none."""
    out = np.full(len(keys), -np.inf)
    for marker in job.markers:
        if marker.at < before:
            about = np.fromiter((marker.concerns(key.partition_value, key.by_value) for key in keys), bool, len(keys))
            out[about] = np.maximum(out[about], marker.at.timestamp())
    return out


def since_markers(job: Job, frame: SeriesFrame, before: datetime | None = None) -> SeriesFrame:
    """The frame without the values before each series' last marker, of those before a time or the frame's end."""
    since = newest(job, frame.keys, before or frame.end)
    if not np.isfinite(since).any():
        return frame
    seconds = frame.start.timestamp() + np.arange(frame.values.shape[1]) * frame.span.total_seconds()
    return replace(frame, values=np.where(seconds[None] >= since[:, None], frame.values, np.nan))


def anew(job: Job, keys: list[SeriesKey], segment: dict[str, Any]) -> set[SeriesKey]:
    """The series of a segment whose snapshot is of the other side of a marker, or knows less than three days of this one."""
    start, end = parse_time(segment["start"]), parse_time(segment["training_end"])
    known = newest(job, keys, end)
    here = newest(job, keys, parse_time(segment["end"]))
    short = np.isfinite(here) & (end.timestamp() - here < TREND_FROM.total_seconds())
    other = known > start.timestamp()
    return {key for key, yes in zip(keys, (short | other).tolist(), strict=True) if yes}
