"""Usual: what a population's members have in a bucket, by hour of the week, and how that moves: what can be forecast of it.

As in `population`, values are on a logarithmic scale, and a bucket's value is the median of its members. It is taken for an
hour's usual value, plus a level that wanders from day to day, plus noise. So the bounds of a forecast widen with the root of the
days.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.packed import packed, unpacked
from driftline.scoring.population import HOURS, Buckets, scale_of

if TYPE_CHECKING:
    from driftline.scoring.population import Members
    from driftline.scoring.rarity import Floats, Ints

SLOTS = 7 * HOURS
NEWEST = 7  # days whose mean is the level that a forecast begins with: a whole week, so that no weekday weighs more
APART = 7  # days between two levels that tell how far it wanders: weekdays are compared with themselves
MAD = 1.4826  # of a normal law's deviation to the median of its absolute values


@dataclass
class Usual:
    """G populations, in the order of their hashes.

    Attributes:
        scale: The unit of values on the logarithmic scale.
        profile: (G, SLOTS) what members usually have at an hour of the week, on that scale.
        level: (G,) how far the newest week is from it.
        noise: (G,) the deviation of a bucket from profile and level.
        drift: (G,) the deviation of the level from one day to the next.
    """

    scale: float
    profile: Floats
    level: Floats
    noise: Floats
    drift: Floats

    @classmethod
    def fit(cls, seen: Members) -> Usual:
        """From the values of a training window."""
        scale = scale_of(seen.value)
        group, code = np.unique(seen.group, return_inverse=True)
        place = Buckets.of(code, seen.bucket, np.arcsinh(seen.value / scale))
        of, day = code[place.first], seen.day[place.first]
        slot = slots(day, seen.hour[place.first])
        profile = _profile(of, slot, place.median, len(group))
        away = place.median - profile[of, slot]
        order = np.argsort(of, kind="stable")
        rows = np.split(order, np.flatnonzero(np.diff(of[order])) + 1) if len(group) else []
        moves = np.array([_moves(away[row], day[row]) for row in rows]).reshape(-1, 3)
        return cls(scale, profile, *moves.T)

    def ahead(self, row: int, slot: Ints, days: Floats, width: float) -> tuple[Floats, Floats, Floats]:
        """Lower bound, typical value and upper bound (T,) of one population.

        Args:
            row: Which.
            slot: (T,) hours of the week.
            days: (T,) days since the training's end.
            width: Half the width of the interval, in deviations.
        """
        typical = self.profile[row, slot] + self.level[row]
        half = width * np.sqrt(self.noise[row] ** 2 + self.drift[row] ** 2 * np.maximum(days, 0.0))
        lower, middle, upper = (np.sinh(part) * self.scale for part in (typical - half, typical, typical + half))
        return lower, middle, upper

    @property
    def size(self) -> Floats:
        """(G,) the largest usual value of each."""
        return np.asarray(np.sinh(self.profile.max(axis=1, initial=0.0) + self.level) * self.scale)

    def numbers(self) -> dict[str, Any]:
        """JSON data."""
        return {"scale": self.scale, **{name: packed(getattr(self, name).ravel(), "<f4") for name in _PARTS}}

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any]) -> Usual:
        """The same again."""
        profile, *moves = (unpacked(numbers[name]).astype(np.float64) for name in _PARTS)
        return cls(numbers["scale"], profile.reshape(-1, SLOTS), *moves)


_PARTS = ("profile", "level", "noise", "drift")


def slots(day: Ints, hour: Ints) -> Ints:
    """(T,) hours of the week of local days, counted from the epoch (a Thursday), and hours."""
    return np.asarray((day + 3) % 7 * HOURS + hour, dtype=np.int64)


def _profile(of: Ints, slot: Ints, median: Floats, groups: int) -> Floats:
    """(G, SLOTS) the mean of the buckets at each hour of the week, drawn to that of the hour of the day, and that to all."""
    total = np.bincount(of * SLOTS + slot, median, groups * SLOTS).reshape(groups, 7, HOURS)
    count = np.bincount(of * SLOTS + slot, minlength=groups * SLOTS).reshape(groups, 7, HOURS)
    overall = (total.sum(axis=(1, 2)) / np.maximum(count.sum(axis=(1, 2)), 1))[:, None]
    hourly = (total.sum(axis=1) + overall) / (count.sum(axis=1) + 1)
    return np.asarray(((total + hourly[:, None]) / (count + 1)).reshape(groups, SLOTS), dtype=np.float64)


def _moves(away: Floats, day: Ints) -> tuple[float, float, float]:
    """Level, noise and drift of one population, from its buckets' deviations (B,) and days.

    Levels a week apart differ by what it wandered in seven days and by noise; those of neighbouring days by noise mostly. Where
    that shows no drift, it is still not certain: over as long as the history, it is taken to wander by what days differ.
    """
    days, code = np.unique(day, return_inverse=True)
    daily = np.bincount(code, away) / np.bincount(code)
    level = float(daily[days > days[-1] - NEWEST].mean())
    noise = MAD * float(np.median(np.abs(away - daily[code])))
    spread = float(daily.std()) if len(days) > 1 else noise
    near, far = (_mean_square(daily, days, gap) for gap in (1, APART))
    wandered = max(0.0, far - near) / (APART - 1) if near is not None and far is not None else 0.0
    length = float(days[-1] - days[0] + 1)
    # a bucket is off by the noise in a day, and by what days differ
    return level, float(np.hypot(noise, spread)), float(np.sqrt(max(wandered, (spread**2 + noise**2) / length)))


def _mean_square(daily: Floats, days: Ints, gap: int) -> float | None:
    """The mean square of differences of days that are so far apart; None without any."""
    place = np.minimum(np.searchsorted(days, days + gap), len(days) - 1)
    there = days[place] == days + gap
    return float(((daily[place] - daily)[there] ** 2).mean()) if there.any() else None
