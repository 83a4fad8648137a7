from datetime import timedelta

import pytest

from driftline.core.errors import DefinitionError
from driftline.core.functions import FUNCTIONS, find_function
from driftline.core.job import Job


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
