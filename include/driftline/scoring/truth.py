"""Alarms against what really happened: what was found, how late, and what was a false alarm, at any threshold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ALL = -1
WEEK = timedelta(weeks=1)
# What follows an event for as long as it lasted is its recovery, and no false alarm; an event of days gets no more than this.
ECHO_MOST = timedelta(hours=6)
THRESHOLDS = 200


@dataclass
class Alarms:
    """What alarmed: (A,) each, in any order; `column` counts buckets from 0. What has no score above 0 is no alarm."""

    series: NDArray[np.int64]
    column: NDArray[np.int64]
    score: NDArray[np.float64]

    @classmethod
    def of(cls, scores: NDArray[np.float64]) -> Alarms:
        """The alarms of a matrix (N, T) of scores."""
        rows, columns = np.nonzero(scores > 0)
        return cls(rows, columns, scores[rows, columns])


@dataclass
class Truth:
    """What happened: (E,) each. `series` is ALL for what concerns every one; columns `first` up to, not including, `last`."""

    series: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    kind: Sequence[str]


@dataclass
class Judged:
    """How alarms did at a threshold.

    Attributes:
        threshold: Alarms of at least this score count.
        events, found: What happened, and what of it had an alarm while it lasted.
        alarms, false_alarms: All alarms, and those in no event and its echo.
        precision: found / (found + false alarms): an event counts once however often it alarmed. 1 where there is neither.
        recall: found / events; 1 where nothing happened.
        f1: Their harmonic mean.
        false_alarms_a_week: A series and week.
        delay_buckets_median, delay_buckets_95: From the first bucket of a found event to its first alarm; NaN if none is found.
        by_kind: Kind → events found, events, median delay in buckets.
    """

    threshold: float
    events: int
    found: int
    alarms: int
    false_alarms: int
    precision: float
    recall: float
    f1: float
    false_alarms_a_week: float
    delay_buckets_median: float
    delay_buckets_95: float
    by_kind: dict[str, tuple[int, int, float]]


def judge(
    alarms: Alarms, truth: Truth, threshold: float, *, series: int, buckets: int, span: timedelta, echo: timedelta | None = None
) -> Judged:
    """Judges the alarms of at least `threshold`.

    Args:
        alarms: What alarmed.
        truth: What happened.
        threshold: The least score.
        series: How many series were watched,
        buckets: for how many buckets each,
        span: of this width.
        echo: So long after an event an alarm is still its echo: neither found nor false. By default as long as the event
            lasted, at most ECHO_MOST.
    """
    return _Court(alarms, truth, series, buckets, span, echo).judge(threshold)


def sweep(
    alarms: Alarms, truth: Truth, *, series: int, buckets: int, span: timedelta, echo: timedelta | None = None
) -> list[Judged]:
    """Judges at each threshold that makes a difference, at most THRESHOLDS of them, ascending. See `judge`."""
    court = _Court(alarms, truth, series, buckets, span, echo)
    return [court.judge(threshold) for threshold in court.thresholds()]


def best(judged: Sequence[Judged]) -> Judged | None:
    """The one with the highest F1; of equals the highest threshold."""
    return max(judged, key=lambda each: (each.f1, each.threshold), default=None)


class _Court:
    """Alarms and truth matched once, so that each threshold costs little more than a search.

    Neither whether an alarm is false nor which event it is in depends on the threshold. An event is kept as the scores that
    exceeded all before them in it, and when they did: from these the first alarm at any threshold is a binary search.
    """

    def __init__(self, alarms: Alarms, truth: Truth, series: int, buckets: int, span: timedelta, echo: timedelta | None) -> None:
        self.kinds = np.asarray(truth.kind, dtype=object)
        self.weeks = series * buckets * (span / WEEK)
        keep = alarms.score > 0
        self.width = buckets + 1
        place, column = alarms.series[keep], alarms.column[keep]
        score = alarms.score[keep]
        self.scores = np.sort(score)
        first = np.clip(truth.first, 0, buckets)
        last = np.clip(truth.last, first, buckets)
        lasting = truth.last - truth.first
        more = np.minimum(lasting, ECHO_MOST // span) if echo is None else np.full(lasting.shape, echo // span)
        until = np.clip(truth.last + more, first, buckets)
        everywhere = truth.series == ALL
        covered = np.zeros(len(score), dtype=bool)
        self.steps: list[tuple[NDArray[np.float64], NDArray[np.int64]]] = [(np.empty(0), np.empty(0, np.int64))] * len(first)
        for own, key, base in (
            (~everywhere, place * self.width + column, truth.series * self.width),
            (everywhere, column, np.zeros_like(truth.series)),
        ):
            order = np.argsort(key, kind="stable")
            begin, end, echoed = (np.searchsorted(key[order], base + edge) for edge in (first, last, until))
            cover = np.zeros(len(key) + 1, dtype=np.int64)
            np.add.at(cover, begin[own], 1)
            np.add.at(cover, echoed[own], -1)
            covered[order] |= np.cumsum(cover[:-1]) > 0
            for event in np.flatnonzero(own & (begin < end)).tolist():
                part = order[begin[event] : end[event]]
                highest = np.maximum.accumulate(score[part])
                self.steps[event] = (highest, column[part] - first[event])
        self.false_scores = np.sort(score[~covered])
        self.peaks = np.array([highest[-1] if len(highest) else 0.0 for highest, _ in self.steps])

    def judge(self, threshold: float) -> Judged:
        """All figures at one threshold."""
        delays = np.full(len(self.steps), np.nan)
        for event in np.flatnonzero((self.peaks >= threshold) & (self.peaks > 0)).tolist():
            highest, delay = self.steps[event]
            delays[event] = delay[np.searchsorted(highest, threshold)]
        there = ~np.isnan(delays)
        found, events = int(there.sum()), len(delays)
        wrong = _at_least(self.false_scores, threshold)
        total = found + wrong + events
        return Judged(
            threshold=float(threshold),
            events=events,
            found=found,
            alarms=_at_least(self.scores, threshold),
            false_alarms=wrong,
            precision=found / (found + wrong) if found + wrong else 1.0,
            recall=found / events if events else 1.0,
            f1=2 * found / total if total else 1.0,
            false_alarms_a_week=wrong / self.weeks if self.weeks else 0.0,
            delay_buckets_median=_quantile(delays[there], 0.5),
            delay_buckets_95=_quantile(delays[there], 0.95),
            by_kind={kind: self._kind(kind, delays) for kind in sorted(set(self.kinds.tolist()))},
        )

    def _kind(self, kind: str, delays: NDArray[np.float64]) -> tuple[int, int, float]:
        own = delays[self.kinds == kind]
        there = ~np.isnan(own)
        return int(there.sum()), len(own), _quantile(own[there], 0.5)

    def thresholds(self) -> NDArray[np.float64]:
        """The highest score of each event, where recall changes and so the best F1 lies, and scores evenly between."""
        peaks = _spread(np.unique(self.peaks[self.peaks > 0]), THRESHOLDS // 2)
        others = _spread(np.unique(self.scores), THRESHOLDS - len(peaks))
        return np.unique(np.concatenate([peaks, others]))


def _spread(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """At most so many of ascending values, evenly by rank, both ends among them."""
    if len(values) <= most:
        return values
    return values[np.unique(np.linspace(0, len(values) - 1, most).round().astype(np.int64))]


def _at_least(ascending: NDArray[np.float64], threshold: float) -> int:
    return len(ascending) - int(np.searchsorted(ascending, threshold))


def _quantile(values: NDArray[np.float64], share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else float("nan")
