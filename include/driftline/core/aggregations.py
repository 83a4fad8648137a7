"""Aggregations of a datafeed: what they are called, and how far apart in time what they answer is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline.core.timespan import parse_span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta


def aggregation_names(aggregations: Mapping[str, Any]) -> Iterator[str]:
    """The names of aggregations and of the sources of composite ones: what the fields of a job's documents are called."""
    for name, body in aggregations.items():
        yield name
        for source in (body.get("composite") or {}).get("sources", []):
            yield from source
        yield from aggregation_names(body.get("aggregations") or body.get("aggs") or {})


def interval_of(aggregations: Mapping[str, Any]) -> timedelta:
    """How far apart in time the rows are.

    Raises:
        ValueError: They are not of a date histogram with a fixed interval, or of a composite aggregation with one.
    """
    found = [body for body in aggregations.values() if isinstance(body, dict)]
    top = found[0] if len(found) == 1 else {}
    sources = [body for part in (top.get("composite") or {}).get("sources", []) for body in part.values()]
    histograms = [body["date_histogram"] for body in (sources or [top]) if "date_histogram" in body]
    if len(histograms) != 1:
        raise ValueError("aggregations: one date_histogram, or one composite with one, is expected at the top")
    interval = histograms[0].get("fixed_interval") or histograms[0].get("interval")
    if interval is None:
        raise ValueError("aggregations: the date_histogram needs a fixed_interval; months and years have no fixed length")
    return parse_span(interval)
