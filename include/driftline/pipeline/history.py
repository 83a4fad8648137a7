"""Backtest of a job's or a file's history: replayed as it would have happened, and judged, or counted where no truth is known."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import DataError
from driftline.core.paths import staging_uri
from driftline.core.series import SeriesFrame
from driftline.core.timespan import Window, format_span, iso
from driftline.elastic.fields import data_range
from driftline.pipeline.fit import roots_and_sums
from driftline.pipeline.read import read_series
from driftline.pipeline.readings import aggregate, read_readings
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

# Thresholds at which alarms are counted: every severity's, and steps between that a user would choose from.
LEVELS = (1.0, 10.0, 25.0, 40.0, 50.0, 60.0, 75.0, 90.0, 95.0)
# Below this difference of F1 two rules do the same; with fewer than fifty events it is not even one of them.
AS_GOOD = 0.02
# A rule with a lower F1 is not enough, however little a model finds.
USEFUL = 0.8
# With fewer events a threshold chosen in hindsight proves little.
EVENTS_FEW = 10
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
        sizes: (N, T) of how many documents each value is the average, as of a `SeriesFrame`.
        sums: (N,) which are sums of documents; None where that is not known.
    """

    name: str
    start: datetime
    span: timedelta
    values: NDArray[np.float64]
    sqrt: NDArray[np.bool_]
    labels: list[str]
    names: list[set[str]]
    notes: list[str]
    sizes: NDArray[np.float64] | None = None
    sums: NDArray[np.bool_] | None = None

    @property
    def times(self) -> NDArray[np.datetime64]:
        """(T,) bucket starts."""
        return SeriesFrame(self.start, self.span, [], self.values, np.empty(0, np.int64)).times

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
    sqrt, sums = roots_and_sums(job, frame.keys)
    several = len(job.detectors) > 1
    labels = [f"{key.detector_index} {key.label()}" if several else key.label() for key in frame.keys]
    return _chosen(
        History(
            job.job_id,
            frame.start,
            frame.span,
            frame.values,
            sqrt,
            labels,
            [{value for value in (key.partition_value, key.by_value) if value is not None} for key in frame.keys],
            list(frame.notes),
            frame.sizes,
            sums,
        ),
        partitions,
        most,
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
    readings = read_readings(path)
    seconds = readings.times.astype("datetime64[s]").astype(np.int64)
    least, past = (edge.timestamp() if edge else far for edge, far in ((start, -np.inf), (end, np.inf)))
    inside = (seconds >= least) & (seconds < past)
    seconds = seconds[inside]
    stamps = np.unique(seconds)
    if len(stamps) < 2:
        raise DataError("there are fewer than two readings", where=path, expected="a history, with --start and --end within it")
    span = int(np.median(np.diff(stamps)))
    column = seconds // span
    first = int(column.min())
    names, row = np.unique(np.array(readings.names)[readings.series[inside]], return_inverse=True)
    width = int(column.max()) - first + 1
    if len(names) * width > VALUES_MOST:
        raise DataError(
            f"{len(names)} series of {width} buckets of {span} s are too much at once", where=path, fix="Give --start and --end."
        )
    values = aggregate(row * width + column - first, readings.values[inside], len(names) * width).reshape(len(names), width)
    counts = [bool(np.all((known >= 0) & (known == np.round(known)))) for known in (each[~np.isnan(each)] for each in values)]
    history = History(
        path,
        datetime.fromtimestamp(first * span, UTC),
        timedelta(seconds=span),
        values,
        np.array(counts, dtype=bool),
        names.tolist(),
        [{name} for name in names.tolist()],
        [],
    )
    chosen = _chosen(history, partitions, most)
    chosen.notes += readings.notes
    return chosen


def _chosen(history: History, partitions: Collection[str], most: int | None) -> History:
    """Only the series that are asked for, the largest if there are more than `most`."""
    rows = [row for row, names in enumerate(history.names) if not partitions or names & set(partitions)]
    for name in partitions:
        if not any(name in names for names in history.names):
            near = difflib.get_close_matches(name, sorted(set().union(*history.names)), n=1)
            raise DataError(f"there is no series '{name}'", where=history.name, fix=f"Did you mean '{near[0]}'?" if near else "")
    if most and len(rows) > most:
        volume = [np.nansum(np.abs(history.values[row])) for row in rows]
        kept = sorted(np.argsort(-np.array(volume), kind="stable")[:most].tolist())
        history.notes.append(f"only the {most} largest of {len(rows)} series are replayed (--max-partitions)")
        rows = [rows[place] for place in kept]
    if not rows:
        raise DataError("there are no series", where=history.name)
    history.values, history.sqrt = history.values[rows], history.sqrt[rows]
    history.sizes = None if history.sizes is None else history.sizes[rows]
    history.sums = None if history.sums is None else history.sums[rows]
    history.labels, history.names = [history.labels[row] for row in rows], [history.names[row] for row in rows]
    return history


def replayed(history: History, *, progress: Progress | None = None) -> Replayed:
    """A history as it would have happened."""
    return replay(history.times, history.values, sqrt=history.sqrt, sizes=history.sizes, sums=history.sums, progress=progress)


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
        truth, outside = locate(facts, history.names, start, history.span, values.shape[1])
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
