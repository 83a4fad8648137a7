"""Anomaly detection jobs: made, read, changed, deleted, checked."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path
from pydantic import Field

from driftline_airflow.web.access import ClusterDep, ReaderDep, asks
from driftline_airflow.web.airflow import AirflowDep
from driftline_airflow.web.elastic import making, running
from driftline_airflow.web.elastic.names import Held, HeldDep, Names, RemovableDep, every, jobs
from driftline_airflow.web.elastic.shape import Asked, Elastic, Which, asked, conflict, taken, wrong

router = APIRouter(prefix="/_ml/anomaly_detectors", route_class=Elastic)
Given = Annotated[dict[str, Any], Body()]
MEGABYTE = 1024 * 1024
ALWAYS = {"job_type": "anomaly_detector", "allow_lazy_open": False, "results_index_name": "driftline-results"}


class Deleted(Asked):
    """How to delete or reset; both happen at once."""

    force: bool = False
    wait_for_completion: bool = True
    delete_user_annotations: bool = False


class Sizes(Asked):
    """What a model's memory depends on."""

    analysis_config: dict[str, Any]
    overall_cardinality: dict[str, int] = Field(default_factory=dict)
    max_bucket_cardinality: dict[str, int] = Field(default_factory=dict)


WhichDep = Annotated[Which, Depends(asked(Which))]
DeletedDep = Annotated[Deleted, Depends(asked(Deleted))]


def shown(held: Held, *, generated: bool = True) -> dict[str, Any]:
    """A job as Elastic's API gives it."""
    body = {**held.body, "job_id": held.job_id}
    feed = {"datafeed_config": held.feed} if held.feed else {}
    if not generated:
        return body | feed
    analysis = dict(body["analysis_config"])
    analysis["detectors"] = [
        {**each, "detector_index": each.get("detector_index", n) if held.job else n}  # the number that its records have
        for n, each in enumerate(analysis.get("detectors", []))
    ]
    about = {"time_field": "time", "time_format": "epoch_ms", **body.get("data_description", {})}
    return {**ALWAYS, **body, "analysis_config": analysis, "data_description": about, **feed}


@router.put("/{job_id}")
def put(client: ClusterDep, user: ReaderDep, job_id: Annotated[str, Path(max_length=1000)], body: Given) -> dict[str, Any]:
    """Makes a job; with a `datafeed_config` all of it, else it waits for its datafeed."""
    from driftline.pipeline.jobs import owners, save
    from driftline.pipeline.unfinished import keep

    making.named(job_id, body, "job_id")
    if job_id in owners(client):  # also of what is broken, and of an analysis or signatures: they would have no DAGs any more
        raise taken(f"The job cannot be created with the Id '{job_id}'. The Id is already used.")
    plain = {name: value for name, value in body.items() if name != "datafeed_config"}
    feed = body.get("datafeed_config")
    if feed is None:
        making.made(job_id, plain, None, index_pattern=making.ANY)
        keep(client, job_id, {**plain, "job_id": job_id})
        return shown(Held(job_id, None, plain, None, "index"))
    if not isinstance(feed, dict):
        raise wrong("[datafeed_config] a mapping was expected")
    from driftline_airflow.web.elastic.names import of

    datafeed_id = str(feed.get("datafeed_id") or f"datafeed-{job_id}")
    making.fresh_feed(datafeed_id, feed, every(client, user))
    job = making.made(job_id, plain, {**feed, "datafeed_id": datafeed_id})
    save(client, job)
    return shown(of(job))


@router.get("")
def get_all(client: ClusterDep, user: ReaderDep, how: WhichDep) -> dict[str, Any]:
    """All jobs."""
    return get(client, user, "_all", how)


@router.get("/{names}")
def get(client: ClusterDep, user: ReaderDep, names: Names, how: WhichDep) -> dict[str, Any]:
    """Some jobs."""
    found = jobs(client, user, names, how.allow_no_match)
    return {"count": len(found), "jobs": [shown(each, generated=not how.exclude_generated) for each in found]}


@router.delete("/{job_id}")
def delete(client: ClusterDep, airflow: AirflowDep, held: RemovableDep, how: DeletedDep) -> dict[str, Any]:
    """Deletes a job with all that it has learned and found, also one that is broken."""
    if not how.force and running.opened(airflow, held.changeable()):
        raise conflict(f"Cannot delete job [{held.job_id}] because the job is opened")
    making.remove(client, held.changeable())
    return {"acknowledged": True}


@router.post("/{job_id}/_reset")
def reset(client: ClusterDep, airflow: AirflowDep, held: HeldDep, how: DeletedDep) -> dict[str, Any]:
    """Forgets all that a job has learned and found."""
    from driftline.pipeline.jobs import reset as forget

    if running.opened(airflow, held):
        raise conflict(f"Can only reset a job when it is closed: [{held.job_id}] is opened")
    forget(client, held.job_id)
    return {"acknowledged": True}


@router.post("/{job_id}/_update")
def update(client: ClusterDep, held: HeldDep, body: Given) -> dict[str, Any]:
    """Changes some fields of a job; what is null is as by default again."""
    from driftline.pipeline.jobs import save
    from driftline.pipeline.unfinished import keep
    from driftline_airflow.web.elastic.names import of

    held.changeable()
    if refused := sorted(body.keys() & {"job_id", "analysis_config", "data_description", "datafeed_config"}):
        raise wrong(f"[{refused[0]}] cannot be updated: what a job looks for is its identity. Make a new job.")
    if held.job is None:
        fresh = making.rewritten(held.body, body)
        making.made(held.job_id, fresh, None, index_pattern=making.ANY, former=held.body)
        keep(client, held.job_id, fresh)
        return shown(Held(held.job_id, None, fresh, None, "index"))
    job = making.updated(held.job, body)
    if held.feed is None:
        fresh = of(job).body
        keep(client, held.job_id, fresh, former=job)
        return shown(Held(held.job_id, job, fresh, None, "index"))
    save(client, job)
    return shown(of(job))


@router.post("/_validate")
@asks
def validate(user: ReaderDep, body: Given) -> dict[str, Any]:
    """Whether a job could be made."""
    plain = {name: value for name, value in body.items() if name not in ("model_plot", "datafeed_config")}
    if plot := body.get("model_plot"):
        plain["model_plot_config"] = plot
    job_id = str(plain.setdefault("job_id", "validated"))
    making.named(job_id, plain, "job_id")
    making.made(job_id, plain, body.get("datafeed_config"), index_pattern=making.ANY)
    return {"acknowledged": True}


@router.post("/_validate/detector")
@asks
def validate_detector(user: ReaderDep, body: Given) -> dict[str, Any]:
    """Whether a job could have such a detector."""
    making.made("validated", {"analysis_config": {"detectors": [body]}}, None, index_pattern=making.ANY)
    return {"acknowledged": True}


@router.post("/_estimate_model_memory")
@asks
def estimate(user: ReaderDep, sizes: Annotated[Sizes, Depends(asked(Sizes))]) -> dict[str, Any]:
    """How much memory a training takes; between runs nothing is held."""
    from driftline.pipeline.estimate import training_bytes

    job = making.made("estimated", {"analysis_config": sizes.analysis_config}, None, index_pattern=making.ANY)
    series = 0
    for detector in job.detectors:
        fields = [name for name in (detector.partition_field_name, detector.by_field_name) if name]
        unknown = [name for name in fields if name not in sizes.overall_cardinality and name != "mlcategory"]
        if unknown:
            raise wrong(f"[{unknown[0]}] is a split field, so overall_cardinality has to say how many values it has")
        product = 1
        for name in fields:
            product *= sizes.overall_cardinality.get(name, 1)
        series += product
    return {"model_memory_estimate": f"{-(-training_bytes(job, series) // MEGABYTE):.0f}mb"}
