"""Checks of raw rows at ingest. A row that fails goes to quarantine with its reasons; the run gets a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from driftline.core.timespan import format_span, iso
from driftline.quality.checks import MAX_SAMPLE, CheckResult, shorten
from driftline.quality.engine import validate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.core.source import Source

UNPARSED, BAD_RATIO = "unparsed", "bad_ratio"
_EXPECTATIONS = {
    UNPARSED: "ExpectColumnValuesToNotBeNull",
    "missing": "ExpectColumnValuesToNotBeNull",
    "future": "ExpectColumnValuesToBeBetween",
    "past": "ExpectColumnValuesToBeBetween",
    "range": "ExpectColumnValuesToBeBetween",
    "value": "ExpectColumnValuesToBeInSet",
    BAD_RATIO: "ExpectColumnMeanToBeBetween",
}


@dataclass(frozen=True)
class RowRules:
    """What a good row is.

    Attributes:
        time_field: Column with time zone aware stamps; always required.
        required: More columns that must have a value.
        now: The present, against which the future is judged.
        max_future: How far a stamp may lie ahead of it.
        oldest: No stamp may lie before it; None for no limit.
        ranges: Column → (least, most), None for no limit.
        values: Column → all values that are allowed.
        verdicts: Check (missing, future, past, range, value, unparsed, bad_ratio) → pass, warn or stop.
        max_bad_ratio: The share of bad rows above which `bad_ratio` fails.
    """

    time_field: str = "@timestamp"
    required: tuple[str, ...] = ()
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    max_future: timedelta = timedelta(minutes=5)
    oldest: datetime | None = None
    ranges: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    values: dict[str, list[Any]] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)
    max_bad_ratio: float = 0.5

    @classmethod
    def of(cls, source: Source, *, now: datetime | None = None) -> RowRules:
        """The rules that a source's definition states."""
        stated = source.quality
        names = (UNPARSED, "missing", "future", "past", "range", "value", BAD_RATIO)
        return cls(
            time_field=source.time_field,
            required=tuple(stated.required),
            now=now or datetime.now(UTC),
            max_future=stated.max_future,
            oldest=stated.oldest,
            ranges=dict(stated.ranges),
            values=dict(stated.values),
            verdicts={name: getattr(stated, name) for name in names},
            max_bad_ratio=stated.max_bad_ratio,
        )

    def verdict(self, check: str) -> str:
        """What a failure of the check means."""
        return self.verdicts.get(check, "stop" if check == BAD_RATIO else "warn")


@dataclass
class RowCheck:
    """What a batch of rows was found to be.

    Attributes:
        rows: How many were looked at.
        bad: (rows,) True where a row must not be indexed.
        reasons: Row number → why.
        failed: Check → how many rows failed it, also those that are indexed all the same.
        samples: Check → some of the offending values.
    """

    rows: int
    bad: NDArray[np.bool_]
    reasons: dict[int, str] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[str]] = field(default_factory=dict)

    def counts(self) -> dict[str, Any]:
        """What is handed on between tasks: `rows`, `bad`, `failed`, `samples`."""
        return {"rows": self.rows, "bad": int(self.bad.sum()), "failed": self.failed, "samples": self.samples}


def check_rows(frame: pd.DataFrame, rules: RowRules) -> RowCheck:
    """Checks a batch of parsed rows. Columns that no row has are missing values; a rule for one is met unless it is required."""
    frame = frame.reset_index(drop=True)
    outcome = RowCheck(len(frame), np.zeros(len(frame), dtype=bool))
    if frame.empty:
        return outcome
    planned, told = _plan(frame, rules)
    for name, result in validate(frame, planned).items():
        check, column, sentence = told[name]
        rows = list(range(len(frame))) if result["error"] else result["unexpected"]
        if not rows:
            continue
        values = frame.get(column, None)
        outcome.failed[check] = outcome.failed.get(check, 0) + len(rows)
        sample = outcome.samples.setdefault(check, [])
        for row in rows:
            shown = "" if values is None or check == "missing" else f": {shorten(values.iloc[row])}"
            reason = f"{column} {sentence}{shown}"
            if len(sample) < MAX_SAMPLE:
                sample.append(reason)
            if rules.verdict(check) != "pass":
                outcome.bad[row] = True
                outcome.reasons[row] = f"{outcome.reasons[row]}; {reason}" if row in outcome.reasons else reason
    return outcome


def _plan(frame: pd.DataFrame, rules: RowRules) -> tuple[dict[str, tuple[str, dict[str, Any]]], dict[str, tuple[str, str, str]]]:
    """The expectations by name, and for each its check, column and what a failure says."""
    planned: dict[str, tuple[str, dict[str, Any]]] = {}
    told: dict[str, tuple[str, str, str]] = {}

    def add(check: str, column: str, sentence: str, **arguments: Any) -> None:  # noqa: ANN401 - an expectation's arguments
        name = f"{check} {column}"
        planned[name] = (_EXPECTATIONS[check], {"column": column, **arguments})
        told[name] = (check, column, sentence)

    for column in dict.fromkeys((rules.time_field, *rules.required)):
        if column in frame:
            add("missing", column, "has no value")
        else:
            add("missing", column, "is not there at all")
    if rules.time_field in frame and frame[rules.time_field].notna().any():
        latest = pd.Timestamp(rules.now + rules.max_future)
        add("future", rules.time_field, f"lies in the future (after {iso(rules.now + rules.max_future)})", max_value=latest)
        if rules.oldest is not None:
            add("past", rules.time_field, f"lies before {iso(rules.oldest)}", min_value=pd.Timestamp(rules.oldest))
    for column, (least, most) in rules.ranges.items():
        if column in frame and pd.api.types.is_numeric_dtype(frame[column]) and frame[column].notna().any():
            add("range", column, f"is not within {_edge(least)} to {_edge(most)}", min_value=least, max_value=most)
    for column, allowed in rules.values.items():
        if column in frame and frame[column].notna().any():
            add("value", column, "is not one of the allowed values", value_set=allowed)
    return planned, told


def _edge(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


def row_results(
    rules: RowRules, parts: list[dict[str, Any]], *, unparsed: int = 0, samples: list[str] | None = None
) -> list[CheckResult]:
    """The verdict of a whole run from the counts of its batches.

    Args:
        rules: What was checked.
        parts: `RowCheck.counts()` of every batch.
        unparsed: Rows that could not be read at all, which no batch has seen.
        samples: Some of their reasons.
    """
    rows = sum(part["rows"] for part in parts) + unparsed
    bad = sum(part["bad"] for part in parts) + unparsed
    failed = {UNPARSED: unparsed}
    shown: dict[str, list[str]] = {UNPARSED: list(samples or [])[:MAX_SAMPLE]}
    for part in parts:
        for check, count in part["failed"].items():
            failed[check] = failed.get(check, 0) + count
            shown[check] = [*shown.get(check, []), *part["samples"].get(check, [])][:MAX_SAMPLE]
    wanted = {
        UNPARSED: "every row can be read",
        "missing": f"a value in {', '.join(dict.fromkeys((rules.time_field, *rules.required)))}",
        "future": f"no stamp more than {format_span(rules.max_future)} ahead of the clock",
        "past": f"no stamp before {iso(rules.oldest)}" if rules.oldest else "",
        "range": "values within their ranges" if rules.ranges else "",
        "value": "allowed values only" if rules.values else "",
    }
    results = [
        _result(check, rules.verdict(check), failed.get(check, 0), rows, expected, shown.get(check, []))
        for check, expected in wanted.items()
        if expected
    ]
    ratio = bad / rows if rows else 0.0
    over = ratio > rules.max_bad_ratio
    results.append(
        CheckResult(
            name=BAD_RATIO,
            expectation=_EXPECTATIONS[BAD_RATIO],
            verdict=rules.verdict(BAD_RATIO) if over else "pass",  # type: ignore[arg-type]
            observed=f"{bad} of {rows} rows ({ratio:.2%})",
            expected=f"at most {rules.max_bad_ratio:.0%}",
            message=f"{ratio:.1%} of the rows are bad; is the format or the time zone right?"
            if over
            else "Few enough rows are bad.",
            failed=bad if over else 0,
        )
    )
    return results


def _result(check: str, verdict: str, failed: int, rows: int, expected: str, sample: list[str]) -> CheckResult:
    kept = "kept all the same" if verdict == "pass" else "quarantined"
    return CheckResult(
        name=check,
        expectation=_EXPECTATIONS[check],
        verdict=verdict if failed else "pass",  # type: ignore[arg-type]
        observed=f"{failed} of {rows} rows",
        expected=expected,
        message=f"{failed} rows fail this check and are {kept}." if failed else "All rows pass.",
        failed=failed,
        sample=sample,
    )
