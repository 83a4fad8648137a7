"""Backtest of a job's or a file's history: replayed as it would have happened, and judged, or counted where no truth is known."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import DataError
from driftline.core.paths import staging_uri
from driftline.core.series import SeriesFrame
from driftline.core.timespan import SECOND, Window, format_span, iso
from driftline.elastic.fields import data_range
from driftline.pipeline.fit import fit_options, roots_and_sums
from driftline.pipeline.read import read_series
from driftline.pipeline.readings import EPOCH, MICROSECOND, aggregate, read_readings
from driftline.pipeline.replay import Replayed, replay
from driftline.pipeline.truths import Fact, locate
from driftline.scoring.fixed import Fixed, best_for_all, best_for_each
from driftline.scoring.score import severity
from driftline.scoring.sentence import duration
from driftline.scoring.settings import ALARM_SCORE
from driftline.scoring.truth import Alarms, Judged, Truth, best, judge, sweep

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.progress import Progress
    from driftline.pipeline.readings import Readings

# Thresholds at which alarms are counted: every severity's, and steps between that a user would choose from.
LEVELS = (1.0, 10.0, 25.0, 40.0, 50.0, 60.0, 75.0, 90.0, 95.0)
# Below this difference of F1 two rules do the same; with fewer than fifty events it is not even one of them.
AS_GOOD = 0.02
# A rule with a lower F1 is not enough, however little a model finds.
USEFUL = 0.8
# With fewer events a threshold chosen in hindsight proves little.
EVENTS_FEW = 10
# A file with a smaller share of buckets that hold anything, on both sides of a gap of most of its time, has a wrong stamp.
FILLED_LEAST = 0.01
VALUES_MOST = 100_000_000  # of a replay in memory: some gigabytes
LOUDEST = 10
WEEK = timedelta(weeks=1)


@dataclass
class History:
    """Series over the past.

    Attributes:
        name: Of the job or the file.
        start, span: Of the first bucket, UTC; and of each.
        values: (N, T), NaN where missing.
        sqrt: (N,) whether square roots are modelled.
        labels: N names for people.
        names: What each series goes by in a truth.
        notes: What was left out.
        told: What else `replay` is told of them.
    """

    name: str
    start: datetime
    span: timedelta
    values: NDArray[np.float64]
    sqrt: NDArray[np.bool_]
    labels: list[str]
    names: list[set[str]]
    notes: list[str]
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def times(self) -> NDArray[np.datetime64]:
        """(T,) bucket starts."""
        start, step = (self.start - EPOCH) // MICROSECOND, self.span // MICROSECOND
        return (start + step * np.arange(self.values.shape[1])).astype("datetime64[us]")

    @property
    def window(self) -> Window:
        """What it covers."""
        return Window(self.start, self.start + self.values.shape[1] * self.span)


def of_job(
    client: Elasticsearch,
    job: Job,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    partitions: Sequence[str] = (),
    most: int | None = None,
    progress: Progress | None = None,
) -> History:
    """A job's series over its whole data, or the part of it that is asked for; the last bucket only if it is full."""
    data = data_range(client, job)
    window = Window(max(start or data.start, data.start), min(end or data.end, data.end)).floored(job.bucket_span)
    if window.empty:
        raise DataError("no whole bucket of data lies in this interval", where=f"job {job.job_id}", expected=f"a part of {data}")
    uri = staging_uri(job.job_id, "backtest", f"{window.start:%Y%m%dT%H%M%S}-{window.end:%Y%m%dT%H%M%S}.parquet")
    frame = SeriesFrame.read(read_series(client, job, window, uri=uri, progress=progress)["uri"])
    names = [{value for value in (key.partition_value, key.by_value) if value is not None} for key in frame.keys]
    rows, notes = _largest(frame.values, _wanted(names, partitions, job.job_id), most, job.job_id)
    frame = frame.take(rows)
    sqrt, sums = roots_and_sums(job, frame.keys)
    several = len(job.detectors) > 1
    return History(
        job.job_id,
        frame.start,
        frame.span,
        frame.values,
        sqrt,
        [f"{key.detector_index} {key.label()}" if several else key.label() for key in frame.keys],
        [names[row] for row in rows],
        [*frame.notes, *notes],
        {
            "sizes": frame.sizes,
            "sums": sums,
            "sides": [job.detectors[key.detector_index].spec.side for key in frame.keys],
            "options": fit_options(job, frame.keys, window),
            "history": job.training.window,
        },
    )


def of_file(
    path: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    partitions: Sequence[str] = (),
    most: int | None = None,
) -> History:
    """The series of a CSV file: `timestamp,value`, or `unique_id,ds,y` for many. Buckets are as wide as most steps are.

    Raises:
        DataError: It is missing, has other columns, or no readings.
    """
    readings = read_readings(path, skip_bad=None)
    names, row, times, values = _taken(readings, start, end, partitions)
    span = _step(row, times)
    if not span:
        raise DataError("there are fewer than two readings", where=path, expected="a history, with --start and --end within it")
    column = times // span
    first = int(column.min())
    width = int(column.max()) - first + 1
    wide = format_span(span * MICROSECOND)
    if len(np.unique(column)) < FILLED_LEAST * width:
        _check_gap(np.unique(times), f"nearly all of {width} buckets of {wide} are empty", path)
    if len(names) * width > VALUES_MOST:
        what = f"{len(names)} series of {width} buckets of {wide} are too much at once"
        raise DataError(what, where=path, fix="Give --start and --end, or some with --partition.")
    place = row * width + column - first
    grid = aggregate(place, values, len(names) * width).reshape(len(names), width)
    counts = [bool(np.all((known >= 0) & (known == np.round(known)))) for known in (each[~np.isnan(each)] for each in grid)]
    rows, notes = _largest(grid, list(range(len(names))), most, path)
    if beside := int(((np.diff(place) == 0) & (np.diff(times) > 0)).sum()):
        notes.append(f"readings beside another in a bucket of {wide}, where their mean is looked at: {beside}")
    labels = [names[each] for each in rows]
    return History(
        path,
        EPOCH + first * span * MICROSECOND,
        span * MICROSECOND,
        grid[rows],
        np.array(counts, dtype=bool)[rows],
        labels,
        [{name} for name in labels],
        [*notes, *readings.notes],
    )


def _taken(
    readings: Readings, start: datetime | None, end: datetime | None, partitions: Collection[str]
) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Names of the series that are asked for, in order, and their readings by series and time: row, microseconds, value."""
    times = readings.times.astype(np.int64)
    least, past = (None if edge is None else (edge - EPOCH) // MICROSECOND for edge in (start, end))
    inside = np.isin(readings.series, _wanted([{name} for name in readings.names], partitions, readings.path))
    inside &= (times >= least if least is not None else True) & (times < past if past is not None else True)
    present = sorted(np.unique(readings.series[inside]).tolist(), key=readings.names.__getitem__)
    number = np.zeros(len(readings.names), dtype=np.int64)
    number[present] = np.arange(len(present))
    row, times = number[readings.series[inside]], times[inside]
    order = np.lexsort((times, row))
    return [readings.names[each] for each in present], row[order], times[order], readings.values[inside][order]


def _step(row: NDArray[np.int64], times: NDArray[np.int64]) -> int:
    """The usual step of most series, in microseconds; 0 where none has two readings."""
    steps = np.diff(times)
    taken = (np.diff(row) == 0) & (steps > 0)
    of, steps = row[1:][taken], steps[taken]
    parts = np.split(steps, np.flatnonzero(np.diff(of)) + 1)
    usual = [int(np.quantile(part, 0.5, method="lower")) for part in parts if len(part)]
    step = int(np.quantile(usual, 0.5, method="lower")) if usual else 0
    whole = round(step * MICROSECOND / SECOND) * (SECOND // MICROSECOND)
    return whole if abs(whole - step) <= 0.01 * step else step  # clocks are not as exact as that


def _check_gap(stamps: NDArray[np.int64], what: str, path: str) -> None:
    """Refuses few stamps that lie far from all others."""
    steps = np.diff(stamps)
    place = int(steps.argmax())
    if 2 * steps[place] < stamps[-1] - stamps[0]:
        return  # what is sparse is so all the time
    lonely = stamps[place] if 2 * (place + 1) <= len(stamps) else stamps[place + 1]
    away = duration(int(steps[place]) * MICROSECOND)
    raise DataError(
        f"{what}: {iso(EPOCH + int(lonely) * MICROSECOND)} lies {away} from its neighbour",
        where=path,
        fix="Mend the time stamp, or give --start and --end.",
    )


def _largest(values: NDArray[np.float64], rows: list[int], most: int | None, where: str) -> tuple[list[int], list[str]]:
    """The rows with the most in all if there are more than `most`, and a note on that."""
    if not rows:
        raise DataError("there are no series", where=where)
    if not most or len(rows) <= most:
        return rows, []
    volume = np.nansum(np.abs(values[rows]), axis=1)
    kept = np.sort(np.argsort(-volume, kind="stable")[:most])
    return [rows[place] for place in kept], [f"only the {most} largest of {len(rows)} series are replayed (--max-partitions)"]


def _wanted(series: Sequence[set[str]], partitions: Collection[str], where: str) -> list[int]:
    """Which series are asked for, by the names that each goes by."""
    for name in partitions:
        if not any(name in names for names in series):
            near = difflib.get_close_matches(name, sorted(set().union(*series)), n=1)
            raise DataError(f"there is no series '{name}'", where=where, fix=f"Did you mean '{near[0]}'?" if near else "")
    return [row for row, names in enumerate(series) if not partitions or names & set(partitions)]


def replayed(history: History, *, progress: Progress | None = None) -> Replayed:
    """A history as it would have happened."""
    return replay(history.times, history.values, sqrt=history.sqrt, progress=progress, **history.told)


def backtest(
    history: History, facts: Sequence[Fact] | None = None, *, threshold: float = ALARM_SCORE, progress: Progress | None = None
) -> dict[str, Any]:
    """Replays a history and reports how it would have been.

    What comes before the first model is not judged.

    Returns:
        `name`, `series`, `buckets`, `bucket_span`, `start`, `end` (of what is judged), `threshold`, `alarms` (a list of how many
        at each of LEVELS), `loudest` (series with the most alarms), `notes`; and where the truth is known `judged`, `best`,
        `sweep` and `fixed`.
    """
    found = replayed(history, progress=progress)
    known = np.isfinite(found.typical).any(axis=0)
    if np.isnan(history.values).all():
        raise DataError("there are no values, only missing ones", where=history.name)
    if not known.any():
        raise DataError(
            "the history is too short for any model", where=history.name, expected=f"more than {history.window} holds"
        )
    skip = int(known.argmax())
    scores, values = found.anomaly_score[:, skip:], history.values[:, skip:]
    start = history.start + skip * history.span
    alarms = Alarms.of(scores)
    report: dict[str, Any] = {
        "name": history.name,
        "series": len(values),
        "buckets": values.shape[1],
        "bucket_span": format_span(history.span),
        "start": iso(start),
        "end": iso(history.window.end),
        "threshold": threshold,
        "alarms": counted(alarms, sorted({*LEVELS, threshold}), values.shape, history.span),
        "loudest": _loudest(alarms, threshold, history.labels),
        "notes": [*history.notes],
    }
    if facts is not None:
        truth, outside = locate(facts, history.names, start, history.span, values.shape[1], history.told.get("sides"))
        if outside:
            report["notes"].append(f"{outside} events of the truth lie in no series or time that is judged, and are left out")
        report |= _against(alarms, truth, values, history, threshold)
    return report


def counted(alarms: Alarms, levels: Sequence[float], shape: tuple[int, ...], span: timedelta) -> list[dict[str, Any]]:
    """How many alarms there would have been at each threshold, in all and a week, over series and buckets of a shape."""
    weeks = shape[1] * (span / WEEK)
    counts = [(level, alarms.score >= level) for level in levels]
    return [
        {
            "threshold": level,
            "severity": severity(level),
            "alarms": int(loud.sum()),
            "alarms_a_week": round(int(loud.sum()) / weeks, 4),
            "alarms_a_partition_week": round(int(loud.sum()) / weeks / shape[0], 4),
            "series_with_alarms": len(np.unique(alarms.series[loud])),
        }
        for level, loud in counts
    ]


def _loudest(alarms: Alarms, threshold: float, labels: list[str]) -> list[dict[str, Any]]:
    count = np.bincount(alarms.series[alarms.score >= threshold], minlength=len(labels))
    return [
        {"series": labels[row], "alarms": int(count[row])} for row in np.argsort(-count, kind="stable")[:LOUDEST] if count[row]
    ]


def _against(alarms: Alarms, truth: Truth, values: NDArray[np.float64], history: History, threshold: float) -> dict[str, Any]:
    shape = {"series": len(values), "buckets": values.shape[1], "span": history.span}
    judged = sweep(alarms, truth, **shape)
    now = judge(alarms, truth, threshold, **shape)
    top = best(judged) or now
    report = {
        "judged": as_dict(now, history.span),
        "best": as_dict(top, history.span),
        "sweep": [as_dict(each, history.span) for each in judged],
    }
    if truth.kind:
        one, each = best_for_all(values, truth, history.span), best_for_each(values, truth, history.span)
        report["fixed"] = {
            "for_all": {**as_dict(one.judged, history.span), "threshold": rule(one)},
            "for_each": {**as_dict(each.judged, history.span), "threshold": None},
            "sentence": verdict(top.f1, one, each.judged),
        }
    return report


def as_dict(judged: Judged, span: timedelta) -> dict[str, Any]:
    """A judgement as JSON, delays also as times; None where nothing was found."""

    def delay(buckets: float) -> dict[str, Any] | None:
        return None if np.isnan(buckets) else {"buckets": round(buckets, 2), "time": duration(buckets * span)}

    figures = {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(judged).items()}
    for name in ("delay_buckets_median", "delay_buckets_95", "by_kind"):
        del figures[name]
    kinds = {
        kind: {"found": found, "events": events, "recall": round(found / events, 4), "delay_median": delay(late)}
        for kind, (found, events, late) in judged.by_kind.items()
    }
    return {
        **figures,
        "delay_median": delay(judged.delay_buckets_median),
        "delay_95": delay(judged.delay_buckets_95),
        "by_kind": kinds,
    }


def rule(fixed: Fixed) -> str:
    """A rule for all series in words."""
    return f"value {'≥' if fixed.above[0] else '≤'} {fixed.limit[0]:.6g}"


def verdict(model: float, one: Fixed, each: Judged) -> str:
    """Whether a fixed threshold would do, in a sentence; all at their best thresholds in hindsight.

    Args:
        model: The best F1 of the replay.
        one: The best rule for all series.
        each: What the best rules for each series find.
    """
    few = f" These are only {each.events} events: see whether it holds for the next." if each.events < EVENTS_FEW else ""
    enough = max(model - AS_GOOD, USEFUL)
    if one.judged.f1 >= enough:
        figures = f"{rule(one)}: F1 {one.judged.f1:.2f} against {model:.2f}"
        return f"A fixed threshold does {_well(one.judged.f1, model)} ({figures}): you need no model here.{few}"
    if each.f1 >= enough:
        figures = f"F1 {each.f1:.2f} against {model:.2f}; one for all {one.judged.f1:.2f}"
        return f"A fixed threshold for each series does {_well(each.f1, model)} ({figures}), while their levels stay.{few}"
    best_of = f"the best for all ({rule(one)}) has an F1 of {one.judged.f1:.2f}, the best for each series {each.f1:.2f}"
    return f"No fixed threshold is enough: {best_of}, the models {model:.2f}."


def _well(fixed: float, model: float) -> str:
    return "better" if fixed > model + AS_GOOD else "as well"
