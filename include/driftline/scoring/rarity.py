"""Rarity: how surprising it is to see what was seen so seldom, by how often anything as rare turned up in the past.

A sighting has a level: how often the same was seen before. That alone says nothing: in some logs there is something new in every
bucket, in others never. So the history of each group (a partition) is replayed, and the lowest level of each bucket taken. The
probability of a sighting is the share of buckets that held anything at most as common. Where none did, it is carried on from the
rarest that was seen: if nothing rarer than one in a hundred turned up, what was never seen is a hundred times as rare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from driftline.core.packed import packed, unpacked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

GRID = np.unique(np.concatenate([np.arange(5), np.round(2.0 ** np.arange(2, 21, 0.5))]))
"""Levels at which buckets are counted; a count of something is taken at the next one above."""
TRUST = 100.0  # buckets that what is usual for all groups counts as, in the history of one
UNIT = 120.0  # seconds; what is seen once in four months is then worth an alarm, and once in three days a record
BLOCK = 500_000


@dataclass
class Rarity:
    """The past of G groups.

    Attributes:
        group: (G,) their hashes, ascending.
        buckets: (G,) how many buckets were looked at.
        seen: (G, K) of these, how many held a sighting of at most each level of GRID.
    """

    group: Hashes
    buckets: Floats
    seen: Floats

    def surprise(self, group: Hashes, level: Floats, seconds: int, own: Floats | float = 0.0) -> Floats:
        """(M,) −log10 of the probability that in UNIT something at most as common is seen; NaN for groups that are not known.

        Args:
            group: (M,) hashes of their groups.
            level: (M,) levels of sightings.
            seconds: The bucket span.
            own: Buckets of the past that are the sighting's own, and not to be compared with.
        """
        out = np.full(len(level), np.nan)
        if not len(self.group):
            return out
        place = np.minimum(np.searchsorted(self.group, group), len(self.group) - 1)
        known = np.flatnonzero((self.group[place] == group) & (self.buckets[place] > 0))
        own = np.broadcast_to(np.asarray(own, dtype=np.float64), level.shape)
        together, total = self.seen.sum(axis=0), self.buckets.sum()
        for first in range(0, len(known), BLOCK):
            at = known[first : first + BLOCK]
            here, least = place[at], level[at]
            mine, carried = _expected(self.seen[here], least, own[at], self.buckets[here])
            usual, _ = _expected(np.broadcast_to(together, (len(at), len(GRID))), least, own[at], np.full(len(at), total))
            usual /= total
            # what a group does not show does not make it quieter than the others, unless its own past is long enough to say so
            p = np.maximum(usual, (np.where(carried, 0.0, mine) + TRUST * usual) / (self.buckets[here] + TRUST))
            out[at] = _in_units(np.minimum(p, mine / self.buckets[here]), seconds)
        return out

    def numbers(self) -> dict[str, str]:
        """As text."""
        return {name: packed(getattr(self, name).ravel(), kind) for name, kind in _KINDS}

    @classmethod
    def from_numbers(cls, numbers: dict[str, str]) -> Rarity:
        """The same again."""
        group, buckets, seen = (unpacked(numbers[name]) for name, _ in _KINDS)
        return cls(group, buckets.astype(np.float64), seen.reshape(len(group), len(GRID)).astype(np.float64))


_KINDS = (("group", "<u8"), ("buckets", "<f8"), ("seen", "<f4"))


def _in_units(p: Floats, seconds: int) -> Floats:
    """−log10 of a bucket's probabilities (M,) as those of UNIT, so that they do not depend on the bucket span."""
    return -np.log10(np.maximum(-np.expm1(UNIT / seconds * np.log1p(-np.minimum(p, 1 - 1e-9))), 1e-300))


def _expected(seen: Floats, level: Floats, own: Floats, buckets: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """How many buckets (M,) of the past held anything at most as common, a fraction of one where none did; whether it is one."""
    place = np.minimum(np.searchsorted(GRID, level), len(GRID) - 1)
    others = seen - own[:, None] >= 1
    others &= np.arange(len(GRID))[None] >= place[:, None]
    first = others.argmax(axis=1)
    any_of = others.any(axis=1)
    rows = np.arange(len(level))
    there = any_of & (first == place)
    rarest = np.where(any_of, GRID[first], buckets)
    carried = np.minimum((level + 1) / (rarest + 1), 1.0)
    return np.where(there, seen[rows, place] - own, carried), ~there


def measure(group: Hashes, bucket: Ints, level: Floats, every: tuple[Hashes, Ints]) -> Rarity:
    """What is usual, from replayed sightings.

    Args:
        group: (M,) hashes of the groups of sightings.
        bucket: (M,) their buckets.
        level: (M,) their levels; NaN leaves one out.
        every: Group and bucket of all that count, each pair once: those with nothing rare, too.
    """
    groups, buckets = np.unique(every[0], return_counts=True)
    chosen = np.flatnonzero(~np.isnan(level))
    code = np.searchsorted(groups, group[chosen])
    order = np.lexsort((level[chosen], bucket[chosen], code))
    code, when, least = code[order], bucket[chosen][order], level[chosen][order]
    first = np.flatnonzero((np.diff(code, prepend=-1) != 0) | (np.diff(when, prepend=-1) != 0))
    seen = np.zeros((len(groups), len(GRID)))
    at = np.minimum(np.searchsorted(GRID, least[first]), len(GRID) - 1)
    np.add.at(seen, (code[first], at), 1.0)
    return Rarity(groups, buckets.astype(np.float64), np.cumsum(seen, axis=1))


def pairs(group: Hashes, bucket: Ints) -> tuple[Hashes, NDArray[np.intp], Ints]:
    """The groups (G,), and each group's buckets with anything in them, once: number of the group, and bucket (P,)."""
    groups, code = np.unique(group, return_inverse=True)
    if not len(groups):
        return groups, np.empty(0, np.intp), np.empty(0, np.int64)
    origin = int(bucket.min())
    width = int(bucket.max()) - origin + 1
    both = np.unique(code.astype(np.int64) * width + (bucket - origin))
    return groups, both // width, both % width + origin


def middle(group: Hashes, bucket: Ints) -> Ints:
    """(G,) the middle of what is known of each group, in the order of their hashes: before it there is too little to compare."""
    groups, code = np.unique(group, return_inverse=True)
    first = np.full(len(groups), np.iinfo(np.int64).max)
    np.minimum.at(first, code, bucket)
    return np.asarray(first + (int(bucket.max(initial=0)) - first) // 2, dtype=np.int64)


def mixed(one: Hashes, other: Hashes) -> Hashes:
    """(M,) a hash of two hashes, as splitmix64 mixes."""
    with np.errstate(over="ignore"):
        z = one * np.uint64(0x9E3779B97F4A7C15) + other
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)), dtype=np.uint64)


@dataclass
class Counts:
    """How often each of V things was seen: hashes, ascending, and numbers (V,)."""

    what: Hashes
    count: Floats

    @classmethod
    def of(cls, hashes: Hashes) -> Counts:
        """Of one hash a sighting."""
        what, count = np.unique(hashes, return_counts=True)
        return cls(what, count.astype(np.float64))

    def get(self, hashes: Hashes) -> Floats:
        """(M,) how often, 0 of what was never seen."""
        if not len(self.what):
            return np.zeros(len(hashes))
        place = np.minimum(np.searchsorted(self.what, hashes), len(self.what) - 1)
        return np.where(self.what[place] == hashes, self.count[place], 0.0)

    def numbers(self) -> dict[str, str]:
        """As text."""
        return {"what": packed(self.what, "<u8"), "count": packed(self.count, "<u4")}

    @classmethod
    def from_numbers(cls, numbers: dict[str, str]) -> Counts:
        """The same again."""
        return cls(unpacked(numbers["what"]), unpacked(numbers["count"]).astype(np.float64))


NOTHING = Counts(np.empty(0, np.uint64), np.empty(0))


def before(what: Hashes, time: Ints, asked: Hashes, at: Ints) -> Floats:
    """(M,) how many sightings (`what` at `time`) of each that is asked about lie before its time."""
    values, code = np.unique(what, return_inverse=True)
    if not len(values):
        return np.zeros(len(asked))
    origin = int(min(time.min(), at.min(initial=time.min())))
    width = int(max(time.max(), at.max(initial=0))) - origin + 2
    ordered = np.sort(code.astype(np.int64) * width + (time - origin))
    place = np.minimum(np.searchsorted(values, asked), len(values) - 1)
    begin = place.astype(np.int64) * width
    found = np.searchsorted(ordered, begin + np.maximum(at - origin, 0)) - np.searchsorted(ordered, begin)
    return np.where(values[place] == asked, found, 0).astype(np.float64)
