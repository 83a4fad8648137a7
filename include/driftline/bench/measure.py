"""What a piece of work costs: wall time, processor time with that of child processes, and memory."""

from __future__ import annotations

import resource
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from types import TracebackType

SAMPLED = 0.02  # seconds between two looks at the memory


def cpu_seconds() -> float:
    """Processor time so far of this process and of its children that have ended (Stan runs in one)."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@dataclass
class Cost:
    """Measures the block that it is the context of.

    Attributes:
        wall: Seconds by the clock.
        cpu: Seconds of processor time, of ended child processes too.
    """

    wall: float = 0.0
    cpu: float = 0.0
    _start: tuple[float, float] = field(default=(0.0, 0.0), repr=False)

    def __enter__(self) -> Cost:
        self._start = (time.perf_counter(), cpu_seconds())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.wall, self.cpu = time.perf_counter() - self._start[0], cpu_seconds() - self._start[1]


class PeakRss:
    """The most resident memory of this process and its children above where the block began, in MB (10⁶ bytes)."""

    def __init__(self) -> None:
        self.mb = 0.0
        self._process = psutil.Process()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakRss:
        self._before = self._resident()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(SAMPLED):
            self._look()

    def _look(self) -> None:
        self.mb = max(self.mb, round((self._resident() - self._before) / 1e6, 1))

    def _resident(self) -> int:
        total = int(self._process.memory_info().rss)
        for child in self._process.children():
            try:
                total += int(child.memory_info().rss)
            except psutil.Error:  # it ended in between
                continue
        return total
