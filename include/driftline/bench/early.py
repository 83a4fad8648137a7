"""`driftline bench early`: what is found in series that are a few days old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.pipeline.replay import replay
from driftline.scoring.events import ALARMING
from driftline.scoring.settings import ALARM_SCORE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from driftline.core.progress import Progress

    Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]

DAYS, DAY, HOUR = 21, 24 * 60, 60
FIRST, LAST = 4, 9  # days on which something comes: the fifth to the ninth
LEVEL, HEIGHT, NOISE = 20.0, 60.0, 2.0  # of the night, of the day above it, and of single readings
COMES = {"spikes": (3 * HOUR + 30, HOUR, 6 * NOISE), "drops": (11 * HOUR, 3 * HOUR, -15 * NOISE)}  # when, how long, how far
STARTS = np.array(["2026-03-02", "2026-03-04", "2026-03-06"], "M8[s]")  # a Monday, a Wednesday, a Friday


def run(*, series: int, minutes: int, seed: int, progress: Progress | None = None) -> dict[str, Any]:
    """Readings that are alike each day, clean but for an hour by night or three at noon of one day of the first nine.

    Args:
        series: How many of each kind, and of each weekday that they begin on.
        minutes: Bucket span.
        seed: Of the readings.
        progress: Told how many kinds are done.

    Returns:
        `series`, `minutes`, `seed`, and of each kind of `days` in what share of the series `spikes` and `drops` are told at least
        as minor ones, and `false_alarms`: how many a series has in each of its first three weeks.
    """
    days: dict[str, Any] = {}
    for done, (name, curve) in enumerate(CURVES.items()):
        parts = [
            _judged(curve, series, minutes, np.random.default_rng([seed, done, nth]), start) for nth, start in enumerate(STARTS)
        ]
        told = {what: round(float(np.mean([part[what] for part in parts])), 3) for what in COMES}
        weeks = np.mean([part["alarms"] for part in parts], axis=0)
        days[name] = {**told, "false_alarms": [round(float(each), 3) for each in weeks]}
        if progress:
            progress("kinds of days", done + 1, len(CURVES))
    return {"series": series, "minutes": minutes, "seed": seed, "days": days}


def _judged(curve: Curve, series: int, minutes: int, rng: np.random.Generator, start: np.datetime64) -> dict[str, Any]:
    """What a replay finds of series that begin then: shares of what came, and alarms (3,) a series besides."""
    clock = np.arange(0, DAYS * DAY, minutes)
    values = LEVEL + HEIGHT * curve(clock % DAY / HOUR) + NOISE * rng.normal(size=(series, len(clock)))
    came = []
    for row in range(series):
        at, length, far = list(COMES.values())[row % 2]
        begin = ((FIRST + row // 2 % (LAST - FIRST)) * DAY + at) // minutes
        came.append(slice(begin, begin + max(1, length // minutes)))
        values[row, came[row]] += far
    scores = replay(start + np.arange(len(clock)) * np.timedelta64(minutes, "m"), values).anomaly_score
    alarms = scores >= ALARM_SCORE
    # what is within what was seen is minor at most while a series is young
    told = [bool(scores[row, part.start : part.stop + 1].max() >= ALARMING[0]) for row, part in enumerate(came)]
    for row, part in enumerate(came):
        alarms[row, part.start : part.stop + DAY // minutes] = False
    return {
        **{what: float(np.mean(told[nth::2])) for nth, what in enumerate(COMES)},
        "alarms": alarms.reshape(series, 3, -1).sum(axis=2).mean(axis=0),
    }


CURVES: dict[str, Curve] = {
    "level": lambda hour: np.zeros_like(hour),
    "wave": lambda hour: 0.5 - 0.5 * np.cos(2 * np.pi * hour / 24),
    "long_day": lambda hour: np.where((hour >= 9) & (hour < 18), 1.0, 0.0),
    "two_peaks": lambda hour: np.exp(-(((hour - 8.5) / 0.7) ** 2) / 2) + 0.7 * np.exp(-((hour - 18) ** 2) / 2),
    "slope": lambda hour: hour / 24,
}
"""What a day looks like, as a part of its height."""
