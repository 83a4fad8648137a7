"""How far a span is from a reference: by how much counts and shares differ, and by how much they do by chance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import poisson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.signatures.profiles import Sums

    Matrix = NDArray[np.float64]

PRIOR = 10.0  # documents that an entity's group counts for in its own profile: a few days of a quiet one
SMALLEST = 1e-6  # documents that are expected at least, where nothing ever was
FEW = 5.0  # documents expected in a span from which on an entity has a say in what all of them do


@dataclass
class Deviation:
    """How one span differs from a reference, before it is known how much it usually does.

    Attributes:
        expected: (E,) documents in the span, as the reference and what all entities do let expect.
        actual: (E,) those that there were.
        level: (E,) difference of square roots, of variance 1 by chance.
        noise: Factor of that variance for the reference's own chance.
        common: By what factor all entities have more or fewer documents.
        names: What else is compared, in shares: `shape`, `mix`.
        distance: Name → (E,) deviance of the shares.
        chance: Name → (E, 2) its mean and variance by chance.
        parts: Name → (E, D) what each part of it contributes, with its sign.
        features: (E, F) difference of the levels of features.
    """

    expected: Matrix
    actual: Matrix
    level: Matrix
    noise: float
    common: float
    distance: dict[str, Matrix]
    chance: dict[str, Matrix]
    parts: dict[str, Matrix]
    features: Matrix


def deviation(
    short: Sums, long: Sums, priors: dict[str, Matrix], *, common: float | None = None, parts: bool = False
) -> Deviation:
    """Compares a span with a reference.

    Args:
        short: One span.
        long: Reference spans, without it.
        priors: `shape` (E, B) and `mix` (E, C): rates and shares of the groups that entities are in.
        common: What all entities do, if these are not all.
        parts: Whether to tell what contributes.
    """
    hours, before, rate = short.hours[0], long.hours.sum(axis=0), rates(long)
    own = rate + PRIOR * _shares(priors["shape"] * hours)[0] / np.maximum(before, 1.0)
    compared = {"shape": (short.counts[:, 0], own * hours)}
    if short.mix.shape[2]:
        compared["mix"] = (short.mix[:, 0], long.mix.sum(axis=1) + PRIOR * priors["mix"])
    out = Deviation(*levels(short, long, common), {}, {}, {}, short.features[:, 0])
    for name, (found, like) in compared.items():
        out.distance[name], out.chance[name], out.parts[name] = _deviance(found, like, keep=parts)
    return out


def rates(long: Sums) -> Matrix:
    """(E, B) documents in a bucket of each bin."""
    before, seen = long.hours.sum(axis=0), long.counts.sum(axis=1)
    return np.divide(seen, before, out=np.zeros_like(seen), where=before > 0)


def levels(short: Sums, long: Sums, common: float | None = None) -> tuple[Matrix, Matrix, Matrix, float, float]:
    """The first five of `Deviation`: expected, actual, level, noise, common."""
    hours, before = short.hours[0], long.hours.sum(axis=0)
    actual, expected = short.counts[:, 0].sum(axis=1), rates(long) @ hours
    common = in_common(actual, expected) if common is None else common
    expected = expected * common
    away = 2 * (np.sqrt(actual + 0.375) - np.sqrt(expected + 0.375))
    return expected, actual, away, 1 + float(hours.sum() / max(before.sum(), 1.0)), common


def in_common(actual: Matrix, expected: Matrix) -> float:
    """By what factor the entities have more or fewer documents than expected, the middle one of them: a holiday, an outage."""
    busy = expected >= FEW
    if not busy.any():
        return 1.0
    # where most do nothing at all, what is left of all together is what they have in common
    return float(np.median(actual[busy] / expected[busy])) or float(actual[busy].sum() / expected[busy].sum())


def _shares(amounts: Matrix) -> tuple[Matrix, Matrix]:
    total = amounts.sum(axis=1, keepdims=True)
    return np.divide(amounts, total, out=np.zeros_like(amounts), where=total > 0), total


def _deviance(found: Matrix, like: Matrix, *, keep: bool) -> tuple[Matrix, Matrix, Matrix]:
    """Of counts (E, D) from the shares that `like` (E, D) has: the deviance, and by chance its mean and variance, (E, 2)."""
    shares, _ = _shares(like)
    wanted = np.maximum(shares * found.sum(axis=1, keepdims=True), SMALLEST)
    logs = np.log(np.maximum(found, SMALLEST) / wanted)
    each = 2 * (np.where(found > 0, found * logs, 0.0) - (found - wanted))
    grid, mean, variance = by_chance()
    at = np.log(wanted)
    chance = np.stack([np.interp(at, grid, table).sum(axis=1) for table in (mean, variance)], axis=1)
    return each.sum(axis=1), chance, np.sign(found - wanted) * each if keep else each[:, :0]


@cache
def by_chance() -> tuple[Matrix, Matrix, Matrix]:
    """Mean and variance of a Poisson count's deviance from its own mean, by the logarithm of that mean."""
    grid = np.linspace(np.log(SMALLEST), np.log(400.0), 120)
    out = np.empty((2, len(grid)))
    for place, mean in enumerate(np.exp(grid)):
        counts = np.arange(int(mean + 12 * np.sqrt(mean) + 20))
        chance = poisson.pmf(counts, mean)
        logs = np.log(np.maximum(counts, 1) / mean)
        deviance = 2 * (counts * logs - (counts - mean))
        first = float(chance @ deviance)
        out[:, place] = first, float(chance @ deviance**2) - first**2
    return grid, out[0], out[1]
