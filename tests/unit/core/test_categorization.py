"""Categorisation in a job: Elastic's rules, each with its message, and filters that can be used."""

import pytest

from driftline.core.errors import DefinitionError
from driftline.core.job import Job

BY = {"function": "count", "by_field_name": "mlcategory"}


def job(*detectors, **more):
    definition = {"job_id": "logs", "detectors": list(detectors) or [BY], "datafeed": {"indices": ["logs"]}, **more}
    return Job.parse(definition, where="logs.yaml")


@pytest.mark.parametrize("split", ["by_field_name", "over_field_name", "partition_field_name"])
def test_categories_may_be_any_split(split):
    assert job({"function": "count", split: "mlcategory"}, categorization_field_name="message").categorises


@pytest.mark.parametrize(
    ("detectors", "more", "said"),
    [
        ([BY], {}, "mlcategory is used by a detector, but categorization_field_name is not set"),
        ([{"function": "count"}], {"categorization_field_name": "m"}, "no detector uses 'mlcategory'"),
        ([{"function": "count"}], {"categorization_filters": ["a"]}, "categorization_filters require categorization_field_name"),
        (
            [{"function": "count"}],
            {"per_partition_categorization": {"enabled": True}},
            "per_partition_categorization requires categorization_field_name",
        ),
        ([{**BY, "function": "mean", "field_name": "x"}], {"categorization_field_name": "m"}, "cannot be used with mlcategory"),
        ([BY], {"categorization_field_name": "mlcategory"}, "name the field with messages"),
        (
            [BY],
            {"categorization_field_name": "m", "per_partition_categorization": {"enabled": True}},
            "partition_field_name must be set",
        ),
        (
            [{**BY, "partition_field_name": "a"}, {**BY, "partition_field_name": "b"}],
            {"categorization_field_name": "m", "per_partition_categorization": {"enabled": True}},
            "must be the same in all detectors",
        ),
        (
            [BY],
            {"categorization_field_name": "m", "categorization_filters": ["ok", "(broken"]},
            "filters.1 '(broken' is no regular",
        ),
        ([BY], {"categorization_field_name": "m", "categorization_filters": [r"(a)\1"]}, "neither look-around nor references"),
        ([BY], {"categorization_field_name": "m", "categorization_filters": ["(?=a)b"]}, "filters.0 '(?=a)b'"),
        ([BY], {"categorization_field_name": "m", "categorization_filters": ["a", "a"]}, "contain a duplicate"),
        ([BY], {"categorization_field_name": "m", "categorization_filters": [""]}, "filters.0 is empty"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(detectors, more, said):
    with pytest.raises(DefinitionError) as error:
        job(*detectors, **more)
    assert said in str(error.value)


def test_aggregations_hold_no_messages():
    aggregations = {"time": {"date_histogram": {"field": "@timestamp", "fixed_interval": "5m"}}}
    with pytest.raises(DefinitionError, match="messages are read"):
        job(
            categorization_field_name="m",
            summary_count_field_name="doc_count",
            datafeed={"indices": ["logs"], "aggregations": aggregations},
        )


@pytest.mark.parametrize("pattern", [r"\[statement:.*\]", r"\p{L}+", "(a+)+$", "(?i)debug", r"\bfoo\b"])
def test_filters_of_elastics_jobs_are_taken(pattern):
    assert job(categorization_field_name="m", categorization_filters=[pattern]).categorization_filters == [pattern]


def test_jobs_without_categories_keep_their_version_and_filters_change_it():
    plain = job({"function": "count"})
    assert plain.version == Job.parse(plain.as_dict(), where="again").version
    versions = {
        plain.version,
        job(categorization_field_name="m").version,
        job(categorization_field_name="n").version,
        job(categorization_field_name="m", categorization_filters=["a"]).version,
    }
    assert len(versions) == 4
