"""Places: how far from all known ones something was seen, by how far it ever was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.packed import packed, unpacked
from driftline.scoring.rarity import Rarity, measure, middle, pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.scoring.rarity import Floats, Hashes, Ints

EARTH = 6371.0  # its radius in kilometres
CELL = 0.02  # degrees; places within about two kilometres are one
PLACES_MOST = 500  # that a group keeps, those with the most days first
NEAR, FAR = 2.0**20, 10.0  # the level of a place that is known, and the kilometres that halve it: addresses are no more exact


def distance(lat: Floats, lon: Floats, other_lat: Floats, other_lon: Floats) -> Floats:
    """Kilometres between places in degrees, along the surface; arrays that broadcast."""
    a, b, c, d = (np.radians(x) for x in (lat, lon, other_lat, other_lon))
    half = np.sin((c - a) / 2) ** 2 + np.cos(a) * np.cos(c) * np.sin((d - b) / 2) ** 2
    return np.asarray(2 * EARTH * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0))), dtype=np.float64)


@dataclass
class Visits:
    """M visits, in the order of time: group hashes, buckets, days, latitudes and longitudes (M,)."""

    group: Hashes
    bucket: Ints
    day: Ints
    lat: Floats
    lon: Floats

    def where(self, chosen: NDArray[Any]) -> Visits:
        """Some of them."""
        return Visits(*(getattr(self, name)[chosen] for name in ("group", "bucket", "day", "lat", "lon")))


@dataclass
class Known:
    """P places: group hashes, latitudes and longitudes, the first and the last day (P,)."""

    group: Hashes
    lat: Floats
    lon: Floats
    first: Ints
    last: Ints

    @classmethod
    def of(cls, visits: Visits) -> Known:
        """The places of visits, of each group at most PLACES_MOST; a place is where it was first visited, within a cell."""
        cells = np.stack([visits.group.astype(np.uint64).view(np.int64), *_cells(visits)], axis=1)
        _, place, code, count = np.unique(cells, axis=0, return_index=True, return_inverse=True, return_counts=True)
        first, last = np.full(len(place), np.iinfo(np.int64).max), np.full(len(place), np.iinfo(np.int64).min)
        np.minimum.at(first, code.ravel(), visits.day)
        np.maximum.at(last, code.ravel(), visits.day)
        group = visits.group[place]
        order = np.lexsort((-count, group))
        begin = np.flatnonzero(np.diff(group[order], prepend=group[order][:1] + np.uint64(1)) != 0) if len(order) else order
        rank = np.arange(len(order)) - np.repeat(begin, np.diff([*begin.tolist(), len(order)]))
        kept = order[rank < PLACES_MOST]
        return cls(group[kept], visits.lat[place[kept]], visits.lon[place[kept]], first[kept], last[kept])

    def at(self, number: Ints) -> tuple[Floats, Floats]:
        """Latitudes and longitudes (M,) of places by their numbers; NaN for −1."""
        lat, lon = (np.append(column, np.nan)[number] for column in (self.lat, self.lon))
        return lat, lon

    def nearest(self, visits: Visits, *, besides: bool) -> tuple[Floats, Ints]:
        """Kilometres (M,) to the nearest known place of the group, and its number; inf and −1 where there is none.

        Args:
            visits: Where from.
            besides: Whether places that were seen on the visit's day alone count as not known; else all of its day or later.
        """
        out, number = np.full(len(visits.group), np.inf), np.full(len(visits.group), -1)
        for group in np.unique(visits.group).tolist():
            mine, here = np.flatnonzero(visits.group == group), np.flatnonzero(self.group == group)
            if not len(here):
                continue
            part = visits.where(mine)
            far = distance(part.lat[:, None], part.lon[:, None], self.lat[here][None], self.lon[here][None])
            first, last, day = self.first[here][None], self.last[here][None], part.day[:, None]
            far[(first == day) & (last == day) if besides else first >= day] = np.inf
            best = far.argmin(axis=1)
            out[mine], number[mine] = far[np.arange(len(mine)), best], here[best]
        return out, number


def _cells(visits: Visits) -> tuple[Ints, Ints]:
    return (visits.lat // CELL).astype(np.int64), (visits.lon // CELL).astype(np.int64)


def level(kilometres: Floats) -> Floats:
    """How near places are, as levels of rarity: NEAR where they are known; NaN where there is none to be near to."""
    return np.where(np.isfinite(kilometres), NEAR / (1.0 + kilometres / FAR), np.nan)


@dataclass
class Geography:
    """What was visited in a training window, and how far from the known places visits usually are."""

    known: Known
    replayed: Rarity
    hindsight: Rarity

    @classmethod
    def fit(cls, visits: Visits) -> Geography:
        """From visits over a training window; its first half only teaches where places are."""
        known = Known.of(visits)
        groups, code, bucket = pairs(visits.group, visits.bucket)
        half = middle(visits.group, visits.bucket)
        levels = level(known.nearest(visits, besides=False)[0])
        levels[visits.bucket < half[np.searchsorted(groups, visits.group)]] = np.nan
        late = bucket >= half[code]
        replayed = measure(visits.group, visits.bucket, levels, (groups[code[late]], bucket[late]))
        back = level(known.nearest(visits, besides=True)[0])
        return cls(known, replayed, measure(visits.group, visits.bucket, back, (groups[code], bucket)))

    def surprise(
        self, history: Visits, asked: NDArray[np.bool_], seconds: int, *, in_sample: bool
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Surprise, kilometres, and the nearest known place's latitude and longitude, (K,) each; as `Novelty.surprise`."""
        part = history.where(asked)
        km, number = self.known.nearest(part, besides=in_sample)
        if in_sample:
            return self.hindsight.surprise(part.group, level(km), seconds, 1.0), km, *self.known.at(number)
        since = Known.of(history)
        also, where = since.nearest(part, besides=False)
        lat, lon = (np.where(also < km, *both) for both in zip(since.at(where), self.known.at(number), strict=True))
        km = np.minimum(km, also)
        return self.replayed.surprise(part.group, level(km), seconds), km, lat, lon

    def numbers(self) -> dict[str, Any]:
        """JSON data."""
        places = {name: packed(getattr(self.known, name), kind) for name, kind in _KINDS}
        return {"places": places, "replayed": self.replayed.numbers(), "hindsight": self.hindsight.numbers()}

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any]) -> Geography:
        """The same again."""
        known = Known(*(unpacked(numbers["places"][name]) for name, _ in _KINDS))
        return cls(known, *(Rarity.from_numbers(numbers[name]) for name in ("replayed", "hindsight")))


_KINDS = (("group", "<u8"), ("lat", "<f8"), ("lon", "<f8"), ("first", "<i8"), ("last", "<i8"))
