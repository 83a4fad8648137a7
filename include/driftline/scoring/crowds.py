"""Many series at once: one event of the job, with what its members have in common, in place of hundreds of alarms."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from driftline.core.results import Maker, number, readable
from driftline.scoring.discovery import Looks, discoveries, job_surprise, looks_at
from driftline.scoring.events import (
    LINEAGE,
    Marked,
    capped,
    comes_back,
    direction,
    gather,
    is_compared,
    is_damped,
    key_of,
    kind_of,
    longest,
    quiet,
    severity_rank,
    surprises_of,
)
from driftline.scoring.kinds import KINDS
from driftline.scoring.renormalisation import first_score
from driftline.scoring.score import to_job_score
from driftline.scoring.sentence import compare, duration, weekday_and_time
from driftline.scoring.settings import (
    ALARM_SCORE,
    COMMON_SHARE,
    CROWD_ROOT,
    CROWD_SERIES,
    CROWD_SURPRISE,
    MEMBERS_NAMED,
    ONSET_BUCKETS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from driftline.core.job import Job
    from driftline.core.series import SeriesKey
    from driftline.scoring.together import Shared

WORDS = {"up": "higher than expected", "down": "lower than expected", "flatline": "stuck", "variance": "unusually varied"}


class Lane(NamedTuple):
    """Series that may be a crowd: those of one detector that deviate the same way."""

    detector: int
    way: str


@dataclass
class Crowd:
    """One lane's part of a job event.

    Attributes:
        lane: Which.
        start: Epoch milliseconds.
        end: Exclusive.
        peak: When it was worst.
        score: 0–100 at its peak.
        buckets: How many buckets were anomalous.
        records: What stands out in the lane meanwhile.
        shared: What all series did together at the worst of these buckets, if that says anything.
    """

    lane: Lane
    start: int
    end: int
    peak: int
    score: float
    buckets: int
    records: list[dict[str, Any]]
    shared: Shared | None = None


@dataclass
class JobEvent:
    """An event of the job, with the series (and which way they deviate) that it speaks for."""

    id: str
    document: dict[str, Any]
    crowds: list[Crowd]
    members: set[tuple[SeriesKey, str]]


def job_events(
    job: Job,
    records: list[dict[str, Any]],
    series: int | Looks,
    shared: Mapping[tuple[int, int], Shared],
    *,
    zone: tzinfo = UTC,
) -> list[JobEvent]:
    """Where many series of a detector deviate the same way at once, or all of them together.

    Of the records that stand at the false discovery rate of their bucket, those of series that began to deviate together are a
    crowd (`_abreast`) if chance does not do it (`job_surprise`), and buckets with crowds that follow one another an event. Crowds
    of several detectors are one event if they are about the same split values, or about all series the same way. Nothing else is
    merged. What comes back (`events.comes_back`), about the same and no worse, does not alarm again; it names the event before.

    Args:
        job: The job.
        records: Its record documents, with those of the look-back.
        series: Series that were looked at in each bucket, or how many in that of a timestamp.
        shared: What all series of a detector did together, by timestamp and detector.
        zone: Whose weekday and clock the sentences tell.

    Returns:
        Events by start; id and timestamp are those of the start, and the lane that was first.
    """
    standing = _standing([record for record in records if not (is_compared(record) or is_damped(record))], series)
    groups: list[list[Crowd]] = []
    slack = quiet(job.bucket_span) * job.span_seconds * 1000
    for crowd in _crowds(job, standing, series, shared):
        group = next((group for group in groups if any(_linked(crowd, other, slack) for other in group)), None)
        if group is None:
            groups.append([crowd])
        else:
            group.append(crowd)
    made = (_job_event(job, group, zone) for group in groups)
    # one series that the louder ones have left behind speaks for itself
    events = [event for event in made if len(dict(event.members)) > 1 or any(crowd.shared for crowd in event.crowds)]
    for number_of, event in enumerate(events):
        said = event.document["driftline"]["event"]
        before = (other for other in events[:number_of] if comes_back(other.document, event.document))
        if other := next((other for other in before if _again(event, other)), None):
            said |= {"alarm": False, "member_of": other.id}
    return events


def _standing(records: list[dict[str, Any]], series: int | Looks) -> dict[Lane, dict[int, list[dict[str, Any]]]]:
    """The records that stand at the false discovery rate of their bucket, by lane and time."""
    by_time: dict[int, list[dict[str, Any]]] = {}
    for record in records:
        by_time.setdefault(record["timestamp"], []).append(record)
    lanes: dict[Lane, dict[int, list[dict[str, Any]]]] = {}
    for time, members in sorted(by_time.items()):
        stand = discoveries(surprises_of(members), looks_at(series, time))
        for record, stands in zip(members, stand.tolist(), strict=True):
            if stands:
                lane = Lane(record["detector_index"], direction(record))
                lanes.setdefault(lane, {}).setdefault(time, []).append(record)
    return lanes


def _crowds(
    job: Job,
    standing: dict[Lane, dict[int, list[dict[str, Any]]]],
    series: int | Looks,
    shared: Mapping[tuple[int, int], Shared],
) -> list[Crowd]:
    """The crowds of all lanes, by start."""
    span, gap = job.span_seconds * 1000, quiet(job.bucket_span)
    surprises: dict[tuple[Lane, int], float] = {}
    onsets = {lane: _onsets(of_lane, span, gap) for lane, of_lane in standing.items()}
    for lane, of_lane in standing.items():
        for time, members in _abreast(of_lane, onsets[lane], series, span, longest(job.bucket_span) * span):
            # one that is far louder than the others is its own matter, and does not speak for them
            loud = surprises_of(members)
            surprises[lane, time] = job_surprise(np.minimum(loud, np.sort(loud)[-CROWD_SERIES]), looks_at(series, time))
    for (time, detector), found in shared.items():
        place = (Lane(detector, "up" if found.deviation > 0 else "down"), time)
        surprises[place] = max(surprises.get(place, 0.0), found.surprise)
    marked = sorted((lane, time // span, value) for (lane, time), value in surprises.items() if value >= CROWD_SURPRISE)
    lanes = sorted({lane for lane, _, _ in marked})
    times = np.array([time for _, time, _ in marked], dtype=np.int64)
    none = np.zeros(len(marked))
    events = gather(
        Marked(
            np.array([lanes.index(lane) for lane, _, _ in marked], dtype=np.int64),
            times,
            np.array([float(to_job_score(value)) for _, _, value in marked]),
            none.astype(np.int64),
            none,
        ),
        most=longest(job.bucket_span),
        gap=gap,
    )
    columns = (events.series, events.start, events.end, events.peak, events.score, events.buckets)
    crowds = []
    for row, start, end, peak, score, buckets in zip(*map(_list, columns), strict=True):
        lane = lanes[row]
        of_lane, reach = standing.get(lane, {}), range(start - gap, end + gap)
        # who was under way before it began is another matter
        since, began = (start - ONSET_BUCKETS) * span, onsets.get(lane, {})
        near = (record for time in reach for record in of_lane.get(time * span, ()))
        members = [record for record in near if began[key_of(record), record["timestamp"]] > since]
        spoken = [shared[time * span, lane.detector] for time in range(start, end) if (time * span, lane.detector) in shared]
        worst = max(spoken, key=lambda part: part.surprise, default=None)
        crowd = Crowd(lane, start * span, end * span, peak * span, score, buckets, members)
        crowd.shared = worst if worst and worst.surprise >= CROWD_SURPRISE else None
        crowds.append(crowd)
    return sorted(crowds, key=lambda crowd: (crowd.start, crowd.lane))


def _onsets(of_lane: dict[int, list[dict[str, Any]]], span: int, gap: int) -> dict[tuple[SeriesKey, int], int]:
    """Since when each series of a lane deviates, by series and time; a pause of some buckets is none."""
    onsets: dict[tuple[SeriesKey, int], int] = {}
    last: dict[SeriesKey, int] = {}
    for time, members in sorted(of_lane.items()):
        for key in {key_of(record) for record in members}:
            before = last.get(key)
            goes_on = before is not None and time - before <= (gap + 1) * span
            onsets[key, time] = onsets[key, before] if goes_on and before is not None else time
            last[key] = time
    return onsets


def _abreast(
    of_lane: dict[int, list[dict[str, Any]]], onsets: dict[tuple[SeriesKey, int], int], series: int | Looks, span: int, most: int
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Times of a lane with crowds, and their members: series that began at about the same time, or since others did so lately.

    The first crowd within `most` before a time says since when; so what is a crowd depends on no more than that.
    """
    began = {time: [onsets[key_of(record), time] for record in members] for time, members in of_lane.items()}
    at_once: list[int] = []
    for time, members in sorted(of_lane.items()):
        pairs = zip(began[time], range(len(members)), strict=True)
        ordered = sorted((onset, number) for onset, number in pairs if onset > time - most)
        if not ordered:
            continue
        firsts = [bisect_left(ordered, (onset - ONSET_BUCKETS * span + 1,)) for onset, _ in ordered]
        last = max(range(len(ordered)), key=lambda place: place - firsts[place])
        abreast = [members[number] for _, number in ordered[firsts[last] : last + 1]]
        if _crowded(abreast, looks_at(series, time)):
            at_once.append(time)
        if since := next((first for first in at_once[bisect_left(at_once, time - most) :]), None):
            abreast = [members[number] for onset, number in ordered if onset > since - ONSET_BUCKETS * span]
            if _crowded(abreast, looks_at(series, time)):
                yield time, abreast
                continue
        if few := _to_the_bucket([(onset, members[number]) for onset, number in ordered]):
            yield time, few


def _to_the_bucket(members: list[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The most of these that began in one and the same bucket, if each would alarm: so few may be one matter, too."""
    groups: dict[int, list[dict[str, Any]]] = {}
    for onset, record in members:
        if first_score(record) >= ALARM_SCORE:
            groups.setdefault(onset, []).append(record)
    most = max(groups.values(), key=len, default=[])
    return most if len(most) >= CROWD_SERIES else []


def _crowded(members: list[dict[str, Any]], series: int) -> bool:
    """Whether series that began to deviate at once are one matter: a good part of all, or some that share a field value."""
    if len(members) >= max(CROWD_SERIES, CROWD_ROOT * series**0.5):
        return True
    return len(members) >= CROWD_SERIES and bool(_common(members, members))


def _list(column: Any) -> list[Any]:  # noqa: ANN401
    listed: list[Any] = column.tolist()
    return listed


def _linked(one: Crowd, other: Crowd, slack: int) -> bool:
    """Whether two lanes' crowds are at the same time and about the same."""
    apart = one.lane == other.lane or one.start >= other.end + slack or other.start >= one.end + slack
    return not apart and _alike(one, other)


def _again(event: JobEvent, other: JobEvent) -> bool:
    """Whether an event is an earlier one that came back, no worse."""
    worse = severity_rank(event.document["anomaly_score"]) > severity_rank(other.document["anomaly_score"])
    pairs = ((a, b) for a in event.crowds for b in other.crowds if a.lane == b.lane)
    return not worse and any(_alike(a, b) for a, b in pairs)


def _alike(one: Crowd, other: Crowd) -> bool:
    """Whether two crowds are about the same: most split values of the smaller, or all series the same way."""
    if one.shared and other.shared and one.lane.way == other.lane.way:
        return True
    a, b = ({key_of(record).values for record in crowd.records} - {()} for crowd in (one, other))
    return bool(a and b) and 2 * len(a & b) >= min(len(a), len(b))


def _job_event(job: Job, crowds: list[Crowd], zone: tzinfo) -> JobEvent:
    """The document of crowds that are one event."""
    records = [record for crowd in crowds for record in crowd.records]
    worst: dict[SeriesKey, dict[str, Any]] = {}
    for record in sorted(records, key=lambda record: (-record["record_score"], record["timestamp"])):
        worst.setdefault(key_of(record), record)
    top = max(crowds, key=lambda crowd: crowd.score)
    # one or two of a worse severity than all of them together, and than the next, are events of their own
    scores = [record["record_score"] for record in worst.values()]
    common = severity_rank(max([top.score, *scores[CROWD_SERIES - 1 : CROWD_SERIES]]))
    louder = {key for key, record in worst.items() if severity_rank(record["record_score"]) > common}
    worst = {key: record for key, record in worst.items() if key not in louder}
    kind = _kind(records, top)
    # an event that speaks for others is never less than they are
    score = capped(max([top.score, *(record["record_score"] for record in worst.values())]), kind)
    first, start, end = crowds[0], min(crowd.start for crowd in crowds), max(crowd.end for crowd in crowds)
    lineage = next(iter(worst.values()))["driftline"] if worst else {}
    maker = Maker(job, "event", {name: lineage.get(name) for name in LINEAGE}, extra=(str(first.lane.detector), first.lane.way))
    document = maker.document(first.start)
    named = list(worst.values())[:MEMBERS_NAMED]
    document["driftline"] |= {
        "event": {
            "start": start,
            "end": end,
            "peak": top.peak,
            "buckets": max(crowd.buckets for crowd in crowds),
            "total_deviation": number(sum(record["actual"][0] - record["typical"][0] for record in records)),
            "kind": kind,
            "alarm": score >= ALARM_SCORE,
            "detectors": sorted({crowd.lane.detector for crowd in crowds}),
            "series": len(worst),
            "members": [key_of(record).label() for record in named],
            "common": _common(list(worst.values()), named),
        },
        "sentence": _sentence(top, len({key[1:] for key in worst}), end - start, zone),
    }
    document |= {"anomaly_score": score, "initial_anomaly_score": score}
    members = {(key, crowd.lane.way) for crowd in crowds for record in crowd.records if (key := key_of(record)) not in louder}
    return JobEvent(maker.id(first.start), document, crowds, members)


def _kind(records: list[dict[str, Any]], top: Crowd) -> str:
    """The kind that weighs most among the members; of all series together what their direction says."""
    weights: Counter[str] = Counter()
    for record in records:
        weights[kind_of(record)] += record["record_score"]
    if _gone(top.shared):
        return "silence"
    if not weights or top.shared:
        return top.lane.way if top.lane.way in KINDS else "spike" if top.lane.way == "up" else "drop"
    return weights.most_common(1)[0][0]


def _gone(shared: Shared | None) -> bool:
    """Whether nothing came from anybody, where something was expected."""
    return shared is not None and shared.actual == 0 and (shared.typical or 0.0) >= 1.0


def _common(members: list[dict[str, Any]], named: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The field values that most members share.

    Split values are those of all members, influencers of the named ones: the others may not have been asked.
    """
    found = []
    for pool, values_of in ((members, _splits), (named, _influencers)):
        counts = Counter(pair for record in pool for pair in values_of(record))
        found += [
            {"field": name, "value": value, "share": round(count / len(pool), 3)}
            for (name, value), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            if len(pool) >= CROWD_SERIES and count >= COMMON_SHARE * len(pool)
        ]
    unique = {(entry["field"], entry["value"]): entry for entry in reversed(found)}
    return list(unique.values())[::-1]


def _splits(record: dict[str, Any]) -> set[tuple[str, str]]:
    names = ("partition", "by")
    return {(record[f"{n}_field_name"], record[f"{n}_field_value"]) for n in names if record.get(f"{n}_field_name")}


def _influencers(record: dict[str, Any]) -> set[tuple[str, str]]:
    parts = record.get("influencers", [])
    return {(part["influencer_field_name"], value) for part in parts for value in part["influencer_field_values"]}


def _sentence(top: Crowd, members: int, lasted: int, zone: tzinfo) -> str:
    when = f" for {weekday_and_time(datetime.fromtimestamp(top.peak / 1000, UTC), zone)}"
    what = WORDS[top.lane.way]
    lasting = duration(timedelta(milliseconds=lasted))
    if top.shared and _gone(top.shared):
        many = f"all {top.shared.series:,} series are" if top.shared.series > 1 else "the series is"
        return f"no data at all: {many} silent, {readable(top.shared.typical or 0.0)} expected{when}, for {lasting}"
    if top.shared:
        who = f"all {top.shared.series:,} series together"
        if top.shared.actual is not None and top.shared.typical:
            change = abs(top.shared.actual / top.shared.typical - 1)
            said = compare(top.shared.actual, top.shared.typical, when)
            what = f"{change:.0%} {said}" if 0.005 <= change < 0.5 and said.startswith(("higher", "lower")) else said
            return f"{who}: {what}, for {lasting}"
    else:
        who = f"{members:,} series at once"
    return f"{who} {what}{when}, for {lasting}"
