"""What a job's rules and calendars say of its buckets: which have no results, from which nothing is learned, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from numpy.typing import NDArray

    from driftline.core.detector import Detector
    from driftline.core.job import Job
    from driftline.core.rules import Action, Rule, ScheduledEvent
    from driftline.core.series import SeriesKey

    Where = Callable[[NDArray[np.bool_]], NDArray[np.bool_]]


class _Rule(NamedTuple):
    """A rule and whose it is."""

    detector: int
    number: int
    rule: Rule


def _rules(job: Job, action: Action) -> Iterator[_Rule]:
    for index, detector in enumerate(job.detectors):
        for number, rule in enumerate(detector.custom_rules):
            if action in rule.actions:
                yield _Rule(index, number, rule)


def _values(detector: Detector, key: SeriesKey) -> dict[str, str | None]:
    names = (detector.partition_field_name, detector.by_field_name, detector.over_field_name)
    return {name: value for name, value in zip(names, key[1:], strict=True) if name is not None}


def reasons(
    job: Job, key: SeriesKey, time: float, actual: float | None, typical: float | None, *, action: Action = "skip_result"
) -> list[str]:
    """Which rules and calendars are about a bucket, in words; empty where none is.

    Args:
        job: The job.
        key: The series, or what was compared.
        time: Start of the bucket, epoch seconds.
        actual: Its value, None where there is no single one.
        typical: What was expected, None likewise.
        action: What they must do.
    """
    out = [
        f"calendar '{name}': {event}"
        for name, event in job.known.events(time, time + job.span_seconds)
        if getattr(event, action) and event.concerns(key)
    ]
    given = {"actual": actual, "typical": typical, "time": time}
    given["diff_from_typical"] = None if actual is None or typical is None else abs(actual - typical)
    detector = job.detectors[key.detector_index]
    for one in _rules(job, action):
        if (
            one.detector == key.detector_index
            and one.rule.concerns(_values(detector, key), job.known.filters)
            and all(given[c.applies_to] is not None and c.holds(given[c.applies_to]) for c in one.rule.conditions)
        ):
            out.append(f"custom rule {one.number} of detector {one.detector}: {one.rule}")
    return out


def unlearned(
    job: Job,
    keys: list[SeriesKey],
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    *,
    where: Where,
    hidden: bool = False,
    typical: NDArray[np.float64] | None = None,
) -> NDArray[np.bool_] | None:
    """The values that nothing is learned from; None where that is none.

    Args:
        job: The job.
        keys: The series.
        times: Starts of buckets, epoch seconds; any shape that goes with `values`.
        values: What happened.
        where: Makes of a flag for each series one for each value.
        hidden: Only those that there are no results of either: they are as if they were not.
        typical: What was expected, in the shape of `values`; rules that compare it hold nowhere without.
    """
    if not values.size:
        return None
    there = scheduled(
        job, keys, times, where=where, wanted=lambda event: event.skip_model_update and (event.skip_result or not hidden)
    )
    out = None if there is None else np.broadcast_to(there, values.shape)
    given = {"actual": values, "typical": typical, "time": times}
    given["diff_from_typical"] = None if typical is None else np.abs(values - typical)
    for one in _rules(job, "skip_model_update"):
        quantities = [given[condition.applies_to] for condition in one.rule.conditions]
        if (hidden and "skip_result" not in one.rule.actions) or any(quantity is None for quantity in quantities):
            continue
        detector, filters = job.detectors[one.detector], job.known.filters
        about = [key.detector_index == one.detector and one.rule.concerns(_values(detector, key), filters) for key in keys]
        here = where(np.array(about, dtype=bool))
        for condition, quantity in zip(one.rule.conditions, quantities, strict=True):
            here = here & condition.holds(quantity)
        out = np.broadcast_to(here, values.shape) | (False if out is None else out)
    return out


def scheduled(
    job: Job,
    keys: list[SeriesKey],
    times: NDArray[np.float64],
    *,
    where: Where,
    wanted: Callable[[ScheduledEvent], bool],
) -> NDArray[np.bool_] | None:
    """Where calendars have an event that is wanted, in a shape that goes with `times`; None where that is nowhere.

    Args:
        job: The job.
        keys: The series.
        times: Starts of buckets, epoch seconds; one at least.
        where: Makes of a flag for each series one for each value.
        wanted: Which events count.
    """
    out: NDArray[np.bool_] | None = None
    for _, event in job.known.events(float(times.min()), float(times.max()) + job.span_seconds):
        if not wanted(event):
            continue
        now = (times < event.end_time.timestamp()) & (times + job.span_seconds > event.start_time.timestamp())
        if not event.about_all:
            now = now & where(np.fromiter((event.concerns(key) for key in keys), bool, len(keys)))
        out = now if out is None else out | now
    return out


def compares_typical(job: Job) -> bool:
    """Whether what is learned depends on what was expected."""
    return any(
        condition.applies_to in ("typical", "diff_from_typical")
        for one in _rules(job, "skip_model_update")
        for condition in one.rule.conditions
    )


def time_shifts(job: Job, start: datetime, end: datetime) -> list[tuple[float, int]]:
    """When clocks were moved within a time: epoch seconds and by how many seconds, in order."""
    found = [
        (event.start_time.timestamp(), event.force_time_shift)
        for _, event in job.known.events(start.timestamp(), end.timestamp())
        if event.force_time_shift
    ]
    for one in _rules(job, "force_time_shift"):
        starts = [condition.value for condition in one.rule.conditions if condition.operator in ("gt", "gte")]
        assert one.rule.params.force_time_shift is not None
        found += [(max(starts, default=0.0), one.rule.params.force_time_shift.time_shift_amount)]
    return sorted({each for each in found if start.timestamp() <= each[0] < end.timestamp()})
