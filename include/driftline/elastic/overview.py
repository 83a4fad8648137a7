"""What an access log looks like: hits, answers and bytes over time, and who asks for what. One request, all of it aggregated."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from driftline.core.errors import SourceIndexError
from driftline.core.timespan import Window, floor_time, parse_time
from driftline.elastic.client import explained, talks_to_cluster
from driftline.elastic.lanes import round_span
from driftline.elastic.query import between
from driftline.elastic.survey import field_kinds

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

TIME, STATUS, BYTES = "@timestamp", "http.response.status_code", "http.response.bytes"
FIELDS = {
    "url": "url.path",
    "country": "source.geo.country_iso_code",
    "browser": "user_agent.name",
    "client": "source.ip",
    "host": "host.name",
}
"""What is counted by value: name → field of the Elastic Common Schema."""
CLASSES = {f"{first}xx": (100 * first, 100 * first + 100) for first in range(1, 6)}
POINTS = 150  # of a chart: as many as can be told apart
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Asked:
    """Which requests: of an index, a window, and of some values.

    Attributes:
        index: The index.
        window: By time; None for all of it.
        values: Name as in `FIELDS`, or `status` (a class such as 5xx) → values, one of which a request must have.
    """

    index: str
    window: Window | None = None
    values: dict[str, list[str]] = field(default_factory=dict)


@talks_to_cluster
def overview(client: Elasticsearch, asked: Asked, *, top: int = 10) -> dict[str, Any]:
    """Looks at the requests of an index.

    Returns:
        `start`, `end`, `span` (seconds of a point), `hits`, `bytes`, `errors` (answers from 500 on), `clients` (about how many);
        `times` (epoch ms) with `hits_by_time`, `bytes_by_time` and `status_by_time` (class → counts); `top`: name → the most
        frequent values with `hits`, `errors` and `bytes`; `missing`: names of fields that the index does not have.

    Raises:
        SourceIndexError: There is no index, or none with times.
    """
    there = field_kinds(client, [asked.index])
    if there.get(TIME) != "time":
        raise SourceIndexError(f"the index has no dates in {TIME}", where=f"index {asked.index}", fix="Ingest first.")
    window = asked.window or _range(client, asked.index)
    span = round_span(window, POINTS, MINUTE)
    known = {name: path for name, path in FIELDS.items() if path in there}
    statuses, sizes = there.get(STATUS) in ("whole", "number"), there.get(BYTES) in ("whole", "number")
    measured: dict[str, Any] = {"bytes": {"sum": {"field": BYTES}}} if sizes else {}
    failed: dict[str, Any] = {"errors": {"filter": {"range": {STATUS: {"gte": 500}}}}} if statuses else {}
    ranges = {"field": STATUS, "ranges": [{"key": name, "from": low, "to": high} for name, (low, high) in CLASSES.items()]}
    by_class: dict[str, Any] = {"status": {"range": ranges}} if statuses else {}
    edges = {"min": int(window.start.timestamp() * 1000), "max": int(window.end.timestamp() * 1000) - 1}
    histogram = {"field": TIME, "fixed_interval": f"{int(span.total_seconds())}s", "extended_bounds": edges}
    aggs = {
        "times": {"date_histogram": histogram, "aggs": {**measured, **by_class}},
        **{
            f"top_{name}": {"terms": {"field": path, "size": top}, "aggs": {**measured, **failed}} for name, path in known.items()
        },
        **measured,
        **failed,
        **({"clients": {"cardinality": {"field": FIELDS["client"]}}} if "client" in known else {}),
    }
    missing = [path for name, path in FIELDS.items() if name not in known]
    missing += [path for path, usable in ((STATUS, statuses), (BYTES, sizes)) if not usable]
    filters = [between(TIME, window), *(_clause(name, values) for name, values in asked.values.items() if values)]
    with explained(f"index {asked.index}"):
        found = client.search(index=asked.index, size=0, track_total_hits=True, query={"bool": {"filter": filters}}, aggs=aggs)
    parts, points = found["aggregations"], found["aggregations"]["times"]["buckets"]
    return {
        **window.as_dict(),
        "span": int(span.total_seconds()),
        "hits": int(found["hits"]["total"]["value"]),
        "bytes": parts["bytes"]["value"] if sizes else None,
        "errors": parts["errors"]["doc_count"] if statuses else None,
        "clients": parts["clients"]["value"] if "client" in known else None,
        "times": [point["key"] for point in points],
        "hits_by_time": [point["doc_count"] for point in points],
        "bytes_by_time": [point["bytes"]["value"] for point in points] if sizes else [],
        "status_by_time": {
            name: [point["status"]["buckets"][number]["doc_count"] for point in points] for number, name in enumerate(CLASSES)
        }
        if statuses
        else {},
        "top": {name: [_value(each) for each in parts[f"top_{name}"]["buckets"]] for name in known},
        "missing": missing,
    }  # fmt: skip


def _value(bucket: dict[str, Any]) -> dict[str, Any]:
    return {
        "value": str(bucket.get("key_as_string", bucket["key"])),
        "hits": bucket["doc_count"],
        "errors": bucket["errors"]["doc_count"] if "errors" in bucket else None,
        "bytes": bucket["bytes"]["value"] if "bytes" in bucket else None,
    }


def _clause(name: str, values: list[str]) -> dict[str, Any]:
    if name != "status":
        return {"terms": {FIELDS[name]: values}}
    ranges = [{"range": {STATUS: {"gte": CLASSES[each][0], "lt": CLASSES[each][1]}}} for each in values]
    return {"bool": {"should": ranges, "minimum_should_match": 1}}


def _range(client: Elasticsearch, index: str) -> Window:
    """From the first document to the last, in whole minutes."""
    with explained(f"index {index}"):
        aggs = {"first": {"min": {"field": TIME}}, "last": {"max": {"field": TIME}}}
        found = client.search(index=index, size=0, aggs=aggs)["aggregations"]
    if found["first"]["value"] is None:
        raise SourceIndexError("the index holds no document", where=f"index {index}", fix="Ingest first.")
    first, last = (parse_time(found[name]["value"] / 1000) for name in ("first", "last"))
    return Window(floor_time(first, MINUTE), floor_time(last, MINUTE) + MINUTE)
