"""Starting, stopping and looking at the embedded node."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import psutil

from driftline.core.errors import NodeError
from driftline.core.processes import carries, locked, marked
from driftline.core.processes import stop as stop_processes
from driftline.elastic.node import checks, config
from driftline.elastic.node.config import NodeOptions
from driftline.elastic.node.distribution import VERSION, distribution, runtime
from driftline.elastic.node.places import MARK, Places, is_root, places, run_as

if TYPE_CHECKING:
    from pathlib import Path

START_SECONDS = 180  # 9 s on two idle cores; a busy laptop with old indices takes longer
STOP_SECONDS = 60  # it flushes what is in memory first
Say = Callable[[str], None]


@dataclass(frozen=True)
class Node:
    """The embedded node as it is now. `url` and `pid` are None when it is not running; `health` when nothing answers."""

    running: bool
    url: str | None
    pid: int | None
    version: str
    data: str
    log: str
    health: str | None = None
    started: bool = False
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self)


def running_url(home: Path | None = None) -> str | None:
    """The running node's address, or None. Cheap: looks at its process, not at its port, which may be anybody's."""
    state = _live_state(places(home))
    return str(state["url"]) if state else None


def status(home: Path | None = None) -> Node:
    """The node as it is now; it is asked for its health."""
    where = places(home)
    state = _live_state(where)
    note = checks.disk_note(where.data)
    notes = [note] if note else []
    if state is None:
        return Node(False, None, None, VERSION, str(where.data), str(where.log), notes=notes)
    health = _health(state["url"], state["auth"], wait="1s")
    if health in {None, "red"}:
        notes.append("It does not answer." if health is None else "Some indices cannot be read (health red).")
    return Node(True, state["url"], state["pid"], state["version"], str(where.data), str(where.log), health, notes=notes)


def start(options: NodeOptions | None = None, say: Say = lambda _: None) -> Node:
    """Starts the node and waits until it serves requests; one that runs already is left as it is.

    Args:
        options: How it differs from the default node.
        say: Told, one sentence a time, what takes long.

    Raises:
        NodeError: The download, the checksum, the disk, the memory, the port or the start itself failed.
    """
    options = options or NodeOptions()
    where = places(options.home)
    _make_home(where)
    with locked(where.lock):
        state = _live_state(where)
        if state and _wait_ready(state, where):
            return status(options.home)
        stop_processes(marked(MARK, str(where.home)), grace=STOP_SECONDS)  # one that hangs, or that a killed start left behind
        notes = _launch(where, options, say)
        now = status(options.home)
    return Node(**{**asdict(now), "started": True, "notes": [*notes, *now.notes]})


def stop(home: Path | None = None) -> bool:
    """Stops the node and waits for its end; kills it when it does not end within a minute. Returns whether one ran."""
    where = places(home)
    if not where.home.is_dir():
        return False
    with locked(where.lock):
        found = marked(MARK, str(where.home))
        stop_processes(found, grace=STOP_SECONDS)
    return bool(found)


def log_lines(number: int, home: Path | None = None) -> list[str]:
    """The last lines of the node's log; of its failed start when there is no log."""
    where = places(home)
    return next((lines for path in (where.log, _output(where)) if (lines := _tail(path, number))), [])


def _make_home(where: Places) -> None:
    """Others must be able to pass through the folders that root makes here, whatever the umask."""
    try:
        missing = [folder for folder in [where.home, *where.home.parents] if not folder.exists()]
        where.home.mkdir(parents=True, exist_ok=True)
        if is_root():
            for folder in missing:
                folder.chmod(0o755)
    except OSError as error:
        raise NodeError(
            f"the folder cannot be made: {error.strerror}",
            where=str(where.home),
            fix="Set DRIFTLINE_NODE_DIR to a folder that can be written.",
        ) from error


def _live_state(where: Places) -> dict[str, Any] | None:
    state = _last_state(where)
    if not state:
        return None
    try:
        process = psutil.Process(state["pid"])
    except psutil.NoSuchProcess:
        return None
    if carries(process, MARK, str(where.home)):
        return state
    return state if _same_age(process, state["created"]) else None


def _same_age(process: psutil.Process, created: float) -> bool:
    """For a process of another user, whose environment cannot be read: a recycled process id has another age."""
    try:
        process.environ()
    except psutil.AccessDenied:
        return bool(abs(process.create_time() - created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
    return False


def _last_state(where: Places) -> dict[str, Any]:
    try:
        state: dict[str, Any] = orjson.loads(where.state.read_bytes())
    except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError):
        return {}
    return state


def _launch(where: Places, options: NodeOptions, say: Say) -> list[str]:
    heap = checks.heap(options.heap)
    checks.need_memory(heap)
    checks.need_disk(where.data, checks.DATA_BYTES, "for its data")
    program, java = distribution(where.programs, say), runtime(where.programs, say)
    port, note = checks.pick_port(_last_state(where).get("port"))
    notes = [note] if note else []
    if is_root():
        notes.append(f"Elasticsearch must not run as root: it runs as 'nobody', its data lies in {where.home}.")
    config.write(where, program, java, port, options)
    say(f"Starting Elasticsearch {VERSION} on port {port} …")
    pid = _run(where, program, java, heap)
    state = {
        "pid": pid,
        "created": psutil.Process(pid).create_time(),
        "port": port,
        "url": f"{options.scheme}://127.0.0.1:{port}",
        "version": VERSION,
        "auth": options.auth,
    }
    where.state.unlink(missing_ok=True)
    where.state.touch(mode=0o600 if options.auth else 0o644)
    where.state.write_bytes(orjson.dumps(state, option=orjson.OPT_INDENT_2))
    if not _wait_ready(state, where):
        raise NodeError(
            f"Elasticsearch runs but is not ready after {START_SECONDS} s",
            where=str(where.log),
            expected="health yellow or green",
            fix=_reason(where),
        )
    return notes


def _run(where: Places, program: Path, java: Path, heap: str) -> int:
    """Runs the launcher, which ends when the server is up (or has failed), and returns the server's process id."""
    pid_file = where.tmp / "pid"
    environment = config.environment(where, java) | {
        MARK: str(where.home),
        "ES_JAVA_OPTS": f"-Xms{heap} -Xmx{heap} -XX:-AlwaysPreTouch",  # touch no memory before it is needed
    }
    with _output(where).open("wb") as output:
        launcher = subprocess.Popen(  # noqa: S603  (our own distribution, no shell)
            [program / "bin" / "elasticsearch", "-d", "-p", pid_file],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            cwd="/", env=environment, start_new_session=True, **run_as(),
        )  # fmt: skip
    try:
        code = launcher.wait(START_SECONDS)
    except subprocess.TimeoutExpired:
        stop_processes(marked(MARK, str(where.home)), grace=5)
        code = None
    if code == 0 and pid_file.exists():
        return int(pid_file.read_text())
    problem = f"did not start within {START_SECONDS} s" if code is None else f"ended while starting (exit code {code})"
    raise NodeError(f"Elasticsearch {problem}", where=str(_output(where)), fix=_reason(where))


def _output(where: Places) -> Path:
    """What the start printed. Beside the logs folder, which belongs to the node's user."""
    return where.home / "start.log"


def _reason(where: Places) -> str:
    """The lines of the start's output, or else of the log, that tell why."""
    lines = _tail(_output(where), 200) or _tail(where.log, 200)
    telling = [
        line for line in lines if re.search(r"ERROR|FATAL|[Ee]xception|[Ee]rror|fatal", line) and not line.startswith("\tat ")
    ]
    return "It says:\n  " + "\n  ".join(line[:300] for line in (telling or lines)[-8:])


def _tail(path: Path, number: int) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - number * 400))
            return file.read().decode(errors="replace").splitlines()[-number:]
    except FileNotFoundError:
        return []


def _wait_ready(state: dict[str, Any], where: Places) -> bool:
    """Waits for health yellow while the process lives."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if _health(state["url"], state["auth"], wait="5s") in {"yellow", "green"}:
            return True
        if not psutil.pid_exists(state["pid"]):
            raise NodeError("Elasticsearch ended after its start", where=str(where.log), fix=_reason(where))
        time.sleep(0.2)
    return False


def _health(url: str, auth: list[str] | None, wait: str) -> str | None:
    """`green`, `yellow`, `red`, or None when nothing answers."""
    import httpx

    try:
        answer = httpx.get(
            f"{url}/_cluster/health",
            params={"wait_for_status": "yellow", "timeout": wait},
            auth=(auth[0], auth[1]) if auth else None,
            timeout=20,
            verify=False,  # noqa: S501  (the node's own certificate, on the loopback address; only its health is asked)
            trust_env=False,
        )
        return str(answer.json()["status"])
    except (httpx.HTTPError, ValueError, KeyError):
        return None
