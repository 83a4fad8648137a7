"""Checks of series before they are trained on or scored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from driftline.core.timespan import Window, format_span, iso
from driftline.quality.checks import MAX_SAMPLE, CheckResult, Verdict, shorten
from driftline.quality.engine import validate
from driftline.quality.history import active, by_detector

if TYPE_CHECKING:
    from collections.abc import Callable

    from driftline.core.detector import Detector
    from driftline.core.job import Job
    from driftline.core.series import SeriesFrame

MIN_LAG = timedelta(minutes=10)
LAG_BUCKETS = 3
MIN_BUCKETS = 10  # fewer cannot tell 90 % from less: the look-back makes up for what is missing
BLOCK = 1000  # series that are looked at together
NOISE = 3.0  # standard deviations of a count that chance alone explains; it matters where counts are small
NEVER_NEGATIVE = {"count", "distinct_count"}
Told = tuple[str, str, int, list[str]]  # observed, message, failed, sample


@dataclass(frozen=True)
class _Check:
    """One planned check: its expectation, and how to tell what came of it."""

    verdict: Verdict
    kind: str
    arguments: dict[str, Any]
    expected: str
    tell: Callable[[dict[str, Any]], Told]
    skip: str = ""  # why it cannot be judged


def check_series(frame: SeriesFrame, job: Job, *, window: Window, history: dict[str, float] | None = None) -> list[CheckResult]:
    """Checks a staged frame against the job's `quality` settings.

    Args:
        frame: The series, which may begin before `window` (a look-back).
        job: Whose settings apply.
        window: What is trained on or scored. Freshness is judged at its end, not now: old data is as good as new.
        history: `docs` and `series` a bucket as they usually are at these hours (`history.usual`); without it the checks
            against history are skipped.
    """
    part, seen = frame.slice(window), frame.slice(Window(min(frame.start, window.end), window.end))
    enough = frame.slice(Window(min(window.start, window.end - MIN_BUCKETS * frame.span), window.end))
    results = _run(_recent(seen, job, window), {"freshness": _freshness(seen, job, window)})
    results += _run(_buckets(enough), {"completeness": _completeness(enough, job)})
    results += _run(_buckets(part), {"volume": _volume(part, job, history)})
    results += _run(_series(part, job), _values(part, job))
    results.append(_partitions(part, job, history))
    return results


def _buckets(frame: SeriesFrame) -> pd.DataFrame:
    """One row a bucket: its start, its documents, and whether it holds any."""
    return pd.DataFrame({"start": frame.times, "docs": frame.docs, "filled": (frame.docs > 0).astype(float)})


def _series(frame: SeriesFrame, job: Job) -> pd.DataFrame:
    """One row a series: its label, its least value where that must not be negative, and how many values are infinite."""
    counted = by_detector([_never_negative(detector) for detector in job.detectors], frame)
    least, infinite = np.empty(len(frame.keys)), np.empty(len(frame.keys))
    for first in range(0, len(frame.keys), BLOCK):  # a copy of all values at once would be as large as the frame
        block = slice(first, first + BLOCK)
        values = frame.values[block]
        least[block] = np.where(np.isfinite(values), values, np.inf).min(axis=1, initial=np.inf)
        infinite[block] = np.isinf(values).sum(axis=1)
    return pd.DataFrame(
        {
            "series": [shorten(key.label()) for key in frame.keys],
            "least": np.where(counted & np.isfinite(least), least, 0.0),
            "infinite": infinite,
        }
    )


def _never_negative(detector: Detector) -> bool:
    """Counts, and what measures bytes (ECS ends such fields with `bytes`)."""
    return detector.spec.metric in NEVER_NEGATIVE or (detector.field_name or "").endswith("bytes")


def _lag(job: Job) -> timedelta:
    return job.quality.max_lag or max(LAG_BUCKETS * job.bucket_span, MIN_LAG)


def _recent(frame: SeriesFrame, job: Job, window: Window) -> pd.DataFrame:
    """One row a bucket: its documents where it lies within the lag of the window's end, and 0 before."""
    ends = np.arange(1, len(frame.docs) + 1) * frame.span.total_seconds() + (frame.start - window.end).total_seconds()
    whole = max(1, -(-_lag(job) // job.bucket_span)) * frame.span.total_seconds()  # whole buckets that the lag may fill
    return pd.DataFrame({"recent": np.where(ends > -whole, frame.docs, 0)})


def _freshness(frame: SeriesFrame, job: Job, window: Window) -> _Check:
    filled = np.flatnonzero(frame.docs)
    newest = frame.start + (int(filled[-1]) + 1) * frame.span if len(filled) else None
    lag = _lag(job)

    def tell(_: dict[str, Any]) -> Told:
        if newest is None:
            return "no document at all", f"No document since {iso(frame.start)}; the interval ends at {iso(window.end)}.", 1, []
        behind = f"{format_span(window.end - newest)} before the end" if newest < window.end else "up to the end"
        return behind, f"No document since {iso(newest)}; the interval ends at {iso(window.end)}.", 1, []

    return _Check(
        job.quality.freshness,
        "ExpectColumnMaxToBeBetween",
        {"column": "recent", "min_value": 1},
        f"documents within {format_span(lag)} of the interval's end",
        tell,
        skip="" if len(filled) or window.end - frame.start >= lag else "What was read is shorter than the lag that is allowed.",
    )


def _completeness(frame: SeriesFrame, job: Job) -> _Check:
    def tell(_: dict[str, Any]) -> Told:
        total, empty = len(frame.docs), np.flatnonzero(frame.docs == 0)
        sample = [iso(frame.start + int(column) * frame.span) for column in empty[:MAX_SAMPLE]]
        observed = f"{1 - len(empty) / total:.1%}" if total else "no bucket"
        return observed, f"{len(empty):,} of {total:,} buckets hold no document.", len(empty), sample

    return _Check(
        job.quality.completeness,
        "ExpectColumnMeanToBeBetween",
        {"column": "filled", "min_value": job.quality.min_complete},
        f"documents in at least {job.quality.min_complete:.0%} of the buckets",
        tell,
    )


def _volume(frame: SeriesFrame, job: Job, history: dict[str, float] | None) -> _Check:
    usual, buckets = (history or {}).get("docs", 0.0), max(1, len(frame.docs))
    ratio = job.quality.max_volume_ratio
    least, most = _below(usual / ratio, buckets), _above(usual * ratio, buckets)

    def tell(_: dict[str, Any]) -> Told:
        mean = float(frame.docs.mean()) if len(frame.docs) else 0.0
        message = f"There are {mean:.4g} documents a bucket; at these hours there used to be {usual:.4g}."
        return f"{mean:.4g} documents a bucket", message, 1, []

    return _Check(
        job.quality.volume,
        "ExpectColumnMeanToBeBetween",
        {"column": "docs", "min_value": least, "max_value": most},
        f"{least:.4g} to {most:.4g} documents a bucket" if history else "a volume like that of earlier data",
        tell,
        skip="" if history else "Nothing was trained on before this interval, so nothing is known of its usual volume.",
    )


def _below(mean: float, buckets: int) -> float:
    """The least mean over so many buckets of a count that is not below `mean` but for chance (Poisson)."""
    return max(0.0, mean - NOISE * math.sqrt(mean / buckets))


def _above(mean: float, buckets: int) -> float:
    """The same for the most; the first few documents after none at all are no change of volume."""
    return mean + NOISE * (math.sqrt(mean / buckets) + NOISE / buckets)


def _values(frame: SeriesFrame, job: Job) -> dict[str, _Check]:
    def offenders(what: str) -> Callable[[dict[str, Any]], Told]:
        def tell(result: dict[str, Any]) -> Told:
            rows = result["unexpected"]
            sample = [shorten(frame.keys[row].label()) for row in rows[:MAX_SAMPLE]]
            return f"{len(rows):,} series", f"{len(rows):,} of {len(frame.keys):,} series hold {what}.", len(rows), sample

        return tell

    between = "ExpectColumnValuesToBeBetween"
    return {
        "non_negative": _Check(
            job.quality.non_negative,
            between,
            {"column": "least", "min_value": 0},
            "no count and no bytes below zero",
            offenders("negative values where there can be none"),
        ),
        "finite": _Check(
            job.quality.finite,
            between,
            {"column": "infinite", "max_value": 0},
            "finite values only",
            offenders("infinite values"),
        ),
    }


def _partitions(frame: SeriesFrame, job: Job, history: dict[str, float] | None) -> CheckResult:
    """Too many series, none at all, or many fewer with data in a bucket than there used to be at these hours."""
    limited = next((note for note in frame.notes if "training.max_partitions" in note), "")
    filled, most = active(frame, job), job.training.max_partitions
    alive = int(filled.any(axis=1).sum())
    observed = f"{alive:,} series"

    def count(_: dict[str, Any]) -> Told:
        return observed, f"{alive:,} series hold data.", 1, []

    # with a history that says so, no series at all may be what is usual at this hour
    arguments = {"min_value": 0 if history else 1, "max_value": most}
    kind, expected = "ExpectTableRowCountToBeBetween", f"{arguments['min_value']:,} to {most:,} series"
    counted = _Check(job.quality.partitions, kind, arguments, expected, count)
    found = validate(pd.DataFrame({"series": np.arange(alive)}), {"partitions": (kind, arguments)})["partitions"]
    if limited:
        return CheckResult("partitions", kind, counted.verdict, observed, expected, shorten(limited), 1)
    if history is None or not found["success"] or not len(frame.docs):
        return _judged("partitions", counted, found)
    usual = history["series"]
    least = _below(usual * job.quality.min_partition_ratio, len(frame.docs))

    def drop(result: dict[str, Any]) -> Told:
        mean = result["observed"] or 0.0
        told = f"{mean:,.4g} series hold data in a bucket; at these hours {usual:,.4g} used to."
        return f"{alive:,} series, {mean:,.4g} a bucket", told, 1, []

    wanted = f"at most {most:,} series, at least {least:,.4g} a bucket"
    check = _Check(job.quality.partitions, "ExpectColumnMeanToBeBetween", {"column": "active", "min_value": least}, wanted, drop)
    return _run(pd.DataFrame({"active": filled.sum(axis=0).astype(float)}), {"partitions": check})[0]


def _run(table: pd.DataFrame, checks: dict[str, _Check]) -> list[CheckResult]:
    """Validates a table, and tells the result of each check. An empty table has nothing to be judged by."""
    planned = {} if table.empty else {name: check for name, check in checks.items() if not check.skip}
    found = validate(table, {name: (check.kind, check.arguments) for name, check in planned.items()}) if planned else {}
    return [
        _judged(name, check, found[name])
        if name in found
        else CheckResult(name, check.kind, "skipped", "–", check.expected, check.skip or "There is nothing to check.")
        for name, check in checks.items()
    ]


def _judged(name: str, check: _Check, result: dict[str, Any]) -> CheckResult:
    observed, message, failed, sample = check.tell(result)
    if result["success"]:
        return CheckResult(name, check.kind, "pass", observed, check.expected, "As expected.")
    if result["error"]:
        message = f"It could not be judged: {result['error']}"
    return CheckResult(name, check.kind, check.verdict, observed, check.expected, message, failed, sample)
