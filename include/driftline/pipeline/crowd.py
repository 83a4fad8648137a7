"""Crowd: members of a population, and what is rare, as people look at them. It only reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from driftline.core.categorization import MLCATEGORY
from driftline.core.errors import DataError
from driftline.core.metric import ADDS_UP
from driftline.core.results import milliseconds
from driftline.core.series import SeriesKey
from driftline.core.timespan import Window, iso
from driftline.elastic import lanes
from driftline.elastic.client import explained
from driftline.elastic.fields import data_range
from driftline.elastic.lanes import Chosen
from driftline.elastic.query import before, between, searched, splits
from driftline.pipeline.categories import in_force
from driftline.pipeline.compared import KINDS
from driftline.pipeline.feedback import with_verdicts
from driftline.pipeline.store import stored_cells
from driftline.pipeline.view import narrowed, numbers, thinned, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job

SHOWN = 500  # anomalies, the highest
LISTED = 50  # members, or values
CELLS = 2_000_000  # that one view reads, the newest: some ten seconds where none of them is in the store
BAND = (0.05, 0.5, 0.95)  # shares of the members
TICKS = 300  # of a value's documents over time


def view_population(client: Elasticsearch, job: Job, key: SeriesKey, window: Window) -> dict[str, Any]:
    """What members of a population have in each bucket, and which of them are anomalies.

    Args:
        client: The cluster.
        job: The job.
        key: Detector, and the partition and by value whose members are meant, where it is split so.
        window: From when to when.

    Returns:
        `start`, `end`, `bucket_span`, `times` (epoch ms), `low`, `typical`, `high` (of members with documents: 5, 50 and 95 of a
        hundred have no more), `members` (how many), `thinned` (buckets a point stands for), `total`, `records` (the `SHOWN`
        highest), `top` (members by their highest score: `over`, `score`, `at`, `actual`, `typical`, `share` of the bucket's sum
        or None, `anomalies`, `record_id`), `notes`.

    Raises:
        DataError: The detector has no population.
        WindowError: The window holds too many buckets, or none.
    """
    detector = job.detectors[key.detector_index]
    if detector.kind != "population" or detector.spec.family == "freq_rare":
        raise DataError("there is no population to look at", where=f"job {job.job_id}, detector {key.detector_index}")
    window = whole(job, window)
    total, records = _records(client, job, key, window)
    table, notes = _members(client, job, key, window)
    first, count = int(window.start.timestamp()) // job.span_seconds, window.buckets(job.bucket_span)
    bands = table.groupby("bucket")["value"].quantile(np.array(BAND)).unstack()
    counted = table.groupby("bucket")["value"].agg(["count", "sum"])
    columns = {name: np.full(count, np.nan) for name in ("low", "typical", "high", "count", "sum")}
    for name, column in (*zip(columns, (bands[share] for share in BAND), strict=False), *counted.items()):
        columns[str(name)][column.index.to_numpy() - first] = column.to_numpy()
    starts = milliseconds(window.start) + np.arange(count) * job.span_seconds * 1000
    kept, group = thinned(columns["high"], np.isin(starts, [each["timestamp"] for each in records]))
    totals = dict(zip(starts.tolist(), columns["sum"].tolist(), strict=True)) if detector.spec.metric in ADDS_UP else {}
    return {
        "job_id": job.job_id,
        "detector": detector.description,
        "bucket_span": job.span_seconds,
        **window.as_dict(),
        "times": starts[kept].tolist(),
        **{name: numbers(columns[name][kept]) for name in ("low", "typical", "high")},
        "members": np.nan_to_num(columns["count"][kept]).astype(int).tolist(),
        "thinned": group,
        "total": total,
        "records": records,
        "top": list(_top(records, totals)),
        "notes": notes,
    }


def _records(client: Elasticsearch, job: Job, key: SeriesKey, window: Window) -> tuple[int, list[dict[str, Any]]]:
    values = {"detector": [str(key.detector_index)]}
    values |= {split: [value] for split, value in (("partition", key.partition_value), ("by", key.by_value)) if value is not None}
    total, found = lanes.records(client, Chosen([job], window, values=values), size=SHOWN)
    return total, with_verdicts(client, found)


def _members(client: Elasticsearch, job: Job, key: SeriesKey, window: Window) -> tuple[pd.DataFrame, list[str]]:
    """Of each member and bucket its value: columns `bucket` and `value`."""
    split = next(each for each in splits(job, KINDS) if key.detector_index in each.detectors)
    recast = in_force(client, job, window.end).recast if split.category is not None else None
    cells, since = stored_cells(client, job, split, window, most=CELLS, recast=recast)
    wanted = (key.partition_value or "", key.by_value or "")
    rows = np.array([pair[:2] == wanted for pair in cells.keys], dtype=bool)
    mine = rows[cells.row] if len(rows) else np.zeros(0, dtype=bool)
    metric = split.metrics[key.detector_index]
    values: NDArray[Any] = cells.values[metric] if metric else cells.docs
    notes = [f"members are known since {iso(since)}: {CELLS:,} of their buckets are the most that is read"]
    table = pd.DataFrame({"bucket": cells.bucket[mine], "value": values[mine].astype(np.float64)}).dropna()
    return table, notes if since > window.start else []


def _top(records: list[dict[str, Any]], totals: dict[int, float]) -> Iterator[dict[str, Any]]:
    """The members of records that come with the highest first."""
    often: dict[str, int] = {}
    best: dict[str, dict[str, Any]] = {}
    for each in records:
        who = str(each["over_field_value"])
        often[who] = often.get(who, 0) + 1
        best.setdefault(who, each)
    for who, record in list(best.items())[:LISTED]:
        actual, whole_ = record["actual"][0], totals.get(record["timestamp"])
        yield {
            "over": who,
            "score": record["record_score"],
            "at": record["timestamp"],
            "actual": actual,
            "typical": record["typical"][0],
            "share": actual / whole_ if whole_ else None,
            "anomalies": often[who],
            "record_id": record["_id"],
        }


def view_rare(client: Elasticsearch, job: Job, key: SeriesKey, window: Window) -> dict[str, Any]:
    """What was rare in a window: of each value when it was first there, and how often before and besides.

    Args:
        client: The cluster.
        job: The job.
        key: Detector, and the partition that is meant, where it is split so.
        window: From when to when.

    Returns:
        `start`, `end`, `bucket_span`, `documents` (in the window), `total` (anomalies), `records` (the `SHOWN` highest) and
        `values`, the `LISTED` highest: `value`, `partition`, `over`, `score`, `at`, `sentence`, `record_id`; of its documents up
        to the window's end `first`, `last` (epoch ms), `count`, `before` (the anomaly), `inside` the window, `times` (starts of
        stretches of `every` seconds that have some). These are None where Elasticsearch cannot search for the value; see `notes`.

    Raises:
        DataError: The detector does not look for what is rare.
    """
    detector = job.detectors[key.detector_index]
    if "rare" not in detector.spec.family or not detector.by_field_name:
        raise DataError("there is nothing rare to look at", where=f"job {job.job_id}, detector {key.detector_index}")
    total, records = _records(client, job, key._replace(by_value=None), window)
    rare = list(_rare(records))
    searchable = not (job.datafeed.aggregations or detector.by_field_name in (MLCATEGORY, *job.datafeed.script_fields))
    notes = (
        []
        if searchable
        else [f"Elasticsearch cannot search for values of {detector.by_field_name}: what follows is of the anomalies alone"]
    )
    found = (
        _counted(client, job, key.detector_index, rare, window)
        if rare and searchable
        else {"documents": None, "every": None, "values": [{}] * len(rare)}
    )
    nothing = dict.fromkeys(("first", "last", "count", "before", "inside", "times"))
    return {
        "job_id": job.job_id,
        "detector": detector.description,
        "bucket_span": job.span_seconds,
        **window.as_dict(),
        "documents": found["documents"],
        "every": found["every"],
        "total": total,
        "records": records,
        "values": [{**each, **nothing, **counts} for each, counts in zip(rare, found["values"], strict=True)],
        "notes": notes,
    }


def _rare(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The values of records that come with the highest first; of a member with rare values the one that it has most."""
    known: set[tuple[Any, ...]] = set()
    for record in records:
        value = record.get("by_field_value", (record.get("causes") or [{}])[0].get("by_field_value"))
        about = (value, record.get("partition_field_value"), record.get("over_field_value"))
        if value is None or about in known or len(known) == LISTED:
            continue
        known.add(about)
        yield {
            **dict(zip(("value", "partition", "over"), about, strict=True)),
            "score": record["record_score"],
            "at": record["timestamp"],
            "sentence": record["driftline"]["sentence"],
            "record_id": record["_id"],
        }


def _counted(client: Elasticsearch, job: Job, number: int, rare: list[dict[str, Any]], window: Window) -> dict[str, Any]:
    """How often each value was there, in one request: nothing but counts comes back."""
    data, detector, time = data_range(client, job), job.detectors[number], job.time_field
    end = min(data.end, window.end)
    buckets = max(1.0, (end - data.start) / job.bucket_span)
    every = job.span_seconds * max(1, round(-(-buckets // TICKS)))
    inside = between(time, window)
    own = {
        "first": {"min": {"field": time}},
        "last": {"max": {"field": time}},
        "inside": {"filter": inside},
        "times": {"date_histogram": {"field": time, "fixed_interval": f"{every}s", "min_doc_count": 1}},
    }
    aggs: dict[str, Any] = {}
    for place, each in enumerate(rare):
        clause = narrowed(job, SeriesKey(number, each["partition"], each["value"], each["over"])).datafeed.query
        former = {"filter": before(time, datetime.fromtimestamp(each["at"] / 1000, UTC))}
        aggs[f"v{place}"] = {"filter": clause, "aggs": {**own, "before": former}}
    wanted = sorted({each["value"] for each in rare})
    clauses: list[dict[str, Any]] = [job.datafeed.query, before(time, window.end)]
    if "" not in wanted:  # which is what documents without the field have
        clauses.append({"terms": {detector.by_field_name: wanted}})
    with explained(f"job {job.job_id}, datafeed.indices"):
        body = searched(job, {"query": {"bool": {"filter": clauses}}, "size": 0, "aggs": aggs})
        found = client.search(index=job.datafeed.indices, **body).body["aggregations"]
        body = searched(job, {"query": {"bool": {"filter": [job.datafeed.query, inside]}}, "size": 0, "track_total_hits": True})
        documents = client.search(index=job.datafeed.indices, **body).body["hits"]["total"]["value"]
    return {"documents": documents, "every": every, "values": [_of_value(found[f"v{place}"]) for place in range(len(rare))]}


def _of_value(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "first": found["first"]["value"],
        "last": found["last"]["value"],
        "count": found["doc_count"],
        "before": found["before"]["doc_count"],
        "inside": found["inside"]["doc_count"],
        "times": [each["key"] for each in found["times"]["buckets"]],
    }
