"""What is learned of a fleet: each entity's long-term signature, the groups, and what is usual. Numbers only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.packed import packed, unpacked
from driftline.signatures.evidence import Deviation, deviation, levels
from driftline.signatures.groups import Groups, fit_groups
from driftline.signatures.profiles import Sums
from driftline.signatures.usual import TRUST, Scale, Strata, quasi, trust_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

CHUNK = 2_000  # entities in one document of a snapshot, some 800 kB
REFERENCES = 2  # spans from which on a spread can be measured without two of them
SHARES = ("shape", "mix")


@dataclass
class Learned:
    """Long-term signatures.

    Attributes:
        names: E entities.
        sums: What they did in the reference spans together: one span.
        group: (E,) which group each is in.
        groups: The groups.
        amount: (E,) documents in a span.
        strata: Classes of entities by that.
        spread: (E,) variance of the relative level between spans, beyond chance.
        factor: `shape`, `mix` → (E,) by how many times more than chance its spans differ.
        features: (E, F, 2) mean and standard deviation of the levels of features over spans; NaN where unknown.
        scales: Aspect → how rare what it differs by is.
        facts: What else there is to know, such as the values of the mix.
    """

    names: list[str]
    sums: Sums
    group: NDArray[np.intp]
    groups: Groups
    amount: Matrix
    strata: Strata
    spread: Matrix
    factor: dict[str, Matrix]
    features: Matrix
    scales: dict[str, Scale]
    facts: dict[str, Any] = field(default_factory=dict)

    def take(self, rows: NDArray[np.intp]) -> Learned:
        """Some of the entities."""
        factor = {name: each[rows] for name, each in self.factor.items()}
        names = [self.names[row] for row in rows.tolist()]
        return Learned(
            names, self.sums.take(rows), self.group[rows], self.groups, self.amount[rows], self.strata, self.spread[rows],
            factor, self.features[rows], self.scales, self.facts,
        )  # fmt: skip

    def priors(self) -> dict[str, Matrix]:
        """What an entity's group does, for each entity."""
        return {name: np.array(self.facts["priors"][name], dtype=np.float64)[self.group] for name in self.facts["priors"]}


def learn(names: list[str], spans: Sums, rest: Sums, *, limit: int | None = None, seed: int = 0) -> Learned:
    """Learns long-term signatures.

    Each span is compared with the others, as a new one will be with all of them: what it differs by is what is usual. An
    entity's own spread is measured without the span that is compared by it.

    Args:
        names: E entities.
        spans: (E, S, …) whole spans, at least two.
        rest: What of the window is in none of them, as one span.
        limit: So many random profiles are grouped, rather than all.
        seed: Of that choice.
    """
    whole = _joined(spans, rest)
    total = _total(whole)
    groups = fit_groups(amounts_of(total), limit=limit, seed=seed)
    group, _ = groups.assign(amounts_of(total))
    priors = _priors(total, group, len(groups.centres))
    mine = {name: each[group] for name, each in priors.items()}
    count = spans.counts.shape[1]
    every = np.arange(whole.counts.shape[1])
    found = [deviation(spans.span(number), _only(whole, every != number), mine) for number in range(count)]
    amount = np.mean([each.expected for each in found], axis=0)
    strata = Strata.of(amount)
    spread, level = _levels(whole, found, strata, amount)
    factor, scales = {}, {"level": Scale.fit(level, strata, amount)}
    for name in found[0].distance:
        factor[name], values = _distances(found, name, strata, amount)
        scales[name] = Scale.fit(values, strata, amount)
    features = np.stack([mean_of(spans.features), _feature_spread(spans.features, strata, amount)], axis=2)
    for number in range(spans.features.shape[2]):
        values = np.stack([_feature_away(spans.features, each, strata, amount)[:, number] for each in range(count)], axis=1)
        scales[f"feature {number}"] = Scale.fit(values, strata, amount)
    facts = {"priors": {name: each.tolist() for name, each in priors.items()}, "sizes": np.bincount(group).tolist()}
    return Learned(names, total, group, groups, amount, strata, spread, factor, features, scales, facts)


def amounts_of(total: Sums) -> list[Matrix]:
    """What profiles are grouped by: documents an hour of each bin, scaled to what there were, and the mix."""
    hours = total.hours[0]
    even = np.divide(hours.sum(), hours * np.count_nonzero(hours), out=np.zeros_like(hours), where=hours > 0)
    blocks = [total.counts[:, 0] * even]
    return [*blocks, total.mix[:, 0]] if total.mix.shape[2] else blocks


def _joined(spans: Sums, rest: Sums) -> Sums:
    def both(one: Matrix, other: Matrix) -> Matrix:
        return np.concatenate([one, other], axis=1)

    return Sums(
        both(spans.counts, rest.counts), np.concatenate([spans.hours, rest.hours]), both(spans.features, rest.features),
        both(spans.mix, rest.mix),
    )  # fmt: skip


def _only(sums: Sums, chosen: NDArray[np.bool_]) -> Sums:
    return Sums(sums.counts[:, chosen], sums.hours[chosen], sums.features[:, chosen], sums.mix[:, chosen])


def _total(sums: Sums) -> Sums:
    hours = sums.hours.sum(axis=0, keepdims=True)
    shape = (len(sums.counts), 1, sums.features.shape[2])
    return Sums(sums.counts.sum(axis=1, keepdims=True), hours, np.full(shape, np.nan), sums.mix.sum(axis=1, keepdims=True))


def _priors(total: Sums, group: NDArray[np.intp], count: int) -> dict[str, Matrix]:
    """What each group does: the mean of its members' shares, each as much as the other; rates for bins, shares for a mix."""
    hours = total.hours[0]
    blocks = {"shape": np.divide(total.counts[:, 0], hours, out=np.zeros_like(total.counts[:, 0]), where=hours > 0)}
    if total.mix.shape[2]:
        blocks["mix"] = total.mix[:, 0]
    out = {}
    for name, amounts in blocks.items():
        size = amounts.sum(axis=1, keepdims=True)
        shares = np.divide(amounts, size, out=np.zeros_like(amounts), where=size > 0)
        mean = np.array([shares[group == each].mean(axis=0) if (group == each).any() else shares.mean(axis=0)
                         for each in range(count)])  # fmt: skip
        out[name] = np.maximum(mean, 1e-4 / amounts.shape[1])  # nothing is impossible
    return out


def _without(values: Matrix, number: int) -> Matrix:
    return np.delete(values, number, axis=1)


def _levels(whole: Sums, found: list[Deviation], strata: Strata, amount: Matrix) -> tuple[Matrix, Matrix]:
    """(E,) the spread of each entity, and (E, S) how far out its spans were, each by a spread that it has no part in."""
    count = len(found)
    # of a count with relative variance c beyond chance, the difference of square roots has variance 1 + c × its mean
    beyond = np.stack([_beyond(each.level, each.noise, amount) for each in found], axis=1)
    usual = strata.mean(beyond.mean(axis=1), amount)[strata.which(amount)]

    trust = trust_of((1 + beyond * np.maximum(amount, 1.0)[:, None]) / (1 + usual * amount)[:, None])

    def spread(values: Matrix) -> Matrix:
        return np.maximum((values.sum(axis=1) + trust * usual) / (values.shape[1] + trust), 0.0)

    away = []
    for number, each in enumerate(found):
        others = [other for other in range(count) if other != number]
        if count > REFERENCES:
            # neither may it be among what the others are compared with, or a span far out would excuse itself
            pairs = [_levels_without(whole, other, number) for other in others]
            mine = spread(np.stack([_beyond(level, noise, amount) for level, noise in pairs], axis=1))
        else:
            mine = spread(beyond[:, others])
        away.append(out_of(each, mine))
    return spread(beyond), np.stack(away, axis=1)


def _beyond(level: Matrix, noise: float, amount: Matrix) -> Matrix:
    return (level**2 / noise - 1) / np.maximum(amount, 1.0)


def _levels_without(whole: Sums, which: int, without: int) -> tuple[Matrix, float]:
    every = np.arange(whole.counts.shape[1])
    _, _, level, noise, _ = levels(whole.span(which), _only(whole, (every != which) & (every != without)))
    return level, noise


def out_of(found: Deviation, spread: Matrix) -> Matrix:
    """(E,) how far out a level is: its square in units of its variance, whose tail is exponential where chance is normal."""
    return found.level**2 / (found.noise * (1 + spread * found.expected))


def _distances(found: list[Deviation], name: str, strata: Strata, amount: Matrix) -> tuple[Matrix, Matrix]:
    """The same of shares: (E,) the factor of each entity, (E, S) how far out its spans were."""
    distance = np.stack([each.distance[name] for each in found], axis=1)
    chance = np.stack([each.chance[name][:, 0] for each in found], axis=1)
    ratio = np.divide(distance.sum(axis=1), chance.sum(axis=1), out=np.ones(len(distance)), where=chance.sum(axis=1) > 0)
    usual = strata.quantile(ratio, amount, 0.5)[strata.which(amount)]
    away = [
        standard(each.distance[name], each.chance[name], quasi(_without(distance, number), _without(chance, number), usual))
        for number, each in enumerate(found)
    ]
    return quasi(distance, chance, usual), np.stack(away, axis=1)


def standard(distance: Matrix, chance: Matrix, factor: Matrix) -> Matrix:
    """(E,) by how many standard deviations a distance is beyond what it is by chance, times the entity's own factor."""
    width = np.sqrt(chance[:, 1])
    return np.divide(distance / factor - chance[:, 0], width, out=np.zeros(len(distance)), where=width > 0)


def _feature_spread(levels: Matrix, strata: Strata, amount: Matrix) -> Matrix:
    """(E, F) standard deviation between spans, drawn towards that of its like, relative to the level where that has a size."""
    middle = mean_of(levels)
    known = (~np.isnan(levels)).sum(axis=1)
    square = np.nansum((levels - middle[:, None]) ** 2, axis=1)
    size = np.maximum(np.abs(middle), 1e-9)
    own = square / (np.maximum(known - 1, 1) * size**2)
    usual = np.empty_like(own)
    for each in range(levels.shape[2]):
        usual[:, each] = strata.quantile(own[:, each], amount, 0.5)[strata.which(amount)]
    variance = (square + TRUST * usual * size**2) / (np.maximum(known - 1, 0) + TRUST)
    return np.sqrt(np.maximum(variance, (1e-3 * size) ** 2))


def _feature_away(levels: Matrix, number: int, strata: Strata, amount: Matrix) -> Matrix:
    """(E, F) how far out the features of a span are: the square of the difference in units of its variance."""
    others = _without(levels, number)
    return ((levels[:, number] - mean_of(others)) / _feature_spread(others, strata, amount)) ** 2


def mean_of(levels: Matrix) -> Matrix:
    """(E, F) means of (E, S, F) where there is any."""
    known = ~np.isnan(levels)
    count = known.sum(axis=1)
    total = np.where(known, levels, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def chunks(learned: Learned) -> Iterator[dict[str, Any]]:
    """What was learned as JSON: first what is of all, then entities."""
    groups = learned.groups
    yield {
        "common": packed(groups.common, "<f8"),
        "mean": packed(groups.mean, "<f8"),
        "axes": packed(groups.axes.ravel(), "<f8"),
        "centres": packed(groups.centres.ravel(), "<f8"),
        "parts": groups.parts,
        "hours": learned.sums.hours[0].tolist(),
        "edges": learned.strata.edges.tolist(),
        "scales": {name: scale.numbers() for name, scale in learned.scales.items()},
        "facts": learned.facts,
    }
    for first in range(0, len(learned.names), CHUNK):
        part = slice(first, first + CHUNK)
        yield {
            "names": learned.names[part],
            "group": packed(learned.group[part], "<i4"),
            "counts": packed(learned.sums.counts[part, 0].ravel(), "<f4"),
            "mix": packed(learned.sums.mix[part, 0].ravel(), "<f4"),
            "amount": packed(learned.amount[part], "<f8"),
            "spread": packed(learned.spread[part], "<f8"),
            "factor": {name: packed(each[part], "<f8") for name, each in learned.factor.items()},
            "features": packed(learned.features[part].ravel(), "<f8"),
        }


def from_chunks(found: Iterable[dict[str, Any]]) -> Learned:
    """The same again."""
    head, *parts = found
    hours = np.array([head["hours"]], dtype=np.float64)
    axes = len(unpacked(head["mean"]))
    groups = Groups(
        unpacked(head["common"]), unpacked(head["mean"]), unpacked(head["axes"]).reshape(-1, axes),
        unpacked(head["centres"]).reshape(len(head["facts"]["sizes"]), -1), head["parts"],
    )  # fmt: skip
    names = [name for part in parts for name in part["names"]]

    def flat(name: str) -> Matrix:
        return np.concatenate([np.asarray(unpacked(part[name]), dtype=np.float64) for part in parts])

    size, bins = len(names), hours.shape[1]
    features = flat("features").reshape(size, -1, 2)
    sums = Sums(
        flat("counts").reshape(size, 1, bins), hours, np.full((size, 1, features.shape[1]), np.nan),
        flat("mix").reshape(size, 1, -1),
    )  # fmt: skip
    factor = {
        name: np.concatenate([unpacked(part["factor"][name]) for part in parts]) for name in (parts[0]["factor"] if parts else ())
    }
    scales = {name: Scale.from_numbers(numbers) for name, numbers in head["scales"].items()}
    return Learned(
        names, sums, flat("group").astype(np.intp), groups, flat("amount"), Strata(np.array(head["edges"])), flat("spread"),
        factor, features, scales, head["facts"],
    )  # fmt: skip
