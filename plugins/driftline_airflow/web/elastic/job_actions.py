"""Jobs opened, closed and flushed, and how each is doing."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field

from driftline.core.results import milliseconds
from driftline.elastic import state
from driftline_airflow.web.access import STAGES, ClusterDep, ReaderDep
from driftline_airflow.web.airflow import AirflowDep
from driftline_airflow.web.elastic import running
from driftline_airflow.web.elastic.names import Held, HeldDep, Names, changing, jobs
from driftline_airflow.web.elastic.shape import Asked, Elastic, Moment, Named, asked, conflict

router = APIRouter(prefix="/_ml/anomaly_detectors", route_class=Elastic)


class Waiting(Asked):
    """How long to wait."""

    timeout: str | None = Field(None, max_length=40)


class Closing(Waiting):
    """Which to close."""

    allow_no_match: bool = True
    force: bool = False


class Flushing(Asked):
    """Which data to finish."""

    advance_time: Moment | None = None
    skip_time: Moment | None = None
    start: Moment | None = None
    end: Moment | None = None
    calc_interim: bool = False


NamedDep = Annotated[Named, Depends(asked(Named))]


@router.get("/_stats")
def stats_of_all(client: ClusterDep, airflow: AirflowDep, user: ReaderDep, how: NamedDep) -> dict[str, Any]:
    """How all jobs are doing."""
    return stats(client, airflow, user, "_all", how)


@router.get("/{names}/_stats")
def stats(client: ClusterDep, airflow: AirflowDep, user: ReaderDep, names: Names, how: NamedDep) -> dict[str, Any]:
    """How jobs are doing."""
    found = jobs(client, user, names, how.allow_no_match)
    return {"count": len(found), "jobs": [_stats(client, airflow, each) for each in found]}


def _stats(client: ClusterDep, airflow: AirflowDep, held: Held) -> dict[str, Any]:
    """What is known of a job here, under Elastic's names; what its own processes would count is 0."""
    from driftline.pipeline.forecast import forecasts

    scored = state.progress(client, held.job) if held.job else None
    buckets = scored.window.buckets(held.job.bucket_span) if scored and held.job else 0
    made = forecasts(client, held.job_id)
    counted = ("processed_record_count", "processed_field_count", "input_bytes", "input_field_count", "invalid_date_count",
               "missing_field_count", "out_of_order_timestamp_count", "empty_bucket_count", "sparse_bucket_count",
               "input_record_count")  # fmt: skip
    times: dict[str, int] = {}
    if scored:
        first, last = milliseconds(scored.window.start), milliseconds(scored.window.end)
        times = {"earliest_record_timestamp": first, "latest_record_timestamp": last, "latest_bucket_timestamp": last}
    return {
        "job_id": held.job_id,
        "state": "opened" if running.opened(airflow, held) else "closed",
        "data_counts": {"job_id": held.job_id, **dict.fromkeys(counted, 0), "bucket_count": buckets, **times},
        "model_size_stats": _sizes(client, held),
        "forecasts_stats": {"total": len(made), "forecasted_jobs": 1 if made else 0},
        "timing_stats": {"job_id": held.job_id, "bucket_count": buckets, "total_bucket_processing_time_ms": 0.0},
        "deleting": False,
    }


def _sizes(client: ClusterDep, held: Held) -> dict[str, Any]:
    """Of the newest snapshot; models hold no memory between runs."""
    from driftline.elastic.snapshots import manifests

    known = [each for each in manifests(client, held.job_id) if held.job and each["job_version"] == held.job.version]
    counts = dict.fromkeys(
        ("model_bytes", "total_over_field_count", "total_by_field_count", "bucket_allocation_failures_count"), 0
    )
    series = known[0]["trained"] if known else 0
    return {
        "job_id": held.job_id, "result_type": "model_size_stats", **counts, "total_partition_field_count": series,
        "memory_status": "ok", "categorization_status": "ok",
    }  # fmt: skip


@router.post("/{job_id}/_open")
def open_(airflow: AirflowDep, held: HeldDep, how: Annotated[Waiting, Depends(asked(Waiting))]) -> dict[str, Any]:
    """Trains and forecasts the job by its schedules from now on; scoring is the datafeed's."""
    running.await_dags(airflow, held, how.timeout)
    running.switch(airflow, held, running.JOB, True)
    return {"opened": True, "node": ""}


@router.post("/{job_id}/_close")
def close(
    client: ClusterDep, airflow: AirflowDep, user: ReaderDep, job_id: Names, how: Annotated[Closing, Depends(asked(Closing))]
) -> dict[str, Any]:
    """Nothing of the jobs runs by itself any more; their datafeeds are stopped."""
    found = jobs(client, user, job_id, how.allow_no_match)
    changing(user, found)
    for each in found:
        running.switch(airflow, each, STAGES, False)
    return {"closed": True}


@router.post("/{job_id}/_flush")
def flush(
    client: ClusterDep, airflow: AirflowDep, held: HeldDep, how: Annotated[Flushing, Depends(asked(Flushing))]
) -> dict[str, Any]:
    """Nothing is buffered here, so there is nothing to flush: it says how far the job is scored."""
    if not running.opened(airflow, held):
        raise conflict(f"Cannot flush because job [{held.job_id}] is not open")
    until = state.scored_until(client, held.runnable())
    return {"flushed": True, **({"last_finalized_bucket_end": milliseconds(until)} if until else {})}
