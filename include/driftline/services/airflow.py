"""Airflow on this machine: `airflow standalone`, started detached, looked after by its process mark and its health."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import psutil

from driftline.core.errors import ServiceError
from driftline.core.paths import state_dir
from driftline.core.processes import carries, free_port, marked, spare_ports
from driftline.core.processes import stop as stop_processes
from driftline.services.environment import MARK, airflow_environment, airflow_home, password

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Airflow", "airflow_environment", "start", "status", "stop"]

PARTS = ("scheduler", "dag-processor", "api-server", "triggerer")
START_SECONDS = 240  # 17 to 27 s on two idle cores, the first time twice that (its database is made)
STOP_SECONDS = 15  # it takes about 5 s; with a task running it would wait for what can no longer report to the API server
PATIENCE_SECONDS = 30  # a part that lives but is late (a busy machine) gets this long before all is started anew
LOG_BYTES = 20 * 1024**2


@dataclass(frozen=True)
class Airflow:
    """Airflow as it is now. `parts` tells of each component `healthy`, `unhealthy`, `dead` or (nobody answers) `unknown`."""

    running: bool
    healthy: bool
    url: str | None
    pid: int | None
    log: str
    parts: dict[str, str] = field(default_factory=dict)
    started: bool = False
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self)


def log_file() -> Path:
    """What all of Airflow's components print."""
    return airflow_home() / "standalone.log"


def status() -> Airflow:
    """Airflow as it is now: its processes, and its own word on its health."""
    state, parent = _state(), _parent()
    if parent is None:
        left = bool(marked(MARK, _mark()))
        notes = ["Parts of it were left behind by a crash; 'driftline up' or 'driftline down' cleans up."] if left else []
        return Airflow(False, False, None, None, str(log_file()), notes=notes)
    parts = _parts(parent, state["url"])
    healthy = all(word == "healthy" for word in parts.values())
    return Airflow(True, healthy, state["url"], parent.pid, str(log_file()), parts)


def dead_parts() -> list[str]:
    """The components whose process is gone. Cheap: nothing is asked over the network."""
    parent = _parent()
    return sorted(set(PARTS) - _living_parts(parent)) if parent else ["main process"]


def start(cluster_url: str | None, say: Callable[[str], None] = lambda _: None) -> Airflow:
    """Starts Airflow and waits until all its parts are healthy.

    One that is healthy and has the same settings is left as it is; otherwise whatever runs of it is stopped first.

    Args:
        cluster_url: The embedded Elasticsearch, or None for the user's own.
        say: Told, one sentence a time, what takes long.

    Raises:
        ServiceError: No free port, or it does not come up.
    """
    why = _why_restart(cluster_url)
    if why is None:
        return status()
    if stop():
        say(f"Airflow is started anew: {why}.")
    notes = _launch(cluster_url, say)
    _wait_healthy()
    (airflow_home() / "database-made").touch()
    return Airflow(**{**asdict(status()), "started": True, "notes": notes})


def stop() -> bool:
    """Stops Airflow and whatever a crash left of it. Returns whether anything ran."""
    parent = _parent()
    if parent is not None:
        # Standalone ends its parts on SIGINT only; SIGTERM would leave them behind.
        stop_processes([parent], grace=STOP_SECONDS, first=signal.SIGINT)
    left = marked(MARK, _mark())
    stop_processes(left, grace=10)
    _state_file().unlink(missing_ok=True)
    return bool(parent or left)


def log_tail(number: int = 30) -> str:
    """The end of the log, for an error message."""
    try:
        lines = log_file().read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n  ".join(line[:300] for line in lines[-number:])


def _mark() -> str:
    return str(state_dir().resolve())


def _state_file() -> Path:
    return airflow_home() / "standalone.json"


def _state() -> dict[str, Any]:
    try:
        state: dict[str, Any] = orjson.loads(_state_file().read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    return state


def _parent() -> psutil.Process | None:
    """The process that we started, if it is still the same one."""
    try:
        process = psutil.Process(_state()["pid"])
    except (KeyError, psutil.NoSuchProcess):
        return None
    return process if carries(process, MARK, _mark()) else None


def _parts(parent: psutil.Process, url: str) -> dict[str, str]:
    alive = _living_parts(parent)
    said = _health(url)
    return {part: "dead" if part not in alive else said.get(part, "unknown") for part in PARTS}


def _living_parts(parent: psutil.Process) -> set[str]:
    living = set()
    for child in parent.children():
        try:
            # Empty for a zombie: standalone does not notice that a part has died. A title spells `api_server`.
            words = " ".join(child.cmdline()).replace("_", "-")
        except psutil.Error:
            continue
        living |= {part for part in PARTS if part in words}
    return living


def _health(url: str) -> dict[str, str]:
    """What the API server says of each part; nothing when it does not answer."""
    import httpx

    try:
        told = httpx.get(f"{url}/api/v2/monitor/health", timeout=10, trust_env=False).json()
        words = {part: told.get(part.replace("-", "_")) or {} for part in PARTS}
    except (httpx.HTTPError, ValueError):
        return {}
    return {"api-server": "healthy"} | {part: str(word["status"]) for part, word in words.items() if word.get("status")}


def _why_restart(cluster_url: str | None) -> str | None:
    """Why what runs will not do; None when it will."""
    parent, state = _parent(), _state()
    if parent is None:
        return "parts were left behind by a crash"
    if state["fingerprint"] != _fingerprint(state["port"], tuple(state["log_ports"]), cluster_url):
        return "its settings have changed"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        parts = _parts(parent, state["url"])
        dead = [part for part, word in parts.items() if word == "dead"]
        if dead:
            return f"{' and '.join(dead)} died"
        ill = [part for part, word in parts.items() if word != "healthy"]
        if not ill:
            return None
        if time.monotonic() > deadline:
            return f"{' and '.join(ill)} did not get healthy"
        time.sleep(0.5)


def _fingerprint(port: int, log_ports: tuple[int, int], cluster_url: str | None) -> str:
    """Of all settings that Airflow reads once, when it starts."""
    environment = airflow_environment(port=port, log_ports=log_ports, cluster_url=cluster_url)
    telling = {key: value for key, value in environment.items() if key.startswith(("AIRFLOW", "DRIFTLINE"))}
    return hashlib.sha256(orjson.dumps(telling, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _launch(cluster_url: str | None, say: Callable[[str], None]) -> list[str]:
    port, note = _pick_port()
    served, triggered = spare_ports(2)
    log_ports = (served, triggered)
    environment = airflow_environment(port=port, log_ports=log_ports, cluster_url=cluster_url)
    home = airflow_home()
    if not (home / "database-made").exists():
        # A first start that was killed leaves half a database, which no later one can mend. Nothing is in it yet.
        for leftover in home.glob("airflow.db*"):
            leftover.unlink()
    _rotate(log_file())
    password()  # made before Airflow looks for it: it would make one of its own and print it to the log
    program = shutil.which("airflow", path=environment["PATH"])
    if program is None:
        raise ServiceError("the program 'airflow' is not there", fix="Run 'make env'.")
    say(f"Starting Airflow on port {port} …")
    with log_file().open("ab") as log, _interruptible():
        process = subprocess.Popen(  # noqa: S603  (our own environment's program, no shell)
            [program, "standalone"], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            cwd=home, env=environment, start_new_session=True,
        )  # fmt: skip
    state = {
        "pid": process.pid,
        "port": port,
        "log_ports": log_ports,
        "url": f"http://127.0.0.1:{port}",
        "fingerprint": _fingerprint(port, log_ports, cluster_url),
    }
    fresh = _state_file().with_suffix(".new")
    fresh.write_bytes(orjson.dumps(state))
    fresh.replace(_state_file())
    return [note] if note else []


def _pick_port() -> tuple[int, str | None]:
    text = os.environ.get("DRIFTLINE_AIRFLOW_PORT") or "8080"
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ServiceError(f"'{text}' is no port", where="DRIFTLINE_AIRFLOW_PORT", expected="a number from 1 to 65535")
    wanted = int(text)
    port = free_port(wanted)
    if port is None:
        raise ServiceError(f"no free port from {wanted} on", where="DRIFTLINE_AIRFLOW_PORT", fix="Set it to a free one.")
    return port, None if port == wanted else f"Port {wanted} is taken by another program; Airflow uses {port}."


@contextmanager
def _interruptible() -> Iterator[None]:
    """A shell's background job ignores SIGINT and so would its children, which could then not be stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _rotate(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".1.log"))


def _wait_healthy() -> None:
    deadline = time.monotonic() + START_SECONDS
    parts: dict[str, str] = {}
    while time.monotonic() < deadline:
        now = status()
        if now.healthy:
            return
        if not now.running:
            raise ServiceError("Airflow ended while starting", where=str(log_file()), fix=f"It says:\n  {log_tail()}")
        parts = now.parts
        time.sleep(0.5)
    ill = ", ".join(f"{part} {word}" for part, word in parts.items() if word != "healthy")
    raise ServiceError(
        f"Airflow is not healthy after {START_SECONDS} s ({ill})", where=str(log_file()), fix=f"It says:\n  {log_tail()}"
    )
