import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from driftline.core.job import Job
from driftline.core.results import Maker, number, numbers, result, result_id, series_fields
from driftline.core.series import SeriesKey

JOB = Job.parse({"job_id": "web", "detectors": [{"function": "count"}], "datafeed": {"indices": ["x"]}}, where="t")
SPLIT = Job.parse(JOB.as_dict() | {"detectors": [{"function": "count", "partition_field_name": "path"}]}, where="t")
texts = st.one_of(st.none(), st.text(max_size=5))
keys = st.builds(SeriesKey, st.integers(0, 3), texts, texts)


@given(keys, keys)
def test_different_series_have_different_ids_whatever_their_values_look_like(a, b):
    assert (result_id(JOB, "record", 0, key=a) == result_id(JOB, "record", 0, key=b)) == (a == b)


def test_a_lone_surrogate_in_a_value_does_not_break_the_id():
    assert len(result_id(JOB, "record", 0, key=SeriesKey(0, "\ud800", None))) == 40


def test_ids_are_what_they_have_always_been():
    """Stored results are replaced by id: another id for the same result would leave the old one beside the new."""
    key = SeriesKey(0, "/checkout", "eu")
    assert JOB.version == "d9a74d2965f0"
    assert result_id(JOB, "bucket", 1_700_000_000_000) == "d830d1e7b585574af31183cbc97c0217bcf66ef5"
    assert result_id(JOB, "record", 1_700_000_000_000, key=key) == "ccfb50d5743c6200bedce2d48235644eb2528b8a"
    assert (
        result_id(JOB, "model_forecast", 1_700_000_000_000, key=key, extra=("f1",)) == "1c660eba078985ebe3fed9298cda4b217cfd85e6"
    )


@given(st.lists(st.floats(-1e300, 1e300) | st.sampled_from([np.nan, np.inf, -np.inf]), max_size=5), st.sampled_from([4, 6, 10]))
def test_many_numbers_are_written_as_single_ones_are(values, digits):
    assert [orjson.loads(text) for text in numbers(np.array(values), digits)] == [number(value, digits) for value in values]


@given(st.builds(SeriesKey, st.just(0), st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=8))))
def test_rows_are_the_documents_that_would_be_made_one_by_one(key):
    lineage, values = {"snapshot_id": "s", "in_sample": False}, np.array([[1.0, 2.5], [np.nan, 1e-7]])
    maker = Maker(SPLIT, "model_forecast", lineage, extra=("f1",))
    columns = {name: numbers(row) for name, row in zip(("low %d", "high"), values, strict=True)}
    for column, (id_, time, text) in enumerate(maker.rows(key, [0, 3_600_000], columns, forecast_id="f1")):
        single = result(SPLIT, "model_forecast", time, lineage) | series_fields(SPLIT.detectors[0], key) | {"forecast_id": "f1"}
        single |= {"low %d": number(values[0, column]), "high": number(values[1, column])}
        assert orjson.loads(text) == single
        assert id_ == result_id(SPLIT, "model_forecast", time, key=key, extra=("f1",)) == maker.id(time, key)
