"""Result documents in Elastic ML's shape, and their ids: the same result has the same id, whoever computes it and how often."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from numpy.typing import NDArray

    from driftline.core.detector import Detector
    from driftline.core.job import Job
    from driftline.core.series import SeriesKey


class Owner(Protocol):
    """What results and models belong to: a job, or another definition that has some."""

    @property
    def job_id(self) -> str:
        """Its id."""

    @property
    def version(self) -> str:
        """Hash of what its results depend on."""

    @property
    def meaning(self) -> dict[str, Any]:
        """What they depend on."""


Document = tuple[str, int, bytes]
"""A result that is ready to be written: its `_id`, its timestamp in epoch milliseconds, and itself as JSON."""


def result_id(job: Job, result_type: str, timestamp_ms: int, *, key: SeriesKey | None = None, extra: tuple[str, ...] = ()) -> str:
    """The `_id` of a result: a hash of what it is about, never of when or by which run it was made."""
    return Maker(job, result_type, {}, extra=extra).id(timestamp_ms, key)


def digest(*texts: str) -> str:
    """A hash of texts, each in its place: an id for what they tell."""
    return hashlib.blake2b(_parts(*texts), digest_size=20).hexdigest()


class Maker:
    """Makes results of one job, type and lineage: what all of them share is made once."""

    def __init__(self, job: Job, result_type: str, lineage: dict[str, Any], *, extra: tuple[str, ...] = ()) -> None:
        """`extra` tells results apart that are of one series and bucket, such as those of two forecasts."""
        version = job.version
        self._job, self._lineage = job, {"job_version": version, **lineage}
        self._shared: dict[str, Any] = {
            "job_id": job.job_id,
            "result_type": result_type,
            "bucket_span": job.span_seconds,
            "is_interim": False,
            "driftline": self._lineage,
        }
        self._before = _parts(job.job_id, version, result_type)
        self._after, self._extra = _parts(str(job.span_seconds)), _parts(*extra)

    def id(self, timestamp_ms: int, key: SeriesKey | None = None) -> str:
        """The `_id` of the result of a bucket, or of a series in it."""
        return self._id(timestamp_ms, _key_parts(key) + self._extra)

    def _id(self, timestamp_ms: int, rest: bytes) -> str:
        content = self._before + _parts(str(timestamp_ms)) + self._after + rest
        return hashlib.blake2b(content, digest_size=20).hexdigest()

    def document(self, timestamp_ms: int, key: SeriesKey | None = None) -> dict[str, Any]:
        """What every result has; with a key, what tells the series."""
        document = {**self._shared, "timestamp": timestamp_ms, "driftline": {**self._lineage}}
        return document | series_fields(self._job.detectors[key.detector_index], key) if key else document

    def rows(self, key: SeriesKey, times: list[int], columns: dict[str, list[bytes]], **fields: Any) -> Iterator[Document]:  # noqa: ANN401
        """The results of one series at many times.

        Args:
            key: The series.
            times: Epoch milliseconds, T of them.
            columns: Field name → T numbers as `numbers` gives them.
            fields: What else every document has.
        """
        shared = self._shared | series_fields(self._job.detectors[key.detector_index], key) | fields
        # texts may hold percent signs: the shared part is no part of the pattern
        head, rest = orjson.dumps(shared)[:-1], _key_parts(key) + self._extra
        names = (orjson.dumps(name).replace(b"%", b"%%") for name in columns)
        pattern = b'%b,"timestamp":%d' + b"".join(b"," + name + b":%b" for name in names) + b"}"
        for time, *values in zip(times, *columns.values(), strict=True):
            yield self._id(time, rest), time, pattern % (head, time, *values)


def _parts(*texts: str) -> bytes:
    """Texts with their lengths, so that no two lists of texts become the same bytes."""
    raw = (text.encode("utf-8", "surrogatepass") for text in texts)
    return b"".join(len(part).to_bytes(4, "big") + part for part in raw)


def _key_parts(key: SeriesKey | None) -> bytes:
    if key is None:
        return b""
    # a missing split and an empty value are different things, and values may contain any character
    over = () if key.over_value is None else (f"={key.over_value}",)
    return _parts(str(key.detector_index), *("-" if value is None else f"={value}" for value in key[1:3]), *over)


def milliseconds(moment: datetime) -> int:
    """Epoch milliseconds, as Elastic stamps its results."""
    return round(moment.timestamp() * 1000)


def series_fields(detector: Detector, key: SeriesKey) -> dict[str, Any]:
    """The detector's function and field and the series' split values, under Elastic's names."""
    fields: dict[str, Any] = {
        "detector_index": key.detector_index,
        "function": detector.function,
        "function_description": detector.spec.described,
    }
    if detector.field_name:
        fields["field_name"] = detector.field_name
    for kind, value in (("partition", key.partition_value), ("by", key.by_value), ("over", key.over_value)):
        if value is not None:
            fields[f"{kind}_field_name"] = getattr(detector, f"{kind}_field_name")
            fields[f"{kind}_field_value"] = value
    return fields


def result(job: Job, result_type: str, timestamp_ms: int, lineage: dict[str, Any]) -> dict[str, Any]:
    """What every result document has."""
    return Maker(job, result_type, lineage).document(timestamp_ms)


def number(value: float, digits: int = 6) -> float:
    """A finite float with so many significant digits: enough to read, and equal however it was computed."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else 0.0


def numbers(values: NDArray[np.float64], digits: int = 6) -> list[bytes]:
    """Each of `values` (T,) as `number` makes it, in JSON."""
    pattern, finite = f"%.{digits}g", np.where(np.isfinite(values), values, 0.0)
    return orjson.dumps([float(pattern % value) for value in finite.tolist()])[1:-1].split(b",") if len(values) else []


def readable(value: float) -> str:
    """A number for people: `1,460`, `86`, `0.034`."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
