"""`driftline bench explorer`: what the explorer asks Elasticsearch for, of a job with many partitions and a million results."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import orjson

from driftline.bench.measure import Cost
from driftline.core.job import Job
from driftline.core.results import Maker, milliseconds
from driftline.core.series import SeriesKey
from driftline.core.timespan import Window
from driftline.elastic import lanes, results
from driftline.elastic.indices import RESULTS, ensure_templates
from driftline.elastic.lanes import Chosen
from driftline.pipeline.view import opening_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elasticsearch import Elasticsearch

    from driftline.core.progress import Progress
    from driftline.core.results import Document

START = datetime(1972, 1, 1, tzinfo=UTC)  # months of their own, which can be dropped afterwards
SPAN, DAY = timedelta(minutes=15), timedelta(days=1)
HOSTS = 500
EVENTS = 0.005  # of the records begin an incident; of these one in ten alarms
ROUNDS = 7
PAGE = 50


def run(client: Elasticsearch, *, partitions: int, days: int, documents: int, progress: Progress | None = None) -> dict[str, Any]:
    """Fills the results of a job, and asks for what the page shows, without what Elasticsearch remembers of asking before.

    Returns:
        `documents`, and seconds, medians of some rounds: `first_paint` (the window that the page opens on, and its lanes),
        `lanes_influencer` (lanes by an influencer), `brush` (influencers, incidents and records of one of the days, one after the
        other; the page asks for the three at once), `whole` (the same of all days), `deep_page` (the last page of records that
        can be asked for).
    """
    with filled(client, partitions=partitions, days=days, documents=documents, progress=progress) as job:
        client.indices.refresh(index=f"{RESULTS}-*")
        known = int(client.count(index=f"{RESULTS}-*", query={"term": {"job_id": job.job_id}})["count"])
        return {"documents": known, **_measured(client, job, Window(START, START + days * DAY))}


@contextmanager
def filled(
    client: Elasticsearch, *, partitions: int, days: int, documents: int, progress: Progress | None = None
) -> Iterator[Job]:
    """Results of a job, which is not saved; they are gone at the end."""
    job = _job(f"bench-explorer-{uuid4().hex[:8]}")
    ensure_templates(client)
    before = _indices(client)
    try:
        for number in range(days):  # a day at a time, as a DAG writes them
            day = Window(START + number * DAY, START + (number + 1) * DAY)
            made = _documents(job, day, partitions, documents // days, number)
            results.replace(client, job, day, made, types=["record", "bucket", "influencer", "event"])
            if progress:
                progress("days filled", number + 1, days)
        yield job
    finally:
        for index in _indices(client) - before:
            client.indices.delete(index=index)


def _measured(client: Elasticsearch, job: Job, window: Window) -> dict[str, float]:
    whole = Chosen([job], window)
    middle = window.start + (window.end - window.start) // 2
    brushed = Chosen([job], Window(middle, middle + DAY))

    def refreshed(chosen: Chosen) -> None:
        lanes.influencers(client, chosen)
        results.of_type(client, job.job_id, "event", version=job.version, window=chosen.window, without=results.QUIET)
        lanes.records(client, chosen, size=PAGE)

    def opened() -> None:
        opening_window(client, [job])
        lanes.lanes(client, whole, by="partition")

    asked: dict[str, Callable[[], Any]] = {
        "first_paint": opened,
        "lanes_influencer": lambda: lanes.lanes(client, whole, by="influencer:host"),
        "brush": lambda: refreshed(brushed),
        "whole": lambda: refreshed(whole),
        "deep_page": lambda: lanes.records(client, whole, size=PAGE, start=10_000 - PAGE),
    }
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(ROUNDS):
        for name, ask in asked.items():
            client.indices.clear_cache(index=f"{RESULTS}-*")
            with Cost() as cost:
                ask()
            seconds[name].append(cost.wall)
    return {name: round(median(each), 3) for name, each in seconds.items()}


def _job(job_id: str) -> Job:
    return Job.parse(
        {
            "job_id": job_id,
            "bucket_span": "15m",
            "detectors": [{"function": "count", "partition_field_name": "key"}],
            "influencers": ["host"],
            "datafeed": {"indices": [job_id], "historical": True},
        },
        where="bench",
    )


def _documents(job: Job, day: Window, partitions: int, count: int, seed: int) -> Iterator[Document]:
    """A day's results: a record for most, an influencer for each tenth, a bucket for each, and some incidents."""
    rng = np.random.default_rng(seed)
    makers = {kind: Maker(job, kind, {"snapshot_id": "bench"}) for kind in ("record", "bucket", "influencer", "event")}
    first, step, buckets = milliseconds(day.start), job.span_seconds * 1000, day.buckets(job.bucket_span)
    # each result once: a partition and a bucket that are not drawn again
    places = rng.choice(partitions * buckets, min(count * 9 // 10, partitions * buckets), replace=False)
    scores = 100 * rng.beta(0.4, 4.0, len(places))
    for place, score in zip(places.tolist(), scores.tolist(), strict=True):
        row, bucket = divmod(place, buckets)
        key, time, host = SeriesKey(0, f"partition-{row:06d}"), first + bucket * step, f"host-{row % HOSTS:03d}"
        behind = [{"influencer_field_name": "host", "influencer_field_values": [host]}]
        values = {"actual": [score], "typical": [1.0], "probability": 10 ** (-score / 10), "influencers": behind}
        yield _made(makers["record"], time, key, record_score=score, initial_record_score=score, **values)
        if rng.random() < EVENTS:
            told = _made(makers["event"], time, key, anomaly_score=score)
            event = {"start": time, "end": time + step, "alarm": bool(rng.random() < 0.1), "kind": "spike"}
            yield told[0], time, orjson.dumps(orjson.loads(told[2]) | {"driftline": {"job_version": job.version, "event": event}})
    for bucket in range(buckets):
        yield _made(makers["bucket"], first + bucket * step, None, anomaly_score=100 * rng.beta(0.4, 4.0))
    for place in rng.choice(HOSTS * buckets, min(count // 10, HOSTS * buckets), replace=False).tolist():
        host, bucket = divmod(place, buckets)
        score, time = 100 * rng.beta(0.4, 4.0), first + bucket * step
        maker = Maker(job, "influencer", {}, extra=(str(host),))
        document = maker.document(time) | {"influencer_field_name": "host", "influencer_field_value": f"host-{host:03d}"}
        yield maker.id(time), time, orjson.dumps(document | {"influencer_score": score})


def _made(maker: Maker, time: int, key: SeriesKey | None, **fields: Any) -> Document:  # noqa: ANN401 - any field of a result
    return maker.id(time, key), time, orjson.dumps(maker.document(time, key) | fields)


def _indices(client: Elasticsearch) -> set[str]:
    found = client.indices.get(index=f"{RESULTS}-{START.year}.*", expand_wildcards="all", allow_no_indices=True)
    return set(found.body)
