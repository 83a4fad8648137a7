from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftline.core.job import Job
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.timespan import Window
from driftline.quality import check_series, worst

START = datetime(2015, 5, 1, tzinfo=UTC)  # old data is as good as new
HOUR = timedelta(hours=1)


def job(**quality):
    data = {"job_id": "web", "bucket_span": "1h", "detectors": [{"function": "count"}], "datafeed": {"indices": ["x"]}}
    return Job.parse({**data, "quality": quality}, where="t")


def frame(buckets=48, keys=2):
    names = [SeriesKey(0, f"p{n}") for n in range(keys)]
    return SeriesFrame(START, HOUR, names, np.full((keys, buckets), 5.0), np.full(buckets, 5 * keys))


def judged(data, settings=None, history=None):
    found = check_series(data, settings or job(), window=Window(data.start, data.end), history=history)
    return {check.name: check for check in found}


def test_whole_series_pass_every_check():
    checks = judged(frame(), history={"docs": 10.0, "series": 2})
    assert {check.verdict for check in checks.values()} == {"pass"}
    assert set(checks) == {"freshness", "completeness", "volume", "non_negative", "finite", "partitions"}


def test_freshness_is_judged_at_the_end_of_the_interval():
    late = frame()
    late.docs[-2:] = 0
    assert judged(late)["freshness"].verdict == "pass", "three bucket spans are allowed"
    late.docs[-4:] = 0
    check = judged(late)["freshness"]
    assert check.verdict == "warn"
    assert check.message == "No document since 2015-05-02T20:00:00Z; the interval ends at 2015-05-03T00:00:00Z."
    assert judged(late, job(freshness="stop"))["freshness"].verdict == "stop"
    assert judged(late, job(max_lag="6h"))["freshness"].verdict == "pass"


def test_empty_buckets_are_counted_and_named():
    gaps = frame()
    gaps.docs[[3, 7, 9, 11, 20]] = 0
    check = judged(gaps)["completeness"]
    assert (check.verdict, check.failed, check.sample[0]) == ("warn", 5, "2015-05-01T03:00:00Z")
    assert judged(gaps, job(min_complete=0.5))["completeness"].verdict == "pass"


def test_no_data_at_all_is_told_apart():
    silent = frame()
    silent.docs[:] = 0
    checks = judged(silent)
    assert checks["freshness"].observed == "no document at all"
    assert (checks["completeness"].verdict, checks["completeness"].observed) == ("warn", "0.0%")


@pytest.mark.parametrize(("value", "check"), [(-3.0, "non_negative"), (np.inf, "finite"), (-np.inf, "finite")])
def test_impossible_values_stop_the_run(value, check):
    broken = frame()
    broken.values[1, 5] = value
    found = judged(broken)
    assert [name for name, result in found.items() if result.verdict in {"warn", "stop"}] == [check]
    assert (found[check].verdict, found[check].sample) == ("stop", ["p1"])
    assert worst(found.values()) == "stop"


def test_a_negative_mean_is_fine():
    data = {
        "job_id": "t",
        "bucket_span": "1h",
        "detectors": [{"function": "mean", "field_name": "c"}],
        "datafeed": {"indices": ["x"]},
    }
    cold = frame()
    cold.values[:] = -20.0
    assert judged(cold, Job.parse(data, where="t"))["non_negative"].verdict == "pass"


@pytest.mark.parametrize(("usual", "verdict"), [(10.0, "pass"), (45.0, "pass"), (60.0, "warn"), (1.0, "warn")])
def test_volume_is_held_against_history(usual, verdict):
    assert judged(frame(), history={"docs": usual, "series": 2})["volume"].verdict == verdict


def test_a_change_of_volume_says_what_it_used_to_be_and_may_stop_the_run():
    check = judged(frame(), job(volume="stop"), history={"docs": 1000.0, "series": 2})["volume"]
    assert check.verdict == "stop"
    assert check.message == "There are 10 documents a bucket; at these hours there used to be 1000."


@pytest.mark.parametrize(("docs", "verdict"), [(0, "pass"), (8, "pass"), (30, "warn")])
def test_a_few_documents_in_a_quiet_hour_are_chance(docs, verdict):
    night = frame(1, 1)
    night.docs[:] = docs
    assert judged(night, history={"docs": 0.1, "series": 0.1})["volume"].verdict == verdict


def test_without_history_nothing_is_held_against_it():
    check = judged(frame())["volume"]
    assert check.verdict == "skipped"
    assert check.message.startswith("Nothing was trained on before this interval")


@pytest.mark.parametrize(("usual", "verdict"), [(2, "pass"), (3, "pass"), (10, "warn")])
def test_a_drop_in_partitions_is_noticed(usual, verdict):
    check = judged(frame(), history={"docs": 10.0, "series": usual})["partitions"]
    assert check.verdict == verdict
    assert verdict == "pass" or check.message == "2 series hold data in a bucket; at these hours 10 used to."


def test_series_that_hold_only_zeros_are_silent():
    quiet = frame(keys=10)
    quiet.values[3:] = 0
    check = judged(quiet, history={"docs": 10.0, "series": 10})["partitions"]
    assert (check.verdict, check.observed) == ("warn", "3 series, 3 a bucket")


@pytest.mark.parametrize(("history", "verdict"), [(None, "warn"), ({"docs": 0.1, "series": 0.1}, "pass")])
def test_no_series_at_all_is_fine_only_where_that_is_usual(history, verdict):
    silent = frame(keys=0)
    assert judged(silent, history=history)["partitions"].verdict == verdict


def test_partitions_beyond_the_limit_are_told():
    limited = frame()
    limited.notes.append("7 series beyond training.max_partitions=2 are left out (the smallest): a, b")
    assert judged(limited)["partitions"].message.startswith("7 series beyond")


@pytest.mark.parametrize(("buckets", "keys"), [(0, 0), (0, 2), (5, 0)])
def test_nothing_is_judged_without_failing(buckets, keys):
    checks = judged(frame(buckets, keys))
    assert worst(checks.values()) in {"pass", "warn"}


def test_series_without_any_value_pass_what_looks_at_values():
    empty = frame()
    empty.values[:] = np.nan
    checks = judged(empty)
    assert (checks["finite"].verdict, checks["non_negative"].verdict, checks["partitions"].verdict) == ("pass", "pass", "warn")


def test_bytes_are_never_negative_either():
    detector = {"function": "sum", "field_name": "http.response.body.bytes"}
    data = {"job_id": "t", "bucket_span": "1h", "detectors": [detector], "datafeed": {"indices": ["x"]}}
    broken = frame()
    broken.values[0, 0] = -1
    assert judged(broken, Job.parse(data, where="t"))["non_negative"].verdict == "stop"


def test_one_empty_bucket_is_judged_with_its_look_back():
    data = frame()
    data.docs[-1] = 0
    window = Window(data.end - HOUR, data.end)
    checks = {check.name: check for check in check_series(data, job(), window=window)}
    assert (checks["freshness"].verdict, checks["completeness"].verdict) == ("pass", "pass")
    data.docs[-4:] = 0
    checks = {check.name: check for check in check_series(data, job(), window=window)}
    assert (checks["freshness"].verdict, checks["completeness"].verdict) == ("warn", "warn")
    assert checks["completeness"].message == "4 of 10 buckets hold no document."


def test_a_lag_longer_than_what_was_read_is_not_judged():
    silent = frame(4)
    silent.docs[:] = 0
    check = judged(silent, job(max_lag="2d"))["freshness"]
    assert (check.verdict, check.message) == ("skipped", "What was read is shorter than the lag that is allowed.")


@pytest.mark.parametrize("check", ["freshness", "completeness", "volume", "partitions", "finite", "non_negative"])
@pytest.mark.parametrize("verdict", ["pass", "warn", "stop"])
def test_the_settings_say_what_a_failed_check_means(check, verdict):
    broken = frame()
    broken.docs[-10:] = 0
    broken.values[0, 0], broken.values[1, 0] = -1, np.inf
    found = judged(broken, job(**{check: verdict}), history={"docs": 1000.0, "series": 500.0})
    assert found[check].verdict == verdict


def test_only_the_interval_counts_not_the_look_back():
    early = frame()
    early.docs[:12] = 0
    window = Window(START + 12 * HOUR, early.end)
    assert worst(check_series(early, job(), window=window)) == "pass"
