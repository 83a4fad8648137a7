"""Series: which there are, one with bounds, anomalies and forecast, the documents behind it, and why there is no anomaly."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query

from driftline.core.errors import DataError
from driftline.core.job import Job
from driftline.core.series import SeriesKey
from driftline.core.timespan import Window
from driftline_airflow.web.access import ClusterDep, ReaderDep, readable_jobs, routes

router = routes(prefix="/jobs/{job_id}", tags=["series"])
Value = Annotated[str | None, Query(max_length=32_766)]
Moment = Annotated[str | None, Query(max_length=40, description="ISO 8601, epoch, or now-7d.")]


def job_of(job_id: str, client: ClusterDep, user: ReaderDep) -> Job:
    """The job of the path."""
    return readable_jobs(client, user, [job_id])[0]


JobDep = Annotated[Job, Depends(job_of)]


def key_of(
    job: JobDep, detector: Annotated[int, Query(ge=0)] = 0, partition: Value = None, by: Value = None, over: Value = None
) -> SeriesKey:
    """The series that the request is about; it has a value for each split field of its detector, and no other."""
    if detector >= len(job.detectors):
        raise DataError(f"there is no detector {detector}", where=f"job {job.job_id}", expected=f"0 to {len(job.detectors) - 1}")
    spec = job.detectors[detector]
    for name, value in (("partition", partition), ("by", by), ("over", over)):
        field = getattr(spec, f"{name}_field_name")
        if field and value is None:
            raise DataError(f"{name} is missing", where=f"detector {detector}", expected=f"a value of {field}")
        if value is not None and not field:
            raise DataError(f"{name} is given, but the detector has no {name}_field_name", where=f"detector {detector}")
    return SeriesKey(detector, partition, by, over)


KeyDep = Annotated[SeriesKey, Depends(key_of)]


def window_of(client: ClusterDep, job: JobDep, start: Moment = None, end: Moment = None) -> Window:
    """The window of the request; an open end is that of what the job has."""
    from driftline.pipeline.view import asked_window

    return asked_window(client, [job], start, end)


WindowDep = Annotated[Window, Depends(window_of)]


@router.get("/series")
def series(
    client: ClusterDep,
    job: JobDep,
    detector: Annotated[int | None, Query(ge=0)] = None,
    q: Annotated[str, Query(max_length=500, description="Part of a value.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    """The series that the newest snapshot knows, those with `q` in a value."""
    from driftline.pipeline.view import series_names

    wanted = q.casefold()
    found = [key for key in series_names(client, job, detector=detector) if wanted in key.label().casefold()]
    found.sort(key=lambda key: (key.detector_index, key.label()))
    shown = [{**key._asdict(), "label": key.label()} for key in found[offset : offset + limit]]
    return {"count": len(found), "series": shown}


@router.get("/series/values")
def values(client: ClusterDep, job: JobDep, key: KeyDep, window: WindowDep) -> dict[str, Any]:
    """One series: actual, lower, typical and upper, with its records, events, annotations and newest forecast."""
    from driftline.pipeline.view import view_series

    return view_series(client, job, key, window)


@router.get("/components")
def components(
    client: ClusterDep,
    job: JobDep,
    key: KeyDep,
    window: WindowDep,
    snapshot: Annotated[str | None, Query(max_length=100, description="By default the one in force at the window's end.")] = None,
) -> dict[str, Any]:
    """What a series' model is made of: its trend, each season over the window and over one cycle, holidays."""
    from driftline.pipeline.components import components as terms

    return terms(client, job, key, window, snapshot_id=snapshot)


def crowd_of(job: JobDep, detector: Annotated[int, Query(ge=0)] = 0, partition: Value = None, by: Value = None) -> SeriesKey:
    """The detector of the request, with the partition and by value whose members are meant."""
    if detector >= len(job.detectors):
        raise DataError(f"there is no detector {detector}", where=f"job {job.job_id}", expected=f"0 to {len(job.detectors) - 1}")
    return SeriesKey(detector, partition, by, None)


CrowdDep = Annotated[SeriesKey, Depends(crowd_of)]


@router.get("/population")
def population(client: ClusterDep, job: JobDep, key: CrowdDep, window: WindowDep) -> dict[str, Any]:
    """What the members of a population have in each bucket, low, typical and high, and which of them are anomalies."""
    from driftline.pipeline.crowd import view_population

    return view_population(client, job, key, window)


@router.get("/rare")
def rare(client: ClusterDep, job: JobDep, key: CrowdDep, window: WindowDep) -> dict[str, Any]:
    """What was rare: of each value when it was first there, how often before, and when besides."""
    from driftline.pipeline.crowd import view_rare

    return view_rare(client, job, key, window)


@router.get("/series/documents")
def documents(
    client: ClusterDep,
    job: JobDep,
    key: KeyDep,
    window: WindowDep,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=9_500)] = 0,
) -> dict[str, Any]:
    """The raw documents behind buckets of a series."""
    from driftline.pipeline.view import documents as raw

    return raw(client, job, key, window, size=limit, start=offset)


@router.get("/explain")
def explain(
    client: ClusterDep,
    job: JobDep,
    at: Annotated[str, Query(max_length=40)],
    detector: Annotated[int | None, Query(ge=0, description="Of this one's series alone; by default, `partition`'s.")] = None,
    partition: Annotated[str | None, Query(max_length=32_766, description="Without a detector: a partition or by value.")] = None,
    by: Value = None,
    over: Value = None,
) -> dict[str, Any]:
    """Why there is an anomaly in a bucket, or none."""
    from driftline.pipeline.explain import explain as why

    return why(client, job, partition, at, key=None if detector is None else key_of(job, detector, partition, by, over))
