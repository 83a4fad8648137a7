"""Detectors that compare: each finds what was planted for it, out of sample and in hindsight, and says nothing of clean data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pytest

from driftline.core.job import Job
from driftline.core.timespan import Window
from driftline.elastic import results
from driftline.elastic.bulk import bulk, index_action
from driftline.pipeline.jobs import reset
from driftline.pipeline.score import score
from driftline.pipeline.train import train
from driftline.scoring.settings import ALARM_SCORE

START, HOUR = datetime(2026, 3, 1, tzinfo=UTC), timedelta(hours=1)
TRAINED, DAYS = 35, 39
PLANTED = 37 * 24 + 3  # 03:00 of a day after the training
FIELDS = {
    "@timestamp": {"type": "date"},
    **{name: {"type": "keyword"} for name in ("host", "process", "user", "query")},
    "bytes": {"type": "double"},
    "place": {"type": "geo_point"},
}
HOSTS, USERS = 5, 300
CITIES = [(52.5, 13.4), (48.1, 11.6), (50.1, 8.7)]


def hour_of(rng: np.random.Generator, hour: int, planted: bool) -> list[dict[str, Any]]:
    """What some of 300 users do on five hosts: they work from seven to twenty, in three cities, with twenty processes."""
    clock = hour % 24
    working = 7 <= clock < 20
    count = int(rng.poisson(150)) if working else 12
    rows = []
    for _ in range(count):
        # a few robots work at all hours
        user = int(rng.integers(20, USERS)) if working else int(rng.integers(0, 20))
        process = int(rng.integers(0, 20)) if rng.random() < 0.9 else 20 + int(rng.integers(0, 5))
        lat, lon = CITIES[user % 3]
        rows.append(
            {
                "host": f"h{rng.integers(0, HOSTS)}",
                "process": f"p{process}",
                "user": f"u{user}",
                "query": f"www{rng.integers(0, 40)}.example",
                "bytes": float(rng.lognormal(7, 0.5)),
                "place": {"lat": lat + rng.normal(0, 0.003), "lon": lon + rng.normal(0, 0.003)},
            }
        )
    if planted:
        rows += _planted(rng)
    stamp = int((START + hour * HOUR).timestamp() * 1000)
    return [{"@timestamp": stamp + int(rng.integers(0, 3_600_000)), **row} for row in rows]


def _planted(rng: np.random.Generator) -> list[dict[str, Any]]:
    """User u42, who works by day, comes at night from Sydney: with new processes, many requests, random names, large bodies."""
    return [
        {
            "host": "h1",
            "process": ["nc", "tcpdump", "nmap"][number % 3],
            "user": "u42",
            "query": f"{rng.bytes(12).hex()}.example",
            "bytes": float(rng.lognormal(11, 0.5)),
            "place": {"lat": -33.9, "lon": 151.2},
        }
        for number in range(90)
    ]


class Case(NamedTuple):
    """A detector, and what it must find: fields of its records."""

    detector: dict[str, str]
    expected: dict[str, str]


CASES = [
    Case({"function": "rare", "by_field_name": "process"}, {"by_field_value": "nc"}),
    Case(
        {"function": "rare", "by_field_name": "process", "partition_field_name": "host"},
        {"by_field_value": "nmap", "partition_field_value": "h1"},
    ),
    Case({"function": "rare", "by_field_name": "process", "over_field_name": "user"}, {"over_field_value": "u42"}),
    Case({"function": "freq_rare", "by_field_name": "process", "over_field_name": "user"}, {"over_field_value": "u42"}),
    Case({"function": "count", "over_field_name": "user"}, {"over_field_value": "u42"}),
    Case(
        {"function": "high_count", "over_field_name": "user", "partition_field_name": "host"},
        {"over_field_value": "u42", "partition_field_value": "h1"},
    ),
    Case({"function": "high_sum", "field_name": "bytes", "over_field_name": "user"}, {"over_field_value": "u42"}),
    Case({"function": "mean", "field_name": "bytes", "over_field_name": "user"}, {"over_field_value": "u42"}),
    Case({"function": "max", "field_name": "bytes", "over_field_name": "user"}, {"over_field_value": "u42"}),
    Case({"function": "high_distinct_count", "field_name": "query", "over_field_name": "user"}, {"over_field_value": "u42"}),
    Case({"function": "high_info_content", "field_name": "query", "over_field_name": "user"}, {"over_field_value": "u42"}),
    Case({"function": "info_content", "field_name": "query"}, {}),
    Case({"function": "time_of_day", "by_field_name": "user"}, {"by_field_value": "u42"}),
    Case({"function": "time_of_week", "by_field_name": "user"}, {"by_field_value": "u42"}),
    Case({"function": "lat_long", "field_name": "place"}, {}),
    Case({"function": "lat_long", "field_name": "place", "by_field_name": "user"}, {"by_field_value": "u42"}),
]


def job_of(prefix: str, name: str, index: str) -> Job:
    """All cases as the detectors of one job."""
    definition = {
        "job_id": f"{prefix}{name}",
        "bucket_span": "1h",
        "detectors": [case.detector for case in CASES],
        "influencers": ["host"],
        "datafeed": {"indices": [index], "on_request": True},
        "training": {"window": "35d", "schedule": "none"},
    }
    return Job.parse(definition, where="test")


@pytest.fixture(scope="module")
def indexed(client, module_prefix):
    """An index with what was planted, and one without."""
    for name in ("planted", "clean"):
        rng, index = np.random.default_rng(5), f"{module_prefix}{name}"
        client.indices.create(index=index, mappings={"properties": FIELDS}, settings={"number_of_replicas": 0})
        rows = (row for hour in range(DAYS * 24) for row in hour_of(rng, hour, name == "planted" and hour == PLANTED))
        bulk(client, (index_action(index, None, row) for row in rows))
        client.indices.refresh(index=index)
    return module_prefix


@pytest.fixture(scope="module")
def found(client, indexed):
    """Of each index the records; of the planted one also those of a training that has seen them."""
    out = {}
    end = START + DAYS * 24 * HOUR
    after = Window(START + TRAINED * 24 * HOUR, end)
    for name, index, as_of in (
        ("planted", "planted", after.start),
        ("clean", "clean", after.start),
        ("hindsight", "planted", end),
    ):
        job = job_of(indexed, name, f"{indexed}{index}")
        trained = train(client, job, as_of=as_of)
        assert trained["promoted"], trained["reason"]
        scored = score(client, job, window=after)
        assert scored["unscored"] == 0
        out[name] = results.top_records(client, job.job_id, limit=10_000)
        reset(client, job.job_id)
    return out


def loud(records: list[dict[str, Any]], detector: int) -> list[dict[str, Any]]:
    return [r for r in records if r["detector_index"] == detector and r["record_score"] >= ALARM_SCORE]


def hour_of_record(record: dict[str, Any]) -> int:
    return round((record["timestamp"] / 1000 - START.timestamp()) / 3600)


@pytest.mark.parametrize("name", ["planted", "hindsight"])
@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: "-".join(CASES[n].detector.values()))
def test_what_was_planted_is_found(found, number, name):
    there = [record for record in loud(found[name], number) if hour_of_record(record) == PLANTED]
    expected = CASES[number].expected
    assert any(expected.items() <= record.items() for record in there), (
        there,
        [r for r in found[name] if r["detector_index"] == number][:5],
    )


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: "-".join(CASES[n].detector.values()))
def test_clean_data_is_silent(found, number):
    assert [(hour_of_record(r), r["record_score"], r["driftline"]["sentence"]) for r in loud(found["clean"], number)] == []


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: "-".join(CASES[n].detector.values()))
def test_nothing_else_is_found(found, number):
    others = [r for r in loud(found["planted"], number) if hour_of_record(r) != PLANTED]
    assert [(hour_of_record(r), r["record_score"], r["driftline"]["sentence"]) for r in others] == []
