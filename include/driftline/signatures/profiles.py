"""Profiles: what each entity did in the slots of workdays and of weekend days, in each of several spans."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

SATURDAY = 5


def slots_of(resolution: timedelta) -> int:
    """How many slots a day has."""
    return round(86_400 / resolution.total_seconds())


def bins_of(times: NDArray[np.datetime64], resolution: timedelta, zone: str) -> NDArray[np.intp]:
    """Which bin each bucket (T,) falls into by the clock of a zone: its slot of the day, weekend days after the workdays.

    Where a bucket is of two slots or days, it is of the one that holds more of it.
    """
    middle = pd.DatetimeIndex(times) + resolution / 2 - timedelta(milliseconds=1)
    local = middle.tz_localize("UTC").tz_convert(zone)
    seconds = local.hour * 3600 + local.minute * 60
    slot = np.asarray(seconds // int(resolution.total_seconds()), dtype=np.intp)
    return slot + slots_of(resolution) * np.asarray(local.day_of_week >= SATURDAY, dtype=np.intp)


@dataclass
class Sums:
    """What entities did in spans.

    Attributes:
        counts: (E, S, B) documents.
        hours: (S, B) buckets that each bin had in each span.
        features: (E, S, F) levels of the features; NaN where there is none.
        mix: (E, S, C) documents with each value of the mix; C is 0 where there is none.
    """

    counts: Matrix
    hours: Matrix
    features: Matrix
    mix: Matrix

    def span(self, which: int) -> Sums:
        """One of the spans."""
        part = slice(which, which + 1)
        return Sums(self.counts[:, part], self.hours[part], self.features[:, part], self.mix[:, part])

    def take(self, rows: NDArray[np.intp]) -> Sums:
        """Some of the entities; −1 stands for one that did nothing."""
        if not len(self.counts):
            counts, features, mix = (np.zeros((len(rows), *each.shape[1:])) for each in (self.counts, self.features, self.mix))
        else:
            counts, features, mix = (each[rows] for each in (self.counts, self.features, self.mix))
        missing = rows < 0
        counts[missing], mix[missing], features[missing] = 0.0, 0.0, np.nan
        return Sums(counts, self.hours, features, mix)


def sums_of(counts: Matrix, measured: list[tuple[str, Matrix]], bins: NDArray[np.intp], spans: list[slice], size: int) -> Sums:
    """Sums over spans of buckets, without a mix.

    Args:
        counts: (E, T) documents in buckets.
        measured: For each feature its metric, and its (E, T) values, NaN where there is none.
        bins: (T,) the bin of each bucket.
        spans: Columns of each span.
        size: How many bins there are.
    """
    entities = len(counts)
    out = np.zeros((entities, len(spans), size))
    hours = np.zeros((len(spans), size))
    features = np.full((entities, len(spans), len(measured)), np.nan)
    for number, part in enumerate(spans):
        chosen = np.zeros((len(bins[part]), size))
        chosen[np.arange(len(chosen)), bins[part]] = 1.0
        out[:, number] = counts[:, part] @ chosen
        hours[number] = chosen.sum(axis=0)
        for place, (metric, values) in enumerate(measured):
            features[:, number, place] = _level(metric, values[:, part], counts[:, part])
    return Sums(out, hours, features, np.zeros((entities, len(spans), 0)))


def _level(metric: str, values: Matrix, counts: Matrix) -> Matrix:
    """(E,) the level of a feature in a span; means are weighted by what they are means of."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    some = known.any(axis=1)
    if metric == "sum":
        # a sum of nothing is 0; its logarithm makes twice as much as far from once as half as much
        return np.asarray(np.sign(filled.sum(axis=1)) * np.log1p(np.abs(filled.sum(axis=1))))
    if metric == "avg":
        weight = np.where(known, counts, 0.0)
        total = weight.sum(axis=1)
        return np.divide((filled * weight).sum(axis=1), total, out=np.full(len(values), np.nan), where=total > 0)
    extreme = np.where(known, values, np.inf if metric == "min" else -np.inf)
    return np.where(some, extreme.min(axis=1) if metric == "min" else extreme.max(axis=1), np.nan)
