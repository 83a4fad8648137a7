"""Lessons: what a model may learn from. Neither what lies before a marker, nor what rules and calendars leave out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.ruling import unlearned
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


def learned(
    job: Job, frame: SeriesFrame, before: datetime | None = None, typical: NDArray[np.float64] | None = None
) -> SeriesFrame:
    """The frame without what nothing is learned from.

    Args:
        job: The job.
        frame: The series.
        before: Markers up to here count; by default up to the frame's end.
        typical: (N, T) what was expected, where it is known: rules may compare it.
    """
    since = newest(job, frame.keys, before or frame.end)
    seconds = _seconds(frame)
    values = np.where(seconds >= since[:, None], frame.values, np.nan) if np.isfinite(since).any() else frame.values
    left_out = unlearned(job, frame.keys, seconds, values, where=_of_rows, typical=typical)
    if left_out is not None:
        values = np.where(left_out, np.nan, values)
    return frame if values is frame.values else replace(frame, values=values)


def remembered(job: Job, frame: SeriesFrame) -> SeriesFrame:
    """The frame without the series that have been without documents for `model_prune_window`: if they return, they are new."""
    silent = silence(job, frame)[:, -1:] * job.bucket_span.total_seconds()
    if job.model_prune_window is None or not silent.size:
        return frame
    kept = np.flatnonzero(silent[:, 0] < job.model_prune_window.total_seconds())
    split = [row for row, key in enumerate(frame.keys) if not key.values]
    return frame.take(sorted({*kept.tolist(), *split}))


def silence(job: Job, frame: SeriesFrame) -> NDArray[np.int64]:
    """(N, T) for how many buckets nothing was there, up to and with each; counted from the first bucket at most."""
    at = np.arange(1, frame.values.shape[1] + 1)
    last = np.maximum.accumulate(np.where(there(job, frame), at, 0), axis=1)
    return np.asarray(at - last, dtype=np.int64)


def there(job: Job, frame: SeriesFrame) -> NDArray[np.bool_]:
    """(N, T) where something was: an average of 0 is of some documents, a count of 0 is none."""
    nothing = np.isnan(frame.values) | (zero_is_empty(job, frame.keys) & (frame.values == 0))
    return np.asarray(~nothing, dtype=bool)


def zero_is_empty(job: Job, keys: list[SeriesKey]) -> NDArray[np.bool_]:
    """(N, 1) the series that are 0 where there are no documents."""
    return np.array([job.detectors[key.detector_index].spec.empty_is_zero for key in keys], dtype=bool)[:, None]


def judged(job: Job, frame: SeriesFrame) -> SeriesFrame:
    """The frame without what there are no results of and nothing is learned from either: as if it had not been."""
    hidden = unlearned(job, frame.keys, _seconds(frame), frame.values, where=_of_rows, hidden=True)
    return frame if hidden is None else replace(frame, values=np.where(hidden, np.nan, frame.values))


def _seconds(frame: SeriesFrame) -> NDArray[np.float64]:
    """(1, T) starts of the buckets."""
    return np.asarray(frame.start.timestamp() + np.arange(frame.values.shape[1]) * frame.span.total_seconds())[None]


def _of_rows(chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return chosen[:, None]


def anew(job: Job, keys: list[SeriesKey], segment: dict[str, Any]) -> set[SeriesKey]:
    """The series of a segment whose snapshot is of the other side of a marker, or knows less than three days of this one."""
    start, end = parse_time(segment["start"]), parse_time(segment["training_end"])
    known = newest(job, keys, end)
    here = newest(job, keys, parse_time(segment["end"]))
    short = np.isfinite(here) & (end.timestamp() - here < TREND_FROM.total_seconds())
    other = known > start.timestamp()
    return {key for key, yes in zip(keys, (short | other).tolist(), strict=True) if yes}
