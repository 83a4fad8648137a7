"""One small DAG file for each job and source: written where they differ, removed where they are gone."""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from driftline.pipeline.jobs import Entry

STUB = """# An Airflow DAG file, written by the definitions bundle. The definition lies beside it, under the same name.
from driftline_dags import dags_of

globals().update(dags_of(__file__))
"""


def stub_name(kind: str, name: str) -> str:
    """A safe file name: readable, and made unique by a hash. A definition's own name never becomes a path."""
    readable = re.sub(r"[^a-z0-9]+", "_", name.lower())[:40].strip("_")
    return f"{kind}_{readable}_{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def write_stubs(folder: Path, entries: Iterable[Entry], *, keep_indexed: bool) -> list[str]:
    """Makes the folder hold exactly the stubs of these definitions.

    Args:
        folder: Where the stubs lie.
        entries: All definitions that could be listed.
        keep_indexed: The index could not be asked: stubs that came from it stay as they are.

    Returns:
        The names of the stubs that were written or removed.
    """
    from driftline.pipeline.jobs import as_json

    folder.mkdir(parents=True, exist_ok=True)
    changed = []
    wanted = {}
    for entry in entries:
        wanted[stub_name(entry.kind, entry.id)] = json.dumps(as_json(entry), sort_keys=True, indent=1) + "\n"
    for name, text in wanted.items():
        new = _write(folder / f"{name}.json", text)
        # the processor parses a stub again when the stub changes, so it names the version of its definition
        stub = f"{STUB}# definition {hashlib.sha256(text.encode()).hexdigest()[:16]}\n"
        if _write(folder / f"{name}.py", stub) or new:
            changed.append(name)
    for stale in {path.stem for path in folder.glob("*_*.*") if path.suffix in {".py", ".json"}} - wanted.keys():
        if not (keep_indexed and _origin(folder / f"{stale}.json") == "index"):
            (folder / f"{stale}.py").unlink(missing_ok=True)
            (folder / f"{stale}.json").unlink(missing_ok=True)
            changed.append(stale)
    return sorted(changed)


def _write(path: Path, text: str) -> bool:
    """Writes a file whole or not at all, and only if it differs."""
    try:
        if path.read_text(encoding="utf-8") == text:
            return False
    except FileNotFoundError:
        pass
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return True


def _origin(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["origin"])
    except (FileNotFoundError, ValueError, KeyError):
        return ""
