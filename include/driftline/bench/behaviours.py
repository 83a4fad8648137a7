"""Entities that behave in one of a few ways, week after week, and some that begin to behave otherwise: made up, by a seed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
HOURS = 24
KINDS = ("more", "less", "silence", "later", "weekend", "mix")
DESTINATIONS = 8
# What begins to behave otherwise does so by this much; less is within what weeks of such entities differ by anyway.
MORE, LESS, SHIFT = 4.0, 0.1, 8
RATE, SPREAD, LEAST_RATE = 10.0, 0.7, 5.0  # documents a day: median, its spread as a logarithm, least
WEEKLY, DAILY = 0.1, 0.2  # by how much weeks and days of one entity differ, besides chance


def _bump(centre: float, width: float) -> Matrix:
    away = np.abs((np.arange(HOURS) + 0.5 - centre + 12) % HOURS - 12)
    return np.exp(-0.5 * (away / width) ** 2)


# Workday and weekend by the hour, and how many of the entities behave so.
WAYS: tuple[tuple[Matrix, Matrix, float], ...] = (
    (_bump(13, 2.6), 0.02 * _bump(13, 4), 0.34),  # offices
    (_bump(20, 2.2), _bump(20, 2.6), 0.24),  # evenings
    (np.ones(HOURS), np.ones(HOURS), 0.16),  # machines
    (_bump(3, 1.6), _bump(3, 1.6), 0.12),  # nights
    (_bump(8, 1.2) + _bump(18, 1.2), 0.3 * _bump(13, 3), 0.08),  # ways to work and back
    (0.08 * _bump(15, 4), _bump(14, 3.5), 0.06),  # weekends
)


@dataclass
class Fleet:
    """Entities, and which of them changed.

    Attributes:
        way: (E,) how each behaves.
        workday: (E, 24) documents expected in each hour of a workday.
        weekend: (E, 24) the same of a weekend day.
        mix: (E, C) shares of destinations.
        changed: Entity → the kind of its change.
        since: When the changes begin, in days after START.
    """

    way: NDArray[np.intp]
    workday: Matrix
    weekend: Matrix
    mix: Matrix
    changed: dict[int, str]
    since: int
    seed: int

    def day(self, day: int) -> NDArray[np.int64]:
        """(E, 24) documents in the hours of a day; the same whenever it is asked for."""
        rng = np.random.default_rng([self.seed, 1, day])
        weekly = _wobble(np.random.default_rng([self.seed, 2, day // 7]), len(self.way), WEEKLY)
        rate = np.where(day % 7 >= 5, self.weekend, self.workday).copy()
        if day >= self.since:
            for entity, kind in self.changed.items():
                rate[entity] = _changed(kind, rate[entity], self.workday[entity])
        return rng.poisson(rate * (weekly * _wobble(rng, len(self.way), DAILY))[:, None])

    def destinations(self, day: int, docs: NDArray[np.int64]) -> NDArray[np.int64]:
        """(E, C) to which destinations a day's documents (E,) go."""
        shares = self.mix
        if day >= self.since:
            shares = shares.copy()
            for entity in (entity for entity, kind in self.changed.items() if kind == "mix"):
                shares[entity] = np.sort(shares[entity])[np.argsort(np.argsort(-shares[entity]))]
        return np.random.default_rng([self.seed, 3, day]).multinomial(docs, shares)

    def names(self) -> list[str]:
        """How entities are called, in order."""
        return [f"account-{number:06d}" for number in range(len(self.way))]

    def rows(self, day: int) -> Iterator[tuple[int, int, int, int]]:
        """The documents of a day: entity, hour, destination, how many it stands for."""
        counts = self.day(day)
        mix = self.destinations(day, counts.sum(axis=1))
        rng = np.random.default_rng([self.seed, 4, day])
        entity, hour = np.nonzero(counts)
        amount = counts[entity, hour]
        order = np.repeat(np.arange(len(entity)), amount)
        # destinations of an entity's documents in a random order, so that they do not go by the hour
        where = np.repeat(np.tile(np.arange(DESTINATIONS), len(counts)), mix.ravel())
        shuffled = np.lexsort((rng.random(len(where)), np.repeat(np.arange(len(counts)), counts.sum(axis=1))))
        pairs, many = np.unique(order * DESTINATIONS + where[shuffled], return_counts=True)
        at, destination = pairs // DESTINATIONS, pairs % DESTINATIONS
        by_time = np.lexsort((entity[at], hour[at]))
        columns = (entity[at], hour[at], destination, many)
        return zip(*(column[by_time].tolist() for column in columns), strict=True)


def make(seed: int, entities: int, *, planted: int = 20, since: int = 10_000) -> Fleet:
    """A fleet; from day `since` on some of its entities, `planted` in number, behave otherwise, all kinds in turn."""
    rng = np.random.default_rng([seed, 0])
    way = rng.choice(len(WAYS), size=entities, p=[share for *_, share in WAYS])
    level = np.maximum(rng.lognormal(np.log(RATE), SPREAD, entities), LEAST_RATE)
    workday, weekend = (np.array([each[part] for each in WAYS])[way] for part in (0, 1))
    for number, profile in enumerate((workday, weekend)):
        profile *= rng.gamma(30, 1 / 30, profile.shape)  # nobody is like the others to the hour
        assert number < 2
    total = (5 * workday.sum(axis=1) + 2 * weekend.sum(axis=1)) / 7
    scale = (level / total)[:, None]
    likes = rng.dirichlet(np.full(DESTINATIONS, 0.5), len(WAYS))
    mix = np.array([rng.dirichlet(30 * likes[each] + 0.3) for each in way])
    mix = (mix + 0.002) / (mix + 0.002).sum(axis=1, keepdims=True)
    changed = _planted(rng, way, planted)
    return Fleet(way, workday * scale, weekend * scale, mix, changed, since, seed)


def _planted(rng: np.random.Generator, way: NDArray[np.intp], planted: int) -> dict[int, str]:
    """Who changes how: work at weekends is new for offices only, another hour for all but machines."""
    changed: dict[int, str] = {}
    for number in range(planted):
        kind = KINDS[number % len(KINDS)]
        fits = {"weekend": way == 0, "later": way != 2}.get(kind, np.ones(len(way), dtype=bool))
        free = np.setdiff1d(np.flatnonzero(fits), np.fromiter(changed, dtype=np.intp, count=len(changed)))
        changed[int(rng.choice(free))] = kind
    return changed


def _changed(kind: str, rate: Matrix, workday: Matrix) -> Matrix:
    if kind == "later":
        return np.roll(rate, SHIFT)
    if kind == "weekend":
        return workday
    return rate * {"more": MORE, "less": LESS, "silence": 0.0}.get(kind, 1.0)


def _wobble(rng: np.random.Generator, size: int, spread: float) -> Matrix:
    return rng.gamma(1 / spread**2, spread**2, size)


def moment(day: int) -> datetime:
    """When a day begins."""
    return START + timedelta(days=day)
