"""Events: anomalous buckets that follow one another are one thing that happened, with a start, an end, a peak and a kind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from scipy.ndimage import maximum_filter1d

from driftline.core.results import Maker, number
from driftline.core.series import SeriesKey
from driftline.core.timespan import MILLISECOND
from driftline.scoring.kinds import KINDS, TOLD
from driftline.scoring.score import from_score, to_surprise
from driftline.scoring.sentence import duration, messages_of, sentence
from driftline.scoring.settings import (
    ALARM_AROUND,
    ALARM_REST,
    ALARM_SCORE,
    CHANGE_MOST,
    CHANGE_REST,
    CHANGES,
    EDGES,
    EVENT_GAP,
    EVENT_LONGEST,
    EVENT_QUIET,
    FEEDBACK_MOST,
    MIN_RECORD_SCORE,
    SEVERITIES,
    STILL,
    SURPRISE_MOST,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints: TypeAlias = NDArray[np.int64]
    Floats: TypeAlias = NDArray[np.float64]
    Flags: TypeAlias = NDArray[np.bool_]

    from driftline.core.job import Job
    from driftline.scoring.windows import Windows

ALARMING = sorted(least for least, _ in SEVERITIES if least)
LINEAGE = ("snapshot_id", "in_sample", "quality")
REMARKED = "feedback"
"""What a record is damped by of which something like it was said to be nothing."""


class Marked(NamedTuple):
    """M anomalous buckets, by series and then by time.

    Attributes:
        series: (M,) number of the series.
        time: (M,) number of the bucket.
        score: (M,) 0–100.
        kind: (M,) codes into KINDS.
        deviation: (M,) actual − typical.
    """

    series: Ints
    time: Ints
    score: Floats
    kind: Ints
    deviation: Floats


@dataclass
class Events:
    """E events, by series and then by start. All arrays are (E,); times are numbers of buckets.

    Attributes:
        series: Number of the series.
        start: First anomalous bucket.
        end: The one after the last.
        peak: The first bucket with the highest score.
        score: That score; of a change it is capped (`capped`).
        buckets: How many anomalous ones there are.
        deviation: Sum of actual − typical over these.
        kind: Code into KINDS: the kind with the highest sum of scores, so that what lasts outweighs what it began as.
    """

    series: Ints
    start: Ints
    end: Ints
    peak: Ints
    score: Floats
    buckets: Ints
    deviation: Floats
    kind: Ints


def rested(surprise: Floats, rest: int) -> Flags:
    """(N, T) True where a bucket exceeds everything in the `rest` buckets before it. No surprise at all (0, or NaN) never does.

    It looks back that far and no further, so scoring in pieces says the same.
    """
    known = np.nan_to_num(surprise, nan=0.0)
    return known > (_highest_before(known, rest) if rest else 0.0)


def alarms(score: Floats, windows: Windows) -> Flags:
    """(N, T) True where a bucket is news: it exceeds all in the half day before, and at about that time on the day before.

    Once one of these was worth an alarm, it is of a worse severity. So what goes on for longer than half a day is told again
    when it gets worse than it was in that.
    """
    width, about = score.shape[1], windows.around
    yesterday = np.pad(score, ((0, 0), (windows.day - about - 1, 0)))[:, :width]
    before = np.maximum(_highest_before(score, windows.alarm), _highest_before(yesterday, 2 * about + 1))
    worse = np.searchsorted(ALARMING, score, side="right") > np.searchsorted(ALARMING, before, side="right")
    return np.asarray((score > before) & (worse | (before < ALARMING[0])), dtype=bool)


def _highest_before(values: Floats, rest: int) -> Floats:
    """(N, T) the highest of the `rest` buckets before each, at least 0."""
    earlier = np.pad(values[:, :-1], ((0, 0), (1, 0)))
    # a filter of `rest` buckets that ends at the current one of `earlier`
    return np.asarray(maximum_filter1d(earlier, rest, axis=1, mode="constant", cval=0.0, origin=(rest - 1) // 2))


def capped(score: float, kind: str) -> float:
    """The score of an event: a change is reported, but is not a fault."""
    return min(score, CHANGE_MOST) if kind in CHANGES else score


def severity_rank(score: float) -> int:
    """0 for the mildest severity, one more for each that is worse."""
    return sum(score >= least for least, _ in SEVERITIES) - 1


def quiet(span: timedelta) -> int:
    """Quiet buckets that do not end an event."""
    return max(EVENT_GAP, round(EVENT_QUIET / span))


def longest(span: timedelta) -> int:
    """Buckets after which an event is closed."""
    return max(1, round(EVENT_LONGEST / span))


def look_back(span: timedelta) -> int:
    """Buckets before an interval whose records decide about the events in it.

    About where an event starts (`_starts`): three times the longest. About whether it alarms: others that were over for no longer
    than the rest of a change, and so began another longest before that.
    """
    return 4 * longest(span) + ceil(CHANGE_REST / span) + quiet(span) + 1


def look_ahead(span: timedelta) -> int:
    """Buckets after an interval whose records belong to events that start in it."""
    return longest(span) + quiet(span) + 1


def find_events(
    score: NDArray[np.float64],
    kind: NDArray[np.int8],
    deviation: NDArray[np.float64],
    *,
    most: int,
    gap: int = EVENT_GAP,
) -> Events:
    """The events of N series in T buckets.

    Args:
        score: (N, T) record scores; from MIN_RECORD_SCORE on a bucket is anomalous.
        kind: (N, T) codes into KINDS.
        deviation: (N, T) actual − typical.
        most: Buckets after which an event is closed, as of `longest`.
        gap: Quiet buckets that do not end an event.
    """
    rows, columns = np.nonzero(score >= MIN_RECORD_SCORE)
    at = (rows, columns)
    marked = Marked(rows, columns, score[at], kind[at].astype(np.int64), np.nan_to_num(deviation[at]))
    return gather(marked, most=most, gap=gap)


def gather(marked: Marked, *, most: int, gap: int = EVENT_GAP) -> Events:
    """The events of anomalous buckets; see `find_events`."""
    starts = _starts(marked, most, gap)
    first = np.maximum.accumulate(np.where(starts, np.arange(len(starts)), 0)) if len(starts) else np.zeros(0, dtype=np.int64)
    inside = marked.time - marked.time[first] < most
    series, time, kind = marked.series[inside], marked.time[inside], marked.kind[inside]
    score, deviation = marked.score[inside], marked.deviation[inside]
    begins = np.flatnonzero(starts[inside])
    if not len(begins):
        none, nothing = np.zeros(0, dtype=np.int64), np.zeros(0)
        return Events(none, none, none, none, nothing, none, nothing, none)
    number_of = np.cumsum(starts[inside]) - 1
    ends = np.append(begins[1:], len(time))
    highest = np.maximum.reduceat(score, begins)
    at_peak = np.flatnonzero(score == highest[number_of])
    _, firsts = np.unique(number_of[at_peak], return_index=True)
    weights = np.bincount(number_of * len(KINDS) + kind, weights=score, minlength=len(begins) * len(KINDS))
    kinds = weights.reshape(len(begins), len(KINDS)).argmax(axis=1)
    change = np.isin(kinds, [KINDS.index(name) for name in CHANGES])
    return Events(
        series[begins],
        time[begins],
        time[ends - 1] + 1,
        time[at_peak[firsts]],
        np.where(change, np.minimum(highest, CHANGE_MOST), highest),
        ends - begins,
        np.add.reduceat(deviation, begins),
        kinds,
    )


def _starts(marked: Marked, most: int, gap: int) -> Flags:
    """(M,) True where an event starts: after quiet, or where a chain of anomalies without end gets worse than it was.

    What goes on after its event was closed belongs to none, but must not hide a greater fault. So it starts another event with a
    bucket that exceeds everything in the last `most` buckets, unless there was such a bucket in these already. Each of
    that depends on `most` buckets before, and events reach as far: three times, and a gap.
    """
    new = np.ones(len(marked.time), dtype=np.bool_)
    new[1:] = (np.diff(marked.series) != 0) | (np.diff(marked.time) > gap + 1)
    begins = np.flatnonzero(new)
    ends = np.append(begins[1:], len(new))
    starts = new.copy()
    unending = np.flatnonzero(marked.time[ends - 1] - marked.time[begins] >= most) if len(begins) else begins
    for begin, end in zip(begins[unending], ends[unending], strict=True):
        time = marked.time[begin:end] - marked.time[begin]
        chain = np.zeros((1, int(time[-1]) + 1))
        chain[0, time] = marked.score[begin:end]
        worse = np.flatnonzero(rested(chain, most)[0, time] & (time >= most))
        again = np.diff(time[worse], prepend=-most) >= most
        starts[begin + worse[again]] = True
    return starts


def direction(record: dict[str, Any]) -> str:
    """Which way a record deviates: `up` or `down`; a kind without a way is its own."""
    kind: str = record["driftline"].get("kind") or ""
    if kind in ("flatline", "variance") or kind in TOLD:
        return kind
    return "up" if record["actual"][0] > record["typical"][0] else "down"


def kind_of(record: dict[str, Any]) -> str:
    """A record's kind; of one without, what its direction says."""
    kind: str = record["driftline"].get("kind") or ("spike" if direction(record) == "up" else "drop")
    return kind


def key_of(record: dict[str, Any]) -> SeriesKey:
    """The series of a record."""
    return SeriesKey(
        record["detector_index"],
        record.get("partition_field_value"),
        record.get("by_field_value"),
        record.get("over_field_value"),
    )


def speaks_for(before: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether an earlier record, or event, speaks for a later one of its series that is no worse.

    As `comes_back` has it; of changes, of which the later is no more surprising, longer. What is gone or stuck is another matter
    than what moved.
    """
    earlier, later = (each["driftline"].get("event", each["driftline"]).get("kind") for each in (before, document))
    since = document["timestamp"] - last_of(before)
    if later in STILL and earlier not in STILL:
        return bool(since <= 0)
    if {earlier, later} <= CHANGES and document["probability"] >= before["probability"]:
        return bool(since <= CHANGE_REST // MILLISECOND)
    return comes_back(before, document)


def comes_back(before: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether a later record, or event, is as soon after an earlier one as the same incident comes back.

    It is within half a day of its end, and at about the same time of the next day.
    """
    rest, about, day = (each // MILLISECOND for each in (ALARM_REST, ALARM_AROUND, timedelta(days=1)))
    now, last = document["timestamp"], last_of(before)
    return bool(now <= last + rest or before["timestamp"] - about <= now - day <= last + about)


def last_of(document: dict[str, Any]) -> int:
    """When the last bucket of a record, or of an event, begins (epoch milliseconds)."""
    end = document["driftline"].get("event", {}).get("end")
    return int(document["timestamp"] if end is None else end - document["bucket_span"] * 1000)


def is_compared(record: dict[str, Any]) -> bool:
    """Whether a record is of a detector that compares, rather than of a series with a model."""
    return record["driftline"].get("kind") in TOLD or "over_field_value" in record


def looked_at(record: dict[str, Any]) -> tuple[Any, ...]:
    """What was looked at when a record was made; of a detector that compares it is the partition, or the population."""
    key = key_of(record)
    if not is_compared(record):
        return key.values or key
    return key[:2] if record["function"] == "rare" else key[:3]


def probable_surprise(record: dict[str, Any]) -> float:
    """−log10 of a record's probability, whatever people say."""
    return to_surprise(record["probability"])


def surprises_of(records: list[dict[str, Any]]) -> NDArray[np.float64]:
    """(M,) −log10 of the probabilities of records; of what people judged, what that makes of it."""
    out = np.array([probable_surprise(record) for record in records], dtype=np.float64)
    for number_of, record in enumerate(records):
        if "feedback" in record["driftline"]:
            out[number_of] = min(out[number_of], FEEDBACK_MOST) if is_damped(record) else max(out[number_of], EDGES[1])
    return out


def is_damped(record: dict[str, Any]) -> bool:
    """Whether a record is like one that was said to be nothing."""
    return bool(record["driftline"].get("damped") == REMARKED)


def is_real(record: dict[str, Any]) -> bool:
    """Whether a record is like one that was said to be real."""
    return bool(record["driftline"].get("feedback", {}).get("verdict") == "real")


@dataclass
class SeriesEvent:
    """An event of one series, with the records that it derives from, by time."""

    id: str
    document: dict[str, Any]
    records: list[dict[str, Any]]


def series_events(job: Job, records: list[dict[str, Any]], *, zone: tzinfo = UTC) -> list[SeriesEvent]:
    """The events of a job's series, derived from their records; `look_back` buckets of records before decide about the first.

    Args:
        job: The job.
        records: Record documents, in any order.
        zone: Whose weekday and clock the sentences tell.

    Returns:
        Events by series and start. An event's id and timestamp are those of its start, so it keeps them while it grows.
    """
    span = job.span_seconds * 1000
    numbers: dict[SeriesKey, int] = {}
    series = np.array([numbers.setdefault(key_of(record), len(numbers)) for record in records], dtype=np.int64)
    time = np.array([record["timestamp"] // span for record in records], dtype=np.int64)
    order = np.lexsort((time, series))
    ordered = [records[n] for n in order.tolist()]
    marked = Marked(
        series[order],
        time[order],
        np.array([record["record_score"] for record in ordered], dtype=np.float64),
        np.array([KINDS.index(kind_of(record)) for record in ordered], dtype=np.int64),
        np.array([record["actual"][0] - record["typical"][0] for record in ordered], dtype=np.float64),
    )
    found = gather(marked, most=longest(job.bucket_span), gap=quiet(job.bucket_span))
    # the place of each event's first record, by series and time together
    width = int(time.max(initial=0)) + 2
    first = np.searchsorted(marked.series * width + marked.time, found.series * width + found.start)
    return [
        _series_event(job, ordered[place : place + count], found, row, zone)
        for row, (place, count) in enumerate(zip(first.tolist(), found.buckets.tolist(), strict=True))
    ]


def _said(job: Job, worst: dict[str, Any], lasted: timedelta, kind: str, zone: tzinfo) -> str:
    """An event in words; of what was compared with others those of its record."""
    ours = worst["driftline"]
    remark = f"; {ours['feedback']['said']}" if "feedback" in ours else ""
    if kind in TOLD or "over_field_value" in worst or job.detectors[worst["detector_index"]].other:
        return f"{ours['sentence'].removesuffix(remark)}, for {duration(lasted)}{remark}"
    time = datetime.fromtimestamp(worst["timestamp"] / 1000, UTC)
    counts = job.detectors[worst["detector_index"]].spec.empty_is_zero
    said = sentence(worst["actual"][0], worst["typical"][0], time=time, lasted=lasted, kind=kind, zone=zone, counts=counts)
    return said + messages_of(ours.get("template")) + remark


def _series_event(job: Job, records: list[dict[str, Any]], found: Events, row: int, zone: tzinfo) -> SeriesEvent:
    worst = max(records, key=lambda record: record["record_score"])  # the first of equals, as `peak` is
    score, kind = float(found.score[row]), KINDS[int(found.kind[row])]
    span, start, key = job.span_seconds * 1000, records[0]["timestamp"], key_of(worst)
    end = records[-1]["timestamp"] + span
    maker = Maker(job, "event", {name: records[0]["driftline"].get(name) for name in LINEAGE})
    document = maker.document(start, key)
    document["driftline"] |= {
        "event": {
            "start": start,
            "end": end,
            "peak": worst["timestamp"],
            "buckets": len(records),
            "total_deviation": number(float(found.deviation[row])),
            "kind": kind,
            "alarm": score >= ALARM_SCORE,
        },
        "sentence": _said(job, worst, timedelta(milliseconds=end - start), kind, zone),
    }
    if remarked := next((each for each in (worst, *filter(is_real, records)) if "feedback" in each["driftline"]), None):
        document["driftline"]["feedback"] = remarked["driftline"]["feedback"]
    if recurring := worst["driftline"].get("recurring"):
        most = float(from_score(CHANGE_MOST, job.bucket_span)) if kind in CHANGES else SURPRISE_MOST
        document["driftline"]["recurring"] = {**recurring, "surprise": min(recurring["surprise"], most)}
    if "template" in worst["driftline"]:
        document["driftline"]["template"] = worst["driftline"]["template"]
    document |= {"anomaly_score": score, "initial_anomaly_score": score, "probability": worst["probability"]}
    document |= {"actual": worst["actual"], "typical": worst["typical"]}
    return SeriesEvent(maker.id(start, key), document, records)
