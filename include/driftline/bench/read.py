"""`driftline bench read`: buckets from Elasticsearch, against the raw client that fetches the same pages; then from the store."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import orjson

from driftline.bench.fleet import filled
from driftline.bench.measure import Cost, PeakRss
from driftline.core.paths import staging_uri
from driftline.core.timespan import Window
from driftline.elastic.client import search_raw
from driftline.elastic.query import composite, splits
from driftline.elastic.read import PREFERENCE
from driftline.pipeline.read import read_series
from driftline.pipeline.store import READERS, TOGETHER

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.progress import Progress

AFTER = re.compile(rb'"after_key":(\{[^{}]*\})')


def run(client: Elasticsearch, *, series: int, points: int, freq: str, progress: Progress | None = None) -> dict[str, Any]:
    """Reads a fleet by the raw client, then as the pipeline does: first from Elasticsearch, then from the store.

    The raw client asks for the same pages of the same ranges, as many at once, and drops them as they come, without a look.

    Returns:
        `series`, `points`, `seconds_raw`, `seconds_raw_alone` (one request at a time), `seconds_read` (to the staged frame, the
        store written), `read_ratio` (ours over the raw client's), `seconds_store` (the same again, from the store),
        `rss_mb` (of the first read, above what there was before).
    """
    with filled(client, series=series, points=points, more=0, freq=freq, progress=progress) as fleet:
        job, window = fleet.job, fleet.data
        with Cost() as raw:
            pages = _raw(client, job, window, series, READERS)
        with Cost() as alone:
            _raw(client, job, window, series, 1)
        uri = staging_uri(job.job_id, "series.parquet")
        with PeakRss() as memory, Cost() as read:
            handle = read_series(client, job, window, uri=uri, progress=progress)
        with Cost() as again:
            read_series(client, job, window, uri=uri, progress=progress)
    return {
        "series": series,
        "points": points,
        "pages": pages,
        "docs": handle["docs"],
        "seconds_raw": round(raw.wall, 3),
        "seconds_raw_alone": round(alone.wall, 3),
        "seconds_read": round(read.wall, 3),
        "read_ratio": round(read.wall / raw.wall, 3),
        "seconds_store": round(again.wall, 3),
        "rss_mb": memory.mb,
    }


def _raw(client: Elasticsearch, job: Job, window: Window, series: int, at_once: int) -> int:
    """Fetches all pages of ranges as long as the store's; returns how many."""
    length = max(1, TOGETHER // series) * job.bucket_span
    starts = [window.start + number * length for number in range(-(-(window.end - window.start) // length))]

    def fetch(ranged: Window) -> int:
        after, pages = None, 0
        while True:
            body = composite(job, splits(job)[0], ranged, after)
            found = AFTER.search(search_raw(client, job.datafeed.indices, body, preference=PREFERENCE, where="bench"))
            pages += 1
            if found is None:
                return pages
            after = orjson.loads(found[1])

    with ThreadPoolExecutor(at_once) as pool:
        return sum(pool.map(fetch, [Window(start, min(start + length, window.end)) for start in starts]))
