"""What the DAGs of all stages have in common: defaults, tags, documentation, the params of the trigger form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param, TriggerRule

from driftline.core.paths import alerts_dir
from driftline.core.timespan import format_span
from driftline_airflow.operators import AlertOperator

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from driftline.core.job import Job

# early, because a manual run dated before it would "succeed" without running a task
START = datetime(2000, 1, 1, tzinfo=UTC)
# what a retry can help is a cluster that is busy or restarts: minutes, not hours
RETRIES = {
    "retries": 3,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=5),
}
TAG_LENGTH = 100


def defaults(name: str, stage: str, *, groups: list[str] | None = None, paused: bool = False) -> dict[str, Any]:
    """Arguments that every DAG of ours takes; `paused` ones wait for somebody to start them, others do as Airflow is set."""
    tags = {"driftline", stage, *(group[:TAG_LENGTH] for group in groups or [] if group)}
    return {
        "dag_id": f"{name}.{stage}",
        "start_date": START,
        "catchup": False,
        "is_paused_upon_creation": True if paused else None,
        "tags": sorted(tags),
        "default_args": {"owner": "driftline", **RETRIES},
        "render_template_as_native_obj": False,
    }


def job_doc(job: Job, does: str, where: str) -> str:
    """The DAG's page in the UI, from the job's own words."""
    lines = [f"**{does}**", "", job.description, "", f"Job `{job.job_id}`, version `{job.version}`, defined in `{where}`.", ""]
    lines += [f"- detector {number}: `{detector.description}`" for number, detector in enumerate(job.detectors)]
    lines += [
        f"- bucket span {format_span(job.bucket_span)}, scored every {format_span(job.frequency)}",
        f"- query delay {format_span(job.datafeed.query_delay)}",
        f"- reads `{', '.join(job.datafeed.indices)}` by `{job.time_field}`",
        f"- trains on {format_span(job.training.window)}",
    ]
    lines += [f"- note: {note}" for note in job.notes]
    return "\n".join(lines)


def time_param(description: str) -> Param:
    """An optional point in time; the form shows a date picker."""
    return Param(None, type=["null", "string"], format="date-time", description=description)


def partitions_param() -> Param:
    """An optional list of partition values; the form takes one a line."""
    return Param(
        None, type=["null", "array"], items={"type": "string"}, description="Only these partition or by values. Default: all."
    )


def alerted(last: BaseOperator, **about: Any) -> None:  # noqa: ANN401 - as AlertOperator takes them
    """Ends a DAG with the telling of what was found, where there are alerts: also of a run that the gate stopped.

    A run is what its last tasks are. It has failed where its work has, and not where only a message could not be sent, which the
    next run makes good.
    """
    if not any(alerts_dir().glob("*.y*ml")):
        return
    tell = AlertOperator(task_id="alert", trigger_rule=TriggerRule.ALL_DONE, **about)
    last >> EmptyOperator(task_id="worked")
    last >> tell >> EmptyOperator(task_id="told", trigger_rule=TriggerRule.ALL_DONE)
