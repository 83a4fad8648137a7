"""Components: what a series' model is made of, as people look at it: trend, seasons, holidays. It only reads."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import SnapshotError
from driftline.core.results import milliseconds
from driftline.core.ruling import time_shifts
from driftline.core.timespan import Window, floor_time, parse_time
from driftline.elastic import snapshots
from driftline.models.baseline.components import components as terms_of
from driftline.models.baseline.design import shifted
from driftline.pipeline.view import POINTS, model_of, numbers, whole
from driftline.scoring.calibration import GRADES, Calibration

if TYPE_CHECKING:
    from datetime import datetime

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.series import SeriesKey
    from driftline.models.trained import Trained

CYCLE = 336  # points that a season's cycle is drawn with: half hours of a week
MONDAY = timedelta(days=4)  # of the epoch's first week, which cycles begin with
DAY = timedelta(days=1)
LINEAGE = ("snapshot_id", "training_start", "training_end", "state")


def components(
    client: Elasticsearch, job: Job, key: SeriesKey, window: Window, *, snapshot_id: str | None = None
) -> dict[str, Any]:
    """The terms of a series' model over a window, at `POINTS` points at most, and one cycle of each season.

    Args:
        client: The cluster.
        job: The job.
        key: The series.
        window: From when to when.
        snapshot_id: Whose model; by default of the snapshot that is in force at the window's end, or else the newest.

    Returns:
        `key`, `label`, `snapshot` (id, training window, state), `predictability`, `space` (`sqrt` where the model is of square
        roots, else `value`), `start`, `end`, `times` (epoch ms), `expected` (in the series' units), `trend`, `terms`: of each
        `name`, `multiplicative` (a share of the trend; otherwise it is added), `period` (days; None of what is no season),
        `values` and, of a season, `cycle` (`times` and `values`). Trend and terms are in the model's space.

    Raises:
        SnapshotError: There is no such snapshot, or no model of the series in it.
        WindowError: The window holds too many buckets, or none.
    """
    window = whole(job, window)
    found = [each for each in snapshots.manifests(client, job.job_id) if each["job_version"] == job.version]
    manifest = _manifest(job, found, snapshot_id, window.end)
    trained = model_of(client, manifest, key)
    if trained is None:
        where = f"job {job.job_id}, snapshot {manifest['snapshot_id']}"
        why = "Detectors that compare have none of each series." if job.detectors[key.detector_index].kind != "series" else ""
        raise SnapshotError(f"there is no model of {key.label() or 'the series'}", where=where, fix=why)
    count = window.buckets(job.bucket_span)
    starts = milliseconds(window.start) + np.arange(0, count, -(-count // POINTS)) * job.span_seconds * 1000
    made = terms_of(trained.fleet, 0, _clocks(job, manifest, starts, window.end))
    return {
        "job_id": job.job_id,
        "key": key._asdict(),
        "label": key.label(),
        "snapshot": {name: manifest[name] for name in LINEAGE},
        "predictability": GRADES[int(Calibration.from_numbers(trained.usual).grade[0])],
        "space": "sqrt" if trained.fleet.sqrt[0] else "value",
        **window.as_dict(),
        "times": starts.tolist(),
        "expected": numbers(trained.fleet.to_units(made.mean[None])[0]),
        "trend": numbers(made.trend),
        "terms": [
            {
                "name": each.name,
                "multiplicative": each.multiplicative,
                "period": each.period,
                "values": numbers(each.values),
                "cycle": None if each.period is None else _cycle(job, manifest, trained, each.name, each.period, window.start),
            }
            for each in made.terms
        ],
    }


def _manifest(job: Job, found: list[dict[str, Any]], snapshot_id: str | None, moment: datetime) -> dict[str, Any]:
    if snapshot_id is not None:
        return snapshots.find(found, snapshot_id, job.job_id)
    chosen = snapshots.choose(found, job.version, moment) or next(iter(found), None)
    if chosen is None:
        raise SnapshotError("there is no snapshot", where=f"job {job.job_id}", fix=f"Train first: driftline train {job.job_id}")
    return chosen


def _clocks(job: Job, manifest: dict[str, Any], starts: NDArray[np.int64], end: datetime) -> NDArray[np.datetime64]:
    """UTC times as scoring hands them to the models."""
    return shifted(starts.astype("datetime64[ms]"), time_shifts(job, parse_time(manifest["training_end"]), end))


def _cycle(job: Job, manifest: dict[str, Any], trained: Trained, name: str, days: float, start: datetime) -> dict[str, list[Any]]:
    """A season over one period: of weeks from a Monday on, else from the start of a UTC day."""
    begin = floor_time(start - MONDAY, 7 * DAY) + MONDAY if days == 7 else floor_time(start, DAY)
    starts = milliseconds(begin) + np.linspace(0, days * 86_400_000, CYCLE, endpoint=False).astype(np.int64)
    made = terms_of(trained.fleet, 0, _clocks(job, manifest, starts, begin + timedelta(days=days)))
    values = next(each.values for each in made.terms if each.name == name)
    return {"times": starts.tolist(), "values": numbers(values)}
