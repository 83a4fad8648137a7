"""What a datafeed reads, as rows: the first of them, for somebody who wants to see whether it is what was meant."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from driftline.core.timespan import Window, floor_time
from driftline.elastic.aggregated import read_rows
from driftline.elastic.client import explained
from driftline.elastic.fields import data_range
from driftline.elastic.query import between, searched

if TYPE_CHECKING:
    from datetime import datetime

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job

MOST = 1000  # rows: a page of Elastic's datafeeds
BUCKETS = 100  # of aggregations, which are asked for by time


def first_rows(
    client: Elasticsearch, job: Job, start: datetime | None = None, end: datetime | None = None
) -> list[dict[str, Any]]:
    """The first rows of a datafeed by time: the time in epoch milliseconds, and the fields that the job looks at.

    Raises:
        SourceIndexError: There is no document.
        WindowError: The end lies before the start.
    """
    if start is None or end is None:
        whole = data_range(client, job)
        start, end = start or floor_time(whole.start, job.bucket_span), end or whole.end  # aggregations want whole buckets
    window = Window(start, end)
    if job.datafeed.aggregations:
        near = Window(start, min(end, start + BUCKETS * job.bucket_span))
        return [{job.time_field: row.pop("time"), **row} for row in islice(read_rows(client, job, near), MOST)]
    scripts = job.datafeed.script_fields
    names = [name for name in _fields(job) if name not in scripts]
    body = {
        "query": {"bool": {"filter": [job.datafeed.query, between(job.time_field, window)]}},
        "sort": [{job.time_field: "asc"}],
        "size": MOST,
        "source": False,
        "fields": [{"field": job.time_field, "format": "epoch_millis"}, *names],
        **({"script_fields": scripts} if scripts else {}),
    }
    with explained(f"job {job.job_id}, datafeed.indices"):
        hits = client.search(index=job.datafeed.indices, **searched(job, body))["hits"]["hits"]
    return [_row(hit.get("fields", {}), job.time_field) for hit in hits]


def _fields(job: Job) -> list[str]:
    found = [*job.influencers, job.categorization_field_name, job.summary_count_field_name]
    for each in job.detectors:
        found += [each.field_name, each.partition_field_name, each.by_field_name, each.over_field_name]
    return sorted({name for name in found if name})


def _row(fields: dict[str, list[Any]], time_field: str) -> dict[str, Any]:
    out = {name: values[0] if len(values) == 1 else values for name, values in fields.items()}
    time = str(out.get(time_field, ""))
    return {**out, time_field: int(time)} if time.lstrip("-").isdecimal() else out
