"""Made-up entities as arrays, for tests of signatures."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from driftline.bench.behaviours import Fleet, moment
from driftline.signatures.model import Learned, learn
from driftline.signatures.profiles import Sums, bins_of, sums_of

HOUR, HOURS = timedelta(hours=1), 24
TRAINED, SPAN = 30, 7


def times_of(first: int, last: int) -> np.ndarray:
    start = np.datetime64(moment(0).replace(tzinfo=None), "ms")
    return start + np.arange(first * HOURS, last * HOURS) * np.timedelta64(3_600_000, "ms")


def sums(fleet: Fleet, days: list[tuple[int, int]], *, counts: np.ndarray | None = None) -> Sums:
    """What a fleet does in spans of days; `counts` (E, days × 24) in place of its own."""
    first, last = min(a for a, _ in days), max(b for _, b in days)
    own = [fleet.day(day) for day in range(first, last)]
    mix = np.stack([fleet.destinations(day, each.sum(axis=1)) for day, each in zip(range(first, last), own, strict=True)], axis=1)
    values = np.concatenate(own, axis=1).astype(float) if counts is None else counts
    columns = [slice((a - first) * HOURS, (b - first) * HOURS) for a, b in days]
    found = sums_of(values, [], bins_of(times_of(first, last), HOUR, "UTC"), columns, 2 * HOURS)
    found.mix = np.stack([mix[:, a - first : b - first].sum(axis=1) for a, b in days], axis=1).astype(float)
    return found


def learned(fleet: Fleet, **options: int) -> Learned:
    """What is learned of the first 30 days."""
    spans = [(TRAINED - SPAN * (n + 1), TRAINED - SPAN * n) for n in range(4)]
    found = learn(fleet.names(), sums(fleet, spans), sums(fleet, [(0, TRAINED - 4 * SPAN)]), **options)
    found.facts["mix"] = [f"place-{number}" for number in range(found.sums.mix.shape[2] - 1)]
    return found
