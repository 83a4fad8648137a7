"""Aggregations of a datafeed: what they are called, and how far apart in time what they answer is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from driftline.core.timespan import format_span, parse_span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

_EXPECTED = "aggregations: one date_histogram, or one composite with one, is expected at the top"

_WORDS = {"second": "1s", "minute": "1m", "hour": "1h", "day": "1d"}
_CALENDAR = {"week", "month", "quarter", "year"}
_UTC = {"Z", "UTC", "ETC/UTC", "GMT", "+00:00"}


def inner_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The aggregations in one.

    Raises:
        ValueError: They are no mapping of mappings.
    """
    inner = body.get("aggregations") or body.get("aggs") or {}
    if not isinstance(inner, Mapping) or not all(isinstance(each, Mapping) for each in inner.values()):
        raise ValueError("aggregations: a name and a mapping are expected for each")
    return dict(inner)


def aggregation_names(aggregations: Mapping[str, Any]) -> Iterator[str]:
    """The names of aggregations and of the sources of composite ones: what the fields of a job's documents are called."""
    for name, body in aggregations.items():
        yield name
        yield from (part for source in _sources(body) for part in source)
        yield from aggregation_names(inner_of(body))


def _sources(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sources of a composite aggregation; none of any other."""
    composite = body.get("composite", {})
    sources = composite.get("sources", []) if isinstance(composite, Mapping) else None
    if not isinstance(sources, list) or not all(isinstance(each, Mapping) for each in sources):
        raise ValueError("aggregations: composite.sources must be a list of mappings")
    return [inner_of({"aggregations": each}) for each in sources]


def histogram_path(aggregations: Mapping[str, Any]) -> tuple[str, ...]:
    """The names that lead to the aggregation that cuts the time, from the top: `("host", "buckets")`.

    Around a date histogram there may be others, of which each holds the next and nothing else, as in Elastic's.

    Raises:
        ValueError: There is no such aggregation, or more than one.
    """
    inner = inner_of({"aggregations": aggregations})
    if len(inner) != 1:
        raise ValueError(_EXPECTED)
    ((name, body),) = inner.items()
    if "date_histogram" in body or "composite" in body:
        return (name,)
    rest = histogram_path(inner_of(body))
    if "composite" in histogram_of(inner_of(body)):
        raise ValueError("aggregations: a composite aggregation can only be at the top")
    return (name, *rest)


def histogram_of(aggregations: Mapping[str, Any]) -> dict[str, Any]:
    """The aggregation that cuts the time.

    Raises:
        ValueError: As `histogram_path` says.
    """
    inner: dict[str, Any] = dict(aggregations)
    for name in histogram_path(aggregations):
        body: dict[str, Any] = inner[name]
        inner = inner_of(body)
    return body


def interval_of(aggregations: Mapping[str, Any]) -> timedelta:
    """How far apart in time the rows are.

    Raises:
        ValueError: They are not of a date histogram with a fixed interval, or of a composite aggregation with one.
    """
    body = histogram_of(aggregations)
    parts = [part for source in _sources(body) for part in source.values()] if "composite" in body else [body]
    histograms = [part["date_histogram"] for part in parts if "date_histogram" in part]
    if len(histograms) != 1 or not isinstance(histograms[0], Mapping):
        raise ValueError(_EXPECTED)
    histogram = histograms[0]
    names = ("fixed_interval", "interval", "calendar_interval")
    said = next((str(histogram[name]) for name in names if histogram.get(name)), None)
    if said is None or said[-1] in "Mwqy" or said in _CALENDAR:
        raise ValueError(
            "aggregations: the date_histogram needs a fixed_interval; months and years have no fixed length, and calendar weeks "
            "begin on Mondays, where a job's buckets are counted from the epoch, a Thursday"
        )
    interval = parse_span(_WORDS.get(said, said))
    _check_edges(histogram, interval)
    return interval


def _check_edges(histogram: Mapping[str, Any], interval: timedelta) -> None:
    """The rows must begin where a job's buckets can: it is read in pieces, which are cut there.

    Raises:
        ValueError: They do not.
    """
    if (zone := histogram.get("time_zone")) is not None and str(zone).upper() not in _UTC:
        raise ValueError(f"aggregations: the date_histogram's time_zone must be UTC, as a job's buckets are, not '{zone}'")
    offset = histogram.get("offset") or 0
    if interval and parse_span(str(offset).lstrip("+-")) % interval:
        raise ValueError(
            f"aggregations: the date_histogram's offset {offset} must be a multiple of its interval {format_span(interval)}, "
            "since a job's buckets are counted from the epoch in UTC"
        )
