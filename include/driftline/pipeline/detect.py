"""Detect: plain files of readings, each row with what would have been said of it when it was the newest."""

from __future__ import annotations

import multiprocessing
import os
import re
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import DataError, DriftlineError, WindowError
from driftline.core.paths import keep_apart
from driftline.core.timespan import format_span, iso
from driftline.models.baseline.fit import usable_processors
from driftline.pipeline.readings import MICROSECOND, aggregate, by_series, read_readings, write_readings
from driftline.pipeline.replay import FIRST, Replayed, replay
from driftline.scoring.kinds import KINDS
from driftline.scoring.score import severity
from driftline.scoring.sentence import sentence
from driftline.scoring.settings import ALARM_REST, SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from driftline.core.progress import Progress
    from driftline.pipeline.readings import Readings

NUMBERS = ("lower", "typical", "upper", "probability", "anomaly_score")
COLUMNS = (*NUMBERS, "kind")
TOP = 10  # incidents that are told
NO_VALUES = "no values, only missing ones"
FEW = f"no more than {FIRST} readings or buckets: nothing is scored before that many are known"
BRIEF = "less than a day: until a whole day was seen, nothing is more than minor"
# Of one series: a span that makes more is a slip of the pen.
BUCKETS_MOST = 5_000_000
# Values of series with the same stamps that are replayed at once: some hundred megabytes.
VALUES_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Options:
    """How files are read and looked at.

    Attributes:
        span: Of buckets; None takes the readings as they come.
        function: What a bucket's value is, one of FUNCTIONS.
        counts: Whether values are counts, whose square roots are modelled.
        zone: Of stamps that name none.
        skip_bad: Whether rows that cannot be read are left without a result, instead of being an error.
    """

    span: timedelta | None = None
    function: str = "mean"
    counts: bool = False
    zone: tzinfo = UTC
    skip_bad: bool = False


@dataclass
class Scored:
    """A series and what was found in it.

    Attributes:
        name: Of the series.
        rows: (R,) its rows in the file, by time.
        place: (R,) the reading or bucket whose result each row carries; −1 none.
        times: (T,) UTC.
        values: (T,) what was looked at.
        found: Its results, (1, T).
    """

    name: str
    rows: NDArray[np.intp]
    place: NDArray[np.int64]
    times: NDArray[np.datetime64]
    values: NDArray[np.float64]
    found: Replayed

    @property
    def alarms(self) -> NDArray[np.intp]:
        """Readings or buckets that alarm, and that a row carries."""
        carried = np.unique(self.place[self.place >= 0])
        return np.asarray(carried[self.found.anomaly_score[0, carried] > 0], dtype=np.intp)


def detect(readings: Readings, options: Options, *, progress: Progress | None = None) -> list[Scored]:
    """Scores the series of a file, causally: what is said of a row depends on rows up to its time only.

    Raises:
        DataError: Values are no counts, or the span makes too many buckets.
    """
    if options.counts and options.function != "count":  # how many there are is a count, whatever they are
        check_counts(readings)
    series = [
        (name, *_modelled(readings, rows, options)) for name, rows in zip(readings.names, by_series(readings), strict=False)
    ]
    alike: dict[bytes, list[int]] = {}
    for number, (_, _, _, times, values) in enumerate(series):
        # together with one that starts later, a series would not get what it gets alone
        alike.setdefault(times.tobytes() + np.isnan(values).tobytes(), []).append(number)
    found: dict[int, Replayed] = {}
    for members in alike.values():
        times = series[members[0]][3]
        at_once = max(1, VALUES_AT_ONCE // max(1, len(times)))
        for first in range(0, len(members), at_once):
            part = members[first : first + at_once]
            values = np.stack([series[number][4] for number in part])
            result = replay(times, values, sqrt=options.counts, progress=progress)
            found |= {number: _row(result, place) for place, number in enumerate(part)}
    scored = [Scored(*parts, found[number]) for number, parts in enumerate(series)]
    if options.span:
        for each in scored:
            each.place = _carried(each.place, each.found.anomaly_score[0])
    return scored


def _row(found: Replayed, place: int) -> Replayed:
    return Replayed(**{name: part[place : place + 1] for name, part in vars(found).items()})


def check_counts(readings: Readings) -> None:
    """Refuses values that are no counts."""
    wrong = np.flatnonzero((readings.values < 0) | (readings.values != np.round(readings.values)) & ~np.isnan(readings.values))
    if len(wrong):
        raise DataError(
            f"{readings.values[wrong[0]]:g} is no count",
            where=f"{readings.path}, line {readings.lines[wrong[0]]}",
            expected="whole numbers from 0 on",
            fix="Leave out --counts.",
        )


def _modelled(
    readings: Readings, rows: NDArray[np.intp], options: Options
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.datetime64], NDArray[np.float64]]:
    """Rows by time, the place of each, and the times and values of what is modelled."""
    rows = rows[np.argsort(readings.times[rows], kind="stable")]
    times, values = readings.times[rows], readings.values[rows]
    if options.span is None:
        stamps, place = np.unique(times, return_inverse=True)
        return rows, place, stamps, aggregate(place, values, len(stamps))
    step = round(options.span / timedelta(microseconds=1))
    column = times.astype(np.int64) // step
    start = int(column[0]) if len(rows) else 0
    column -= start
    width = int(column[-1]) if len(rows) else 0  # the last bucket is not complete
    if width > BUCKETS_MOST:
        raise DataError(
            f"there are {width} buckets of {format_span(options.span)}",
            where=readings.path,
            expected=f"at most {BUCKETS_MOST}",
            fix="Give a larger --bucket-span.",
        )
    full = column < width
    starts = ((start + np.arange(width)) * step).astype("datetime64[us]")
    return rows, column - 1, starts, aggregate(column[full], values[full], width, options.function)


def _carried(place: NDArray[np.int64], score: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bucket whose result each row carries: the newest that is complete, or an alarm since the one that the row before had.

    Args:
        place: (R,) the newest complete bucket at each row's time, ascending; −1 none.
        score: (T,) anomaly scores.
    """
    known, inverse = np.unique(place, return_inverse=True)
    chosen, after = known.copy(), 0
    for number, newest in enumerate(known.tolist()):
        if newest > after and score[after : newest + 1].any():
            chosen[number] = after + int(score[after : newest + 1].argmax())
        after = newest + 1
    return np.asarray(chosen[inverse], dtype=np.int64)


def columns(scored: Sequence[Scored], count: int) -> dict[str, list[str]]:
    """COLUMNS as text for the rows of a file; empty where nothing is known."""
    out = {name: [""] * count for name in COLUMNS}
    for each in scored:
        having = each.place >= 0
        rows, place = each.rows[having].tolist(), each.place[having]
        for row in each.rows[~having].tolist():
            out["probability"][row], out["anomaly_score"][row] = "1", "0"
        for name in NUMBERS:
            for row, value in zip(rows, getattr(each.found, name)[0, place].tolist(), strict=True):
                out[name][row] = "" if value != value else f"{value:.9g}"
        for row, code in zip(rows, each.found.kind[0, place].tolist(), strict=True):
            out["kind"][row] = KINDS[code]
    return out


def detect_file(
    path: str, options: Options, *, out: str | None = None, plot: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Scores a file, and writes its rows with COLUMNS, and a picture, if wanted.

    Returns:
        `file`, `rows`, `series`, `alarms` (how many from each severity on), `top` (incidents), `notes`; `out` and `plot`.

    Raises:
        DataError: The file cannot be read or written.
    """
    readings = read_readings(path, zone=options.zone, skip_bad=options.skip_bad, buckets=options.span is not None)
    scored = detect(readings, options, progress=progress)
    scores = np.concatenate([np.empty(0), *(each.found.anomaly_score[0, each.alarms] for each in scored)])
    report: dict[str, Any] = {
        "file": path,
        "rows": len(readings.rows),
        "series": len(scored),
        "alarms": {name: int((scores >= least).sum()) for least, name in reversed(SEVERITIES) if least},
        "top": _top(readings, scored, options),
        "notes": readings.notes + _little(readings, scored, options),
    }
    if out:
        write_readings(readings, columns(scored, len(readings.rows)), out)
        report["out"] = out
    if plot:
        from driftline.pipeline.detectplot import write_plot

        write_plot(Path(path).name, scored, plot)
        report["plot"] = plot
    return report


def _little(readings: Readings, scored: Sequence[Scored], options: Options) -> list[str]:
    """Notes on series of which little or nothing is known."""
    if not readings.rows:
        return ["there are no rows"]
    why = Counter(_why_little(readings, each) for each in scored)
    notes = [
        ("the series has " if len(scored) == 1 else f"{why[what]} of {len(scored)} series have ") + what
        for what in (NO_VALUES, FEW, BRIEF)
        if why[what]
    ]
    missing = sum(int(np.isnan(each.values).sum()) for each in scored)
    if options.span and missing:
        notes.append(f"buckets without a value: {missing} of {sum(len(each.times) for each in scored)}")
    return notes


def _why_little(readings: Readings, each: Scored) -> str:
    """The first that is true of a series."""
    if len(each.rows) and np.isnan(readings.values[each.rows]).all():  # a sum of these is 0, and no value either
        return NO_VALUES
    if len(each.times) <= FIRST:
        return FEW
    return BRIEF if each.times[-1] - each.times[0] < np.timedelta64(1, "D") else ""


def _top(readings: Readings, scored: Sequence[Scored], options: Options) -> list[dict[str, Any]]:
    """The incidents with the highest scores, each by the alarm that has its highest."""
    alarms = [(float(each.found.anomaly_score[0, place]), each, place) for each in scored for place in _incidents(each)]
    alarms.sort(key=lambda alarm: (-alarm[0], alarm[1].times[alarm[2]]))
    return [_event(readings, each, place, score, options) for score, each, place in alarms[:TOP]]


def _incidents(each: Scored) -> list[int]:
    """The loudest alarm of every incident: one that got worse is told again within half a day."""
    alarms, score = each.alarms, each.found.anomaly_score[0]
    begins = np.flatnonzero(np.diff(each.times[alarms]) > np.timedelta64(ALARM_REST)) + 1
    return [int(part[score[part].argmax()]) for part in np.split(alarms, begins) if len(part)]


def _event(readings: Readings, each: Scored, place: int, score: float, options: Options) -> dict[str, Any]:
    row = each.rows[(each.place == place).argmax()]
    value, typical = float(each.values[place]), float(each.found.typical[0, place])
    kind = KINDS[each.found.kind[0, place]]
    time = datetime.fromtimestamp(float(each.times[place].astype(np.int64)) / 1e6, UTC)
    said = "no value"
    if not np.isnan(value):
        counts = options.counts or options.function in {"sum", "count"}
        said = sentence(value, typical, time=time, kind=kind, zone=options.zone, counts=counts)
    return {
        "file": readings.path,
        "series": each.name,
        "time": iso(time),
        "stamp": readings.rows[row][readings.stamp],
        "line": readings.lines[row],
        "value": None if np.isnan(value) else value,
        "typical": None if np.isnan(typical) else typical,
        "score": score,
        "severity": severity(score),
        "kind": kind,
        "what": said,
    }


def detect_path(
    source: str, options: Options, *, out: str | None = None, plot: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Scores a file, or every CSV file of a folder.

    Args:
        source: The file or folder.
        options: How.
        out: Where to write: of a folder the folder that gets the same tree.
        plot: Whether to write a picture beside each file.
        progress: Told how far it is.

    Returns:
        `files` (as of `detect_file`), `failed` (errors of files that cannot be read), `rows`, `alarms`, `top`, `notes` and
        `seconds`.

    Raises:
        DataError: The path is missing, a folder has no CSV file, none can be read, or the results would replace the data.
        WindowError: The options do not fit together.
    """
    began = monotonic()
    if options.span is not None and options.span < MICROSECOND:
        raise WindowError("a bucket lasts longer than 0", where="--bucket-span", expected="a span such as 5m or 1h")
    if options.span is None and options.function != Options.function:
        what = f"without buckets there is nothing to take the {options.function} of"
        raise WindowError(what, where="--function", fix="Give --bucket-span.")
    if plot and not out:
        raise DataError("--plot needs --out", expected="where to write: the picture lies beside the results")
    folder = os.path.isdir(source)
    pairs, notes = _tree(Path(source), out) if folder else ([(source, _single(source, out))], [])
    work = [(path, options, to, str(Path(to).with_suffix(".html")) if plot and to else None) for path, to in pairs]
    keep_apart((path for path, _ in pairs), (path for _, _, *results in work for path in results if path))
    if folder:
        files, failed = _all(work, progress)
    else:
        path, _, to, picture = work[0]
        files, failed = [detect_file(path, options, out=to, plot=picture, progress=progress)], []
    top = sorted((event for file in files for event in file["top"]), key=lambda event: -event["score"])
    return {
        "files": files,
        "failed": failed,
        "rows": sum(file["rows"] for file in files),
        "alarms": {name: sum(file["alarms"][name] for file in files) for least, name in reversed(SEVERITIES) if least},
        "top": top[:TOP],
        "notes": notes,
        "seconds": round(monotonic() - began, 2),
    }


def _single(source: str, out: str | None) -> str | None:
    return os.path.join(out, Path(source).name) if out and os.path.isdir(out) else out


def _tree(source: Path, out: str | None) -> tuple[list[tuple[str, str | None]], list[str]]:
    """The CSV files of a folder, each with where its result goes; and notes on the others."""
    to = Path(out) if out else None
    if to and os.path.isfile(to):
        raise DataError("the results of a folder need a folder", where=str(to), fix="Give another --out.")
    inner = Path(os.path.realpath(to)) if to else None
    if inner == source.resolve():
        raise DataError("the results would replace the data", where=str(to), fix="Give another --out.")
    files = sorted(path for path in source.rglob("*") if path.is_file())
    inside = inner is not None and source.resolve() in inner.parents
    results = {path for path in files if inside and inner in path.resolve().parents}
    files = [path for path in files if path not in results]
    wanted = [path for path in files if path.suffix.lower() == ".csv"]
    if not wanted:
        raise DataError("there is no CSV file in this folder", where=str(source), expected="files *.csv, in any depth")
    pairs = [(str(path), str(to / path.relative_to(source)) if to else None) for path in wanted]
    foreign = next((result for _, result in pairs if result and os.path.isfile(result) and not _is_result(result)), None)
    if foreign:
        what = "the results would replace a file that is no earlier result"
        raise DataError(what, where=foreign, fix="Give another --out, or move the file.")
    others = {
        "no CSV files": [path for path in files if path.suffix.lower() != ".csv"],
        "data where results are written": [
            path for path in sorted(results) if path.suffix.lower() == ".csv" and not _is_result(str(path))
        ],
    }
    return pairs, [f"{what}, left out: {_listed(source, paths)}" for what, paths in others.items() if paths]


def _listed(source: Path, paths: list[Path]) -> str:
    more = f" and {len(paths) - TOP} more" if len(paths) > TOP else ""
    return ", ".join(str(path.relative_to(source)) for path in paths[:TOP]) + more


def _is_result(path: str) -> bool:
    """Whether a file has the columns of a result; it may be replaced."""
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return set(COLUMNS) <= set(re.split(r"[,;\t]", file.readline().strip()))
    return False


def _all(work: Sequence[tuple[Any, ...]], progress: Progress | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All files, as many at a time as there are processors, in their order; and the errors of those that failed."""
    spawned = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    done: dict[int, dict[str, Any]] = {}
    errors: dict[int, DriftlineError] = {}
    with ProcessPoolExecutor(min(len(work), usable_processors()), mp_context=spawned) as pool:
        waiting = {pool.submit(_one, each): number for number, each in enumerate(work)}
        for ready in as_completed(waiting):
            try:
                done[waiting[ready]] = ready.result()
            except DriftlineError as error:
                errors[waiting[ready]] = error
            if progress:
                progress("files", len(done) + len(errors), len(work))
    if not done:
        raise errors[min(errors)]
    return [done[number] for number in sorted(done)], [errors[number].as_dict() for number in sorted(errors)]


def _one(work: tuple[str, Options, str | None, str | None]) -> dict[str, Any]:
    from threadpoolctl import threadpool_limits

    path, options, out, plot = work
    with threadpool_limits(1):
        return detect_file(path, options, out=out, plot=plot)
