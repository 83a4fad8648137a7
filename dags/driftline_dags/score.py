"""`<job>.score`: plan → read → gate → score in batches → write. One run covers everything since the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import DAG, Param

from driftline_airflow.operators import (
    PlanScoreOperator,
    QualityGateOperator,
    ReadSeriesOperator,
    ScoreBatchOperator,
    WriteResultsOperator,
)
from driftline_airflow.operators.write import trained_alias
from driftline_airflow.schedules import score_schedule
from driftline_dags.common import alerted, defaults, job_doc, partitions_param, time_param
from driftline_dags.train import batches

if TYPE_CHECKING:
    from driftline.core.job import Job

PARAMS = {
    "start": time_param("First bucket. Default: the run's data interval, or what is new."),
    "end": time_param("End of the last bucket. Default: as above."),
    "model": Param(
        "as_of", enum=["as_of", "latest"], description="as_of: for each bucket the snapshot of its time. latest: the newest one."
    ),
    "partitions": partitions_param(),
}


def score_dag(job: Job, where: str) -> DAG:
    """The scoring DAG of a job."""
    with DAG(
        **defaults(job.job_id, "score", groups=job.groups, paused=job.paused),
        description=f"Scores {job.job_id}" + (f": {job.description}" if job.description else ""),
        doc_md=job_doc(job, "Scores the job's newest buckets, or an interval, and replaces its results.", where),
        schedule=score_schedule(job),
        params=PARAMS,
        max_active_runs=4,  # runs may overlap; more would only wait for the same cluster
    ) as dag:
        # a second run finds the models that the first has trained
        plan = PlanScoreOperator(task_id="plan", job=job, max_active_tis_per_dag=1).output
        handle = ReadSeriesOperator(task_id="read", job=job, plan=plan).output
        verdict = QualityGateOperator(task_id="gate", job=job, handle=handle, stage="score").output
        cut = batches(handle)
        verdict >> cut
        scored = ScoreBatchOperator.partial(task_id="score", job=job, plan=plan).expand(batch=cut)
        written = WriteResultsOperator(
            task_id="write",
            job=job,
            plan=plan,
            scored=scored.output,
            verdict=verdict,
            outlets=[trained_alias(job)],
            max_active_tis_per_dag=1,  # events reach beyond a run's interval: it derives them from what the others have written
        )
        alerted(written, job=job, written=written.output)
    return dag
