"""Processes are found again by their mark only, and stopped for certain."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from driftline.core.processes import carries, free_port, locked, marked, port_is_free, stop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STUBBORN = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
CHILD = "import subprocess, sys, time; subprocess.Popen(['sleep', '600']); print('ready', flush=True); time.sleep(600)"


@pytest.fixture
def mark() -> str:
    return f"test-{os.getpid()}-{id(object())}"


def started(code: str, mark: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "DRIFTLINE_TEST_MARK": mark}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_marked_process_and_its_children_are_found_and_no_other(mark: str) -> None:
    parent, other = started(CHILD, mark), started(CHILD, mark + "-other")
    try:
        found = marked("DRIFTLINE_TEST_MARK", mark)
        assert parent.pid in {process.pid for process in found}
        assert len(found) == 2
    finally:
        stop(marked("DRIFTLINE_TEST_MARK", mark) + marked("DRIFTLINE_TEST_MARK", mark + "-other"), grace=5)
    assert other.wait(5) is not None
    assert marked("DRIFTLINE_TEST_MARK", mark) == []


def test_a_recycled_process_id_carries_another_mark(mark: str) -> None:
    process = started(CHILD, mark)
    try:
        assert carries(psutil.Process(process.pid), "DRIFTLINE_TEST_MARK", mark)
        assert not carries(psutil.Process(process.pid), "DRIFTLINE_TEST_MARK", "somebody else's")
    finally:
        stop(marked("DRIFTLINE_TEST_MARK", mark), grace=5)


def test_children_of_a_killed_parent_are_still_found(mark: str) -> None:
    parent = started(CHILD, mark)
    parent.kill()
    parent.wait()
    orphans = marked("DRIFTLINE_TEST_MARK", mark)
    assert len(orphans) == 1
    stop(orphans, grace=5)


def test_a_process_that_ignores_the_first_signal_is_killed(mark: str) -> None:
    process = started(STUBBORN, mark)
    killed = stop([psutil.Process(process.pid)], grace=0.3)
    assert [each.pid for each in killed] == [process.pid]
    assert not psutil.pid_exists(process.pid)


def test_a_taken_port_is_passed_over(taken: int) -> None:
    assert not port_is_free(taken)
    other = free_port(taken)
    assert other is not None
    assert other > taken
    assert free_port(taken, tries=1) is None


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with locked(tmp_path / "lock"):
            order.append("second")

    with locked(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        waiting.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
