"""Elastic's rules for jobs: each that is broken is named, in the words that a user sees."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_elastic_jobs import write

from driftline.core.errors import DefinitionError
from driftline.core.functions import FUNCTIONS
from driftline.core.job import Job
from driftline.interop.elastic_export import exported
from driftline.interop.elastic_files import find_jobs
from driftline.interop.elastic_jobs import to_job

HISTOGRAM = {"date_histogram": {"field": "@timestamp", "fixed_interval": "5m"}}
AVERAGE = {"ms": {"avg": {"field": "ms"}}}
TOP = {"b": {**HISTOGRAM, "aggregations": AVERAGE}}
ACTUAL = [{"applies_to": "actual", "operator": "lt", "value": 5}]


def definition(**changes: Any) -> dict[str, Any]:
    data = {"job_id": "web", "detectors": [{"function": "count"}], "datafeed": {"indices": ["logs-*"]}}
    return {**data, **changes}


def detector(function: str, **fields: Any) -> dict[str, Any]:
    return {"detectors": [{"function": function, **fields}]}


def aggregated(aggregations: Any, summary: str | None = "doc_count", detectors: Any = None, **feed: Any) -> dict[str, Any]:
    return {
        "detectors": detectors or [{"function": "mean", "field_name": "ms"}],
        "datafeed": {"indices": ["logs-*"], "aggregations": aggregations, **feed},
        **({"summary_count_field_name": summary} if summary else {}),
    }


NEEDING = sorted(name for name, function in FUNCTIONS.items() if function.needs_field)
COUNTS = sorted(name for name, function in FUNCTIONS.items() if not function.needs_field and function.family == "measured")
TIME = "the time_field '@timestamp' can be no field of detectors, influencer or summary count"
BROKEN = [
    # functions and their fields
    (detector("cuont"), "detectors.0: unknown function 'cuont'; did you mean 'count'?"),
    *((detector(name), f"detectors.0: function '{name}' needs a field_name") for name in NEEDING),
    (detector("metric"), "function 'min' needs a field_name"),
    *(
        (detector(name, field_name="a"), f"detectors.0: function '{name}' takes no field_name; use sum or mean to measure 'a'")
        for name in COUNTS
    ),
    *(
        (detector(name, field_name="a", by_field_name="b", over_field_name="c"), f"function '{name}' takes no field_name")
        for name in ("rare", "freq_rare", "time_of_day", "time_of_week")
    ),
    (detector("rare"), "function 'rare' needs a by_field_name: the field whose values may be rare"),
    (detector("rare", over_field_name="o"), "function 'rare' needs a by_field_name: the field whose values may be rare"),
    (detector("freq_rare", over_field_name="o"), "function 'freq_rare' needs a by_field_name: the field whose values"),
    (detector("freq_rare", by_field_name="b"), "function 'freq_rare' needs an over_field_name: the members that may have rare"),
    *(
        (detector(name, over_field_name="o"), f"function '{name}' takes no over_field_name; use count")
        for name in ("non_zero_count", "low_non_zero_count", "high_non_zero_count", "nzc", "low_nzc", "high_nzc")
    ),
    # names of fields
    (detector("count", by_field_name="a", partition_field_name="a"), "by_field_name and partition_field_name must differ"),
    (detector("count", over_field_name="a", partition_field_name="a"), "over_field_name and partition_field_name must differ"),
    (detector("count", by_field_name="a", over_field_name="a"), "over_field_name and by_field_name must differ"),
    *(
        (detector("count", **{split: word}), f"{split}: '{word}' is not permitted as a field's name")
        for split in ("by_field_name", "over_field_name")
        for word in ("count", "by", "over")
    ),
    *(
        (
            detector("count", partition_field_name=name),
            f"partition_field_name: {name!r} is no field's name: no control characters, not '.'",
        )
        for name in ("a\nb", "a\x9fb", ".")
    ),
    (detector("mean", field_name="a\nb"), "field_name: 'a\\nb' is no field's name"),
    ({"summary_count_field_name": "a\nb"}, "summary_count_field_name: 'a\\nb' is no field's name"),
    (detector("count", by_field_name="@timestamp"), TIME),
    (detector("max", field_name="@timestamp"), TIME),
    ({"influencers": ["@timestamp"]}, TIME),
    (detector("count", by_field_name=3), "detectors.0.by_field_name: Input should be a valid string (given: 3)"),
    (detector("count", use_null="perhaps"), "detectors.0.use_null: Input should be a valid boolean"),
    (detector("count", exclude_frequent="some"), "exclude_frequent: Input should be 'all', 'by', 'over' or 'none'"),
    # detectors
    ({"detectors": []}, "detectors: List should have at least 1 item"),
    ({"detectors": [{"function": "count"}] * 2}, "detectors: two detectors are the same"),
    ({"detectors": [{}]}, "detectors.0.function: required, but not given"),
    # the job
    ({"job_id": "Web.Prod"}, "job_id: 'Web.Prod' is not an identifier: lower-case letters, digits, '-' and '_'"),
    ({"job_id": "web\n"}, "job_id: 'web\n' is not an identifier"),
    ({"bucket_span": "0s"}, "bucket_span 0ms is out of range; expected 1s to 30d"),
    ({"bucket_span": "1500ms"}, "bucket_span 1500ms is not a whole number of seconds"),
    ({"model_prune_window": "15m"}, "model_prune_window must be at least two bucket spans, 30m"),
    ({"model_prune_window": "40m"}, "model_prune_window must be a multiple of the bucket_span, 15m"),
    (
        {"summary_count_field_name": "n", **detector("metric", field_name="ms")},
        "function 'metric' cannot be used with summary_count_field_name; use min, max and mean",
    ),
    ({"summary_count_field_name": "doc_count"}, "doc_count is what aggregations of a datafeed answer; there are none"),
    # custom rules
    (detector("count", custom_rules=[{"actions": ["skip_result"]}]), "a rule needs a scope or conditions"),
    (
        detector("count", custom_rules=[{"scope": {"host": {"filter_id": "f"}}}]),
        "custom_rules: scope 'host' is not a split field of the detector (there is none)",
    ),
    (
        detector("count", by_field_name="b", custom_rules=[{"scope": {"host": {"filter_id": "f"}}}]),
        "custom_rules: scope 'host' is not a split field of the detector ('b')",
    ),
    *(
        (
            detector(name, by_field_name="b", over_field_name="o", custom_rules=[{"conditions": ACTUAL}]),
            f"custom_rules: with function '{name}' conditions are on time only",
        )
        for name in ("rare", "freq_rare")
    ),
    *(
        (
            detector(name, field_name="p", custom_rules=[{"conditions": ACTUAL}]),
            f"custom_rules: with function '{name}' conditions are on time only",
        )
        for name in ("lat_long", "metric")
    ),
    (
        detector("count", custom_rules=[{"conditions": [{"applies_to": "now", "operator": "lt", "value": 1}]}]),
        "custom_rules.0.conditions.0.applies_to: Input should be 'actual', 'typical', 'diff_from_typical' or 'time'",
    ),
    # the datafeed
    ({"datafeed": {}}, "datafeed.indices: required, but not given"),
    ({"datafeed": {"indices": []}}, "datafeed.indices: List should have at least 1 item"),
    (
        aggregated(TOP, script_fields={"a": {"script": {"source": "1"}}}),
        "datafeed: script_fields cannot be used with aggregations",
    ),
    (aggregated(TOP, None), "summary_count_field_name must be given where the datafeed has aggregations; it is often doc_count"),
    (aggregated({"a": {"terms": {"field": "a"}}}), "one date_histogram, or one composite with one, is expected at the top"),
    (aggregated({**TOP, "c": {"max": {"field": "a"}}}), "one date_histogram, or one composite with one, is expected at the top"),
    (
        aggregated({"a": {"terms": {"field": "a"}, "aggs": {"b": {"composite": {"sources": [{"t": HISTOGRAM}]}}}}}),
        "a composite aggregation can only be at the top",
    ),
    (aggregated({"b": {"composite": {"sources": [{"a": {"terms": {"field": "a"}}}]}}}), "one date_histogram, or one composite"),
    (
        aggregated({"b": {"date_histogram": {"field": "@timestamp", "calendar_interval": "1M"}}}),
        "the date_histogram needs a fixed_interval; months and years have no fixed length",
    ),
    *(
        (aggregated({"b": {"date_histogram": {"field": "@timestamp", name: week}}}), "calendar weeks begin on Mondays")
        for name, week in (("calendar_interval", "week"), ("calendar_interval", "1w"), ("interval", "1w"))
    ),
    (
        aggregated({"b": {"date_histogram": {**HISTOGRAM["date_histogram"], "time_zone": "Europe/Berlin"}}}),
        "the date_histogram's time_zone must be UTC, as a job's buckets are, not 'Europe/Berlin'",
    ),
    (
        aggregated({"b": {"date_histogram": {**HISTOGRAM["date_histogram"], "offset": "-2m"}}}),
        "the date_histogram's offset -2m must be a multiple of its interval 5m",
    ),
    (
        aggregated({"b": {"composite": {"sources": [{"t": {"date_histogram": {**HISTOGRAM["date_histogram"], "offset": 90}}}]}}}),
        "the date_histogram's offset 90 must be a multiple of its interval 5m",
    ),
    (
        aggregated({"b": {"date_histogram": {"field": "@timestamp", "fixed_interval": "4m"}}}),
        "the date_histogram's interval 4m must divide the bucket_span 15m",
    ),
    (
        aggregated({"b": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1h"}}}),
        "the date_histogram's interval 1h must divide the bucket_span 15m",
    ),
    (aggregated(TOP, frequency="7m"), "datafeed.frequency must be a multiple of the aggregations' interval 5m"),
    *(
        (aggregated(TOP, detectors=[{"function": name, "field_name": "ms"}]), f"function '{name}' cannot be used where")
        for name in ("info_content", "lat_long")
    ),
    (
        {"bucket_span": "1s", "datafeed": {"indices": "a", "delayed_data_check_config": {"check_window": "3h"}}},
        "datafeed.delayed_data_check_config.check_window holds more than 10,000 buckets",
    ),
    ({"bucket_span": "6h", **detector("time_of_day")}, "time_of_day and time_of_week need a bucket_span of at most 3h"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), BROKEN, ids=lambda value: value if isinstance(value, str) else "")
def test_a_rule_that_is_broken_is_named(changes, message):
    with pytest.raises(DefinitionError) as caught:
        Job.parse(definition(**changes), where="web.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("web.yaml: ")


def as_elastic(changes: dict[str, Any]) -> dict[str, Any]:
    """The same as a file of Elastic's."""
    whole = definition(**changes)
    names = ("detectors", "influencers", "bucket_span", "model_prune_window", "summary_count_field_name")
    analysis = {"bucket_span": "15m", **{name: whole[name] for name in names if name in whole}}
    about = {"time_field": "@timestamp"}
    return {
        "job_id": whole["job_id"],
        "analysis_config": analysis,
        "data_description": about,
        "datafeed_config": whole["datafeed"],
    }


# what an import mends, or asks for itself
MENDED = ("is not an identifier", "datafeed.indices: ")


@pytest.mark.parametrize(("changes", "message"), BROKEN, ids=lambda value: value if isinstance(value, str) else "")
def test_a_file_that_breaks_a_rule_is_refused_in_the_same_words(changes, message, tmp_path):
    (found,), _ = find_jobs([write(tmp_path, web=json.loads(json.dumps(as_elastic(changes))))])
    made = to_job(found)
    if any(mended in message for mended in MENDED):
        return
    assert made.status == "refused"
    told = " ".join(made.notes).replace("detectors.0.function: unknown", "detectors.0: unknown")
    assert message in told or "doc_count" in message


@pytest.mark.parametrize(
    "changes",
    [
        detector("count", partition_field_name="count"),  # only by and over fields have reserved names
        detector("count", over_field_name="ip", exclude_frequent="over"),
        detector("time_of_day", by_field_name="user", custom_rules=[{"conditions": ACTUAL}]),
        detector("mean", field_name="a", by_field_name="b", over_field_name="c", partition_field_name="d", use_null=True),
        {"influencers": ["host", "host.name"]},  # Elastic's results would have both as fields
        {"groups": ["web"]},
        {"groups": ["Web Shop"]},
        {"bucket_span": "7m"},
        aggregated({"b": HISTOGRAM | {"aggs": AVERAGE}}),  # without the newest time of each bucket
        aggregated({"a": {"terms": {"field": "a"}, "aggs": TOP}}),
        aggregated({"b": {"date_histogram": {**HISTOGRAM["date_histogram"], "time_zone": "UTC", "offset": "-10m"}}}),
    ],
)
def test_what_breaks_no_rule_of_ours_is_taken(changes):
    assert Job.parse(definition(**changes), where="t").notes == []


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({"exclude_frequent": "by"}, "detectors.0: exclude_frequent 'by' has no effect without by_field_name"),
        ({"exclude_frequent": "all"}, "detectors.0: exclude_frequent 'all' has no effect without a by or over field"),
        (
            {"exclude_frequent": "over", "by_field_name": "b"},
            "detectors.0: exclude_frequent 'over' has no effect without over_field_name",
        ),
    ],
)
def test_what_has_no_effect_is_noted(given, note):
    assert Job.parse(definition(**detector("count", **given)), where="t").notes == [note]


def test_names_that_only_documents_may_have_are_taken_and_the_export_says_so():
    job = Job.parse(definition(**detector("count", partition_field_name='it"s')), where="test")
    _, notes = exported(job)
    assert notes == ["the name 'it\"s' holds a double quote or a backslash: Elastic refuses it"]
