"""Jobs, sources and analyses as definitions: in files under version control, and in the index `driftline-jobs`."""

from __future__ import annotations

import contextlib
import difflib
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import yaml
from elasticsearch import NotFoundError

from driftline.core.analysis import Analysis
from driftline.core.definition import Definition, identifier
from driftline.core.errors import ClusterError, DefinitionError, DriftlineError, TakenError
from driftline.core.job import Job
from driftline.core.paths import analytics_dir, jobs_dir, signatures_dir, sources_dir
from driftline.core.signature import Signatures
from driftline.core.source import Source
from driftline.core.timespan import iso
from driftline.elastic import results, snapshots, state, trained
from driftline.elastic.client import explained
from driftline.elastic.indices import ANNOTATIONS, FEEDBACK, FORECASTS, JOBS, QUALITY, RESULTS, RUNS, ensure_templates
from driftline.pipeline import unfinished
from driftline.pipeline.calendars import known

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from elasticsearch import Elasticsearch


Kind = Literal["job", "source", "analytics", "signatures"]
D = TypeVar("D", bound=Definition)
# Of each kind: where its files are, what they hold, and the field with its id.
_KINDS: dict[Kind, tuple[Callable[[], Path], type[Definition], str]] = {
    "job": (jobs_dir, Job, "job_id"),
    "source": (sources_dir, Source, "source_id"),
    "analytics": (analytics_dir, Analysis, "analytics_id"),
    "signatures": (signatures_dir, Signatures, "signature_id"),
}
_STORED: tuple[Kind, ...] = ("job", "analytics", "signatures")  # those that can be in the index
MAX_DEFINITIONS = 10_000
COMMENT = 110  # characters a line of what is written


@dataclass(frozen=True)
class Entry:
    """A job, source or analysis as it was found.

    Attributes:
        id: Its identifier; the file's name without its ending where the definition cannot be read.
        kind: job, source or analytics.
        origin: file or index.
        where: The file, or the document.
        definition: It, or None when it is broken.
        error: Why it is broken, or None.
    """

    id: str
    kind: Kind
    origin: Literal["file", "index"]
    where: str
    definition: Definition | None
    error: str | None


def list_definitions(client: Elasticsearch | None = None) -> list[Entry]:
    """All definitions, broken ones too; files first, which win over the index where both have an id."""
    entries = [entry for kind, (folder, model, _) in _KINDS.items() for entry in _files(kind, folder(), model)]
    taken = {(entry.kind, entry.id): entry for entry in entries}
    for entry in _indexed(client) if client is not None else []:
        taken.setdefault((entry.kind, entry.id), entry)
    found = [_of_its_own(entry, taken.keys()) for entry in taken.values()]
    return sorted(found, key=lambda entry: (entry.kind, entry.id))


def _of_its_own(entry: Entry, taken: Collection[tuple[Kind, str]]) -> Entry:
    """An entry whose DAGs have names of their own: where kinds share an id, it is that of the first of them."""
    owner = _owner(entry.id, taken) or entry.kind
    if entry.kind == "source" or owner == entry.kind:
        return entry
    return replace(entry, definition=None, error=f"{entry.where}: {_KINDS[entry.kind][2]} '{entry.id}' is the id of a {owner}")


def _owner(name: str, taken: Collection[tuple[Kind, str]]) -> Kind | None:
    """Which kind an id belongs to, and so what was learned and found by it."""
    return next((kind for kind in _STORED if (kind, name) in taken), None)


def owners(client: Elasticsearch) -> dict[str, Kind]:
    """The ids that are taken, and by which kind. One of Elastic's jobs that waits for its datafeed is a job, too."""
    taken: set[tuple[Kind, str]] = {(entry.kind, entry.id) for entry in list_definitions(client)}
    taken |= {("job", name) for name in unfinished.names(client)}
    return {name: owner for _, name in taken if (owner := _owner(name, taken))}


def list_jobs(client: Elasticsearch | None = None) -> list[Job]:
    """All jobs that can be read, as they are defined: without the filters, calendars and feedback that they go by."""
    return [entry.definition for entry in list_definitions(client) if isinstance(entry.definition, Job)]


def list_learners(client: Elasticsearch | None = None) -> list[Job | Signatures]:
    """All jobs and signatures that can be read: what has snapshots."""
    return [entry.definition for entry in list_definitions(client) if isinstance(entry.definition, Job | Signatures)]


def _files(kind: Kind, folder: Path, model: type[Definition]) -> list[Entry]:
    entries: dict[str, Entry] = {}
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        entry = _read(kind, path, model)
        if entry.id in entries and entry.definition is not None:
            other = entries[entry.id].where
            entry = Entry(path.stem, kind, "file", str(path), None, f"{path}: {_KINDS[kind][2]} '{entry.id}' is taken by {other}")
        entries.setdefault(entry.id, entry)
    return list(entries.values())


def _read(kind: Kind, path: Path, model: type[Definition]) -> Entry:
    try:
        definition = model.load(path)
    except DriftlineError as error:
        return Entry(path.stem, kind, "file", str(path), None, str(error))
    return Entry(getattr(definition, _KINDS[kind][2]), kind, "file", str(path), definition, None)


def _indexed(client: Elasticsearch) -> list[Entry]:
    with explained(f"index {JOBS}"):
        mine = {"terms": {"kind": list(_STORED)}}
        hits = client.search(index=JOBS, size=MAX_DEFINITIONS, query=mine, ignore_unavailable=True)["hits"]["hits"]
    entries = []
    for hit in hits:
        where, name, kind = f"{JOBS}/{hit['_id']}", hit["_source"]["id"], hit["_source"]["kind"]
        try:
            definition = _KINDS[kind][1].parse(hit["_source"]["definition"], where=where, stored=True)
            entries.append(Entry(name, kind, "index", where, definition, None))
        except DriftlineError as error:
            entries.append(Entry(name, kind, "index", where, None, str(error)))
    return entries


def load_job(job_id: str, client: Elasticsearch | None = None) -> Job:
    """The job of that id, or in the file of that path, with the filters, calendars and feedback that it goes by.

    Raises:
        DefinitionError: There is none (the nearest is named), or it is broken, or one of those is.
    """
    if client is not None and names_file(job_id):
        job = Job.load(Path(job_id), former=partial(stored_job, client))
    else:
        job = _load("job", Job, job_id, client)
    return job.knowing(known(client, job))


def load_source(source_id: str) -> Source:
    """The source of that id, or in the file of that path.

    Raises:
        DefinitionError: There is none (the nearest is named), or it is broken.
    """
    return _load("source", Source, source_id, None)


def load_analysis(analytics_id: str, client: Elasticsearch | None = None) -> Analysis:
    """The analysis of that id, or in the file of that path.

    Raises:
        DefinitionError: There is none (the nearest is named), or it is broken.
    """
    return _load("analytics", Analysis, analytics_id, client)


def list_analyses(client: Elasticsearch | None = None) -> list[Analysis]:
    """All analyses that can be read."""
    return [entry.definition for entry in list_definitions(client) if isinstance(entry.definition, Analysis)]


def load_signatures(signature_id: str, client: Elasticsearch | None = None) -> Signatures:
    """The signatures of that id, or in the file of that path.

    Raises:
        DefinitionError: There are none (the nearest are named), or they are broken.
    """
    return _load("signatures", Signatures, signature_id, client)


def stored_job(client: Elasticsearch, data: object) -> Job | None:
    """The job of the index that a definition changes; None where it is of none, or of one that is broken or a file."""
    name = data.get("job_id") if isinstance(data, Mapping) else None
    try:
        there = [each.definition for each in list_definitions(client) if each.origin == "index" and each.id == name]
    except ClusterError:  # what is wrong with the definition is told all the same; who saves it is told of the cluster then
        return None
    return next((each for each in there if isinstance(each, Job)), None)


def names_file(name: str) -> bool:
    """Whether what is to be loaded is the path of a file, and no id: for those at the command line, never for the web."""
    return Path(name).suffix in {".yaml", ".yml", ".json"}


def _load(kind: Kind, model: type[D], name: str, client: Elasticsearch | None) -> D:
    if names_file(name):
        return model.load(Path(name))
    entry = _find(kind, name, client)
    if not isinstance(entry.definition, model):
        raise DefinitionError(str(entry.error))
    return entry.definition


def _find(kind: Kind, name: str, client: Elasticsearch | None) -> Entry:
    entries = [entry for entry in list_definitions(client) if entry.kind == kind]
    for entry in entries:
        if entry.id == name:
            return entry
    near = difflib.get_close_matches(name, [entry.id for entry in entries], n=1)
    raise DefinitionError(
        f"there is no {kind} '{name}'", where=str(_KINDS[kind][0]()), fix=f"Did you mean '{near[0]}'?" if near else ""
    )


def save(client: Elasticsearch, job: Job) -> None:
    """Stores a job in the index; its DAGs appear within seconds. A job in a file of the same id goes before it.

    It replaces the job that has the id, also one of Elastic's that waits for its datafeed: it has one now.

    Raises:
        TakenError: The id belongs to an analysis, or to signatures: their DAGs would go.
    """
    _require_free(client, "job", job.job_id)
    store(client, "job", job.job_id, job)
    unfinished.drop(client, job.job_id)


def save_analysis(client: Elasticsearch, analysis: Analysis) -> None:
    """Stores an analysis in the index, as `save` does a job.

    Raises:
        TakenError: The id belongs to something else, or to an analysis in a file.
    """
    _require_free(client, "analytics", analysis.analytics_id)
    store(client, "analytics", analysis.analytics_id, analysis)


def save_signatures(client: Elasticsearch, signatures: Signatures) -> None:
    """Stores signatures in the index, as `save` does a job.

    Raises:
        TakenError: The id belongs to something else, or to signatures in a file.
    """
    _require_free(client, "signatures", signatures.signature_id)
    store(client, "signatures", signatures.signature_id, signatures)


def _require_free(client: Elasticsearch, kind: Kind, name: str) -> None:
    owner = owners(client).get(name)
    if owner not in {kind, None}:
        raise TakenError(f"the id '{name}' is taken by {owner}", fix="Choose another.")
    if owner and kind != "job" and (entry := _find(kind, name, client)).origin == "file":
        raise TakenError(f"the id '{name}' is taken", where=entry.where, fix="Choose another.")


def store(client: Elasticsearch, kind: Kind, name: str, definition: Definition) -> None:
    """Stores a definition in the index; its DAGs appear within seconds. One in a file of the same id goes before it."""
    ensure_templates(client)
    document = {"id": name, "kind": kind, "updated": iso(datetime.now(UTC)), "definition": definition.as_dict()}
    with explained(f"{kind} {name}"):
        client.index(index=JOBS, id=f"{kind}:{name}", document=document, refresh="wait_for")


def write(folder: Path, job_id: str, definition: Mapping[str, Any], *, comment: str = "") -> Path:
    """Writes a job file that is named after the job; what is there already is left alone.

    Raises:
        DefinitionError: There is such a file, or the folder cannot be written to.
    """
    path = folder / f"{identifier(job_id)}.yaml"
    lines = "".join(f"# {line}\n" for line in textwrap.wrap(printable(comment), COMMENT))
    text = lines + yaml.safe_dump(dict(definition), sort_keys=False, allow_unicode=True, width=COMMENT)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise DefinitionError("there is a file of that name", where=str(path), fix="Remove it, or use another prefix.") from None
    except OSError as error:
        raise DefinitionError(f"the file cannot be written: {error.strerror}", where=str(path)) from None
    return path


def printable(text: str) -> str:
    """Text from data without what would break a line, or a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def reset(client: Elasticsearch, job_id: str, version: str | None = None, *, kind: Kind | None = None) -> dict[str, int]:
    """Forgets all that a job has learned and found: results, forecasts, snapshots, quality, how far it is scored.

    With `version` only what is of that version; quality reports and annotations are of all.

    Returns:
        Documents removed, by kind.

    Raises:
        DefinitionError: The id belongs to another kind than the one that is meant.
    """
    if kind and (owner := owners(client).get(job_id)) not in {kind, None}:
        raise DefinitionError(
            f"'{job_id}' is the id of a {owner}: what was learned and found by it stays", where=f"{kind} {job_id}"
        )
    mine: dict[str, Any] = {"term": {"job_id": job_id}}
    if version:
        state.forget(client, job_id, version)  # first: what is left of a half reset is then scored again
        mine = {"bool": {"filter": [mine, {"term": {"driftline.job_version": version}}]}}
        ids = [m["snapshot_id"] for m in snapshots.manifests(client, job_id) if m["job_version"] == version]
        return {
            "snapshots": snapshots.delete(client, job_id, ids),
            "results": results.delete(client, f"{RESULTS}-*", mine),
            "forecasts": results.delete(client, f"{FORECASTS}-*", mine),
        }
    removed = {
        "snapshots": snapshots.delete(client, job_id),
        "results": results.delete(client, f"{RESULTS}-*", mine),
        "forecasts": results.delete(client, f"{FORECASTS}-*", mine),
        "quality": results.delete(client, QUALITY, mine),
        "runs": results.delete(client, RUNS, mine),
        "annotations": results.delete(client, ANNOTATIONS, mine),
    }
    state.forget(client, job_id)
    return removed


def delete(client: Elasticsearch, job_id: str, *, kind: Kind = "job") -> dict[str, int]:
    """Deletes a job (or another kind of definition) of the index with all that it has; its DAGs go within seconds.

    Where the id belongs to another kind, what was learned and found by it is of that one, and stays.

    Raises:
        DefinitionError: It is a file: that is under version control, so it is for its owner to remove.
    """
    entry = _find(kind, job_id, client)
    if entry.origin == "file":
        fix = f"Remove the file, then: driftline {'jobs' if kind == 'job' else kind} reset {job_id}"
        raise DefinitionError(f"{kind} '{job_id}' is defined in a file", where=entry.where, fix=fix)
    removed: dict[str, int] = {}
    if owners(client).get(job_id) == kind:
        removed = reset(client, job_id)
        removed["feedback"] = results.delete(client, FEEDBACK, {"term": {"job_id": job_id}})
    undefine(client, job_id, kind)
    if kind == "job":
        unfinished.drop(client, job_id)
    return removed


def undefine(client: Elasticsearch, name: str, kind: Kind = "job") -> None:
    """Takes a definition out of the index, whether it is there or not; what it has learned and found stays."""
    with explained(f"{kind} {name}"), contextlib.suppress(NotFoundError):
        client.delete(index=JOBS, id=f"{kind}:{name}", refresh="wait_for")


def delete_analysis(client: Elasticsearch, analytics_id: str) -> dict[str, int]:
    """Deletes an analysis of the index with its models and reports; the indices that it wrote stay.

    Raises:
        DefinitionError: It is a file: that is under version control, so it is for its owner to remove.
    """
    entry = _find("analytics", analytics_id, client)
    if entry.origin == "file":
        raise DefinitionError(f"analytics '{analytics_id}' is defined in a file", where=entry.where, fix="Remove the file.")
    removed = {"models": trained.delete(client, analytics_id)}
    if owners(client).get(analytics_id) == "analytics":
        mine: dict[str, Any] = {"term": {"job_id": analytics_id}}
        removed |= {"quality": results.delete(client, QUALITY, mine), "runs": results.delete(client, RUNS, mine)}
        state.forget(client, analytics_id)
    undefine(client, analytics_id, "analytics")
    return removed


def as_json(entry: Entry) -> dict[str, Any]:
    """An entry for machines: the definition as plain data, or why it is broken."""
    return {**vars(entry), "definition": entry.definition.as_dict() if entry.definition else None}
