"""Ahead: what a snapshot can carry forward, part by part, and the documents of it. Nothing is held that is not being written."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from scipy.stats import norm

from driftline.core.results import Maker, number, numbers
from driftline.core.ruling import time_shifts
from driftline.core.series import SeriesKey
from driftline.core.timespan import parse_time
from driftline.elastic import snapshots
from driftline.elastic.bulk import index_action
from driftline.models.baseline.design import shifted
from driftline.models.trained import Trained
from driftline.scoring.calibration import Calibration
from driftline.scoring.hours import hours_of
from driftline.scoring.usual import Usual, slots

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.progress import Progress

    Floats = NDArray[np.float64]
    Times = NDArray[np.datetime64]
    Bounds = tuple[Floats, Floats, Floats]

INTERVAL = 0.95  # share of values between a forecast's bounds
BLOCK = 1_000_000  # values that are predicted at once, some hundred megabytes
STEPS = 100_000  # of them at most so many of one series: its seasonal terms are thirty columns
FIELDS = ("forecast_lower", "forecast_prediction", "forecast_upper")
LINEAGE = ("snapshot_id", "training_start", "training_end")
LISTED = 10  # series in the summary
NEVER_NEGATIVE = {"count", "distinct_count", "varp", "info_content"}
SECONDS_A_DAY = 86_400
WHY_NOT = {
    "rare": "what is rare has no course over time",
    "time": "times of day and week have no course over time",
    "place": "places have no course over time",
    "population": "how often members have rare values has no course over time",
}


class Part(Protocol):
    """N series that are predicted together."""

    keys: list[SeriesKey]

    @property
    def size(self) -> Floats:
        """(N,) how large they are."""

    def select(self, rows: Sequence[int]) -> Part:
        """Some of them."""

    def predict(self, times: Times) -> tuple[Bounds, Bounds]:
        """Lower, typical and upper (N, T) at UTC times: as if noise was the same at all hours, and as it is at each."""

    def passing(self, times: Times) -> NDArray[np.bool_] | None:
        """(N, T) where something comes that is soon over, as habits are; None if nothing does."""


class Modelled:
    """Series with models of their own."""

    def __init__(self, trained: Trained, shifts: Sequence[Sequence[float]]) -> None:
        self.keys, self._trained, self._shifts = trained.keys, trained, shifts

    @property
    def size(self) -> Floats:
        """The largest value of each history."""
        return self._trained.fleet.scale

    def select(self, rows: Sequence[int]) -> Part:
        """See `Part`."""
        return Modelled(self._trained.select(rows), self._shifts)

    def predict(self, times: Times) -> tuple[Bounds, Bounds]:
        """See `Part`."""
        clocks, fleet, usual = shifted(times, self._shifts), self._trained.fleet, Calibration.from_numbers(self._trained.usual)
        mean = fleet.mean(clocks)
        half = fleet.half_width(clocks, interval=INTERVAL, sigma=usual.scale)
        width, spread = float(norm.ppf(0.5 + INTERVAL / 2)), fleet.spread(clocks)
        if spread is not None:
            half = np.hypot(half, width * spread)
        plain = fleet.to_units(mean - half), fleet.to_units(mean), fleet.to_units(mean + half)
        noise = usual.noise(hours_of(fleet.clocks(clocks)), len(clocks))
        if noise is None:
            return plain, plain
        half = np.sqrt(np.maximum(half**2 + width**2 * (noise**2 - usual.scale[:, None] ** 2), 0.0))
        return plain, (fleet.to_units(mean - half), plain[1], fleet.to_units(mean + half))

    def passing(self, times: Times) -> NDArray[np.bool_] | None:
        """See `Part`."""
        spread = self._trained.fleet.spread(shifted(times, self._shifts))
        return None if spread is None else spread > 0


class Typical:
    """Populations of one detector: what a member usually has."""

    def __init__(self, job: Job, keys: list[SeriesKey], usual: Usual, rows: Sequence[int], since: datetime) -> None:
        self.keys, self._job, self._usual, self._rows, self._since = keys, job, usual, rows, since

    @property
    def size(self) -> Floats:
        """The largest usual value of each."""
        return self._usual.size[list(self._rows)]

    def select(self, rows: Sequence[int]) -> Part:
        """See `Part`."""
        keys, inner = [self.keys[row] for row in rows], [self._rows[row] for row in rows]
        return Typical(self._job, keys, self._usual, inner, self._since)

    def predict(self, times: Times) -> tuple[Bounds, Bounds]:
        """See `Part`."""
        local = pd.DatetimeIndex(times).tz_localize("UTC").tz_convert(self._job.zone).tz_localize(None)
        day = local.to_numpy().astype("datetime64[D]").astype(np.int64)
        slot = slots(day, np.asarray(local.hour, dtype=np.int64))
        begin = np.datetime64(self._since.astimezone(UTC).replace(tzinfo=None), "ms")
        days = (times - begin).astype("timedelta64[ms]").astype(np.float64) / (SECONDS_A_DAY * 1000)
        width = float(norm.ppf(0.5 + INTERVAL / 2))
        rows = [self._usual.ahead(row, slot, days, width) for row in self._rows]
        lower, typical, upper = (np.array(each) for each in zip(*rows, strict=True))
        return (lower, typical, upper), (lower, typical, upper)

    def passing(self, times: Times) -> NDArray[np.bool_] | None:
        """See `Part`."""
        return None


def parts(client: Elasticsearch, job: Job, manifest: dict[str, Any], wanted: set[str], until: datetime) -> Iterator[Part]:
    """What a snapshot can carry forward, as it lies in its chunks; with `wanted` only series with one of these split values."""
    ends = [parse_time(manifest["training_end"]), until]
    shifts = time_shifts(job, min(ends), max(ends))
    for chunk in snapshots.chunks(client, manifest):
        trained = Trained.from_numbers(chunk)
        if rows := [row for row in trained.fitted if not wanted or wanted & set(trained.keys[row][1:])]:
            yield Modelled(trained.select(rows), shifts)
    for detector in _populations(job):
        numbers = (snapshots.detector_chunk(client, manifest, detector) or {}).get("usual")
        if numbers and numbers["names"]:
            keys = [SeriesKey(detector, *name) for name in numbers["names"]]
            whole = Typical(job, keys, Usual.from_numbers(numbers), range(len(keys)), ends[0])
            if rows := [row for row, key in enumerate(keys) if not wanted or wanted & set(key[1:])]:
                yield whole.select(rows)


def _populations(job: Job) -> list[int]:
    return [n for n, each in enumerate(job.detectors) if each.kind == "population" and each.spec.family == "measured"]


def left_out(job: Job) -> list[str]:
    """Which detectors have nothing to forecast, and why."""
    able = {*_populations(job), *(n for n, each in enumerate(job.detectors) if each.kind == "series")}
    return [
        f"detector {n} ({each.description}) is not forecast: {WHY_NOT[each.kind]}"
        for n, each in enumerate(job.detectors)
        if n not in able
    ]


class Writing:
    """The documents of a forecast, as they are made: some series and some of their buckets at a time."""

    def __init__(self, job: Job, manifest: dict[str, Any], forecast_id: str, index: str) -> None:
        self.series = 0
        self.largest: list[tuple[float, dict[str, Any]]] = []
        self._job, self._id, self._index = job, forecast_id, index
        self._maker = Maker(job, "model_forecast", {name: manifest[name] for name in LINEAGE}, extra=(forecast_id,))

    def actions(self, found: Iterator[Part], begin: datetime, steps: int, tell: Progress | None, total: int) -> Iterator[bytes]:
        """All of it; a part is forgotten when the next one comes."""
        edges = np.linspace(0, steps, -(-steps // STEPS) + 1).astype(np.int64).tolist()
        most = max(1, BLOCK // min(steps, STEPS))
        for part in found:
            for first in range(0, len(part.keys), most):
                block = part.select(range(first, min(first + most, len(part.keys))))
                yield from self._block(block, begin, edges)
                self.series += len(block.keys)
                if tell:
                    tell("series forecast", self.series, total)

    def _block(self, part: Part, begin: datetime, edges: list[int]) -> Iterator[bytes]:
        """The documents of a part's series, some of their buckets at a time."""
        start, step = np.datetime64(begin.replace(tzinfo=None), "ms"), np.timedelta64(self._job.span_seconds * 1000, "ms")
        reach = np.zeros((2, len(part.keys), 1))
        positive = np.array([self._job.detectors[key.detector_index].spec.metric in NEVER_NEGATIVE for key in part.keys])
        total = np.zeros(len(part.keys))
        ends: list[list[Floats]] = []
        for low, high in pairwise(edges):
            times = start + np.arange(low, high) * step
            bounds, reach = _widened(part.predict(times), part.passing(times), reach, positive[:, None])
            total += np.nansum(bounds[1], axis=1)
            ends = [ends[0] if ends else [bound[:, 0] for bound in bounds], [bound[:, -1] for bound in bounds]]
            stamps: list[int] = times.astype(np.int64).tolist()
            for row, key in enumerate(part.keys):
                columns = {name: numbers(bound[row]) for name, bound in zip(FIELDS, bounds, strict=True)}
                for id_, _, document in self._maker.rows(key, stamps, columns, forecast_id=self._id):
                    yield index_action(self._index, id_, document)
        self._summarise(part.keys, total / edges[-1], ends)

    def _summarise(self, keys: list[SeriesKey], means: Floats, ends: list[list[Floats]]) -> None:
        for row in np.argsort(-means, kind="stable")[:LISTED].tolist():
            told = {
                name: {side: number(bound[row], 4) for side, bound in zip(("lower", "prediction", "upper"), bounds, strict=True)}
                for name, bounds in zip(("first", "last"), ends, strict=True)
            }
            about = {"series": keys[row].label(), "detector_index": keys[row].detector_index, "mean": number(means[row], 4)}
            self.largest.append((float(means[row]), about | told))
        self.largest = sorted(self.largest, key=lambda pair: -pair[0])[:LISTED]


def _widened(
    predicted: tuple[Bounds, Bounds], passing: NDArray[np.bool_] | None, reach: Floats, positive: NDArray[np.bool_]
) -> tuple[Bounds, Floats]:
    """Bounds (N, T) that are never nearer than `reach` (2, N, 1) says of the buckets before, and how far they are now.

    Nobody knows more of a later bucket than of an earlier one, so the distance of each bound is at least that of every bucket
    before it, also where the level falls (at night, a count's noise is smaller). But hours that are loud or quiet are so each
    day: it is the distance without that. What is `passing` (N, T) says nothing of what follows.
    """
    plain, own = (np.stack([typical - low, high - typical]) for low, typical, high in predicted)
    far = np.maximum(np.maximum.accumulate(plain if passing is None else np.where(passing, 0.0, plain), axis=2), reach)
    below, above = np.maximum(far * np.divide(own, plain, out=np.ones_like(own), where=plain > 0), own)
    typical = predicted[0][1]
    lower, middle, upper = (
        np.where(positive, np.maximum(part, 0.0), part) for part in (typical - below, typical, typical + above)
    )
    return (lower, middle, upper), far[:, :, -1:]
