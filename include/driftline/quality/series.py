"""Checks of series before they are trained on or scored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from driftline.core.timespan import Window, format_span, iso
from driftline.quality.checks import MAX_SAMPLE, CheckResult, Verdict, shorten
from driftline.quality.engine import validate

if TYPE_CHECKING:
    from collections.abc import Callable

    from driftline.core.job import Job
    from driftline.core.series import SeriesFrame

Stage = Literal["train", "score"]
MIN_LAG = timedelta(minutes=10)
LAG_BUCKETS = 3
NEVER_NEGATIVE = {"count", "distinct_count"}


@dataclass(frozen=True)
class _Check:
    """One planned check: its expectation, and how to tell what came of it."""

    verdict: Verdict
    kind: str
    arguments: dict[str, Any]
    expected: str
    tell: Callable[[dict[str, Any]], tuple[str, str, int, list[str]]]  # result → observed, message, failed, sample


def check_series(frame: SeriesFrame, job: Job, *, window: Window, history: dict[str, Any] | None = None) -> list[CheckResult]:
    """Checks a staged frame against the job's `quality` settings.

    Args:
        frame: The series, which may begin before `window` (a look-back).
        job: Whose settings apply.
        window: What is trained on or scored. Freshness is judged at its end, not now: old data is as good as new.
        history: `docs_per_bucket` and `series` of earlier runs; without it the checks against history are skipped.
    """
    part = frame.slice(window)
    buckets, series = _buckets(part), _series(part, job)
    checks = {**_bucket_checks(part, job, window), **_volume_check(part, job, history)}
    results = _run(buckets, checks)
    results += _run(series, _value_checks(part, job))
    results.append(_partitions(part, job, history))
    return results


def _buckets(frame: SeriesFrame) -> pd.DataFrame:
    """One row a bucket: its start, its documents, whether it holds any, and how long it is before the end."""
    ages = (np.arange(len(frame.docs))[::-1]) * frame.span.total_seconds()
    return pd.DataFrame({"start": frame.times, "docs": frame.docs, "filled": (frame.docs > 0).astype(float), "age": ages})


def _series(frame: SeriesFrame, job: Job) -> pd.DataFrame:
    """One row a series: its label, its least value where that must not be negative, and how many values are infinite."""
    counted = np.array([job.detectors[key.detector_index].spec.metric in NEVER_NEGATIVE for key in frame.keys], dtype=bool)
    infinite = np.isinf(frame.values).sum(axis=1) if frame.values.size else np.zeros(len(frame.keys))
    finite = np.where(np.isfinite(frame.values), frame.values, np.inf)
    least = finite.min(axis=1, initial=np.inf) if frame.values.size else np.zeros(len(frame.keys))
    return pd.DataFrame(
        {
            "series": [shorten(key.label()) for key in frame.keys],
            "least": np.where(counted & np.isfinite(least), least, 0.0),
            "infinite": infinite.astype(float),
        }
    )


def _bucket_checks(frame: SeriesFrame, job: Job, window: Window) -> dict[str, _Check]:
    settings, total = job.quality, len(frame.docs)
    lag = settings.max_lag or max(LAG_BUCKETS * job.bucket_span, MIN_LAG)
    recent = max(1, -(-lag // job.bucket_span))  # whole buckets that the lag may fill
    filled = int((frame.docs > 0).sum())
    newest = frame.start + (int(np.flatnonzero(frame.docs)[-1]) + 1) * frame.span if filled else None

    def fresh(_: dict[str, Any]) -> tuple[str, str, int, list[str]]:
        behind = format_span(window.end - newest) if newest and newest < window.end else None
        since = iso(newest) if newest else "the beginning"
        observed = "no document at all" if newest is None else f"{behind or 'nothing'} before the end"
        return observed, f"No document since {since}; the interval ends at {iso(window.end)}.", 1, []

    def complete(_: dict[str, Any]) -> tuple[str, str, int, list[str]]:
        empty = np.flatnonzero(frame.docs == 0)
        sample = [iso(frame.start + int(column) * frame.span) for column in empty[:MAX_SAMPLE]]
        observed = f"{filled / total:.1%}" if total else "no bucket"
        return observed, f"{len(empty)} of {total} buckets hold no document.", len(empty), sample

    return {
        "freshness": _Check(
            settings.freshness,
            "ExpectColumnMaxToBeBetween",
            {"column": "docs", "min_value": 1, "row_condition": f"age<{recent * job.span_seconds}", "condition_parser": "pandas"},
            f"documents within {format_span(lag)} of the interval's end",
            fresh,
        ),
        "completeness": _Check(
            settings.completeness,
            "ExpectColumnMeanToBeBetween",
            {"column": "filled", "min_value": settings.min_complete},
            f"documents in at least {settings.min_complete:.0%} of the buckets",
            complete,
        ),
    }


def _volume_check(frame: SeriesFrame, job: Job, history: dict[str, Any] | None) -> dict[str, _Check]:
    usual = (history or {}).get("docs_per_bucket")
    if not usual:
        return {}
    ratio = job.quality.max_volume_ratio

    def volume(result: dict[str, Any]) -> tuple[str, str, int, list[str]]:
        mean = float(frame.docs.mean()) if len(frame.docs) else 0.0
        return f"{mean:.4g} documents a bucket", f"The volume is {mean:.4g} documents a bucket; it used to be {usual:.4g}.", 1, []

    return {
        "volume": _Check(
            job.quality.volume,
            "ExpectColumnMeanToBeBetween",
            {"column": "docs", "min_value": usual / ratio, "max_value": usual * ratio},
            f"{usual / ratio:.4g} to {usual * ratio:.4g} documents a bucket",
            volume,
        )
    }


def _value_checks(frame: SeriesFrame, job: Job) -> dict[str, _Check]:
    def offenders(what: str) -> Callable[[dict[str, Any]], tuple[str, str, int, list[str]]]:
        def tell(result: dict[str, Any]) -> tuple[str, str, int, list[str]]:
            rows = result["unexpected"]
            sample = [shorten(frame.keys[row].label()) for row in rows[:MAX_SAMPLE]]
            return f"{len(rows)} series", f"{len(rows)} of {len(frame.keys)} series hold {what}.", len(rows), sample

        return tell

    between = "ExpectColumnValuesToBeBetween"
    return {
        "non_negative": _Check(
            job.quality.non_negative,
            between,
            {"column": "least", "min_value": 0},
            "no count below zero",
            offenders("negative counts"),
        ),
        "finite": _Check(
            job.quality.finite,
            between,
            {"column": "infinite", "max_value": 0},
            "finite values only",
            offenders("infinite values"),
        ),
    }


def _run(table: pd.DataFrame, checks: dict[str, _Check]) -> list[CheckResult]:
    """Validates a table, and tells the result of each check. An empty table has nothing to be judged by."""
    if not checks:
        return []
    if table.empty:
        return [
            CheckResult(name, check.kind, "skipped", "nothing", check.expected, "There is nothing to check.")
            for name, check in checks.items()
        ]
    found = validate(table, {name: (check.kind, check.arguments) for name, check in checks.items()})
    results = []
    for name, check in checks.items():
        observed, message, failed, sample = check.tell(found[name])
        if found[name]["success"]:
            results.append(CheckResult(name, check.kind, "pass", observed, check.expected, "As expected."))
        else:
            results.append(CheckResult(name, check.kind, check.verdict, observed, check.expected, message, failed, sample))
    return results


def _partitions(frame: SeriesFrame, job: Job, history: dict[str, Any] | None) -> CheckResult:
    """Too many series, or many fewer than there used to be."""
    alive = int((~np.isnan(frame.values)).any(axis=1).sum()) if frame.values.size else 0
    usual = (history or {}).get("series")
    least = int(usual * job.quality.min_partition_ratio) if usual else 1
    table = pd.DataFrame({"series": np.arange(alive)})
    most = job.training.max_partitions
    arguments = {"min_value": least, "max_value": most}
    found = validate(table, {"partitions": ("ExpectTableRowCountToBeBetween", arguments)})["partitions"]
    limited = [note for note in frame.notes if "training.max_partitions" in note]
    expected = f"{least:,} to {most:,} series" + (f" ({usual:,} before)" if usual else "")
    if found["success"] and not limited:
        return CheckResult("partitions", "ExpectTableRowCountToBeBetween", "pass", f"{alive:,} series", expected, "As expected.")
    message = limited[0] if limited else f"{alive:,} series hold data; {usual or least:,} did before."
    return CheckResult(
        "partitions", "ExpectTableRowCountToBeBetween", job.quality.partitions, f"{alive:,} series", expected, shorten(message), 1
    )
