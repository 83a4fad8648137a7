"""What is usual: by how much the spans of an entity differ from one another, and how far out the fleet's spans are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import trim_mean

from driftline.scoring.tail import Tail, fit_tail

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

TRUST = 8.0  # spans that the like of an entity count for beside its own four: two months of it
LEAST_FACTOR = 0.05  # what goes by a clock differs by nothing at all, and a tenth more is not without measure
TRUST_MOST = 100.0
STRATUM = 50  # entities, at least, of like size whose middle is what is usual for them
STRATA = 10
TRIMMED = 0.02  # of each end, when a mean is formed: what changed within the weeks that are learned from is no measure
BULK = 0.95  # the quantile that strata are made comparable by: far enough out to say how far out their tails are


@dataclass
class Strata:
    """Classes of entities by how many documents they have in a span.

    Attributes:
        edges: (Q − 1,) between classes.
    """

    edges: Matrix

    @classmethod
    def of(cls, amount: Matrix) -> Strata:
        """Classes of nearly the same number of entities."""
        count = int(np.clip(len(amount) // STRATUM, 1, STRATA))
        return cls(np.unique(np.quantile(amount, np.arange(1, count) / count)))

    def which(self, amount: Matrix) -> NDArray[np.intp]:
        """(E,) the class of each."""
        return np.searchsorted(self.edges, amount, side="right")

    def mean(self, values: Matrix, amount: Matrix) -> Matrix:
        """(Q,) the mean of values (E,) in each class, those far out left aside; at least 0."""
        place = self.which(amount)
        inside = (values[place == number] for number in range(len(self.edges) + 1))
        return np.array([max(0.0, float(trim_mean(each, TRIMMED))) if len(each) else 0.0 for each in inside])

    def quantile(self, values: Matrix, amount: Matrix, q: float) -> Matrix:
        """(Q,) a quantile of values (E,) or (E, S) in each class; that of all where a class is empty."""
        flat, place = values.reshape(len(amount), -1), self.which(amount)
        whole = float(np.nanquantile(flat, q)) if flat.size and not np.isnan(flat).all() else 0.0
        out = np.full(len(self.edges) + 1, whole)
        for number in range(len(out)):
            inside = flat[place == number]
            if inside.size and not np.isnan(inside).all():
                out[number] = np.nanquantile(inside, q)
        return out


def trust_of(squares: Matrix) -> float:
    """How many spans the like of an entity count for beside its own, by how much entities differ in what is usual for them.

    Were all the same, what one span is out by would say nothing of another of the same entity. (A little it does in any case:
    spans are compared with one another.)

    Args:
        squares: (E, S) of what spans are out by, in units in which their mean is 1 for all together.
    """
    count = squares.shape[1]
    if len(squares) < STRATUM or count < 2:
        return TRUST
    held = np.minimum(squares, np.quantile(squares, 1 - TRIMMED))
    together = np.cov(held.T)
    between = (together.sum() - np.trace(together)) / (count * (count - 1)) - 2 / (count - 1) ** 2
    return float(np.clip(2 / max(between, 1e-9), TRUST / 2, TRUST_MOST))


def quasi(found: Matrix, chance: Matrix, usual: Matrix) -> Matrix:
    """How many times more than chance an entity's spans differ, drawn towards what is usual for its like.

    Args:
        found: (E, S) what they differed by.
        chance: (E, S) by chance.
        usual: (E,) the factor of its like.
    """
    each = chance.mean(axis=1)
    total, by_chance = found.sum(axis=1) + TRUST * usual * each, chance.sum(axis=1) + TRUST * each
    return np.maximum(np.divide(total, by_chance, out=usual.copy(), where=each > 0), LEAST_FACTOR)


@dataclass
class Scale:
    """From what an aspect of spans differs by to how rare that is among entities and spans.

    Attributes:
        middle: (Q,) what is usual in each class of entities.
        width: (Q,) how far beyond that BULK of them are.
        tail: Of all, in units of these.
    """

    middle: Matrix
    width: Matrix
    tail: Tail

    @classmethod
    def fit(cls, values: Matrix, strata: Strata, amount: Matrix) -> Scale:
        """Of values (E, S) of entities with these amounts (E,)."""
        middle = strata.quantile(values, amount, 0.5)
        width = np.maximum(strata.quantile(values, amount, BULK) - middle, 1e-3)
        place = strata.which(amount)
        comparable = (values - middle[place, None]) / width[place, None]
        known = comparable[~np.isnan(comparable)]
        return cls(middle, width, fit_tail(known[None] if known.size else np.array([[np.nan]])))

    def now(self, values: Matrix, strata: Strata, amount: Matrix) -> Matrix:
        """(Q,) what values (E,) of all entities are in the middle of each class, if more than usual: it is no entity's own."""
        return np.maximum(strata.quantile(values, amount, 0.5), self.middle)

    def surprise(self, values: Matrix, strata: Strata, amount: Matrix, now: Matrix) -> Matrix:
        """(E,) −log10 of the probability of values (E,) at least as large; `now` (Q,) is taken off."""
        place = strata.which(amount)
        return self.tail.surprise(((values - now[place]) / self.width[place])[None])[0]

    def numbers(self) -> dict[str, list[float]]:
        """All of it as JSON."""
        return {"middle": self.middle.tolist(), "width": self.width.tolist(), "tail": self.tail.numbers()[0].tolist()}

    @classmethod
    def from_numbers(cls, numbers: dict[str, list[float]]) -> Scale:
        """The same again."""
        tail = Tail.from_numbers(np.array([numbers["tail"]], dtype=np.float64))
        return cls(np.array(numbers["middle"]), np.array(numbers["width"]), tail)
