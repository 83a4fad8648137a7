"""Two ways to read an answer, which must say the same: by columns, and object by object."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.core.errors import ClusterDownError
from driftline.core.job import Job
from driftline.core.timespan import Window
from driftline.elastic import read
from driftline.elastic.fields import data_range
from driftline.elastic.query import VALUE, splits
from driftline.elastic.read import _columns, _columns_of_any, _rows, _split_answer
from driftline.pipeline.store import _Store

texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ['},{"key":{', '"buckets":[', "]}}}", "2026-01-01T00:00:00Z", "12", "null", "\\", '"', "\x00", "é🎉\u2028", ""]
    ),
)
numbers = st.one_of(st.none(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))


def split_of(*functions, **fields):
    detectors = [{"function": name, **({"field_name": "x"} if name != "count" else {}), **fields} for name in functions]
    return splits(Job.parse({"job_id": "read", "detectors": detectors, "datafeed": {"indices": ["i"]}}, where="t"))[0]


def answer_of(buckets, successful=2):
    after = {"time": 1, "partition": '"buckets":['}
    head = {"took": 1, "timed_out": False, "_shards": {"total": 2, "successful": successful, "failed": 2 - successful}}
    return orjson.dumps({**head, "aggregations": {"series": {"after_key": after, "buckets": buckets}}})


def bucket_of(key, docs, found, split):
    measures = {}
    for name, (metric, _), value in zip(split.names, split.measures, found, strict=True):
        stats = {"count": 2, "min": 0.5, "max": None, "avg": 1, "sum": value}
        answers = {
            "median": {"values": [{"key": 50.0, "value": value}]},
            "non_null_sum": stats | {"count": docs % 3},
            "varp": stats | {"variance": 3, "variance_population": value, "std_deviation_bounds": {"upper": None, "lower": 1}},
            "std_deviation": stats | {"variance_population": 4, "std_deviation_population": value},
        }
        plain = answers.get(metric, {"value": value})
        narrowed = {"doc_count": docs % 2, **({} if metric == "count" else {VALUE: plain})}
        measures[name] = narrowed if split.queries[split.names.index(name)] else plain
    return {"key": key, "doc_count": docs, **measures}


@settings(max_examples=150)
@pytest.mark.parametrize("query", [None, {"term": {"a": "b"}}])
@given(data=st.data())
def test_columns_hold_what_the_answer_says(query, data):
    functions = ("count", "mean", "median", "varp", "std_deviation", "non_null_sum")
    split = split_of(*functions, partition_field_name="p", by_field_name="b", query=query)
    key = st.fixed_dictionaries({"time": st.integers(0, 2**41), "partition": st.none() | texts, "by": st.none() | texts})
    rows = data.draw(st.lists(st.tuples(key, st.integers(1, 2**40), st.tuples(*[numbers] * len(split.names))), max_size=6))
    head, lines = _split_answer(answer_of([bucket_of(key, docs, found, split) for key, docs, found in rows]), "t")
    assert head["after_key"]["time"] == 1
    fast, slow = _columns(lines, split), _columns_of_any(lines, split)
    assert fast.schema.names == slow.schema.names
    for name in fast.column_names:
        mine, theirs = (table[name].to_pylist() for table in (fast, slow))
        assert len(mine) == len(rows)
        np.testing.assert_array_equal(np.array(mine), np.array(theirs))
    if query:  # nothing where nothing matches
        for name in split.names:
            unmatched = [value for value, (_, docs, _) in zip(slow[name].to_pylist(), rows, strict=True) if docs % 2 == 0]
            assert np.isnan(unmatched).all()
    assert slow["partition"].to_pylist() == [key["partition"] or "" for key, _, _ in rows]
    keys, place = _rows(fast)
    assert [keys[row] for row in place] == [(key["partition"] or "", key["by"] or "", "") for key, _, _ in rows]


@pytest.mark.parametrize(("keys", "said"), [([1, 2], ["1", "2"]), ([True, False], ["true", "false"]), ([1.5, None], ["1.5", ""])])
def test_keys_that_are_no_text_are_read_the_other_way(keys, said):
    split = split_of("sum", partition_field_name="p")
    _, lines = _split_answer(answer_of([bucket_of({"time": 0, "partition": key}, 1, (2.0,), split) for key in keys]), "t")
    with pytest.raises(pa.ArrowInvalid):
        _columns(lines, split)
    assert _columns_of_any(lines, split)["partition"].to_pylist() == said


def test_a_missing_value_and_an_empty_one_are_one_series_of_all_their_documents(monkeypatch):
    functions = ["count", "sum", "mean", "min", "max", "non_null_sum", "std_deviation", "median"]
    split = split_of(*functions, partition_field_name="p", use_null=True)
    found = dict(sum=(900.0, 50.0), mean=(10.0, 20.0), min=(1.0, None), max=(9.0, 8.0), std_deviation=(3.0, 3.0))
    found |= {"non_null_sum": (None, None), "median": (None, 7.0)}
    rows = [
        bucket_of({"time": 0, "partition": key}, docs, [found[metric][place] for metric, _ in split.measures], split)
        for place, (key, docs) in enumerate([(None, 90), ("", 30)])
    ]
    rows.append(bucket_of({"time": 0, "partition": "a"}, 7, [0.1] * len(split.measures), split))
    table = _columns(_split_answer(answer_of(rows), "t")[1], split)
    monkeypatch.setattr(read, "read_table", lambda *_: table)
    detector = {"function": "count", "partition_field_name": "p", "use_null": True}
    job = Job.parse({"job_id": "read", "detectors": [detector], "datafeed": {"indices": ["i"]}}, where="t")
    cells = read.read_cells(None, job, split, None)
    assert [(cells.keys[row][0], docs) for row, docs in zip(cells.row, cells.docs, strict=True)] == [("", 120), ("a", 7)]
    values = {metric: cells.values[name].tolist() for name, (metric, _) in zip(split.names, split.measures, strict=True)}
    assert np.isnan(values.pop("non_null_sum")[0])
    expected = dict(sum=950.0, mean=12.5, min=1.0, max=9.0, std_deviation=3.0, median=7.0)
    assert values == {metric: [value, 0.1] for metric, value in expected.items()}


def test_what_counts_documents_without_a_field_is_not_kept_with_what_leaves_them_out(state):
    days = set()
    for use_null in (False, True):
        detector = {"function": "count", "partition_field_name": "p", "use_null": use_null}
        job = Job.parse({"job_id": "read", "detectors": [detector], "datafeed": {"indices": ["i"]}}, where="t")
        days.add(_Store(None, job, Window.parse("2026-03-01", "2026-03-02"), trusting=True)._place(splits(job)[0], 20_000))
    assert len(days) == 2


def test_an_answer_without_some_shards_is_none():
    with pytest.raises(ClusterDownError, match="1 of 2 shards"):
        _split_answer(answer_of([], successful=1), "job web")


def test_detectors_that_ask_the_same_are_asked_once():
    split = split_of("high_mean", "low_mean", "count", "max", partition_field_name="p")
    assert split.measures == [("max", "x"), ("mean", "x")]
    assert split.metrics == {0: "m1", 1: "m1", 2: None, 3: "m0"}


def test_the_same_query_is_asked_once_and_another_apart():
    one, other = {"bool": {"must": [{"term": {"a": 1}}], "filter": []}}, {"bool": {"filter": [], "must": [{"term": {"a": 1}}]}}
    detectors = [
        {"function": "count", "query": one, "per": {"function": "count"}},
        {"function": "low_count", "query": other},
        {"function": "mean", "field_name": "x", "given": {"function": "mean", "field_name": "x", "query": one}},
    ]
    parsed = Job.parse({"job_id": "read", "detectors": detectors, "datafeed": {"indices": ["i"]}}, where="t")
    compared, series = splits(parsed)
    assert (compared.detectors, series.detectors) == ([0, 2], [1])
    assert compared.measures == [("count", ""), ("mean", "x"), ("mean", "x")]
    assert [bool(query) for query in compared.queries] == [True, False, True]
    assert compared.queries[0] == compared.queries[2] == series.queries[0]
    assert compared.metrics == {0: "m0", 2: "m1"}
    assert compared.others == {0: None, 2: "m2"}


@pytest.mark.parametrize("year", [1938, 1969, 1972, 2026])
def test_data_of_any_year_ends_a_millisecond_after_its_newest_document(year):
    first, last = (datetime(year, month, 1, 0, 0, 1, 1000, UTC) for month in (2, 3))
    found = {name: {"value": moment.timestamp() * 1000} for name, moment in (("first", first), ("last", last))}
    client = SimpleNamespace(search=lambda **_: SimpleNamespace(body={"aggregations": found}))
    job = Job.parse({"job_id": "read", "detectors": [{"function": "count"}], "datafeed": {"indices": ["i"]}}, where="t")
    assert data_range(client, job) == Window(first, last + timedelta(milliseconds=1))
