"""What an index holds, looked at from afar: fields and how many values they have, documents and when they came.

All of it is bounded: so many fields, buckets and groups, and so long for each search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import SourceIndexError
from driftline.elastic.client import explained
from driftline.elastic.documents import field_caps
from driftline.elastic.query import DOCS, PAGE, SPLITS, field_of, filtered, searched

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.timespan import Window
    from driftline.elastic.query import Split

SECONDS = "30s"  # that Elasticsearch works on one search; what it has counted by then is what it answers
PAGES = 4  # of groups: a quarter of a million, more than a job would keep
FIELDS_AT_ONCE = 10  # each asks for two aggregations
POINTS_AT_ONCE = 60_000  # buckets of one answer; Elasticsearch allows 65 535
EXACT = 3000  # distinct values up to which they are counted nearly exactly, as where they are measured

_KINDS = {
    "keyword": "word", "constant_keyword": "word", "wildcard": "word", "ip": "address", "boolean": "word",
    "date": "time", "date_nanos": "time", "geo_point": "place",
    **dict.fromkeys(("long", "integer", "short", "byte", "unsigned_long"), "whole"),
    **dict.fromkeys(("double", "float", "half_float", "scaled_float"), "number"),
}  # fmt: skip

Group = tuple[Any, ...]  # values as Elasticsearch gives them, for partition, by and over; None where there is none


@dataclass(frozen=True)
class Groups:
    """Combinations of split values that documents have.

    Attributes:
        keys: The combinations.
        docs: (n,) documents of each.
        complete: Whether these are all.
        total: How many there are; estimated where they are not all listed.
    """

    keys: list[Group]
    docs: NDArray[np.int64]
    complete: bool
    total: int


@dataclass(frozen=True)
class Held:
    """What a field holds in some documents.

    Attributes:
        values: Distinct values, about.
        documents: Documents that have the field.
    """

    values: int
    documents: int


def documents(client: Elasticsearch, indices: list[str], query: dict[str, Any]) -> int:
    """How many documents match.

    Raises:
        SourceIndexError: No index matches the patterns.
        ClusterError, ClusterDownError: As `explained` tells.
    """
    with explained(f"index {', '.join(indices)}"):
        answer = client.count(index=indices, query=query).body
    if not answer["_shards"]["total"]:
        raise SourceIndexError(f"no index matches {', '.join(indices)}", fix="Check the name, or ingest first.")
    return int(answer["count"])


def measured_fields(job: Job) -> list[str]:
    """Fields of documents without which its detectors see nothing."""
    if job.datafeed.aggregations:
        return []
    wanted = [job.summary_count_field_name if job.summary_count_field_name != DOCS else None]
    for detector in job.detectors:
        wanted.append(detector.field_name)
        if not detector.use_null:
            wanted += [getattr(detector, f"{split}_field_name") for split in SPLITS]
    return sorted({name for name in wanted if name} - job.datafeed.script_fields.keys())


def field_kinds(client: Elasticsearch, indices: list[str]) -> dict[str, str]:
    """Fields that a job could use, and their kind: word, address, whole, number, time, or place; the same in all indices.

    Raises:
        SourceIndexError: No index matches.
    """
    found = {}
    for name, kinds in sorted(field_caps(client, indices, where=f"index {', '.join(indices)}").items()):
        usable = [kind for kind in kinds if kind != "unmapped"]
        same = {_KINDS.get(kind) if kinds[kind]["aggregatable"] else None for kind in usable}
        kind = same.pop() if len(same) == 1 else None
        if kind and not any(kinds[each].get("metadata_field") for each in usable):
            found[name] = kind
    return found


def _asked(
    client: Elasticsearch, job: Job, window: Window, aggs: dict[str, Any], query: dict[str, Any] | None = None
) -> tuple[dict[str, Any], bool]:
    """Aggregations over a window, and whether all documents were looked at."""
    clause = {"bool": {"filter": [filtered(job, window), *([query] if query else [])]}}
    body = searched(job, {"size": 0, "track_total_hits": False, "query": clause, "aggs": aggs, "timeout": SECONDS})
    with explained(f"job {job.job_id}, datafeed.indices {job.datafeed.indices}"):
        answer = client.search(index=job.datafeed.indices, **body).body
    return answer["aggregations"], not answer["timed_out"]


def cardinalities(client: Elasticsearch, job: Job, window: Window, names: Collection[str]) -> tuple[dict[str, Held], bool]:
    """What fields hold in a window's documents, and whether all of them were looked at."""
    listed, found, whole = list(dict.fromkeys(names)), {}, True
    for first in range(0, len(listed), FIELDS_AT_ONCE):
        part, aggs = listed[first : first + FIELDS_AT_ONCE], {}
        for number, name in enumerate(part):
            body = field_of(job, name)
            aggs[f"v{number}"] = {"cardinality": {**body, "precision_threshold": EXACT}}
            if "field" in body:
                aggs[f"n{number}"] = {"filter": {"exists": body}}
        answer, complete = _asked(client, job, window, aggs)
        whole = whole and complete
        for number, name in enumerate(part):
            there = answer.get(f"n{number}", {}).get("doc_count", 0)
            found[name] = Held(int(answer[f"v{number}"]["value"]), int(there))
    return found, whole


def read_groups(client: Elasticsearch, job: Job, split: Split, window: Window) -> Groups:
    """The combinations of a split's fields, the first quarter of a million of them; one, without a key, where it has none."""
    fields = [(name, field) for name, field in zip(SPLITS, split.fields, strict=True) if field]
    if not fields:
        answer, _ = _asked(client, job, window, {"all": {"filter": {"match_all": {}}}})
        number = int(answer["all"]["doc_count"])
        return Groups(
            [(None, None, None)] if number else [], np.array([number] if number else [], np.int64), True, int(number > 0)
        )
    sources = [{name: {"terms": {**field_of(job, field), "missing_bucket": split.use_null}}} for name, field in fields]
    keys: list[Group] = []
    docs: list[int] = []
    after: dict[str, Any] = {}
    for _ in range(PAGES):
        composite = {"size": PAGE, "sources": sources, **after}
        answer, _ = _asked(client, job, window, {"groups": {"composite": composite}})
        buckets = answer["groups"]["buckets"]
        keys += [tuple(bucket["key"].get(name) for name in SPLITS) for bucket in buckets]
        docs += [bucket["doc_count"] for bucket in buckets]
        if len(buckets) < PAGE:
            return Groups(keys, np.array(docs, dtype=np.int64), True, len(keys))
        after = {"after": answer["groups"]["after_key"]}
    held, _ = cardinalities(client, job, window, [field for _, field in fields])
    return Groups(keys, np.array(docs, dtype=np.int64), False, max(len(keys), *(one.values for one in held.values())))


@dataclass(frozen=True)
class Sample:
    """One series, by short steps.

    Attributes:
        docs: (T,) documents of each step.
        value: (T,) what is measured, NaN where nothing is; None where documents are only counted.
        adds_up: Whether the value of a longer step is the sum of its parts, rather than their mean.
    """

    docs: NDArray[np.float64]
    value: NDArray[np.float64] | None = None
    adds_up: bool = False


def read_samples(
    client: Elasticsearch, job: Job, split: Split, keys: Sequence[Group], window: Window, *, seconds: int, measure: dict[str, Any]
) -> list[Sample]:
    """Some series by steps of `seconds`, from and to whole ones.

    Args:
        client: The cluster.
        job: Where the documents are.
        split: What the series are split by.
        keys: Which series.
        window: From when to when.
        seconds: The step.
        measure: An aggregation that gives a `value`; none to count only.
    """
    first, last = (int(moment.timestamp()) // seconds for moment in (window.start, window.end))
    size = max(1, last - first)
    found = []
    at_once = max(1, POINTS_AT_ONCE // size)
    steps = {"field": job.time_field, "fixed_interval": f"{seconds}s", "min_doc_count": 1}
    aggs: dict[str, Any] = {"steps": {"date_histogram": steps, **({"aggs": {"value": measure}} if measure else {})}}
    for begin in range(0, len(keys), at_once):
        part = keys[begin : begin + at_once]
        filters = {f"s{number}": _only(split, key) for number, key in enumerate(part)}
        answer, _ = _asked(client, job, window, {"series": {"filters": {"filters": filters}, "aggs": aggs}})
        for name in filters:
            found.append(_sample(answer["series"]["buckets"][name]["steps"]["buckets"], first, size, seconds, measure))
    return found


def _only(split: Split, key: Group) -> dict[str, Any]:
    clauses: list[dict[str, Any]] = []
    for field, value in zip(split.fields, key, strict=True):
        if field and value is not None:
            clauses.append({"term": {field: value}})
        elif field:
            clauses.append({"bool": {"must_not": {"exists": {"field": field}}}})
    return {"bool": {"filter": clauses}}


def _sample(buckets: Iterable[dict[str, Any]], first: int, size: int, seconds: int, measure: dict[str, Any]) -> Sample:
    docs, value = np.zeros(size), np.full(size, np.nan)
    for bucket in buckets:
        place = int(bucket["key"]) // (seconds * 1000) - first
        if 0 <= place < size:
            docs[place] = bucket["doc_count"]
            if measure and bucket["value"]["value"] is not None:
                value[place] = bucket["value"]["value"]
    return Sample(docs, value if measure else None, "sum" in measure)


def read_ranges(client: Elasticsearch, job: Job, window: Window, names: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Of number fields: `min`, `max`, `avg` and `std_deviation`; None where no document holds one."""
    found = {}
    for first in range(0, len(names), FIELDS_AT_ONCE):
        part = names[first : first + FIELDS_AT_ONCE]
        answer, _ = _asked(client, job, window, {f"s{n}": {"extended_stats": {"field": name}} for n, name in enumerate(part)})
        for number, name in enumerate(part):
            stats = answer[f"s{number}"]
            found[name] = {key: stats[key] for key in ("min", "max", "avg", "std_deviation")}
    return found
