"""Elastic's bodies as our jobs, and changes of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from driftline.core.definition import IDENTIFIER
from driftline.core.errors import DefinitionError
from driftline.core.job import Job
from driftline_airflow.web.access import ClusterDep
from driftline_airflow.web.elastic.names import Held
from driftline_airflow.web.elastic.shape import taken, wrong

# Fields of a job and of a datafeed that are ours as well; the others are kept as they are said, without effect.
JOB = {"description", "groups", "model_plot_config", "model_prune_window", "model_snapshot_retention_days",
       "renormalization_window_days", "categorization_filters", "per_partition_categorization"}  # fmt: skip
FEED = {"indices", "query", "query_delay", "frequency", "aggregations", "delayed_data_check_config", "runtime_mappings",
        "script_fields"}  # fmt: skip
ANALYSIS = {"model_prune_window", "categorization_filters", "per_partition_categorization"}  # of the job's, in analysis_config
CHANGED = {"description": "detector_description", "custom_rules": "custom_rules"}  # of a detector
SPELLINGS = {"indexes": "indices", "aggs": "aggregations"}
ANY = "any-index"  # what is only validated reads nothing


def named(name: str, body: dict[str, Any], field: str) -> None:
    """Refuses an id that is none here, or that the body contradicts."""
    if not re.fullmatch(IDENTIFIER, name):
        raise wrong(
            f"Invalid {field}; '{name}' can contain lowercase letters, digits, hyphens and underscores, up to 64 of them."
        )
    if body.get(field, name) != name:
        raise wrong(
            f"Inconsistent {field}; '{body[field]}' specified in the body differs from '{name}' specified as a URL argument."
        )


def fresh_feed(datafeed_id: str, body: dict[str, Any], there: dict[str, Held]) -> None:
    """Refuses a new datafeed by an id that is none, or that one has already."""
    named(datafeed_id, body, "datafeed_id")
    if any(each.datafeed_id == datafeed_id for each in there.values()):
        raise taken(f"A datafeed with id [{datafeed_id}] already exists")


def made(
    job_id: str,
    body: dict[str, Any],
    feed: dict[str, Any] | None,
    *,
    index_pattern: str | None = None,
    former: dict[str, Any] | None = None,
) -> Job:
    """One of Elastic's jobs as ours; its DAGs begin paused, as Elastic's jobs begin closed.

    Args:
        job_id: Its id.
        body: As it is put now.
        feed: Its datafeed.
        index_pattern: What is read where no datafeed says.
        former: As it waited for its datafeed.

    Raises:
        ElasticError: It is wrong, or looks for something that cannot be looked for here.
    """
    from driftline.interop.elastic_files import Found
    from driftline.interop.elastic_jobs import to_job

    before = to_job(Found(Path(job_id), former, job_id), index_pattern=ANY, stored=True).job if former else None
    imported = to_job(Found(Path(job_id), body, job_id, datafeed=feed), index_pattern=index_pattern, former=before)
    if imported.job is None:
        raise wrong("; ".join(imported.notes))
    return imported.job.model_copy(update={"paused": True})


def updated(job: Job, changes: dict[str, Any]) -> Job:
    """A job with some of its fields changed, as Elastic's API takes them; what is null is as by default again."""
    from driftline.interop.elastic_export import numbers

    definition = job.as_dict()
    kept = dict(definition.get("elastic") or {})
    idle = dict(kept.pop("job", {}))
    for name, value in changes.items():
        if name == "detectors":
            definition["detectors"] = _detectors(definition["detectors"], numbers(job), value)
        elif value is None:
            for place in (definition, kept, idle) if name in JOB else (idle,):
                place.pop(name, None)
        elif name in JOB:
            definition[name] = _plot(value, kept) if name == "model_plot_config" else value
        else:
            idle[name] = value
    kept |= {"job": idle} if idle else {}
    return Job.parse({**definition, "elastic": kept}, where=f"job {job.job_id}", former=job)


def rewritten(body: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The body of a job that never had a datafeed, changed as `updated` does."""
    out, analysis = dict(body), dict(body["analysis_config"])
    for name, value in changes.items():
        place = analysis if name in ANALYSIS else out
        if name == "detectors":
            analysis[name] = _detectors(analysis[name], [[number] for number in range(len(analysis[name]))], value)
        elif value is None:
            place.pop(name, None)
        else:
            place[name] = _said(value) if name == "model_plot_config" else value
    return {**out, "analysis_config": analysis}


def _plot(value: object, kept: dict[str, Any]) -> dict[str, Any]:
    given = _said(value)
    kept["model_plot_config"] = {name: each for name, each in given.items() if name != "enabled"}
    return {"enabled": given.get("enabled", False)}


def _said(plot: object) -> dict[str, Any]:
    if not isinstance(plot, dict):
        raise DefinitionError("model_plot_config: a mapping was expected")
    return {name: value for name, value in plot.items() if value is not None}


def _detectors(detectors: list[dict[str, Any]], together: list[list[int]], changes: object) -> list[dict[str, Any]]:
    out = [dict(each) for each in detectors]
    for change in changes if isinstance(changes, list) else [changes]:
        index = change.get("detector_index") if isinstance(change, dict) else None
        if not isinstance(index, int) or not 0 <= index < len(out):
            raise DefinitionError(f"detectors: there are detectors 0 to {len(out) - 1}, and each change says a detector_index")
        if unknown := change.keys() - {"detector_index", "description", "custom_rules"}:
            raise DefinitionError(f"detectors: {', '.join(sorted(unknown))} cannot be changed")
        said = {CHANGED[name]: value for name, value in change.items() if name in CHANGED}
        for number in next(each for each in together if index in each):  # the three of a `metric` are one there
            out[number] = {name: value for name, value in (out[number] | said).items() if value is not None}
    return out


def refed(job: Job, changes: dict[str, Any], *, anew: bool = False) -> Job:
    """A job with its datafeed changed; what is null is as by default again.

    With `anew` it gets another one, and is paused; what Elastic has no word for is the former's.
    """
    definition = job.as_dict()
    feed, kept = dict(definition["datafeed"]), dict(definition.get("elastic") or {})
    former = kept.pop("datafeed", {})
    idle = {} if anew else dict(former)
    if anew:
        definition["paused"], feed = True, {name: feed[name] for name in feed.keys() - FEED}
    for name, value in ((SPELLINGS.get(name, name), value) for name, value in changes.items()):
        if value is None:
            feed.pop(name, None)
            idle.pop(name, None)
        elif name in FEED and former.get(name) != value:
            feed[name] = value
        elif name != "job_id":
            idle[name] = value
    kept |= {"datafeed": idle} if idle else {}
    return Job.parse({**definition, "datafeed": feed, "elastic": kept}, where=f"datafeed of job {job.job_id}", former=job)


def remove(client: ClusterDep, held: Held) -> None:
    """Deletes a job with all that it has."""
    from driftline.pipeline.jobs import delete, reset
    from driftline.pipeline.unfinished import drop

    if held.feed is not None:
        delete(client, held.job_id)
    else:
        reset(client, held.job_id)
        drop(client, held.job_id)
