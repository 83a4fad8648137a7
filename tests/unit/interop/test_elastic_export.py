"""What is exported is what Elastic's API takes, whatever the job; and nothing of what was imported is lost."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from elastic_request import FUNCTIONS as TAKEN
from elastic_request import PutJob, seconds
from pydantic import ValidationError
from test_elastic_jobs import FEED, JOB, SHARED, write

from driftline.core.errors import DefinitionError
from driftline.core.functions import FUNCTIONS
from driftline.core.job import Job
from driftline.core.paths import ROOT
from driftline.interop.elastic_export import exported, numbers, shown, to_elastic
from driftline.interop.elastic_files import find_jobs
from driftline.interop.elastic_jobs import to_job
from driftline.pipeline.imports import export_job, import_jobs

NEWEST = {"@timestamp": {"max": {"field": "@timestamp"}}}
HISTOGRAM = {"date_histogram": {"field": "@timestamp", "fixed_interval": "5m"}}
RULES = [
    {"scope": {"host": {"filter_id": "safe", "filter_type": "exclude"}}},
    {"actions": ["skip_result", "skip_model_update"], "conditions": [{"applies_to": "actual", "operator": "lt", "value": 5}]},
    {
        "actions": ["force_time_shift"],
        "conditions": [{"applies_to": "time", "operator": "gte", "value": 1.7e9}],
        "params": {"force_time_shift": {"time_shift_amount": 3600}},
    },
]


def job(**changes: Any) -> Job:
    data = {"job_id": "web", "detectors": [{"function": "count"}], "datafeed": {"indices": ["logs-*"]}}
    return Job.parse({**data, **changes}, where="test")


def feed(**changes: Any) -> dict[str, Any]:
    return {"indices": ["logs-*"], **changes}


def detector(name: str) -> dict[str, Any]:
    """A detector of a function with all that it can have."""
    function, out = FUNCTIONS[name], {"function": name, "partition_field_name": "host", "use_null": True}
    if function.needs_field:
        out["field_name"] = "bytes"
    if function.family in ("rare", "freq_rare"):
        out |= {"by_field_name": "user", "exclude_frequent": "by"}
    if function.family == "freq_rare":
        out["over_field_name"] = "ip"
    return out


def aggregated(*aggregations: dict[str, Any], **changes: Any) -> Job:
    detectors = [{"function": "mean", "field_name": "ms", "partition_field_name": "host"}]
    (one,) = aggregations
    return job(detectors=detectors, summary_count_field_name="doc_count", datafeed=feed(aggregations=one, **changes))


MS = {"ms": {"avg": {"field": "ms"}}}
SOURCES = [{"when": HISTOGRAM}, {"host": {"terms": {"field": "host"}}}]
KINDS = {
    "least": job(),
    "rules": job(detectors=[{"function": "count", "partition_field_name": "host", "custom_rules": RULES}]),
    "population": job(detectors=[{"function": "sum", "field_name": "b", "over_field_name": "ip", "exclude_frequent": "all"}]),
    "words": job(description="Requests", groups=["Web Shop", "web", "ops"], influencers=["host", "user.name"]),
    "spans": job(bucket_span="90m", model_prune_window="3d", datafeed=feed(query_delay="1m30s", frequency="90m")),
    "late": job(datafeed=feed(delayed_data_check_config={"check_window": "30h"})),
    "not looked for late": job(datafeed=feed(delayed_data_check_config={"enabled": False})),
    "plot": job(model_plot_config={"enabled": True}),
    "summary": job(summary_count_field_name="hits"),
    "runtime": job(datafeed=feed(runtime_mappings={"day": {"type": "long", "script": {"source": "emit(1)"}}})),
    "script": job(
        detectors=[{"function": "mean", "field_name": "twice"}],
        datafeed=feed(script_fields={"twice": {"script": {"source": "doc['a'].value * 2", "lang": "painless"}}}),
    ),
    "date histogram": aggregated({"b": {**HISTOGRAM, "aggs": {"host": {"terms": {"field": "host"}, "aggs": MS}}}}),
    "composite": aggregated({"b": {"composite": {"sources": SOURCES}, "aggregations": MS}}, frequency="15m"),
    "within terms": aggregated({"host": {"terms": {"field": "host"}, "aggs": {"b": {**HISTOGRAM, "aggs": {**NEWEST, **MS}}}}}),
    "all that is ours": job(
        time_zone="Europe/Berlin",
        paused=True,
        markers=[{"at": "2026-01-01"}],
        training={"window": "40d"},
        forecast={"schedule": "none"},
        quality={"freshness": "stop"},
        datafeed=feed(start="2026-01-01", end="2026-02-01"),
    ),
    **{f"function {name}": job(detectors=[detector(name)]) for name in FUNCTIONS},
}


@pytest.mark.parametrize("name", KINDS)
def test_what_is_exported_is_what_elastic_takes(name):
    body = to_elastic(KINDS[name])
    PutJob.model_validate(body)
    assert json.loads(json.dumps(body)) == body


@pytest.mark.parametrize("path", sorted((ROOT / "include" / "jobs").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_jobs_that_come_with_driftline_are_what_elastic_takes(path):
    PutJob.model_validate(to_elastic(Job.load(path)))


@pytest.mark.parametrize("name", KINDS)
def test_a_job_comes_back_from_an_export_as_it_was_but_for_what_is_named(name, tmp_path):
    before = KINDS[name]
    body, notes = exported(before)
    (found,), _ = find_jobs([write(tmp_path, web=body)])
    after = to_job(found).job
    # what elastic does not have: said in the notes of the export
    unsaid = {"training", "forecast", "quality", "markers", "time_zone", "paused", "elastic"}
    if not notes:
        one, two = (each.model_dump(mode="json", exclude=unsaid) for each in (before, after))
        for each in (one, two):
            each["datafeed"].pop("aggregations")  # the newest time is added
        assert one == two
    assert to_elastic(after) == body, "and what was exported once is exported again"


def test_what_elastic_has_no_word_for_is_said():
    assert exported(KINDS["least"])[1] == []
    assert exported(KINDS["words"])[1] == [
        "groups: 'Web Shop' becomes 'web-shop': Elastic's groups have the form of ids",
        "groups: 'web' is left out: in Elastic a group cannot be called like the job",
    ]
    body, notes = exported(job(detectors=[{"function": "high_std_deviation", "field_name": "b"}]))
    assert body["analysis_config"]["detectors"] == [
        {"function": "high_varp", "field_name": "b", "detector_description": "high_std_deviation(b)"}
    ]
    assert notes == ["detectors.0: Elastic has no function 'high_std_deviation'; 'high_varp' looks at its square instead"]
    assert exported(KINDS["late"])[1] == [
        "datafeed.delayed_data_check_config.check_window: 30h becomes 24h, Elastic's longest",
    ]
    ours = [f"{name} is Driftline's own: it is not exported" for name in
            ("forecast", "markers", "paused", "quality", "time_zone", "training", "datafeed.end", "datafeed.start")]  # fmt: skip
    assert exported(KINDS["all that is ours"])[1] == ours
    assert exported(job(influencers=["user", "user.name"]))[1] == [
        "Elastic refuses 'user' and 'user.name' as split fields or influencers of one job"
    ]


OTHER = {"function": "sum", "field_name": "x"}


@pytest.mark.parametrize("ours", [{"query": {"match_all": {}}}, {"given": OTHER}, {"per": OTHER}])
def test_a_detector_that_elastic_cannot_have_is_left_out_and_named_rather_than_made_another(ours):
    mine, name = {"function": "count", **ours}, next(iter(ours))
    body, notes = exported(job(detectors=[mine, {"function": "low_count"}]))
    assert body["analysis_config"]["detectors"] == [{"function": "low_count"}]
    assert notes == [f"detectors.0 is not exported: Elastic has no {name} of a detector"]
    with pytest.raises(DefinitionError, match="nothing is left to export"):
        exported(job(detectors=[mine]))
    with pytest.raises(DefinitionError, match=f"detectors.0: {name}"):
        export_job(job(detectors=[mine]), "loudml")


def test_who_looks_at_a_job_sees_each_of_its_detectors_by_its_number():
    ratio = {"function": "high_count", "per": {"function": "sum", "field_name": "b"}}
    made = [ratio, *({"function": each, "field_name": "b"} for each in ("min", "max", "mean"))]
    metric = {"function": "metric"}
    looked = job(detectors=[*made, {"function": "count"}], elastic={"detectors": [{}, metric, metric, metric, {}]})
    assert shown(looked)["analysis_config"]["detectors"] == [
        {"function": "high_count", "detector_description": "high_count per sum(b)", "detector_index": 0},
        {"function": "metric", "field_name": "b", "detector_index": 1},
        {"function": "count", "detector_index": 4},
    ]
    assert numbers(looked) == [[0], [1, 2, 3], [4]]
    assert [each["function"] for each in to_elastic(looked)["analysis_config"]["detectors"]] == ["metric", "count"]


def test_the_functions_are_elastics_but_for_those_that_are_named():
    assert FUNCTIONS.keys() - TAKEN == {"std_deviation", "high_std_deviation", "low_std_deviation"}
    assert TAKEN - FUNCTIONS.keys() == {
        "metric", "nzc", "low_nzc", "high_nzc", "dc", "low_dc", "high_dc", "avg", "low_avg", "high_avg",
    }  # fmt: skip


WHOLE: dict[str, Any] = {
    "job_id": "whole",
    "job_type": "anomaly_detector",
    "job_version": "9.2.4",
    "create_time": 1_700_000_000_000,
    "finished_time": 1_700_000_000_001,
    "model_snapshot_id": "1700000000",
    "model_snapshot_min_version": "8.3.0",
    "description": "all that a job can say",
    "groups": ["web", "shop"],
    "allow_lazy_open": True,
    "analysis_limits": {"model_memory_limit": "64mb", "categorization_examples_limit": 4},
    "background_persist_interval": "3h",
    "custom_settings": {"created_by": "advanced-wizard", "state": "kept", "custom_urls": [{"url_name": "a", "url_value": "b"}]},
    "daily_model_snapshot_retention_after_days": 1,
    "model_snapshot_retention_days": 10,
    "renormalization_window_days": 30,
    "results_index_name": "custom-web",
    "results_retention_days": 90,
    "model_plot_config": {"enabled": True, "annotations_enabled": True, "terms": "a,b"},
    "data_description": {"time_field": "@timestamp", "time_format": "epoch_ms", "format": "xcontent"},
    "analysis_config": {
        "bucket_span": "15m",
        "influencers": ["host", "state"],
        "latency": "0s",
        "model_prune_window": "30d",
        "detectors": [
            {
                "function": "HIGH_COUNT",
                "detector_description": "too many",
                "partition_field_name": "state",
                "over_field_name": "ip",
                "exclude_frequent": "ALL",
                "use_null": True,
                "detector_index": 0,
                "custom_rules": [{"actions": ["skip_model_update"], "scope": {"state": {"filter_id": "states"}}}],
            },
            {"function": "metric", "field_name": "ms", "by_field_name": ""},
        ],
    },
    "datafeed_config": {
        "datafeed_id": "datafeed-whole",
        "job_id": "whole",
        "authorization": {"roles": ["superuser"]},
        "indices": ["a-*", "b"],
        "indices_options": {"expand_wildcards": ["open"], "ignore_unavailable": True, "allow_no_indices": True},
        "query": {"bool": {"filter": [{"term": {"state": "ok"}}]}},
        "query_delay": "60s",
        "frequency": "15m",
        "scroll_size": 1000,
        "max_empty_searches": 10,
        "chunking_config": {"mode": "manual", "time_span": "1h"},
        "delayed_data_check_config": {"enabled": True, "check_window": "2h"},
        "runtime_mappings": {"roles": {"type": "keyword", "script": {"source": "emit('a')"}}},
        "script_fields": {"ms": {"script": {"source": "1", "lang": "painless", "params": {"node": 1}}, "ignore_failure": False}},
    },
}  # fmt: skip


def test_a_job_that_says_all_that_it_can_loses_nothing_but_what_the_api_sets(tmp_path):
    (found,), _ = find_jobs([write(tmp_path, whole=WHOLE)])
    made = to_job(found)
    assert made.status == "imported_with_notes", made.notes
    body = to_elastic(made.job)
    PutJob.model_validate(body)
    wanted = copy.deepcopy(WHOLE)
    for name in ("job_type", "job_version", "create_time", "finished_time", "model_snapshot_id", "model_snapshot_min_version"):
        del wanted[name]
    first, second = wanted["analysis_config"]["detectors"]
    first |= {"function": "high_count", "exclude_frequent": "all"}
    del second["by_field_name"], wanted["datafeed_config"]["authorization"], wanted["datafeed_config"]["job_id"]
    wanted["datafeed_config"]["query_delay"] = "1m"
    assert body == wanted
    (again,), _ = find_jobs([write(tmp_path, whole=body)])
    assert to_elastic(to_job(again).job) == body


# what the API sets itself or no longer takes, another name of the indices, and where the datafeed belongs to
LOST = {
    "job_type", "job_version", "create_time", "finished_time", "model_snapshot_id", "types", "format", "field_delimiter",
    "quote_character", "indexes", "job_id", "use_per_partition_normalization",
}  # fmt: skip


def leaves(value: Any, place: str = "") -> dict[str, Any]:
    """Place → value, spans as seconds."""
    if isinstance(value, dict):
        return {key: each for name, inner in value.items() for key, each in leaves(inner, f"{place}.{name}").items()}
    if isinstance(value, list):
        return {key: each for number, inner in enumerate(value) for key, each in leaves(inner, f"{place}[{number}]").items()}
    try:
        return {place: seconds(value)}
    except (TypeError, ValueError):
        return {place: value}


@pytest.mark.skipif(not SHARED.exists(), reason="Elastic's job files are not there")
def test_the_public_jobs_lose_nothing_on_the_way_there_and_back(tmp_path):
    files, _ = find_jobs([SHARED])
    assert len(files) == 30
    taken = {each.file: each.job for each in import_jobs(None, [SHARED])}
    for number, file in enumerate(files):
        first = taken[str(file.path)]
        body = to_elastic(first)
        PutJob.model_validate(body)
        folder = tmp_path / str(number)
        folder.mkdir()
        (found,), _ = find_jobs([write(folder, job=body)])
        again = to_job(found).job
        assert to_elastic(again) == body, file.path
        unset = {"elastic": {}}  # what the API sets itself is not asked for again
        assert (again.model_copy(update=unset), again.version) == (first.model_copy(update=unset), first.version), file.path
        given, kept = leaves({**file.job, "datafeed_config": file.datafeed}), leaves(body)
        said = {place: value for place, value in given.items() if value not in ("", None, False, "INDEX_PATTERN_NAME")}
        lost = {place for place, value in said.items() if kept.get(place) != value}
        assert {re.sub(r"\[\d+\]", "", place).rpartition(".")[2] for place in lost} <= LOST, file.path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"analysis_config": {"detectors": [{"function": "std_deviation", "field_name": "a"}]}}, "unknown function"),
        ({"analysis_config": {"bucket_span": "1h30m", "detectors": [{"function": "count"}]}}, "no duration"),
        ({"groups": ["Web Shop"]}, "no id"),
        ({"training": {}}, "Extra inputs"),
        ({"datafeed_config": feed(delayed_data_check_config={"check_window": "1h"})}, "enabled"),
        ({"datafeed_config": feed(delayed_data_check_config={"enabled": True, "check_window": "2d"})}, "check_window"),
        ({"analysis_config": {"latency": "5s", "detectors": [{"function": "count"}]}}, "latency"),
    ],
)
def test_the_checks_see_what_elastic_does_not_take(change, message):
    with pytest.raises(ValidationError, match=message):
        PutJob.model_validate({**to_elastic(KINDS["least"]), **change})


def test_latency_becomes_how_long_documents_are_waited_for(tmp_path):
    analysis = {**JOB["analysis_config"], "latency": "10m"}
    (found,), _ = find_jobs([write(tmp_path, web={**JOB, "analysis_config": analysis, "datafeed_config": FEED})])
    made = to_job(found)
    assert "analysis_config.latency becomes datafeed.query_delay 10m: buckets are left alone for so long" in made.notes
    body = to_elastic(made.job)
    PutJob.model_validate(body)
    assert body["datafeed_config"]["query_delay"] == "10m"
    assert "latency" not in body["analysis_config"]
