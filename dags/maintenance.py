"""`driftline.maintenance`: once a day, what is too old is removed, and scores are renormalised."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from driftline_airflow.operators.maintain import MaintainOperator
from driftline_airflow.schedules import cron
from driftline_dags.common import defaults

with DAG(
    **defaults("driftline", "maintenance"),
    description="Removes old results, superseded snapshots, expired forecasts and stale staged files; renormalises scores",
    doc_md=__doc__,
    schedule=cron("15 2 * * *"),
    params={
        "results_kept": Param(366, type="integer", minimum=1, description="Days that a month of results is kept after its end."),
        "snapshots_kept": Param(
            12, type="integer", minimum=1, description="Snapshots of each job that are kept, the newest first."
        ),
    },
    max_active_runs=1,
):
    MaintainOperator(task_id="maintain")
