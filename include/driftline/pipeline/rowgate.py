"""The gate for raw rows: what a source's `quality` says, judged batch by batch and summed up over a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pandas as pd

from driftline.core.source import RANGES
from driftline.quality.checks import MAX_SAMPLE, shorten
from driftline.quality.rows import RowRules, check_rows, row_results
from driftline.sources.documents import find
from driftline.sources.rows import BadRow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from driftline.core.source import Source
    from driftline.quality.checks import CheckResult
    from driftline.sources.rows import Rows

UNPARSED, UNFIT = "unparsed", "mapping"
Counts = dict[str, Any]


class RowGate:
    """Judges the rows of one file.

    Args:
        source: What it says about quality.
        now: The present, for stamps in the future.
    """

    def __init__(self, source: Source, now: datetime | None = None) -> None:
        self._source, self.rules = source, RowRules.of(source, now=now)
        quality = source.quality
        self._watched = sorted(
            {*quality.required, *quality.ranges, *quality.values, *(quality.patterns or {})} - {source.time_field}
        )

    def judge(self, rows: Rows) -> Counts:
        """Moves rows that break a check from the good to the bad, and counts what each check found."""
        counts = no_counts()
        note_unread(counts, rows.bad)
        if not len(rows):
            return counts
        found = check_rows(self._frame(rows), self.rules)
        add(counts, {**no_counts(), **found.counts(), "first": min(rows.times), "last": max(rows.times)})
        if bad := found.bad.nonzero()[0].tolist():
            rows.bad += [set_apart(rows, number, found.reasons[number], found.checks[number]) for number in bad]
            _drop(rows, set(bad))
        return counts

    def stops(self, counts: Counts) -> str:
        """Why the run has to stop with these counts, or nothing."""
        failed = [result for result in results_of(self.rules, counts) if result.verdict == "stop"]
        return "; ".join(f"{result.name}: {result.message} ({result.observed})" for result in failed)

    def _frame(self, rows: Rows) -> pd.DataFrame:
        """The time and the fields that are looked at."""
        columns: dict[str, list[Any]] = {name: rows.columns[name] for name in self._watched if name in rows.columns}
        # a parser that gives columns gives all numbers that it has; other fields are looked up in the documents
        unknown = [name for name in self._watched if name not in columns and not (rows.columns and name in RANGES)]
        if unknown:
            documents = [orjson.loads(body) for body in rows.bodies]
            for name in unknown:
                values = [find(document, name) for document in documents]
                if any(value is not None for value in values):
                    columns[name] = values
        stamps = pd.to_datetime(pd.Series(rows.times, dtype="int64"), unit="ms", utc=True)
        frame = pd.DataFrame({self._source.time_field: stamps, **columns})
        for name in set(self._source.quality.ranges) & set(columns):
            frame[name] = pd.to_numeric(frame[name], errors="coerce")
        return frame


def set_apart(rows: Rows, number: int, reason: str, check: str) -> BadRow:
    """One of the rows as a bad one, with all that it takes to index it later all the same."""
    own = rows.ids[number] if rows.ids else ""
    place = (rows.offsets[number], rows.lines[number])
    return BadRow(*place, reason, rows.raws[number], check, rows.times[number], rows.bodies[number], own)


def no_counts() -> Counts:
    """The counts of no rows: as `RowCheck.counts`, with the rows that could not be read and the first and last time."""
    return {
        "rows": 0, "bad": 0, "failed": {}, "samples": {}, "unparsed": 0, "unparsed_samples": [], "first": None, "last": None,
    }  # fmt: skip


def add(counts: Counts, more: Counts) -> None:
    """Adds the counts of a batch or a file."""
    for name in ("rows", "bad", "unparsed"):
        counts[name] += more[name]
    for check, number in more["failed"].items():
        counts["failed"][check] = counts["failed"].get(check, 0) + number
        counts["samples"][check] = [*counts["samples"].get(check, []), *more["samples"].get(check, [])][:MAX_SAMPLE]
    counts["unparsed_samples"] = [*counts["unparsed_samples"], *more["unparsed_samples"]][:MAX_SAMPLE]
    for name, pick in (("first", min), ("last", max)):
        counts[name] = pick((time for time in (counts[name], more[name]) if time is not None), default=None)


def note_unread(counts: Counts, rows: Sequence[BadRow]) -> None:
    """Counts rows that cannot be read."""
    counts["unparsed"] += len(rows)
    more = [f"line {row.line}: {shorten(row.reason)}" for row in rows[:MAX_SAMPLE]]
    counts["unparsed_samples"] = [*counts["unparsed_samples"], *more][:MAX_SAMPLE]


def results_of(rules: RowRules, counts: Counts) -> list[CheckResult]:
    """The verdict of each check."""
    return row_results(rules, [counts], unparsed=counts["unparsed"], samples=counts["unparsed_samples"])


def _drop(rows: Rows, doomed: set[int]) -> None:
    kept = [number for number in range(len(rows)) if number not in doomed]
    for name in ("offsets", "lines", "times", "bodies", "raws", "ids"):
        if values := getattr(rows, name):
            setattr(rows, name, [values[number] for number in kept])
    rows.columns = {name: [values[number] for number in kept] for name, values in rows.columns.items()}
