"""Datafeeds with aggregations of their own: what these answer are the documents of the job, as in Elastic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from elasticsearch import ApiError

from driftline.core.aggregations import aggregation_names, histogram_of, histogram_path
from driftline.core.errors import DefinitionError
from driftline.core.timespan import Window
from driftline.elastic.client import explained
from driftline.elastic.query import DOCS, SPLITS, filtered, searched, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.elastic.query import Split

    Numbers: TypeAlias = pd.Series[float]
    Columns: TypeAlias = tuple[
        list[tuple[str, str, str]], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], dict[str, NDArray[np.float64]]
    ]

STEPS = 1000  # intervals that are asked for at once, fewer where each has many buckets
Row = dict[str, Any]


def read_aggregated(client: Elasticsearch, job: Job, split: Split, window: Window) -> Columns:
    """The buckets of a split, made of the rows that the datafeed's aggregations answer.

    A row counts as often as its summary count says: means are weighted by it, and a count is its sum.

    Returns:
        The columns of `read.Cells`: keys, row, bucket, docs, values.

    Raises:
        DefinitionError: No aggregation has the name of a field.
        SourceIndexError, ClusterError, ClusterDownError: As `explained` tells.
    """
    rows = pd.DataFrame(list(read_rows(client, job, window)), columns=None)
    if rows.empty:
        rows = pd.DataFrame({"time": pd.Series(dtype=np.int64), DOCS: pd.Series(dtype=np.int64)})
    table = pd.DataFrame({"bucket": rows["time"] // (job.span_seconds * 1000)})
    for name, source in zip(SPLITS, split.fields, strict=True):
        table[name] = _column(job, rows, source).map(_key) if source else ""
        if split.use_null:
            table[name] = table[name].fillna("")
    table["weight"] = _numbers(_column(job, rows, job.summary_count_field_name or DOCS))
    columns = {name: _column(job, rows, source) for name, (_, source) in zip(split.names, split.measures, strict=True)}
    return counted(split, table.dropna(), columns)


def counted(split: Split, table: pd.DataFrame, columns: dict[str, pd.Series[Any]]) -> Columns:
    """Rows as buckets.

    Args:
        split: Whose buckets.
        table: Of each row `bucket`, what `SPLITS` names, and `weight`: how many documents it stands for.
        columns: Measure → its values, by the index of `table`.
    """
    by = [table[name] for name in (*SPLITS, "bucket")]
    found = table["weight"].groupby(by).sum().reset_index()
    keys: dict[tuple[str, str, str], int] = {}
    row = [keys.setdefault(key, len(keys)) for key in zip(*(found[name] for name in SPLITS), strict=True)]
    values = {
        name: np.asarray(_METRICS[metric](columns[name][table.index], table["weight"], by), dtype=np.float64)
        for name, (metric, _) in zip(split.names, split.measures, strict=True)
    }
    bucket, docs = (np.asarray(found[name]).round().astype(np.int64) for name in ("bucket", "weight"))
    return list(keys), np.array(row, dtype=np.int32), bucket, docs, values


def _key(value: object) -> str | None:
    return None if pd.isna(value) else text(value)  # type: ignore[call-overload]


def _column(job: Job, rows: pd.DataFrame, name: str) -> pd.Series[Any]:
    if name in rows.columns:
        return rows[name]
    names = sorted({DOCS, *aggregation_names(job.datafeed.aggregations or {})})
    if name in names:  # none of it was there
        return pd.Series(None, index=rows.index, dtype=object)
    raise DefinitionError(
        f"no aggregation is called '{name}'", where=f"job {job.job_id}, datafeed.aggregations", expected=", ".join(names)
    )


def _numbers(column: pd.Series[Any]) -> Numbers:
    return pd.to_numeric(column, errors="coerce").astype(np.float64)


def _mean(column: pd.Series[Any], weight: Numbers, by: list[Any]) -> Numbers:
    values = _numbers(column)
    total = weight.where(values.notna()).groupby(by).sum()
    return (values * weight).groupby(by).sum() / total.where(total > 0)


def _variance(column: pd.Series[Any], weight: Numbers, by: list[Any]) -> Numbers:
    values = _numbers(column)
    middle = values.groupby(by).transform("mean")  # what is squared is small, so nothing is lost
    return _mean((values - middle) ** 2, weight, by) - _mean(values - middle, weight, by) ** 2


_METRICS: dict[str, Callable[[pd.Series[Any], Numbers, list[Any]], Numbers]] = {
    "mean": _mean,
    "varp": _variance,
    "std_deviation": lambda column, weight, by: _variance(column, weight, by).clip(lower=0) ** 0.5,  # rounding may be below zero
    "sum": lambda column, _, by: _numbers(column).groupby(by).sum(),
    "non_null_sum": lambda column, _, by: _numbers(column).groupby(by).sum(min_count=1),
    "min": lambda column, _, by: _numbers(column).groupby(by).min(),
    "max": lambda column, _, by: _numbers(column).groupby(by).max(),
    "median": lambda column, _, by: _numbers(column).groupby(by).median(),
    "distinct_count": lambda column, _, by: column.groupby(by).nunique().astype(np.float64),
}


def read_rows(client: Elasticsearch, job: Job, window: Window) -> Iterator[Row]:
    """What the aggregations answer, as rows with `time` in epoch milliseconds."""
    aggregations = job.datafeed.aggregations or {}
    path = histogram_path(aggregations)
    begin, end = (int(edge.timestamp() * 1000) for edge in (window.start, window.end))
    found: Iterator[tuple[Row, Row, int]]
    if "composite" in histogram_of(aggregations):
        found = (({}, bucket, time) for bucket, time in _pages(client, job, window, path[0], aggregations[path[0]]))
    else:
        found = _histograms(client, job, window, path)
    for around, bucket, time in found:
        if begin <= time < end:
            yield from _flat(bucket, {**around, "time": time})


def _histograms(client: Elasticsearch, job: Job, window: Window, path: tuple[str, ...]) -> Iterator[tuple[Row, Row, int]]:
    """The buckets of a date histogram, and what they are within, asked for in pieces that Elasticsearch answers."""
    step, start, steps = job.aggregation_interval, window.start, STEPS
    while start < window.end:
        end = min(start + steps * step, window.end)
        try:
            # what compares a bucket with the one before it needs that, too
            answer = _search(client, job, Window(start - step, end), job.datafeed.aggregations or {})
        except ApiError as error:
            if "too_many_buckets" not in str(error.body) or steps == 1:
                with explained(f"job {job.job_id}, datafeed.aggregations"):
                    raise
            steps = max(1, steps // 4)
            continue
        first = int(start.timestamp() * 1000)
        yield from ((around, bucket, bucket["key"]) for around, bucket in _within(answer, path, {}) if bucket["key"] >= first)
        start = end


def _within(answer: Row, path: tuple[str, ...], around: Row) -> Iterator[tuple[Row, Row]]:
    """The buckets at the end of a path, with the keys of those that they are within."""
    name, *rest = path
    found = answer[name]
    if not rest:
        yield from ((around, bucket) for bucket in found["buckets"])
    elif "buckets" not in found:  # of one bucket, such as a filter
        yield from _within(found, tuple(rest), around)
    else:
        for each in _listed(found["buckets"]):
            yield from _within(each, tuple(rest), {**around, name: each.get("key_as_string", each["key"])})


def _listed(buckets: list[Row] | dict[str, Row]) -> list[Row]:
    """Buckets as a list, also where each has a name."""
    return [{"key": key, **one} for key, one in buckets.items()] if isinstance(buckets, dict) else buckets


def _pages(client: Elasticsearch, job: Job, window: Window, name: str, top: dict[str, Any]) -> Iterator[tuple[Row, int]]:
    """The buckets of a composite aggregation, page by page."""
    (time,) = (source for part in top["composite"]["sources"] for source, body in part.items() if "date_histogram" in body)
    after: dict[str, Any] | None = None
    while True:
        asked = {**top, "composite": {**top["composite"], **({"after": after} if after else {})}}
        with explained(f"job {job.job_id}, datafeed.aggregations"):
            answer = _search(client, job, window, {name: asked})[name]
        for bucket in answer["buckets"]:
            parts = {part: {"value": value} for part, value in bucket["key"].items()}
            yield {**parts, **bucket}, int(bucket["key"][time])
        after = answer.get("after_key")
        if after is None or not answer["buckets"]:
            return


def _search(client: Elasticsearch, job: Job, window: Window, aggs: dict[str, Any]) -> dict[str, Any]:
    body = searched(job, {"size": 0, "track_total_hits": False, "query": filtered(job, window), "aggs": aggs})
    answer = client.search(index=job.datafeed.indices, allow_partial_search_results=False, **body).body
    found: dict[str, Any] = answer["aggregations"]
    return found


def _flat(bucket: Row, row: Row) -> Iterator[Row]:
    """A bucket and the buckets in it as rows."""
    row = {**row, DOCS: bucket[DOCS]}
    inner: list[tuple[str, list[Row]]] = []
    _fields(bucket, row, inner)
    if not inner:
        yield row
        return
    for name, buckets in inner:
        for each in buckets:
            yield from _flat(each, {**row, name: each.get("key_as_string", each["key"])})


def _fields(bucket: Row, row: Row, inner: list[tuple[str, list[Row]]]) -> None:
    """The single values of a bucket go to the row, its buckets to `inner`; aggregations with one bucket are looked into."""
    for name, answer in bucket.items():
        if not isinstance(answer, dict) or name == "key":
            continue
        if "buckets" in answer:
            inner.append((name, _listed(answer["buckets"])))
        elif "value" in answer:
            row[name] = answer["value"]
        elif "values" in answer:
            values = answer["values"]
            row[name] = next(iter(values.values()) if isinstance(values, dict) else (one["value"] for one in values), None)
        elif DOCS in answer:
            row[name] = answer[DOCS]
            _fields(answer, row, inner)
