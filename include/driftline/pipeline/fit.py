"""Fit: a frame's series to models and noise, bursts kept out."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.models.baseline import Fleet, fit_fleet
from driftline.models.baseline.fleet import select
from driftline.models.baseline.options import check_options
from driftline.models.trained import Trained
from driftline.scoring.calibration import burst_mask, calibrate, noise_floor, robust_sigma

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.progress import Progress
    from driftline.core.series import SeriesFrame, SeriesKey

BLOCK = 1_000_000  # values whose residuals are looked at at once
COUNT_LIKE = {"count", "distinct_count"}


def fit(job: Job, frame: SeriesFrame, *, progress: Progress | None = None) -> Trained:
    """Models and noise of a frame's series. Sparse bursts are kept out of the fit; a new level is learned.

    What is measured on residuals is done some series at a time: a large frame needs little memory besides its own.
    """
    sqrt = np.array([_sqrt(job, key.detector_index) for key in frame.keys], dtype=bool)
    sparse = _too_sparse(job, frame)
    values = frame.values
    if sparse:
        values = values.copy()
        values[list(sparse)] = np.nan
    fleet = fit_fleet(frame.times, values, sqrt=sqrt, progress=progress, **fit_options(job, frame.keys))
    fleet.failed.update(sparse)
    again, mask = _bursts(fleet, frame, values)
    if len(again):
        options = fit_options(job, [frame.keys[row] for row in again])
        fleet.replace(again, fit_fleet(frame.times, values[again], sqrt=sqrt[again], mask=mask, progress=progress, **options))
    noise = np.empty((len(values), 2))
    for rows, residuals, floor in _residuals(fleet, frame, values):
        inside = np.flatnonzero((again >= rows.start) & (again < rows.stop))
        residuals[again[inside] - rows.start] = np.where(mask[inside], np.nan, residuals[again[inside] - rows.start])
        noise[rows.start : rows.stop] = calibrate(residuals, floor)
    return Trained(frame.keys, _first_seen(frame), noise, fleet)


def _bursts(fleet: Fleet, frame: SeriesFrame, values: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Rows (k,) of the series with bursts, and their masks (k, T)."""
    found, masks = [np.empty(0, dtype=np.intp)], [np.empty((0, values.shape[1]), dtype=bool)]
    for rows, residuals, floor in _residuals(fleet, frame, values):
        mask = burst_mask(residuals, robust_sigma(residuals, floor), frame.span)
        having = np.flatnonzero(mask.any(axis=1))
        found.append(having + rows.start)
        masks.append(mask[having])
    return np.concatenate(found), np.concatenate(masks)


def _residuals(
    fleet: Fleet, frame: SeriesFrame, values: NDArray[np.float64]
) -> Iterator[tuple[range, NDArray[np.float64], NDArray[np.float64]]]:
    """Some series at a time: their rows, residuals in the model's space, and the least noise to assume."""
    size = max(1, BLOCK // max(1, values.shape[1]))
    for first in range(0, len(values), size):
        rows = range(first, min(first + size, len(values)))
        part = select(fleet, rows)
        space = part.to_space(values[rows.start : rows.stop])
        yield rows, space - part.mean(frame.times), noise_floor(space, part.sqrt)


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
