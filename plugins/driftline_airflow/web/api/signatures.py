"""Signatures: which there are, what they have learned and found, one entity side by side; making, running and removing them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Body, Depends, HTTPException, Query, Response, status
from pydantic import Field

from driftline.core.signature import Signatures
from driftline.core.timespan import Window, iso, parse_time
from driftline.elastic.fields import check_signatures
from driftline_airflow.web.access import ClusterDep, ReaderDep, asks, may, of_job, routes
from driftline_airflow.web.airflow import AirflowDep
from driftline_airflow.web.api.runs import Asked

router = routes(prefix="/signatures", tags=["signatures"])
Definition = Annotated[dict[str, Any], Body(description="Signatures as in include/signatures, as JSON.")]
Text = Annotated[str | None, Query(max_length=60)]
MOST = 10_000


def signatures_of(job_id: str, client: ClusterDep, user: ReaderDep) -> Signatures:
    """The signatures that the path names; the user may see them."""
    from driftline.pipeline.jobs import load_signatures

    return load_signatures(job_id, client)


SignaturesDep = Annotated[Signatures, Depends(signatures_of)]


class Train(Asked):
    """A training."""

    as_of: str | None = Field(None, max_length=40, description="Learn from what came before; by default, all that is complete.")
    start: str | None = Field(None, max_length=40, description="Learn from then on; by default, as window says.")
    limit: int | None = Field(None, ge=10, description="Group so many random profiles instead of all.")


class Score(Asked):
    """A scoring."""

    start: str | None = Field(None, max_length=40, description="By default, where entities were scored last.")
    end: str | None = Field(None, max_length=40)
    interval: str | None = Field(None, max_length=20, description="How often, such as 24h; by default, as the definition says.")
    threshold: float | None = Field(None, ge=0, le=100, description="Least score; by default, as the definition says.")
    model: Literal["as_of", "latest"] = Field("as_of", description="What was learned before each span, or last.")


@router.get("")
def signatures(client: ClusterDep, user: ReaderDep) -> dict[str, Any]:
    """All signatures that you may see, broken ones with what is wrong."""
    from driftline.pipeline.jobs import as_json, list_definitions

    found = [each for each in list_definitions(client) if each.kind == "signatures" and may(user, "GET", of_job(each.id))]
    return {"count": len(found), "signatures": [as_json(each) for each in found]}


@router.get("/{job_id}")
def one(client: ClusterDep, found: SignaturesDep) -> dict[str, Any]:
    """Signatures with their defaults, what was learned, and until when entities are scored."""
    from driftline.pipeline.signature_view import state_of

    return {"signature_id": found.signature_id, "definition": found.as_dict(), **state_of(client, found)}


@router.put("/{job_id}")
def put(client: ClusterDep, job_id: str, definition: Definition, response: Response) -> dict[str, Any]:
    """Makes or changes signatures; their DAGs appear within seconds. Index and fields are checked first."""
    from driftline.pipeline.jobs import owners, save_signatures

    made = Signatures.parse({"signature_id": job_id, **definition}, where="signatures")
    if made.signature_id != job_id:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, "signature_id is not that of the address.")
    there = job_id in owners(client)
    check_signatures(client, made)
    save_signatures(client, made)
    response.status_code = status.HTTP_200_OK if there else status.HTTP_201_CREATED
    return {"signature_id": job_id, "version": made.version, "created": not there, "notes": made.notes}


@router.delete("/{job_id}")
def delete(client: ClusterDep, job_id: str) -> dict[str, Any]:
    """Deletes signatures with all that was learned and found; their DAGs go within seconds."""
    from driftline.pipeline.jobs import delete as remove

    return {"signature_id": job_id, "removed": remove(client, job_id, kind="signatures")}


@router.post("/{job_id}/train", status_code=status.HTTP_202_ACCEPTED)
def train(airflow: AirflowDep, found: SignaturesDep, asked: Train | None = None) -> dict[str, Any]:
    """Learn the long-term signatures; answers with the run."""
    return _started(airflow, found, "train", asked or Train())


@router.post("/{job_id}/score", status_code=status.HTTP_202_ACCEPTED)
def score(airflow: AirflowDep, found: SignaturesDep, asked: Score | None = None) -> dict[str, Any]:
    """Score a range, or what is new; answers with the run."""
    from driftline.pipeline.signatures import interval_of

    interval_of(found, (asked or Score()).interval)
    return _started(airflow, found, "score", asked or Score())


def _started(airflow: AirflowDep, found: Signatures, stage: str, asked: Asked) -> dict[str, Any]:
    given = asked.model_dump(exclude_none=True, exclude_defaults=True)
    given |= {name: iso(parse_time(given[name])) for name in ("as_of", "start", "end") if name in given}
    run = airflow.trigger(f"{found.signature_id}.{stage}", given)
    return {"run_id": run["dag_run_id"], **{name: run.get(name) for name in ("dag_id", "state", "queued_at", "conf")}}


@router.get("/{job_id}/anomalies")
def anomalies(
    client: ClusterDep,
    found: SignaturesDep,
    start: Text = None,
    end: Text = None,
    min_score: Annotated[float, Query(ge=0, le=100)] = 0.0,
    size: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> dict[str, Any]:
    """The anomalous entities, each with its highest score and why; whether there are more; how many at each time."""
    from driftline.pipeline.signature_view import anomalous, times

    window = Window.parse(start or "1970-01-01", end or "now") if start or end else None
    rows = anomalous(client, found, start=start, end=end, min_score=min_score, limit=size + 1)
    more, rows = len(rows) > size, rows[:size]
    return {"count": len(rows), "more": more, "entities": rows, "times": times(client, found, window)}


@router.get("/{job_id}/entity")
def entity(
    client: ClusterDep,
    found: SignaturesDep,
    name: Annotated[str, Query(max_length=32_766, description="The entity.")],
    until: Text = None,
) -> dict[str, Any]:
    """One entity's long-term and short-term signature side by side, and why they differ."""
    from driftline.pipeline.signature_view import profile

    return profile(client, found, name, until=until)


@router.post("/validate")
@asks
def validate(client: ClusterDep, user: ReaderDep, definition: Definition) -> dict[str, Any]:
    """Whether a definition is right: its fields, and its index. It changes nothing, so a reader may ask."""
    from driftline.core.errors import DriftlineError

    try:
        made = Signatures.parse(definition, where="signatures")
        check_signatures(client, made)
    except DriftlineError as error:
        return {"valid": False, "problems": str(error.what).split("; "), "where": error.where, "fix": error.fix}
    return {"valid": True, "problems": [], "version": made.version, "notes": made.notes}
