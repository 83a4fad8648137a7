"""Jobs: what there is, how each is doing, and making, changing, checking and removing them. Jobs in files are read-only here."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, HTTPException, Query, Response, status

from driftline.core.errors import DefinitionError, DriftlineError, TakenError
from driftline.core.job import Job
from driftline.core.timespan import iso
from driftline.elastic import snapshots, state
from driftline.elastic.fields import check_fields
from driftline_airflow.web.access import ClusterDep, ReaderDep, asks, may, of_job, routes
from driftline_airflow.web.api.series import JobDep

router = routes(prefix="/jobs", tags=["jobs"])
Definition = Annotated[dict[str, Any], Body(description="A job as in include/jobs, as JSON.")]
Create = Annotated[bool, Query(description="Make a new one: an id that is taken is refused, with 409.")]


@router.get("")
def jobs(client: ClusterDep, user: ReaderDep) -> dict[str, Any]:
    """All jobs that you may see, broken ones with what is wrong."""
    from driftline.pipeline.jobs import as_json, list_definitions

    found = [each for each in list_definitions(client) if each.kind == "job" and may(user, "GET", of_job(each.id))]
    return {"count": len(found), "jobs": [as_json(each) for each in found]}


@router.get("/{job_id}")
def job(client: ClusterDep, found: JobDep) -> dict[str, Any]:
    """A job with its defaults, how far it is scored, and its snapshot."""
    until = state.scored_until(client, found)
    mine = [m for m in snapshots.manifests(client, found.job_id) if m["job_version"] == found.version]
    promoted = [m for m in mine if m["state"] == "promoted"]
    return {
        "job_id": found.job_id,
        "definition": found.as_dict(),
        "version": found.version,
        "scored_until": iso(until) if until else None,
        "snapshot": promoted[0]["snapshot_id"] if promoted else None,
        "notes": found.notes,
    }


@router.put("/{job_id}")
def put(client: ClusterDep, job_id: str, definition: Definition, response: Response, create: Create = False) -> dict[str, Any]:
    """Makes or changes a job; its DAGs appear within seconds. Index and fields are checked first."""
    from driftline.pipeline.jobs import list_definitions, owners, save

    made = _parsed(client, {**definition, "job_id": definition.get("job_id", job_id)})
    if made.job_id != job_id:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, f"job_id: '{made.job_id}' is not that of the address.")
    there = next((each for each in list_definitions(client) if (each.kind, each.id) == ("job", job_id)), None)
    if there is not None and there.origin == "file":
        raise HTTPException(
            status.HTTP_409_CONFLICT, f"The job is defined in a file, which is under version control: {job_id}.yaml"
        )
    owner = owners(client).get(job_id)  # also a job that waits for its datafeed: its results are there
    if create and owner:
        raise TakenError(f"the id '{job_id}' is taken by {owner}", fix="Choose another.")
    check_fields(client, made)
    save(client, made)
    response.status_code = status.HTTP_200_OK if owner else status.HTTP_201_CREATED
    return {"job_id": job_id, "version": made.version, "created": owner is None, "notes": made.notes}


@router.delete("/{job_id}")
def delete(client: ClusterDep, job_id: str) -> dict[str, Any]:
    """Deletes a job with all that it has; its DAGs go within seconds."""
    from driftline.pipeline.jobs import delete as remove

    return {"job_id": job_id, "removed": remove(client, job_id)}


@router.post("/{job_id}/reset")
def reset(client: ClusterDep, found: JobDep) -> dict[str, Any]:
    """Forgets all that a job has learned and found."""
    from driftline.pipeline.jobs import reset as forget

    return {"job_id": found.job_id, "removed": forget(client, found.job_id)}


@router.get("/{job_id}/elastic")
def exported(found: JobDep) -> dict[str, Any]:
    """The job as Elastic's API takes it, with its datafeed; in `notes`, what of it is different there."""
    from driftline.interop.elastic_export import exported as as_elastic

    body, notes = as_elastic(found)
    return {"job": body, "notes": notes}


checks = routes(tags=["jobs"])


@checks.post("/validate")
@asks
def validate(client: ClusterDep, user: ReaderDep, definition: Definition, offline: bool = False) -> dict[str, Any]:
    """Whether a definition is right: its fields, Prophet's options, its index. It changes nothing, so a reader may ask."""
    from driftline.pipeline.fit import check_job_options

    try:
        known = not offline and may(user, "GET", of_job(str(definition.get("job_id"))))  # what one may not see tells nothing
        made = _parsed(client if known else None, definition)
        check_job_options(made)
        if not offline:
            check_fields(client, made)
    except DriftlineError as error:
        return {"valid": False, "problems": str(error.what).split("; "), "where": error.where, "fix": error.fix}
    return {"valid": True, "problems": [], "version": made.version, "notes": made.notes}


def _parsed(client: ClusterDep | None, definition: dict[str, Any]) -> Job:
    from driftline.pipeline.jobs import stored_job

    try:
        former = stored_job(client, definition) if client is not None else None
        return Job.parse(definition, where="job", former=former)
    except DefinitionError:
        raise
    except (TypeError, ValueError) as error:
        raise DefinitionError(str(error), where="job") from None
