"""Backtest of a history, a job's or a file's: replayed as it would have happened, and judged, or counted without a truth."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import DataError
from driftline.core.paths import staging_uri
from driftline.core.series import SeriesFrame
from driftline.core.timespan import Window, format_span, iso
from driftline.elastic.fields import data_range
from driftline.pipeline.fit import fit_options, roots_and_sums
from driftline.pipeline.read import read_series
from driftline.pipeline.readings import EPOCH, MICROSECOND
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
        parts: Series that are replayed apart from others, and the buckets that these have; None: all together.
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
    parts: list[tuple[NDArray[np.intp], NDArray[np.intp]]] | None = None

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
    rows, notes = largest(frame.values, wanted(names, partitions, job.job_id), most, job.job_id)
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


def largest(values: NDArray[np.float64], rows: list[int], most: int | None, where: str) -> tuple[list[int], list[str]]:
    """The rows with the most in all if there are more than `most`, and a note on that."""
    if not rows:
        raise DataError("there are no series", where=where)
    if not most or len(rows) <= most:
        return rows, []
    volume = np.nansum(np.abs(values[rows]), axis=1)
    kept = np.sort(np.argsort(-volume, kind="stable")[:most])
    return [rows[place] for place in kept], [f"only the {most} largest of {len(rows)} series are replayed (--max-partitions)"]


def wanted(series: Sequence[set[str]], partitions: Collection[str], where: str) -> list[int]:
    """Which series are asked for, by the names that each goes by."""
    for name in partitions:
        if not any(name in names for names in series):
            near = difflib.get_close_matches(name, sorted(set().union(*series)), n=1)
            raise DataError(f"there is no series '{name}'", where=where, fix=f"Did you mean '{near[0]}'?" if near else "")
    return [row for row, names in enumerate(series) if not partitions or names & set(partitions)]


def replayed(history: History, *, progress: Progress | None = None) -> Replayed:
    """A history as it would have happened."""
    if history.parts is None:
        return replay(history.times, history.values, sqrt=history.sqrt, progress=progress, **history.told)
    found = Replayed.nothing(history.values.shape)
    for rows, columns in history.parts:
        place = np.ix_(rows, columns)
        part = replay(history.times[columns], history.values[place], sqrt=history.sqrt[rows], progress=progress, **history.told)
        for name, whole in vars(found).items():
            whole[place] = getattr(part, name)
    return found


def backtest(
    history: History,
    facts: Sequence[Fact] | None = None,
    *,
    threshold: float = ALARM_SCORE,
    truth: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Replays a history and reports how it would have been.

    What comes before the first model is not judged.

    Args:
        history: The series.
        facts: What happened, if it is known.
        threshold: The score from which on it alarms.
        truth: The file that somebody chose for the facts: it must tell of something that is judged, or of nothing at all.
        progress: Told how far it is.

    Returns:
        `name`, `series`, `buckets`, `bucket_span`, `start`, `end` (of what is judged), `threshold`, `alarms` (a list of how many
        at each of LEVELS), `loudest` (series with the most alarms), `notes`; and where the truth is known `judged`, `best`,
        `sweep` and `fixed`.

    Raises:
        DataError: There are no values, too few for a model, or no fact of `truth` lies in what is judged.
    """
    if facts and truth:
        _located(facts, history, 0, truth)  # before anything that takes long
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
        known_truth, outside = _located(facts, history, skip, truth)
        if outside:
            lie, are = ("event of the truth lies", "is") if outside == 1 else ("events of the truth lie", "are")
            report["notes"].append(f"{outside} {lie} in no series or time that is judged, and {are} left out")
        report |= _against(alarms, known_truth, values, history, threshold)
    return report


def _located(facts: Sequence[Fact], history: History, skip: int, path: str | None) -> tuple[Truth, int]:
    """Where facts lie in what is judged, from bucket `skip` on, and how many lie outside; those of a file must not all do so."""
    start, buckets = history.start + skip * history.span, history.values.shape[1] - skip
    found, outside = locate(facts, history.names, start, history.span, buckets, history.told.get("sides"))
    if path is None or outside < len(facts) or not facts:
        return found, outside
    judged = Window(start, history.window.end)
    tells = Window(min(fact.start for fact in facts), max(fact.end for fact in facts))
    timely = [fact for fact in facts if fact.start < judged.end and judged.start < fact.end]
    if timely:
        known, told = _some(set().union(*history.names)), _some(set().union(*(fact.values or () for fact in timely)))
        expected = f"events of a series that is judged: {known}" if known else "events that the job's functions could see"
        fix = f"It tells of {told}: mend the names, or leave out --partition and --max-partitions." if told else ""
    else:
        learnt = f", after {iso(history.start)} – {iso(start)}, which the first model learns from" if skip else ""
        expected = f"events between {iso(judged.start)} and {iso(judged.end)}{learnt}"
        fix = f"It tells of {tells}: mend its times, or give the truth of this data."
    count = "the only event" if len(facts) == 1 else f"none of the {len(facts)} events"
    lies = "lies in no" if len(facts) == 1 else "lies in a"
    raise DataError(f"{count} of the truth {lies} series and time that is judged", where=path, expected=expected, fix=fix)


def _some(names: Collection[str]) -> str:
    """A few names, and how many more there are."""
    more = f" and {len(names) - LOUDEST} more" if len(names) > LOUDEST else ""
    return ", ".join(sorted(names)[:LOUDEST]) + more


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
    count = "This is only 1 event" if each.events == 1 else f"These are only {each.events} events"
    few = f" {count}: see whether it holds for the next." if each.events < EVENTS_FEW else ""
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
