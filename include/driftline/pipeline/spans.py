"""Which bucket span suits the data: the shortest at which series are there in most buckets, and not mostly noise.

A series is *filled* at a span if four of five buckets hold documents; hours of the day, and days, at which it rests as a rule do
not count. It is *clear* if its noise (how much neighbouring buckets differ) is at most half its level, or half of what it goes up
and down by. A count that is nothing but chance is clear from four documents a bucket on; what comes in bursts, say every ten
minutes, is clear only at spans that always hold some. More than half of the series must be filled, and clear where a longer span
would make them so. With a daily cycle noise asks for no more than three hours, which leave eight buckets of a day. And the
training window should hold no more values than a machine has memory for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from driftline.core.timespan import format_span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from driftline.elastic.survey import Sample

STEP = 60  # seconds of the finest look
SPANS = tuple(timedelta(minutes=m) for m in (1, 5, 15, 30, 60, 180, 360, 720, 1440))
FILLED = 0.8  # a fifth may be empty: nights, and gaps that quality.min_complete will warn of
CLEAR = 0.5  # a bucket that doubles, or falls silent, is then two deviations out
MOST = 0.5  # of the series
CYCLE_MOST = timedelta(hours=3)
VALUES_MOST = 50_000_000  # series × buckets of a window: 2 GB of working memory (estimate.py)
TRIMMED = 0.98  # the largest differences are anomalies' own
RESTS, RESTS_FROM = 0.05, 300  # of the mean: nights of an office, and its weekends; documents: with fewer, chance empties hours
HOUR = 3600 // STEP
LEAST = 5  # buckets that tell anything

DAILY = WEEKLY = 0.3  # correlation with the day (week) before; chance alone gives 0.04 to 0.15 in four to one weeks of hours


@dataclass(frozen=True)
class Judged:
    """How a span does.

    Attributes:
        span: The bucket span.
        filled: Share of the series that are filled.
        clear: Share of the series that are clear.
        buckets: Share of non-empty buckets of the series in the middle.
    """

    span: timedelta
    filled: float
    clear: float
    buckets: float


@dataclass(frozen=True)
class Choice:
    """A span, why, and what the others would have been.

    Attributes:
        span: The suggested bucket span; None where nothing could be looked at.
        reason: One sentence.
        judged: All spans that were looked at.
    """

    span: timedelta | None
    reason: str
    judged: list[Judged]

    def of(self, span: timedelta) -> Judged | None:
        """How the longest span does that was looked at and is no longer than this one."""
        found = [one for one in self.judged if one.span <= span]
        return found[-1] if found else None


def choose(samples: Sequence[Sample], *, series: int, window: timedelta, daily: bool) -> Choice:
    """The span for some series.

    Args:
        samples: Some of the series, by steps of `STEP` seconds.
        series: How many there are in all.
        window: The training window.
        daily: Whether there is a daily cycle.
    """
    judged = [_judge(samples, span) for span in SPANS if samples and len(samples[0].docs) * STEP >= LEAST * span.total_seconds()]
    if not judged:
        return Choice(None, "there is too little data to tell", [])
    fitting = [one for one in judged if series * (window / one.span) <= VALUES_MOST] or judged[-1:]
    filled = [one for one in fitting if one.filled > MOST]
    if not filled:
        last = judged[-1]
        return Choice(last.span, f"most series are empty in many buckets even of {format_span(last.span)}", judged)
    limit = max(filled[0].span, CYCLE_MOST) if daily else SPANS[-1]
    allowed = [one for one in filled if one.span <= limit]
    best = next((one for one in allowed if one.clear > MOST), None)
    # where no span is clear, noise is what the data is, and longer buckets would only be later
    chosen = best or filled[0]
    return Choice(chosen.span, _reason(chosen, fitting[0], filled[0], best is not None, len(judged) > len(fitting)), judged)


def _reason(chosen: Judged, first: Judged, filled: Judged, clear: bool, costly: bool) -> str:
    span = format_span(chosen.span)
    if not clear:
        return f"{span} is the shortest span with documents in most buckets; noise is what the data is at any span"
    if chosen.span > filled.span:
        return f"below {span} most series are mostly noise"
    if chosen.span > first.span:
        return f"below {span} most series are empty in too many buckets"
    return f"{span} is the shortest for so many series" if costly and first is chosen else f"series are full and clear at {span}"


def _judge(samples: Sequence[Sample], span: timedelta) -> Judged:
    shares = np.array([_share(one, span) for one in samples])
    clear = np.array([_clear(one, span) for one in samples])
    return Judged(span, float((shares >= FILLED).mean()), float(clear.mean()), float(np.median(shares)))


def _blocks(values: NDArray[np.float64], span: timedelta) -> NDArray[np.float64]:
    wide = int(span.total_seconds()) // STEP
    whole = len(values) // wide * wide
    return values[:whole].reshape(-1, wide)


def _share(sample: Sample, span: timedelta) -> float:
    docs, awake = _blocks(sample.docs, span).sum(axis=1), _blocks(_awake(sample.docs), span).sum(axis=1) > 0
    return float((docs[awake] > 0).mean()) if awake.any() else 0.0


def _awake(docs: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 for steps in hours of the day, and in days, that hold more than next to nothing of a mean hour, or day; else 0."""
    steps = np.arange(len(docs))
    there = np.ones(len(docs), dtype=bool)
    for place in ((steps // HOUR) % 24, steps // (24 * HOUR)):
        total, size = np.bincount(place, docs), np.bincount(place)
        rate = total / np.maximum(size, 1)
        there &= (rate >= RESTS * docs.mean())[place]
    told = len(docs) >= 2 * 24 * HOUR and docs.sum() >= RESTS_FROM
    return there.astype(np.float64) if told else np.ones(len(docs))


def _clear(sample: Sample, span: timedelta) -> bool:
    docs = _blocks(sample.docs, span)
    series = docs.sum(axis=1)
    if sample.value is not None and sample.adds_up:
        series = np.nansum(_blocks(sample.value, span), axis=1)
    elif sample.value is not None:
        value = _blocks(sample.value, span)
        weight = np.where(np.isnan(value), 0, docs)
        total = weight.sum(axis=1)
        with np.errstate(invalid="ignore"):
            series = np.where(total > 0, (np.nan_to_num(value) * weight).sum(axis=1) / total, np.nan)
    if np.isfinite(series).sum() < LEAST:
        return False
    lags = [1, round(timedelta(days=1) / span)] if timedelta(hours=1) < span < timedelta(days=1) else [1]
    noise = min(_noise(series, lag) for lag in lags)
    level, swing = abs(float(np.nanmean(series))), _swing(series, span)
    return noise <= CLEAR * max(level, swing)


def _noise(series: NDArray[np.float64], lag: int) -> float:
    """The deviation that differences of buckets `lag` apart show, without the largest of them."""
    steps = np.abs(series[lag:] - series[:-lag])
    steps = steps[np.isfinite(steps)]
    if len(steps) < LEAST:
        return np.inf
    return float(np.sqrt((np.sort(steps)[: max(LEAST, int(TRIMMED * len(steps)))] ** 2).mean() / 2))


def _swing(series: NDArray[np.float64], span: timedelta) -> float:
    """What a series goes up and down by from one third of a day to the next, beyond what noise would."""
    wide = max(1, int(timedelta(hours=8) / span))
    whole = len(series) // wide * wide
    parts = series[:whole].reshape(-1, wide)
    known = np.isfinite(parts).any(axis=1)
    return float(np.nanmean(parts[known], axis=1).std()) if wide > 1 and known.sum() > 2 else 0.0


def seasons(hourly: NDArray[np.float64]) -> tuple[bool, bool]:
    """Whether counts by the hour have a daily, and a weekly, cycle: correlation with a day, and a week, before.

    A weekly cycle is what is left when each hour of the day has its mean. It needs two weeks, as a daily one needs two days.
    """
    daily = _correlation(hourly, 24) > DAILY if len(hourly) >= 48 else False
    if len(hourly) < 2 * 168:
        return daily, False
    place = np.arange(len(hourly))
    level = hourly - np.polyval(np.polyfit(place, hourly, 1), place)  # who grows is like himself a week before, too
    whole = level[: len(hourly) // 24 * 24].reshape(-1, 24)
    return daily, _correlation((whole - whole.mean(axis=0)).ravel(), 168) > WEEKLY


def _correlation(values: NDArray[np.float64], lag: int) -> float:
    before, after = values[:-lag], values[lag:]
    if min(before.std(), after.std()) <= 1e-9 * max(1.0, float(np.abs(values).max())):  # a constant, but for rounding
        return 0.0
    return float(np.corrcoef(before, after)[0, 1])
