"""Scores: how unlikely it is that any entity's short-term signature is as far from its long-term one by chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from driftline.signatures.evidence import Deviation, deviation
from driftline.signatures.model import SHARES, Learned, amounts_of, out_of, standard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.signatures.profiles import Sums

    Matrix = NDArray[np.float64]

Common = dict[str, list[float]]  # what all entities do at once: by what factor, and aspect → what is in the middle of each class
# How many entities as far out are expected by chance among all of them, as powers of ten → score. At 90 it is one; at 99 there is
# one chance in ten that even one is: that is what a threshold should mean, however many entities there are.
CURVE = ((-8.0, 100.0), (-4.0, 99.8), (-1.0, 99.0), (0.0, 90.0), (1.0, 60.0), (2.0, 30.0))
FLEET = 100  # a fleet of fewer is scored as one of so many: the tail of its few spans is not known better


@dataclass
class Scored:
    """Scores of entities in one span.

    Attributes:
        score: (E,) 0 to 100.
        surprise: (E,) −log10 of the probability that this entity is as far out.
        aspects: What was compared, in order: `level`, `shape`, `mix`, `feature 0`, …
        each: (A, E) −log10 of the probability of each aspect.
        deviation: What they are made of.
        group: (E,) the group that the short-term signature is nearest to.
        common: What all do at once.
    """

    score: Matrix
    surprise: Matrix
    aspects: list[str]
    each: Matrix
    deviation: Deviation
    group: NDArray[np.intp]
    common: Common

    @property
    def aspect(self) -> list[str]:
        """(E,) in which aspect each is furthest out."""
        return [self.aspects[place] for place in self.each.argmax(axis=0).tolist()]


def score(
    learned: Learned, short: Sums, *, fleet: int | None = None, common: Common | None = None, parts: bool = False
) -> Scored:
    """Compares a span with what was learned.

    Args:
        learned: Of the same entities, in their order.
        short: One span of them.
        fleet: How many entities there are in all, if these are not all.
        common: What all do at once, if these are not all.
        parts: Whether to tell what contributes.
    """
    found = deviation(short, learned.sums, learned.priors(), common=common["factor"][0] if common else None, parts=parts)
    away = {"level": out_of(found, learned.spread)}
    away |= {name: standard(found.distance[name], found.chance[name], learned.factor[name]) for name in SHARES
             if name in found.distance}  # fmt: skip
    for number in range(learned.features.shape[1]):
        mean, spread = learned.features[:, number, 0], learned.features[:, number, 1]
        away[f"feature {number}"] = ((found.features[:, number] - mean) / spread) ** 2
    classes = learned.strata, learned.amount
    if common is None:
        common = {name: learned.scales[name].now(values, *classes).tolist() for name, values in away.items()}
        common["factor"] = [found.common]
    each = np.array([learned.scales[name].surprise(values, *classes, np.array(common[name])) for name, values in away.items()])
    # as many looks as aspects: the furthest out of several is further out by chance
    surprise = np.maximum(each.max(axis=0) - np.log10(len(each)), 0.0)
    return Scored(
        to_score(surprise, fleet or len(learned.names)), surprise, list(away), each, found, _nearest(learned, short), common
    )


def usual(learned: Learned) -> Common:
    """What all do when they do nothing else than usual."""
    return {"factor": [1.0], **{name: scale.middle.tolist() for name, scale in learned.scales.items()}}


def to_score(surprise: Matrix, fleet: int) -> Matrix:
    """(E,) scores of entities among so many."""
    x, y = zip(*CURVE, strict=True)
    return np.round(np.interp(np.log10(max(fleet, FLEET)) - surprise, x, y, right=0.0), 4)


def _nearest(learned: Learned, short: Sums) -> NDArray[np.intp]:
    nearest, _ = learned.groups.assign(amounts_of(short))
    return np.where(short.counts[:, 0].sum(axis=1) > 0, nearest, learned.group)
