"""`driftline bench habits`: what nightly jobs hide of series, and whether a night without one is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.pipeline.replay import replay
from driftline.scoring.settings import ALARM_SCORE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from driftline.core.progress import Progress

    Begins = Callable[[np.random.Generator, int], list[int]]

DAYS, JUDGED = 42, 24  # six weeks; the first are learned from
DAY = 24 * 60
LENGTH = 10  # minutes of a run
AT = 2 * 60 + 5  # five past two at night
TIMES, VARIES = 7.0, 0.15  # how many times as much comes meanwhile, and how much that varies
SPIKE, SPIKE_DAY, SPIKE_AT = 4.0, 37, 14 * 60
MISSED_DAY = 31  # a Thursday
RATE = 12.0  # a minute
START = np.datetime64("2026-03-02T00:00:00")


def run(*, series: int, minutes: int, seed: int, progress: Progress | None = None) -> dict[str, Any]:
    """Counts with a job that runs again and again, clean but for a spike at another time, and for one run that does not come.

    Args:
        series: How many of each kind.
        minutes: Bucket span.
        seed: Of the counts.
        progress: Told how many replays are done.

    Returns:
        `series`, `minutes`, `seed`, and of each kind of `habits` `false_alarms_a_week` of a series, and in what share of these
        `spikes` and `missed` runs are told.
    """
    habits: dict[str, Any] = {}
    for done, (name, (length, runs)) in enumerate(RUNS.items()):
        habits[name] = _judged(make(runs, series, minutes, np.random.default_rng([seed, done]), length), minutes)
        if progress:
            progress("kinds of habits", done + 1, len(RUNS))
    return {"series": series, "minutes": minutes, "seed": seed, "habits": habits}


def make(runs: Begins, series: int, minutes: int, rng: np.random.Generator, length: int = LENGTH) -> NDArray[np.float64]:
    """Counts (N, T). `runs` gives the minutes of a day at which runs of `length` minutes begin."""
    clock = np.arange(DAYS * DAY)
    rate = np.repeat(RATE * (1 + 0.5 * np.sin(2 * np.pi * clock / DAY))[None], series, axis=0)
    for row in range(series):
        for day in range(DAYS):
            for begin in runs(rng, day):
                if not (row % 2 and day == MISSED_DAY and (abs(begin - AT) <= LENGTH or length > LENGTH)):
                    at = day * DAY + begin
                    rate[row, at : at + length] *= 1 + TIMES * np.exp(rng.normal(0, VARIES))
    spike = SPIKE_DAY * DAY + SPIKE_AT
    rate[::2, spike : spike + max(LENGTH, minutes)] *= SPIKE
    counts = rng.poisson(rate)
    return np.asarray(counts.reshape(series, -1, minutes).sum(axis=2), dtype=np.float64)


def _judged(counts: NDArray[np.float64], minutes: int) -> dict[str, float]:
    """What a replay finds of it."""
    times = START + np.arange(counts.shape[1]) * np.timedelta64(minutes, "m")
    alarms = replay(times, counts, sqrt=True).anomaly_score >= ALARM_SCORE
    told, clean = {}, np.ones(counts.shape[1], dtype=bool)
    for name, day, first in (("spikes", SPIKE_DAY, SPIKE_AT), ("missed", MISSED_DAY, 0)):
        begin = (day * DAY + first) // minutes
        end = begin + (4 * 60 if name == "spikes" else DAY // 2) // minutes
        told[name] = round(float(alarms[name == "missed" :: 2, begin:end].any(axis=1).mean()), 3)
        clean[begin : begin + DAY // minutes] = False
    clean[: JUDGED * DAY // minutes] = False
    weeks = len(counts) * clean.sum() * minutes / (7 * DAY)
    return {"false_alarms_a_week": round(float(alarms[:, clean].sum() / weeks), 4), **told}


RUNS: dict[str, tuple[int, Begins]] = {
    "none": (LENGTH, lambda rng, day: []),
    "each_night": (LENGTH, lambda rng, day: [AT]),
    "about_then": (LENGTH, lambda rng, day: [AT + int(rng.integers(-10, 11))]),
    "weekdays": (LENGTH, lambda rng, day: [AT] if day % 7 < 5 else []),
    "each_hour": (LENGTH, lambda rng, day: [hour * 60 + 5 for hour in range(24)]),
    "three_hours": (180, lambda rng, day: [AT]),
    "office_hours": (480, lambda rng, day: [9 * 60] if day % 7 < 5 else []),
}
"""How many minutes runs last, and when they begin: never, at their minute, within ten minutes of it, on weekdays, every hour."""
