"""Novelty: values that are rare in their partition, or among the members of a population, and times of day that are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.scoring.rarity import NOTHING, Counts, Rarity, before, measure, middle, mixed, pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.scoring.rarity import Floats, Hashes, Ints

DAYS = 7  # of a week
WEIGHT = 10.0  # of a time of the week against that time on other days, which together count for less than one


@dataclass
class Sightings:
    """M things that were seen, each once in its bucket, in the order of time.

    Attributes:
        group: (M,) hashes of what is looked at apart from the others: a partition.
        value: (M,) hashes of what was seen; of times the number of the slot, from 0.
        bucket: (M,) when.
        member: (M,) hashes of who was seen with it; None where there is no population.
        day: (M,) the day, or week, of the slot; None where values are no times.
        slots: How many slots there are, 0 where values are no times.
        near: Slots on each side that count as the same time.
        weekly: Whether slots are those of a week; `day` is then its number.
    """

    group: Hashes
    value: Hashes
    bucket: Ints
    member: Hashes | None = None
    day: Ints | None = None
    slots: int = 0
    near: int = 0
    weekly: bool = False

    def where(self, chosen: NDArray[np.bool_]) -> Sightings:
        """Some of them."""
        arrays = {name: getattr(self, name) for name in ("group", "value", "bucket", "member", "day")}
        chosen_of: dict[str, Any] = {name: None if array is None else array[chosen] for name, array in arrays.items()}
        return replace(self, **chosen_of)

    @property
    def daily(self) -> Sightings:
        """Times of a week as times of a day, in groups of their own."""
        slots, slot = self.slots // DAYS, self.value.astype(np.int64)
        group = mixed(self.group, np.full_like(self.group, DAYS))
        day = self.days * DAYS + slot // slots
        return replace(self, group=group, value=(slot % slots).astype(np.uint64), day=day, slots=slots, weekly=False)

    @property
    def days(self) -> Ints:
        """(M,) the days, or weeks, of times."""
        if self.day is None:
            raise ValueError("these sightings are no times")
        return self.day

    @property
    def what(self) -> Hashes:
        """(M,) hashes of group and value."""
        return mixed(self.group, self.value)

    def around(self) -> list[Hashes]:
        """(M,) hashes of group and each of the slots that count as the same time."""
        steps = range(-self.near, self.near + 1)
        slots = self.value.astype(np.int64)
        return [mixed(self.group, ((slots + step) % self.slots).astype(np.uint64)) for step in steps]


@dataclass
class Novelty:
    """What was seen in a training window.

    Attributes:
        things: How many buckets (days, of times) held each value; in populations how many members showed it.
        pairs: In populations, how many buckets each member showed each value in.
        replayed: How rare what is seen is, when it is seen.
        hindsight: How rare it is, once all of the window is known.
    """

    things: Counts
    pairs: Counts
    replayed: Rarity
    hindsight: Rarity

    @classmethod
    def fit(cls, seen: Sightings) -> Novelty:
        """From sightings over a training window; its first half only teaches what there is."""
        groups, code, bucket = pairs(seen.group, seen.bucket)
        no_past = Rarity(np.empty(0, np.uint64), np.empty(0), np.empty((0, 0)))
        by_member = Counts.of(mixed(seen.what, seen.member)) if seen.member is not None and not seen.slots else NOTHING
        fresh = cls(_things(seen), by_member, no_past, no_past)
        half = middle(seen.group, seen.bucket)
        levels = cls(NOTHING, NOTHING, no_past, no_past).levels(seen)
        levels[seen.bucket < half[np.searchsorted(groups, seen.group)]] = np.nan
        late = bucket >= half[code]
        replayed = measure(seen.group, seen.bucket, levels, (groups[code[late]], bucket[late]))
        hindsight = measure(seen.group, seen.bucket, fresh.looking_back(seen)[0], (groups[code], bucket))
        return replace(fresh, replayed=replayed, hindsight=hindsight)

    def levels(self, seen: Sightings) -> Floats:
        """(M,) how often each was seen before: in training, and in those of the sightings that came earlier."""
        if seen.weekly:
            return _weekly(self._times(seen), self._times(seen.daily))
        if seen.slots:
            return self._times(seen)
        what = seen.what
        if seen.member is None:
            return self.things.get(what) + before(what, seen.bucket, what, seen.bucket)
        pair = mixed(what, seen.member)
        known = self.pairs.get(pair)
        ids, first, code = np.unique(pair, return_index=True, return_inverse=True)
        began = np.full(len(ids), np.iinfo(np.int64).max)
        np.minimum.at(began, code, seen.bucket)
        new = known[first] == 0
        others = self.things.get(what) + before(what[first[new]], began[new], what, seen.bucket)
        counted = (known > 0) | (began[code] < seen.bucket)
        return others - counted + known + before(pair, seen.bucket, pair, seen.bucket)

    def looking_back(self, seen: Sightings) -> tuple[Floats, Floats]:
        """(M,) how often each was seen besides, in all of the training window, and how often that was itself."""
        if seen.weekly:
            level, own = self._other_times(seen)
            return _weekly(level, self._other_times(seen.daily)[0]), own
        if seen.slots:
            return self._other_times(seen)
        what = seen.what
        if seen.member is None:
            count = np.maximum(self.things.get(what), 1.0)
            return count - 1, count
        count = np.maximum(self.pairs.get(mixed(what, seen.member)), 1.0)
        return np.maximum(self.things.get(what) - 1, 0.0) + count - 1, count

    def _times(self, seen: Sightings) -> Floats:
        what, day = _once(seen)
        counts = [self.things.get(near) + before(what, day, near, seen.days) for near in seen.around()]
        return np.asarray(np.sum(counts, axis=0), dtype=np.float64)

    def _other_times(self, seen: Sightings) -> tuple[Floats, Floats]:
        what, day = _once(seen)
        today = [before(what, day, near, seen.days + 1) - before(what, day, near, seen.days) for near in seen.around()]
        own = np.sum(today, axis=0)
        return np.maximum(np.sum([self.things.get(near) for near in seen.around()], axis=0) - own, 0.0), own

    def surprise(self, history: Sightings, asked: NDArray[np.bool_], seconds: int, *, in_sample: bool) -> tuple[Floats, Floats]:
        """Surprises (K,) of those of the sightings that are asked about, and how often each was seen besides.

        A surprise is NaN where the group is not known. Of times of the week it is weeks that are counted.

        Args:
            history: What was seen since the training, the asked included; in sample only these.
            asked: (M,) which.
            seconds: The bucket span.
            in_sample: Whether the training window holds them already.
        """
        if in_sample:
            part = history.where(asked)
            level, own = self.looking_back(part)
            return self.hindsight.surprise(part.group, level, seconds, own), _counted(part, level)
        part, level = history.where(asked), self.levels(history)[asked]
        return self.replayed.surprise(part.group, level, seconds), _counted(part, level)

    def numbers(self) -> dict[str, Any]:
        """JSON data."""
        return {name: getattr(self, name).numbers() for name in ("things", "pairs", "replayed", "hindsight")}

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any]) -> Novelty:
        """The same again."""
        things, known = (Counts.from_numbers(numbers[name]) for name in ("things", "pairs"))
        replayed, hindsight = (Rarity.from_numbers(numbers[name]) for name in ("replayed", "hindsight"))
        return cls(things, known, replayed, hindsight)


def _weekly(level: Floats, other_days: Floats) -> Floats:
    """Levels (M,) of times of the week: one that is usual on other days is less rare than one that is not."""
    return WEIGHT * level + np.minimum(other_days, WEIGHT - 1)


def _counted(seen: Sightings, level: Floats) -> Floats:
    return level // WEIGHT if seen.weekly else level


def _once(seen: Sightings) -> tuple[Hashes, Ints]:
    """Each slot of a group once a day (or week), of a population once a day and member."""
    what, day = seen.what, seen.days
    both = mixed(what, day.astype(np.uint64))
    if seen.member is not None:
        both = mixed(both, seen.member)
    _, first = np.unique(both, return_index=True)
    return what[first], day[first]


def _things(seen: Sightings) -> Counts:
    if seen.slots:
        parts = [_once(each)[0] for each in ([seen, seen.daily] if seen.weekly else [seen])]
        return Counts.of(np.concatenate(parts))
    if seen.member is None:
        return Counts.of(seen.what)
    _, first = np.unique(mixed(seen.what, seen.member), return_index=True)
    return Counts.of(seen.what[first])
