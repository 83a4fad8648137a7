"""A metric given another: what is usual at this much of the other, such as the load of a processor at so many requests.

Of each series the relation is learned as medians over ranges of the other metric, with a line through the outermost beyond them,
and an hour of the day's own share. Deviations are taken in units of what is usual there, and looked up in their own tail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.packed import packed, unpacked
from driftline.scoring.population import LEVELS, Reach
from driftline.scoring.settings import CURRENT, EVIDENCE_MOST, LN10, MASK_DAYS, MASK_SIGMA, TAIL_SHAPE, TAIL_WIDTH_LEAST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.core.functions import Side
    from driftline.scoring.rarity import Floats, Hashes, Ints

RANGES = 16  # of the other metric, about as many values in each: a curve's bend is seen, and a range's median is none by chance
OUTER = 2  # ranges whose slope goes on beyond the outermost: a single one's would be chance
RANGE_LEAST = 40  # values in a range, so that its scale is right to a fifth
LEAST = 60  # values of a series: with fewer nothing is known of it
HOURS = 24
DRAWN = 5.0  # values that no difference between hours counts as
SCALE_LEAST = 0.01  # of a range's scale, as a share of the level: twice what constant readings of series with models tolerate
SCALE_PART = 0.25  # … and as a share of the whole series' scale: a quiet range makes nobody nervous
MAD = 1.4826  # the normal distribution's standard deviation, in median absolute deviations
ASSUMED = 500  # deviations that a law's tail counts as among those of all series, so that a short past has one, too
ASSUMED_WIDTH = 1.0  # of that law, in scales: exponential, and so wider than the normal distribution
SIGNS: dict[Side, int] = {"both": 0, "high": 1, "low": -1}
BLOCK = 200_000  # values that are judged at once


@dataclass
class Pairs:
    """M buckets in which both metrics are known.

    Attributes:
        group: (M,) hashes of their series.
        bucket: (M,) when.
        value: (M,) the metric that is judged; of shares what is a part of the other.
        given: (M,) the other.
        hour: (M,) hour of the day.
        day: (M,) number of the day.
    """

    group: Hashes
    bucket: Ints
    value: Floats
    given: Floats
    hour: Ints
    day: Ints

    def at(self, chosen: Ints | NDArray[np.bool_]) -> Pairs:
        """Some of them."""
        return Pairs(*(getattr(self, name)[chosen] for name in ("group", "bucket", "value", "given", "hour", "day")))

    def summed(self, buckets: int, *, mean: bool) -> Pairs:
        """The same with the sums, or the means, over so many buckets up to and with each; missing ones are left out."""
        order = np.lexsort((self.bucket, self.group))
        _, code = np.unique(self.group[order], return_inverse=True)
        at = self.bucket[order] - self.bucket.min(initial=0)
        place = code.astype(np.int64) * (int(at.max(initial=0)) + buckets + 1) + at
        first = np.searchsorted(place, place - buckets, side="right")
        count = np.arange(len(place)) + 1 - first
        out = []
        for column in (self.value, self.given):
            total = np.concatenate([[0.0], np.cumsum(column[order])])
            sums = total[1:] - total[first]
            back = np.empty(len(sums))
            back[order] = sums / count if mean else sums
            out.append(back)
        return replace(self, value=out[0], given=out[1])


@dataclass
class Judged:
    """What is to be said of M values.

    Attributes:
        surprise: (M,) −log10 of the probability of each, given the other metric; 0 where nothing is known of its series.
        typical: (M,) what was expected; NaN likewise.
        sign: (M,) 1 where a value deviates upwards by what counts as a deviation, −1 downwards, or 0.
    """

    surprise: Floats
    typical: Floats
    sign: Ints


@dataclass
class Tails:
    """How far values of G series are from what was expected, in either direction.

    Attributes:
        reach: Of each; the last one is that of all together.
        shape: Of the law beyond what the values themselves tell: 0 is exponential, more is wider.
    """

    reach: Reach
    shape: float = TAIL_SHAPE

    @classmethod
    def of(cls, away: list[Floats], days: list[Ints], width: float, least: float, shape: float = TAIL_SHAPE) -> Tails:
        """From the deviations of each series; `width` is that of the tail that is assumed, `least` that of any."""
        sizes = [np.abs(each)[~bursts(each, day)] for each, day in zip(away, days, strict=True)]
        assumed = -width * np.log((np.arange(ASSUMED) + 0.5) / ASSUMED)
        reaches = [Reach.of(each) for each in [*sizes, np.concatenate([*sizes, assumed])]]
        knots, widths = (np.concatenate([getattr(each, name) for each in reaches]) for name in ("knots", "width"))
        return cls(Reach(knots, np.maximum(widths, least)), shape)

    def surprise(self, away: Floats, row: Ints) -> Floats:
        """(n,) −log10 of the probability of deviations as large as these, by the number of their series."""
        own = np.where(np.isfinite(self.reach.knots[row, 0]), row, len(self.reach.width) - 1)
        exponential = self.reach.surprise(np.abs(away), own)
        last = LEVELS[np.maximum(np.isfinite(self.reach.knots[own]).sum(axis=1) - 1, 0)]
        beyond = np.maximum(exponential - last, 0.0) * LN10
        wide = np.log1p(self.shape * beyond) / self.shape if self.shape else beyond
        told = np.minimum(exponential, last) + wide / LN10
        return np.asarray(np.minimum(told, EVIDENCE_MOST))


@dataclass
class Relation:
    """What is usual of G series.

    Attributes:
        groups: (G,) their hashes, sorted.
        knots: (G, 3, RANGES) of each range the medians of the other metric and of this one, and the scale; the last repeated.
        hours: (G, HOURS) an hour's own share, in scales.
        tails: Of the deviations.
    """

    groups: Hashes
    knots: Floats
    hours: Floats
    tails: Tails

    @classmethod
    def fit(cls, seen: Pairs) -> Relation:
        """Learns it; series with few values are left out."""
        kept, parts = by_group(seen)
        found = cls(kept, np.array([_knots(part) for part in parts]).reshape(-1, 3, RANGES), np.zeros((len(kept), HOURS)), _NONE)
        away = [found._away(np.full(len(part.value), row), part) for row, part in enumerate(parts)]
        for row, part in enumerate(parts):
            found.hours[row] = _profile(away[row], part.hour)
        away = [each - found.hours[row][parts[row].hour] for row, each in enumerate(away)]
        found.tails = Tails.of(away, [part.day for part in parts], ASSUMED_WIDTH, TAIL_WIDTH_LEAST)
        return found

    def judge(self, seen: Pairs, side: Side) -> Judged:
        """Judges values by what is usual at this much of the other metric."""
        out = unknown(len(seen.value))
        row, known = rows_of(self.groups, seen.group)
        for at in np.array_split(known, -(-len(known) // BLOCK) or 1):
            here, mine = seen.at(at), row[at]
            expected, scale = self._expected(mine, here.given)
            expected = expected + self.hours[mine, here.hour] * scale
            away = (here.value - expected) / scale
            put(out, at, self.tails.surprise(away, mine), expected, np.where(np.abs(away) >= CURRENT, np.sign(away), 0.0), side)
        return out

    def _away(self, row: Ints, seen: Pairs) -> Floats:
        """(n,) deviations in scales, hours not taken out."""
        expected, scale = self._expected(row, seen.given)
        return np.asarray((seen.value - expected) / scale)

    def _expected(self, row: Ints, given: Floats) -> tuple[Floats, Floats]:
        """(n,) the median and the scale at values of the other metric, of series by their rows."""
        x, y, scale = (self.knots[row, part] for part in range(3))
        right = np.clip((x <= given[:, None]).sum(axis=1), 1, RANGES - 1)
        at = np.arange(len(row))
        low, high = x[at, right - 1], x[at, right]
        part = np.divide(given - low, high - low, out=np.zeros(len(row)), where=high > low)
        inside = np.clip(part, 0.0, 1.0)
        level = y[at, right - 1] + inside * (y[at, right] - y[at, right - 1])
        spread = scale[at, right - 1] + inside * (scale[at, right] - scale[at, right - 1])
        # beyond the outermost it goes on as it did across the ranges next to them, and is less sure the farther out
        last = (x < x[:, -1:]).sum(axis=1)
        above, below = np.maximum(given - x[:, -1], 0.0), np.minimum(given - x[:, 0], 0.0)
        for beyond, first, end in ((above, np.maximum(last - OUTER, 0), last), (below, 0, np.minimum(OUTER, last))):
            width = x[at, end] - x[at, first]
            far = np.divide(beyond, width, out=np.zeros(len(row)), where=width > 0)
            level = level + far * (y[at, end] - y[at, first])
            spread = spread * (1.0 + np.abs(far))
        return level, spread

    def numbers(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "groups": packed(self.groups, "<u8"),
            "knots": packed(self.knots.ravel(), "<f4"),
            "hours": packed(self.hours.ravel(), "<f4"),
            "reach": self.tails.reach.numbers(),
        }

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any]) -> Relation:
        """The same again."""
        knots, hours = (unpacked(numbers[name]).astype(np.float64) for name in ("knots", "hours"))
        groups, shape = unpacked(numbers["groups"]), (-1, 3, RANGES)
        return cls(groups, knots.reshape(shape), hours.reshape(-1, HOURS), Tails(Reach.from_numbers(numbers["reach"])))


_NONE = Tails(Reach(np.empty((0, 0)), np.empty(0)))


def by_group(seen: Pairs) -> tuple[Hashes, list[Pairs]]:
    """The series with enough values: their hashes, ascending, and their pairs."""
    order = np.argsort(seen.group, kind="stable")
    groups, first = np.unique(seen.group[order], return_index=True)
    parts = np.split(order, first[1:]) if len(groups) else []
    enough = [number for number, part in enumerate(parts) if len(part) >= LEAST]
    return groups[enough].astype(np.uint64), [seen.at(parts[number]) for number in enough]


def rows_of(groups: Hashes, asked: Hashes) -> tuple[Ints, Ints]:
    """(M,) which of the sorted `groups` each is, and the numbers of those that are one."""
    if not len(groups):
        return np.zeros(len(asked), np.int64), np.empty(0, np.int64)
    row = np.minimum(np.searchsorted(groups, asked), len(groups) - 1)
    return row, np.flatnonzero(groups[row] == asked)


def unknown(count: int) -> Judged:
    """What is said of values that nothing is known of."""
    return Judged(np.zeros(count), np.full(count, np.nan), np.zeros(count, np.int64))


def put(out: Judged, at: Ints, surprise: Floats, typical: Floats, sign: Floats, side: Side) -> None:
    """Says of some values what was found; what deviates to the other side is no surprise."""
    out.surprise[at] = np.where(SIGNS[side] * sign >= 0, surprise, 0.0)
    out.typical[at] = typical
    out.sign[at] = sign.astype(np.int64)


def bursts(away: Floats, day: Ints) -> NDArray[np.bool_]:
    """(n,) deviations that are so far out on so few days that they are no part of what is usual."""
    far = np.abs(away) > MASK_SIGMA
    return far & (len(np.unique(day[far])) < MASK_DAYS)


def _knots(part: Pairs) -> Floats:
    """(3, RANGES) medians and scales by ranges of the other metric."""
    count = max(1, min(RANGES, len(part.value) // RANGE_LEAST))
    # equal values of the other metric are in one range
    edges = np.unique(np.quantile(part.given, np.arange(1, count) / count, method="lower"))
    _, code = np.unique(np.searchsorted(edges, part.given, side="right"), return_inverse=True)
    x, y = medians(part.given, code), medians(part.value, code)
    # within a range the level follows the other metric, so a range's scale is that around the line through the medians
    around = np.abs(part.value - np.interp(part.given, x, y))
    scale = MAD * medians(around, code)
    whole = max(MAD * float(np.median(around)), SCALE_LEAST * float(np.abs(np.median(part.value))), 1e-9)
    scale = np.maximum(scale, SCALE_PART * whole)
    return np.array([np.pad(column, (0, RANGES - len(column)), mode="edge") for column in (x, y, scale)])


def _profile(away: Floats, hour: Ints) -> NDArray[np.float64]:
    """(HOURS,) median deviation by hour, drawn to none where values are few."""
    out = np.zeros(HOURS)
    hours, code, count = np.unique(hour, return_inverse=True, return_counts=True)
    out[hours] = medians(away, code) * count / (count + DRAWN)
    return out


def medians(values: Floats, code: Ints) -> Floats:
    """(K,) medians of values by code, 0 to K − 1, each of which there is: one sort for all of them."""
    ordered = values[np.lexsort((values, code))]
    count = np.bincount(code)
    first = np.cumsum(count) - count
    return np.asarray((ordered[first + (count - 1) // 2] + ordered[first + count // 2]) / 2)
