"""`<job>.train`: history → gate → batched fits → a snapshot, promoted unless it is worse than the one in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, task

from driftline_airflow.operators import FitBatchOperator, PromoteSnapshotOperator, QualityGateOperator, ReadSeriesOperator
from driftline_airflow.schedules import snapshot_asset, train_schedule
from driftline_dags.common import alerted, defaults, job_doc, time_param

if TYPE_CHECKING:
    from driftline.core.job import Job

PARAMS = {
    "as_of": time_param("Train on the history before this time. Default: the run's time, or the newest data."),
    "start": time_param("Train on the history from this time on. Default: as much as training.window says."),
}


@task
def batches(handle: dict[str, Any]) -> list[dict[str, Any]]:
    """The series in batches: one mapped task each, not one a series."""
    from driftline.pipeline.read import batches as cut

    return cut(handle)


def train_dag(job: Job, where: str) -> DAG:
    """The training DAG of a job."""
    with DAG(
        **defaults(job.job_id, "train", groups=job.groups, paused=job.paused),
        description=f"Trains {job.job_id}" + (f": {job.description}" if job.description else ""),
        doc_md=job_doc(job, "Trains the job's models and promotes the snapshot if its backtest is not worse.", where),
        schedule=train_schedule(job),
        params=PARAMS,
        max_active_runs=1,
    ) as dag:
        handle = ReadSeriesOperator(task_id="read", job=job).output
        verdict = QualityGateOperator(task_id="gate", job=job, handle=handle, stage="train").output
        cut = batches(handle)
        verdict >> cut
        fitted = FitBatchOperator.partial(task_id="fit", job=job).expand(batch=cut)
        promoted = PromoteSnapshotOperator(
            task_id="promote",
            job=job,
            handle=handle,
            fitted=fitted.output,
            verdict=verdict,
            outlets=[snapshot_asset(job.job_id)],
        )
        alerted(promoted, job=job)
    return dag
