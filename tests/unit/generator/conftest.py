"""One demo source for all tests of the generator: drawing its million events takes seconds, so it is done once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from driftline.core.timespan import parse_time
from driftline.generator.access_log import AccessLog
from driftline.generator.registry import open_source

START = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = 7 * 1440


@dataclass
class Hits:
    """All requests of a source as columns; `minute` counts from its start."""

    source: AccessLog
    minute: np.ndarray
    columns: dict[str, np.ndarray]

    def truth(self, kind: str, number: int = 0) -> dict[str, Any]:
        return [fact for fact in self.source.truth() if fact["kind"] == kind][number]

    def window(self, fact: dict[str, Any]) -> tuple[int, int]:
        first, last = (parse_time(fact[name]) - self.source.start for name in ("start", "end"))
        return int(first.total_seconds() // 60), int(last.total_seconds() // 60)

    def concerned(self, fact: dict[str, Any]) -> np.ndarray:
        """Which requests belong to the partition that the truth names."""
        name, value = fact.get("partition_field_name"), fact.get("partition_field_value")
        values = [value] if isinstance(value, str) else value
        if name is None:
            return np.ones(len(self.minute), dtype=bool)
        if name == "url.path":
            return np.isin(self.columns["endpoint"], [self.source.world.paths.index(path) for path in values])
        assert name == "host.name"
        return np.isin(self.columns["host"], [self.source.world.hosts.index(host) for host in values])

    def count(self, first: int, last: int, which: np.ndarray | None = None) -> int:
        inside = (self.minute >= first) & (self.minute < last)
        return int(np.count_nonzero(inside if which is None else inside & which))

    def ratio(self, fact: dict[str, Any], first: int | None = None, last: int | None = None) -> float:
        """Requests in the truth's window against the same hours of the three weeks before."""
        begin, end = self.window(fact)
        begin, end = (begin if first is None else first), (end if last is None else last)
        which = self.concerned(fact)
        before = [self.count(begin - WEEK * weeks, end - WEEK * weeks, which) for weeks in (1, 2, 3)]
        return self.count(begin, end, which) / np.mean(before)


def draw(source: AccessLog) -> Hits:
    chunks = list(source.chunks())
    minutes = [int((chunk.start - source.start).total_seconds() // 60) + chunk.columns.ms // 60_000 for chunk in chunks]
    names = vars(chunks[0].columns)
    columns = {name: np.concatenate([getattr(chunk.columns, name) for chunk in chunks]) for name in names}
    return Hits(source, np.concatenate(minutes), columns)


@pytest.fixture(scope="session")
def demo() -> Hits:
    """The default: four weeks, about a million events, one of everything in the last week."""
    source = open_source("access_log", 42, START, 28)
    assert isinstance(source, AccessLog)
    return draw(source)
