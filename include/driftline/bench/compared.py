"""`driftline bench population` and `rare`: detectors that compare, from documents to results, with one thing to be found."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from driftline.bench.fleet import START, indexed, timed
from driftline.bench.measure import Cost, PeakRss
from driftline.core.job import Job
from driftline.core.timespan import Window
from driftline.elastic import results
from driftline.pipeline import gate
from driftline.pipeline import score as scoring
from driftline.pipeline import train as training

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

    from driftline.core.progress import Progress

SPAN, DAY = timedelta(minutes=15), timedelta(days=1)
A_DAY = DAY // SPAN
PLANTED = "planted"
VALUES = 2_000  # that are not rare


def population(client: Elasticsearch, *, members: int, active: float, progress: Progress | None = None) -> dict[str, Any]:
    """Members who each do what they usually do; one does thirty times as much in one bucket of the second day.

    Returns:
        `members`, `cells` (non-empty member buckets that were scored), and what `_run` measured.
    """
    at = A_DAY + A_DAY // 2

    def documents(index: bytes) -> Iterator[bytes]:
        rng = np.random.default_rng(0)
        level = rng.normal(4, 0.4, members)
        for bucket in range(2 * A_DAY):
            there = np.flatnonzero(rng.random(members) < active)
            values = np.exp(rng.normal(level[there], 0.4)) + 1
            time = _stamp(bucket * SPAN)
            for member, value in zip(there.tolist(), values.tolist(), strict=True):
                yield index % (time, value, b"member-%06d" % member)
            if bucket == at:
                yield index % (time, 30 * np.exp(4.0), PLANTED.encode())
            if progress:
                progress("buckets filled", bucket + 1, 2 * A_DAY)

    detector = {"function": "high_sum", "field_name": "value", "over_field_name": "key"}
    figures = _run(client, detector, documents, Window(START + DAY, START + 2 * DAY), DAY, "over_field_value", progress)
    return {"members": members, "cells": round(members * active * A_DAY), **figures}


def rare(client: Elasticsearch, *, rows: int, progress: Progress | None = None) -> dict[str, Any]:
    """Two weeks of documents with some values, of which few are frequent; on the last day one has a value of its own.

    Returns:
        `rows`, and what `_run` measured.
    """
    days, share = 14, 1 / np.arange(1, VALUES + 1)
    steps = days * A_DAY

    def documents(index: bytes) -> Iterator[bytes]:
        rng = np.random.default_rng(0)
        for bucket in range(steps):
            count = rows * (bucket + 1) // steps - rows * bucket // steps
            time = _stamp(bucket * SPAN)
            for value in rng.choice(VALUES, count, p=share / share.sum()).tolist():
                yield index % (time, 1.0, b"value-%04d" % value)
            if bucket == steps - A_DAY // 2:
                yield index % (time, 1.0, PLANTED.encode())
            if progress:
                progress("buckets filled", bucket + 1, steps)

    detector = {"function": "rare", "by_field_name": "key"}
    window = Window(START + (days - 1) * DAY, START + days * DAY)
    return {"rows": rows, **_run(client, detector, documents, window, (days - 1) * DAY, "by_field_value", progress)}


def _stamp(since: timedelta) -> int:
    return round((START + since).timestamp() * 1000)


def _run(
    client: Elasticsearch,
    detector: dict[str, str],
    documents: Any,  # noqa: ANN401 - a function of a pattern of an action
    window: Window,
    history: timedelta,
    who: str,
    progress: Progress | None,
) -> dict[str, Any]:
    """Fills an index, trains on what is before a window, and scores it.

    Returns:
        `train_seconds`, of which `train_seconds_read`; `seconds` from staged series to written results, `seconds_read` before
        that; `cpu_seconds` of both, `rss_mb`, `records`, and `found`: whether what was planted is the top record.
    """
    name = f"bench-compared-{uuid4().hex[:8]}"
    job = Job.parse(
        {
            "job_id": name,
            "bucket_span": "15m",
            "detectors": [detector],
            "datafeed": {"indices": [name], "on_request": True},
            "training": {"window": history, "schedule": "none"},
        },
        where="bench",
    )
    pattern = b'{"index":{"_index":"%b"}}\n{"@timestamp":%%d,"value":%%.6g,"key":"%%b"}\n' % name.encode()
    with indexed(client, job, documents(pattern)):
        with timed({"read": (training, "read_series")}) as train_parts, Cost() as train_cost:
            training.train(client, job, as_of=window.start, run="bench", progress=progress)
        places = {"read": (scoring, "read_plan"), "gate": (gate, "check_series"), "score": (scoring, "score_batch"),
                  "write": (scoring, "write")}  # fmt: skip
        with timed(places) as parts, PeakRss() as memory, Cost() as cost:
            outcome = scoring.score(client, job, window=window, run="bench", progress=progress)
        top = results.top_records(client, name, limit=1)
    return {
        "train_seconds": round(train_cost.wall, 3),
        "train_seconds_read": round(train_parts["read"], 3),
        "seconds_read": round(parts["read"], 3),
        "seconds": round(sum(parts[part] for part in ("gate", "score", "write")), 3),
        "cpu_seconds": round(cost.cpu, 3),
        "rss_mb": memory.mb,
        "records": outcome["records"],
        "found": bool(top) and top[0].get(who) == PLANTED,
    }
