"""Fit: a frame's series to models and noise, bursts kept out."""

from __future__ import annotations

from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.ruling import time_shifts
from driftline.models.baseline import Fleet, fit_fleet
from driftline.models.baseline.design import wall_clock
from driftline.models.baseline.fleet import select
from driftline.models.baseline.habits import Habits, find, joined, milliseconds
from driftline.models.baseline.options import check_options
from driftline.models.baseline.shape import shape
from driftline.models.trained import SHORT, Trained
from driftline.pipeline.lessons import there
from driftline.scoring.bursts import burst_mask, rare_bursts
from driftline.scoring.calibration import WIDTH, calibrate
from driftline.scoring.detector import past_peaks
from driftline.scoring.hours import hours_of
from driftline.scoring.residuals import absolute_quantile, middle, noise_floor, robust_sigma
from driftline.scoring.settings import MASK_SIGMA, TREND_BUCKETS, TREND_FROM, WEEKLY_FROM
from driftline.scoring.statistics import clock_moves
from driftline.scoring.together import Together
from driftline.scoring.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.progress import Progress
    from driftline.core.series import SeriesFrame, SeriesKey
    from driftline.core.timespan import Window
    from driftline.models.baseline.habits import Clocks

# What a shape leaves, at most, of this quantile of the absolute residuals: else it is not worth its noise.
SHAPED, SHAPE_QUANTILE = 0.8, 0.9
BLOCK = 1_000_000  # values whose residuals are looked at at once
COUNT_LIKE = {"count", "distinct_count"}


def fit(job: Job, frame: SeriesFrame, *, progress: Progress | None = None) -> Trained:
    """Models and what is usual around them, of a frame's series. What is measured on residuals is done some series at a time."""
    sqrt, sums = roots_and_sums(job, frame.keys)
    sparse = _too_sparse(job, frame)
    values = frame.values
    if sparse:
        values = values.copy()
        values[list(sparse)] = np.nan
    options = fit_options(job, frame.keys, frame.window)
    fleet = fit_series(frame.times, values, frame.span, sqrt=sqrt, progress=progress, **options)
    fleet.failed.update(sparse)
    windows = Windows.of(frame.span)
    moves = clock_moves(frame.times, wall_clock(frame.times, fleet.options), windows)
    detectors = np.array([key.detector_index for key in frame.keys], dtype=np.int64)
    sides = [job.detectors[key.detector_index].spec.side for key in frame.keys]
    parts, together = [np.empty((0, WIDTH))], Together(len(frame.times))
    for rows, part, space, mean in _expected(fleet, frame.times, values):
        mean = mean - part.own_part(frame.times, space - mean, frame.span)
        within, spread = slice(rows.start, rows.stop), part.spread(frame.times)
        mask = rare_bursts(space, mean, sqrt[within], windows)
        sizes = None if frame.sizes is None else frame.sizes[within]
        hours = hours_of(part.clocks(frame.times))
        known = calibrate(values[within], space, mean, sqrt[within], windows, mask, sizes, sums[within], spread, moves, hours)
        usual = known.usual
        usual.peaks = past_peaks(
            values[within],
            space,
            mean,
            sqrt[within],
            known,
            windows,
            mask=mask,
            sides=sides[within],
            sizes=sizes,
            spread=spread,
            moves=moves,
            hours=hours,
        )
        usual.seen = _outward(usual.seen)
        # as the snapshot keeps it: who scores at once and who scores from the store say the same
        parts.append(usual.numbers().astype(SHORT).astype(np.float64))
        together.add(detectors[within], known.z)
    return Trained(frame.keys, _first_seen(frame), np.concatenate(parts), fleet, together.parts)


def _outward(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) least and greatest values that hold what was seen when they are kept short: what was seen is nothing new."""
    short = seen.astype(SHORT)
    inside = np.column_stack([short[:, 0] > seen[:, 0], short[:, 1] < seen[:, 1]])
    return np.where(inside, np.nextafter(short, np.array([-np.inf, np.inf], SHORT)), short).astype(np.float64)


def fit_series(
    times: NDArray[np.datetime64],
    values: NDArray[np.float64],
    span: timedelta,
    *,
    sqrt: NDArray[np.bool_],
    progress: Progress | None = None,
    series_options: Sequence[Mapping[str, Any]] | None = None,
    **options: Any,  # noqa: ANN401 - as `fit_fleet` takes them
) -> Fleet:
    """Models of series (N, T). Sparse bursts are kept out of the fit, those by habit are known; a new level is learned."""
    own = _by_age(times, values, span, options, series_options)
    fleet = fit_fleet(times, values, sqrt=sqrt, progress=progress, series_options=own, **options)
    fleet.habits, rows, mask = _looked(fleet, times, values, span)
    if len(rows):
        chosen = None if own is None else [own[row] for row in rows]
        part = fit_fleet(times, values[rows], sqrt=sqrt[rows], mask=mask, progress=progress, series_options=chosen, **options)
        part.habits, _, _ = _looked(part, times, values[rows], span)
        fleet.replace(rows, part)
    return fleet


def _by_age(
    times: NDArray[np.datetime64],
    values: NDArray[np.float64],
    span: timedelta,
    options: Mapping[str, Any],
    series_options: Sequence[Mapping[str, Any]] | None,
) -> Sequence[Mapping[str, Any]] | None:
    """Prophet's options of each series, with what its age asks for where nobody chose otherwise.

    Two weeks of buckets are two weeks: Prophet counts from the first start to the last, and would leave the week out. A trend
    over a day or two is a piece of the daily curve, and leads anywhere.
    """
    known = ~np.isnan(values)
    last = known.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
    age = (times[last] - times[known.argmax(axis=1)]) / np.timedelta64(1, "s") + span.total_seconds()
    weekly = (age >= WEEKLY_FROM.total_seconds() * (1 - 1e-9)) & (age - span.total_seconds() < WEEKLY_FROM.total_seconds())
    flat = (age < TREND_FROM.total_seconds()) | (known.sum(axis=1) < TREND_BUCKETS)
    if not (weekly | flat).any():
        return series_options
    out = []
    for row in range(len(values)):
        given = dict(series_options[row]) if series_options is not None else {}
        if weekly[row] and span < timedelta(days=1):
            given.setdefault("weekly_seasonality", options.get("weekly_seasonality", True))
        if flat[row]:
            given.setdefault("growth", options.get("growth", "flat"))
        out.append(given)
    return out


def _looked(
    fleet: Fleet, times: NDArray[np.datetime64], values: NDArray[np.float64], span: timedelta
) -> tuple[Habits, NDArray[np.intp], NDArray[np.bool_]]:
    """Habits of all series, and which of these (k,) have such or bursts, and where they are (k, T)."""
    habits, found, masks = [], [np.empty(0, dtype=np.intp)], [np.empty((0, values.shape[1]), dtype=bool)]
    for rows, part, space, mean in _expected(fleet, times, values):
        floor, clocks = noise_floor(space, part.sqrt), part.clocks(times)
        known, mask = _habits(space - mean, floor, clocks, span)
        having = np.flatnonzero(mask.any(axis=1))
        found.append(having + rows.start)
        masks.append(mask[having])
        habits.append(known.placed(np.asarray(rows)))
    return joined(habits), np.concatenate(found), np.concatenate(masks)


def _habits(
    residuals: NDArray[np.float64], floor: NDArray[np.float64], clocks: Clocks, span: timedelta
) -> tuple[Habits, NDArray[np.bool_]]:
    """What series (n, T) do again and again at the same time of the day or week, and where they do, or have bursts."""
    if not clocks:
        return Habits(), np.zeros(residuals.shape, dtype=bool)
    # where a burst had a part in the model, all else lies to one side of that
    centred = residuals - middle(residuals)
    own, mask = _found(centred, Habits(), floor, clocks, span)
    moved, spread = (each(clocks, len(residuals)) for each in (own.moved, own.spread))
    # but it is the whole of the curve's error that a shape mends
    left = np.where((spread > 0) & (moved == 0), np.nan, residuals - moved)
    smooth = shape(left, floor, clocks, milliseconds(span))
    rest = left - smooth.moved(clocks, len(left))
    # where smooth seasons do well, a shape is not worth its noise
    needed = absolute_quantile(rest, SHAPE_QUANTILE) <= SHAPED * absolute_quantile(left, SHAPE_QUANTILE)
    smooth = smooth.of(needed)
    if len(smooth):
        own, _ = _found(np.where(needed[:, None], residuals, centred), smooth, floor, clocks, span)
    return joined([smooth, own]), mask


def _found(
    residuals: NDArray[np.float64], smooth: Habits, floor: NDArray[np.float64], clocks: Clocks, span: timedelta
) -> tuple[Habits, NDArray[np.bool_]]:
    """Habits of series (n, T) whose shape is known, and where these or bursts are."""
    rest = residuals - smooth.moved(clocks, len(residuals))
    sigma = robust_sigma(rest, floor)
    far = MASK_SIGMA * sigma
    narrow = rest / np.hypot(1.0, smooth.spread(clocks, len(rest)) / sigma[:, None])
    own = find(rest, np.abs(narrow) > far[:, None], far, clocks, milliseconds(span))
    return own, burst_mask(narrow, sigma, span) | (own.spread(clocks, len(rest)) > 0)


def _expected(
    fleet: Fleet, times: NDArray[np.datetime64], values: NDArray[np.float64]
) -> Iterator[tuple[range, Fleet, NDArray[np.float64], NDArray[np.float64]]]:
    """Some series at a time: their rows, models, values and expectations (also where no value is) in the model's space."""
    size = max(1, BLOCK // max(1, values.shape[1]))
    for first in range(0, len(values), size):
        rows = range(first, min(first + size, len(values)))
        part = select(fleet, rows)
        space = part.to_space(values[rows.start : rows.stop])
        yield rows, part, space, part.mean(times)


def fit_options(job: Job, keys: list[SeriesKey], window: Window) -> dict[str, Any]:
    """What `fit_fleet` is told of a job besides the series: Prophet's options, for all and by partition, and the engine."""
    clock: dict[str, Any] = {} if job.time_zone == "UTC" else {"time_zone": job.time_zone}
    if moves := time_shifts(job, window.start, window.end):
        clock["time_shifts"] = moves
    patterns = job.training.prophet_by_partition
    own = [
        {name: value for pattern, options in patterns.items() if _matches(key, pattern) for name, value in options.items()}
        for key in keys
    ]
    return {**clock, **job.training.prophet, "engine": job.training.engine, "series_options": own if patterns else None}


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


def roots_and_sums(job: Job, keys: Sequence[SeriesKey]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which series (N,) are modelled as square roots, and which are sums of documents."""
    wanted, numbers = job.training.transform, np.array([key.detector_index for key in keys], dtype=np.intp)
    sqrt = [wanted == "sqrt" or (wanted == "auto" and each.spec.metric in COUNT_LIKE) for each in job.detectors]
    sums = [each.is_sum for each in job.detectors]
    return np.array(sqrt, dtype=bool)[numbers], np.array(sums, dtype=bool)[numbers]


def _too_sparse(job: Job, frame: SeriesFrame) -> dict[int, str]:
    """Series with too few non-empty buckets for a model, each with the reason."""
    counts = there(job, frame).sum(axis=1)
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
