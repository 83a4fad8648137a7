"""Every detector function finds what was planted for it, and says nothing of a clean series."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftline.core.functions import FUNCTIONS
from driftline.core.job import Job
from driftline.core.timespan import Window
from driftline.elastic import results
from driftline.elastic.bulk import bulk, index_action
from driftline.pipeline.jobs import reset
from driftline.pipeline.score import score
from driftline.pipeline.train import train
from driftline.scoring.settings import ALARM_SCORE

START, HOUR = datetime(2026, 3, 1, tzinfo=UTC), timedelta(hours=1)
TRAINED, DAYS = 14, 18
HIGH, LOW = 16 * 24 + 10, 17 * 24 + 14
MEASURED = [function for function in FUNCTIONS.values() if function.family == "measured"]  # test_compared.py has the others


def hour_of(rng: np.random.Generator, hour: int, planted: bool) -> list[dict[str, object]]:
    """Some forty requests with a daily rhythm; one hour of many, large and varied ones, one of few, small and equal ones."""
    count = int(rng.poisson(40 * (1 + 0.3 * np.sin(2 * np.pi * hour / 24))))
    sizes, users = rng.normal(100, 10, max(count, 1)), rng.integers(0, 200, max(count, 1))
    if planted and hour == HIGH:
        sizes, users = rng.normal(1000, 300, 400), np.arange(400)
    if planted and hour == LOW:
        sizes, users = np.full(3, 5.0), np.zeros(3)
    stamp = int((START + hour * HOUR).timestamp() * 1000)
    return [
        {"@timestamp": stamp, "size": float(size), "user": f"u{user}"} for size, user in zip(sizes, users.tolist(), strict=True)
    ]


@pytest.fixture(scope="module")
def found(client, module_prefix):
    """Detector number → (hour, score) of its records, of a series with anomalies and of a clean one."""
    out = {}
    for name in ("planted", "clean"):
        rng, index = np.random.default_rng(3), f"{module_prefix}{name}"
        fields = {"@timestamp": {"type": "date"}, "size": {"type": "double"}, "user": {"type": "keyword"}}
        client.indices.create(index=index, mappings={"properties": fields}, settings={"number_of_replicas": 0})
        rows = (row for hour in range(DAYS * 24) for row in hour_of(rng, hour, name == "planted"))
        bulk(client, (index_action(index, None, row) for row in rows))
        client.indices.refresh(index=index)
        detectors = [
            {"function": function.name, **({"field_name": _field(function.metric)} if function.needs_field else {})}
            for function in MEASURED
        ]
        definition = {
            "job_id": f"{module_prefix}{name}",
            "bucket_span": "1h",
            "detectors": detectors,
            "datafeed": {"indices": [index], "on_request": True},
            "training": {"window": "14d", "schedule": "none"},
        }
        job = Job.parse(definition, where="test")
        train(client, job, as_of=START + TRAINED * 24 * HOUR)
        score(client, job, window=Window(START + TRAINED * 24 * HOUR, START + DAYS * 24 * HOUR))
        records = results.top_records(client, job.job_id, limit=10_000)
        out[name] = [
            (r["detector_index"], round((r["timestamp"] / 1000 - START.timestamp()) / 3600), r["record_score"]) for r in records
        ]
        reset(client, job.job_id)
    return out


def _field(metric: str) -> str:
    return "user" if metric in ("distinct_count", "info_content") else "size"


@pytest.mark.parametrize(("number", "name"), [(number, function.name) for number, function in enumerate(MEASURED)])
def test_a_function_finds_what_was_planted_for_it(found, number, name):
    hours = {hour for detector, hour, score in found["planted"] if detector == number and score >= ALARM_SCORE}
    assert (HIGH in hours) == (not name.startswith("low_"))
    if name.removeprefix("low_") != "varp":  # a variance of nothing lies hardly farther down than usual ones
        assert (LOW in hours) == (not name.startswith("high_"))


@pytest.mark.parametrize(("number", "name"), [(number, function.name) for number, function in enumerate(MEASURED)])
def test_a_function_is_silent_on_a_clean_series(found, number, name):
    assert [(hour, score) for detector, hour, score in found["clean"] if detector == number and score >= ALARM_SCORE] == []
