"""A job as composite aggregations: one for each way in which its detectors split the documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from driftline.core.job import Detector, Job
    from driftline.core.timespan import Window

PAGE = 65_535  # search.max_buckets; twice as fast as pages of 10 000
_AGGREGATIONS = {
    "mean": "avg",
    "min": "min",
    "max": "max",
    "sum": "sum",
    "distinct_count": "cardinality",
    "median": "percentiles",
}


@dataclass(frozen=True)
class Split:
    """Detectors that share their split fields are read by one aggregation.

    Attributes:
        fields: (partition field, by field); None where there is no such split.
        detectors: Their numbers in the job.
        metrics: Detector number → (sub-aggregation name or None for the document count, empty bucket is zero).
    """

    fields: tuple[str | None, str | None]
    detectors: list[int] = field(default_factory=list)
    metrics: dict[int, str | None] = field(default_factory=dict)


def splits(job: Job) -> list[Split]:
    """The job's detectors grouped by split fields."""
    groups: dict[tuple[str | None, str | None], Split] = {}
    for number, detector in enumerate(job.detectors):
        fields = (detector.partition_field_name, detector.by_field_name)
        split = groups.setdefault(fields, Split(fields))
        split.detectors.append(number)
        split.metrics[number] = None if detector.spec.metric == "count" else f"d{number}"
    return list(groups.values())


def _metric(detector: Detector) -> dict[str, Any]:
    body: dict[str, Any] = {"field": detector.field_name}
    if detector.spec.metric == "median":
        body |= {"percents": [50.0], "keyed": False, "tdigest": {"compression": 200}}
    if detector.spec.metric == "distinct_count":
        body["precision_threshold"] = 3000  # exact in practice up to here; beyond, an error of a few percent
    return {_AGGREGATIONS[detector.spec.metric]: body}


def filtered(job: Job, window: Window) -> dict[str, Any]:
    """The datafeed's query, restricted to the window."""
    edges = {"gte": int(window.start.timestamp() * 1000), "lt": int(window.end.timestamp() * 1000), "format": "epoch_millis"}
    return {"bool": {"filter": [job.datafeed.query, {"range": {job.time_field: edges}}]}}


def composite(job: Job, split: Split, window: Window, after: dict[str, Any] | None) -> dict[str, Any]:
    """The search body for one page: buckets of (time, partition, by), each with the detectors' metrics."""
    sources: list[dict[str, Any]] = [
        {"time": {"date_histogram": {"field": job.time_field, "fixed_interval": f"{job.span_seconds}s"}}}
    ]
    for name, source_field in zip(("partition", "by"), split.fields, strict=True):
        if source_field:
            # documents without the field form a partition of their own, as in Elastic ML
            sources.append({name: {"terms": {"field": source_field, "missing_bucket": True}}})
    body: dict[str, Any] = {"composite": {"size": PAGE, "sources": sources}}
    if after:
        body["composite"]["after"] = after
    metrics = {split.metrics[n]: _metric(job.detectors[n]) for n in split.detectors if split.metrics[n]}
    if metrics:
        body["aggs"] = metrics
    return {"size": 0, "track_total_hits": False, "query": filtered(job, window), "aggs": {"series": body}}
