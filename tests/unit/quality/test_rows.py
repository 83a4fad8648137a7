from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from driftline.core.errors import DefinitionError
from driftline.core.source import Source
from driftline.quality import RowRules, check_rows, row_results, worst

NOW = datetime(2026, 3, 10, tzinfo=UTC)
RULES = RowRules(
    required=("url.path",),
    now=NOW,
    oldest=NOW - timedelta(days=30),
    ranges={"status": (100, 599), "bytes": (0, None)},
    values={"method": ["GET", "POST"]},
)


def rows(n=6, **changes):
    times = pd.date_range("2026-03-01", periods=n, freq="1h", tz="UTC")
    good = {"@timestamp": times, "url.path": "/", "status": 200, "bytes": 10.0, "method": "GET"}
    frame = pd.DataFrame(good)
    for place, value in changes.items():  # column_row
        column, row = place.rsplit("_", 1)
        if value is None or isinstance(value, str):
            frame[column] = frame[column].astype(object)
        frame.loc[int(row), column] = value
    return frame


def judged(frame, rules=RULES):
    check = check_rows(frame, rules)
    return {row: check.reasons[row] for row in np.flatnonzero(check.bad).tolist()}


def test_good_rows_pass():
    assert judged(rows()) == {}


@pytest.mark.parametrize(
    ("changes", "row", "reason"),
    [
        ({"status_1": 999}, 1, "status is not within 100 to 599: 999"),
        ({"status_1": 0}, 1, "status is not within 100 to 599: 0"),
        ({"bytes_2": -5.0}, 2, "bytes is not within 0 to any: -5.0"),
        ({"url.path_3": None}, 3, "url.path has no value"),
        ({"method_4": "BREW"}, 4, "method is not one of the allowed values: BREW"),
        ({"@timestamp_5": pd.Timestamp("2026-03-11", tz="UTC")}, 5, "@timestamp lies in the future (after 2026-03-10T00:05:00Z)"),
        ({"@timestamp_0": pd.Timestamp("2025-01-01", tz="UTC")}, 0, "@timestamp lies before 2026-02-08T00:00:00Z"),
        ({"@timestamp_0": pd.NaT}, 0, "@timestamp has no value"),
        ({"bytes_0": np.inf}, 0, "bytes is not within 0 to any: inf"),
        ({"bytes_0": np.nan}, None, ""),
    ],
)
def test_a_bad_row_is_found_with_its_reason(changes, row, reason):
    found = judged(rows(**changes))
    assert list(found) == ([] if row is None else [row])
    assert row is None or found[row].startswith(reason)


def test_all_reasons_of_a_row_are_told():
    assert judged(rows(status_1=7, bytes_1=-1.0))[1] == "status is not within 100 to 599: 7; bytes is not within 0 to any: -1.0"


def test_a_required_column_that_is_missing_fails_every_row():
    assert judged(rows().drop(columns="url.path")) == dict.fromkeys(range(6), "url.path is not there at all")


def test_a_row_that_lacks_two_fields_has_failed_once():
    frame = rows(**{"url.path_1": None, "method_1": None})
    check = check_rows(frame, RowRules(now=NOW, required=("url.path", "method")))
    assert check.failed == {"missing": 1}
    assert check.reasons == {1: "url.path has no value; method has no value"}


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity_is_no_value_of_a_required_number(value):
    found = judged(rows(bytes_2=value), RowRules(now=NOW, required=("bytes",)))
    assert found == {2: f"bytes is not finite: {value}"}


def test_a_range_without_ends_only_wants_finite_numbers():
    assert judged(rows(bytes_2=np.inf), RowRules(now=NOW, ranges={"bytes": (None, None)})) == {2: "bytes is not finite: inf"}


@pytest.mark.parametrize(
    ("column", "values", "bad"),
    [
        ("url.path", ["/a", "b", None, "/c"], {1: "b"}),
        ("code", [200, 404, 999, 201], {2: "999"}),
        ("tags", [["/x"], {"/": 1}, 7, "/y"], {0: "['/x']", 1: "{'/': 1}", 2: "7"}),
    ],
)
def test_a_pattern_must_be_found_whatever_the_type(column, values, bad):
    frame = rows(4).assign(**{column: pd.Series(values)})
    pattern = {"code": r"^[1-5]\d\d$"}.get(column, "^/")
    found = judged(frame, RowRules(now=NOW, patterns={column: pattern}))
    assert found == {row: f"{column} does not match {pattern}: {value}" for row, value in bad.items()}


def test_lists_and_objects_in_a_column_are_judged_like_other_values():
    frame = rows(4).assign(method=pd.Series(["GET", ["GET"], {"GET": 1}, 3]), status=pd.Series([200, "x", [7], 10**30]))
    found = judged(frame)
    assert set(found) == {1, 2, 3}
    assert found[1] == "method is not one of the allowed values: ['GET']"
    assert found[3].startswith("status is not within 100 to 599: 1e+30")


def test_a_check_that_cannot_be_judged_passes_no_row_for_good():
    found = judged(rows(2), RowRules(now=NOW, patterns={"url.path": "("}))
    assert list(found) == [0, 1]
    assert found[0].startswith("url.path could not be judged: ")


def test_a_hostile_column_name_is_only_a_name():
    name = "a'] == 1; __import__('os') #"
    assert judged(rows(2).assign(**{name: [1.0, -1.0]}), RowRules(now=NOW, ranges={name: (0, None)})) == {
        1: f"{name} is not within 0 to any: -1.0"
    }


def test_a_check_set_to_pass_only_counts():
    check = check_rows(rows(status_1=999), RowRules(now=NOW, ranges={"status": (100, 599)}, verdicts={"range": "pass"}))
    assert not check.bad.any()
    assert check.failed == {"range": 1}


def test_an_empty_batch_and_a_batch_of_missing_values_are_no_trouble():
    assert judged(rows(0)) == {}
    frame = rows(3)
    frame["status"] = np.nan
    assert judged(frame) == {}


def test_the_verdict_over_many_batches_adds_up():
    batches = [check_rows(frame, RULES).counts() for frame in (rows(status_1=999), rows(), rows(bytes_0=-1.0))]
    results = {result.name: result for result in row_results(RULES, batches, unparsed=2, samples=["line 7: no time stamp"])}
    assert (results["range"].failed, results["range"].verdict) == (2, "warn")
    assert results["range"].sample == ["status is not within 100 to 599: 999", "bytes is not within 0 to any: -1.0"]
    assert (results["unparsed"].failed, results["unparsed"].sample) == (2, ["line 7: no time stamp"])
    assert results["missing"].verdict == "pass"
    assert results["bad_ratio"].observed == "4 of 20 rows (20.00%)"
    assert worst(results.values()) == "warn"


def test_too_many_bad_rows_stop_the_run():
    results = row_results(RULES, [check_rows(rows(), RULES).counts()], unparsed=10)
    assert worst(results) == "stop"
    assert "is the format or the time zone right?" in results[-1].message


def source(**quality):
    return Source.parse({"source_id": "web", "index": "web", "files": {"paths": "x.log"}, "quality": quality}, where="web.yaml")


def test_the_rules_are_what_the_source_says():
    rules = RowRules.of(source(required=["url.path"], patterns={"url.path": "^/"}, value="stop", future="pass"), now=NOW)
    assert (rules.required, rules.patterns, rules.now) == (("url.path",), {"url.path": "^/"}, NOW)
    assert (rules.verdict("value"), rules.verdict("future"), rules.verdict("bad_ratio")) == ("stop", "pass", "stop")


def test_a_pattern_that_is_none_names_its_field():
    with pytest.raises(DefinitionError, match=r"web.yaml: quality.patterns: url.path: '\(' is not a regular expression"):
        source(patterns={"url.path": "("})


def test_a_source_without_patterns_keeps_its_version():
    assert "patterns" not in source().as_dict()["quality"]
