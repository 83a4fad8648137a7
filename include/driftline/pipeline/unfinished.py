"""Elastic's jobs that have no datafeed, yet or any more: kept as they were given, since nothing can be run without one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from driftline.core.errors import DefinitionError
from driftline.core.job import Job
from driftline.core.timespan import iso
from driftline.elastic.client import talks_to_cluster
from driftline.elastic.indices import JOBS, ensure_templates

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

log = logging.getLogger(__name__)
KIND = "elastic_job"
MOST = 10_000


@dataclass(frozen=True)
class Unfinished:
    """A job without a datafeed.

    Attributes:
        body: As Elastic's API takes it.
        former: What it was while it had a datafeed: the results are those of this job. None where it never had one.
    """

    body: dict[str, Any]
    former: Job | None


@talks_to_cluster
def keep(client: Elasticsearch, job_id: str, body: dict[str, Any], *, former: Job | None = None) -> None:
    """Keeps a job until its datafeed comes."""
    ensure_templates(client)
    definition = {"body": body, "former": former.as_dict() if former else None}
    document = {"id": job_id, "kind": KIND, "updated": iso(datetime.now(UTC)), "definition": definition}
    client.index(index=JOBS, id=f"{KIND}:{job_id}", document=document, refresh="wait_for")


@talks_to_cluster
def drop(client: Elasticsearch, job_id: str) -> None:
    """Forgets it, where it is there: it has a datafeed now, or is deleted."""
    if client.exists(index=JOBS, id=f"{KIND}:{job_id}"):  # most are not, and deleting waits for a refresh in any case
        client.options(ignore_status=404).delete(index=JOBS, id=f"{KIND}:{job_id}", refresh="wait_for")


def listed(client: Elasticsearch) -> dict[str, Unfinished]:
    """All of them, by id; of one whose former definition cannot be read, it is as if it never had a datafeed."""
    return {name: Unfinished(each["body"], _former(name, each["former"])) for name, each in _stored(client).items()}


def names(client: Elasticsearch) -> set[str]:
    """Their ids, also of those that cannot be read any more."""
    return set(_stored(client))


@talks_to_cluster
def _stored(client: Elasticsearch) -> dict[str, dict[str, Any]]:
    hits = client.search(index=JOBS, size=MOST, query={"term": {"kind": KIND}}, ignore_unavailable=True)["hits"]["hits"]
    return {hit["_source"]["id"]: hit["_source"]["definition"] for hit in hits}


def _former(name: str, definition: dict[str, Any] | None) -> Job | None:
    if definition is None:
        return None
    try:
        return Job.parse(definition, where=f"{JOBS}/{KIND}:{name}", stored=True)
    except DefinitionError as error:
        log.warning("What the job was while it had a datafeed cannot be read: %s", error)
        return None
