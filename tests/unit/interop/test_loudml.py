"""loudml's models become jobs and come back; what a model gets wrong is named by its parameter."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from elastic_request import PutJob
from hypothesis import given, settings
from hypothesis import strategies as st
from test_elastic_families import JUNK, changed, places
from test_elastic_jobs import write

from driftline.core.errors import DefinitionError
from driftline.core.job import Job
from driftline.core.paths import ROOT
from driftline.core.timespan import Window
from driftline.elastic.query import composite, splits
from driftline.interop.elastic_export import to_elastic
from driftline.interop.elastic_files import Found, find_jobs
from driftline.interop.loudml import to_job, to_loudml
from driftline.pipeline.imports import import_jobs

SCRIPT = "def val = doc['end_date'].value; if (val != 0) return val - doc['@timestamp'].value"
# the example of its documentation, in our words
MODEL: dict[str, Any] = {
    "name": "foo",
    "index": "voip-*",
    "interval": 60,
    "span": 3600,
    "bucket_interval": 1200,
    "features": [{"name": "avg_duration", "metric": "avg", "script": SCRIPT}],
}


def model(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**MODEL, **changes}.items() if value is not ...}


def feature(**fields: Any) -> dict[str, Any]:
    return model(features=[fields])


def made(data: dict[str, Any], tmp_path: Any) -> Any:
    (found,), _ = find_jobs([write(tmp_path, model=data)])
    return to_job(found)


def test_a_model_becomes_a_job_that_begins_paused(tmp_path):
    result = made(MODEL, tmp_path)
    assert result.status == "imported_with_notes"
    assert result.notes == [
        "span: what to expect is learned from 28d (training.window), not only from 1h",
        "frequency 1m is below the bucket span; raised to 20m",
        "its DAGs begin paused, as models do in loudml: start them in Airflow",
    ]
    job = result.job
    assert (job.job_id, job.datafeed.indices, job.bucket_span) == ("foo", ["voip-*"], timedelta(minutes=20))
    assert (job.datafeed.frequency, job.training.window, job.paused) == (timedelta(minutes=1), timedelta(days=28), True)
    assert job.datafeed.script_fields == {"avg_duration": {"script": {"lang": "painless", "source": SCRIPT}}}
    (detector,) = job.detectors
    assert (detector.function, detector.field_name, detector.description) == ("mean", "avg_duration", "avg_duration")
    assert to_loudml(job) == MODEL
    PutJob.model_validate(to_elastic(job))


@pytest.mark.parametrize(
    ("metric", "function"),
    [("min", "min"), ("max", "max"), ("sum", "sum"), ("avg", "mean"), ("variance", "varp"), ("std_deviation", "std_deviation")],
)
def test_each_metric_is_a_function(tmp_path, metric, function):
    job = made(feature(name="size", metric=metric, field="bytes"), tmp_path).job
    assert [(each.function, each.field_name) for each in job.detectors] == [(function, "bytes")]
    assert to_loudml(job)["features"] == [{"name": "size", "metric": metric, "field": "bytes"}]


def test_a_count_of_a_field_is_of_the_documents_that_have_it(tmp_path):
    one = {"name": "calls", "metric": "count", "field": "duration"}
    job = made(model(features=[one, {"name": "mean", "metric": "avg", "field": "duration"}]), tmp_path).job
    assert job.detectors[0].field_name is None
    assert job.datafeed.query == {"exists": {"field": "duration"}}
    assert to_loudml(job)["features"][0] == one
    mixed = made(model(features=[one, {"name": "mean", "metric": "avg", "field": "bytes"}]), tmp_path)
    assert mixed.job.datafeed.query == {"match_all": {}}
    assert "all documents are counted, those without 'duration', too" in " ".join(mixed.notes)
    assert to_loudml(mixed.job)["features"][0] == one
    assert to_loudml(made(feature(name="all", metric="count"), tmp_path).job)["features"] == [{"name": "all", "metric": "count"}]


def test_terms_limits_and_thresholds_have_their_places(tmp_path):
    data = model(term="caller", max_terms=500, threshold=99.0, span=40 * 86400)
    result = made(data, tmp_path)
    assert {each.partition_field_name for each in result.job.detectors} == {"caller"}
    assert (result.job.training.max_partitions, result.job.training.window) == (500, timedelta(days=40))
    assert not [note for note in result.notes if note.startswith(("span", "max_terms"))]
    assert "driftline anomalies JOB --min-score 99" in " ".join(result.notes)
    assert to_loudml(result.job) == data
    assert "max_terms has no effect without a term" in " ".join(made(model(max_terms=5), tmp_path).notes)


def test_a_name_that_is_no_id_is_changed_and_given_back(tmp_path):
    result = made(model(name="My Model"), tmp_path)
    assert (result.job_id, result.notes[0]) == (
        "my-model",
        "the id 'My Model' becomes 'my-model': such characters are for Airflow's names",
    )
    assert to_loudml(result.job)["name"] == "My Model"


def test_what_was_changed_since_is_exported_as_it_is_now(tmp_path):
    job = made(MODEL, tmp_path).job
    longer = job.model_copy(update={"training": job.training.model_copy(update={"window": timedelta(days=60)})})
    assert to_loudml(longer)["span"] == 60 * 86400
    assert job.version == job.model_copy(update={"paused": False, "loudml": {}}).version


def test_the_model_in_the_documentation_is_one(tmp_path):
    page = (ROOT / "docs" / "loudml.md").read_text(encoding="utf-8")
    data = json.loads(page.partition("```json\n")[2].partition("```")[0])
    result = made(data, tmp_path)
    assert result.notes == ["its DAGs begin paused, as models do in loudml: start them in Airflow"]
    assert to_loudml(result.job) == data


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters='"\\'), min_size=1, max_size=12)
seconds = st.integers(1, 30 * 86400)
named = names.filter(lambda name: name not in (".", "@timestamp"))
measured = st.sampled_from(["min", "max", "sum", "avg", "variance", "std_deviation"])
by_field = st.fixed_dictionaries({"metric": measured | st.just("count"), "field": named.map(lambda name: f"f.{name}")})
by_script = st.fixed_dictionaries({"metric": measured, "script": st.text(min_size=1, max_size=20)})
features = st.lists(st.tuples(named, by_field | by_script), min_size=1, max_size=4, unique_by=lambda each: each[0])


@settings(max_examples=60)
@given(
    names, features, st.tuples(seconds, seconds, seconds), st.none() | named, st.none() | seconds, st.none() | st.floats(0, 100)
)
def test_there_and_back_says_the_same(tmp_path_factory, name, features, times, term, most, threshold):
    data = {
        "name": name,
        "index": "a-*,b",
        **dict(zip(("interval", "bucket_interval", "span"), times, strict=True)),
        "features": [{"name": name, **feature} for name, feature in features],
        "term": term,
        "max_terms": most,
        "threshold": threshold,
    }
    data = {name: value for name, value in data.items() if value is not None}
    result = to_job(Found(tmp_path_factory.getbasetemp() / "m.json", data, name, origin="loudml"))
    assert result.job is not None, result.notes
    assert to_loudml(Job.parse(json.loads(json.dumps(result.job.as_dict())), where="t")) == data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        *(
            (model(**{name: ...}), f"{name}: required, but not given")
            for name in ("interval", "bucket_interval", "span", "features")
        ),
        (model(intervall=5), "intervall: unknown field; did you mean 'interval'?"),
        (
            model(routing="x"),
            "routing: unknown field; known fields: bucket_interval, features, index, interval, max_terms, name, span",
        ),
        (model(interval="often"), "interval: Input should be a valid integer"),
        (model(interval=0), "interval: Input should be greater than 0"),
        (model(bucket_interval=[60]), "bucket_interval: Input should be a valid integer"),
        (model(span=None), "span: Input should be a valid integer"),
        (model(index=["a"]), "index: Input should be a valid string"),
        (model(term=7), "term: Input should be a valid string"),
        (model(max_terms=-1), "max_terms: Input should be greater than 0"),
        (model(threshold=101), "threshold: Input should be less than or equal to 100"),
        (model(features=[]), "features: List should have at least 1 item"),
        (model(features="avg"), "features: Input should be a valid list"),
        (model(features=[7]), "features.0: Input should be a valid dictionary"),
        (feature(metric="avg", field="a"), "features.0.name: required, but not given"),
        (feature(name="a", field="a"), "features.0.metric: required, but not given"),
        (
            feature(name="a", metric="p95", field="a"),
            "features.0.metric: Input should be 'count', 'min', 'max', 'sum', 'avg', 'variance' or 'std_deviation' (given: 'p95'",
        ),
        (feature(name="a", metric="avg", field="a", script="1"), "features.0: field and script: only one of them can be given"),
        (feature(name="a", metric="avg"), "features.0: metric 'avg' needs a field, or a script"),
        (feature(name="a", metric="count", script="1"), "features.0: script: metric 'count' counts documents"),
        (feature(name="a", metric="avg", feild="b"), "features.0.feild: unknown field; did you mean 'field'?"),
        (feature(name="a\n", metric="avg", script="1"), "features.0: name: 'a\\n' is no field's name"),
        (model(features=[{"name": "a", "metric": "avg", "field": "x"}] * 2), "features: each needs a name of its own"),
        (
            model(features=[{"name": "a", "metric": "avg", "script": "1"}, {"name": "b", "metric": "avg", "field": "a"}]),
            "features: 'a' is the name of a script, and a field of another feature",
        ),
        (model(bucket_interval=40 * 86400), "bucket_interval: Input should be less than or equal to 2592000"),
    ],
)
def test_what_a_model_gets_wrong_is_named(tmp_path, data, message):
    result = made(data, tmp_path)
    assert result.status == "refused"
    assert message in result.notes[0]
    assert result.notes[0].startswith(f"{tmp_path / 'model.json'}: ")


def test_whatever_stands_where_in_a_model_it_is_a_job_or_is_refused(tmp_path):
    whole = model(term="caller", max_terms=5, threshold=99, features=[feature(name="a", metric="avg", field="x")["features"][0]])
    for place in places(whole):
        for junk in (*JUNK, 10**30, "9" * 30, float("inf")):
            for found in find_jobs([write(tmp_path, model=changed(whole, place, junk))])[0]:
                result = to_job(found)
                assert (result.job is None) == (result.status == "refused"), (place, junk)
                if result.job:
                    to_loudml(result.job)


def test_models_lie_beside_elastics_jobs_and_other_files(tmp_path):
    write(tmp_path, models=[MODEL, model(name="bar")], other={"name": "x", "index": "y"})
    found = {each.job_id: each.status for each in import_jobs(None, [tmp_path])}
    assert found == {"foo": "imported_with_notes", "bar": "imported_with_notes", None: "not_a_job"}


def test_a_script_is_what_a_full_cluster_is_asked_to_aggregate(tmp_path):
    job = made(model(term="caller"), tmp_path).job
    (split,) = splits(job)
    body = composite(job, split, Window.parse("2026-03-01", "2026-03-02"), None)
    assert body["aggs"]["series"]["aggs"] == {"m0": {"avg": {"script": {"lang": "painless", "source": SCRIPT}}}}
    assert body["aggs"]["series"]["composite"]["sources"][1] == {
        "partition": {"terms": {"field": "caller", "missing_bucket": False}}
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"detectors": [{"function": "high_mean", "field_name": "a"}]}, "detectors.0: function 'high_mean'"),
        ({"detectors": [{"function": "mean", "field_name": "a", "by_field_name": "b"}]}, "detectors.0: by_field_name"),
        (
            {"detectors": [{"function": "count"}, {"function": "count", "partition_field_name": "a"}]},
            "detectors.1: another partition_field_name than the first detector's",
        ),
        ({"datafeed": {"indices": "a", "query": {"term": {"a": 1}}}}, "datafeed.query"),
        ({"summary_count_field_name": "n"}, "summary_count_field_name"),
        ({"time_field": "created"}, "time_field"),
    ],
)
def test_what_loudml_has_no_word_for_is_refused(changes, message):
    job = Job.parse({"job_id": "web", "detectors": [{"function": "count"}], "datafeed": {"indices": "a"}, **changes}, where="t")
    with pytest.raises(DefinitionError, match=r"^job web: loudml has no word for ") as caught:
        to_loudml(job)
    assert message in str(caught.value)
