"""What a detector that compares sees: the cells that were staged for it, as what it compares."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pandas as pd

from driftline.core.ruling import unlearned
from driftline.core.series import SeriesKey
from driftline.core.timespan import parse_time
from driftline.elastic.cellfile import decoded
from driftline.elastic.read import places
from driftline.scoring.conditional import Pairs
from driftline.scoring.novelty import Sightings
from driftline.scoring.places import Visits
from driftline.scoring.population import Members
from driftline.scoring.rarity import mixed

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.elastic.read import Cells
    from driftline.scoring.rarity import Floats, Hashes, Ints

SLOT, WEEK_SLOT = timedelta(minutes=15), timedelta(hours=1)


class Seen:
    """The cells of one detector with what they are about: C cells, as columns; of a share `value` is the share."""

    def __init__(self, job: Job, number: int, cells: Cells, value: Floats, other: Floats) -> None:
        self.job, self.number, self.detector, self.cells, self.value, self.other = (
            job,
            number,
            job.detectors[number],
            cells,
            value,
            other,
        )
        columns = list(zip(*cells.keys, strict=True)) or [(), (), ()]
        hashes = [_hashed(column) for column in columns]
        self.partition, self.by, self.over = (column[cells.row] for column in hashes)
        stamps = pd.to_datetime(np.unique(cells.bucket) * job.span_seconds, unit="s", utc=True).tz_convert(job.zone)
        self._at = np.searchsorted(np.unique(cells.bucket), cells.bucket)
        self._stamps = stamps

    @classmethod
    def read(cls, job: Job, batch: dict[str, Any]) -> Seen:
        """What was staged; buckets without a value are left out."""
        with fsspec.open(batch["uri"], "rb") as file:
            cells = decoded(file.read())
        detector = job.detectors[batch["detector"]]
        value = other = _read(cells, batch["metric"], zero=detector.kind == "given" and detector.spec.empty_is_zero)
        if detector.other:
            other = _read(cells, batch["other"], zero=detector.other.spec.empty_is_zero)
        if detector.per:
            # where there is nothing of the other there is no share
            value = np.divide(value, other, out=np.full(len(value), np.nan), where=other > 0)
        known = ~(np.isnan(value) | np.isnan(other))
        return cls(job, batch["detector"], cells.where(known), value[known], other[known])

    @property
    def bucket(self) -> Ints:
        """(C,) numbers of buckets."""
        return self.cells.bucket

    @property
    def hour(self) -> Ints:
        """(C,) local hour of the day."""
        return np.asarray(self._stamps.hour, dtype=np.int64)[self._at]

    @property
    def day(self) -> Ints:
        """(C,) local day, counted from the epoch."""
        return self._days()[self._at]

    @property
    def group(self) -> Hashes:
        """(C,) what is looked at apart from the others: the partition, and the by field where that is not what is rare."""
        return self.partition if "rare" in self.detector.spec.family else mixed(self.partition, self.by)

    def key(self, cell: int) -> SeriesKey:
        """What a cell is about."""
        return self._key(self.cells.row[cell])

    def _key(self, row: int) -> SeriesKey:
        detector, (partition, by, over) = self.detector, self.cells.keys[row]
        return SeriesKey(
            self.number,
            partition if detector.partition_field_name else None,
            by if detector.by_field_name else None,
            over if detector.over_field_name else None,
        )

    def where(self, chosen: NDArray[np.bool_]) -> Seen:
        """Some of the cells."""
        part = Seen.__new__(Seen)
        part.job, part.number, part.detector, part._stamps = self.job, self.number, self.detector, self._stamps
        part.cells = self.cells.where(chosen)
        for name in ("value", "other", "partition", "by", "over", "_at"):
            setattr(part, name, getattr(self, name)[chosen])
        return part

    def between(self, start: str, end: str) -> NDArray[np.bool_]:
        """(C,) cells of an interval."""
        first, last = (int(parse_time(edge).timestamp()) // self.job.span_seconds for edge in (start, end))
        return (self.bucket >= first) & (self.bucket < last)

    def without(self, *, hidden: bool) -> Seen:
        """Without what nothing is learned from; with `hidden` only what there are no results of either."""
        keys = [self._key(row) for row in range(len(self.cells.keys))]
        times = (self.bucket * self.job.span_seconds).astype(np.float64)
        left_out = unlearned(self.job, keys, times, self.value, where=lambda chosen: chosen[self.cells.row], hidden=hidden)
        return self if left_out is None else self.where(~left_out)

    def _days(self) -> Ints:
        # counted by the local calendar, so that a day of 23 or 25 hours is one day
        midnight = self._stamps.tz_localize(None).normalize()
        return np.asarray((midnight - pd.Timestamp(0)) // pd.Timedelta(days=1), dtype=np.int64)

    def members(self) -> Members:
        """As a population."""
        return Members(self.group, self.over, self.bucket, self.value, self.hour, self.day)

    def sightings(self) -> Sightings:
        """As what may be rare; of times with slots."""
        member = self.over if self.detector.over_field_name else None
        if self.detector.kind == "rare":
            return Sightings(self.group, self.by, self.bucket, member)
        weekly = self.detector.spec.name == "time_of_week"
        width = max(WEEK_SLOT if weekly else SLOT, self.job.bucket_span)
        seconds, near = int(width.total_seconds()), 1 if weekly else max(1, round(timedelta(minutes=30) / width))
        slots = -(-86_400 // seconds)
        slot = np.asarray(self._stamps.hour * 3600 + self._stamps.minute * 60, dtype=np.int64) // seconds
        day = self._days()
        if weekly:
            slot, day = slot + (day + 3) % 7 * slots, (day + 3) // 7  # the epoch was a Thursday
            slots *= 7
        at = self._at
        return Sightings(self.group, slot[at].astype(np.uint64), self.bucket, member, day[at], slots, near, weekly)

    def visits(self) -> Visits:
        """As places."""
        lat, lon = places(self.value)
        return Visits(self.group, self.bucket, self.day, lat, lon)

    def pairs(self) -> Pairs:
        """As one metric given another; of a share as the amounts that it is of."""
        value = self.value * self.other if self.detector.per else self.value
        return Pairs(self.group, self.bucket, value, self.other, self.hour, self.day)


def _read(cells: Cells, metric: str | None, *, zero: bool) -> Floats:
    """(C,) what was measured; where that is nothing it is 0, if it is to be."""
    value = cells.values[metric] if metric else cells.docs.astype(np.float64)
    return np.nan_to_num(value) if zero else value


def _hashed(texts: Collection[str]) -> Hashes:
    return np.asarray(pd.util.hash_array(np.array(list(texts), dtype=object), categorize=False), dtype=np.uint64)
