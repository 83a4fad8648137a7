"""Jobs and datafeeds by name: ids, groups, lists, wildcards and `_all`, as Elastic reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from fastapi import Depends, HTTPException, Path, status

from driftline.core.job import Job
from driftline_airflow.web.access import ClusterDep, ReaderDep, may, of_job, require_read
from driftline_airflow.web.elastic.shape import ElasticError, conflict, missing

if TYPE_CHECKING:
    from driftline.pipeline.jobs import Entry

ALL = ("", "_all", "*")
T = TypeVar("T")
Names = Annotated[str, Path(max_length=10_000)]


@dataclass(frozen=True)
class Held:
    """A job as this API has it.

    Attributes:
        job_id: Its id.
        job: The job; where it has no datafeed any more what it was, and None where it never had one.
        body: As Elastic's API takes it, without the datafeed.
        feed: Its datafeed as Elastic has it; None where there is none, and empty where it was not read.
        origin: Where it is defined.
        broken: Whether today's rules refuse it: nothing of it runs.
    """

    job_id: str
    job: Job | None
    body: dict[str, Any]
    feed: dict[str, Any] | None
    origin: Literal["file", "index"]
    broken: bool = False

    @property
    def datafeed_id(self) -> str | None:
        """The datafeed's id."""
        return self.feed["datafeed_id"] if self.feed else None

    def runnable(self) -> Job:
        """The job with its datafeed.

        Raises:
            ElasticError: It has none.
        """
        if self.job is None or self.feed is None:
            raise conflict(f"Job '{self.job_id}' has no datafeed, and nothing is posted here: put a datafeed first.")
        return self.job

    def changeable(self) -> Held:
        """Itself.

        Raises:
            ElasticError: It is a file, which is under version control.
        """
        if self.origin == "file":
            raise conflict(f"Job '{self.job_id}' is defined in a file, which is under version control.")
        return self


def of(job: Job, origin: Literal["file", "index"] = "index") -> Held:
    """A job that has a datafeed."""
    from driftline.interop.elastic_export import shown

    body = shown(job)
    feed = body.pop("datafeed_config")
    feed = {"datafeed_id": f"datafeed-{job.job_id}", **feed, "job_id": job.job_id}
    return Held(job.job_id, job, body, feed, origin)


def every(client: ClusterDep, user: Any) -> dict[str, Held]:  # noqa: ANN401 - the auth manager's own kind of user
    """All jobs that can be read and that the user may see, by id."""
    from driftline.pipeline.jobs import list_definitions
    from driftline.pipeline.unfinished import listed

    there = {name: each for name, each in listed(client).items() if may(user, "GET", of_job(name))}
    found = {name: Held(name, each.former, each.body, None, "index") for name, each in there.items()}
    for entry in list_definitions(client):
        if isinstance(entry.definition, Job) and may(user, "GET", of_job(entry.id)):
            found[entry.id] = of(entry.definition, entry.origin)
    return {name: found[name] for name in sorted(found)}


def one(client: ClusterDep, user: Any, job_id: str) -> Held:  # noqa: ANN401
    """The job of an id.

    Raises:
        HTTPException: There is none (404), or the user may not see it (403).
        DefinitionError: It is broken.
    """
    from driftline.pipeline.jobs import load_job
    from driftline.pipeline.unfinished import listed

    require_read(of_job(job_id), user)
    if entry := _entry(client, job_id):
        return of(load_job(job_id, client), entry.origin)
    kept = listed(client).get(job_id)
    if kept is None:
        raise unknown(job_id)
    return Held(job_id, kept.former, kept.body, None, "index")


def _entry(client: ClusterDep, job_id: str) -> Entry | None:
    from driftline.pipeline.jobs import list_definitions

    return next((each for each in list_definitions(client) if (each.kind, each.id) == ("job", job_id)), None)


def unknown(job_id: str) -> ElasticError:
    """There is no such job."""
    return missing(f"No known job with id '{job_id}'")


def held(client: ClusterDep, user: ReaderDep, job_id: Annotated[str, Path(max_length=1000)]) -> Held:
    """The job of the path."""
    return one(client, user, job_id)


def removable(client: ClusterDep, user: ReaderDep, job_id: Annotated[str, Path(max_length=1000)]) -> Held:
    """The job of the path, of which nothing is read that has a datafeed: what is broken must be deletable, too."""
    require_read(of_job(job_id), user)
    entry = _entry(client, job_id)
    if entry is None:
        return one(client, user, job_id)
    return Held(job_id, None, {}, {}, entry.origin, broken=entry.definition is None)


HeldDep = Annotated[Held, Depends(held)]
RemovableDep = Annotated[Held, Depends(removable)]


def matching(
    things: Mapping[str, T], expression: str, *, what: str, allow_no_match: bool = True, groups: Mapping[str, Iterable[str]] = {}
) -> list[T]:
    """Those that an expression names, in the order of `things`.

    Args:
        things: By id.
        expression: Ids, patterns and groups with commas between; `_all`, `*` or nothing for all.
        what: How an error calls them: `No known job with id`.
        allow_no_match: Whether a pattern may match nothing. What is named without a pattern must be there.
        groups: Id → groups of it.

    Raises:
        ElasticError: Something that is named is not there.
    """
    if expression in ALL:
        if not things and not allow_no_match:
            raise missing(f"{what} '{expression or '_all'}'")
        return list(things.values())
    chosen: set[str] = set()
    for name in filter(None, expression.split(",")):
        pattern = "*" if name == "_all" else re.sub(r"[?[]", r"[\g<0>]", name)  # only stars stand for anything
        found = {id_ for id_ in things if any(fnmatchcase(each, pattern) for each in (id_, *groups.get(id_, ())))}
        if not found and ("*" not in pattern or not allow_no_match):
            raise missing(f"{what} '{name}'")
        chosen |= found
    return [thing for id_, thing in things.items() if id_ in chosen]


def jobs(client: ClusterDep, user: Any, expression: str, allow_no_match: bool = True) -> list[Held]:  # noqa: ANN401
    """The jobs of an expression."""
    found = every(client, user)
    groups = {name: each.body.get("groups", []) for name, each in found.items()}
    return matching(found, expression, what="No known job with id", allow_no_match=allow_no_match, groups=groups)


def feeds(client: ClusterDep, user: Any, expression: str, allow_no_match: bool = True) -> list[Held]:  # noqa: ANN401
    """The jobs whose datafeeds an expression names."""
    found = {each.datafeed_id: each for each in every(client, user).values() if each.datafeed_id}
    return matching(found, expression, what="No datafeed with id", allow_no_match=allow_no_match)


def changing(user: Any, found: Iterable[Held]) -> None:  # noqa: ANN401
    """Refuses a user who may not change one of them, with 403."""
    if any(not may(user, "PUT", of_job(each.job_id)) for each in found):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You may not change this.")
