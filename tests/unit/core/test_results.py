import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.core.job import Job
from driftline.core.results import compare, result_id
from driftline.core.series import SeriesKey

JOB = Job.parse({"job_id": "web", "detectors": [{"function": "count"}], "datafeed": {"indices": ["x"]}}, where="t")
texts = st.one_of(st.none(), st.text(max_size=5))
keys = st.builds(SeriesKey, st.integers(0, 3), texts, texts)


@given(keys, keys)
def test_different_series_have_different_ids_whatever_their_values_look_like(a, b):
    assert (result_id(JOB, "record", 0, key=a) == result_id(JOB, "record", 0, key=b)) == (a == b)


def test_a_lone_surrogate_in_a_value_does_not_break_the_id():
    assert len(result_id(JOB, "record", 0, key=SeriesKey(0, "\ud800", None))) == 40


@pytest.mark.parametrize(
    ("actual", "typical", "sentence"),
    [
        (86, 1460, "17 times lower than expected (86 instead of 1,460)"),
        (2, 34, "17 times lower than expected (2 instead of 34)"),
        (60, 6, "10 times higher than expected (60 instead of 6)"),
        (0, 12.5, "nothing at all, 12.5 expected"),
        (11, 10, "higher than expected (11 instead of 10)"),
        (5, 0, "higher than expected (5 instead of 0)"),
    ],
)
def test_a_deviation_is_told_in_plain_words(actual, typical, sentence):
    assert compare(actual, typical) == sentence
