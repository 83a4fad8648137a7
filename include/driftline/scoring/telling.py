"""Telling: records of what was compared, members of populations and what is rare, under Elastic's names and in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from driftline.core.results import Maker, number, readable
from driftline.scoring.score import to_score
from driftline.scoring.sentence import compare, weekday_and_time

if TYPE_CHECKING:
    from driftline.core.job import Detector, Job
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


def record(job: Job, found: Found, segment: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Its id and the document."""
    maker = Maker(job, "record", {name: segment[name] for name in LINEAGE})
    time = found.bucket * job.span_seconds * 1000
    document, detector = maker.document(time, found.key), job.detectors[found.key.detector_index]
    probability = float(f"{max(10.0**-found.surprise, 1e-300):.6g}")
    actual, typical, kind = _values(found, detector, probability)
    score = float(to_score(found.surprise))
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
    if detector.kind == "population":
        kind = "spike" if found.actual > found.typical else "drop"
        return [number(found.actual, 10)], [number(found.typical)], kind
    return [1.0], [number(min(probability, 1.0))], "rare" if detector.kind == "rare" else "time"


def _evidence(found: Found, detector: Detector) -> dict[str, float]:
    if found.here:
        return {"kilometres": number(found.km)}
    return {"members": found.members} if detector.kind == "population" else {"seen": number(found.level)}


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
    if detector.spec.family == "freq_rare":
        others = f"rare values ({detector.by_field_name} '{found.most}' most) in {readable(found.actual)} documents, others"
        return f"'{key.over_value}' has {others} ({found.members:,} in this bucket) in {readable(found.typical)}"
    if detector.kind == "population":
        return f"{compare(found.actual, found.typical)}: '{key.over_value}' against {found.members:,} members"
    often = "never seen before" if found.level < 1 else f"seen {readable(found.level)} times besides"
    if detector.kind == "time":
        unit = "weeks" if detector.spec.name == "time_of_week" else "days"
        often = "never" if found.level < 1 else f"{readable(found.level)} {unit} besides"
        moment = datetime.fromtimestamp(time / 1000, UTC)
        who = key.over_value or key.by_value
        return (f"'{who}' " if who else "") + f"on {weekday_and_time(moment, job.zone)}: at about this time {often}"
    who = f" with {detector.over_field_name} '{key.over_value}'" if key.over_value is not None else ""
    return f"{detector.by_field_name} '{key.by_value}'{who}: {often}"
