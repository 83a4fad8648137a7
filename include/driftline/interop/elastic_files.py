"""Files of Elastic's and loudml's: which is a job, a datafeed or a manifest, and which datafeed belongs to which job."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from driftline.core.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PLACEHOLDER = "JOB_ID"


@dataclass
class Found:
    """A job as it lies in files.

    Attributes:
        path: The job's file.
        job: Its JSON.
        datafeed: The datafeed's JSON; None where there is none.
        job_id: Its id: its own, the manifest's, or the file's name.
        notes: What a reader should know of the files.
        index_pattern: What the module's manifest reads by default.
        origin: Whose it is; one of loudml's is all in `job`.
    """

    path: Path
    job: dict[str, Any]
    job_id: str
    datafeed: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    index_pattern: str | None = None
    origin: Literal["elastic", "loudml"] = "elastic"


@dataclass
class Other:
    """A file that is no job: `error` says what is wrong with it, None for what is merely something else."""

    path: Path
    error: str | None = None


@dataclass
class _Parsed:
    path: Path
    data: dict[str, Any]
    notes: list[str]


def find_jobs(paths: Iterable[Path]) -> tuple[list[Found], list[Other]]:
    """The jobs in files and folders (all `.json` below them), each with its datafeed, and what is none.

    Of Elastic's files: a job, a datafeed, lists of them, what its API and Kibana's answer and export, and modules.

    Raises:
        DefinitionError: There is no such file or folder.
    """
    jobs: list[Found] = []
    models: list[Found] = []
    feeds: list[_Parsed] = []
    manifests: list[_Parsed] = []
    others: list[Other] = []
    for path in _files(paths):
        try:
            parts = list(_parsed(path))
        except ValueError as error:
            others.append(Other(path, f"not valid JSON: {error}"))
            continue
        for part in parts:
            if "analysis_config" in part.data:
                job_id = str(part.data.get("job_id") or path.stem)
                jobs.append(Found(path, part.data, job_id, _own_feed(part.data), part.notes))
            elif is_model(part.data):
                models.append(Found(path, part.data, str(part.data["name"]), None, part.notes, origin="loudml"))
            elif "indices" in part.data or "indexes" in part.data:
                feeds.append(part)
            elif isinstance(part.data.get("jobs"), list):
                manifests.append(part)
            else:
                others.append(Other(path))
        if not parts:
            others.append(Other(path))
    used = _pair(jobs, feeds, manifests)
    others += [Other(feed.path, None if number in used else "a datafeed without a job") for number, feed in enumerate(feeds)]
    others += [Other(manifest.path) for manifest in manifests]
    return [*jobs, *models], others


def is_model(data: Mapping[str, Any]) -> bool:
    """Whether an object says that it is one of loudml's models, however well."""
    return "name" in data and "index" in data and ("features" in data or "bucket_interval" in data)


def _files(paths: Iterable[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found |= dict.fromkeys(sorted(path.rglob("*.json")))
        elif path.is_file():
            found[path] = None
        else:
            raise DefinitionError("there is no such file or folder", where=str(path))
    return list(found)


def _parsed(path: Path) -> Iterator[_Parsed]:
    """The objects in a file: one, a list of them, or what Kibana exports (`job` and `datafeed` side by side)."""
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error}") from None
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    if not text:
        return
    try:
        data, end = json.JSONDecoder().raw_decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    notes = []
    if rest := text[end:].strip():
        if rest.strip("}] \n\t"):
            raise ValueError(f"there is more after the end of the first object, at character {end}")
        notes.append(f"the file ends with {rest!r} too many, which is ignored")
    for entry in data if isinstance(data, list) else [data]:
        for whole in _objects(entry):
            yield _Parsed(path, whole, list(notes))


def _objects(entry: object) -> Iterator[dict[str, Any]]:
    """The jobs and datafeeds in what an API answers or exports; anything else as it is."""
    if not isinstance(entry, Mapping):
        return
    job, feed, config = entry.get("job"), entry.get("datafeed"), entry.get("config")
    if isinstance(job, Mapping) and "analysis_config" in job:
        yield {**job, **({"datafeed_config": feed} if isinstance(feed, Mapping) else {})}
    elif isinstance(config, Mapping) and "analysis_config" in config:
        yield {"job_id": entry.get("id"), **config}
    elif isinstance(config, Mapping) and ("indices" in config or "indexes" in config):
        yield {"datafeed_id": entry.get("id"), **config}
    elif inline := [each for name in ("jobs", "datafeeds") for each in _mappings(entry.get(name)) if "file" not in each]:
        yield from (found for each in inline for found in _objects(each))
    else:
        yield dict(entry)


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _own_feed(job: dict[str, Any]) -> dict[str, Any] | None:
    feed = job.get("datafeed_config")
    return dict(feed) if isinstance(feed, Mapping) else None


def _pair(jobs: list[Found], feeds: list[_Parsed], manifests: list[_Parsed]) -> set[int]:
    """Gives each job its datafeed: by the manifest, by job id, by file name, or as the only one of its folder.

    Returns:
        The numbers of the datafeeds that have a job.
    """
    named: dict[Path, str] = {}
    for manifest in manifests:
        entries = [(entry.get("file"), entry.get("id")) for entry in _mappings(manifest.data["jobs"])]
        entries += [(entry.get("file"), entry.get("job_id")) for entry in _mappings(manifest.data.get("datafeeds"))]
        paths = ((_beside(manifest.path, name, jobs, feeds), job_id) for name, job_id in entries)
        named |= {path: str(job_id) for path, job_id in paths if path}
    for job in jobs:
        job.job_id = named.get(job.path, job.job_id)
        for manifest in manifests:
            if manifest.path.parent in job.path.parents:
                pattern = manifest.data.get("defaultIndexPattern")
                job.index_pattern = pattern if isinstance(pattern, str) else None
    used: set[int] = set()
    for number, feed in enumerate(feeds):
        owner = _owner(feed, jobs, named, feeds)
        if owner is not None and owner.datafeed is None:
            owner.datafeed = feed.data
            owner.notes += feed.notes
            used.add(number)
    return used


def _owner(feed: _Parsed, jobs: list[Found], named: dict[Path, str], feeds: list[_Parsed]) -> Found | None:
    stated = feed.data.get("job_id")
    wanted = named.get(feed.path) or (str(stated) if stated and stated != PLACEHOLDER else None)
    if wanted is None:
        wanted = re.sub(r"^datafeed[-_]?", "", str(feed.data.get("datafeed_id") or feed.path.stem))
    same = [job for job in jobs if job.job_id == wanted]
    near = [job for job in same if job.path.parent == feed.path.parent] or same
    if near:
        return near[0]
    here = [job for job in jobs if job.path.parent == feed.path.parent]
    alone = sum(other.path.parent == feed.path.parent for other in feeds) == 1
    return here[0] if len(here) == 1 and alone else None


def _beside(manifest: Path, name: object, jobs: list[Found], feeds: list[_Parsed]) -> Path | None:
    """The file that a manifest names: one of those that were given, below the manifest's folder; a name is never opened."""
    paths = [job.path for job in jobs] + [feed.path for feed in feeds]
    return next((path for path in paths if path.name == name and manifest.parent in path.parents), None)
