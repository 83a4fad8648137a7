"""Fit: a frame's series to models and noise, bursts kept out."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.models.baseline import Fleet, fit_fleet
from driftline.models.baseline.options import check_options
from driftline.models.trained import Trained
from driftline.scoring.calibration import burst_mask, calibrate, noise_floor, robust_sigma

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.progress import Progress
    from driftline.core.series import SeriesFrame, SeriesKey

COUNT_LIKE = {"count", "distinct_count"}


def fit(job: Job, frame: SeriesFrame, *, progress: Progress | None = None) -> Trained:
    """Models and noise of a frame's series. Sparse bursts are kept out of the fit; a new level is learned."""
    sqrt = np.array([_sqrt(job, key.detector_index) for key in frame.keys], dtype=bool)
    sparse = _too_sparse(job, frame)
    values = frame.values.copy()
    values[list(sparse)] = np.nan
    options = fit_options(job, frame.keys)
    fleet = fit_fleet(frame.times, values, sqrt=sqrt, progress=progress, **options)
    fleet.failed.update(sparse)
    residuals, floor = _residuals(fleet, frame, values)
    mask = burst_mask(residuals, robust_sigma(residuals, floor), frame.span)
    again = np.flatnonzero(mask.any(axis=1))
    if len(again):
        options = fit_options(job, [frame.keys[row] for row in again])
        refit = fit_fleet(frame.times, values[again], sqrt=sqrt[again], mask=mask[again], progress=progress, **options)
        fleet.replace(again, refit)
        residuals, floor = _residuals(fleet, frame, values)
    noise = calibrate(np.where(mask, np.nan, residuals), floor)
    return Trained(frame.keys, _first_seen(frame), noise, fleet)


def fit_options(job: Job, keys: list[SeriesKey]) -> dict[str, Any]:
    """What `fit_fleet` is told of a job besides the series: Prophet's options, for all and by partition, and the engine."""
    patterns = job.training.prophet_by_partition
    own = [
        {name: value for pattern, options in patterns.items() if _matches(key, pattern) for name, value in options.items()}
        for key in keys
    ]
    return {**job.training.prophet, "engine": job.training.engine, "series_options": own if patterns else None}


def _matches(key: SeriesKey, pattern: str) -> bool:
    return any(value is not None and fnmatchcase(value, pattern) for value in (key.partition_value, key.by_value))


def check_job_options(job: Job) -> None:
    """Refuses options that Prophet does not have, or does not take.

    Raises:
        DefinitionError: Names the option, and what is wrong.
    """
    check_options(job.training.prophet, f"job {job.job_id}, training.prophet")
    for pattern, options in job.training.prophet_by_partition.items():
        where = f"job {job.job_id}, training.prophet_by_partition, '{pattern}'"
        check_options({**job.training.prophet, **options}, where)


def _residuals(fleet: Fleet, frame: SeriesFrame, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    space = fleet.to_space(values)
    return space - fleet.mean(frame.times), noise_floor(space, fleet.sqrt)


def _sqrt(job: Job, detector: int) -> bool:
    wanted = job.training.transform
    return wanted == "sqrt" or (wanted == "auto" and job.detectors[detector].spec.metric in COUNT_LIKE)


def _too_sparse(job: Job, frame: SeriesFrame) -> dict[int, str]:
    """Series with too few non-empty buckets for a model, each with the reason."""
    zero_is_empty = np.array([job.detectors[key.detector_index].spec.empty_is_zero for key in frame.keys], dtype=bool)
    filled = (
        ~np.isnan(frame.values) & ~(zero_is_empty[:, None] & (frame.values == 0)) if len(frame.keys) else np.zeros((0, 0), bool)
    )
    counts = filled.sum(axis=1)
    least = job.training.min_buckets
    return {
        row: f"too sparse: {counts[row]} of {frame.values.shape[1]} buckets hold data, {least} needed (training.min_buckets)"
        for row in range(len(frame.keys))
        if counts[row] < least
    }


def _first_seen(frame: SeriesFrame) -> NDArray[np.float64]:
    seen = ~np.isnan(frame.values)
    column = np.where(seen.any(axis=1), seen.argmax(axis=1), seen.shape[1]) if seen.size else np.zeros(len(frame.keys))
    return np.asarray(frame.start.timestamp() + column * frame.span.total_seconds(), dtype=np.float64)
