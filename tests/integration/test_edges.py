"""Odd names and values, odd days, and partitions that come and go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import pytest

from driftline.core.job import Job
from driftline.core.results import Maker
from driftline.core.series import SeriesKey
from driftline.core.timespan import Window
from driftline.elastic import results
from driftline.elastic.bulk import bulk, index_action
from driftline.pipeline.crowd import view_rare
from driftline.pipeline.jobs import reset
from driftline.pipeline.read import read_series
from driftline.pipeline.score import score
from driftline.pipeline.train import train
from driftline.pipeline.view import documents
from driftline.scoring.settings import ALARM_SCORE

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 3, 1, tzinfo=UTC)


def fill(
    client: Any, index: str, start: datetime, days: int, rate: Callable[[datetime], dict[str, float]], field: str = "who"
) -> None:
    """Documents by the hour: `rate` says how many each value of the field has."""
    rng = np.random.default_rng(6)
    fields = {"@timestamp": {"type": "date"}}
    text = {"match_mapping_type": "string", "mapping": {"type": "keyword"}}
    client.indices.create(index=index, mappings={"properties": fields, "dynamic_templates": [{"text": text}]})
    rows = (
        {"@timestamp": int((start + hour * HOUR + rng.random() * HOUR).timestamp() * 1000), field: value}
        for hour in range(days * 24)
        for value, mean in rate(start + hour * HOUR).items()
        for _ in range(int(rng.poisson(mean)))
    )
    bulk(client, (index_action(index, None, row) for row in rows))
    client.indices.refresh(index=index)


def job_of(name: str, **given: Any) -> Job:
    definition = {
        "job_id": name,
        "bucket_span": "1h",
        "detectors": [{"function": "count", "partition_field_name": "who"}],
        "datafeed": {"indices": [name], "on_request": True},
        "training": {"schedule": "none"},
        **given,
    }
    return Job.parse(definition, where="test")


def found(client: Any, job: Job, trained: datetime, end: datetime) -> list[dict[str, Any]]:
    """Trains up to a time and scores from there: the records that alarm."""
    train(client, job, as_of=trained)
    score(client, job, window=Window(trained, end))
    records = [each for each in results.top_records(client, job.job_id, limit=10_000) if each["record_score"] >= ALARM_SCORE]
    reset(client, job.job_id)
    return records


def daily(at: datetime, mean: float = 40.0) -> float:
    return mean * (1 + 0.5 * np.sin(2 * np.pi * at.hour / 24))


@pytest.mark.parametrize("field", ["a.b.c", "with space", 'it\'s "quoted"', "emoji 🙈", "ünï", "a:b*c?[0]{x}"])
def test_any_field_name_is_a_field(client, prefix, field):
    fill(client, prefix.strip("-"), START, 16, lambda at: {"x": 400 if at == START + 15 * DAY + 5 * HOUR else daily(at)}, field)
    detectors = [{"function": "count", "partition_field_name": field}, {"function": "rare", "by_field_name": field},
                 {"function": "high_distinct_count", "field_name": field}]  # fmt: skip
    job = job_of(prefix.strip("-"), detectors=detectors, influencers=[field])
    (record,) = found(client, job, START + 15 * DAY, START + 16 * DAY)
    assert (record["partition_field_name"], record["partition_field_value"]) == (field, "x")
    assert record["influencers"] == [{"influencer_field_name": field, "influencer_field_values": ["x"]}]


VALUES = [
    "",
    "x" * 32_766,
    "<script>alert(1)</script>",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "'; DROP TABLE x; --",
    "../../etc/passwd",
    "%s%n",
]


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ({"type": "long"}, lambda moment: int(moment.timestamp() * 1000)),
        ({"type": "date", "format": "epoch_second"}, lambda moment: int(moment.timestamp())),
        ({"type": "date", "format": "dd/MM/yyyy HH:mm"}, lambda moment: f"{moment:%d/%m/%Y %H:%M}"),
    ],
)
def test_what_is_behind_an_anomaly_is_found_however_times_are_written(client, prefix, kind, written):
    name, window = f"{prefix}times", Window(START + 2 * HOUR, START + 3 * HOUR)
    client.indices.create(index=name, mappings={"properties": {"at": kind, "who": {"type": "keyword"}}})
    bulk(client, (index_action(name, None, {"at": written(START + n * HOUR), "who": "a"}) for n in range(6)))
    client.indices.refresh(index=name)
    job = job_of(name, time_field="at", detectors=[{"function": "rare", "by_field_name": "who"}])
    key, time = SeriesKey(0, None, "a"), int(window.start.timestamp() * 1000)
    maker = Maker(job, "record", {"sentence": "a is rare"})
    record = {**maker.document(time, key), "record_score": 50.0}
    results.replace(client, job, window, [(maker.id(time, key), time, orjson.dumps(record))], types=["record"])
    assert documents(client, job, key, window)["total"] == 1
    (seen,) = view_rare(client, job, key, window)["values"]
    assert (seen["before"], seen["inside"], seen["count"]) == (2, 1, 3)
    reset(client, name)


def test_any_partition_value_is_a_value(client, prefix):
    name, spike = prefix.strip("-"), START + 15 * DAY + 5 * HOUR
    fill(client, name, START, 16, lambda at: {value: 300 if at == spike else daily(at, 12) for value in VALUES})
    detectors = [{"function": "count", "partition_field_name": "who"}, {"function": "count", "over_field_name": "who"}]
    records = found(client, job_of(name, detectors=detectors, influencers=["who"]), START + 15 * DAY, START + 16 * DAY)
    assert {each["partition_field_value"] for each in records if "partition_field_value" in each} == set(VALUES)


def test_a_day_of_23_hours_and_a_leap_day_are_days_like_others(client, prefix):
    name, berlin = prefix.strip("-"), ZoneInfo("Europe/Berlin")

    def rate(at: datetime) -> dict[str, float]:
        return {"x": 150.0 if 8 <= at.astimezone(berlin).hour < 18 else 15.0}

    spring = datetime(2026, 3, 14, tzinfo=UTC)  # the clocks go forward on the 29th
    fill(client, f"{name}-dst", spring, 19, rate)
    assert found(client, job_of(f"{name}-dst"), spring + 15 * DAY, spring + 19 * DAY), "by UTC, people come an hour early"
    assert found(client, job_of(f"{name}-dst", time_zone="Europe/Berlin"), spring + 15 * DAY, spring + 19 * DAY) == []
    leap = datetime(2024, 2, 13, tzinfo=UTC)
    fill(client, f"{name}-leap", leap, 19, lambda at: {"x": daily(at)})
    assert found(client, job_of(f"{name}-leap"), leap + 15 * DAY, leap + 19 * DAY) == []


def test_a_partition_that_appears_is_learned_and_one_that_vanishes_is_told_and_may_return(client, prefix):
    name = prefix.strip("-")

    def rate(at: datetime) -> dict[str, float]:
        day = (at - START).days
        return {
            "always": daily(at),
            **({"late": daily(at)} if day >= 10 else {}),
            **({"new": daily(at)} if day >= 17 else {}),
            **({} if day in (18, 19) else {"gone": daily(at)}),
        }

    fill(client, name, START, 22, rate)
    job = job_of(name)
    train(client, job, as_of=START + 15 * DAY)
    score(client, job, window=Window(START + 15 * DAY, START + 22 * DAY))
    events = [each for each in results.of_type(client, name, "event") if each["driftline"]["event"]["alarm"]]
    reset(client, name)
    (vanished,) = events  # its return is no alarm
    assert vanished["partition_field_value"] == "gone"
    assert vanished["driftline"]["event"]["kind"] == "silence"
    assert timedelta(0) <= datetime.fromtimestamp(vanished["timestamp"] / 1000, UTC) - (START + 18 * DAY) <= 2 * HOUR


def test_a_partition_that_is_pruned_is_silent_no_more_and_comes_back_as_new(client, prefix):
    name = prefix.strip("-")

    def rate(at: datetime) -> dict[str, float]:
        day = (at - START).days
        return {"always": daily(at)} | ({} if 8 <= day < 19 else {"old": daily(at)})

    fill(client, name, START, 22, rate)
    forgetting = job_of(name, model_prune_window="5d")
    trained = train(client, forgetting, as_of=START + 15 * DAY)
    assert trained["trained"] == 1, "what was away for a week is not in the snapshot"
    score(client, forgetting, window=Window(START + 15 * DAY, START + 22 * DAY))
    assert [each for each in results.top_records(client, name, limit=100) if each["record_score"] >= ALARM_SCORE] == []
    assert train(client, job_of(name), as_of=START + 15 * DAY)["trained"] == 2
    reset(client, name)


def test_a_partition_is_silent_for_the_prune_window_only(client, prefix):
    name = prefix.strip("-")
    fill(client, name, START, 21, lambda at: {"always": daily(at)} | ({"old": daily(at)} if (at - START).days < 16 else {}))
    records = found(client, job_of(name, model_prune_window="2d"), START + 15 * DAY, START + 21 * DAY)
    last = max(datetime.fromtimestamp(each["timestamp"] / 1000, UTC) for each in records)
    assert START + 16 * DAY < last <= START + 18 * DAY


def test_partitions_beyond_the_limit_are_named(client, prefix, tmp_path):
    name = prefix.strip("-")
    fill(
        client,
        name,
        START,
        1,
        lambda at: {f"p{number:05d}": 3 if number else 0.02 for number in range(20_001)} if at.hour < 2 else {},
    )
    handle = read_series(client, job_of(name), Window(START, START + DAY), uri=str(tmp_path / "s"))
    assert handle["series"] <= 20_000
    left = client.search(index=name, size=0, aggs={"n": {"cardinality": {"field": "who", "precision_threshold": 40_000}}})
    (note,) = handle["notes"] or [""]
    beyond = left["aggregations"]["n"]["value"] - 20_000
    assert (f"{beyond} series beyond training.max_partitions=20000 are left out" in note) == (beyond > 0)
