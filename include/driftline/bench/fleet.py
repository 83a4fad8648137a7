"""A fleet to measure the pipeline on: an index with a document for each bucket of many series, and a job over it."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from uuid import uuid4

import numpy as np

from driftline.core.job import Job
from driftline.core.paths import staging_uri
from driftline.core.timespan import Window, parse_span
from driftline.elastic.bulk import AT_ONCE, bulk
from driftline.elastic.client import explained
from driftline.pipeline import jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from elasticsearch import Elasticsearch

    from driftline.core.progress import Progress

START = datetime(2026, 3, 1, tzinfo=UTC)
PROPERTIES = {"@timestamp": {"type": "date"}, "key": {"type": "keyword"}, "value": {"type": "double"}}
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)


@dataclass(frozen=True)
class Filled:
    """A filled index: the job over it, and the interval that it has data of."""

    job: Job
    data: Window


@contextmanager
def filled(
    client: Elasticsearch, *, series: int, points: int, more: int, freq: str, progress: Progress | None = None
) -> Iterator[Filled]:
    """Fills an index with `points` + `more` buckets, for a job that trains on `points`; all of it is gone at the end."""
    span = parse_span(freq)
    name = f"bench-fleet-{uuid4().hex[:8]}"
    job = Job.parse(
        {
            "job_id": name,
            "bucket_span": freq,
            "detectors": [{"function": "sum", "field_name": "value", "partition_field_name": "key"}],
            "datafeed": {"indices": [name], "on_request": True},
            "training": {"window": points * span, "schedule": "none", "max_partitions": series},
        },
        where="bench",
    )
    with indexed(client, job, _actions(name, series, points + more, span, progress)):
        yield Filled(job, Window(START, START + (points + more) * span))


@contextmanager
def indexed(client: Elasticsearch, job: Job, actions: Iterator[bytes]) -> Iterator[None]:
    """Fills the index that has a job's name; it and all that the job made are gone at the end."""
    name = job.job_id
    with explained(f"index {name}"):
        settings = {"number_of_replicas": 0, "refresh_interval": "-1"}
        client.indices.create(index=name, mappings={"properties": PROPERTIES}, settings=settings)
    try:
        bulk(client, actions, at_once=AT_ONCE)
        with explained(f"index {name}"):
            client.indices.refresh(index=name)
        yield
    finally:
        jobs.reset(client, name)
        with explained(f"index {name}"):
            client.indices.delete(index=name, ignore_unavailable=True)
        shutil.rmtree(staging_uri(name), ignore_errors=True)


def _actions(index: str, series: int, buckets: int, span: timedelta, progress: Progress | None) -> Iterator[bytes]:
    """Counts with a daily and a weekly cycle, in the order of time."""
    rng = np.random.default_rng(0)
    level = rng.uniform(5, 200, series)
    pattern = b'{"index":{"_index":"%b"}}\n{"@timestamp":%%d,"value":%%d,"key":"partition-%%06d"}\n' % index.encode()
    for bucket in range(buckets):
        moment = bucket * span
        cycle = (1 + 0.4 * np.sin(2 * np.pi * (moment / DAY))) * (1 + 0.2 * np.sin(2 * np.pi * (moment / WEEK)))
        time = round((START + moment).timestamp() * 1000)
        for row, value in enumerate(rng.poisson(level * cycle).tolist()):
            yield pattern % (time, value, row)
        if progress:
            progress("buckets filled", bucket + 1, buckets)


@contextmanager
def timed(places: dict[str, tuple[ModuleType, str]]) -> Iterator[dict[str, float]]:
    """Measures parts of the pipeline while the whole of it runs.

    Args:
        places: Name of a part → the module that calls it, and the function's name there.

    Returns:
        Name → seconds so far; a part within another is not taken out of it.
    """
    seconds = dict.fromkeys(places, 0.0)

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def watch(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the function takes and gives
            started = perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                seconds[name] += perf_counter() - started

        return watch

    patches = [patch.object(module, at, watched(name, getattr(module, at))) for name, (module, at) in places.items()]
    for one in patches:
        one.start()
    try:
        yield seconds
    finally:
        for one in patches:
            one.stop()
