"""`driftline bench hours`: readings that are noisier at some hours than at others, and what that hides at the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.pipeline.replay import replay
from driftline.scoring.settings import ALARM_SCORE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from driftline.core.progress import Progress

    Noise = Callable[[NDArray[np.float64], NDArray[np.bool_]], NDArray[np.float64]]

DAYS, JUDGED = 42, 24  # six weeks; the first are learned from …
EARLY = slice(3, 7)  # … of which the bounds of these days are looked at
DAY, HOUR = 24 * 60, 60
LEVEL, SWING = 50.0, 10.0  # of a day's curve, whose noise is 1 where it is quiet
AWAY = 6.0  # times the noise of its hour, for an hour: what comes
COMES = {"quiet": (31, 4 * HOUR + 30), "loud": (37, 13 * HOUR)}  # on a Thursday and a Wednesday
NIGHTLY = 2 * HOUR  # when it is loud at night, and so what comes when it is loud does
START = np.datetime64("2026-03-02T00:00:00")


def run(*, series: int, minutes: int, seed: int, progress: Progress | None = None) -> dict[str, Any]:
    """Readings of several kinds of noise, clean but for an hour when all is quiet and, of other series, one when it is loud.

    Args:
        series: How many of each kind.
        minutes: Bucket span.
        seed: Of the readings.
        progress: Told how many replays are done.

    Returns:
        `series`, `minutes`, `seed`, and of each kind of `noise` `false_alarms_a_week` of a series, in what share of these what
        comes in the `quiet` and in the `loud` is told, and which share of the values `bounds_quiet` and `bounds_loud` hold, of
        the 95 % that they are for; `early_bounds_quiet` and `early_bounds_loud` those of the fourth to the seventh day.
    """
    noise: dict[str, Any] = {}
    for done, (name, kind) in enumerate(NOISE.items()):
        noise[name] = _judged(*make(kind, series, minutes, np.random.default_rng([seed, done])), minutes)
        if progress:
            progress("kinds of noise", done + 1, len(NOISE))
    return {"series": series, "minutes": minutes, "seed": seed, "noise": noise}


def make(kind: Noise, series: int, minutes: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Readings (N, T) and their noise (T,)."""
    clock = np.arange(0, DAYS * DAY, minutes)
    noise = kind(clock % DAY / HOUR, clock // DAY % 7 < 5)
    values = LEVEL + SWING * np.sin(2 * np.pi * clock / DAY) + noise * rng.normal(size=(series, len(clock)))
    for first, (away, buckets) in enumerate(_incidents(noise, minutes).values()):
        values[first::2, buckets] += away
    return values, noise


def _incidents(noise: NDArray[np.float64], minutes: int) -> dict[str, tuple[float, slice]]:
    """How far what comes in every other series is away, and when."""
    found = {}
    for name, (day, first) in COMES.items():
        at, by_night = ((day * DAY + each) // minutes for each in (first, NIGHTLY))
        if name == "loud" and noise[by_night] > noise[at]:
            at = by_night
        found[name] = (AWAY * float(noise[at]), slice(at, at + max(1, HOUR // minutes)))
    return found


def _judged(values: NDArray[np.float64], noise: NDArray[np.float64], minutes: int) -> dict[str, float]:
    """What a replay finds of it."""
    times = START + np.arange(values.shape[1]) * np.timedelta64(minutes, "m")
    found = replay(times, values)
    alarms, told, clean = found.anomaly_score >= ALARM_SCORE, {}, np.ones(values.shape[1], dtype=bool)
    for first, (name, (_, buckets)) in enumerate(_incidents(noise, minutes).items()):
        told[name] = round(float(alarms[first::2, buckets.start : buckets.stop + 1].any(axis=1).mean()), 3)
        clean[buckets.start : buckets.stop + DAY // minutes] = False
    clean[: JUDGED * DAY // minutes] = False
    weeks = len(values) * clean.sum() * minutes / (7 * DAY)
    inside, loud = (values >= found.lower) & (values <= found.upper), noise > (noise.min() + noise.max()) / 2
    early = np.zeros_like(clean)
    early[EARLY.start * DAY // minutes : EARLY.stop * DAY // minutes] = True
    held = {
        f"{when}bounds_{name}": inside[:, days & part]
        for when, days in (("", clean), ("early_", early))
        for name, part in (("quiet", ~loud), ("loud", loud))
    }
    bounds = {name: round(float(part.mean()), 3) for name, part in held.items() if part.size}
    return {"false_alarms_a_week": round(float(alarms[:, clean].sum() / weeks), 4), **told, **bounds}


NOISE: dict[str, Noise] = {
    "alike": lambda hour, workday: np.ones_like(hour),
    "by_day": lambda hour, workday: np.where((hour >= 8) & (hour < 20), 3.0, 1.0),
    "office_hours": lambda hour, workday: np.where((hour >= 9) & (hour < 17) & workday, 3.0, 1.0),
    "an_hour": lambda hour, workday: np.where((hour >= NIGHTLY / HOUR) & (hour < NIGHTLY / HOUR + 1), 5.0, 1.0),
    "smooth": lambda hour, workday: np.exp(np.log(3) * (0.5 + 0.5 * np.sin(2 * np.pi * (hour - 8) / 24))),
}
"""How noisy readings are at each hour: alike, more from eight to eight, in office hours, an hour each night, and smoothly."""
