"""Where the embedded node lives, and as whom it runs.

Elasticsearch refuses to run as root, so a node that root starts runs as `nobody`. That user cannot look into a home folder:
everything it needs then lies under a system-wide folder.
"""

from __future__ import annotations

import hashlib
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from driftline.core.errors import NodeError
from driftline.core.paths import ROOT, state_dir

SYSTEM = Path("/var/lib/driftline")
MARK = "DRIFTLINE_NODE"
"""The environment variable by which a node's processes are found again; its value is the node's home."""


@dataclass(frozen=True)
class Places:
    """The folders of one node: `home` holds its data, settings, logs and state; `programs` what it runs (shared)."""

    home: Path
    programs: Path

    @property
    def data(self) -> Path:
        """The indices. They survive restarts."""
        return self.home / "data"

    @property
    def config(self) -> Path:
        """Written anew at each start."""
        return self.home / "config"

    @property
    def logs(self) -> Path:
        """Elasticsearch's own logs and the output of its start."""
        return self.home / "logs"

    @property
    def log(self) -> Path:
        """The log to look into first."""
        return self.logs / "driftline.log"

    @property
    def tmp(self) -> Path:
        """Emptied at each start."""
        return self.home / "tmp"

    @property
    def state(self) -> Path:
        """What the last start left: process, port, address."""
        return self.home / "node.json"

    @property
    def lock(self) -> Path:
        """Held while a node is started or stopped."""
        return self.home / "node.lock"


def is_root() -> bool:
    """Whether we run as root."""
    return os.geteuid() == 0


def places(home: Path | None = None) -> Places:
    """The folders of the node with this home; by default of the one that belongs to the state folder.

    `DRIFTLINE_NODE_DIR` moves home and programs together.
    """
    if home is None and (override := os.environ.get("DRIFTLINE_NODE_DIR")):
        moved = Path(override).expanduser().resolve()
        return Places(moved, moved / "programs")
    return Places(home.resolve() if home else default_home(state_dir()), _programs())


def default_home(state: Path) -> Path:
    """The home of the node that belongs to this state folder: in it, or system-wide when we are root."""
    if not is_root():
        return state.resolve() / "node"
    return SYSTEM / hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:12]


def _programs() -> Path:
    """Shared by all checkouts, so that a second one neither downloads nor unpacks again."""
    if is_root():
        return SYSTEM / "programs"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        cache = ROOT / ".driftline"
    return (cache if os.access(cache, os.W_OK) else state_dir().resolve()) / "driftline"


def run_as() -> dict[str, Any]:
    """What `subprocess` needs so that the child is no root: nothing for an ordinary user.

    Raises:
        NodeError: We are root and there is no user `nobody`.
    """
    if not is_root():
        return {}
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise NodeError(
            "Elasticsearch must not run as root and this system has no user 'nobody'", fix="Run Driftline as an ordinary user."
        ) from None
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def hand_over(folder: Path) -> None:
    """Makes the folder and gives it, with all that is in it, to the user that the node runs as.

    Raises:
        NodeError: It cannot be written.
    """
    owner = run_as()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if owner:
            for path in [folder, *folder.rglob("*")]:
                if path.lstat().st_uid != owner["user"]:
                    os.chown(path, owner["user"], owner["group"], follow_symlinks=False)
        elif not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "it belongs to another user")
    except OSError as error:
        raise NodeError(
            f"the folder cannot be used: {error.strerror or error}",
            where=str(folder),
            fix="Give it to this user, or set DRIFTLINE_NODE_DIR to a folder that can be written.",
        ) from error
