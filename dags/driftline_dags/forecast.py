"""`<job>.forecast`: the snapshot in force carried forward, by the clock and after every retrain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import DAG, Param

from driftline.core.timespan import format_span
from driftline_airflow.operators import ForecastOperator
from driftline_airflow.schedules import forecast_schedule
from driftline_dags.common import defaults, job_doc, partitions_param, time_param

if TYPE_CHECKING:
    from driftline.core.job import Job


def forecast_dag(job: Job, where: str) -> DAG:
    """The forecasting DAG of a job."""
    length = format_span(job.forecast.duration)
    with DAG(
        **defaults(job.job_id, "forecast", groups=job.groups, paused=job.paused),
        description=f"Forecasts {job.job_id}" + (f": {job.description}" if job.description else ""),
        doc_md=job_doc(job, f"Forecasts the job's series, {length} ahead.", where),
        schedule=forecast_schedule(job),
        params={
            "start": time_param("First bucket. Default: after a retrain where its data ends, else where scored data ends."),
            "duration": Param(None, type=["null", "string"], description=f"How far, such as 24h or 14d. Default: {length}."),
            "partitions": partitions_param(),
            "all_series": Param(False, type="boolean", description="All series, also beyond forecast.max_partitions."),
            "expires_in": Param(
                None, type=["null", "string"], description="How long it is kept, such as 30d; 0 for ever. Default: the job's."
            ),
        },
        max_active_runs=1,
    ) as dag:
        ForecastOperator(task_id="forecast", job=job)
    return dag
