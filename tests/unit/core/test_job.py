import json
from datetime import timedelta

import pytest

from driftline.core.errors import DefinitionError
from driftline.core.functions import FUNCTIONS, find_function
from driftline.core.job import Job
from driftline.pipeline.calendars import read
from driftline.pipeline.jobs import list_definitions


def job(**changes):
    data = {"job_id": "web", "detectors": [{"function": "count"}], "datafeed": {"indices": ["logs-*"]}}
    return Job.parse({**data, **changes}, where="web.yaml")


def refused(**changes):
    with pytest.raises(DefinitionError) as caught:
        job(**changes)
    return str(caught.value)


def test_the_smallest_job_has_sane_defaults():
    plain = job()
    assert plain.bucket_span == timedelta(minutes=15)
    assert plain.training.window >= timedelta(weeks=4)
    assert plain.time_field == "@timestamp"
    assert plain.frequency == timedelta(minutes=15)


def test_an_unknown_field_is_named_with_the_nearest_one():
    message = refused(bucket_spam="15m")
    assert message.startswith("web.yaml: bucket_spam: unknown field")
    assert "did you mean 'bucket_span'?" in message


def test_an_unknown_nested_field_is_named_with_its_path():
    assert "datafeed.quer: unknown field; did you mean 'query'?" in refused(datafeed={"indices": "x", "quer": {}})


def test_a_wrong_function_suggests_the_nearest():
    assert "unknown function 'coutn'; did you mean 'count'?" in refused(detectors=[{"function": "coutn"}])


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        ({"function": "mean"}, "needs a field_name"),
        ({"function": "count", "field_name": "bytes"}, "takes no field_name"),
        ({"function": "count", "by_field_name": "a", "partition_field_name": "a"}, "must differ"),
    ],
)
def test_a_detector_that_makes_no_sense_is_refused(detector, message):
    assert message in refused(detectors=[detector])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"job_id": "Web Job"}, "job_id: 'Web Job' is not an identifier"),
        ({"job_id": "../etc"}, "is not an identifier"),
        ({"bucket_span": "0s"}, "out of range"),
        ({"bucket_span": "40d"}, "out of range"),
        ({"bucket_span": "soon"}, "'soon' is not a span"),
        ({"detectors": []}, "detectors"),
        ({"detectors": [{"function": "count"}, {"function": "count"}]}, "two detectors are the same"),
        ({"training": {"window": "1h"}}, "fewer than 10 buckets"),
        ({"training": {"schedule": "weekly"}}, "is not a schedule"),
        ({"datafeed": {"indices": "x", "start": "2026-02-01", "end": "2026-01-01"}}, "before the start"),
        ({"datafeed": {}}, "datafeed.indices: required"),
    ],
)
def test_what_cannot_work_is_refused_with_field_and_reason(changes, message):
    assert message in refused(**changes)


def test_a_file_that_is_no_mapping_is_refused(tmp_path):
    path = tmp_path / "list.yaml"
    path.write_text("- a\n- b\n")
    with pytest.raises(DefinitionError, match="a mapping was expected, not list"):
        Job.load(path)


def test_a_file_that_is_no_yaml_is_refused_with_the_place(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("job_id: [")
    with pytest.raises(DefinitionError, match=r"broken.yaml: not valid YAML.*line 1"):
        Job.load(path)


@pytest.mark.parametrize("value", ["2026-02-30", "0b_", "!!timestamp now", "!!bool maybe", "!!int ''", "[" * 5000])
def test_a_value_that_cannot_be_is_an_error_of_its_file(tmp_path, value):
    path = tmp_path / "impossible.yaml"
    path.write_text(f"job_id: x\ndescription: {value}\n")
    with pytest.raises(DefinitionError, match=r"impossible\.yaml: not valid YAML"):
        Job.load(path)
    with pytest.raises(DefinitionError, match=r"impossible\.yaml: not valid YAML"):
        read("calendar", path)


@pytest.mark.parametrize("value", ["99999999999999999999999", '"\\ud800"', "!!binary gIGC"])
def test_a_value_that_json_has_no_words_for_is_an_error_of_its_file(tmp_path, monkeypatch, write, value):
    monkeypatch.setenv("DRIFTLINE_JOBS_DIR", str(tmp_path))
    feed = f"datafeed: {{indices: web, query: {{term: {{x: {value}}}}}}}"
    write(tmp_path / "bad.yaml", f"job_id: bad\ndetectors: [{{function: count}}]\n{feed}\n")
    write(tmp_path / "good.yaml", "job_id: good\ndetectors: [{function: count}]\ndatafeed: {indices: web}\n")
    bad, good = (entry for entry in list_definitions() if entry.kind == "job")
    assert "it holds what JSON has no words for" in str(bad.error)
    assert good.error is None


def test_a_query_of_a_file_is_as_json_has_it(write, tmp_path):
    feed = "datafeed: {indices: web, query: {terms: {status: {200: x}}}}"
    made = Job.load(write(tmp_path / "a.yaml", f"job_id: a\ndetectors: [{{function: count}}]\n{feed}\n"))
    assert made.datafeed.query == {"terms": {"status": {"200": "x"}}}
    assert made.version


def test_a_rule_that_was_stored_with_a_time_in_milliseconds_can_be_read():
    rule = {"conditions": [{"applies_to": "time", "operator": "gt", "value": 1.7e12}]}
    data = {"job_id": "a", "detectors": [{"function": "count", "custom_rules": [rule]}], "datafeed": {"indices": "web"}}
    assert Job.parse(data, where="t", stored=True).detectors[0].custom_rules[0].conditions[0].value == 1.7e12
    with pytest.raises(DefinitionError, match="are these milliseconds"):
        Job.parse(data, where="t")


def test_a_change_may_keep_the_old_rule_that_was_stored_and_puts_no_other_such(write, tmp_path):
    rule = {"conditions": [{"applies_to": "time", "operator": "gt", "value": 1.7e12}]}
    data = {"job_id": "a", "detectors": [{"function": "count", "custom_rules": [rule]}], "datafeed": {"indices": "web"}}
    before = Job.parse(data, where="t", stored=True)
    other = {"function": "mean", "field_name": "x"}
    moved = {**data, "description": "changed", "detectors": [other, *data["detectors"]]}
    assert Job.parse(moved, where="t", former=before).detectors[1] == before.detectors[0]
    assert Job.load(write(tmp_path / "a.yaml", json.dumps(moved)), former=lambda _: before).description == "changed"
    new = {"conditions": [{"applies_to": "time", "operator": "gt", "value": 1.8e12}]}
    with pytest.raises(DefinitionError, match=r"1\.8e\+12 is beyond all times: are these milliseconds"):
        Job.parse({**moved, "detectors": [*moved["detectors"], {**other, "custom_rules": [new]}]}, where="t", former=before)


def test_a_definition_reads_back_from_its_own_json():
    once = job(detectors=[{"function": "high_mean", "field_name": "b", "partition_field_name": "p"}])
    again = Job.parse(once.as_dict(), where="json")
    assert again == once
    assert again.version == once.version


def test_the_version_changes_with_the_meaning_only():
    assert job(description="other words").version == job().version
    assert job(bucket_span="5m").version != job().version


def test_a_frequency_below_the_span_is_raised_and_noted():
    hasty = job(bucket_span="1h", datafeed={"indices": "x", "frequency": "60s"})
    assert hasty.frequency == timedelta(hours=1)
    assert hasty.notes == ["frequency 1m is below the bucket span; raised to 1h"]


def test_functions_have_the_meaning_that_elastic_gives_them():
    assert find_function("dc") is FUNCTIONS["distinct_count"]
    assert find_function("low_count").side == "low"
    zero = [name for name, f in FUNCTIONS.items() if f.empty_is_zero and f.side == "both"]
    assert zero == ["count", "distinct_count", "sum", "info_content"]


GIVEN = {"function": "mean", "field_name": "cpu", "given": {"function": "count"}}
SHARE = {"function": "high_count", "query": {"term": {"status": 500}}, "per": {"function": "c"}}


def test_metrics_that_are_judged_given_another_say_so():
    found = job(detectors=[{**GIVEN, "partition_field_name": "host"}, SHARE]).detectors
    assert [detector.kind for detector in found] == ["given", "given"]
    assert [detector.description for detector in found] == [
        "mean(cpu) given count partitionfield=host",
        'high_count where {"term":{"status":500}} per c',
    ]


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        ({**GIVEN, "per": {"function": "count"}}, "given and per exclude each other"),
        ({**GIVEN, "over_field_name": "host"}, "given cannot be used with over_field_name yet"),
        ({**SHARE, "over_field_name": "host"}, "per cannot be used with over_field_name yet"),
        ({"function": "avg", "field_name": "cpu", "given": {"function": "mean", "field_name": "cpu"}}, "it is the same metric"),
        ({"function": "low_count", "per": {"function": "count"}}, "it is the same metric"),
        ({**GIVEN, "per": None, "given": None, "function": "rare", "field_name": None}, "needs a by_field_name"),
        ({"function": "rare", "by_field_name": "b", "given": {"function": "count"}}, "'rare' does not measure"),
        ({**GIVEN, "function": "info_content"}, "'info_content' does not measure"),
        ({**GIVEN, "given": {"function": "lat_long", "field_name": "place"}}, "given: function 'lat_long' does not measure"),
        ({**GIVEN, "given": {"function": "high_count"}}, "here it is only read: use count"),
        ({**GIVEN, "given": {"function": "mean"}}, "given: function 'mean' needs a field_name"),
        ({**GIVEN, "given": {"function": "count", "field_name": "x"}}, "given: function 'count' takes no field_name"),
        ({**GIVEN, "given": {"function": "coutn"}}, "did you mean 'count'?"),
        ({**GIVEN, "given": {"function": "count", "querry": {}}}, "querry: unknown field; did you mean 'query'?"),
        ({**GIVEN, "given": None, "per": {"function": "count"}}, "function 'mean' cannot be a share's: only counts and sums"),
        ({**SHARE, "per": {"function": "dc", "field_name": "user"}}, "per.function 'distinct_count' cannot be a share's"),
        ({"function": "count", "query": {}}, "query: an Elasticsearch query of one clause is expected"),
        ({"function": "count", "query": {"term": {}, "range": {}}}, "query: an Elasticsearch query of one clause is expected"),
        (
            {"function": "count", "given": {"function": "count", "query": {}}},
            "given: query: an Elasticsearch query of one clause",
        ),
        ({"function": "info_content", "field_name": "x", "query": {"match_all": {}}}, "'info_content' takes no query"),
    ],
)
def test_metrics_that_do_not_go_together_are_refused(detector, message):
    assert message in refused(detectors=[{name: value for name, value in detector.items() if value is not None}])


@pytest.mark.parametrize("name", ["query", "given", "per"])
def test_what_narrows_or_relates_cannot_be_read_from_aggregations(name):
    aggregations = {"t": {"date_histogram": {"field": "@timestamp", "fixed_interval": "5m"}}}
    detector = {"query": {"function": "count", "query": {"match_all": {}}}, "given": GIVEN, "per": SHARE}[name]
    detector = {key: value for key, value in detector.items() if name == "query" or key != "query"}
    detector = {**detector, **({"function": "sum", "field_name": "x"} if name == "per" else {})}
    feed = {"indices": "x", "aggregations": aggregations}
    message = refused(detectors=[detector], datafeed=feed, summary_count_field_name="doc_count")
    assert f"a detector's '{name}' cannot be used where the datafeed has aggregations" in message


def test_each_of_what_relates_metrics_is_part_of_the_version_where_it_is_used():
    one = job(detectors=[GIVEN]).version
    others = [
        [{**GIVEN, "given": {"function": "count", "query": {"match_all": {}}}}],
        [{**GIVEN, "given": {"function": "max", "field_name": "cpu"}}],
        [{**GIVEN, "query": {"match_all": {}}}],
        [{"function": "mean", "field_name": "cpu"}],
    ]
    assert len({one, *(job(detectors=detectors).version for detectors in others)}) == 5
    again = Job.parse(job(detectors=[GIVEN, SHARE]).as_dict(), where="json")
    assert again.version == job(detectors=[GIVEN, SHARE]).version
