"""The main job from end to end on the demo source, through Airflow's scheduler: ingest, train, score, forecast."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from driftline.core.errors import ServiceError
from driftline.core.timespan import Window, iso
from driftline.elastic.client import connect, own_cluster
from driftline.elastic.indices import TRUTH
from driftline.pipeline.ingest_generated import write_truth
from driftline.pipeline.jobs import list_jobs, load_source
from driftline.services import control, findings
from driftline.services.api import AirflowApi
from driftline.services.runs import Run, follow

if TYPE_CHECKING:
    from collections.abc import Callable

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.source import Source
    from driftline.services.runs import Progress

SOURCE = "demo"
PREFIX = "demo-"
SCORED = timedelta(days=7)
"""The last week is scored; what lies before it is learned from."""


@dataclass
class Demo:
    """What the demo did and found."""

    services: control.Services
    window: Window
    jobs: list[Job]
    runs: list[Run]
    seconds: float
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def quality(self) -> list[dict[str, Any]]:
        """Each run's verdict with its report."""
        verdicts = []
        for run in self.runs:
            told = run.returned.get("gate") or run.returned.get("finish")
            if isinstance(told, dict) and told.get("verdict"):
                verdicts.append(
                    {
                        "dag_id": run.dag_id,
                        "verdict": told["verdict"],
                        "failed": told.get("failed") or [],
                        "report": told.get("report"),
                    }
                )
        return verdicts

    @property
    def pages(self) -> list[str]:
        """The DAGs' pages."""
        return [f"{self.services.airflow.url}/dags/{run.dag_id}" for run in self.runs]

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "seconds": self.seconds,
            "services": self.services.as_dict(),
            "scored": self.window.as_dict(),
            "runs": [{"dag_id": run.dag_id, "run_id": run.run_id, "seconds": run.seconds} for run in self.runs],
            **self.found,
            "quality": self.quality,
            "pages": self.pages,
        }


def run(say: Callable[[str], None], report: Progress | None = None) -> Demo:
    """Starts the services, runs the demo and collects what it found. Twice gives the same documents.

    Raises:
        NodeError, ServiceError: Something does not come up, or a run failed.
        DefinitionError: The demo's source or jobs are not there.
    """
    began = time.monotonic()
    source, jobs = load_source(SOURCE), demo_jobs()
    if source.window is None:
        raise ServiceError("the demo's source must be a generator", where=f"source {SOURCE}")
    window = Window(source.window.end - SCORED, source.window.end)
    services = control.up(say)
    assert services.airflow.url is not None
    say("Ingesting, training, scoring and forecasting through Airflow …")
    with AirflowApi(services.airflow.url) as api:

        def ended(run: Run) -> None:
            say(f"  {run.dag_id} done after {run.seconds:.0f} s")

        runs = follow(api, [[[Run(f"{SOURCE}.ingest")]]], report, ended)
        runs += follow(api, [_stages(job, window) for job in jobs], report, ended)
    demo = Demo(services, window, jobs, runs, 0.0)
    demo.found = _found(source, demo)
    demo.seconds = round(time.monotonic() - began, 1)
    return demo


def demo_jobs() -> list[Job]:
    """The jobs whose names begin with `demo-`.

    Raises:
        ServiceError: There is none.
    """
    jobs = [job for job in list_jobs() if job.job_id.startswith(PREFIX)]
    if not jobs:
        raise ServiceError(f"there is no job whose name begins with '{PREFIX}'", where="include/jobs")
    return jobs


def _stages(job: Job, window: Window) -> list[list[Run]]:
    """Train, then score; beside it the forecast, which follows the new snapshot by itself, and begins where that ends."""
    learned = iso(window.start)
    scored = {"start": learned, "end": iso(window.end)}
    return [
        [Run(f"{job.job_id}.train", {"as_of": learned})],
        [Run(f"{job.job_id}.score", scored), Run(f"{job.job_id}.forecast", {"start": learned}, by_asset=True)],
    ]


def _found(source: Source, demo: Demo) -> dict[str, Any]:
    """Looks into the cluster that the tasks used: the user's own, or the embedded one."""
    with connect(own_cluster() or {"url": demo.services.cluster_url}) as client:
        # An ingest that was cut short right before its end has indexed all and told nothing.
        injected = findings.truth(client, source.source_id, demo.window) or _told_now(client, source, demo.window)
        forecasts = []
        for run in demo.runs:
            job_id, _, stage = run.dag_id.rpartition(".")
            if stage == "forecast":
                told = findings.journalled(client, "forecast", job_id, run.run_id)
                forecasts.append({"job_id": job_id, **(run.returned.get("forecast") or {}), **told})
        return {**findings.compare(client, demo.jobs, injected, demo.window), "forecasts": forecasts}


def _told_now(client: Elasticsearch, source: Source, window: Window) -> list[dict[str, Any]]:
    write_truth(client, source)
    client.indices.refresh(index=TRUTH)
    return findings.truth(client, source.source_id, window)
