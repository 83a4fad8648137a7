"""Modules: which fit an index, and their jobs stored for it."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from elasticsearch import BadRequestError, SerializationError

from driftline.core.definition import Definition, from_yaml
from driftline.core.errors import ClusterError, DefinitionError, SourceIndexError
from driftline.core.job import Datafeed
from driftline.core.module import Module, fill
from driftline.core.paths import modules_dir
from driftline.core.timespan import iso
from driftline.elastic.client import explained
from driftline.elastic.fields import check_fields, data_range
from driftline.elastic.survey import documents, measured_fields
from driftline.pipeline.jobs import list_definitions, owners, save

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job

HEAD = "module.yaml"
OLD = timedelta(days=1)  # whose newest document is older has come to its end, or to a halt: nothing that a clock could score
Status = Literal["saved", "unchanged", "ready", "skipped"]


@dataclass(frozen=True)
class Outcome:
    """What became of one template.

    Attributes:
        job_id: The job's id, with the prefix.
        status: `saved`, `unchanged` (it was there), `ready` (it would be saved), or `skipped`.
        reason: Why it was skipped; else empty.
    """

    job_id: str
    status: Status
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def names() -> list[str]:
    """The modules that are there: folders with a `module.yaml`."""
    return sorted(path.parent.name for path in modules_dir().glob(f"*/{HEAD}"))


def load_module(name: str) -> Module:
    """A module's head.

    Raises:
        DefinitionError: There is none of that name (the nearest is named), or it is broken.
    """
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise DefinitionError(
            f"there is no module '{name}'",
            where=str(modules_dir()),
            expected=", ".join(known),
            fix=f"Did you mean '{near[0]}'?" if near else "",
        )
    return Module.load(modules_dir() / name / HEAD)


def listed() -> list[dict[str, Any]]:
    """All modules for machines, with the ids of their jobs; of a broken one why, as it hides no other."""
    return [_listed(name) for name in names()]


def _listed(name: str) -> dict[str, Any]:
    try:
        return {"module": name, **load_module(name).as_dict(), "jobs": [job.job_id for job in jobs_of(name)]}
    except DefinitionError as error:
        return {"module": name, "error": str(error)}


def jobs_of(name: str, *, prefix: str | None = None, index_pattern: str | None = None) -> list[Job]:
    """A module's jobs, by their ids.

    Args:
        name: The module.
        prefix: What their ids begin with; by default the module's own.
        index_pattern: Index names or patterns with commas between; by default the module's own.

    Raises:
        DefinitionError: There is no such module, or a template of it is broken.
    """
    module = load_module(name)
    indices = split_pattern(index_pattern) if index_pattern is not None else module.index_pattern
    begin = module.prefix if prefix is None else prefix
    files = sorted(path for path in (modules_dir() / name).glob("*.yaml") if path.name != HEAD)
    return [fill(_template(path), prefix=begin, indices=indices, where=str(path)) for path in files]


def split_pattern(text: str) -> list[str]:
    """`web-*,old-web` as a list.

    Raises:
        DefinitionError: It names nothing.
    """
    indices = [part.strip() for part in text.split(",") if part.strip()]
    if not indices:
        raise DefinitionError("the index pattern is empty", expected="names or patterns of indices, such as 'web-*'")
    return indices


def _template(path: Path) -> object:
    try:
        return from_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"the template cannot be read: {error}", where=str(path)) from None


def recognise(client: Elasticsearch, index_pattern: str) -> list[dict[str, Any]]:
    """How well each module fits an index: those that do first, the most documents before fewer.

    Returns:
        `module`, `title`, `fits`, `documents` (that it is about), `jobs` (that could run), `missing` (others, with the reason);
        of a broken module `error` as well, and it fits nothing.

    Raises:
        DefinitionError: The pattern names nothing.
        SourceIndexError: No index matches.
    """
    documents(client, split_pattern(index_pattern), {"match_all": {}})  # what is wrong with the pattern is no module's fault
    found = [_recognised(client, name, index_pattern) for name in names()]
    return sorted(found, key=lambda one: (not one["fits"], -int(str(one["documents"])), str(one["module"])))


def _recognised(client: Elasticsearch, name: str, index_pattern: str) -> dict[str, Any]:
    try:
        module, jobs = load_module(name), jobs_of(name, index_pattern=index_pattern)
        count = documents(client, split_pattern(index_pattern), module.query)
        lacking = {job.job_id: why for job in jobs if (why := _lacking(client, job))} if count else {}
    except (DefinitionError, ClusterError) as error:
        if not isinstance(error, DefinitionError) and not isinstance(error.__cause__, BadRequestError | SerializationError):
            raise  # it is the cluster that cannot, not a query that it does not understand, or that is none
        nothing: dict[str, Any] = {"fits": False, "documents": 0, "jobs": [], "missing": {}}
        return {"module": name, "title": name, **nothing, "error": str(error)}
    ready = [job.job_id for job in jobs if job.job_id not in lacking] if count else []
    about = {"module": name, "title": module.title, "fits": bool(ready), "documents": count}
    return {**about, "jobs": ready, "missing": lacking}


def _lacking(client: Elasticsearch, job: Job) -> str:
    """Why a job cannot run on its index: a field that is not mapped, or that no document holds (mappings often name many)."""
    try:
        check_fields(client, job)
    except SourceIndexError as error:
        if "datafeed.indices" in error.where:
            raise
        return f"{error.where.rpartition(', ')[2]}: {error.what}"
    for name in measured_fields(job):
        held = {"bool": {"filter": [job.datafeed.query, {"exists": {"field": name}}]}}
        if not documents(client, job.datafeed.indices, held):
            return f"no document that its query matches holds '{name}'"
    return "" if documents(client, job.datafeed.indices, job.datafeed.query) else "no document matches its query"


def setup(
    client: Elasticsearch,
    name: str,
    *,
    index_pattern: str | None = None,
    prefix: str | None = None,
    only: Collection[str] = (),
    historical: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Stores a module's jobs for an index. Done twice it changes nothing; a job of somebody else's is never overwritten.

    Args:
        client: The cluster.
        name: The module.
        index_pattern: Where the documents are; by default the module's own.
        prefix: What the jobs' ids begin with; by default the module's own.
        only: Ids of the jobs that are wanted, with or without the prefix; by default all.
        historical: Jobs that run once over old data, rather than by the clock.
        dry_run: Only tell.

    Returns:
        `module`, `indices`, `jobs` (an `Outcome` each, as mappings), `notes`.

    Raises:
        DefinitionError: There is no such module or job, or an id would be none.
        SourceIndexError: No index matches.
    """
    jobs = _wanted(name, jobs_of(name, prefix=prefix, index_pattern=index_pattern), only, prefix)
    if historical:
        jobs = [_as_historical(job) for job in jobs]
    there = {entry.id: entry.definition for entry in list_definitions(client) if entry.kind == "job"}
    taken = owners(client)
    done: list[Outcome] = []
    notes: list[str] = []
    for job in jobs:
        outcome = _set_up(client, job, there.get(job.job_id), taken.get(job.job_id), dry_run)
        done.append(outcome)
        if not notes and not historical and outcome.status != "skipped":
            notes = _too_old(client, job)
    return {"module": name, "indices": jobs[0].datafeed.indices, "jobs": [one.as_dict() for one in done], "notes": notes}


def _wanted(name: str, jobs: list[Job], only: Collection[str], prefix: str | None) -> list[Job]:
    begin = load_module(name).prefix if prefix is None else prefix
    known = {job.job_id.removeprefix(begin) for job in jobs}
    if unknown := sorted({one.removeprefix(begin) for one in only} - known):
        near = difflib.get_close_matches(unknown[0], known, n=1)
        raise DefinitionError(
            f"module '{name}' has no job '{unknown[0]}'",
            where="--job",
            expected=", ".join(sorted(known)),
            fix=f"Did you mean '{near[0]}'?" if near else "",
        )
    chosen = {one.removeprefix(begin) for one in only} or known
    return [job for job in jobs if job.job_id.removeprefix(begin) in chosen]


def _as_historical(job: Job) -> Job:
    feed: dict[str, Any] = {**job.datafeed.model_dump(exclude_unset=True), "historical": True}
    return job.model_copy(update={"datafeed": Datafeed.model_validate(feed)})


def _set_up(client: Elasticsearch, job: Job, there: Definition | None, owner: str | None, dry_run: bool) -> Outcome:
    if why := _lacking(client, job):
        return Outcome(job.job_id, "skipped", why)
    if there is not None and there.as_dict() == job.as_dict():
        return Outcome(job.job_id, "unchanged")
    if owner:
        rather = f", or: driftline jobs delete {job.job_id}" if owner == "job" else ""
        return Outcome(job.job_id, "skipped", f"the id is taken by {owner}; choose a --prefix{rather}")
    if not dry_run:
        save(client, job)
    return Outcome(job.job_id, "ready" if dry_run else "saved")


def _too_old(client: Elasticsearch, job: Job) -> list[str]:
    with explained(f"job {job.job_id}"):
        newest = data_range(client, job).end
    if newest > datetime.now(UTC) - OLD:
        return []
    return [f"the newest document is of {iso(newest)}: for data that has ended, --historical runs the jobs once over all of it"]
