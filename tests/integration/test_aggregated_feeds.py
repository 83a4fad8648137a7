"""Datafeeds that aggregate, documents that stand for several, runtime fields and scripts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from driftline.core.errors import ClusterError, SourceIndexError
from driftline.core.job import Job
from driftline.core.series import SeriesFrame
from driftline.core.timespan import Window
from driftline.elastic import results
from driftline.elastic.bulk import bulk, index_action
from driftline.pipeline.jobs import reset
from driftline.pipeline.read import read_series
from driftline.pipeline.score import score
from driftline.pipeline.train import train

START, HOUR = datetime(2026, 3, 1, tzinfo=UTC), timedelta(hours=1)
DAYS = 16
SPIKE = 15 * 24 + 7
FIELDS = {
    "@timestamp": {"type": "date"},
    "airline": {"type": "keyword"},
    "ms": {"type": "double"},
    "hits": {"type": "long"},
    "ok": {"type": "boolean"},
}
MAX = {"@timestamp": {"max": {"field": "@timestamp"}}}
MS = {"ms": {"avg": {"field": "ms"}}}
HISTOGRAM = {
    "buckets": {
        "date_histogram": {"field": "@timestamp", "fixed_interval": "30m"},
        "aggregations": {**MAX, "airline": {"terms": {"field": "airline", "size": 10}, "aggregations": MS}},
    }
}
AIRLINES = {"terms": {"field": "airline", "size": 10}}
TERMS = {  # as in the modules for hosts: each host's history is an answer of its own
    "airline": {
        **AIRLINES,
        "aggs": {"again": {**AIRLINES, "aggs": {"b": {**HISTOGRAM["buckets"], "aggregations": {**MAX, **MS}}}}},
    }
}
COMPOSITE = {
    "buckets": {
        "composite": {
            "size": 100,
            "sources": [
                {"when": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1h"}}},
                {"airline": {"terms": {"field": "airline"}}},
            ],
        },
        "aggregations": {**MAX, "ms": {"avg": {"field": "ms"}}, "most": {"max": {"field": "ms"}}},
    }
}


@pytest.fixture(scope="module")
def index(client, module_prefix):
    """Response times of three airlines, each document with how many requests it stands for."""
    rng, name = np.random.default_rng(2), f"{module_prefix}flights"
    client.indices.create(index=name, mappings={"properties": FIELDS}, settings={"number_of_replicas": 0})
    rows = []
    for hour in range(DAYS * 24):
        for airline in ("AAL", "JZA", "KLM"):
            for _ in range(int(rng.poisson(8)) + 1):
                slow = hour == SPIKE and airline == "JZA"
                stamp = int((START + hour * HOUR).timestamp() * 1000) + int(rng.integers(0, 3_600_000))
                ms = float(rng.normal(100, 8) * (12 if slow else 1))
                rows.append({"@timestamp": stamp, "airline": airline, "ms": ms, "hits": int(rng.integers(1, 9)), "ok": ms < 100})
    bulk(client, (index_action(name, None, row) for row in rows))
    client.indices.refresh(index=name)
    return name, rows


def job_of(name: str, index: str, detectors: list[dict[str, Any]], summary: str | None = None, **feed: Any) -> Job:
    definition = {
        "job_id": name,
        "bucket_span": "1h",
        "detectors": detectors,
        "datafeed": {"indices": [index], "on_request": True, **feed},
        "training": {"schedule": "none"},
        **({"summary_count_field_name": summary} if summary else {}),
    }
    return Job.parse(definition, where="test")


def series_of(client: Any, job: Job, place: Any) -> dict[tuple[int, str | None], np.ndarray]:
    handle = read_series(client, job, Window(START, START + 2 * 24 * HOUR), uri=str(place / "series"))
    frame = SeriesFrame.read(handle["uri"])
    return {(key.detector_index, key.partition_value or key.by_value): frame.values[row] for row, key in enumerate(frame.keys)}


def hourly(rows: list[dict[str, Any]], airline: str, what: Any) -> np.ndarray:
    out = []
    for hour in range(48):
        first = (START + hour * HOUR).timestamp() * 1000
        out.append(what([row for row in rows if row["airline"] == airline and first <= row["@timestamp"] < first + 3_600_000]))
    return np.array(out, dtype=np.float64)


DETECTORS = [
    {"function": "count", "partition_field_name": "airline"},
    {"function": "mean", "field_name": "ms", "partition_field_name": "airline"},
]


@pytest.mark.parametrize("aggregations", [HISTOGRAM, COMPOSITE, TERMS], ids=["date_histogram", "composite", "terms"])
def test_what_a_datafeed_aggregates_is_what_the_documents_say(client, index, prefix, tmp_path, aggregations):
    name, rows = index
    found = series_of(client, job_of(f"{prefix}a", name, DETECTORS, "doc_count", aggregations=aggregations), tmp_path)
    aggregated = SeriesFrame.read(str(tmp_path / "series"))
    plain = series_of(client, job_of(f"{prefix}b", name, DETECTORS), tmp_path)
    np.testing.assert_array_equal(aggregated.sizes, SeriesFrame.read(str(tmp_path / "series")).sizes)
    assert found.keys() == plain.keys()
    for key, values in plain.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-9)
    assert found[0, "KLM"].tolist() == hourly(rows, "KLM", len).tolist()


def test_documents_that_stand_for_several_count_as_many(client, index, prefix, tmp_path):
    name, rows = index
    found = series_of(client, job_of(f"{prefix}a", name, DETECTORS, "hits"), tmp_path)
    assert found[0, "JZA"].tolist() == hourly(rows, "JZA", lambda here: sum(row["hits"] for row in here)).tolist()
    mean = hourly(rows, "JZA", lambda here: np.average([row["ms"] for row in here], weights=[row["hits"] for row in here]))
    np.testing.assert_allclose(found[1, "JZA"], mean)


def test_an_aggregated_job_finds_what_was_planted(client, index, prefix):
    detectors = [{"function": "high_mean", "field_name": "ms", "by_field_name": "airline"},
                 {"function": "max", "field_name": "most", "over_field_name": "airline"}]  # fmt: skip
    job = job_of(f"{prefix}a", index[0], detectors, "doc_count", aggregations=COMPOSITE)
    train(client, job, as_of=START + 15 * 24 * HOUR)
    score(client, job, window=Window(START + 15 * 24 * HOUR, START + DAYS * 24 * HOUR))
    top = {}
    for record in results.top_records(client, job.job_id, limit=100):
        top.setdefault(record["detector_index"], record)
    reset(client, job.job_id)
    for number, field in ((0, "by_field_value"), (1, "over_field_value")):
        assert top[number][field] == "JZA"
        assert top[number]["timestamp"] == (START + SPIKE * HOUR).timestamp() * 1000


def test_runtime_fields_are_read_and_keep_a_job_of_its_own_version(client, index, prefix, tmp_path):
    runtime = {"ok": {"type": "keyword"}}  # the boolean in the source, as text
    detectors = [{"function": "count", "partition_field_name": "ok"}]
    job = job_of(f"{prefix}a", index[0], detectors, runtime_mappings=runtime)
    assert job.version != job_of(f"{prefix}a", index[0], detectors).version
    assert {value for _, value in series_of(client, job, tmp_path)} == {"true", "false"}


def test_what_the_cluster_cannot_do_is_named(client, index, prefix, tmp_path):
    script = {"double": {"script": {"source": "doc['ms'].value * 2"}}}
    detectors = [{"function": "mean", "field_name": "double"}]
    with pytest.raises(ClusterError, match="this cluster cannot do Painless scripts"):
        series_of(client, job_of(f"{prefix}a", index[0], detectors, script_fields=script), tmp_path)
    inner = {**MAX, "most": {"max": {"field": "ms"}}, "change": {"derivative": {"buckets_path": "most"}}}
    histogram = {"field": "@timestamp", "fixed_interval": "1h"}
    aggregations = {"buckets": {"date_histogram": histogram, "aggregations": inner}}
    job = job_of(f"{prefix}b", index[0], [{"function": "mean", "field_name": "change"}], "doc_count", aggregations=aggregations)
    with pytest.raises(ClusterError, match=r"this cluster cannot do the aggregation \[derivative\]"):
        series_of(client, job, tmp_path)


def test_a_field_that_no_aggregation_answers_is_named(client, index, prefix, tmp_path):
    detectors = [{"function": "mean", "field_name": "bytes"}]
    job = job_of(f"{prefix}a", index[0], detectors, "doc_count", aggregations=HISTOGRAM)
    with pytest.raises(SourceIndexError, match="no aggregation is called 'bytes'"):
        series_of(client, job, tmp_path)
