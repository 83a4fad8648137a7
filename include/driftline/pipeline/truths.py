"""What really happened, from a truth file or from `driftline-truth`, and where it lies in series that are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from driftline.core.errors import DataError, WindowError
from driftline.core.source import Source
from driftline.core.timespan import iso, parse_time
from driftline.elastic.indices import TRUTH
from driftline.elastic.results import scan
from driftline.pipeline.jobs import list_definitions
from driftline.scoring.truth import ALL, Truth

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from elasticsearch import Elasticsearch

    from driftline.core.functions import Side
    from driftline.core.job import Job
    from driftline.core.timespan import Window

FORMATS = (
    "JSON as `driftline generate` writes it, JSON of windows as {file: [[start, end], …]}, or CSV with start,end[,kind][,series]"
)

# Kinds that go one way, with the side that cannot see them.
OTHER_SIDE: dict[str, Side] = {"spike": "low", "drop": "high", "silence": "high", "outage": "high"}


@dataclass(frozen=True)
class Fact:
    """One thing that happened.

    Attributes:
        start, end: From when until when, UTC; `end` is the first moment when it is over.
        kind: What it was.
        values: The partition or by values, or names of series, that it concerns; None: every one.
        field: The field that `values` are of, if it is known.
        measure: The function and the field that show it, if it is known.
    """

    start: datetime
    end: datetime
    kind: str
    values: frozenset[str] | None = None
    field: str | None = None
    measure: tuple[str, str | None] | None = None


def read_truth(path: str, *, of: str = "") -> list[Fact]:
    """Reads a truth file; `of` is the file that it is about, for files that tell of many.

    Raises:
        DataError: It cannot be read, or does not say what it must.
    """
    try:
        facts = _facts(path, of)
    except OSError as error:
        raise DataError(f"the truth cannot be read: {error.strerror}", where=path, expected=FORMATS) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:  # a WindowError is a ValueError
        raise DataError(f"this is no truth file ({_said(error)})", where=path, expected=FORMATS) from None
    if wrong := next((fact for fact in facts if fact.end < fact.start), None):
        what = f"an event ends at {iso(wrong.end)}, before its start at {iso(wrong.start)}"
        raise DataError(what, where=path, expected="start, then end")
    return facts


def _facts(path: str, of: str) -> list[Fact]:
    raw = Path(path).read_bytes()
    if path.lower().endswith(".csv"):
        return _from_csv(path)
    found = orjson.loads(raw)
    return [_from_document(document) for document in found] if isinstance(found, list) else _from_windows(found, path, of)


def _said(error: Exception) -> str:
    if isinstance(error, WindowError):
        return error.what
    if isinstance(error, KeyError):
        return f"an event has no '{error.args[0]}'"
    if isinstance(error, orjson.JSONDecodeError):
        return f"it is not valid JSON: {error}"
    return f"it cannot be read: {error}" if isinstance(error, ValueError) else "its form is another"


def _from_csv(path: str) -> list[Fact]:
    import pandas as pd

    frame = pd.read_csv(path, dtype=str, keep_default_na=False).rename(columns=str.strip)
    facts = []
    for row in frame.to_dict("records"):
        name, kind = row.get("series"), row.get("kind")
        facts.append(Fact(parse_time(row["start"]), parse_time(row["end"]), kind or "event", frozenset([name]) if name else None))
    return facts


def _from_windows(found: dict[str, Any], path: str, of: str) -> list[Fact]:
    """Windows by file, as the Numenta benchmark has them: both ends are readings within."""
    place = Path(of).as_posix()
    names = [name for name in found if name == place or place.endswith(f"/{name}") or Path(name).name == Path(place).name]
    if not names:
        raise DataError(f"it says nothing of {Path(of).name}", where=path, fix="An empty list would say that nothing happened.")
    name = max(names, key=lambda each: (place.endswith(each), len(each)))
    tick = timedelta(milliseconds=1)
    return [Fact(parse_time(start), parse_time(end) + tick, "event") for start, end in found[name]]


def _from_document(document: dict[str, Any]) -> Fact:
    values = document.get("partition_field_value")
    return Fact(
        parse_time(document["start"]),
        parse_time(document["end"]),
        str(document.get("kind", "event")),
        None if values is None else frozenset([values] if isinstance(values, str) else values),
        document.get("partition_field_name"),
        (document["function"], document.get("field_name")) if "function" in document else None,
    )


def stored_truth(client: Elasticsearch, job: Job, window: Window) -> list[Fact] | None:
    """What the generator injected into the job's indices in a window; None where nothing was generated."""
    indices = set(job.datafeed.indices)
    made = [entry.definition for entry in list_definitions(client)]
    names = indices | {each.source_id for each in made if isinstance(each, Source) and each.index in indices}
    found = [hit["_source"] for hit in scan(client, {"terms": {"source_id": sorted(names)}}, index=TRUTH)]
    if not found:
        return None
    facts = sorted(map(_from_document, found), key=lambda fact: (fact.start, fact.kind))
    return [fact for fact in facts if fact.start < window.end and window.start < fact.end]


def visible(facts: Iterable[Fact], job: Job) -> tuple[list[Fact], list[Fact]]:
    """The facts that the job's detectors could see, and the others: of another function, or of another split."""
    seen: list[Fact] = []
    others: list[Fact] = []
    for fact in facts:
        fits = any(
            (fact.measure is None or fact.measure == (detector.spec.metric, detector.field_name))
            and (fact.field is None or fact.field in {detector.partition_field_name, detector.by_field_name})
            for detector in job.detectors
        )
        (seen if fits else others).append(fact)
    return seen, others


def watched(facts: Iterable[Fact] | None, job: Job, path: str | None = None) -> tuple[list[Fact] | None, list[str]]:
    """The facts that the job's detectors could see, and notes on what is left out; None where nothing is known.

    Raises:
        DataError: The facts are of a file at `path`, and there are some, but they could see none.
    """
    if facts is None:
        return None, []
    seen, others = visible(facts, job)
    if path and others and not seen:
        what = "no event of the truth is of a function and split that the job watches"
        raise DataError(what, where=path, expected=f"what job {job.job_id} could see", fix="Give the truth of its data.")
    count, are = ("1 event", "is") if len(others) == 1 else (f"{len(others)} events", "are")
    note = f"{count} of the truth {are} of a function or split that the job does not watch, and {are} left out"
    return seen, [note] if others else []


def locate(
    facts: Iterable[Fact],
    names: Sequence[set[str]],
    start: datetime,
    span: timedelta,
    buckets: int,
    sides: Sequence[Side] | None = None,
) -> tuple[Truth, int]:
    """Where facts lie in (N, T) series.

    Args:
        facts: What happened. One that concerns several series is an event of each.
        names: What each of the N series goes by.
        start: Start of the first bucket.
        span: Bucket span.
        buckets: T.
        sides: Which deviations each series reports: a spike is nothing that a low function could see. Both by default.

    Returns:
        The truth, and how many facts are of none of these series or of another time.
    """
    rows: list[tuple[int, int, int, str]] = []
    outside = 0
    for fact in facts:
        first = int((fact.start - start) // span)
        last = -int(-(fact.end - start) // span)
        places = [ALL] if fact.values is None else [row for row, known in enumerate(names) if known & fact.values]
        if sides is not None and fact.kind in OTHER_SIDE:
            places = [row for row in places if row == ALL or sides[row] != OTHER_SIDE[fact.kind]]
        if last <= 0 or first >= buckets or not places:
            outside += 1
            continue
        rows += [(place, max(0, first), max(last, first + 1), fact.kind) for place in places]
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    series, firsts, lasts = (np.array(column, dtype=np.int64) for column in columns[:3])
    return Truth(series, firsts, lasts, [str(kind) for kind in columns[3]]), outside
