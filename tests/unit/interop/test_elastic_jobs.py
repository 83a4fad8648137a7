"""Elastic's job files: what becomes of them, and that nothing is lost on the way there and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from driftline.core.errors import DefinitionError
from driftline.core.paths import ROOT
from driftline.interop.elastic_export import to_elastic
from driftline.interop.elastic_files import Found, find_jobs
from driftline.interop.elastic_jobs import to_job
from driftline.pipeline.imports import import_jobs

PLACES = [top / "shared" / "data" / "elastic_jobs" for top in ROOT.parents]
SHARED = next((place for place in PLACES if place.exists()), PLACES[0])
JOB = {
    "description": "requests",
    "analysis_config": {"detectors": [{"function": "count", "partition_field_name": "host"}], "influencers": ["host"]},
    "data_description": {"time_field": "@timestamp", "time_format": "epoch_ms"},
    "analysis_limits": {"model_memory_limit": "64mb"},
}
FEED = {"job_id": "web", "indices": ["logs-*"], "query": {"term": {"types": "a"}}, "scroll_size": 1000, "query_delay": "90s"}


def write(folder: Path, **files: object) -> Path:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_a_job_and_its_datafeed_are_paired_by_id_and_become_a_job(tmp_path):
    jobs, others = find_jobs([write(tmp_path, web=JOB, feed=FEED)])
    assert [(each.job_id, each.datafeed) for each in jobs] == [("web", FEED)]
    assert [other.error for other in others] == [None]
    made = to_job(jobs[0])
    assert made.status == "imported_with_notes"
    assert made.notes == [
        "analysis_limits has no effect here: models have no memory limit; training.max_partitions limits their number",
        "datafeed.scroll_size has no effect here: documents are aggregated, not read",
    ]
    job = made.job
    assert job is not None
    assert (job.job_id, job.datafeed.indices, job.datafeed.query) == ("web", ["logs-*"], FEED["query"])
    assert job.span_seconds == 300, "Elastic's default"
    assert to_elastic(job) == {
        **JOB,
        "job_id": "web",
        "analysis_config": {"bucket_span": "5m", **JOB["analysis_config"]},
        "datafeed_config": {"indices": ["logs-*"], "query": FEED["query"], "query_delay": "90s", "scroll_size": 1000},
    }


def test_there_and_back_and_there_again_says_the_same(tmp_path):
    (found,), _ = find_jobs([write(tmp_path, web={**JOB, "datafeed_config": FEED})])
    first = to_job(found).job
    (again,), _ = find_jobs([write(tmp_path, web=to_elastic(first))])
    assert to_job(again).job == first


@pytest.mark.parametrize("wrap", [lambda job: [{"job": job, "datafeed": FEED}], lambda job: {"id": "web", "config": job}])
def test_what_kibana_exports_is_read(tmp_path, wrap):
    (found,), _ = find_jobs([write(tmp_path, web=wrap({**JOB, "job_id": "web"}), other=FEED)])
    assert to_job(found).job.datafeed.indices == ["logs-*"]


def test_placeholders_are_the_index_pattern_or_a_refusal(tmp_path):
    feed = {"job_id": "JOB_ID", "indices": ["INDEX_PATTERN_NAME", "more-*"]}
    (found,), _ = find_jobs([write(tmp_path, web=JOB, datafeed_web=feed)])
    assert to_job(found, index_pattern="logs-*").job.datafeed.indices == ["logs-*", "more-*"]
    refused = to_job(found)
    assert refused.status == "refused"
    assert refused.notes == ["datafeed.indices: 'INDEX_PATTERN_NAME' stands for an index; give it with --index-pattern"]


def test_names_of_indices_may_have_spaces_between(tmp_path):
    (found,), _ = find_jobs([write(tmp_path, web=JOB, datafeed_web={**FEED, "indices": "a, b"})])
    assert to_job(found).job.datafeed.indices == ["a", "b"]
    (found,), _ = find_jobs([write(tmp_path, web=JOB, datafeed_web={**FEED, "indices": ["INDEX_PATTERN_NAME"]})])
    assert to_job(found, index_pattern="c, d").job.datafeed.indices == ["c", "d"]


def test_an_old_rule_about_one_series_is_not_made_one_about_all():
    old = {"target_field_name": "host", "target_field_value": "web1", "rule_conditions": [
        {"condition_type": "numerical_actual", "condition": {"operator": "lt", "value": "10"}},
    ]}  # fmt: skip
    ruled = {"function": "count", "partition_field_name": "host", "detector_rules": [old]}
    made = to_job(Found(Path("web.json"), {**JOB, "analysis_config": {"detectors": [ruled]}}, "web", datafeed=FEED))
    assert made.status == "refused"
    (note,) = made.notes
    assert note.startswith("detectors.0.detector_rules.0: a rule about 'host' alone (target_field_name, target_field_value)")


@pytest.mark.parametrize("feed", ["abc", [1], 5, []])
def test_a_datafeed_that_is_no_mapping_is_refused(feed):
    refused = to_job(Found(Path("web.json"), JOB, "web", datafeed=feed))
    assert refused.status == "refused"
    assert "datafeed: a mapping was expected" in refused.notes[0]


def test_a_manifest_names_ids_and_the_pattern_and_opens_no_path(tmp_path):
    entries = [{"id": "module_web", "file": "a.json"}, {"id": "evil", "file": "../../etc/passwd"}]
    feeds = [{"id": "f", "file": "b.json", "job_id": "module_web"}]
    manifest = {"id": "m", "jobs": entries, "datafeeds": feeds, "defaultIndexPattern": "logs-*"}
    feed = {"job_id": "JOB_ID", "indices": ["INDEX_PATTERN_NAME"]}
    jobs, _ = find_jobs([write(tmp_path, manifest=manifest, a=JOB, b=feed)])
    assert [(each.job_id, to_job(each).job.datafeed.indices) for each in jobs] == [("module_web", ["logs-*"])]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"detectors": [{"function": "rare"}]}, "function 'rare' needs a by_field_name: the field whose values may be rare"),
        ({"detectors": [{"function": "cuont"}]}, "detectors.0.function: unknown function 'cuont'; did you mean 'count'?"),
        ({"detectors": [{"function": "nzc", "over_field_name": "ip"}]}, "function 'nzc' takes no over_field_name; use count"),
        ({"categorization_field_name": "message"}, "categorization_field_name is set, but no detector uses 'mlcategory'"),
        ({"multivariate_by_fields": True}, "analysis_config.multivariate_by_fields is not supported: each by value has a model"),
        ({"summary_count_field_name": "doc_count"}, "doc_count is what aggregations of a datafeed answer; there are none"),
        ({"detectors": []}, "detectors"),
        ({"detectors": [3]}, "detectors.0: a mapping was expected, not int"),
        ({"bucket_span": "soon"}, "'soon' is not a span"),
    ],
)
def test_what_cannot_be_done_is_refused_and_named(tmp_path, change, message):
    job = {**JOB, "analysis_config": {**JOB["analysis_config"], **change}}
    (found,), _ = find_jobs([write(tmp_path, web={**job, "datafeed_config": FEED})])
    made = to_job(found)
    assert made.status == "refused"
    assert made.job is None
    assert message in " ".join(made.notes)


def test_aggregations_that_only_count_are_counted_and_others_refused(tmp_path):
    histogram = {"field": "@timestamp", "fixed_interval": "5m"}
    inner = {"@timestamp": {"max": {"field": "@timestamp"}}}
    feed = {"indices": ["logs"], "aggregations": {"buckets": {"date_histogram": histogram, "aggregations": inner}}}
    analysis = {"summary_count_field_name": "doc_count", "detectors": [{"function": "low_count"}]}
    (found,), _ = find_jobs([write(tmp_path, web={**JOB, "analysis_config": analysis, "datafeed_config": feed})])
    job = to_job(found).job
    assert to_elastic(job)["datafeed_config"]["aggregations"] == feed["aggregations"]
    assert to_elastic(job)["analysis_config"]["summary_count_field_name"] == "doc_count"


def test_other_aggregations_are_read_as_they_are(tmp_path):
    histogram = {"field": "@timestamp", "fixed_interval": "1m"}
    inner = {"@timestamp": {"max": {"field": "@timestamp"}}, "size": {"avg": {"field": "bytes"}}}
    feed = {"indices": ["logs"], "aggs": {"buckets": {"date_histogram": histogram, "aggs": inner}}}
    feed["runtime_mappings"] = {"day": {"type": "long"}}
    analysis = {"summary_count_field_name": "doc_count", "detectors": [{"function": "mean", "field_name": "size"}]}
    (found,), _ = find_jobs([write(tmp_path, web={**JOB, "analysis_config": analysis, "datafeed_config": feed})])
    job = to_job(found).job
    assert (job.summary_count_field_name, job.datafeed.aggregations) == ("doc_count", feed["aggs"])
    again = to_elastic(job)
    assert again["analysis_config"]["summary_count_field_name"] == "doc_count"
    assert again["datafeed_config"]["aggregations"] == feed["aggs"]
    assert again["datafeed_config"]["runtime_mappings"] == feed["runtime_mappings"]
    histogram["fixed_interval"] = "2m"
    (found,), _ = find_jobs([write(tmp_path, web={**JOB, "analysis_config": analysis, "datafeed_config": feed})])
    assert "interval 2m must divide the bucket_span 5m" in to_job(found).notes[0]
    histogram.pop("fixed_interval")
    (found,), _ = find_jobs([write(tmp_path, web={**JOB, "analysis_config": analysis, "datafeed_config": feed})])
    assert "the date_histogram needs a fixed_interval" in to_job(found).notes[0]


def test_broken_files_are_refused_and_the_others_go_on(tmp_path):
    folder = write(
        tmp_path, web={**JOB, "datafeed_config": FEED}, broken="{", empty="", closed='{"a": 1}}', more='{"a": 1} {}', n="3"
    )
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    found = {Path(each.file).stem: (each.status, each.notes) for each in import_jobs(None, [folder])}
    assert {name for name, (status, _) in found.items() if status == "not_a_job"} == {"empty", "closed", "n"}
    assert {name for name, (status, _) in found.items() if status == "refused"} == {"broken", "more", "latin"}
    assert found["more"][1] == ["not valid JSON: there is more after the end of the first object, at character 8"]
    assert found["web"][0] == "imported_with_notes"


def test_two_jobs_of_one_id_and_a_path_that_is_not_there(tmp_path):
    (tmp_path / "b").mkdir()
    write(tmp_path, web={**JOB, "datafeed_config": FEED})
    write(tmp_path / "b", web={**JOB, "datafeed_config": FEED})
    assert [each.status for each in import_jobs(None, [tmp_path])] == ["imported_with_notes", "refused"]
    with pytest.raises(DefinitionError, match="no such file or folder"):
        import_jobs(None, [tmp_path / "nothing"])


def test_an_id_that_airflow_cannot_take_is_changed_and_said(tmp_path):
    (found,), _ = find_jobs([write(tmp_path, web={**JOB, "job_id": "Web.prod", "datafeed_config": FEED})])
    made = to_job(found)
    assert made.job_id == "web-prod"
    assert made.notes[0].startswith("the id 'Web.prod' becomes 'web-prod'")


def test_metric_is_three_detectors_here_and_one_again_there(tmp_path):
    detectors = [
        {"function": "metric", "field_name": "bytes", "by_field_name": "host", "use_null": True, "detector_index": 0},
        {"function": "rare", "by_field_name": "user", "exclude_frequent": "by"},
    ]
    (found,), _ = find_jobs([write(tmp_path, web={**JOB, "analysis_config": {"detectors": detectors}, "datafeed_config": FEED})])
    job = to_job(found).job
    assert [each.function for each in job.detectors] == ["min", "max", "mean", "rare"]
    assert to_elastic(job)["analysis_config"]["detectors"] == detectors
    fewer = job.model_copy(update={"detectors": job.detectors[1:]})
    assert [each["function"] for each in to_elastic(fewer)["analysis_config"]["detectors"]] == ["max", "mean", "rare"]


def test_custom_rules_are_taken_over_in_either_spelling(tmp_path):
    new = {"actions": ["skip_result"], "conditions": [{"applies_to": "actual", "operator": "lt", "value": 5.0}]}
    scope = {"host": {"filter_id": "safe", "filter_type": "exclude"}}
    old = [
        {"rule_action": "filter_results", "conditions_connective": "or", "rule_conditions": [
            {"condition_type": "numerical_actual", "condition": {"operator": "lt", "value": "5"}},
            {"condition_type": "categorical", "field_name": "host", "value_filter": "safe"},
        ]}
    ]  # fmt: skip
    detectors = [
        {"function": "count", "partition_field_name": "host", "custom_rules": [{**new, "scope": scope}]},
        {"function": "low_count", "partition_field_name": "host", "detector_rules": old},
    ]
    (found,), _ = find_jobs([write(tmp_path, web={**JOB, "analysis_config": {"detectors": detectors}, "datafeed_config": FEED})])
    made = to_job(found)
    assert "detectors.0.custom_rules refer to filter 'safe': make it with 'driftline filters put'" in made.notes
    exported = to_elastic(made.job)["analysis_config"]["detectors"]
    assert exported[0]["custom_rules"] == [{"scope": scope, "conditions": new["conditions"]}]
    assert exported[1]["custom_rules"] == [{"conditions": new["conditions"]}, {"scope": {"host": {"filter_id": "safe"}}}]


def test_two_old_conditions_on_one_field_that_must_both_hold_are_refused(tmp_path):
    both = [{"type": "categorical", "field_name": "host", "filter_id": name} for name in ("one", "two")]
    old = [{"conditions_connective": "and", "rule_conditions": both}]
    detectors = [{"function": "count", "partition_field_name": "host", "detector_rules": old}]
    (found,), _ = find_jobs([write(tmp_path, web={**JOB, "analysis_config": {"detectors": detectors}, "datafeed_config": FEED})])
    refused = to_job(found)
    assert refused.status == "refused"
    assert "two categorical conditions on one field that must both hold are not supported" in refused.notes[0]


@pytest.mark.skipif(not SHARED.exists(), reason="Elastic's job files are not there")
def test_all_public_jobs_are_taken_over():
    found = import_jobs(None, [SHARED])
    jobs = {each.job_id: each for each in found if each.job_id}
    assert len(jobs) == 30
    assert not [each.notes for each in found if each.status == "refused"]
    assert all(each.job for each in jobs.values())
    assert jobs["smoke_event-test1"].job.datafeed.indices == ["smoke_event*"]
    assert jobs["experimental-high-sum-by-host-problemchild"].job.datafeed.indices[0] == "endgame-*"
    exfiltration = jobs["http_exfiltration"].job.detectors[0]
    assert (exfiltration.kind, exfiltration.exclude_frequent) == ("population", "all")


def test_a_job_with_categories_is_taken_over_there_and_back(tmp_path):
    analysis = {
        "bucket_span": "30m",
        "detectors": [{"function": "rare", "by_field_name": "mlcategory", "partition_field_name": "host"}],
        "influencers": ["mlcategory", "host"],
        "categorization_field_name": "message",
        "categorization_filters": ["\\[statement:.*\\]"],
        "per_partition_categorization": {"enabled": True, "stop_on_warn": True},
    }
    (found,), _ = find_jobs([write(tmp_path, web={**JOB, "analysis_config": analysis, "datafeed_config": FEED})])
    made = to_job(found)
    job = made.job
    assert job is not None
    assert (job.categorization_field_name, job.categorization_filters) == ("message", [r"\[statement:.*\]"])
    assert job.per_partition_categorization.enabled
    assert "analysis_config.per_partition_categorization.stop_on_warn has no effect here: categorisation goes on" in " ".join(
        made.notes
    )
    assert to_elastic(job)["analysis_config"] == analysis


def test_an_analyzer_of_messages_is_kept_and_has_no_effect(tmp_path):
    analyzer = {"tokenizer": "ml_standard", "filter": [{"type": "stop", "stopwords": ["Monday"]}]}
    analysis = {
        "bucket_span": "5m",
        "detectors": [{"function": "count", "by_field_name": "mlcategory"}],
        "categorization_field_name": "message",
        "categorization_analyzer": analyzer,
    }
    (found,), _ = find_jobs([write(tmp_path, web={**JOB, "analysis_config": analysis, "datafeed_config": FEED})])
    made = to_job(found)
    assert "analysis_config.categorization_analyzer has no effect here: messages are cut into words" in " ".join(made.notes)
    assert to_elastic(made.job)["analysis_config"]["categorization_analyzer"] == analyzer
