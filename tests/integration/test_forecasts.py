"""Forecasts of everything that has a course over time: series of all functions, and what members of populations usually have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftline.core.errors import DataError, SnapshotError, WindowError
from driftline.core.functions import FUNCTIONS
from driftline.core.job import Job
from driftline.core.series import SeriesKey
from driftline.core.timespan import Window, iso
from driftline.elastic import results, snapshots
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.indices import FORECASTS
from driftline.models.trained import Trained
from driftline.pipeline import ahead
from driftline.pipeline.forecast import delete_forecasts, forecast, forecasts
from driftline.pipeline.jobs import reset
from driftline.pipeline.train import train
from driftline.pipeline.view import view_series
from driftline.scoring.calibration import Calibration

START, HOUR = datetime(2026, 3, 1, tzinfo=UTC), timedelta(hours=1)
WEEKS, USERS = 3, 12
MEASURED = [name for name, function in FUNCTIONS.items() if function.family == "measured"]


def usual(hour):
    """Requests of a user in an hour: more at noon, fewer on Sundays."""
    return (8 + 5 * np.sin(2 * np.pi * (hour % 24 - 6) / 24)) * (0.4 if hour // 24 % 7 == 0 else 1.0)


@pytest.fixture(scope="module")
def index(client, module_prefix):
    name = f"{module_prefix}ahead"
    kinds = {"@timestamp": "date", "user": "keyword", "site": "keyword", "ms": "double", "place": "geo_point"}
    client.indices.create(index=name, mappings={"properties": {field: {"type": kind} for field, kind in kinds.items()}})
    rng = np.random.default_rng(3)
    rows = [
        {"@timestamp": int((START + hour * HOUR).timestamp() * 1000), "user": f"u{user}", "site": "ab"[user % 2],
         "place": "52.5,13.4", "ms": float(rng.gamma(5, 20 + user))}
        for hour in range(WEEKS * 168)
        for user in range(USERS)
        for _ in range(rng.poisson(usual(hour)))
    ]  # fmt: skip
    bulk(client, (index_action(name, None, row) for row in rows))
    client.indices.refresh(index=name)
    return name


@pytest.fixture
def make(client, prefix, index):
    made = []

    def job(detectors, name="job", **changes):
        data = {
            "job_id": f"{prefix}{name}",
            "bucket_span": "1h",
            "detectors": detectors,
            "datafeed": {"indices": [index], "on_request": True},
            "training": {"window": "21d", "schedule": "none"},
            **changes,
        }
        made.append(data["job_id"])
        return Job.parse(data, where="test")

    yield job
    for job_id in set(made):
        reset(client, job_id)


def documents(client, forecast_id, kind="model_forecast"):
    query = {"bool": {"filter": [{"term": {"forecast_id": forecast_id}}, {"term": {"result_type": kind}}]}}
    found = [hit["_source"] for hit in results.scan(client, query, index=f"{FORECASTS}-*")]
    names = ("detector_index", "partition_field_value", "timestamp")
    return sorted(found, key=lambda each: tuple(str(each.get(name, "")) for name in names))


def columns(found):
    return (np.array([each[f"forecast_{name}"] for each in found]) for name in ("lower", "prediction", "upper"))


def test_every_function_that_measures_is_forecast_with_bounds_that_never_narrow(client, make):
    detectors = [{"function": name, **({"field_name": "ms"} if FUNCTIONS[name].needs_field else {})} for name in MEASURED]
    for each in detectors:
        if "info_content" in each["function"] or "distinct_count" in each["function"]:
            each["field_name"] = "user"
    job = make(detectors)
    train(client, job)
    outcome = forecast(client, job, duration="2d")
    assert outcome["series"] == len(MEASURED)
    found = documents(client, outcome["forecast_id"])
    assert len(found) == outcome["documents"] == 48 * len(MEASURED)
    (manifest,) = snapshots.manifests(client, job.job_id)
    often, hourly = {}, set()
    for chunk in snapshots.chunks(client, manifest):
        trained = Trained.from_numbers(chunk)
        by_hour = Calibration.from_numbers(trained.usual).by_hour
        hourly |= {key.detector_index for key, factors in zip(trained.keys, by_hour, strict=True) if (factors != 1).any()}
        spread = trained.fleet.spread(np.datetime64(found[0]["timestamp"], "ms") + np.arange(48) * np.timedelta64(1, "h"))
        if spread is not None:
            often |= {key.detector_index: np.flatnonzero(wide > 0) for key, wide in zip(trained.keys, spread, strict=True)}
    for number in range(len(MEASURED)):
        mine = [each for each in found if each["detector_index"] == number]
        lower, typical, upper = columns(mine)
        assert (lower <= typical).all(), MEASURED[number]
        assert (upper - typical)[24:].min() >= (upper - typical)[:24].min() * 0.999
        if FUNCTIONS[MEASURED[number]].metric in ahead.NEVER_NEGATIVE:
            assert (lower >= 0).all()
        narrower = np.diff(upper - typical) < -1e-3 * np.abs(typical[1:])
        if number in hourly:  # a quiet hour after a loud one is known better, but no better than on the day before
            assert ((upper - typical)[24:] >= (upper - typical)[:24] * 0.999).all(), MEASURED[number]
            continue
        # after an hour whose habit is known less well than what follows it
        assert not np.delete(narrower, often.get(number, [])).any(), MEASURED[number]
    assert len({FUNCTIONS[MEASURED[number]].metric for number in hourly}) <= 2, "most of them have one noise"


def test_a_populations_forecast_is_what_members_usually_have_and_widens(client, make):
    job = make([{"function": "count", "over_field_name": "user"},
                {"function": "mean", "field_name": "ms", "over_field_name": "user", "partition_field_name": "site"}])  # fmt: skip
    train(client, job)
    outcome = forecast(client, job, duration="14d")
    assert outcome["series"] == 3
    found = documents(client, outcome["forecast_id"])
    lower, typical, upper = columns([each for each in found if each["detector_index"] == 0])
    hours = WEEKS * 168 + np.arange(14 * 24)
    truth = np.array([usual(hour) for hour in hours.tolist()])
    assert np.abs(typical - truth).mean() < 0.8, "hours of the day and days of the week are known"
    middle = np.array([np.median(np.random.default_rng(hour).poisson(usual(hour), USERS)) for hour in hours.tolist()])
    assert ((lower <= middle) & (middle <= upper)).mean() > 0.9
    noon = np.flatnonzero(hours % 24 == 12)
    weekday = noon[hours[noon] // 24 % 7 != 0]
    assert (np.diff((upper - lower)[weekday]) >= -1e-3).all()
    assert (upper - lower)[weekday[-1]] > 1.02 * (upper - lower)[weekday[0]]
    sites = {each["partition_field_value"] for each in found if each["detector_index"] == 1}
    assert sites == {"a", "b"}
    assert not any("over_field_value" in each for each in found)
    only = forecast(client, job, duration="1d", partitions=["a"])
    assert {each["partition_field_value"] for each in documents(client, only["forecast_id"])} == {"a"}


def test_what_has_no_course_over_time_is_refused_with_the_reason(client, make):
    rare = [{"function": "rare", "by_field_name": "user"},
            {"function": "freq_rare", "by_field_name": "site", "over_field_name": "user"},
            {"function": "time_of_day", "by_field_name": "user"},
            {"function": "lat_long", "field_name": "place"}]  # fmt: skip
    job = make(rare)
    train(client, job)
    with pytest.raises(SnapshotError, match="nothing to forecast") as told:
        forecast(client, job)
    for reason in ("what is rare", "how often members have rare values", "times of day and week", "places"):
        assert f"{reason} ha" in told.value.fix
    mixed = make([*rare, {"function": "count"}], name="mixed")
    train(client, mixed)
    outcome = forecast(client, mixed, duration="1d")
    assert outcome["series"] == 1
    assert sum("is not forecast" in note for note in outcome["notes"]) == 4


def test_all_series_are_forecast_if_asked_and_what_is_left_out_is_told(client, make):
    split = [{"function": "count", "partition_field_name": "user"}]
    job = make(split, forecast={"max_partitions": 5})
    train(client, job)
    largest = forecast(client, job, duration="3h")
    assert largest["series"] == 5
    assert largest["notes"][0].startswith("7 of 12 series are left out")
    every = forecast(client, job, duration="3h", every=True)
    assert every["series"] == 12
    assert every["forecast_id"] != largest["forecast_id"]
    unlimited = make(split, forecast={"max_partitions": 0})
    assert forecast(client, unlimited, duration="3h")["forecast_id"] == every["forecast_id"]


def test_a_history_too_short_for_the_forecast_or_a_season_is_told_with_it(client, make):
    monthly = {"name": "monthly", "period": 30.5, "fourier_order": 2}
    job = make([{"function": "count"}], training={"window": "21d", "schedule": "none", "prophet": {"seasonalities": [monthly]}})
    train(client, job, as_of=START + WEEKS * 168 * HOUR)
    short = "the history is 21d, less than 3 times the forecast: treat the far end with care"
    chance = "the history is 21d, less than 2 cycles of the season 'monthly' (732h): it may be chance"
    assert forecast(client, job, duration="8d")["notes"] == [short, chance]
    shown = view_series(client, job, SeriesKey(0, None, None), Window(START, START + 24 * HOUR))
    assert shown["forecast"]["notes"] == [short, chance]


def test_the_forecast_that_is_shown_is_the_last_that_was_made_not_that_which_reaches_farthest(client, make):
    job = make([{"function": "count"}])
    train(client, job, as_of=START + WEEKS * 168 * HOUR)
    window, key = Window(START, START + 24 * HOUR), SeriesKey(0, None, None)
    for duration in ("5d", "1d", "2d"):
        made = forecast(client, job, duration=duration)
        assert view_series(client, job, key, window)["forecast"]["forecast_id"] == made["forecast_id"]
    assert view_series(client, job, SeriesKey(0, "elsewhere", None), window)["forecast"] is None


def test_a_long_forecast_is_made_in_pieces_that_fit_together(client, make, monkeypatch):
    job = make([{"function": "count", "partition_field_name": "site"}, {"function": "count", "over_field_name": "user"}])
    train(client, job)
    whole = forecast(client, job, duration="5d")
    before = documents(client, whole["forecast_id"])
    monkeypatch.setattr(ahead, "STEPS", 7)
    monkeypatch.setattr(ahead, "BLOCK", 7)
    again = forecast(client, job, duration="5d")
    assert again["forecast_id"] == whole["forecast_id"]
    assert again["summary"] == whole["summary"]
    after = documents(client, again["forecast_id"])
    assert [each["timestamp"] for each in after] == [each["timestamp"] for each in before]
    for one, other in zip(columns(before), columns(after), strict=True):
        assert other == pytest.approx(one, rel=1e-5)
    with pytest.raises(WindowError, match="beyond the year 9999"):
        forecast(client, job, duration="99999999d")


def test_forecasts_are_listed_expire_as_asked_and_can_be_deleted(client, make):
    job = make([{"function": "count"}])
    train(client, job)
    short = forecast(client, job, duration="2h", expires_in="1d")
    ever = forecast(client, job, duration="3h", expires_in="0")
    newest, oldest = forecasts(client, job.job_id)
    assert (newest["forecast_id"], oldest["forecast_id"]) == (ever["forecast_id"], short["forecast_id"])
    assert oldest["forecast_expiry_timestamp"] - oldest["forecast_create_timestamp"] == 86_400_000
    assert "forecast_expiry_timestamp" not in newest
    assert ever["expires"] is None
    told = {name: newest[name] for name in ("forecast_status", "forecast_progress", "processed_record_count")}
    assert told == {"forecast_status": "finished", "forecast_progress": 1.0, "processed_record_count": 3}
    assert newest["driftline"]["series"] == 1
    assert newest["forecast_end_timestamp"] - newest["forecast_start_timestamp"] == 3 * 3_600_000
    with pytest.raises(DataError, match="no forecast 'nothing'"):
        delete_forecasts(client, job.job_id, [short["forecast_id"], "nothing"])
    assert delete_forecasts(client, job.job_id, [short["forecast_id"]]) == 3
    assert [each["forecast_id"] for each in forecasts(client, job.job_id)] == [ever["forecast_id"]]
    assert iso(START + WEEKS * 168 * HOUR) == short["start"]
