"""Replay: series scored as it would have happened, with models that knew only what came before. Nothing but arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.models.baseline.design import wall_clock
from driftline.pipeline.fit import fit_series
from driftline.pipeline.gaps import spread, with_gaps
from driftline.scoring.bursts import rare_bursts
from driftline.scoring.calibration import calibrate
from driftline.scoring.detector import detect
from driftline.scoring.events import alarms
from driftline.scoring.hours import hours_of
from driftline.scoring.kinds import KINDS, kinds
from driftline.scoring.recurrence import peaks
from driftline.scoring.score import to_score
from driftline.scoring.settings import CHANGE_MOST, CHANGES, HISTORY, MIN_RECORD_SCORE, TREND_FROM, WEEKLY_FROM
from driftline.scoring.statistics import clock_moves
from driftline.scoring.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from driftline.core.functions import Side
    from driftline.core.progress import Progress

FIRST = 24  # readings that a first model needs
GROWN = np.array([round(age.total_seconds()) for age in (TREND_FROM, WEEKLY_FROM)], "m8[s]")  # from when on models know more
DAY = np.timedelta64(1, "D")
WEEK = GROWN[-1]  # until then a weekend is news to the model, but to nobody else
CHANGED = [KINDS.index(name) for name in CHANGES]
A_DAY = 6  # how often a day what is usual is measured again


@dataclass
class Replayed:
    """What was said of (N, T) buckets when each was the newest.

    Attributes:
        lower, typical, upper: The band that was expected, in the series' units; NaN while nothing was known.
        probability: Of a bucket at least this unusual; 1 where nothing was known.
        record_score: 0–100, every anomalous bucket.
        anomaly_score: 0–100, of the buckets that would have alarmed: not those of an incident that was reported already.
        kind: Codes into KINDS; 0 where nothing is anomalous.
    """

    lower: NDArray[np.float64]
    typical: NDArray[np.float64]
    upper: NDArray[np.float64]
    probability: NDArray[np.float64]
    record_score: NDArray[np.float64]
    anomaly_score: NDArray[np.float64]
    kind: NDArray[np.int8]

    @classmethod
    def nothing(cls, shape: tuple[int, ...]) -> Replayed:
        """Buckets of which nothing was known."""
        lower, typical, upper = (np.full(shape, np.nan) for _ in range(3))
        return cls(lower, typical, upper, np.ones(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int8))


def replay(
    times: NDArray[np.datetime64],
    values: NDArray[np.float64],
    *,
    sqrt: NDArray[np.bool_] | bool = False,
    sizes: NDArray[np.float64] | None = None,
    sums: NDArray[np.bool_] | None = None,
    sides: list[Side] | None = None,
    options: Mapping[str, Any] | None = None,
    history: timedelta = HISTORY,
    start: int = FIRST,
    a_day: int = A_DAY,
    progress: Progress | None = None,
) -> Replayed:
    """Scores every bucket with a model fitted, and a calibration measured, on earlier ones only.

    Models are fitted anew every day, and ever more often before the first is over. Residuals are those that the model of their
    time had: what is usual is measured on predictions, not on fits. And what came before is what was found then. Where readings
    come at a steady pace, those that did not come are missing ones (`gaps.with_gaps`): the same time of day stays so many back.

    Args:
        times: (T,) starts of the buckets or times of the readings, UTC, ascending.
        values: (N, T), NaN where missing.
        sqrt: Whether to model square roots (counts), for all or for each series.
        sizes: (N, T) of how many documents each value is a mean; NaN for what is none.
        sums: (N,) which series are sums of documents.
        sides: Which deviations each series reports; both by default.
        options: Of the models, as of `fit_options`.
        history: How much models learn from.
        start: The first bucket that is scored; what lies before it is learned from.
        a_day: How often a day what is usual is measured again.
        progress: Told how far it is.
    """
    flags = np.broadcast_to(np.asarray(sqrt, dtype=bool), (len(values),)).copy()
    out, begins = Replayed.nothing(values.shape), begun_anew(times)
    for first, end in zip(begins, [*begins[1:], len(times)], strict=True):
        part = slice(first, end)
        given = _Given(flags, None if sizes is None else sizes[:, part], sums, sides, options or {}, history)
        found = _with_gaps(times[part], values[:, part], given, max(start - first, FIRST if first else 0), a_day, progress)
        for each in fields(found):
            getattr(out, each.name)[:, part] = getattr(found, each.name)
    return out


def begun_anew(times: NDArray[np.datetime64]) -> list[int]:
    """Where series begin: at first, and after each gap that says nothing is known any longer.

    It is longer than all that was before it, which was not yet a week, and than a model's first readings usually take: a few
    hours, or a single wrong stamp, of long ago tell as little of today as nothing does.
    """
    begins, steps = [0], np.diff(times)
    if not len(steps) or np.median(steps[:FIRST]) >= DAY:
        return begins
    for at in (np.flatnonzero(steps > DAY) + 1).tolist():
        before, gap, usual = times[at - 1] - times[begins[-1]], steps[at - 1], steps[: at - 1]
        if before < min(WEEK, gap) and (at == 1 or gap > FIRST * np.median(usual)):
            begins.append(at)
    return begins


def _with_gaps(
    times: NDArray[np.datetime64],
    values: NDArray[np.float64],
    given: _Given,
    start: int,
    a_day: int,
    progress: Progress | None,
) -> Replayed:
    """As `replay`, of what begins but once."""
    whole, there = with_gaps(times)
    if len(whole) == len(times):
        return _replayed(times, values, given, start, a_day, progress)
    start = int(there[start]) if start < len(times) else len(whole)
    given.sizes = None if given.sizes is None else spread(given.sizes, there, len(whole))
    found = _replayed(whole, spread(values, there, len(whole)), given, start, a_day, progress)
    return Replayed(*(getattr(found, each.name)[:, there] for each in fields(found)))


@dataclass
class _Given:
    """What is told of series besides their values, as of `replay`."""

    sqrt: NDArray[np.bool_]
    sizes: NDArray[np.float64] | None
    sums: NDArray[np.bool_] | None
    sides: list[Side] | None
    options: Mapping[str, Any]
    history: timedelta

    def sizes_of(self, part: slice) -> NDArray[np.float64] | None:
        """Of how many documents values are, in some buckets."""
        return None if self.sizes is None else self.sizes[:, part]


def _replayed(
    times: NDArray[np.datetime64],
    values: NDArray[np.float64],
    given: _Given,
    start: int,
    a_day: int,
    progress: Progress | None,
) -> Replayed:
    """As `replay`, of buckets without gaps between them."""
    (count, width), flags = values.shape, given.sqrt
    out = Replayed.nothing(values.shape)
    if width <= start:
        return out
    surprise, told = np.zeros(values.shape), np.zeros(values.shape)
    alone = np.full(values.shape, np.nan)
    smooth, mean, varies = np.full(values.shape, np.nan), np.full(values.shape, np.nan), np.zeros(values.shape)
    space = np.where(flags[:, None], np.sqrt(np.maximum(values, 0.0)), values)
    local = wall_clock(times, given.options)
    now, due, fleet, older = start, start, None, np.zeros(count, dtype=np.intp)
    begun = times[np.isfinite(values).argmax(axis=1)]

    def beside(part: slice) -> dict[str, Any]:
        wide = varies[:, part]
        moves = clock_moves(times[part], local[part], windows)
        hours = hours_of([(np.arange(count), local[part])])
        return {"hours": hours, "sizes": given.sizes_of(part), "spread": wide if wide.any() else None, "moves": moves}

    while now < width:
        span = timedelta(seconds=float(np.median(np.diff(times[:now])) / np.timedelta64(1, "s")))
        windows = Windows.of(max(span, timedelta(milliseconds=1)))
        first = max(0, now - round(given.history / timedelta(days=1) * windows.day))
        if now >= due or fleet is None:
            fleet = fit_series(times[first:now], values[:, first:now], span, sqrt=flags, **given.options)
            # what came before a first model is known by that model only; days and weeks by the first that knows them
            older, younger = ((times[now] - begun)[:, None] >= GROWN).sum(axis=1), older
            new = np.isnan(smooth[:, 0]) | (older > younger)
            if new.any():
                smooth[new, :now] = fleet.smooth.mean(times[:now])[new]
            # but habits of the past are those that are known now: what has just become one was none in any model before
            moved, varies[:, first:now] = fleet.habitual(times[first:now])
            curve = smooth[:, first:now] + moved
            mean[:, first:now] = curve - fleet.own_part(times[first:now], space[:, first:now] - curve, span)
            due = now + (max(8, windows.day) if now >= windows.day else max(8, now // 2))
        end = min(width, due, now + max(8, windows.day // a_day))
        smooth[:, now:end] = fleet.smooth.mean(times[now:end])
        moved, varies[:, now:end] = fleet.habitual(times[now:end])
        mean[:, now:end] = smooth[:, now:end] + moved
        past = slice(first, now)
        known = (values[:, past], space[:, past], mean[:, past])
        mask = rare_bursts(*known[1:], flags, windows)
        usual = calibrate(*known, flags, windows, mask, sums=given.sums, **beside(past)).usual
        usual.peaks = peaks(alone[:, :now], windows)
        begin = max(first, now - windows.lookback)
        part = slice(begin, end)
        young = np.broadcast_to(((times[now] - begun < WEEK) & (span < timedelta(days=1)))[:, None], (count, end - begin))
        seen = values[:, part], space[:, part], mean[:, part]
        found = detect(*seen, flags, usual, windows, sides=given.sides, learning=young, **beside(part))
        new, fresh = slice(now, end), slice(now - begin, end - begin)
        out.kind[:, new] = kinds(found, space[:, part], usual, windows)[:, fresh]
        alone[:, new] = np.where(np.isnan(found.z), np.nan, found.alone)[:, fresh]
        surprise[:, new] = found.surprise[:, fresh]
        score = out.record_score[:, new] = to_score(found.surprise[:, fresh], span)
        told[:, new] = np.where(np.isin(out.kind[:, new], CHANGED), np.minimum(score, CHANGE_MOST), score)
        for name, bound in zip(("lower", "typical", "upper"), found.bounds(), strict=True):
            getattr(out, name)[:, new] = fleet.to_units(bound[:, fresh])
        # alarms look back, in buckets of the span as it was known then
        rested = slice(max(0, now - windows.alarm_reach), end)
        news = alarms(told[:, rested], windows)[:, -(end - now) :]
        out.anomaly_score[:, new] = np.where(news, told[:, new], 0.0)
        now = end
        if progress:
            progress("buckets replayed", now, width)
    out.probability[:] = 10.0**-surprise
    out.kind[(out.record_score < MIN_RECORD_SCORE) & (out.anomaly_score == 0)] = 0
    return out
