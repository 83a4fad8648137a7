"""Populations: a member against the others in the same bucket, and against how far members ever are from the others.

Values are compared on a logarithmic scale (asinh): members differ by factors. Of each bucket the median of its members is taken,
drawn towards what is usual at that hour where members are few; what a member deviates by is looked up in the tail of all members'
deviations in training. A member that holds much of that tail is not part of it, or it would hide itself; if it is there on
most days that is how it is, and it is compared with itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.packed import packed, unpacked
from driftline.scoring.rarity import mixed
from driftline.scoring.settings import EVIDENCE_MOST, LN10

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.core.functions import Side
    from driftline.scoring.rarity import Floats, Hashes, Ints

HOURS = 24
DRAWN = 10.0  # members that what is usual at an hour counts as
Y_MOST = 1024.0  # that no value exceeds on the logarithmic scale: the largest float is at 710
STEP = 2.0**-14  # of a value, where medians are taken: 0.006 %
WIDE = round(2 * Y_MOST / STEP) + 1
OWN_TAIL = 1500  # values from which a group has a tail of its own
FAR_SHARE, FAR_LEAST = 0.005, 20  # of the deviations, those in which nobody may be too often
HELD, HELD_TIMES = 0.05, 3.0  # a share of these that is too much: so much, or so many times what members have on average
HELD_LEAST = 5  # buckets
REGULAR_DAYS = 0.5  # of the days: who is far from the others on so many is so
FREQUENT = 0.1  # of the buckets: Elastic's limit for exclude_frequent
SHARES = np.array([0.1, 0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5])
LEVELS = -np.log10(SHARES)
PERCENT = 3  # number of the last percent among them
TELLING = 50  # values beyond a knot that tell where it is
WIDTH_LEAST = 0.02  # of a tail, on the logarithmic scale


@dataclass
class Members:
    """M values of members, each once in its bucket.

    Attributes:
        group: (M,) hashes of their populations.
        member: (M,) hashes of themselves.
        bucket: (M,) when.
        value: (M,) what was counted or measured.
        hour: (M,) hour of the day.
        day: (M,) number of the day.
    """

    group: Hashes
    member: Hashes
    bucket: Ints
    value: Floats
    hour: Ints
    day: Ints

    @property
    def who(self) -> Hashes:
        """(M,) hashes of population and member."""
        return mixed(self.group, self.member)


@dataclass
class Population:
    """What is usual in G populations.

    Attributes:
        group: (G,) their hashes, ascending.
        scale: The unit of values on the logarithmic scale.
        profile: (G, HOURS) what members usually have at an hour, on that scale.
        high: Tails (G + 1) of deviations upwards; the last is that of all populations together.
        low: The same downwards.
        own: (G,) which tail is whose.
        regulars: (R,) hashes of members who are far from the others on most days, ascending.
        level: (R,) how far.
        frequent: (F,) hashes of members who are there in more than a tenth of the buckets, ascending.
    """

    group: Hashes
    scale: float
    profile: Floats
    high: Reach
    low: Reach
    own: Ints
    regulars: Hashes
    level: Floats
    frequent: Hashes

    @classmethod
    def fit(cls, seen: Members) -> Population:
        """From the values of a training window."""
        scale = scale_of(seen.value)
        y = np.arcsinh(seen.value / scale)
        group, code = np.unique(seen.group, return_inverse=True)
        place = Buckets.of(code, seen.bucket, y)
        profile = _profile(place, seen, code, len(group))
        away = y - place.centre(profile[code[place.first], seen.hour[place.first]])[place.of_cell]
        who, days = seen.who, len(np.unique(seen.day))
        outside, regulars, level = _outside(who, away, seen.day, days)
        high, low = (_reach(code[~outside], side * away[~outside], len(group)) for side in (1, -1))
        counts = np.bincount(code[~outside], minlength=len(group))
        own = np.where(counts >= OWN_TAIL, np.arange(len(group)), len(group))
        return cls(group, scale, profile, high, low, own, regulars, level, _frequent(who, code, place))

    def judge(self, seen: Members, side: Side) -> tuple[Floats, Floats]:
        """Surprise and typical value (M,) of each member; NaN where its population is not known.

        A surprise is that of the bucket: as many members as there are, so many chances.
        """
        surprise, typical = np.full(len(seen.value), np.nan), np.full(len(seen.value), np.nan)
        if not len(self.group):
            return surprise, typical
        row = np.minimum(np.searchsorted(self.group, seen.group), len(self.group) - 1)
        known = np.flatnonzero(self.group[row] == seen.group)
        row = row[known]
        y = np.arcsinh(seen.value[known] / self.scale)
        place = Buckets.of(row, seen.bucket[known], y)
        hour = seen.hour[known]
        usual = place.centre(self.profile[row[place.first], hour[place.first]])[place.of_cell]
        usual = usual + self._level(seen.who[known])
        typical[known] = np.sinh(usual) * self.scale
        surprise[known] = among(self._single(y - usual, self.own[row], side), place.members[place.of_cell])
        return surprise, typical

    def _level(self, who: Hashes) -> Floats:
        if not len(self.regulars):
            return np.zeros(len(who))
        place = np.minimum(np.searchsorted(self.regulars, who), len(self.regulars) - 1)
        return np.where(self.regulars[place] == who, self.level[place], 0.0)

    def _single(self, away: Floats, own: Ints, side: Side) -> Floats:
        """(M,) surprise of deviations, each alone."""
        out = np.zeros(len(away))
        for sign, tail, wanted in ((1, self.high, "high"), (-1, self.low, "low")):
            if side in ("both", wanted):
                out = np.maximum(out, tail.surprise(sign * away, own))
        if side == "both":
            out = np.maximum(out - np.log10(2.0), 0.0)
        return np.minimum(out, EVIDENCE_MOST)

    def is_frequent(self, who: Hashes) -> NDArray[np.bool_]:
        """(M,) whether members are there in more than a tenth of the buckets."""
        return np.isin(who, self.frequent)

    def numbers(self) -> dict[str, Any]:
        """JSON data."""
        out: dict[str, Any] = {name: packed(getattr(self, name).ravel(), kind) for name, kind in _KINDS}
        return {**out, "scale": self.scale, "high": self.high.numbers(), "low": self.low.numbers()}

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any]) -> Population:
        """The same again."""
        group, profile, own, regulars, level, frequent = (unpacked(numbers[name]) for name, _ in _KINDS)
        high, low = (Reach.from_numbers(numbers[name]) for name in ("high", "low"))
        shape = (len(group), HOURS)
        return cls(group, numbers["scale"], profile.reshape(shape), high, low, own, regulars, level.astype(np.float64), frequent)


_KINDS = (("group", "<u8"), ("profile", "<f8"), ("own", "<i8"), ("regulars", "<u8"), ("level", "<f4"), ("frequent", "<u8"))


@dataclass
class Buckets:
    """B buckets of populations.

    Attributes:
        of_cell: (M,) which bucket each value is of.
        first: (B,) the first value of each.
        members: (B,) how many there are.
        median: (B,) of these.
    """

    of_cell: Ints
    first: Ints
    members: Ints
    median: Floats

    @classmethod
    def of(cls, code: Ints, bucket: Ints, y: Floats) -> Buckets:
        """The buckets of values (M,) of populations, by number, on the logarithmic scale."""
        if not len(y):
            nothing = np.empty(0, np.int64)
            return cls(nothing, nothing, nothing, np.empty(0))
        origin = int(bucket.min())
        width = int(bucket.max()) - origin + 1
        _, first, of_cell, members = np.unique(
            code.astype(np.int64) * width + (bucket - origin), return_index=True, return_inverse=True, return_counts=True
        )
        # one sort of whole numbers; steps that are the same whatever else is looked at, or pieces would not be a straight run
        ordered = np.sort(of_cell.astype(np.int64) * WIDE + np.round((y + Y_MOST) / STEP).astype(np.int64))
        end = np.cumsum(members)
        middle = [ordered[end - members + place] % WIDE for place in ((members - 1) // 2, members // 2)]
        return cls(of_cell, first, members, STEP * (middle[0] + middle[1]) / 2 - Y_MOST)

    def centre(self, usual: Floats) -> Floats:
        """(B,) what members have, drawn towards what is usual (B,) where they are few."""
        return (self.members * self.median + DRAWN * usual) / (self.members + DRAWN)


def among(surprise: Floats, members: Ints) -> Floats:
    """(M,) surprise of the most surprising of so many, 1 − (1 − p)^n, neither overflowing nor losing small p."""
    p = 10.0**-surprise
    small = p * members < 1e-6
    exact = -np.log10(-np.expm1(members * np.log1p(-np.minimum(p, 1 - 1e-12))) + 1e-300)
    return np.asarray(np.maximum(np.where(small, surprise - np.log(members) / LN10, exact), 0.0), dtype=np.float64)


def scale_of(value: Floats) -> float:
    """1 for counts; of what is measured in other units a tenth of its median size."""
    size = np.abs(value)
    whole = bool((value == np.round(value)).all()) and bool((value >= 0).all())
    middle = float(np.median(size)) if len(value) else 1.0
    return 1.0 if whole and middle < 100 else max(middle / 10, 1e-12)


def _profile(place: Buckets, seen: Members, code: Ints, groups: int) -> Floats:
    """(G, HOURS) the mean of the buckets' medians at each hour; of an hour without any, of all hours."""
    of, hour = code[place.first], seen.hour[place.first]
    at, shape = of * HOURS + hour, (groups, HOURS)
    total = np.bincount(at, place.median, groups * HOURS).reshape(shape)
    count = np.bincount(at, minlength=groups * HOURS).reshape(shape)
    overall = total.sum(axis=1, keepdims=True) / np.maximum(count.sum(axis=1, keepdims=True), 1)
    return np.asarray((total + overall) / (count + 1), dtype=np.float64)


def _outside(who: Hashes, away: Floats, day: Ints, days: int) -> tuple[NDArray[np.bool_], Hashes, Floats]:
    """Cells (M,) of members who hold too much of the tails, and of these who does so on most days, and how far out."""
    outside, regular, level = np.zeros(len(who), dtype=bool), [np.empty(0, np.uint64)], [np.empty(0)]
    members, code = np.unique(who, return_inverse=True)
    most = max(FAR_LEAST, int(len(away) * FAR_SHARE))
    if len(away) < 2 * most:
        return outside, regular[0], level[0]
    for sign in (1, -1):
        limit = np.partition(sign * away, len(away) - most)[len(away) - most]
        far = np.flatnonzero(sign * away >= limit)
        held = np.bincount(code[far], minlength=len(members))
        much = (held >= HELD_LEAST) & (held > len(far) * max(HELD, HELD_TIMES / len(members)))
        outside |= much[code]
        mine = far[much[code[far]]]
        both = np.unique(np.stack([code[mine], day[mine]], axis=1), axis=0)
        often = np.bincount(both[:, 0], minlength=len(members)) >= max(3, days * REGULAR_DAYS)
        for number in np.flatnonzero(often).tolist():
            regular.append(members[number : number + 1])
            level.append(np.array([np.median(away[mine[code[mine] == number]])]))
    names, at = np.unique(np.concatenate(regular), return_index=True)
    return outside, names, np.concatenate(level)[at]


@dataclass
class Reach:
    """How far members are from the others: upper tails of G populations.

    Attributes:
        knots: (G, K) deviations that a share of SHARES exceeds; inf where too few values tell.
        width: (G,) scale of an exponential tail from the last one on: a power law of the values themselves.
    """

    knots: Floats
    width: Floats

    @classmethod
    def of(cls, away: Floats) -> Reach:
        """Of one population's deviations (n,)."""
        told = len(away) * SHARES >= TELLING
        knots = np.full(len(SHARES), np.inf)
        if not told.any():
            return cls(knots[None], np.ones(1))
        ordered = np.sort(away)
        places = len(away) - 1 - (len(away) * SHARES[told]).astype(np.int64)
        knots[told] = ordered[places]
        # the farthest are few, and few members': the scale there is not taken for less than half of that of the last percent
        ends = [
            float((ordered[place + 1 :] - ordered[place]).mean()) for place in (places[-1], places[min(told.sum() - 1, PERCENT)])
        ]
        return cls(knots[None], np.array([max(ends[0], ends[1] / 2, WIDTH_LEAST)]))

    def surprise(self, away: Floats, own: Ints) -> Floats:
        """−log10 of the probability (M,) of deviations at least as large, with the tails of these numbers."""
        out = np.zeros(len(away))
        at = np.flatnonzero(away > self.knots[own, 0])
        far, knots = away[at], self.knots[own[at]]
        last = np.isfinite(knots).sum(axis=1) - 1
        level = np.full(len(at), LEVELS[0])
        for step in range(1, len(SHARES)):
            left, right = knots[:, step - 1], knots[:, step]
            known = np.isfinite(right)
            left = np.where(known, left, 0.0)
            wide = np.where(known, right, 0.0) - left
            part = np.divide(far - left, wide, out=(far > right).astype(np.float64), where=wide > 0)
            level += np.clip(part, 0.0, 1.0) * np.where(step <= last, LEVELS[step] - LEVELS[step - 1], 0.0)
        out[at] = level + np.maximum(far - knots[np.arange(len(at)), last], 0.0) / self.width[own[at]] / LN10
        return out

    def numbers(self) -> dict[str, str]:
        """JSON data."""
        return {"knots": packed(self.knots.ravel(), "<f8"), "width": packed(self.width, "<f8")}

    @classmethod
    def from_numbers(cls, numbers: dict[str, str]) -> Reach:
        """The same again."""
        return cls(unpacked(numbers["knots"]).reshape(-1, len(SHARES)), unpacked(numbers["width"]))


def _reach(code: Ints, away: Floats, groups: int) -> Reach:
    """The reach of each population, and that of all together; of those with few values it is empty."""
    order = np.argsort(code, kind="stable")
    ends = np.cumsum(np.bincount(code, minlength=groups))
    parts = [*np.split(away[order], ends[:-1]), away] if groups else [away]
    made = [Reach.of(part) for part in parts]
    return Reach(np.concatenate([each.knots for each in made]), np.concatenate([each.width for each in made]))


def _frequent(who: Hashes, code: Ints, place: Buckets) -> Hashes:
    """Members who are there in more than a tenth of their population's buckets."""
    width = np.bincount(code[place.first]) if len(place.first) else np.zeros(0)
    names, first, count = np.unique(who, return_index=True, return_counts=True)
    return names[count > FREQUENT * width[code[first]]] if len(names) else names
