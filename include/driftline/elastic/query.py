"""A job as composite aggregations: one for each way in which its detectors split the documents."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from driftline.core.categorization import MLCATEGORY
from driftline.core.metric import canonical
from driftline.core.shapes import terms
from driftline.core.timespan import Window

if TYPE_CHECKING:
    from collections.abc import Container

    from driftline.core.detector import Detector, Kind
    from driftline.core.job import Job
    from driftline.core.metric import Metric

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
    "std_deviation": "extended_stats",
    "non_null_sum": "stats",  # a sum of nothing is 0, and only a count beside it tells
    "place": "geo_centroid",
    "weighted": "weighted_avg",
}
DOCS = "doc_count"
SPLITS = ("partition", "by", "over")
CONTENT = "info_content"
VALUE = "v"  # what is measured within a filter


@dataclass(frozen=True)
class Split:
    """Detectors that share their split fields are read by one aggregation.

    Attributes:
        fields: (partition, by and over field); None where there is no such split.
        detectors: Their numbers in the job.
        measures: What is measured besides the count: (metric, field), each once, in order; sub-aggregation m0 is the first.
        metrics: Detector number → name of its sub-aggregation, None for the document count.
        others: The same for the metric that a detector's is judged against.
        queries: Of each measure the query that narrows what it reads, as text; empty where there is none.
        use_null: Whether documents without a split field are series of their own.
        content: The field whose distinct values are listed, for how much information they hold; its measure is the only one.
    """

    fields: tuple[str | None, str | None, str | None]
    detectors: list[int]
    measures: list[tuple[str, str]]
    metrics: dict[int, str | None]
    use_null: bool = False
    content: str | None = None
    others: dict[int, str | None] = field(default_factory=dict)
    queries: list[str] = field(default_factory=list)

    @property
    def keyed(self) -> list[str]:
        """Which of partition, by and over there are."""
        return [name for name, given in zip(SPLITS, self.fields, strict=True) if given]

    @property
    def category(self) -> int | None:
        """Which of partition, by and over is the kind of message; None where there is no such split."""
        return self.fields.index(MLCATEGORY) if MLCATEGORY in self.fields else None

    @property
    def names(self) -> list[str]:
        """The sub-aggregations."""
        return [f"m{place}" for place in range(len(self.measures))]


def splits(job: Job, kinds: Container[Kind] | None = None) -> list[Split]:
    """The job's detectors, all or those of some kinds, grouped by what one aggregation can read."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for number, detector in enumerate(job.detectors):
        if kinds is None or detector.kind in kinds:
            content = detector.field_name if detector.spec.metric == CONTENT else None
            fields = (detector.partition_field_name, detector.by_field_name, detector.over_field_name)
            groups.setdefault((fields, detector.use_null, content, detector.kind != "series"), []).append(number)
    return [_split(job, fields, use_null, content, numbers) for (fields, use_null, content, _), numbers in groups.items()]


def _split(
    job: Job, fields: tuple[str | None, str | None, str | None], use_null: bool, content: str | None, numbers: list[int]
) -> Split:
    detectors = {number: job.detectors[number] for number in numbers}
    asked = {number: _asked(job, detector) for number, detector in detectors.items()}
    others = {number: _asked(job, detector.other) for number, detector in detectors.items() if detector.other}
    measures = sorted({each for each in (*asked.values(), *others.values()) if each != ("count", "", "")})
    names = {what: f"m{place}" for place, what in enumerate(measures)}
    metrics, beside = ({number: names.get(what) for number, what in each.items()} for each in (asked, others))
    queries = [query for *_, query in measures]
    return Split(fields, numbers, [each[:2] for each in measures], metrics, use_null, content, beside, queries)


def _asked(job: Job, read: Detector | Metric) -> tuple[str, str, str]:
    """What is measured: metric, field, query. Where documents stand for several, counts are sums and means are weighted."""
    metric, name, summary, query = read.spec.metric, read.field_name or "", job.summary_count_field_name, canonical(read.query)
    if summary in (None, DOCS):
        return metric, name, query
    if metric == "count":
        return "sum", str(summary), query
    return "weighted" if metric == "mean" and not job.datafeed.aggregations else metric, name, query


def all_documents() -> Split:
    """How many documents there are, whatever the detectors split them by."""
    return Split((None, None, None), [], [], {})


def text(value: object) -> str:
    """A key of a bucket as text."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def field_of(job: Job, name: str) -> dict[str, Any]:
    """Where an aggregation takes a field's values from: the field, or the script that stands for it."""
    script = job.datafeed.script_fields.get(name)
    return {"field": name} if script is None else {"script": script["script"]}


def searched(job: Job, body: dict[str, Any]) -> dict[str, Any]:
    """A search body with the runtime fields of the datafeed."""
    runtime = job.datafeed.runtime_mappings
    return {**body, "runtime_mappings": runtime} if runtime else body


def _metric(job: Job, metric: str, field_name: str) -> dict[str, Any]:
    body = field_of(job, field_name)
    if metric == "weighted":
        return {_AGGREGATIONS[metric]: {"value": body, "weight": {"field": job.summary_count_field_name}}}
    if metric == "median":
        body |= {"percents": [50.0], "keyed": False, "tdigest": {"compression": 200}}
    if metric == "distinct_count":
        body["precision_threshold"] = 3000  # exact in practice up to here; beyond, an error of a few percent
    return {_AGGREGATIONS[metric]: body}


def _measured(job: Job, metric: str, field_name: str, query: str) -> dict[str, Any]:
    """The sub-aggregation of a measure; with a query within a filter, which counts by itself."""
    if not query:
        return _metric(job, metric, field_name)
    inner = {} if metric == "count" else {"aggs": {VALUE: _metric(job, metric, field_name)}}
    return {"filter": orjson.loads(query), **inner}


def filtered(job: Job, window: Window) -> dict[str, Any]:
    """The datafeed's query, restricted to the window."""
    return {"bool": {"filter": [job.datafeed.query, between(job.time_field, window)]}}


def messages(job: Job, template: str, *, words: bool) -> dict[str, Any]:
    """The query clause for messages of a category: those with all words of its template, in order if the field is a keyword.

    Args:
        job: The job.
        template: The category's.
        words: Whether the field is analysed.
    """
    said, name = terms(template), str(job.categorization_field_name)
    if words:
        return {"match": {name: {"query": said, "operator": "and", "zero_terms_query": "all"}}}
    parts = [re.sub(r"([\\*?])", r"\\\1", word) for word in said.split()]
    return {"wildcard": {name: {"value": "*".join(["", *parts, ""]) or "*"}}}


def between(field: str, window: Window) -> dict[str, Any]:
    """The query clause for a time field within a window."""
    edges = {"gte": int(window.start.timestamp() * 1000), "lt": int(window.end.timestamp() * 1000), "format": "epoch_millis"}
    return {"range": {field: edges}}


def before(field: str, end: datetime) -> dict[str, Any]:
    """The query clause for a time field before a time."""
    return {"range": {field: {"lt": int(end.timestamp() * 1000), "format": "epoch_millis"}}}


def composite(job: Job, split: Split, window: Window, after: dict[str, Any] | None) -> dict[str, Any]:
    """The search body for one page: buckets of (time, partition, by), each with the detectors' metrics.

    Buckets begin where the window does; where it is a single one, keys have no time if there is anything else in them. A page
    begins at the time at which the one before ended: documents before need not be looked at again.
    """
    sources: list[dict[str, Any]] = []
    if not is_single(job, split, window):
        offset = int(window.start.timestamp()) % job.span_seconds
        histogram = {"field": job.time_field, "fixed_interval": f"{job.span_seconds}s"}
        sources.append({"time": {"date_histogram": {**histogram, **({"offset": f"{offset}s"} if offset else {})}}})
    if after and "time" in after:
        window = Window(datetime.fromtimestamp(after["time"] / 1000, UTC), window.end)
    for name, source_field in zip(SPLITS, split.fields, strict=True):
        if source_field:
            sources.append({name: {"terms": {**field_of(job, source_field), "missing_bucket": split.use_null}}})
    if split.content:
        sources.append({CONTENT: {"terms": field_of(job, split.content)}})
    body: dict[str, Any] = {"composite": {"size": PAGE, "sources": sources}}
    if after:
        body["composite"]["after"] = after
    measured = () if split.content else zip(split.names, split.measures, split.queries, strict=True)
    metrics = {name: _measured(job, *measure, query) for name, measure, query in measured}
    if metrics:
        body["aggs"] = metrics
    return searched(job, {"size": 0, "track_total_hits": False, "query": filtered(job, window), "aggs": {"series": body}})


def is_single(job: Job, split: Split, window: Window) -> bool:
    """Whether all buckets of a split that are in a window have the same time, and are told apart by something else."""
    return window.end - window.start == job.bucket_span and bool(split.keyed or split.content)


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
    return searched(job, {"size": 0, "track_total_hits": False, "query": filtered(job, window), "aggs": aggs})
