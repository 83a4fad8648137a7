"""`driftline bench averages`: averages and sums of documents, judged by their noise, and as if it were the same at all times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.pipeline.replay import replay
from driftline.scoring.settings import ALARM_SCORE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from driftline.core.progress import Progress

    Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

DAYS, JUDGED = 35, 7  # five weeks, the last four of which are judged
DOCUMENTS = 20.0  # in a bucket, on average; the busiest hours have ten times as many as the quietest
PEAK, NIGHT = 5, 17  # hours at which four with most documents begin, and four with fewest
SLOWER = 1.5
START = np.datetime64("2026-03-02T00:00:00")


def run(*, series: int, minutes: int, seed: int, progress: Progress | None = None) -> dict[str, Any]:
    """Series of several kinds of documents, clean but for four hours of the last week with values 1.5 times as large.

    Args:
        series: How many of each kind.
        minutes: Bucket span.
        seed: Of the documents.
        progress: Told how many replays are done.

    Returns:
        `series`, `minutes`, `seed`, and for each kind (`averages`) and way (`by_number`: as it is told of how many documents each
        value is; `alike`: as if all were of equally many) `false_alarms_a_week`, `recall`, and which share of the values
        `bounds_by_day` and `bounds_by_night` hold, of the 95 % that they are for. The same of `sums`, in the ways `as_sums` and
        `alike`, with `outages`: in what share of the series four hours of nothing at night are told.
    """
    averages: dict[str, Any] = {}
    sums: dict[str, Any] = {}
    for done, (name, draw) in enumerate(DRAWS.items()):
        values, sizes = make(draw, series, minutes, np.random.default_rng([seed, done]), together=name == "moving")
        averages[name] = {"by_number": judged(values, minutes, sizes=sizes), "alike": judged(values, minutes)}
        total, out = np.where(sizes > 0, values, 0.0) * sizes, _outage(minutes)
        total[:, out] = 0.0
        told = {"as_sums": np.full(series, True), "alike": None}
        sums[name] = {way: judged(total, minutes, sums=known, outage=out) for way, known in told.items()}
        if progress:
            progress("kinds of documents", done + 1, len(DRAWS))
    return {"series": series, "minutes": minutes, "seed": seed, "averages": averages, "sums": sums}


def make(
    draw: Draw, series: int, minutes: int, rng: np.random.Generator, *, together: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Averages (N, T), NaN of no document, and of how many documents; `together` moves all of a series at once, too."""
    hour = _hours(minutes)
    curve = np.exp(1.2 * np.sin(2 * np.pi * hour / 24))
    sizes = rng.poisson(DOCUMENTS * curve / curve.mean(), (series, len(hour)))
    owner = np.repeat(np.arange(sizes.size), sizes.ravel())
    total = np.bincount(owner, draw(rng, len(owner)), sizes.size).reshape(sizes.shape)
    values = np.where(sizes > 0, total / np.maximum(sizes, 1), np.nan)
    if together:
        level = np.zeros(series)
        for column, step in enumerate(rng.normal(0, 0.1, sizes.shape).T):
            level = 0.9 * level + step
            values[:, column] *= np.exp(level)
    values[:, _slow(minutes)] *= SLOWER
    return values, sizes.astype(np.float64)


def judged(
    values: NDArray[np.float64],
    minutes: int,
    *,
    sizes: NDArray[np.float64] | None = None,
    sums: NDArray[np.bool_] | None = None,
    outage: slice | None = None,
) -> dict[str, float]:
    """What a replay finds of it."""
    times = START + np.arange(values.shape[1]) * np.timedelta64(minutes, "m")
    found = replay(times, values, sizes=sizes, sums=sums)
    first, slow, hour = JUDGED * 24 * 60 // minutes, _slow(minutes), _hours(minutes)
    alarms = found.anomaly_score >= ALARM_SCORE
    clean = np.ones(values.shape[1], dtype=bool)
    for told in (slow, outage or slow):  # what comes within a day of it may be its end
        clean[told.start : told.stop + 24 * 60 // minutes] = False
    clean[:first] = False
    weeks = len(values) * clean.sum() * minutes / (7 * 24 * 60)
    inside = (values >= found.lower) & (values <= found.upper)
    there = np.isfinite(values) & clean

    def held(begin: int) -> float:
        return round(float(inside[there & (hour >= begin) & (hour < begin + 4)].mean()), 3)

    out = {
        "false_alarms_a_week": round(float(alarms[:, clean].sum() / weeks), 4),
        "recall": round(float(alarms[:, slow].any(axis=1).mean()), 3),
        "bounds_by_day": held(PEAK),
        "bounds_by_night": held(NIGHT),
    }
    return out if outage is None else {**out, "outages": round(float(alarms[:, outage].any(axis=1).mean()), 3)}


def _hours(minutes: int) -> NDArray[np.float64]:
    """(T,) hour of the day of each bucket."""
    return np.asarray(np.arange(DAYS * 24 * 60 // minutes) * (minutes / 60) % 24, dtype=np.float64)


def _slow(minutes: int) -> slice:
    return _four_hours(DAYS - 2, PEAK, minutes)


def _outage(minutes: int) -> slice:
    """After the slow hours: what came before counts as usual."""
    return _four_hours(DAYS - 1, NIGHT, minutes)


def _four_hours(day: int, hour: int, minutes: int) -> slice:
    first = (day * 24 + hour) * 60 // minutes
    return slice(first, first + 4 * 60 // minutes)


def _slow_and_fast(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return np.where(rng.random(count) < 0.7, rng.lognormal(3, 0.3, count), rng.lognormal(6, 0.8, count))


DRAWS: dict[str, Draw] = {
    "normal": lambda rng, count: rng.normal(50, 15, count),
    "lognormal": lambda rng, count: rng.lognormal(8, 1, count),
    "two_kinds": _slow_and_fast,
    "pareto": lambda rng, count: 10 * (1 + rng.pareto(2.5, count)),
    "moving": lambda rng, count: rng.lognormal(8, 1, count),
}
"""Documents: as loads are, as times and sizes are, some from a cache, with the heaviest tail, and all moving together."""
