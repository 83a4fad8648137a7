"""loudml's models by the names that they have there: which there are, a new one, and what was found for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from driftline.core.errors import DefinitionError, TakenError
from driftline.core.signature import Signatures
from driftline.elastic import results
from driftline.elastic.client import explained
from driftline.elastic.indices import RESULTS
from driftline.interop.elastic_files import Found
from driftline.interop.elastic_jobs import plain_id
from driftline.interop.loudml import Model, to_job, to_loudml, to_signatures
from driftline.pipeline.jobs import list_definitions, list_jobs, owners, save, store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.results import Owner

Owned = TypeVar("Owned", bound="Job | Signatures")
CREATE, CREATE_SIGNATURES = "model/create", "ivoip/create"


def id_of(name: str) -> str:
    """The id of the job that a model of that name becomes."""
    return plain_id(name, [])


def models(client: Elasticsearch) -> list[Job]:
    """All jobs that came from loudml; broken ones are among Driftline's jobs."""
    return [job for job in list_jobs(client) if "name" in job.loudml]


def find(client: Elasticsearch, name: str) -> Job:
    """The job of a model.

    Raises:
        DefinitionError: There is no model of that name.
    """
    return _named(models(client), name, "'model/list' says which there are.")


def find_signatures(client: Elasticsearch, name: str) -> Signatures:
    """The signatures of a name.

    Raises:
        DefinitionError: There are none.
    """
    return _named(all_signatures(client), name, "'ivoip/list' says which there are.")


def find_origin(client: Elasticsearch, name: str) -> Job | Signatures:
    """The model or the signatures of a name.

    Raises:
        DefinitionError: There is neither.
    """
    return _named(origins(client), name, "'model/list' and 'ivoip/list' say which there are.")


def _named(found: list[Owned], name: str, fix: str) -> Owned:
    """That of a name. A copy of its file may have the name, too: what was made of it comes first."""
    those = [each for each in found if each.loudml["name"] == name]
    if not those:
        raise DefinitionError(f"there is no model '{name}'", where="name", fix=fix)
    return min(those, key=lambda each: each.job_id != id_of(name))


def create(client: Elasticsearch, given: Mapping[str, Any]) -> tuple[Job, list[str]]:
    """Saves a new model as a job whose DAGs begin paused. Its index is looked at by its trainings.

    Args:
        client: The cluster.
        given: The parameters of loudml's create call.

    Returns:
        The job, and what is to know of it.

    Raises:
        DefinitionError: A parameter is wrong.
        TakenError: The name is taken.
    """
    name = Model.parse(given, where=CREATE).name
    made = to_job(Found(Path(CREATE), dict(given), name, origin="loudml"))
    if made.job is None:
        raise DefinitionError("; ".join(made.notes))
    _require_free(client, name, made.job.job_id, CREATE)
    save(client, made.job)
    return made.job, made.notes


def _require_free(client: Elasticsearch, name: str, id_: str, where: str) -> None:
    if owner := owners(client).get(id_):
        raise TakenError(f"the name '{name}' is taken by {owner} '{id_}'", where=f"{where}, name", expected="a new name")


def create_signatures(client: Elasticsearch, given: Mapping[str, Any]) -> tuple[Signatures, list[str]]:
    """Saves new signatures, whose DAGs begin paused. Their index is looked at by their trainings.

    Returns:
        They, and what is to know of them.

    Raises:
        DefinitionError: A parameter is wrong.
        TakenError: The name is taken.
    """
    made, notes = to_signatures(given, where=CREATE_SIGNATURES)
    _require_free(client, made.loudml["name"], made.signature_id, CREATE_SIGNATURES)
    store(client, "signatures", made.signature_id, made)
    return made, notes


def all_signatures(client: Elasticsearch) -> list[Signatures]:
    """All signatures that came from loudml's API."""
    found = [each.definition for each in list_definitions(client)]
    return [each for each in found if isinstance(each, Signatures) and "name" in each.loudml]


def described_signatures(found: Signatures) -> dict[str, Any]:
    """Signatures by the parameters of their create call."""
    return {
        "name": found.loudml["name"],
        "index": ",".join(found.indices),
        "term": found.term,
        "max_terms": found.max_terms,
        "span": int(found.span.total_seconds()),
        "interval": int(found.interval.total_seconds()),
        "threshold": found.threshold,
    }


def origins(client: Elasticsearch) -> list[Job | Signatures]:
    """All that came from loudml and has results: models and signatures."""
    return [*models(client), *all_signatures(client)]


def described(job: Job) -> dict[str, Any]:
    """A model by the parameters of its create call; where its job says more than they can, `changed` tells what."""
    try:
        return to_loudml(job)
    except DefinitionError as error:
        return {"name": job.loudml["name"], "index": ",".join(job.datafeed.indices), "changed": str(error)}


def anomalies(client: Elasticsearch, jobs: Iterable[Owner], *, size: int) -> dict[str, Any]:
    """The records of models with the highest scores, in the shape of an answer of Elasticsearch's search."""
    names = [job.job_id for job in jobs]
    with explained(f"index {RESULTS}-*"):
        found = client.search(
            index=f"{RESULTS}-*",
            query={"bool": {"filter": [{"terms": {"job_id": names}}, {"term": {"result_type": "record"}}]}},
            sort=[
                {"record_score": {"order": "desc", "unmapped_type": "double"}},
                {"timestamp": {"order": "asc", "unmapped_type": "date"}},
            ],
            size=size,
            track_total_hits=True,
            ignore_unavailable=True,
            allow_no_indices=True,
        ).body
    return {name: found[name] for name in ("took", "timed_out", "hits")}


def forget(client: Elasticsearch, jobs: Iterable[Owner]) -> int:
    """Deletes what was found for models: their results of all kinds, not what they have learned. Returns how many documents."""
    return results.delete(client, f"{RESULTS}-*", {"terms": {"job_id": [job.job_id for job in jobs]}})
