"""Shares: how much of one metric there is for each of another, such as errors per request, and what chance makes of it.

Of each series the share is learned by the hour of the day, and how amounts scatter around what it makes of the other metric: a
negative binomial law whose variance grows with the expectation (events come in clumps) and with its square (the share itself
varies). So one error of two requests is what it is, and one of each two of a thousand is another matter. What was measured rather
than counted is counted in the unit that its own noise tells. The law's probabilities are looked up in their own tail: a series
that is wilder than the law is held to what it does. Where the part is most of the whole, what is missing is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import nbinom

from driftline.core.packed import packed, unpacked
from driftline.scoring.conditional import BLOCK, HOURS, Tails, bursts, by_group, put, rows_of, unknown
from driftline.scoring.population import Reach
from driftline.scoring.settings import EVIDENCE_MOST, LN10, TAIL_SHAPE

if TYPE_CHECKING:
    from driftline.core.functions import Side
    from driftline.scoring.conditional import Judged, Pairs
    from driftline.scoring.rarity import Floats, Hashes, Ints

ROUNDS = 3  # bursts are left out, what is usual is measured, bursts are seen better
DRAWN = 10.0  # expected events that the share of all hours counts as in that of one
NEVER = 0.5  # events that were nearly there: what was never seen is not impossible
# The least share of the variance that is beyond chance: who fails once often tries again. With it three errors of three requests,
# where four in a thousand are usual, are no alarm yet, and six of six are one.
CLUMPS = 0.25
VARIES = 0.04  # how the variance grows with the expectation's square, before it is known: a share that varies by a fifth
UNIT_LEAST = 1e-4  # of what is usually expected
TWO = float(np.log10(2.0))
DEVIATES = 0.8  # −log10 of the probability from which on a value counts as a deviation: one standard deviation's


@dataclass
class Shares:
    """What is usual of G series.

    Attributes:
        groups: (G,) their hashes, sorted.
        rate: (G, HOURS) units of the one metric for each of the other.
        law: (G, 3) how the variance grows with the expectation and with its square; the unit that amounts are counted in.
        rest: (G,) whether what is missing is looked at: the whole without the part.
        tails: Of the law's own surprises.
    """

    groups: Hashes
    rate: Floats
    law: Floats
    rest: Ints
    tails: Tails

    @classmethod
    def fit(cls, seen: Pairs, *, counted: bool) -> Shares:
        """Learns it; series with few values are left out. `counted`: the part is a number of events."""
        kept, parts = by_group(seen)
        rate, law, rest = np.empty((len(kept), HOURS)), np.empty((len(kept), 3)), np.zeros(len(kept), np.int64)
        away = []
        for row, part in enumerate(parts):
            amount, whole = part.value, part.given
            rest[row] = counted and bool((amount <= whole).all()) and amount.sum() > whole.sum() / 2
            amount = whole - amount if rest[row] else amount
            unit = 1.0 if counted else _unit(amount, part)
            rate[row], law[row] = _learned(amount / unit, part, unit)
            away.append(_signed(np.round(amount / unit), rate[row][part.hour] * whole, law[row][None].repeat(len(whole), 0)))
        tails = Tails.of(away, [part.day for part in parts], 1 / LN10, 1 / LN10, _shape(counted))
        return cls(kept, rate, law, rest, tails)

    def judge(self, seen: Pairs, side: Side) -> Judged:
        """Judges amounts by what is usual for so much of the other metric; typical amounts are told."""
        out = unknown(len(seen.value))
        row, known = rows_of(self.groups, seen.group)
        for at in np.array_split(known, -(-len(known) // BLOCK) or 1):
            here, mine = seen.at(at), row[at]
            law, rest = self.law[mine], self.rest[mine] == 1
            amount = np.where(rest, np.maximum(here.given - here.value, 0.0), here.value)
            expected = self.rate[mine, here.hour] * here.given
            away = _signed(np.round(amount / law[:, 2]), expected, law)
            size = np.abs(away)
            # two sides, two chances; in their tail both are together already
            surprise = np.minimum(self.tails.surprise(away, mine), np.maximum(size - TWO * (side == "both"), 0.0))
            sign = np.where(size >= DEVIATES, np.sign(away), 0.0) * np.where(rest, -1.0, 1.0)
            typical = expected * law[:, 2]
            put(out, at, surprise, np.where(rest, here.given - typical, typical), sign, side)
        return out

    def numbers(self) -> dict[str, Any]:
        """JSON data."""
        arrays = {name: packed(getattr(self, name).ravel(), kind) for name, kind in _KINDS}
        return {**arrays, "reach": self.tails.reach.numbers(), "shape": self.tails.shape}

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any]) -> Shares:
        """The same again."""
        groups, rate, law, rest = (unpacked(numbers[name]) for name, _ in _KINDS)
        rate, tails = rate.astype(np.float64).reshape(-1, HOURS), Tails(Reach.from_numbers(numbers["reach"]), numbers["shape"])
        return cls(groups, rate, law.reshape(-1, 3), rest, tails)


_KINDS = (("groups", "<u8"), ("rate", "<f4"), ("law", "<f8"), ("rest", "<i8"))


def _shape(counted: bool) -> float:
    """Of the tails: the law of events has one of its own, sizes are as wild as other readings."""
    return 0.0 if counted else TAIL_SHAPE


def _learned(amount: Floats, part: Pairs, unit: float) -> tuple[Floats, Floats]:
    """(HOURS,) the rate by hour, and the law, of one series' amounts in units."""
    kept = np.ones(len(amount), dtype=bool)
    law = 1 + CLUMPS, VARIES
    for _ in range(ROUNDS):
        expected = _rates(amount, part, kept)[part.hour] * part.given
        # square roots of counts vary by a half; of one event where next to none was expected that says what it is
        kept = ~bursts(2 * (np.sqrt(amount) - np.sqrt(expected)) / np.sqrt(law[0] + law[1] * expected), part.day)
        slope, square = _dispersion(amount[kept], expected[kept])
        law = max(slope, 1 + CLUMPS), square
    return _rates(amount, part, kept), np.array([*law, unit])


def _rates(amount: Floats, part: Pairs, kept: Any) -> Floats:  # noqa: ANN401 - a mask
    """(HOURS,) what there is for each of the other metric, an hour's drawn to that of all."""
    hour, amount, whole = part.hour[kept], amount[kept], part.given[kept]
    overall = (amount.sum() + NEVER) / whole.sum()
    ours, theirs = (np.bincount(hour, column, HOURS) for column in (amount, whole))
    return np.asarray((ours + DRAWN) / (theirs + DRAWN / overall))


def _unit(amount: Floats, part: Pairs) -> float:
    """In which unit amounts that were measured are to be counted: then they scatter like numbers of events."""
    expected = _rates(amount, part, slice(None))[part.hour] * part.given
    slope, _ = _dispersion(amount, expected)
    return max(slope, UNIT_LEAST * float(expected.mean()), 1e-300)


def _dispersion(amount: Floats, expected: Floats) -> tuple[float, float]:
    """How the variance grows with the expectation, and with its square: a line through what it is in units of the expectation."""
    ratio = (amount - expected) ** 2 / expected
    weight = 1 / (2 + 1 / expected)  # how sure each is, by Poisson's law
    weight /= weight.sum()
    x, y = float(weight @ expected), float(weight @ ratio)
    spread = float(weight @ (expected - x) ** 2)
    square = float(weight @ ((expected - x) * (ratio - y))) / spread if spread > (0.01 * x) ** 2 else 0.0
    square = min(max(square, 0.0), y / x)
    return y - square * x, square


def _signed(count: Floats, expected: Floats, law: Floats) -> Floats:
    """(n,) −log10 of the law's probability of so many or more or, with a minus, of so few or fewer; the less likely."""
    beyond = np.maximum(law[:, 0] - 1 + law[:, 1] * expected, 1e-9)  # the variance in units of the expectation, without chance
    size, chance = expected / beyond, 1 / (1 + beyond)
    above, below = -nbinom.logsf(count - 1, size, chance) / LN10, -nbinom.logcdf(count, size, chance) / LN10
    signed = np.where(above >= below, above, -below)
    told = np.nan_to_num(signed, posinf=EVIDENCE_MOST, neginf=-EVIDENCE_MOST)
    return np.asarray(np.clip(told, -EVIDENCE_MOST, EVIDENCE_MOST))
