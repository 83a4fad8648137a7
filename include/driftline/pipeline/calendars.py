"""Calendars and filters: in files under version control, and in the index `driftline-jobs`; which of them a job needs."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import orjson
from elasticsearch import NotFoundError

from driftline.core.definition import from_yaml
from driftline.core.errors import DefinitionError
from driftline.core.feedback import Verdict
from driftline.core.paths import calendars_dir, filters_dir
from driftline.core.rules import ALL, Calendar, Filter, Known, about
from driftline.core.timespan import iso
from driftline.elastic import changes, feedback
from driftline.elastic.client import explained
from driftline.elastic.indices import JOBS, ensure_templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job

Kind = Literal["calendar", "filter"]
MODELS: dict[Kind, type[Calendar | Filter]] = {"calendar": Calendar, "filter": Filter}
FOLDERS = {"calendar": calendars_dir, "filter": filters_dir}
MOST = 10_000
C = TypeVar("C", Calendar, Filter)
_WORDS = re.compile(r"[^\s,\[\]{}\"']+")
_OF_ELASTIC = {"event_id", "calendar_id"}  # in its scheduled events


def kind_of(model: type[Calendar] | type[Filter]) -> Kind:
    """Of which kind definitions of a model are."""
    return "calendar" if model is Calendar else "filter"


@dataclass(frozen=True)
class Stored:
    """A calendar or filter as it was found.

    Attributes:
        kind: Which of the two.
        id: Its identifier; the file's name without its ending where the definition cannot be read.
        origin: file or index.
        where: The file, or the document.
        definition: It, or None when it is broken.
        error: Why it is broken, or None.
    """

    kind: Kind
    id: str
    origin: Literal["file", "index"]
    where: str
    definition: Calendar | Filter | None
    error: str | None

    def as_dict(self) -> dict[str, Any]:
        """It for machines: the definition, or its id and why it is broken."""
        definition = self.definition.as_dict() if self.definition else {f"{self.kind}_id": self.id, "error": self.error}
        return {"origin": self.origin, **definition}


def stored(client: Elasticsearch | None = None) -> list[Stored]:
    """All calendars and filters, broken ones too; files win over the index where both have an id."""
    found: dict[tuple[str, str], Stored] = {}
    for one in [*_files(), *(_indexed(client) if client is not None else ())]:
        found.setdefault((one.kind, one.id), one)
    return sorted(found.values(), key=lambda one: (one.kind, one.id))


def known(client: Elasticsearch | None, job: Job) -> Known:
    """What a job's rules refer to, and what was said of its records.

    Raises:
        DefinitionError: A broken one may be about the job. Without it, something would be an anomaly that is none.
    """
    entries = [*_files(job), *(_indexed(client, job) if client is not None else ())]
    if broken := next((one for one in entries if one.error), None):
        raise DefinitionError(str(broken.error))
    first = {(one.kind, one.id): one.definition for one in reversed(entries)}
    found = [first[name] for name in sorted(first)]
    filters = {one.filter_id: tuple(one.items) for one in found if isinstance(one, Filter)}
    calendars = tuple(one for one in found if isinstance(one, Calendar) and one.concerns(job))
    said = feedback.of_job(client, job.job_id, revoked=False) if client is not None else []
    return Known(filters, calendars, tuple(Verdict.of(each["_id"], each) for each in said))


def _files(job: Job | None = None) -> Iterator[Stored]:
    """Those of files; of broken ones all, or what may be about a job: they take nothing away from the other jobs."""
    for kind, model in MODELS.items():
        folder = FOLDERS[kind]()
        for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
            try:
                one = model.load(path)
                yield Stored(kind, getattr(one, f"{kind}_id"), "file", str(path), one, None)
            except DefinitionError as error:
                if job is None or _may_concern(job, kind, path.stem, _broken(path)):
                    yield Stored(kind, path.stem, "file", str(path), None, str(error))


def _broken(path: Path) -> Mapping[str, Any]:
    """What a broken file says all the same; where it is no YAML either, each of its words may name a job."""
    try:
        text = path.read_text(encoding="utf-8")
        found = from_yaml(text, str(path))
    except DefinitionError:
        return {"job_ids": _WORDS.findall(text)}
    except (OSError, UnicodeDecodeError):
        return {"job_ids": [ALL]}
    return found if isinstance(found, Mapping) else {}


def _indexed(client: Elasticsearch, job: Job | None = None) -> Iterator[Stored]:
    """Those of the index, all or what may be about a job."""
    with explained(f"index {JOBS}"):
        query = {"terms": {"kind": list(MODELS)}}
        hits = client.search(index=JOBS, size=MOST, query=query, ignore_unavailable=True)["hits"]["hits"]
    for hit in hits:
        kind, name, where = hit["_source"]["kind"], hit["_source"]["id"], f"{JOBS}/{hit['_id']}"
        definition = hit["_source"]["definition"]
        if job is None or _may_concern(job, kind, name, definition):
            try:
                yield Stored(kind, name, "index", where, MODELS[kind].parse(definition, where=where, stored=True), None)
            except DefinitionError as error:
                yield Stored(kind, name, "index", where, None, str(error))


def _may_concern(job: Job, kind: Kind, name: str, definition: Mapping[str, Any]) -> bool:
    if kind == "calendar":
        ids = definition.get("job_ids", [])
        return not isinstance(ids, list) or about(job, ids)
    name = definition.get("filter_id", name)
    return any(scope.filter_id == name for each in job.detectors for rule in each.custom_rules for scope in rule.scope.values())


def read(kind: Kind, path: Path, **given: Any) -> list[Calendar | Filter]:  # noqa: ANN401 - fields of the definition
    """The calendars or filters of a file: YAML, JSON as Elastic's API takes or gives it, or an iCalendar.

    Args:
        kind: Which of the two.
        path: The file. Without an id in it, its name is the id.
        given: Fields that the file does not say.

    Raises:
        DefinitionError: The file cannot be read, or does not say what it must.
    """
    where, name = str(path), path.stem.lower()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"the file cannot be read: {error}", where=where) from None
    data = {"ical": text} if path.suffix == ".ics" and kind == "calendar" else from_yaml(text, where)
    many = data.get(f"{kind}s") if isinstance(data, Mapping) else data
    entries = many if isinstance(many, list) else [data]
    return [MODELS[kind].parse(_plain(kind, each, name, given), where=where) for each in entries]


def _plain(kind: Kind, data: object, name: str, given: dict[str, Any]) -> object:
    if not isinstance(data, Mapping):
        return data
    out = {f"{kind}_id": name, **data, **{field: value for field, value in given.items() if value}}
    events = out.get("events")
    if isinstance(events, list):
        out["events"] = [
            {field: value for field, value in event.items() if field not in _OF_ELASTIC} if isinstance(event, Mapping) else event
            for event in events
        ]
    return out


def save(client: Elasticsearch, one: Calendar | Filter) -> str:
    """Stores a calendar or filter in the index, and returns its id. From now on runs go by it."""
    document = as_document(one)
    kind, name = document["kind"], str(document["id"])
    ensure_templates(client)
    with explained(f"{kind} {name}"):
        client.index(index=JOBS, id=f"{kind}:{name}", document=document, refresh="wait_for")
    return name


def change(client: Elasticsearch, model: type[C], name: str, changed: Callable[[C], dict[str, Any]]) -> C:
    """Changes a calendar or filter of the index, also while others do.

    Args:
        client: The cluster.
        model: Which of the two.
        name: Its identifier.
        changed: Gives the new definition; asked again where somebody else's change came first.

    Raises:
        DefinitionError: There is none, or its new definition is wrong.
    """
    kind = kind_of(model)

    def fresh(stored: dict[str, Any] | None) -> dict[str, Any]:
        if stored is None:
            raise DefinitionError(f"there is no {kind} '{name}'")
        before = model.parse(stored["definition"], where=f"{JOBS}/{kind}:{name}", stored=True)
        return as_document(model.parse(changed(before), where=kind))

    document = changes.change(client, JOBS, f"{kind}:{name}", fresh, refresh="wait_for")
    return model.parse((document or {})["definition"], where=kind)


def as_document(one: Calendar | Filter) -> dict[str, Any]:
    """A calendar or filter as the index has it."""
    kind = kind_of(type(one))
    definition = orjson.loads(one.model_dump_json())
    return {"id": definition[f"{kind}_id"], "kind": kind, "updated": iso(datetime.now(UTC)), "definition": definition}


def delete(client: Elasticsearch, kind: Kind, name: str) -> None:
    """Deletes a calendar or filter of the index.

    Raises:
        DefinitionError: There is none, or it is a file: that is under version control, so it is for its owner to remove.
    """
    found = {one.id: one for one in stored(client) if one.kind == kind}
    if name not in found:
        near = difflib.get_close_matches(name, list(found), n=1)
        raise DefinitionError(f"there is no {kind} '{name}'", fix=f"Did you mean '{near[0]}'?" if near else "")
    if found[name].origin == "file":
        raise DefinitionError(f"{kind} '{name}' is defined in a file", where=found[name].where, fix="Remove the file.")
    with explained(f"{kind} {name}"), contextlib.suppress(NotFoundError):
        client.delete(index=JOBS, id=f"{kind}:{name}", refresh="wait_for")
