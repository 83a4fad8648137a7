"""Result documents in Elastic ML's shape, and their ids: the same result has the same id, whoever computes it and how often."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from driftline.core.job import Detector, Job
    from driftline.core.series import SeriesKey


def result_id(job: Job, result_type: str, timestamp_ms: int, *, key: SeriesKey | None = None, extra: tuple[str, ...] = ()) -> str:
    """The `_id` of a result: a hash of what it is about, never of when or by which run it was made."""
    parts: list[str] = [job.job_id, job.version, result_type, str(timestamp_ms), str(job.span_seconds)]
    if key is not None:
        # a missing split and an empty value are different things, and values may contain any character
        parts += [str(key.detector_index), *("-" if value is None else f"={value}" for value in key[1:])]
    digest = hashlib.blake2b(digest_size=20)
    for part in (*parts, *extra):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.hexdigest()


def milliseconds(moment: datetime) -> int:
    """Epoch milliseconds, as Elastic stamps its results."""
    return round(moment.timestamp() * 1000)


def series_fields(detector: Detector, key: SeriesKey) -> dict[str, Any]:
    """The detector's function and field and the series' split values, under Elastic's names."""
    fields: dict[str, Any] = {
        "detector_index": key.detector_index,
        "function": detector.function,
        "function_description": detector.spec.metric,
    }
    if detector.field_name:
        fields["field_name"] = detector.field_name
    for kind, value in (("partition", key.partition_value), ("by", key.by_value)):
        if value is not None:
            fields[f"{kind}_field_name"] = getattr(detector, f"{kind}_field_name")
            fields[f"{kind}_field_value"] = value
    return fields


def result(job: Job, result_type: str, timestamp_ms: int, lineage: dict[str, Any]) -> dict[str, Any]:
    """What every result document has."""
    return {
        "job_id": job.job_id,
        "result_type": result_type,
        "timestamp": timestamp_ms,
        "bucket_span": job.span_seconds,
        "is_interim": False,
        "driftline": {"job_version": job.version, **lineage},
    }


def number(value: float, digits: int = 6) -> float:
    """A finite float with so many significant digits: enough to read, and equal however it was computed."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else 0.0


def compare(actual: float, typical: float) -> str:
    """The deviation in words: `17 times lower than expected (2 instead of 34)`."""
    pair = f"({readable(actual)} instead of {readable(typical)})"
    direction = "higher" if actual > typical else "lower"
    if typical > 0 and actual > 0:
        ratio = max(actual / typical, typical / actual)
        if ratio >= 1.5:
            return (
                f"{ratio:.0f} times {direction} than expected {pair}"
                if ratio >= 3
                else f"{ratio:.1f} times {direction} than expected {pair}"
            )
        return f"{direction} than expected {pair}"
    return f"nothing at all, {readable(typical)} expected" if actual == 0 < typical else f"{direction} than expected {pair}"


def readable(value: float) -> str:
    """A number for people: `1,460`, `86`, `0.034`."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
