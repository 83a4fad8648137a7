"""A segment: the buckets that one snapshot scores, and what is found in them. Nothing is read or written here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.results import Maker, milliseconds, number
from driftline.core.ruling import reasons, scheduled, time_shifts
from driftline.core.timespan import Window, floor_time, parse_time
from driftline.models.baseline.design import shifted, wall_clock
from driftline.models.baseline.fleet import pack
from driftline.models.trained import Trained
from driftline.pipeline.fit import fit_options, fit_series, roots_and_sums
from driftline.pipeline.lessons import judged, learned, silence, there, zero_is_empty
from driftline.scoring.calibration import Calibration, calibrate, pooled
from driftline.scoring.detector import Detected, detect
from driftline.scoring.explanation import REASONS, RECURRING, evidence, explanation, impact
from driftline.scoring.hours import hours_of
from driftline.scoring.kinds import KINDS, kinds
from driftline.scoring.score import to_probability, to_score
from driftline.scoring.sentence import sentence
from driftline.scoring.settings import MIN_RECORD_SCORE, TOGETHER_WINDOWS, WEEKLY_FROM
from driftline.scoring.statistics import clock_moves
from driftline.scoring.telling import LINEAGE
from driftline.scoring.together import add
from driftline.scoring.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.series import SeriesFrame, SeriesKey

PLOTTED = {"actual": 10, "model_lower": 6, "model_median": 6, "model_upper": 6}  # significant digits


@dataclass
class Segment:
    """N series in the T buckets of a segment and its look-back.

    Attributes:
        frame: The series.
        values: (N, T), empty buckets filled where the function says so.
        bounds: Lower, typical and upper, (N, T) each, in the series' units.
        found: The evidence.
        kind: (N, T) codes into KINDS.
        scores: (N, T).
        learning: (N,) series of which too little is known yet.
        skip: Buckets of look-back.
    """

    frame: SeriesFrame
    values: NDArray[np.float64]
    bounds: list[NDArray[np.float64]]
    found: Detected
    kind: NDArray[np.int8]
    scores: NDArray[np.float64]
    learning: NDArray[np.bool_]
    skip: int


def look_back(job: Job) -> timedelta:
    """What must be read before the first bucket that is scored."""
    return Windows.of(job.bucket_span).evidence * job.bucket_span


def score_segment(job: Job, frame: SeriesFrame, trained: Trained, segment: dict[str, Any], *, new: bool = False) -> Segment:
    """Scores the buckets of a segment, with the residuals of its look-back taken from the same models.

    Args:
        job: The job.
        frame: The series of `trained`, in its order, from at least `look_back` before the segment.
        trained: The models.
        segment: The plan's entry.
        new: Whether the series are newer than the snapshot.
    """
    window = Window.parse(segment["start"], segment["end"])
    part = frame.slice(Window(max(frame.start, window.start - look_back(job)), window.end))
    values = filled(job, part, trained)
    fleet, usual, windows = trained.fleet, Calibration.from_numbers(trained.usual), Windows.of(job.bucket_span)
    if window.start < parse_time(segment["training_end"]):
        usual.peaks = np.full_like(usual.peaks, np.nan)  # what was learned from would be a history of itself
    # newcomers were fitted on what came before the day
    fitted_until = floor_time(window.start, timedelta(days=1)) if new else parse_time(segment["training_end"])
    clocks = shifted(part.times, time_shifts(job, fitted_until, window.end))
    space, mean = fleet.to_space(values), fleet.mean(clocks)
    sides = [job.detectors[key.detector_index].spec.side for key in part.keys]
    learning = np.full(len(part.keys), True) if new else _learning(job, trained, segment)
    flags = np.broadcast_to(learning[:, None], values.shape)
    found = detect(
        values,
        space,
        mean,
        fleet.sqrt,
        usual,
        windows,
        sides=sides,
        learning=flags,
        sizes=part.sizes,
        spread=fleet.spread(clocks),
        moves=clock_moves(part.times, wall_clock(clocks, fleet.options), windows),
        hours=hours_of(fleet.clocks(clocks)),
    )
    bounds = [fleet.to_units(bound) for bound in found.bounds()]
    kind = kinds(found, space, usual, windows)
    skip = round((window.start - part.start) / job.bucket_span)
    return Segment(part, values, bounds, found, kind, to_score(found.surprise, job.bucket_span), learning, skip)


def _learning(job: Job, trained: Trained, segment: dict[str, Any]) -> NDArray[np.bool_]:
    """(N,) series whose week was not learned yet: a first weekend is news to the model, but not to anybody else."""
    end, start = parse_time(segment["training_end"]), parse_time(segment["training_start"])
    # in sample all weekends that are scored were learned from, however few these are
    most = end - start if parse_time(segment["start"]) < end else job.training.window
    needed = min(WEEKLY_FROM, most) if job.bucket_span < timedelta(days=1) else timedelta(0)
    return np.asarray(end.timestamp() - trained.first < needed.total_seconds(), dtype=bool)


def newcomers(
    job: Job, frame: SeriesFrame, known: Collection[SeriesKey], usual: NDArray[np.float64], segment: dict[str, Any]
) -> Trained | None:
    """Models of series that the snapshot has not seen, fitted on the look-back alone; None if there is none.

    Args:
        job: The job.
        frame: The series of the batch.
        known: Series that the snapshot has, with a model or a reason why not.
        usual: (M, K) what is usual for the others, which bounds what is for these.
        segment: The plan's entry, with its `day`: what these were fitted on ends with the day before.
    """
    start = parse_time(segment["day"])
    part = frame.slice(Window(max(frame.start, start - look_back(job)), start))
    before = learned(job, part, parse_time(segment["end"]))
    seen = there(job, before).sum(axis=1)
    rows = [row for row, key in enumerate(frame.keys) if key not in known and seen[row] >= job.training.min_buckets]
    if not rows:
        return None
    part = before.take(rows)
    first = (~np.isnan(part.values)).argmax(axis=1)
    zero = zero_is_empty(job, part.keys)
    exists = np.arange(part.values.shape[1])[None] >= first[:, None]
    # what was left out has no zeros either
    values = learned(job, replace(part, values=np.where(np.isnan(part.values) & zero & exists, 0.0, part.values))).values
    sqrt, sums = roots_and_sums(job, part.keys)
    fleet = fit_series(part.times, values, part.span, sqrt=sqrt, **fit_options(job, part.keys, part.window))
    space, mean = fleet.to_space(values), fleet.mean(part.times)
    spread, windows = fleet.spread(part.times), Windows.of(job.bucket_span)
    moves = clock_moves(part.times, wall_clock(part.times, fleet.options), windows)
    hours = hours_of(fleet.clocks(part.times))
    own = calibrate(
        values, space, mean, sqrt, windows, sizes=part.sizes, sums=sums, spread=spread, moves=moves, hours=hours
    ).usual
    since = part.start.timestamp() + first * part.span.total_seconds()
    made = Trained(part.keys, since, pooled(own.numbers(), usual), fleet)
    return made.select(made.fitted) if made.fitted else None


def filled(job: Job, frame: SeriesFrame, trained: Trained) -> NDArray[np.float64]:
    """Values with empty buckets as zeros where the function says so, from the series' first appearance on."""
    seconds = frame.start.timestamp() + np.arange(frame.values.shape[1]) * frame.span.total_seconds()
    exists = seconds[None] >= trained.first[:, None]
    values = np.where(np.isnan(frame.values) & zero_is_empty(job, frame.keys), 0.0, frame.values)
    if job.model_prune_window and job.model_prune_window <= look_back(job):  # of a longer silence not all is seen
        forgotten = silence(job, frame) > job.model_prune_window / job.bucket_span
        forgotten[[not key.values for key in frame.keys]] = False
        values = np.where(forgotten, np.nan, values)
    return judged(job, replace(frame, values=np.where(exists, values, np.nan))).values


def records(job: Job, scored: Segment, segment: dict[str, Any], partitions: Collection[str]) -> list[tuple[str, dict[str, Any]]]:
    """Pairs of id and record, of the partitions named or all."""
    maker = Maker(job, "record", {name: segment[name] for name in LINEAGE})
    rows, columns = np.nonzero(scored.scores[:, scored.skip :] >= MIN_RECORD_SCORE)
    start = milliseconds(scored.frame.start)
    out = []
    for row, column in zip(rows.tolist(), (columns + scored.skip).tolist(), strict=True):
        key = scored.frame.keys[row]
        if partitions and not {key.partition_value, key.by_value} & set(partitions):
            continue
        time = start + column * job.span_seconds * 1000
        record = _record(job, scored, row, column, maker.document(time, key))
        if not reasons(job, key, time / 1000, record["actual"][0], record["typical"][0]):
            out.append((maker.id(time, key), record))
    return out


def _record(job: Job, scored: Segment, row: int, column: int, document: dict[str, Any]) -> dict[str, Any]:
    """A record with its explanation, whose weekday and clock are those of the job's zone."""
    lower, typical, upper = (float(bound[row, column]) for bound in scored.bounds)
    actual, kind, score = float(scored.values[row, column]), int(scored.kind[row, column]), float(scored.scores[row, column])
    moment = datetime.fromtimestamp(document["timestamp"] / 1000, UTC)
    counts = job.detectors[scored.frame.keys[row].detector_index].spec.empty_is_zero
    document["driftline"] |= {
        "kind": KINDS[kind],
        "sentence": sentence(actual, number(typical), time=moment, kind=KINDS[kind], zone=job.zone, counts=counts),
        "evidence": evidence(scored.found, row, column),
    }
    if scored.learning[row]:
        document["driftline"]["learning"] = True
    if reason := REASONS[int(scored.found.damped[row, column])]:
        document["driftline"]["damped"] = reason
    if reason == RECURRING:
        times, alone = int(scored.found.times[row, column]), float(scored.found.alone[row, column])
        document["driftline"]["recurring"] = {"times": times, "surprise": number(alone, 4)}
        document["driftline"]["sentence"] += f"; it was as unusual {times} times in the weeks that were learned from"
    return document | {
        "probability": to_probability(float(scored.found.surprise[row, column])),
        "record_score": score,
        "initial_record_score": score,
        "multi_bucket_impact": impact(scored.found, row, column),
        "actual": [number(actual, 10)],
        "typical": [number(typical)],
        "anomaly_score_explanation": explanation(scored.found, row, column, kind, (lower, typical, upper)),
    }


def together(job: Job, scored: Segment) -> dict[str, Any]:
    """What the series of each detector did together: sums that can be added over batches, with the look-back that they need."""
    first = max(0, scored.skip - max(TOGETHER_WINDOWS) + 1)
    of = np.array([key.detector_index for key in scored.frame.keys], dtype=np.int64)
    begin, span = milliseconds(scored.frame.start), job.span_seconds * 1000
    out: dict[str, Any] = {"first": begin + first * span, "start": begin + scored.skip * span}
    seconds = out["first"] / 1000 + np.arange(scored.values.shape[1] - first)[None] * job.span_seconds
    # what there are no results of has no part in what all did either, even if it is learned from
    hidden = scheduled(
        job, scored.frame.keys, seconds, where=lambda chosen: chosen[:, None], wanted=lambda event: event.skip_result
    )
    known = ~np.isnan(scored.values[:, first:]) & (True if hidden is None else ~hidden)
    z = np.where(known, scored.found.z[:, first:], np.nan)
    for detector in np.unique(of).tolist():
        rows = np.flatnonzero(of == detector)
        sums, counts = add(z[rows])
        parts = [
            sums,
            counts,
            *(np.where(known[rows], part[rows, first:], 0.0).sum(axis=0) for part in (scored.values, scored.bounds[1])),
        ]
        out[str(detector)] = [pack(np.asarray(part, dtype=np.float64)) for part in parts]
    return out


def plots(job: Job, scored: Segment, segment: dict[str, Any], rows: list[int]) -> dict[str, Any]:
    """The bounds of every bucket of the segment for some series, as columns: half a million documents become large."""
    start, width = milliseconds(scored.frame.start), scored.values.shape[1]
    parts = zip(PLOTTED, (scored.values, *scored.bounds), strict=True)
    return {
        "keys": [list(scored.frame.keys[row]) for row in rows],
        "times": [start + column * job.span_seconds * 1000 for column in range(scored.skip, width)],
        "lineage": {name: segment[name] for name in LINEAGE},
        **{name: pack(part[rows, scored.skip :]) for name, part in parts},
    }
