"""An access log from end to end: a given number of hits, ingested, trained on, scored and forecast on an index of their own."""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.bench.measure import Cost, PeakRss
from driftline.core.errors import DriftlineError
from driftline.core.job import Job
from driftline.core.paths import staging_uri, state_dir
from driftline.core.source import Source
from driftline.core.timespan import Window
from driftline.elastic import results
from driftline.elastic.client import connect, explained
from driftline.elastic.indices import LEDGER, QUALITY, RUNS
from driftline.generator.registry import open_source
from driftline.pipeline import ingest, jobs
from driftline.pipeline.forecast import forecast
from driftline.pipeline.score import score
from driftline.pipeline.train import train

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.progress import Progress

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
AT_ONCE = 2  # files: as many as the ingest DAG maps at a time
SPARE = 1.15  # drawn for each hit that is wanted: what was injected takes some away, and a count by chance may be low
LEAST = 100  # a day: the generator's own limit
WEEK = timedelta(weeks=1)


def run(
    client: Elasticsearch, *, hits: int = 15_000_000, weeks: int = 6, seed: int = 42, progress: Progress | None = None
) -> dict[str, Any]:
    """Writes log files, one a day, and takes them through the pipeline: the last week is scored, all before it is history.

    Args:
        client: The cluster. Other processes find it as `connect()` does.
        hits: How many lines the files have, exactly.
        weeks: Over how many weeks.
        seed: The same seed gives the same files.
        progress: Told of files written and taken.

    Returns:
        `hits`, `weeks`, `documents` (counted in the index), `quarantined`, `records` (anomalies), `rows_per_second` taken,
        wall times `seconds_ingest`, `seconds_train`, `seconds_score`, `seconds_forecast`, their sum `seconds`, and apart from it
        `seconds_generate`; `cpu_seconds` and `rss_mb` of our own processes.
    """
    name = f"bench-hits-{time.time_ns():x}"
    job = _job(name)
    state_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=state_dir()) as folder:
        with Cost() as generate:
            write_logs(Path(folder), hits, weeks, seed, progress)
        try:
            figures = _measure(client, _source(name, folder), job, START + weeks * WEEK, progress)
        finally:
            _clean(client, job)
    return {"hits": hits, "weeks": weeks, **figures, "seconds_generate": round(generate.wall, 1)}


def _measure(client: Elasticsearch, source: Source, job: Job, end: datetime, progress: Progress | None) -> dict[str, Any]:
    last_week = Window(end - WEEK, end)
    with PeakRss() as memory:
        with Cost() as ingesting:
            taken = _ingest(client, source, progress)
        with Cost() as training:
            train(client, job, as_of=last_week.start, progress=progress)
        with Cost() as scoring:
            found = score(client, job, window=last_week, progress=progress)
        with Cost() as forecasting:
            forecast(client, job, start=end.isoformat())
    parts = {"ingest": ingesting, "train": training, "score": scoring, "forecast": forecasting}
    with explained(f"index {source.index}"):
        documents = client.count(index=source.index)["count"]
    return {
        "documents": documents,
        "quarantined": taken["quarantined"],
        "records": found["records"],
        "rows_per_second": round(taken["rows"] / ingesting.wall),
        **{f"seconds_{name}": round(cost.wall, 1) for name, cost in parts.items()},
        "seconds": round(sum(cost.wall for cost in parts.values()), 1),
        "cpu_seconds": round(sum(cost.cpu for cost in parts.values()), 1),
        "rss_mb": memory.mb,
    }


def _source(name: str, folder: str) -> Source:
    return Source.parse({"source_id": name, "index": name, "files": {"paths": [folder]}}, where="driftline bench hits")


def _job(name: str) -> Job:
    """The demo's main job with buckets of a quarter of an hour."""
    definition = {
        "job_id": name, "bucket_span": "15m", "influencers": ["url.path", "source.ip"],
        "detectors": [{"function": "count", "partition_field_name": "url.path"}],
        "datafeed": {"indices": name, "on_request": True},
        "training": {"window": "52w", "schedule": "none"}, "forecast": {"duration": "7d", "schedule": "none"},
    }  # fmt: skip
    return Job.parse(definition, where="driftline bench hits")


def _ingest(client: Elasticsearch, source: Source, progress: Progress | None) -> dict[str, Any]:
    """The three steps of the ingest DAG, two files at a time."""
    handles, taken = ingest.pending(client, source), []
    spawned = multiprocessing.get_context("spawn")  # a fork would share the client's connections
    with ProcessPoolExecutor(AT_ONCE, mp_context=spawned) as pool:
        waiting = [pool.submit(_ingest_file, source, handle) for handle in handles]
        for done in as_completed(waiting):
            taken.append(done.result())
            if progress:
                progress("files", len(taken), len(handles))
    return ingest.finish(client, source, taken, source.source_id)


def _ingest_file(source: Source, handle: dict[str, Any]) -> dict[str, Any]:
    with connect() as client:
        return ingest.ingest_file(client, source, handle, source.source_id)


def write_logs(folder: Path, hits: int, weeks: int, seed: int, progress: Progress | None = None) -> None:
    """Writes `hits` lines in combined format, one file a day; what the generator draws beyond them is left out evenly.

    Raises:
        DriftlineError: The generator draws too few.
    """
    days = 7 * weeks
    made = open_source("access_log", seed, START, days, {"events_per_day": max(LEAST, SPARE * hits / days)})
    drawn, first = sum(len(chunk) for chunk in made.chunks()), 0
    if drawn < hits:
        raise DriftlineError(
            f"seed {seed} gives {drawn} hits, not {hits}", where="driftline bench hits", fix="Take another seed."
        )
    for day in range(days):
        with (folder / f"access-{START + timedelta(days=day):%Y-%m-%d}.log").open("wb") as file:
            for chunk in made.day_chunks(day):
                steps = np.arange(first, first + len(chunk) + 1) * hits // drawn
                lines = chunk.lines()
                file.writelines(lines[number] + b"\n" for number in np.flatnonzero(np.diff(steps)).tolist())
                first += len(chunk)
        if progress:
            progress("days written", day + 1, days)


def _clean(client: Elasticsearch, job: Job) -> None:
    """Takes away all that the benchmark made."""
    name = job.job_id
    jobs.reset(client, name)
    for index in (LEDGER, QUALITY, RUNS):
        results.delete(client, index, {"term": {"index" if index == LEDGER else "source_id": name}})
    with explained(f"index {name}"):
        client.indices.delete(index=[name, f"{name}-quarantine"], ignore_unavailable=True)
    shutil.rmtree(staging_uri(name), ignore_errors=True)
