"""What the explorer shows of many results, asked for as aggregations: a page never takes more than it shows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from driftline.core.errors import ClusterError
from driftline.core.timespan import Window, floor_time, parse_time
from driftline.elastic.client import talks_to_cluster
from driftline.elastic.indices import RESULTS
from driftline.elastic.query import between

if TYPE_CHECKING:
    from collections.abc import Iterable

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job

CELLS = 120  # of a lane: as many as can be told apart, and pointed at, on a wide screen
LANES, LANES_MOST = 10, 100
# Spans that people count time in.
_SPANS = [timedelta(minutes=m) for m in (1, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720)]
_SPANS += [timedelta(days=d) for d in (1, 2, 7, 14, 28)]
SPLITS = {"partition": "partition_field_value", "by": "by_field_value", "over": "over_field_value"}


@dataclass(frozen=True)
class Chosen:
    """Which results: those of the jobs as they are defined now, in a window, of at least a score, and of some values.

    Attributes:
        jobs: The jobs.
        window: By time stamp.
        min_score: Least score.
        values: Field → values, one of which a record must have: split fields' names as in `SPLITS`, `detector`, or
            `influencer:<field>`.
    """

    jobs: list[Job]
    window: Window
    min_score: float = 0.0
    values: dict[str, list[str]] = field(default_factory=dict)

    def clauses(self, result_type: str, score: str | None = None) -> list[dict[str, Any]]:
        """Query clauses for results of one type."""
        out = [of_jobs(self.jobs), {"term": {"result_type": result_type}}, between("timestamp", self.window)]
        if score and self.min_score > 0:
            out.append({"range": {score: {"gte": self.min_score}}})
        return out

    def of_records(self) -> dict[str, Any]:
        """The query for records."""
        clauses = self.clauses("record", "record_score")
        for name, wanted in self.values.items():
            clauses.append(_of_values(name, wanted))
        return {"bool": {"filter": clauses}}

    def of_influencers(self, name: str) -> dict[str, Any]:
        """The query for results of one influencer field."""
        clauses = self.clauses("influencer", "influencer_score")
        return {"bool": {"filter": [*clauses, {"term": {"influencer_field_name": name}}]}}


def of_jobs(jobs: Iterable[Job]) -> dict[str, Any]:
    """The clause for results of jobs as they are defined now."""
    pairs = [{"bool": {"filter": [{"term": {"job_id": j.job_id}}, {"term": {"driftline.job_version": j.version}}]}} for j in jobs]
    return {"bool": {"should": pairs, "minimum_should_match": 1}} if pairs else {"match_none": {}}


def _of_values(name: str, wanted: list[str]) -> dict[str, Any]:
    if name in SPLITS:
        return {"terms": {SPLITS[name]: wanted}}
    if name == "detector":
        return {"terms": {"detector_index": [int(value) for value in wanted]}}
    if name == "job":
        return {"terms": {"job_id": wanted}}
    _, _, influencer = name.partition(":")
    return {
        "bool": {
            "filter": [
                {"term": {"influencers.influencer_field_name": influencer}},
                {"terms": {"influencers.influencer_field_values": wanted}},
            ]
        }
    }


def cell_span(jobs: Iterable[Job], window: Window) -> timedelta:
    """How much time a cell is: a whole number of bucket spans, so many that a lane has `CELLS` of them at most."""
    return round_span(window, CELLS, max((job.bucket_span for job in jobs), default=timedelta(minutes=15)))


def round_span(window: Window, most: int, bucket: timedelta) -> timedelta:
    """A span that people count time in, of whole buckets, so long that a window has `most` of them at most."""
    least = (window.end - window.start) / most
    for span in [bucket, *_SPANS]:
        if span >= least and span >= bucket and not span % bucket:
            return span
    return bucket * -(-least // bucket)


@talks_to_cluster
def lanes(client: Elasticsearch, chosen: Chosen, *, by: str, limit: int = LANES, after: int = 0) -> dict[str, Any]:
    """Swim lanes: the highest score by time, overall and for each of the highest values of `by`.

    Args:
        client: The cluster.
        chosen: Which results.
        by: `job`, `detector`, a split as in `SPLITS`, or `influencer:<field>`.
        limit: So many lanes.
        after: So many of the highest are left out: the next page.

    Returns:
        `start`, `end`, `span` (seconds of a cell), `overall` and `lanes`: each `key`, `max_score` and `cells`, pairs of when a
        cell starts (epoch ms) and its score; `total` is how many lanes there are, about.
    """
    span = cell_span(chosen.jobs, chosen.window)
    window = Window(floor_time(chosen.window.start, span), chosen.window.end)
    query, score, key = _laned(chosen, by)
    # the highest are found by sorting: an aggregation would look into each of many thousand lanes
    ranking = {
        "size": min(limit, LANES_MOST),
        "from": after,
        "track_total_hits": False,
        "query": {"bool": {"filter": [query, {"exists": {"field": key}}]}},
        "sort": [{score: {"order": "desc", "unmapped_type": "double"}}, {key: {"order": "asc", "unmapped_type": "keyword"}}],
        "collapse": {"field": key},
        "_source": False,
    }
    whole, top, count = _search(
        client,
        _by_time({"bool": {"filter": chosen.clauses("bucket", "anomaly_score")}}, "anomaly_score", span),
        ranking,
        {"size": 0, "track_total_hits": False, "query": query, "aggs": {"total": {"cardinality": {"field": key}}}},
    )
    highest = {hit["fields"][key][0]: float(hit["sort"][0]) for hit in top["hits"]["hits"]}
    found: dict[str, list[tuple[int, float]]] = {}
    if highest:
        within = {"bool": {"filter": [query, {"terms": {key: list(highest)}}]}}
        lane = {"terms": {"field": key, "size": len(highest)}, "aggs": _by_time(within, score, span)["aggs"]}
        (parts,) = _search(client, {"size": 0, "track_total_hits": False, "query": within, "aggs": {"lanes": lane}})
        found = {each["key"]: _cells(each["cells"]["buckets"]) for each in parts["aggregations"]["lanes"]["buckets"]}
    overall = _cells(whole["aggregations"]["cells"]["buckets"]) if "aggregations" in whole else []
    return {
        **window.as_dict(),
        "span": int(span.total_seconds()),
        "by": by,
        "overall": {"key": "overall", "max_score": max((score for _, score in overall), default=0.0), "cells": overall},
        "lanes": [{"key": str(key), "max_score": score, "cells": found.get(key, [])} for key, score in highest.items()],
        "total": int(count["aggregations"]["total"]["value"]) if "aggregations" in count else 0,
    }


def _by_time(query: dict[str, Any], score: str, span: timedelta) -> dict[str, Any]:
    """The highest score of each cell of time."""
    histogram = {"field": "timestamp", "fixed_interval": f"{int(span.total_seconds())}s", "min_doc_count": 1}
    cells = {"date_histogram": histogram, "aggs": {"top": {"max": {"field": score}}}}
    return {"size": 0, "track_total_hits": False, "query": query, "aggs": {"cells": cells}}


def _search(client: Elasticsearch, *bodies: dict[str, Any]) -> list[dict[str, Any]]:
    """Answers of several searches at once; where no month of results is there yet they hold no aggregations."""
    head: dict[str, Any] = {"index": f"{RESULTS}-*", "ignore_unavailable": True, "allow_no_indices": True}
    found: list[dict[str, Any]] = client.msearch(searches=[part for body in bodies for part in (head, body)])["responses"]
    for answer in found:
        if "error" in answer:
            raise ClusterError(f"Elasticsearch could not answer: {answer['error'].get('reason')}", where=f"index {RESULTS}-*")
    return found


def _laned(chosen: Chosen, by: str) -> tuple[dict[str, Any], str, str]:
    """Query, score and key of lanes."""
    if by == "job":
        return {"bool": {"filter": chosen.clauses("bucket", "anomaly_score")}}, "anomaly_score", "job_id"
    if by.startswith("influencer:"):
        return chosen.of_influencers(by.partition(":")[2]), "influencer_score", "influencer_field_value"
    key = "detector_index" if by == "detector" else SPLITS[by]
    return chosen.of_records(), "record_score", key


def _cells(buckets: list[dict[str, Any]]) -> list[tuple[int, float]]:
    return [(int(bucket["key"]), float(bucket["top"]["value"])) for bucket in buckets if bucket["top"]["value"] is not None]


@talks_to_cluster
def influencers(client: Elasticsearch, chosen: Chosen, *, limit: int = 10) -> dict[str, list[dict[str, Any]]]:
    """Influencer field → its highest values: `value`, `max_score`, `sum_score` (over buckets), `buckets`."""
    names = sorted({name for job in chosen.jobs for name in job.influencers})
    if not names:
        return {}
    scores = {"top": {"max": {"field": "influencer_score"}}, "sum": {"sum": {"field": "influencer_score"}}}
    terms = {"field": "influencer_field_value", "size": limit, "order": [{"top": "desc"}, {"sum": "desc"}]}
    aggs = {"values": {"terms": terms, "aggs": scores}}
    bodies = [{"size": 0, "track_total_hits": False, "query": chosen.of_influencers(name), "aggs": aggs} for name in names]
    out = {}
    for name, answer in zip(names, _search(client, *bodies), strict=True):
        found = answer.get("aggregations")
        out[name] = [
            {
                "value": each["key"],
                "max_score": each["top"]["value"],
                "sum_score": each["sum"]["value"],
                "buckets": each["doc_count"],
            }
            for each in (found["values"]["buckets"] if found else [])
        ]
    return {name: values for name, values in out.items() if values}


@talks_to_cluster
def records(
    client: Elasticsearch,
    chosen: Chosen,
    *,
    sort: str = "record_score",
    descending: bool = True,
    size: int = 50,
    start: int = 0,
    part: str = "",
) -> tuple[int, list[dict[str, Any]]]:
    """A page of records, each with its `_id`, and how many there are; those of equal rank by time.

    With `part` only those that have it in a partition, by or over value.
    """
    order = {"order": "desc" if descending else "asc", "unmapped_type": "double"}
    found = client.search(
        index=f"{RESULTS}-*",
        query={"bool": {"filter": [chosen.of_records(), *([_with_part(part)] if part else [])]}},
        sort=[{sort: order}, {"probability": {"order": "asc", "unmapped_type": "double"}}, {"timestamp": "asc"}],
        size=size,
        from_=start,
        track_total_hits=True,
        ignore_unavailable=True,
        allow_no_indices=True,
    )
    hits = found["hits"]
    return int(hits["total"]["value"]), [{"_id": hit["_id"], **hit["_source"]} for hit in hits["hits"]]


def _with_part(part: str) -> dict[str, Any]:
    """The clause for a part of a split value, as it is written or not."""
    escaped = re.sub(r"([*?\\])", r"\\\1", part)
    pattern = {"value": f"*{escaped}*", "case_insensitive": True}
    return {"bool": {"should": [{"wildcard": {name: pattern}} for name in SPLITS.values()], "minimum_should_match": 1}}


@talks_to_cluster
def result_range(client: Elasticsearch, jobs: list[Job]) -> Window | None:
    """From the first to the end of the last bucket that has results; None where there are none."""
    found = client.search(
        index=f"{RESULTS}-*",
        query={"bool": {"filter": [of_jobs(jobs), {"terms": {"result_type": ["bucket", "record"]}}]}},
        aggs={"first": {"min": {"field": "timestamp"}}, "last": {"max": {"field": "timestamp"}}},
        size=0,
        track_total_hits=False,
        ignore_unavailable=True,
        allow_no_indices=True,
    )
    edges = found.get("aggregations")
    if not edges or edges["first"]["value"] is None:
        return None
    span = max(job.bucket_span for job in jobs)
    return Window(parse_time(edges["first"]["value"] / 1000), parse_time(edges["last"]["value"] / 1000) + span)
