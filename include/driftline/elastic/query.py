"""A job as composite aggregations: one for each way in which its detectors split the documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from driftline.core.job import Job
    from driftline.core.timespan import Window

PAGE = 65_535  # search.max_buckets; twice as fast as pages of 10 000
INDICES = 10_000  # ten times the shards that a node may hold
_AGGREGATIONS = {
    "mean": "avg",
    "min": "min",
    "max": "max",
    "sum": "sum",
    "distinct_count": "cardinality",
    "median": "percentiles",
    "varp": "extended_stats",
    "non_null_sum": "stats",  # a sum of nothing is 0, and only a count beside it tells
}


@dataclass(frozen=True)
class Split:
    """Detectors that share their split fields are read by one aggregation.

    Attributes:
        fields: (partition field, by field); None where there is no such split.
        detectors: Their numbers in the job.
        measures: What is measured besides the count: (metric, field), each once, in order; sub-aggregation m0 is the first.
        metrics: Detector number → name of its sub-aggregation, None for the document count.
    """

    fields: tuple[str | None, str | None]
    detectors: list[int]
    measures: list[tuple[str, str]]
    metrics: dict[int, str | None]

    @property
    def keyed(self) -> list[str]:
        """Which of partition and by there are."""
        return [name for name, given in zip(("partition", "by"), self.fields, strict=True) if given]

    @property
    def names(self) -> list[str]:
        """The sub-aggregations."""
        return [f"m{place}" for place in range(len(self.measures))]


def splits(job: Job) -> list[Split]:
    """The job's detectors grouped by split fields."""
    groups: dict[tuple[str | None, str | None], list[int]] = {}
    for number, detector in enumerate(job.detectors):
        groups.setdefault((detector.partition_field_name, detector.by_field_name), []).append(number)
    return [_split(job, fields, numbers) for fields, numbers in groups.items()]


def _split(job: Job, fields: tuple[str | None, str | None], numbers: list[int]) -> Split:
    asked = {number: (job.detectors[number].spec.metric, job.detectors[number].field_name or "") for number in numbers}
    measures = sorted({measure for measure in asked.values() if measure[0] != "count"})
    metrics = {number: f"m{measures.index(what)}" if what in measures else None for number, what in asked.items()}
    return Split(fields, numbers, measures, metrics)


def _metric(metric: str, field_name: str) -> dict[str, Any]:
    body: dict[str, Any] = {"field": field_name}
    if metric == "median":
        body |= {"percents": [50.0], "keyed": False, "tdigest": {"compression": 200}}
    if metric == "distinct_count":
        body["precision_threshold"] = 3000  # exact in practice up to here; beyond, an error of a few percent
    return {_AGGREGATIONS[metric]: body}


def filtered(job: Job, window: Window) -> dict[str, Any]:
    """The datafeed's query, restricted to the window."""
    return {"bool": {"filter": [job.datafeed.query, between(job.time_field, window)]}}


def between(field: str, window: Window) -> dict[str, Any]:
    """The query clause for a time field within a window."""
    edges = {"gte": int(window.start.timestamp() * 1000), "lt": int(window.end.timestamp() * 1000), "format": "epoch_millis"}
    return {"range": {field: edges}}


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
    metrics = {name: _metric(*measure) for name, measure in zip(split.names, split.measures, strict=True)}
    if metrics:
        body["aggs"] = metrics
    return {"size": 0, "track_total_hits": False, "query": filtered(job, window), "aggs": {"series": body}}


def fingerprint(job: Job, window: Window, seconds: int) -> dict[str, Any]:
    """The search body for what the intervals of a window hold: documents, the sum of their sequence numbers, their indices.

    Of an index it is asked from when to when it has documents: a list of indices for each interval may be beyond what
    Elasticsearch answers.
    """
    intervals = {"date_histogram": {"field": job.time_field, "fixed_interval": f"{seconds}s", "min_doc_count": 1}}
    edges = {name: {metric: {"field": job.time_field}} for name, metric in (("first", "min"), ("last", "max"))}
    aggs = {
        "intervals": {**intervals, "aggs": {"written": {"sum": {"field": "_seq_no"}}}},
        "indices": {"terms": {"field": "_index", "size": INDICES}, "aggs": edges},
    }
    return {"size": 0, "track_total_hits": False, "query": filtered(job, window), "aggs": aggs}
