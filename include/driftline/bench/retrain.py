"""`driftline bench retrain`: the weekly retrain of a fleet, from the series store to a promoted snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from driftline.bench.fleet import filled, timed
from driftline.bench.measure import Cost, PeakRss
from driftline.core.paths import staging_uri
from driftline.elastic import snapshots
from driftline.pipeline import gate
from driftline.pipeline import train as training
from driftline.pipeline.read import read_series

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.progress import Progress


def run(client: Elasticsearch, *, series: int, points: int, freq: str, progress: Progress | None = None) -> dict[str, Any]:
    """Trains a fleet on `points` buckets, and again with a quarter of them newer; the second time is measured.

    So there is a snapshot in force to compare with, the store holds the series, and all imports are done.

    Returns:
        `series`, `points`, `seconds` of `pipeline.train.train` and of its parts `seconds_read`, `seconds_gate`, `seconds_fit`,
        `seconds_backtest`, `seconds_promote`; `cpu_seconds`, `trained`, `failed`, `promoted`, `snapshot_bytes_per_partition` (as
        JSON, before Elasticsearch compresses it), `rss_mb`.
    """
    newer = max(1, points // 4)
    with filled(client, series=series, points=points, more=newer, freq=freq, progress=progress) as fleet:
        job = fleet.job
        training.train(client, job, as_of=fleet.data.end - newer * job.bucket_span, run="bench", progress=progress)
        window = training.training_window(client, job, fleet.data.end)
        read_series(client, job, window, uri=staging_uri(job.job_id, "warm.parquet"), progress=progress)
        places = {
            "read": (training, "read_series"),
            "gate": (gate, "check_series"),
            "fit": (training, "fit"),
            "backtest": (training, "backtest"),
            "promote": (training, "promote"),
        }
        with timed(places) as parts, PeakRss() as memory, Cost() as cost:
            outcome = training.train(client, job, as_of=fleet.data.end, run="bench", progress=progress)
        size = _size(client, job, outcome["snapshot_id"])
    return {
        "series": series,
        "points": points,
        "seconds": round(cost.wall, 3),
        **{f"seconds_{name}": round(value, 3) for name, value in parts.items()},
        "cpu_seconds": round(cost.cpu, 3),
        "trained": outcome["trained"],
        "failed": outcome["failed"],
        "promoted": outcome["promoted"],
        "snapshot_bytes_per_partition": round(size / series),
        "rss_mb": memory.mb,
    }


def _size(client: Elasticsearch, job: Job, snapshot_id: str) -> int:
    """Bytes of a snapshot's models."""
    manifest = snapshots.find(snapshots.manifests(client, job.job_id), snapshot_id, job.job_id)
    return sum(len(orjson.dumps(chunk)) for chunk in snapshots.chunks(client, manifest))
