from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

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
        ({"bytes_0": np.inf}, None, ""),
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
