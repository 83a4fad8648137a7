"""Where things lie. Every place can be moved by an environment variable; the defaults suit a checkout."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING
from uuid import uuid4

from driftline.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parents[3]
"""The folder that holds dags/, plugins/ and include/."""


def _place(variable: str, default: Path) -> Path:
    return Path(os.environ[variable]).expanduser() if os.environ.get(variable) else default


def state_dir() -> Path:
    """Everything that running leaves behind: node, Airflow's home, staging, reports. `DRIFTLINE_STATE_DIR`."""
    return _place("DRIFTLINE_STATE_DIR", ROOT / ".driftline")


def jobs_dir() -> Path:
    """Job files. `DRIFTLINE_JOBS_DIR`, by default include/jobs."""
    return _place("DRIFTLINE_JOBS_DIR", ROOT / "include" / "jobs")


def sources_dir() -> Path:
    """Source files. `DRIFTLINE_SOURCES_DIR`, by default include/sources."""
    return _place("DRIFTLINE_SOURCES_DIR", ROOT / "include" / "sources")


def calendars_dir() -> Path:
    """Calendar files. `DRIFTLINE_CALENDARS_DIR`, by default include/calendars."""
    return _place("DRIFTLINE_CALENDARS_DIR", ROOT / "include" / "calendars")


def filters_dir() -> Path:
    """Filter files. `DRIFTLINE_FILTERS_DIR`, by default include/filters."""
    return _place("DRIFTLINE_FILTERS_DIR", ROOT / "include" / "filters")


def alerts_dir() -> Path:
    """Alert files. `DRIFTLINE_ALERTS_DIR`, by default include/alerts."""
    return _place("DRIFTLINE_ALERTS_DIR", ROOT / "include" / "alerts")


def analytics_dir() -> Path:
    """Files of analyses. `DRIFTLINE_ANALYTICS_DIR`, by default include/analytics."""
    return _place("DRIFTLINE_ANALYTICS_DIR", ROOT / "include" / "analytics")


def signatures_dir() -> Path:
    """Files of signatures. `DRIFTLINE_SIGNATURES_DIR`, by default include/signatures."""
    return _place("DRIFTLINE_SIGNATURES_DIR", ROOT / "include" / "signatures")


def modules_dir() -> Path:
    """Folders of ready jobs. `DRIFTLINE_MODULES_DIR`, by default include/modules."""
    return _place("DRIFTLINE_MODULES_DIR", ROOT / "include" / "modules")


def own_run(run: str | None, kind: str = "cli") -> str:
    """The id of a run: as given, or one of its own, so that no other stages its files in the same place."""
    return run or f"{kind}-{time.time_ns():x}"


def staging_uri(*parts: str) -> str:
    """A place in the staging area, an fsspec URI. `DRIFTLINE_STAGING` may be s3://…, gs://… or a shared folder."""
    base = os.environ.get("DRIFTLINE_STAGING") or str(state_dir() / "staging")
    return "/".join([base.rstrip("/"), *parts])


@contextmanager
def whole(uri: str) -> Iterator[IO[bytes]]:
    """A new file at an fsspec URI, open for bytes. It appears whole or not at all, also where two write it at once."""
    import fsspec  # a DAG file needs paths, but no files

    part = f"{uri}.{uuid4().hex[:8]}.part"
    filesystem, path = fsspec.core.url_to_fs(part)
    try:
        with fsspec.open(part, "wb", auto_mkdir=True) as file:
            yield file
    except BaseException:
        if filesystem.exists(path):
            filesystem.rm_file(path)
        raise
    filesystem.mv(path, path.removesuffix(part.removeprefix(uri)))


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A new file beside a local one, whose place it takes once it is whole; what is no file, as a pipe, is itself written."""
    if os.path.exists(path) and not os.path.isfile(path):
        yield Path(path)
        return
    target = Path(os.path.realpath(path))  # a link stays one
    part = target.with_name(f".{os.getpid()}.part{Path(path).suffix}")  # the ending says how to pack
    try:
        yield part
        os.replace(part, target)
    finally:
        with suppress(OSError):
            part.unlink()


def keep_apart(read: Iterable[str | Path], written: Iterable[str | Path]) -> None:
    """Makes sure that what is to be written replaces nothing that is read, and nothing else that is written.

    Raises:
        DataError: It would.
    """
    data = {_identity(path) for path in read if os.path.exists(path)}
    results: set[object] = set()
    for path in written:
        if os.path.exists(path) and not os.path.isfile(path):
            continue  # a pipe takes everything
        file = _identity(path)
        if file in data or file in results:
            what = "the results would replace the data" if file in data else "two results would be written to one file"
            raise DataError(what, where=str(path), fix="Give another name.")
        results.add(file)


def _identity(path: str | Path) -> object:
    """What two names of one file have in common."""
    if not os.path.exists(path):
        return os.path.realpath(path)
    found = os.stat(path)
    return found.st_dev, found.st_ino
