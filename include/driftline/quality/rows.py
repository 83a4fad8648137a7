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
FINITE = float(np.finfo(np.float64).max)  # infinity is no null to great-expectations, so every range ends at a number
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
        patterns: Column → a regular expression that must be found in the value; part of the check `value`.
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
    patterns: dict[str, str] = field(default_factory=dict)
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
            patterns=dict(stated.patterns or {}),
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
        checks: Row number → the first check that it failed.
        failed: Check → how many rows failed it, also those that are indexed all the same.
        samples: Check → some of the offending values.
    """

    rows: int
    bad: NDArray[np.bool_]
    reasons: dict[int, str] = field(default_factory=dict)
    checks: dict[int, str] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[str]] = field(default_factory=dict)

    def counts(self) -> dict[str, Any]:
        """What is handed on between tasks: `rows`, `bad`, `failed`, `samples`."""
        return {"rows": self.rows, "bad": int(self.bad.sum()), "failed": self.failed, "samples": self.samples}


@dataclass(frozen=True)
class _Planned:
    """One expectation about one column: the check it belongs to, and what a failure says."""

    check: str
    column: str
    sentence: str
    kind: str
    arguments: dict[str, Any]


def check_rows(frame: pd.DataFrame, rules: RowRules) -> RowCheck:
    """Checks a batch of parsed rows. Columns that no row has are missing values; a rule for one is met unless it is required."""
    frame = _typed(frame.reset_index(drop=True), rules)
    outcome = RowCheck(len(frame), np.zeros(len(frame), dtype=bool))
    if frame.empty:
        return outcome
    planned = {f"{plan.check} {plan.kind} {plan.column}": plan for plan in _plan(frame, rules)}
    found = validate(frame, {name: (plan.kind, plan.arguments) for name, plan in planned.items()})
    caught: dict[str, NDArray[np.bool_]] = {}
    for name, plan in planned.items():
        rows = _note(outcome, frame, plan, found[name], refused=rules.verdict(plan.check) != "pass")
        caught.setdefault(plan.check, np.zeros(len(frame), dtype=bool))[rows] = True
    # a row that lacks two fields has failed once
    outcome.failed = {check: int(mask.sum()) for check, mask in caught.items() if mask.any()}
    return outcome


def _note(outcome: RowCheck, frame: pd.DataFrame, plan: _Planned, result: dict[str, Any], *, refused: bool) -> list[int]:
    """Adds what one expectation found and returns its rows; `refused` says whether they are bad or merely counted."""
    sentence, shown = plan.sentence, plan.check != "missing"
    rows: list[int] = result["unexpected"]
    if result["error"]:  # nothing is known of any row, which must not pass for good
        rows, shown = list(range(len(frame))), False
        if plan.column in frame:
            sentence = f"could not be judged: {result['error']}"
    if not rows:
        return rows
    values = frame[plan.column].iloc[rows].tolist() if shown else [None] * len(rows)
    told = [f"{plan.column} {sentence}" + (f": {shorten(value)}" if shown else "") for value in values]
    sample = outcome.samples.setdefault(plan.check, [])
    sample += told[: MAX_SAMPLE - len(sample)]
    if refused:
        outcome.bad[rows] = True
        for row, reason in zip(rows, told, strict=True):
            outcome.reasons[row] = f"{outcome.reasons[row]}; {reason}" if row in outcome.reasons else reason
            outcome.checks.setdefault(row, plan.check)
    return rows


def _typed(frame: pd.DataFrame, rules: RowRules) -> pd.DataFrame:
    """The frame with numbers where there is a range, and text where there is a pattern.

    What is no number is for the index to refuse, not for a range. A column with both is judged by its range.
    """
    changed: dict[str, pd.Series[Any]] = {}
    for name in rules.ranges.keys() & set(frame.columns):
        if not pd.api.types.is_numeric_dtype(frame[name]):
            changed[name] = pd.to_numeric(frame[name], errors="coerce")
    for name in rules.patterns.keys() & set(frame.columns) - rules.ranges.keys():
        if not pd.api.types.is_string_dtype(frame[name].dtype):
            changed[name] = frame[name].map(str, na_action="ignore")
    return frame.assign(**changed) if changed else frame


def _plan(frame: pd.DataFrame, rules: RowRules) -> list[_Planned]:
    """What to expect of this frame. A column without any value has only `missing` to fail: the others skip nulls."""
    null, between = "ExpectColumnValuesToNotBeNull", "ExpectColumnValuesToBeBetween"
    required, time = tuple(dict.fromkeys((rules.time_field, *rules.required))), rules.time_field
    filled = {name for name in frame.columns if frame[name].notna().any()}
    plans = [
        _Planned("missing", name, "has no value" if name in frame else "is not there at all", null, {"column": name})
        for name in required
    ]

    def add(check: str, column: str, sentence: str, kind: str, **arguments: Any) -> None:  # noqa: ANN401 - of an expectation
        if column in filled:
            plans.append(_Planned(check, column, sentence, kind, {"column": column, **arguments}))

    latest = rules.now + rules.max_future
    add("future", time, f"lies in the future (after {iso(latest)})", between, max_value=pd.Timestamp(latest))
    if rules.oldest is not None:
        add("past", time, f"lies before {iso(rules.oldest)}", between, min_value=pd.Timestamp(rules.oldest))
    for column, edges in _ranges(frame, rules, required).items():
        least, most = (-FINITE if edges[0] is None else edges[0]), (FINITE if edges[1] is None else edges[1])
        wanted = "finite" if edges == (None, None) else f"within {_edge(edges[0])} to {_edge(edges[1])}"
        add("range", column, f"is not {wanted}", between, min_value=least, max_value=most)
    for column, allowed in rules.values.items():
        add("value", column, "is not one of the allowed values", "ExpectColumnValuesToBeInSet", value_set=allowed)
    for column, pattern in rules.patterns.items():
        if column in rules.ranges:
            continue
        add("value", column, f"does not match {shorten(pattern)}", "ExpectColumnValuesToMatchRegex", regex=pattern)
    return plans


def _ranges(frame: pd.DataFrame, rules: RowRules, required: tuple[str, ...]) -> dict[str, tuple[float | None, float | None]]:
    """The ranges that are stated, and that every other required number be finite."""
    floats: dict[str, tuple[float | None, float | None]] = {
        name: (None, None) for name in required if name in frame and pd.api.types.is_float_dtype(frame[name])
    }
    return {**floats, **rules.ranges}


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
        "range": "values within their ranges, none infinite" if rules.ranges or rules.required else "",
        "value": "allowed values only" if rules.values or rules.patterns else "",
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
            observed=f"{bad:,} of {rows:,} rows ({ratio:.2%})",
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
        observed=f"{failed:,} of {rows:,} rows",
        expected=expected,
        message=f"{failed:,} of {rows:,} rows failed: {kept}." if failed else "All rows pass.",
        failed=failed,
        sample=sample,
    )
