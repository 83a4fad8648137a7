"""Files in the shapes that Elastic's, Kibana's and their APIs' have: each becomes a job, whatever else is in it."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from elastic_request import PutJob
from test_elastic_export import WHOLE
from test_elastic_jobs import write

from driftline.interop.elastic_export import to_elastic
from driftline.interop.elastic_files import find_jobs
from driftline.interop.elastic_jobs import to_job
from driftline.pipeline.imports import import_jobs

if TYPE_CHECKING:
    from pathlib import Path

NEWEST = {"@timestamp": {"max": {"field": "@timestamp"}}}


def analysis(*detectors: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"bucket_span": "15m", "detectors": list(detectors), "influencers": ["host.name"], **more}


def of(*detectors: dict[str, Any], summary: str | None = None, **more: Any) -> dict[str, Any]:
    """A job as a module has it: without an id of its own."""
    return {
        "job_type": "anomaly_detector",
        "groups": ["some-group"],
        "description": "Group: Detects something",
        "analysis_config": analysis(*detectors, **({"summary_count_field_name": summary} if summary else {})),
        "analysis_limits": {"model_memory_limit": "11mb", "categorization_examples_limit": 4},
        "data_description": {"time_field": "@timestamp", "time_format": "epoch_ms"},
        "custom_settings": {"created_by": "ml-module-some", "managed": True, "job_revision": 2, "custom_urls": []},
        **more,
    }


def feed(**more: Any) -> dict[str, Any]:
    return {
        "job_id": "JOB_ID",
        "indices": ["INDEX_PATTERN_NAME"],
        "query": {"bool": {"filter": [{"exists": {"field": "a"}}]}},
        **more,
    }


HOSTS = {"terms": {"field": "host.name", "size": 100}}
PLOT = {"enabled": True, "annotations_enabled": True}
OFF = {"mode": "off"}
BUCKETS = {"date_histogram": {"field": "@timestamp", "fixed_interval": "5m"}}
RATES = {
    **NEWEST,
    "total": {"max": {"field": "bytes"}},
    "change": {"derivative": {"buckets_path": "total"}},
    "positive": {"bucket_script": {"buckets_path": {"c": "change.value"}, "script": "params.c > 0.0 ? params.c : 0.0"}},
}
COMPOSITE = {
    "composite": {
        "size": 5000,
        "sources": [
            {"date": {"date_histogram": {"field": "@timestamp", "fixed_interval": "90s"}}},
            {"service.name": {"terms": {"field": "service.name"}}},
        ],
    },
    "aggs": {
        **NEWEST,
        "latency": {"avg": {"field": "duration.histogram"}},
        "throughput": {"rate": {"unit": "minute"}},
        "failed": {"filter": {"term": {"outcome": "failure"}}, "aggs": {"number": {"value_count": {"field": "outcome"}}}},
        "share": {"bucket_script": {"buckets_path": {"f": "failed>_count"}, "script": "params.f"}},
    },
}
SERVICES = [
    {"function": "high_mean", "field_name": "latency", "partition_field_name": "service.name"},
    {"function": "mean", "field_name": "throughput", "partition_field_name": "service.name"},
]
# Family → its jobs, each with its datafeed.
FAMILIES: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "web access logs": [
        (of({"function": "high_count", "over_field_name": "source.address", "detector_description": "too many"}), feed()),
        (of({"function": "non_zero_count", "partition_field_name": "status"}), feed()),
        (of({"function": "low_count"}, summary="doc_count"), feed(aggregations={"buckets": {**BUCKETS, "aggregations": NEWEST}})),
        (of({"function": "high_distinct_count", "field_name": "url", "over_field_name": "source.address"}), feed()),
    ],
    "log rates": [
        (
            of({"function": "count", "partition_field_name": "dataset", "use_null": True}, model_plot_config=PLOT),
            feed(runtime_mappings={"dataset": {"type": "keyword", "script": {"source": "emit('a')"}}}),
        )
    ],
    "hosts": [
        (
            of({"function": "max", "field_name": "change"}, summary="doc_count"),
            feed(
                aggregations={"host.name": {**HOSTS, "aggregations": {"buckets": {**BUCKETS, "aggregations": RATES}}}},
                chunking_config={"mode": "manual", "time_span": "900s"},
                indices_options={"allow_no_indices": True},
            ),
        ),
        (of({"function": "max", "field_name": "memory", "partition_field_name": "host.name", "use_null": True}), feed()),
    ],
    "services": [
        (
            of({"function": "high_mean", "field_name": "latency", "by_field_name": "service.name"}, summary="doc_count")
            | {"analysis_config": analysis(*SERVICES, summary_count_field_name="doc_count", model_prune_window="30d")},
            feed(aggregations={"buckets": COMPOSITE}, chunking_config=OFF, indices_options={"ignore_unavailable": True}),
        )
    ],
    "uptime": [(of({"function": "high_mean", "field_name": "us", "partition_field_name": "place", "use_null": True},
                   allow_lazy_open=True), feed())],
    "security": [
        (of({"function": "rare", "by_field_name": "process.name", "partition_field_name": "host.name"}, allow_lazy_open=True),
         feed(max_empty_searches=10, query={"bool": {"must_not": {"terms": {"_tier": ["data_frozen", "data_cold"]}}}})),
        (of({"function": "time_of_day", "by_field_name": "user.name"}),
         feed(script_fields={"entity": {"script": {"id": "stored_script"}}})),
        (of({"function": "high_info_content", "field_name": "url", "over_field_name": "ip", "exclude_frequent": "all"}), feed()),
        (of({"function": "lat_long", "field_name": "geo", "partition_field_name": "user.name"}), feed()),
        (of({"function": "freq_rare", "by_field_name": "port", "over_field_name": "ip"}), feed()),
    ],
    "samples": [
        (of({"function": "high_sum", "field_name": "price", "over_field_name": "customer"}, results_index_name="custom",
            model_snapshot_retention_days=10, daily_model_snapshot_retention_after_days=1, renormalization_window_days=30,
            background_persist_interval="3h"),
         feed(query_delay="60s", scroll_size=1000, delayed_data_check_config={"enabled": True})),
    ],
}  # fmt: skip


def module(folder: Path, name: str) -> Path:
    """A module's folder: manifest, jobs and datafeeds in `ml`, and what Kibana shows beside them."""
    (folder / "ml").mkdir(parents=True)
    (folder / "kibana" / "dashboard").mkdir(parents=True)
    entries = [f"{name.replace(' ', '_')}_{number}" for number in range(len(FAMILIES[name]))]
    for entry, (job, source) in zip(entries, FAMILIES[name], strict=True):
        write(folder / "ml", **{entry: job, f"datafeed_{entry}": source})
    manifest = {
        "id": "some",
        "title": "Some",
        "type": "Data",
        "logoFile": "logo.json",
        "defaultIndexPattern": "some-*,other-*",
        "query": {"match_all": {}},
        "jobs": [{"id": entry, "file": f"{entry}.json"} for entry in entries],
        "datafeeds": [{"id": f"datafeed-{entry}", "file": f"datafeed_{entry}.json", "job_id": entry} for entry in entries],
        "kibana": {"dashboard": [{"id": "d", "file": "d.json"}]},
    }
    write(folder, manifest=manifest, logo={"icon": "logoKibana"})
    write(folder / "kibana" / "dashboard", d={"title": "D", "panelsJSON": "[]", "kibanaSavedObjectMeta": {}})
    return folder


@pytest.mark.parametrize("name", FAMILIES)
def test_a_module_is_imported_and_exported_whole(name, tmp_path):
    found = import_jobs(None, [module(tmp_path, name)])
    jobs = [each for each in found if each.job_id]
    assert [each.status for each in jobs] == ["imported_with_notes"] * len(FAMILIES[name]), [each.notes for each in jobs]
    assert {each.status for each in found if not each.job_id} == {"not_a_job"}
    for each in jobs:
        assert each.job is not None
        assert each.job.datafeed.indices == ["some-*", "other-*"]
        PutJob.model_validate(to_elastic(each.job))


ONE, SOURCE = FAMILIES["web access logs"][0]
JOB = {"job_id": "web", **ONE}
FEED = {**SOURCE, "job_id": "web", "datafeed_id": "datafeed-web", "indices": ["web-*"]}
SHAPES: dict[str, dict[str, Any]] = {
    "the API's answers": {"jobs": {"count": 1, "jobs": [JOB]}, "feeds": {"count": 1, "datafeeds": [FEED]}},
    "a job with its datafeed": {"a": {**JOB, "datafeed_config": FEED}},
    "the API's answer with datafeeds": {"a": {"count": 1, "jobs": [{**JOB, "datafeed_config": FEED}]}},
    "Kibana's export": {"a": [{"job": JOB, "datafeed": FEED}]},
    "one of Kibana's": {"a": {"job": JOB, "datafeed": FEED}},
    "id and config": {
        "a": [{"id": "web", "config": ONE}],
        "b": {"id": "datafeed-web", "config": {**SOURCE, "indices": ["web-*"]}},
    },
    "a module as Kibana answers it": {
        "a": {
            "id": "some",
            "jobs": [{"id": "web", "config": ONE}],
            "datafeeds": [{"id": "datafeed-web", "config": {**SOURCE, "indices": ["web-*"]}}],
        }
    },
    "files by name": {"web": ONE, "datafeed_web": {**SOURCE, "indices": ["web-*"]}},
    "one file of a list": {"a": [JOB, FEED]},
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_job_is_found_with_its_datafeed_in_every_shape(name, tmp_path):
    found = import_jobs(None, [write(tmp_path, **SHAPES[name])])
    (made,) = [each for each in found if each.job_id]
    assert made.job is not None, made.notes
    assert (made.job_id, made.job.datafeed.indices) == ("web", ["web-*"])
    assert {each.status for each in found} <= {"imported_with_notes", "not_a_job"}


@pytest.mark.parametrize(
    "content",
    [
        {"count": 0, "jobs": []},
        {"jobs": [3, None, {"id": 1}], "datafeeds": "x", "defaultIndexPattern": 7},
        {"count": 1, "jobs": [{"job_id": "web", "state": "opened", "data_counts": {}}]},
        [{"id": "outliers", "source": {"index": "a"}, "analysis": {"outlier_detection": {}}}],
        "text",
    ],
)
def test_what_is_no_job_is_said_to_be_none(content, tmp_path):
    found = import_jobs(None, [write(tmp_path, a=json.dumps(content))])
    assert {(each.status, each.job_id) for each in found} == {("not_a_job", None)}


def test_a_file_that_is_nested_without_end_is_refused(tmp_path):
    (found,) = import_jobs(None, [write(tmp_path, deep="[" * 100_000)])
    assert (found.status, found.notes) == ("refused", ["not valid JSON: it is nested too deeply"])


JUNK: list[Any] = [None, -3, True, "x", [], {}, [[3]], {"a": {"b": [1]}}, "🎉" * 300]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for name, one in inner for each in places(one, (*path, name)))] if path else [
        each for name, one in inner for each in places(one, (name,))
    ]  # fmt: skip


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    whole = copy.deepcopy(value)
    here = whole
    for name in path[:-1]:
        here = here[name]
    here[path[-1]] = to
    return whole


OLD_RULE = {"rule_action": "filter_results", "rule_conditions": [
    {"condition_type": "numerical_actual", "condition": {"operator": "lt", "value": "5"}},
    {"condition_type": "categorical", "field_name": "ip", "value_filter": "safe"},
]}  # fmt: skip
BROKEN_FROM = {
    "whole": changed(WHOLE, ("analysis_config", "detectors", 0, "detector_rules"), [OLD_RULE]),
    "composite": {"job_id": "c", **FAMILIES["services"][0][0], "datafeed_config": FAMILIES["services"][0][1]},
    "terms": {"job_id": "t", **FAMILIES["hosts"][0][0], "datafeed_config": FAMILIES["hosts"][0][1]},
    "counts": {"job_id": "n", **FAMILIES["web access logs"][2][0], "datafeed_config": FAMILIES["web access logs"][2][1]},
}


@pytest.mark.parametrize("name", BROKEN_FROM)
def test_whatever_stands_where_in_a_file_it_is_a_job_or_is_refused(name, tmp_path):
    """Each value in turn is replaced by each kind of nonsense."""
    whole = BROKEN_FROM[name]
    path = tmp_path / "a.json"
    for place in places(whole):
        for junk in JUNK:
            path.write_text(json.dumps(changed(whole, place, junk)), encoding="utf-8")
            jobs, _ = find_jobs([path])
            for found in jobs:
                made = to_job(found, index_pattern="a")
                assert made.status in ("imported", "imported_with_notes", "refused"), (place, junk)
                if made.job:
                    assert made.job.version
                    to_elastic(made.job)
                else:
                    assert made.notes
