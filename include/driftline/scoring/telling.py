"""Telling: records of what was compared, members of populations and what is rare, under Elastic's names and in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.metric import describe
from driftline.core.results import Maker, number, readable
from driftline.scoring.explanation import MEANS
from driftline.scoring.score import to_probability, to_score
from driftline.scoring.sentence import compare, weekday_and_time

if TYPE_CHECKING:
    from driftline.core.detector import Detector
    from driftline.core.job import Job
    from driftline.core.series import SeriesKey

LINEAGE = ("snapshot_id", "training_start", "training_end", "in_sample")


@dataclass
class Found:
    """Something that is surprising.

    Attributes:
        key: What it is about.
        bucket: When, a number of bucket spans since the epoch.
        surprise: −log10 of the probability.
        actual: Of a member of a population, what it has.
        typical: What the others have.
        members: How many they are.
        level: Of what is rare, how often it was seen besides.
        here: Of a place, latitude and longitude.
        usual: The nearest place that is known.
        km: How far that is.
        most: Of a member with rare values, the one that it has most.
        other: Of a metric given another, that one.
        point: … and the surprise of the bucket alone.
        long: … and that of the last hours.
    """

    key: SeriesKey
    bucket: int
    surprise: float
    actual: float = 1.0
    typical: float = 0.0
    members: int = 0
    level: float = 0.0
    here: tuple[float, float] | None = None
    usual: tuple[float, float] | None = None
    km: float = 0.0
    most: str | None = None
    other: float = 0.0
    point: float = 0.0
    long: float = 0.0


def record(job: Job, found: Found, segment: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Its id and the document."""
    maker = Maker(job, "record", {name: segment[name] for name in LINEAGE})
    time = found.bucket * job.span_seconds * 1000
    document, detector = maker.document(time, found.key), job.detectors[found.key.detector_index]
    probability = to_probability(found.surprise)
    actual, typical, kind = _values(found, detector, probability)
    score = float(to_score(found.surprise, job.bucket_span))
    document["driftline"] |= {
        "kind": kind,
        "sentence": _sentence(job, found, detector, time),
        "evidence": _evidence(found, detector),
    }
    document |= {
        "probability": probability,
        "record_score": score,
        "initial_record_score": score,
        "multi_bucket_impact": 0.0,
        "actual": actual,
        "typical": typical,
    }
    if found.here:
        document["geo_results"] = {"actual_point": _point(found.here), "typical_point": _point(found.usual or found.here)}
    if detector.over_field_name:
        about = {name: document[name] for name in _CAUSE if name in document}
        if found.most is not None:
            about |= {"by_field_name": detector.by_field_name, "by_field_value": found.most}
        document["causes"] = [{**about, "probability": probability, "actual": actual, "typical": typical}]
    return maker.id(time, found.key), document


_CAUSE = (
    "function", "function_description", "field_name", "partition_field_name", "partition_field_value", "by_field_name",
    "by_field_value", "over_field_name", "over_field_value",
)  # fmt: skip


def _values(found: Found, detector: Detector, probability: float) -> tuple[list[float], list[float], str]:
    if found.here:
        usual = found.usual or found.here
        return [number(part, 10) for part in found.here], [number(part, 10) for part in usual], "place"
    if detector.kind in ("population", "given"):
        kind = "spike" if found.actual > found.typical else "drop"
        return [number(found.actual, 10)], [number(found.typical)], kind
    return [1.0], [number(min(probability, 1.0))], "rare" if detector.kind == "rare" else "time"


def _evidence(found: Found, detector: Detector) -> dict[str, float]:
    if found.here:
        return {"kilometres": number(found.km)}
    if detector.other:
        looks = {"point": number(found.point), "long": number(found.long)}
        return {"other": number(found.other, 10), **looks} | ({"part": _part(found)} if detector.per else {})
    return {"members": found.members} if detector.kind == "population" else {"seen": number(found.level)}


def _part(found: Found) -> float:
    """Of a share what it is a share of the other metric."""
    return number(found.actual * found.other, 10)


def given_sentence(detector: Detector, found: Found) -> str:
    """In words: `mean(cpu) 0.83 where 0.31 is usual at 12 documents`, `5.3 % instead of 0.404 % (21 of 396)`."""
    if detector.given:
        unit = "documents" if detector.given.spec.metric == "count" and not detector.given.query else detector.given.description
        at = f"{readable(found.other)} {unit}" if unit == "documents" else f"{unit} {readable(found.other)}"
        name = describe(detector.spec.described, detector.field_name, detector.query)
        return f"{name} {readable(found.actual)} where {readable(found.typical)} is usual at {at}"
    of = f"({readable(_part(found))} of {readable(found.other)})"
    if detector.spec.metric == "count" and found.actual <= 1:
        return f"{readable(100 * found.actual)} % instead of {readable(100 * found.typical)} % {of}"
    return f"{readable(found.actual)} for each instead of {readable(found.typical)} {of}"


def explained(job: Job, found: Found | None) -> dict[str, Any]:
    """All that is to be said of a metric given another, surprising or not; without anything found that there is nothing.

    Returns:
        `actual`, `other` (that metric), `expected` (`typical`), `evidence`, `surprise`, `score`, `damped`, `sentence`; None where
        there is none.
    """
    if found is None:
        nothing = dict.fromkeys(("actual", "other", "expected", "surprise", "score", "damped"))
        return {**nothing, "evidence": {}, "sentence": ""}
    detector, known = job.detectors[found.key.detector_index], not np.isnan(found.typical)
    up = found.actual > found.typical
    return {
        "actual": number(found.actual),
        "other": number(found.other),
        "expected": {"typical": number(found.typical)} if known else None,
        "evidence": {
            name: {"surprise": number(getattr(found, name)), "means": MEANS[name]} for name in ("point", "long") if known
        },
        "surprise": number(found.surprise) if known else None,
        "score": float(to_score(found.surprise, job.bucket_span)) if known else None,
        "damped": "one_sided" if known and detector.spec.side == ("low" if up else "high") else None,
        "sentence": given_sentence(detector, found) if known else "",
    }


def _point(place: tuple[float, float]) -> str:
    return f"{place[0]:.4f},{place[1]:.4f}"


def _sentence(job: Job, found: Found, detector: Detector, time: int) -> str:
    """What was found, in words."""
    key = found.key
    if found.here:
        known = (
            f"{readable(found.km)} km from the nearest known place ({_point(found.usual)})"
            if found.usual
            else "no place is known"
        )
        return f"at {_point(found.here)}: {known}"
    if detector.other:
        return given_sentence(detector, found)
    if detector.spec.family == "freq_rare":
        others = f"rare values ({detector.by_field_name} '{found.most}' most) in {readable(found.actual)} documents, others"
        return f"'{key.over_value}' has {others} ({found.members:,} in this bucket) in {readable(found.typical)}"
    if detector.kind == "population":
        said = compare(found.actual, found.typical, counts=detector.spec.empty_is_zero)
        return f"{said}: '{key.over_value}' against {found.members:,} members"
    often = "never seen before" if found.level < 1 else f"seen {readable(found.level)} times besides"
    if detector.kind == "time":
        unit = "weeks" if detector.spec.name == "time_of_week" else "days"
        often = "never" if found.level < 1 else f"{readable(found.level)} {unit} besides"
        moment = datetime.fromtimestamp(time / 1000, UTC)
        who = key.over_value or key.by_value
        return (f"'{who}' " if who else "") + f"on {weekday_and_time(moment, job.zone)}: at about this time {often}"
    who = f" with {detector.over_field_name} '{key.over_value}'" if key.over_value is not None else ""
    return f"{detector.by_field_name} '{key.by_value}'{who}: {often}"
