"""Plain files of readings: `timestamp,value`, or `unique_id,ds,y` for many series. Read as they are, written back row for row."""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from driftline.core.errors import DataError
from driftline.core.paths import replacing
from driftline.core.timespan import SECOND, format_span
from driftline.scoring.sentence import duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

TIMES = ("timestamp", "@timestamp", "ds", "datetime", "time", "date")
VALUES = ("value", "y", "count")
SERIES = "unique_id"
ONE = "(all)"  # the name of the series of a file that names none
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})
EXPECTED = "a CSV file with a header and columns timestamp,value or unique_id,ds,y"
END = "end"  # a row after the last: an open quote would swallow it
FUNCTIONS = ("mean", "sum", "count", "min", "max")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# Microseconds in one unit of an epoch number, by the least size that such a number has: seconds, ms, µs, ns.
EPOCH_UNITS = ((1e17, 1e-3), (1e14, 1.0), (1e11, 1e3), (0.0, 1e6))
UNIT_NAMES = {1e-3: "nanoseconds", 1.0: "microseconds", 1e3: "milliseconds", 1e6: "seconds"}
# What 64 bits of nanoseconds hold: the models count in them.
EARLIEST, LATEST = datetime(1678, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)
# A step this much longer than the usual one is a gap.
GAP = 1.5
# With more gaps than this share of all steps, there is no usual step.
IRREGULAR = 0.1
# A value beyond squares to infinity somewhere; nothing that is measured is as large.
LARGEST = 1e150


@dataclass
class Readings:
    """The rows of a file, in its order.

    Attributes:
        path: Of the file.
        header: Names of its columns.
        delimiter: Between its cells.
        rows: R rows of cells as they were written.
        lines: (R,) where each ends in the file, from 1.
        stamp: Column of the time stamps.
        times: (R,) UTC in microseconds; NaT in bad rows.
        values: (R,) NaN where missing, and in bad rows.
        series: (R,) number of the series.
        names: Of the series, in the order of their first rows.
        bad: (R,) rows that cannot be read.
        notes: What a user should know about the file.
    """

    path: str
    header: list[str]
    delimiter: str
    rows: list[list[str]]
    lines: list[int]
    stamp: int
    times: NDArray[np.datetime64]
    values: NDArray[np.float64]
    series: NDArray[np.int64]
    names: list[str]
    bad: NDArray[np.bool_]
    notes: list[str]


class Clock:
    """Reads the stamps of a file: ISO 8601, or epoch seconds, ms, µs or ns; which of them, the first stamp decides.

    Stamps without an offset are local to `zone`. In the hour that occurs twice when clocks are set back, stamps of a series
    belong to the second time once they no longer go forward in the first.

    Attributes:
        offsets, local: How many stamps had an offset, and how many had none.
        never: How many name an hour that clocks skipped.
    """

    def __init__(self, zone: tzinfo = UTC) -> None:
        self.zone = zone
        self.offsets = self.local = self.never = 0
        self._unit: float | None = None
        self._started = False
        self._before: dict[str, datetime] = {}

    def read(self, text: str, series: str = "") -> int:
        """Microseconds since 1970 of a stamp.

        Raises:
            ValueError: It is none.
        """
        unit = self._unit if self._started else _epoch_unit(text)
        said = f" (in {UNIT_NAMES[unit]}, as the first one is)" if self._started and unit else ""
        try:
            moment = self._moment(text, unit, series)
        except ValueError:
            raise ValueError(f"'{text}' is not a time stamp{said}") from None
        except OverflowError:  # in the first or the last year that there is, by an offset
            moment = datetime.max.replace(tzinfo=UTC)
        if not EARLIEST <= moment < LATEST:
            raise ValueError(f"'{text}' lies outside of the years 1678 to 2261{said}")
        self._unit, self._started = unit, True
        self._before[series] = moment
        return (moment - EPOCH) // MICROSECOND

    def _moment(self, text: str, unit: float | None, series: str) -> datetime:
        if unit is not None:
            try:
                return EPOCH + round(float(text) * unit) * MICROSECOND
            except OverflowError:
                raise ValueError from None
        moment = datetime.fromisoformat(re.sub(r"^(\d{4})/(\d\d)/", r"\1-\2-", text).replace(" UTC", "Z"))
        if moment.tzinfo:
            self.offsets += 1
            return moment.astimezone(UTC)
        self.local += 1
        return self._of_zone(moment, self._before.get(series))

    def _of_zone(self, moment: datetime, before: datetime | None) -> datetime:
        first, second = (moment.replace(tzinfo=self.zone, fold=fold) for fold in (0, 1))
        offset, later = first.utcoffset(), second.utcoffset()
        if offset is None or later is None or offset == later:
            return first.astimezone(UTC)
        if offset < later:
            self.never += 1
            return first.astimezone(UTC)
        again = before is not None and first.astimezone(UTC) <= before
        return (second if again else first).astimezone(UTC)


def _epoch_unit(text: str) -> float | None:
    """Microseconds in a unit of an epoch number; None for what is no number, or a date (20140401)."""
    try:
        size = abs(float(text))
    except ValueError:
        return None
    if re.fullmatch(r"(19|20|21)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])", text) or not math.isfinite(size):
        return None
    return next(unit for least, unit in EPOCH_UNITS if size >= least)


def number(text: str) -> float:
    """A value; NaN for what stands for a missing one.

    Raises:
        ValueError: It is neither.
    """
    if text.casefold() in MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not abs(value) <= LARGEST or "_" in text:
        raise ValueError(f"'{text}' is not a number")
    return value


def read_readings(path: str, *, zone: tzinfo = UTC, skip_bad: bool | None = False, buckets: bool = False) -> Readings:
    """Reads a file.

    Args:
        path: A CSV file, also with semicolons or tabs, also packed with gzip.
        zone: Of stamps that name none.
        skip_bad: Whether rows that cannot be read are marked as `bad`, instead of being an error; None: no user can choose.
        buckets: Whether they are taken together in buckets, where neither double stamps nor odd steps are of note.

    Raises:
        DataError: The file is missing or no CSV, it lacks a column, or a row cannot be read.
    """
    header, rows, lines, delimiter = _cells(path)
    when, value, which = _columns(header, path)
    count, clock = len(rows), Clock(zone)
    times, values = np.full(count, "NaT", dtype="datetime64[us]"), np.full(count, np.nan)
    series, names = np.zeros(count, dtype=np.int64), {} if which is not None else {ONE: 0}
    bad = np.zeros(count, dtype=bool)
    errors: list[tuple[int, int | None, str]] = []
    for place, row in enumerate(rows):
        column = None
        try:
            if len(row) != len(header):
                raise ValueError(f"there are {len(row)} cells, but the header has {len(header)}")
            name = row[which].strip() if which is not None else ONE
            column = when
            moment = clock.read(row[when].strip(), name)
            column = value
            values[place] = number(row[value].strip())
            times[place] = np.datetime64(moment, "us")
            series[place] = names.setdefault(name, len(names))
        except ValueError as error:
            bad[place] = True
            errors.append((place, column, str(error)))
    found = Readings(path, header, delimiter, rows, lines, when, times, values, series, list(names), bad, [])
    if errors and not skip_bad:
        raise _refused(found, errors[0], len(errors), "" if skip_bad is None else ", or give --skip-bad-rows")
    found.notes = _notes(found, clock, buckets=buckets)
    return found


def _cells(path: str) -> tuple[list[str], list[list[str]], list[int], str]:
    """Header, rows, their lines, and the delimiter."""
    try:
        with _open(path, "rt", encoding="utf-8-sig") as file:
            delimiter = _delimiter(next((line for line in file if line.strip()), ""))
            file.seek(0)
            reader = csv.reader(chain(file, [END]), delimiter=delimiter, skipinitialspace=True)
            numbered = [(row, reader.line_num) for row in reader if row]
    except OSError as error:
        what = f"the file cannot be read: {error.strerror or error}"
        raise DataError(what, where=path, expected=EXPECTED) from None
    except (UnicodeDecodeError, csv.Error, EOFError, zlib.error) as error:
        fix = "Look for a quote that is never closed." if isinstance(error, csv.Error) else ""
        raise DataError(f"the file cannot be read as CSV: {error}", where=path, expected=EXPECTED, fix=fix) from None
    if numbered.pop()[0] != [END]:
        where = f"{path}, after line {numbered[-1][1]}" if numbered else path
        raise DataError("a quote is opened and never closed", where=where, fix="Close it, or leave it out.")
    if not numbered:
        raise DataError("the file cannot be read as CSV: it is empty", where=path, expected=EXPECTED)
    header = [name.strip() for name in numbered[0][0]]
    return header, [row for row, _ in numbered[1:]], [line for _, line in numbered[1:]], delimiter


def _delimiter(header: str) -> str:
    """The one by which a column's name is known, or else the one that is there most often."""
    likely = sorted(",;\t", key=header.count, reverse=True)
    cells = {each: next(csv.reader([header], delimiter=each, skipinitialspace=True)) for each in likely}
    return next((each for each in likely if {name.strip().casefold() for name in cells[each]} & {*TIMES}), likely[0])


def _open(path: str, mode: str, **options: Any) -> IO[str]:  # noqa: ANN401 - as `open` takes them
    if path.lower().endswith(".gz"):
        return cast("IO[str]", gzip.open(path, mode, newline="", **options))
    return cast("IO[str]", open(path, mode, newline="", **options))


def _columns(header: list[str], path: str) -> tuple[int, int, int | None]:
    """Places of the stamps, the values, and the names of series, if there are any."""
    known = {name.casefold(): place for place, name in reversed(list(enumerate(header)))}
    when = next((known[name] for name in TIMES if name in known), None)
    value = next((known[name] for name in VALUES if name in known), None)
    if when is None or value is None:
        missing = "time stamps" if when is None else "values"
        raise DataError(
            f"its columns are {', '.join(header)}: none of them is known to hold the {missing}",
            where=path,
            expected=f"a header with one of {', '.join(TIMES)}, and one of {', '.join(VALUES)}",
            fix="Rename the column, or add a header.",
        )
    return when, value, known.get(SERIES)


def _refused(found: Readings, error: tuple[int, int | None, str], count: int, choice: str) -> DataError:
    place, column, why = error
    others = f" (and {count - 1} more)" if count > 1 else ""
    where, expected = f"{found.path}, line {found.lines[place]}", "a cell for each column, in quotes where it holds a delimiter"
    if column is not None:
        where += f", column '{found.header[column]}'"
        times = "a time stamp as ISO 8601 (2026-03-01T00:00:00Z) or epoch seconds or milliseconds"
        expected = times if column == found.stamp else "a number with a decimal point, or nothing"
    return DataError(f"a row cannot be read: {why}{others}", where=where, expected=expected, fix=f"Mend the row{choice}.")


def _notes(found: Readings, clock: Clock, *, buckets: bool) -> list[str]:
    """What is unusual about a file, in sentences."""
    notes = []
    if bad := int(found.bad.sum()):
        notes.append(f"rows that cannot be read, and have no result: {bad}")
    if missing := int((np.isnan(found.values) & ~found.bad).sum()):
        notes.append(f"missing values: {missing}")
    if clock.offsets and clock.local:
        notes.append(f"time stamps without an offset, beside others that have one, are read as of {clock.zone}: {clock.local}")
    elif clock.offsets and clock.zone is not UTC:
        notes.append("all time stamps name their own offset: --time-zone is not used")
    if clock.never:
        notes.append(f"time stamps in an hour that clocks of {clock.zone} skipped, read as if they had not: {clock.never}")
    stamps = [found.times[rows].astype(np.int64) for rows in by_series(found)]
    if back := sum(int((np.diff(times) < 0).sum()) for times in stamps):
        notes.append(f"places where time goes back: {back}; rows are looked at in the order of time")
    return notes if buckets else notes + _stepping(stamps)


def _stepping(stamps: Sequence[NDArray[np.int64]]) -> list[str]:
    """Notes on double stamps and gaps, given the stamps of each series in microseconds."""
    double, gaps, steps_all, longest, usual = 0, 0, 0, 0.0, 0.0
    for times in stamps:
        steps = np.diff(np.unique(times)).astype(np.float64)
        double += len(times) - len(np.unique(times))
        steps_all += len(steps)
        if len(steps):
            middle = float(np.median(steps))
            gaps += int((steps / middle > GAP).sum())
            longest, usual = max((longest, usual), (float(steps.max()), middle))
    notes = []
    if double:
        hint = "" if len(stamps) > 1 else f" (a column {SERIES} tells several series apart)"
        notes.append(f"rows with the time stamp of another, where their mean is looked at: {double}{hint}")
    if gaps:
        what = f"gaps: {gaps}" if gaps < IRREGULAR * steps_all else "steps are irregular"
        notes.append(f"{what}; the longest is {_spoken(longest)}, the usual one {_spoken(usual)}")
    return notes


def _spoken(microseconds: float) -> str:
    span = timedelta(microseconds=microseconds)
    return duration(span) if span >= SECOND else format_span(span)


def by_series(found: Readings) -> list[NDArray[np.intp]]:
    """The rows of each series that can be read, in the order of the file."""
    rows = np.flatnonzero(~found.bad)
    rows = rows[np.argsort(found.series[rows], kind="stable")]
    return np.split(rows, np.searchsorted(found.series[rows], np.arange(1, len(found.names))))


def aggregate(place: NDArray[np.int64], values: NDArray[np.float64], count: int, function: str = "mean") -> NDArray[np.float64]:
    """(count,) values of buckets; a sum or count of none is 0, all else NaN.

    Args:
        place: (R,) number of each reading's bucket.
        values: (R,) readings, NaN where missing.
        count: How many buckets there are.
        function: One of FUNCTIONS.
    """
    import pandas as pd

    grouped = pd.Series(values).groupby(place).agg(function)
    filled = grouped.reindex(np.arange(count), fill_value=0.0 if function in {"sum", "count"} else np.nan)
    return filled.to_numpy(dtype=np.float64)


def write_readings(found: Readings, columns: Mapping[str, Sequence[str]], path: str) -> None:
    """Writes the rows of a file with more columns; columns of the same name are replaced.

    Raises:
        DataError: The file cannot be written.
    """
    kept = [place for place, name in enumerate(found.header) if name not in columns]
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part, _open(str(part), "wt", encoding="utf-8") as file:
            plain = csv.writer(file, delimiter=found.delimiter, lineterminator="\n")
            quoted = csv.writer(file, delimiter=found.delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
            results = zip(*([name, *cells] for name, cells in columns.items()), strict=True)
            for row, more in zip([found.header, *found.rows], results, strict=True):
                cells = [row[place] if place < len(row) else "" for place in kept]
                writer = quoted if any("\r" in cell for cell in row) else plain  # which leaves a carriage return bare
                writer.writerow([*cells, *more, *row[len(found.header) :]])  # cells too many come last: the columns stay
    except OSError as error:
        raise DataError(f"the file cannot be written: {error.strerror or error}", where=path) from None
