"""A fleet of access-log partitions with one known anomaly each: the second yardstick of detection."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.generator.access_log import AccessLog
from driftline.generator.options import AccessLogOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS, FIRST_DAY = 28, 14  # anomalies lie in the second half: the first is for training
CONSTANT = 30  # requests a minute of the series that never move
KINDS: dict[str, tuple[str, str, float | None]] = {
    "spike_10": ("spike", "30m", 10),
    "spike_3": ("spike", "30m", 3),
    "drop": ("drop", "3h", 0.4),
    "silence": ("silence", "2h", None),
    "level_shift": ("level_shift", "14d", 1.6),
    "ramp": ("ramp", "24h", 2.5),
    "flatline": ("flatline", "12h", None),
    "variance": ("variance", "12h", 0.7),
    "contextual": ("contextual", "4h", 12),
    "constant": ("spike", "30m", 10),
}
"""Kind of the set → the generator's kind, how long it lasts, how strong."""


@dataclass
class Injected:
    """N partitions of T minutes with one anomaly each: partition n has minutes [first[n], last[n]) of kind[n]."""

    times: NDArray[np.datetime64]
    counts: NDArray[np.float64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    kind: list[str]

    def binned(self, minutes: int) -> Injected:
        """The same in buckets of so many minutes; `first` and `last` are buckets then."""
        shape = (len(self.counts), -1, minutes)
        counts = self.counts.reshape(shape).sum(axis=2)
        return Injected(self.times[::minutes], counts, self.first // minutes, -(-self.last // minutes), self.kind)


def make(seed: int, partitions: int = 200, *, anomalies: bool = True) -> Injected:
    """Draws the set: kinds in turn, times at random; levels from 4 to 200 requests a minute as their ranks have it."""
    rng = np.random.default_rng([seed, 5])
    kinds = [list(KINDS)[row % len(KINDS)] for row in rng.permutation(partitions)]
    entries: list[dict[str, Any]] = []
    first, last = np.zeros(partitions, dtype=np.int64), np.zeros(partitions, dtype=np.int64)
    for row, name in enumerate(kinds):
        kind, length, magnitude = KINDS[name]
        options: dict[str, Any] = {"kind": kind, "duration": length, "magnitude": magnitude, "endpoints": [row]}
        latest = DAYS * 1440 - 1440
        first[row] = rng.integers(FIRST_DAY * 1440, latest)
        entries.append(options | {"at": f"{first[row]}m"})
    injections = entries if anomalies else []
    settings = AccessLogOptions.model_validate(
        {"endpoints": partitions, "events_per_day": _volume(partitions), "schedule": "none", "injections": injections}
    )
    source = AccessLog(seed, START, DAYS, settings)
    for event in source.events:
        last[event.endpoints[0]] = event.last
    counts = source.counts().astype(np.float64)
    for row in (row for row, name in enumerate(kinds) if name == "constant"):
        counts[row] = CONSTANT
        if anomalies:
            counts[row, first[row] : last[row]] *= 10
    times = np.datetime64(START.replace(tzinfo=None), "s") + np.arange(counts.shape[1]) * np.timedelta64(60, "s")
    return Injected(times, counts, first, last, kinds)


def _volume(partitions: int) -> float:
    """Requests a day so that the busiest partition has 200 a minute: weights fall as 1 / (rank + 4)."""
    weights = 1.0 / (np.arange(partitions) + 4)
    return float(200 * 1440 * weights.sum() / weights[0])


SPANS = {minutes: timedelta(minutes=minutes) for minutes in (1, 5, 15)}
