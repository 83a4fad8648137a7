"""What must be free before the node starts: disk, memory, a port. Each says what is missing and how to help."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import psutil

from driftline.core.errors import NodeError
from driftline.core.processes import free_port

DATA_BYTES = 600 * 1024**2  # the low watermark that we set: below it Elasticsearch places no shard
OVERHEAD_BYTES = 400 * 1024**2  # what the process takes beside its heap: metaspace, threads, network buffers
CGROUP = Path("/sys/fs/cgroup")
DEFAULT_PORT = 9200


def need_disk(folder: Path, needed: int, purpose: str) -> None:
    """Raises `NodeError` when the folder's disk has less than `needed` bytes free."""
    free = shutil.disk_usage(_existing(folder)).free
    if free < needed:
        raise NodeError(
            f"the disk is nearly full: {_mb(free)} free",
            where=str(folder),
            expected=f"{_mb(needed)} {purpose}",
            fix="Free some space, or set DRIFTLINE_NODE_DIR to a folder on another disk.",
        )


def disk_note(folder: Path) -> str | None:
    """A warning when little is left, since Elasticsearch stops writing when the disk is full."""
    free = shutil.disk_usage(_existing(folder)).free
    if free > 4 * DATA_BYTES:
        return None
    return (
        f"Only {_mb(free)} are free on the disk of {folder}: below 600 MB no index can be made, below 200 MB writes are refused."
    )


def _existing(folder: Path) -> Path:
    return next(path for path in [folder, *folder.parents] if path.exists())


def heap(text: str | None = None) -> str:
    """The heap's size as the JVM wants it: `DRIFTLINE_NODE_HEAP`, by default 1g.

    Raises:
        NodeError: It is no size.
    """
    text = text or os.environ.get("DRIFTLINE_NODE_HEAP") or "1g"
    if not re.fullmatch(r"[1-9]\d*[mgMG]", text):
        raise NodeError(f"'{text}' is no size", where="DRIFTLINE_NODE_HEAP", expected="a number with m or g, such as 512m or 2g")
    return text.lower()


def need_memory(heap_size: str) -> None:
    """Raises `NodeError` when heap and overhead do not fit in what is available."""
    needed = int(heap_size[:-1]) * 1024 ** {"m": 2, "g": 3}[heap_size[-1]] + OVERHEAD_BYTES
    available = available_memory()
    if available < needed:
        raise NodeError(
            f"too little memory: {_mb(available)} available",
            where="DRIFTLINE_NODE_HEAP",
            expected=f"{_mb(needed)} for a heap of {heap_size}",
            fix="Close something, or set DRIFTLINE_NODE_HEAP=512m.",
        )


def available_memory() -> int:
    """Bytes that a new process can take: the machine's, or the container's where that is less."""
    available = int(psutil.virtual_memory().available)
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
        cache = re.search(r"^inactive_file (\d+)", (CGROUP / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return available
    if limit == "max":
        return available
    return min(available, int(limit) - used + (int(cache[1]) if cache else 0))


def wanted_port() -> int:
    """`DRIFTLINE_NODE_PORT`, by default 9200.

    Raises:
        NodeError: It is no port.
    """
    text = os.environ.get("DRIFTLINE_NODE_PORT") or str(DEFAULT_PORT)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise NodeError(f"'{text}' is no port", where="DRIFTLINE_NODE_PORT", expected="a number from 1 to 65535")
    return int(text)


def pick_port(last: int | None) -> tuple[int, str | None]:
    """A free port and, when it is not the wanted one, a note.

    The port of the last run comes first, so that addresses stay as they are; a port set in the environment before all.

    Raises:
        NodeError: A hundred ports in a row are taken.
    """
    wanted = wanted_port()
    if last and not os.environ.get("DRIFTLINE_NODE_PORT"):
        wanted = last
    port = free_port(wanted)
    if port is None:
        raise NodeError(
            f"no free port from {wanted} to {wanted + 99}",
            where="DRIFTLINE_NODE_PORT",
            fix="Set DRIFTLINE_NODE_PORT to a free one.",
        )
    return port, None if port == wanted else f"Port {wanted} is taken by another program; using {port}."


def _mb(number: int) -> str:
    return f"{number / 1024**2:,.0f} MB"
