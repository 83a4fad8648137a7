"""Processes that outlive the command that started them: found again by a mark, never by name, and stopped one by one."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


YOUNG = 2.0  # seconds


def marked(variable: str, value: str) -> list[psutil.Process]:
    """All live processes whose environment holds `variable=value`: they and their children inherited it from us.

    A process of another user cannot be looked into and is passed over: it is none of ours.
    """
    found = []
    for process in psutil.process_iter():
        if process.pid != os.getpid() and carries(process, variable, value):
            found.append(process)
    return found


def carries(process: psutil.Process, variable: str, value: str) -> bool:
    """Whether the live process was started with `variable=value`. A recycled process id is thereby told apart."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE and _environment(process).get(variable) == value
    except (psutil.Error, OSError):
        return False


def _environment(process: psutil.Process) -> dict[str, str]:
    """What a process was started with. One that is just being started shows nothing for a moment, which is waited for."""
    while not (found := process.environ()) and time.time() - process.create_time() < YOUNG:
        time.sleep(0.02)
    return dict(found)


def stop(processes: Sequence[psutil.Process], *, grace: float, first: signal.Signals = signal.SIGTERM) -> list[psutil.Process]:
    """Sends `first`, waits up to `grace` seconds, then kills what is left. Returns those that had to be killed."""
    for process in processes:
        _send(process, first)
    _, alive = psutil.wait_procs(processes, timeout=grace)
    alive = [process for process in alive if _alive(process)]  # a zombie that nobody reaps has ended all the same
    for process in alive:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=10)
    return alive


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether this port can be listened on right now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(wanted: int, *, tries: int = 100) -> int | None:
    """The wanted port or the next free one above it; None when `tries` ports in a row are taken."""
    return next((port for port in range(wanted, min(wanted + tries, 65536)) if port_is_free(port)), None)


def spare_ports(count: int) -> list[int]:
    """Ports that nobody listens on and that the system gives out one after the other, so that two who ask at once differ."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file; a second process waits here. The lock ends with its holder, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
