"""Feedback weighed: records that are like one of which it was said that it was nothing, or real, are scored by it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.feedback import about
from driftline.scoring.events import REMARKED, direction, probable_surprise
from driftline.scoring.kinds import TOLD
from driftline.scoring.places import FAR, distance
from driftline.scoring.score import to_score
from driftline.scoring.settings import ALARM_SCORE, FEEDBACK_LIKE, FEEDBACK_MOST, SPAN_BASE

if TYPE_CHECKING:
    from datetime import tzinfo

    from driftline.core.feedback import Verdict
    from driftline.core.job import Job

DAY, WEEK = 86_400, 7 * 86_400
# As far as time_of_day and time_of_week look to either side, in seconds.
NEAR_TIME = {"time_of_day": (DAY, 1800), "time_of_week": (WEEK, 3600)}


def deviation(record: dict[str, Any]) -> float | None:
    """Actual − typical of a record; None of what has no single value, such as what is rare."""
    if record["driftline"].get("kind") in TOLD:
        return None
    return float(record["actual"][0] - record["typical"][0])


def weigh(job: Job, records: list[dict[str, Any]]) -> None:
    """Damps or raises `record_score` of records, in place, by what people said of earlier ones that they are like.

    `initial_record_score` and `probability` stay what the model says. Of several that it is like, the latest counts.
    """
    said: dict[tuple[Any, ...], list[Verdict]] = {}
    for each in sorted(job.known.feedback, key=lambda one: (one.timestamp, one.created, one.id), reverse=True):
        said.setdefault(each.about, []).append(each)
    if not said:
        return
    for record in records:
        found = (each for each in said.get(about(record), ()) if is_like(record, each, job.zone))
        if verdict := next(found, None):
            _apply(record, verdict)


def is_like(record: dict[str, Any], verdict: Verdict, zone: tzinfo = UTC) -> bool:
    """Whether a later record of the same series is like the one of which something was said.

    What is clearly worse than what was nothing, by its deviation or by its surprise, is not like it. What was real comes again
    where it is nearly as bad, by either: a burst that comes again is less of a surprise.

    Args:
        record: The record.
        verdict: What was said, of the same series.
        zone: Whose clock tells times of the day.
    """
    if not verdict.concerns(record["timestamp"]) or direction(record) != verdict.way:
        return False
    if verdict.way == "place" and not _near_place(record, verdict):
        return False
    if verdict.way == "time" and not _near_time(record, verdict, zone):
        return False
    pairs = [(probable_surprise(record), verdict.surprise)]
    if verdict.deviation is not None:
        pairs.append((abs(deviation(record) or 0.0), abs(verdict.deviation)))
    if verdict.word == "nothing":
        return all(now <= then * FEEDBACK_LIKE for now, then in pairs)
    return any(now * FEEDBACK_LIKE >= then for now, then in pairs)


def _near_place(record: dict[str, Any], verdict: Verdict) -> bool:
    here, there = (np.asarray(each, dtype=np.float64) for each in (record["actual"], verdict.actual))
    return bool(distance(here[0], here[1], there[0], there[1]) <= FAR)


def _near_time(record: dict[str, Any], verdict: Verdict, zone: tzinfo) -> bool:
    period, near = NEAR_TIME.get(record["function"], (DAY, 1800))
    apart = abs(_clock(record["timestamp"], zone) - _clock(verdict.timestamp, zone)) % period
    return bool(min(apart, period - apart) <= max(near, record["bucket_span"]))


def _clock(timestamp: int, zone: tzinfo) -> int:
    """Seconds of the local week."""
    local = datetime.fromtimestamp(timestamp / 1000, UTC).astimezone(zone)
    return local.weekday() * DAY + local.hour * 3600 + local.minute * 60 + local.second


def _apply(record: dict[str, Any], verdict: Verdict) -> None:
    before, ours = record["record_score"], record["driftline"]
    if verdict.word == "nothing":
        if before <= (most := float(to_score(FEEDBACK_MOST, SPAN_BASE))):
            return
        record["record_score"], ours["damped"], effect = most, REMARKED, "damped: "
    else:
        record["record_score"] = max(before, ALARM_SCORE)
        effect = "raised: " if before < ALARM_SCORE else ""
    text = f"{effect}{verdict}"
    ours["feedback"] = {
        "id": verdict.id, "verdict": verdict.word, "record": verdict.record, "before": before, "said": text,
    }  # fmt: skip
    ours["sentence"] = f"{ours['sentence']}; {text}"
