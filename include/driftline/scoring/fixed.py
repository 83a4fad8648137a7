"""The best that a fixed threshold could do: "value above x" or "value below x", with x chosen in hindsight."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from driftline.scoring.truth import ALL, Alarms, Judged, Truth, judge

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Thresholds that are tried each way: at most so many ranks from the extreme inwards, and as many peaks of events.
RANKS, PEAKS = 24, 20
# Crossings with less than this between them are one alarm: what wavers around the threshold, not the peak of every day.
QUIET = timedelta(hours=6)
ROUNDS = 20  # Dinkelbach's iteration settles in a handful


@dataclass
class Fixed:
    """A rule with fixed thresholds, and how it did.

    Attributes:
        above: (N,) whether values above the threshold alarm, or those below.
        limit: (N,) the thresholds, one a series; infinite where a series is better left alone.
        judged: What it found.
    """

    above: NDArray[np.bool_]
    limit: NDArray[np.float64]
    judged: Judged


def best_for_all(values: NDArray[np.float64], truth: Truth, span: timedelta, echo: timedelta | None = None) -> Fixed:
    """The one rule for all series (N, T) with the highest F1."""
    found: list[Fixed] = []
    for above, limits in _candidates(values, truth):
        for limit in limits.tolist():
            rule = np.full(len(values), above), np.full(len(values), limit)
            found.append(Fixed(*rule, _judged(values, *rule, truth, span, echo)))
    return max(found, key=lambda each: each.judged.f1)


def best_for_each(values: NDArray[np.float64], truth: Truth, span: timedelta, echo: timedelta | None = None) -> Fixed:
    """The rules, one for each series (N, T), that have the highest F1 together.

    F1 is 2 Σ found / Σ (found + false + events): a ratio of sums over series, which Dinkelbach's iteration maximises exactly by
    letting each series choose what is best for it at the present ratio. An event of all series counts here as one of each.
    """
    rules, counts = [], []
    for row in range(len(values)):
        own, mine = values[row : row + 1], _own(truth, row)
        tried = [(True, np.inf), *((above, limit) for above, limits in _candidates(own, mine) for limit in limits.tolist())]
        judged = [_judged(own, np.array([above]), np.array([limit]), mine, span, echo) for above, limit in tried]
        rules.append(tried)
        counts.append(np.array([(2 * each.found, each.found + each.false_alarms + each.events) for each in judged]))
    ratio, chosen = 0.0, [0] * len(rules)
    for _ in range(ROUNDS):
        chosen = [int(np.argmax(each[:, 0] - ratio * each[:, 1])) for each in counts]
        gain, cost = np.sum([each[number] for each, number in zip(counts, chosen, strict=True)], axis=0)
        if gain <= ratio * cost + 1e-12:
            break
        ratio = gain / cost
    above, limit = (np.array(part) for part in zip(*(rules[row][number] for row, number in enumerate(chosen)), strict=True))
    return Fixed(above, limit, _judged(values, above, limit, truth, span, echo))


def _own(truth: Truth, row: int) -> Truth:
    keep = np.flatnonzero((truth.series == row) | (truth.series == ALL))
    return Truth(
        np.zeros(len(keep), np.int64), truth.first[keep], truth.last[keep], [truth.kind[place] for place in keep.tolist()]
    )


def _candidates(values: NDArray[np.float64], truth: Truth) -> list[tuple[bool, NDArray[np.float64]]]:
    """Thresholds worth trying above and below: a rank apart near the extremes, ever further inwards, and the events' peaks."""
    ordered = np.sort(values[~np.isnan(values)])
    if not len(ordered):
        return [(True, np.array([np.inf]))]
    ranks = np.unique(np.geomspace(1, max(1, len(ordered) // 2), RANKS).astype(np.int64)) - 1
    high, low = _extremes(values, truth)
    return [(True, np.unique([*ordered[::-1][ranks], *high])), (False, np.unique([*ordered[ranks], *low]))]


def _extremes(values: NDArray[np.float64], truth: Truth) -> tuple[list[float], list[float]]:
    """The highest and the lowest values of up to PEAKS events."""
    high, low = [], []
    for event in np.unique(np.linspace(0, len(truth.first) - 1, PEAKS).astype(np.int64)) if len(truth.first) else []:
        rows = slice(None) if truth.series[event] == ALL else slice(truth.series[event], truth.series[event] + 1)
        inside = values[rows, max(0, truth.first[event]) : max(0, truth.last[event])]
        inside = inside[~np.isnan(inside)]
        if len(inside):
            high.append(float(inside.max()))
            low.append(float(inside.min()))
    return high, low


def _judged(
    values: NDArray[np.float64],
    above: NDArray[np.bool_],
    limit: NDArray[np.float64],
    truth: Truth,
    span: timedelta,
    echo: timedelta | None,
) -> Judged:
    """A rule's alarms, judged. Crossings that follow one another are one alarm."""
    quiet = max(1, QUIET // span)
    with np.errstate(invalid="ignore"):
        beyond = np.where(above[:, None], values >= limit[:, None], values <= limit[:, None]) & np.isfinite(limit)[:, None]
    rows, columns = np.nonzero(beyond)
    fresh = np.ones(len(rows), dtype=bool)
    fresh[1:] = (np.diff(rows) > 0) | (np.diff(columns) > quiet)
    alarms = Alarms(rows[fresh], columns[fresh], np.ones(int(fresh.sum())))
    return judge(alarms, truth, 1.0, series=len(values), buckets=values.shape[1], span=span, echo=echo)
