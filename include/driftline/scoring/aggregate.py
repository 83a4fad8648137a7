"""Bucket, influencer and event results, derived from records: what happened to the job as a whole, and who is to blame."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import WindowError
from driftline.core.results import result, result_id
from driftline.core.timespan import format_span
from driftline.scoring.crowds import JobEvent, job_events
from driftline.scoring.discovery import Looks, discoveries, job_surprise, looks_at
from driftline.scoring.events import (
    LINEAGE,
    SeriesEvent,
    direction,
    is_damped,
    is_real,
    key_of,
    looked_at,
    quiet,
    series_events,
    severity_rank,
    speaks_for,
    surprises_of,
)
from driftline.scoring.score import to_job_score, to_score, to_surprise
from driftline.scoring.settings import ALARM_SCORE, ALARM_SERIES, MIN_RECORD_SCORE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.scoring.together import Shared

Document = tuple[str, dict[str, Any]]


def bucket_results(
    job: Job, records: list[dict[str, Any]], series: int | Looks, shared: Mapping[tuple[int, int], Shared] | None = None
) -> list[Document]:
    """One document for each bucket in which something happened: its score allows for how many series were looked at.

    The surprise is that of the worst series or of too many surprising ones (`job_surprise`), or that of all series together; the
    larger of the two, at the price of two looks where there are two.

    Args:
        job: The job.
        records: Its record documents.
        series: Series that were looked at in each bucket, or how many in that of a timestamp.
        shared: What all series of a detector did together, by timestamp and detector.
    """
    together: dict[int, dict[int, Shared]] = {}
    for (time, detector), found in (shared or {}).items():
        together.setdefault(time, {})[detector] = found
    by_time = _by(records, "timestamp")
    lineage = _nearest(by_time)
    documents = []
    for time in sorted({*by_time, *together}):
        members, mean, looked = by_time.get(time, []), together.get(time, {}), looks_at(series, time)
        surprise = _bucket_surprise(members, looked, mean)
        score = float(to_job_score(surprise))
        if not members and score < MIN_RECORD_SCORE:
            continue
        document = result(job, "bucket", time, lineage(time))
        document["driftline"] |= {"series": looked, "discoveries": _standing(members, looked)}
        if mean:
            document["driftline"]["together"] = {str(n): asdict(found) for n, found in sorted(mean.items())}
        document |= {"anomaly_score": score, "initial_anomaly_score": score, "event_count": len(members)}
        document["bucket_influencers"] = _bucket_influencers(members, looked, score, surprise)
        documents.append((result_id(job, "bucket", time), document))
    return documents


def _standing(members: list[dict[str, Any]], series: int) -> int:
    surprises = surprises_of([record for record in members if not is_damped(record)])
    return int(discoveries(surprises, series).sum())


def _nearest(by_time: dict[int, list[dict[str, Any]]]) -> Any:  # noqa: ANN401
    """Where a bucket's lineage is from: its own records, else those of the last bucket before it that has any."""
    last: dict[str, Any] = {}

    def lineage(time: int) -> dict[str, Any]:
        if time in by_time:
            last.update({key: by_time[time][0]["driftline"].get(key) for key in LINEAGE})
        return last

    return lineage


def _bucket_surprise(members: list[dict[str, Any]], series: int, mean: dict[int, Shared]) -> float:
    single = job_surprise(_distinct(members), series)
    if not mean:
        return single
    # as many looks again as there are detectors
    all_together = max(found.surprise for found in mean.values()) - float(np.log10(len(mean)))
    return max(0.0, max(single, all_together) - float(np.log10(2.0)))


def _bucket_influencers(members: list[dict[str, Any]], series: int, score: float, surprise: float) -> list[dict[str, Any]]:
    """The time itself, and for each influencer field its most surprising value; Elastic's shape."""
    found = [("bucket_time", score, surprise)]
    best: dict[str, float] = {}
    for (field, _), sharing in _sharing(members).items():
        best[field] = max(best.get(field, 0.0), job_surprise(_distinct(sharing), series))
    found += [(field, float(to_job_score(value)), value) for field, value in sorted(best.items())]
    return [
        {
            "influencer_field_name": field,
            "anomaly_score": of_field,
            "initial_anomaly_score": of_field,
            "probability": 10.0**-value,
        }
        for field, of_field, value in found
    ]


def influencer_results(job: Job, records: list[dict[str, Any]], series: int | Looks) -> list[Document]:
    """One document for each bucket and influencer value: what the records that share the value say together.

    Never less than the worst of them. Several add up as those of a job do (`job_surprise`): by chance no more records share a
    value than there are in the bucket, so that all series were looked at is the safe assumption.
    """
    documents = []
    for time, members in sorted(_by(records, "timestamp").items()):
        for (field, value), sharing in sorted(_sharing(members).items()):
            worst = max(sharing, key=lambda record: record["record_score"])
            surprise = max(float(surprises_of([worst])[0]), job_surprise(_distinct(sharing), looks_at(series, time)))
            score = max(worst["record_score"], float(to_job_score(surprise)) if len(sharing) > 1 else 0.0)
            if score < MIN_RECORD_SCORE:
                continue
            document = result(job, "influencer", time, {key: worst["driftline"].get(key) for key in LINEAGE})
            document["driftline"]["records"] = len(sharing)
            if "recurring" in worst["driftline"] and score == worst["record_score"]:
                document["driftline"]["recurring"] = worst["driftline"]["recurring"]
            document |= {"influencer_field_name": field, "influencer_field_value": value, "probability": 10.0**-surprise,
                         "influencer_score": score, "initial_influencer_score": score}  # fmt: skip
            documents.append((result_id(job, "influencer", time, extra=(field, value)), document))
    return documents


def event_results(
    job: Job,
    records: list[dict[str, Any]],
    series: int | Looks,
    shared: Mapping[tuple[int, int], Shared] | None = None,
    *,
    zone: tzinfo = UTC,
) -> list[Document]:
    """The events of the job and of its series, with `driftline.event.alarm` on one document for each incident.

    A series' event that is part of a job event does not alarm, nor one that is at the same time as an earlier one about the same
    split values, nor one that comes back (`events.speaks_for`) and is no worse: it names the other in
    `driftline.event.member_of`.

    Args:
        job: The job.
        records: Record documents of the interval and of `events.look_back` buckets before it.
        series: Series that were looked at in each bucket, or how many in that of a timestamp.
        shared: What all series of a detector did together, by timestamp and detector; of the same buckets.
        zone: Whose weekday and clock the sentences tell.
    """
    singles = series_events(job, records, zone=zone)
    for event in singles:
        real, said = any(map(is_real, event.records)), event.document["driftline"]["event"]
        said["alarm"] &= real or stands_out(event.document["probability"], looks_at(series, said["peak"]), job.bucket_span)
    many = job_events(job, records, series, shared or {}, zone=zone)
    _settle(job, singles, many)
    all_events: list[JobEvent | SeriesEvent] = [*many, *singles]
    return [(event.id, event.document) for event in all_events]


def stands_out(probability: float, series: int, span: timedelta) -> bool:
    """Whether one series' event is worth an alarm among so many: 5 000 series see 25 times the false alarms of 200."""
    surprise = to_surprise(probability) - np.log10(max(series / ALARM_SERIES, 1.0))
    return bool(to_score(surprise, span) >= ALARM_SCORE)


def _settle(job: Job, singles: list[SeriesEvent], many: list[JobEvent]) -> None:
    """One incident, one alarm: marks the events of series that others speak for."""
    slack = (quiet(job.bucket_span) + 1) * job.span_seconds * 1000
    known: dict[tuple[Any, ...], list[SeriesEvent]] = {}
    for event in sorted(singles, key=lambda event: (event.document["timestamp"], event.document["detector_index"])):
        said, key = event.document["driftline"]["event"], key_of(event.document)
        ways = {direction(record) for record in event.records}
        above = [
            job_event.id
            for job_event in many
            if _near(said, job_event.document["driftline"]["event"], slack)
            and any((key, way) in job_event.members for way in ways)
        ]
        before = known.setdefault(key.values or key, [])
        above += [other.id for other in before if _same_incident(event.document, other.document, slack)]
        if said["alarm"]:
            before.append(event)  # whether it alarms or not: so an event depends on those before it, and not on what these did
        if any(map(is_real, event.records)):
            # it is told each time that it comes, if not by a job event that speaks for it
            loud = {each.id for each in many if each.document["driftline"]["event"]["alarm"]}
            above = [id_ for id_ in above if id_ in loud]
        if above:
            said |= {"alarm": False, "member_of": above[0]}


def _same_incident(document: dict[str, Any], before: dict[str, Any], slack: int) -> bool:
    """Whether an event about the same split values as an earlier one is the same incident."""
    said, other = document["driftline"]["event"], before["driftline"]["event"]
    if document["detector_index"] != before["detector_index"]:
        return _near(said, other, slack)
    worse = severity_rank(document["anomaly_score"]) > severity_rank(before["anomaly_score"])
    return not worse and speaks_for(before, document)


def _near(one: dict[str, Any], other: dict[str, Any], slack: int) -> bool:
    return bool(one["start"] < other["end"] + slack and other["start"] < one["end"] + slack)


def overall_buckets(
    documents: Iterable[dict[str, Any]],
    *,
    top_n: int = 1,
    bucket_span: timedelta | None = None,
    jobs: Iterable[str] = (),
) -> list[dict[str, Any]]:
    """How bad each moment was over several jobs, as Elastic's get-overall-buckets tells it.

    The overall score is the mean of the `top_n` highest of the jobs' maximum anomaly scores; a job without a bucket then counts
    as 0. Jobs that are named together were anomalous at the same time; nothing is said of causes.

    Args:
        documents: Bucket results of the jobs.
        top_n: How many jobs are averaged, at most all of them.
        bucket_span: Width of the overall buckets. Default: the longest of the jobs'.
        jobs: Ids of jobs that may have no bucket at all.

    Raises:
        WindowError: `top_n` or `bucket_span` cannot be.
    """
    found = list(documents)
    longest = timedelta(seconds=max((document["bucket_span"] for document in found), default=1))
    span = bucket_span or longest
    if top_n < 1:
        raise WindowError(f"top_n is {top_n}", expected="at least one job", fix="Leave it out for the worst job alone.")
    if span < longest:
        raise WindowError(
            f"overall buckets of {format_span(span)} are shorter than a job's",
            expected=f"at least {format_span(longest)}, the longest bucket span of these jobs",
            fix="Leave the bucket span out, or give a longer one.",
        )
    known = sorted({*jobs, *(document["job_id"] for document in found)})
    width = round(span.total_seconds() * 1000)
    highest: dict[int, dict[str, float]] = {}
    for document in found:
        of_jobs = highest.setdefault(document["timestamp"] // width * width, {})
        of_jobs[document["job_id"]] = max(of_jobs.get(document["job_id"], 0.0), document["anomaly_score"])
    count = min(top_n, len(known))
    return [
        {
            "result_type": "overall_bucket",
            "timestamp": time,
            "bucket_span": width // 1000,
            "overall_score": round(sum(sorted(of_jobs.values(), reverse=True)[:count]) / count, 4),
            "jobs": [{"job_id": job_id, "max_anomaly_score": of_jobs.get(job_id, 0.0)} for job_id in known],
            "is_interim": False,
        }
        for time, of_jobs in sorted(highest.items())
    ]


def _distinct(records: list[dict[str, Any]]) -> NDArray[np.float64]:
    """The highest surprise of each partition: what several detectors say of one is no independent news.

    What was said to be nothing adds up to nothing, however much of it there is.
    """
    best: dict[tuple[Any, ...], float] = {}
    counting = [record for record in records if not is_damped(record)]
    for record, surprise in zip(counting, surprises_of(counting).tolist(), strict=True):
        place = looked_at(record)
        best[place] = max(best.get(place, 0.0), surprise)
    return np.array(list(best.values()), dtype=np.float64)


def _sharing(records: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The records behind each influencer value."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        for influencer in record.get("influencers", []):
            for value in influencer["influencer_field_values"]:
                groups.setdefault((influencer["influencer_field_name"], value), []).append(record)
    return groups


def _by(records: list[dict[str, Any]], field: str) -> dict[int, list[dict[str, Any]]]:
    groups: dict[int, list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault(record[field], []).append(record)
    return groups
