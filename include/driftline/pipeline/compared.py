"""Detectors that compare: members of populations, and what is rare. They need no model of each series.

Their cells (non-empty buckets) are staged beside the series, a batch for each detector. A training measures what is usual, a
chunk of the snapshot for each; scoring judges an interval by it and, for what is rare, by what was seen since the training.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pandas as pd

from driftline.core.paths import whole
from driftline.core.ruling import reasons, unlearned
from driftline.core.series import SeriesKey
from driftline.core.timespan import Window, parse_time
from driftline.elastic import snapshots
from driftline.elastic.cellfile import decoded, encoded
from driftline.elastic.query import splits
from driftline.elastic.read import Cells, places
from driftline.pipeline.files import write_lines
from driftline.pipeline.store import stored_cells
from driftline.scoring.novelty import Novelty, Sightings
from driftline.scoring.places import Geography, Visits
from driftline.scoring.population import Members, Population
from driftline.scoring.rarity import Counts, mixed
from driftline.scoring.settings import SCORE_CURVE
from driftline.scoring.telling import Found, record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job, Kind
    from driftline.core.progress import Progress
    from driftline.scoring.rarity import Floats, Hashes, Ints

KINDS: tuple[Kind, ...] = ("population", "rare", "time", "place")
CELLS_MOST = 20_000_000  # that one reading takes, the newest: a gigabyte
RECORDS_MOST = 500  # of one detector and bucket, as in Elastic; the most surprising
SLOT, WEEK_SLOT = timedelta(minutes=15), timedelta(hours=1)
NO_PLOTS: dict[str, Any] = {"keys": [], "times": [], "lineage": {}}
RARE_AMONG = 0.05  # of the members: what no more of them have counts as rare for freq_rare


def compares(job: Job) -> bool:
    """Whether any of a job's detectors does."""
    return any(detector.kind in KINDS for detector in job.detectors)


def stage(
    client: Elasticsearch, job: Job, window: Window, *, uri: str, since: Window | None = None, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Reads the cells of a job's comparing detectors and stages them.

    Args:
        client: The cluster.
        job: What to read.
        window: From when to when, in whole buckets.
        uri: Of the frame that they go with.
        since: The window for detectors that must know what was seen before; by default the same.
        progress: Told how far the read is.

    Returns:
        Of each detector its `detector` number, `uri`, number of `cells`, and from when to when they are there.
    """
    out = []
    for number, split in enumerate(splits(job, KINDS)):
        remembers = any(job.detectors[detector].kind != "population" for detector in split.detectors)
        asked = since if since and remembers else window
        cells, start = stored_cells(client, job, split, asked, most=CELLS_MOST, progress=progress)
        place = f"{uri}.{number}.cells"
        with whole(place) as file:
            file.write(encoded(cells))
        staged = {"uri": place, "cells": len(cells.row), **Window(max(start, asked.start), asked.end).as_dict()}
        out += [{"detector": detector, "metric": split.metrics[detector], **staged} for detector in split.detectors]
    return out


def notes(job: Job, staged: list[dict[str, Any]], window: Window) -> list[str]:
    """What a reader should know of what was staged for a training."""
    short = [batch for batch in staged if parse_time(batch["start"]) > window.start]
    return [
        f"detector {batch['detector']} ({job.detectors[batch['detector']].description}) is trained on what came since "
        f"{batch['start']}: {CELLS_MOST:,} non-empty buckets are the most that is read"
        for batch in short
    ]


class Seen:
    """The cells of one detector with what they are about: C cells, as columns."""

    def __init__(self, job: Job, number: int, cells: Cells, metric: str | None) -> None:
        self.job, self.number, self.detector, self.cells = job, number, job.detectors[number], cells
        self.value: Floats = cells.values[metric] if metric else cells.docs.astype(np.float64)
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
        if batch["metric"]:
            cells = cells.where(~np.isnan(cells.values[batch["metric"]]))
        return cls(job, batch["detector"], cells, batch["metric"])

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
        for name in ("value", "partition", "by", "over", "_at"):
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


def _hashed(texts: Collection[str]) -> Hashes:
    return np.asarray(pd.util.hash_array(np.array(list(texts), dtype=object), categorize=False), dtype=np.uint64)


def fit_compared(job: Job, batch: dict[str, Any], *, out: str) -> dict[str, Any]:
    """Measures what is usual for one detector and stages it; as `train.fit_batch`."""
    seen = Seen.read(job, batch).without(hidden=False)
    groups = len(np.unique(seen.group))
    head = {"detector": batch["detector"], "groups": groups, "cells": len(seen.bucket)}
    write_lines(out, [head, {"detector": batch["detector"], "numbers": _fitted(seen)}])
    return {"uri": out, "trained": groups, "failed": 0, "fallbacks": 0}


def _fitted(seen: Seen) -> dict[str, Any]:
    kind = seen.detector.kind
    if kind == "place":
        return Geography.fit(seen.visits()).numbers()
    if kind != "population":
        return Novelty.fit(seen.sightings()).numbers()
    if seen.detector.spec.family == "freq_rare":
        common = _common(seen)
        return {**Population.fit(_with_rare(seen, common)[0].members()).numbers(), "common": common.numbers()}
    return Population.fit(seen.members()).numbers()


def _common(seen: Seen) -> Counts:
    """The values of partitions that more members have than what counts as rare."""
    what = mixed(seen.partition, seen.by)
    _, first = np.unique(mixed(what, seen.over), return_index=True)
    _, once = np.unique(mixed(seen.partition, seen.over), return_index=True)
    have, members = Counts.of(what[first]), Counts.of(seen.partition[once])
    _, where = np.unique(what, return_index=True)
    limit = np.maximum(1.0, members.get(seen.partition[where]) * RARE_AMONG)
    chosen = have.get(what[where]) > limit
    return Counts.of(what[where][chosen])


def _with_rare(seen: Seen, common: Counts) -> tuple[Seen, list[str]]:
    """Of each member and bucket how many documents have rare values, and which has the most."""
    rare = np.where(common.get(mixed(seen.partition, seen.by)) > 0, 0.0, seen.value)
    who = mixed(mixed(seen.partition, seen.over), seen.bucket.astype(np.uint64))
    order = np.lexsort((-rare, who))
    begin = np.flatnonzero(np.diff(who[order].astype(np.uint64), prepend=who[order][:1] + np.uint64(1)) != 0)
    first = order[begin]
    total = np.add.reduceat(rare[order], begin) if len(begin) else rare
    chosen = np.zeros(len(rare), dtype=bool)
    chosen[first] = True
    part = seen.where(chosen)
    # `where` keeps the order of cells
    place = np.argsort(first, kind="stable")
    part.value, part.by = total[place], np.zeros(len(first), dtype=np.uint64)
    return part, [seen.cells.keys[seen.cells.row[cell]][1] for cell in first[place].tolist()]


def score_compared(
    client: Elasticsearch, job: Job, batch: dict[str, Any], plan: dict[str, Any], *, partitions: list[str] | None = None, out: str
) -> dict[str, Any]:
    """Judges the plan's interval for one detector and stages the records; as `score.score_batch`."""
    seen = Seen.read(job, batch).without(hidden=True)
    manifests = snapshots.manifests(client, job.job_id)
    lines, scored, unscored = [], 0, 0
    for segment in plan["segments"]:
        manifest = snapshots.find(manifests, segment["snapshot_id"], job.job_id)
        numbers = snapshots.detector_chunk(client, manifest, batch["detector"])
        asked = seen.between(segment["start"], segment["end"])
        found = [each for each in _judged(seen, numbers, asked, segment) if not _skipped(job, each)] if numbers else []
        groups = len(np.unique(seen.group[asked]))
        known = manifest["detail"].get("groups", {}).get(str(batch["detector"]), 0)
        scored, unscored = max(scored, known), max(unscored, groups - known)
        records = [record(job, each, segment) for each in _most(found) if _wanted(each.key, partitions)]
        lines.append({"snapshot_id": segment["snapshot_id"], "records": records, "together": {}, "plots": NO_PLOTS})
    write_lines(out, lines)
    return {"uri": out, "scored": scored, "unscored": max(0, unscored), "records": sum(len(line["records"]) for line in lines)}


def _skipped(job: Job, found: Found) -> bool:
    return bool(reasons(job, found.key, found.bucket * job.span_seconds, found.actual, found.typical))


def _wanted(key: SeriesKey, partitions: list[str] | None) -> bool:
    return not partitions or bool({*key[1:]} & set(partitions))


def _most(found: list[Found]) -> list[Found]:
    """The most surprising of each bucket, as many as are kept."""
    by_time: dict[int, list[Found]] = {}
    for each in found:
        by_time.setdefault(each.bucket, []).append(each)
    return [
        each
        for _, here in sorted(by_time.items())
        for each in sorted(here, key=lambda one: (-one.surprise, str(one.key)))[:RECORDS_MOST]
    ]


def _judged(seen: Seen, numbers: dict[str, Any], asked: NDArray[np.bool_], segment: dict[str, Any]) -> Iterator[Found]:
    """What is surprising in a segment."""
    kind = seen.detector.kind
    if kind == "population":
        yield from _members(seen.where(asked), numbers)
        return
    in_sample = bool(segment["in_sample"])
    if in_sample:
        seen, asked = seen.where(asked), np.ones(int(asked.sum()), dtype=bool)
    else:
        upto = seen.between(segment["training_end"], segment["end"])
        seen, asked = seen.where(upto), asked[upto]
    cells = np.flatnonzero(asked)
    if kind == "place":
        known = Geography.from_numbers(numbers)
        surprise, km, lat, lon = known.surprise(seen.visits(), asked, seen.job.span_seconds, in_sample=in_sample)
        for n in _surprising(surprise):
            own_lat, own_lon = places(seen.value[cells[n] : cells[n] + 1])
            here = (float(own_lat[0]), float(own_lon[0]))
            usual = None if np.isnan(lat[n]) else (float(lat[n]), float(lon[n]))
            yield Found(
                seen.key(cells[n]), int(seen.bucket[cells[n]]), float(surprise[n]), here=here, usual=usual, km=float(km[n])
            )
        return
    model = Novelty.from_numbers(numbers)
    surprise, level = model.surprise(seen.sightings(), asked, seen.job.span_seconds, in_sample=in_sample)
    frequent = (
        _frequent_values(seen, model)[asked] if seen.detector.exclude_frequent in ("all", "by") else np.zeros(len(cells), bool)
    )
    for n in _surprising(np.where(frequent, 0.0, surprise)):
        yield Found(seen.key(cells[n]), int(seen.bucket[cells[n]]), float(surprise[n]), level=float(level[n]))


def _frequent_values(seen: Seen, model: Novelty) -> NDArray[np.bool_]:
    """(C,) values that are there in more than a tenth of the buckets of their partition."""
    sightings = seen.sightings()
    past = model.hindsight
    place = np.minimum(np.searchsorted(past.group, sightings.group), max(0, len(past.group) - 1))
    buckets = past.buckets[place] if len(past.group) else np.zeros(len(sightings.group))
    return np.asarray(model.things.get(sightings.what) > 0.1 * buckets, dtype=bool)


def _members(seen: Seen, numbers: dict[str, Any]) -> Iterator[Found]:
    values: list[str] | None = None
    if "common" in numbers:
        seen, values = _with_rare(seen, Counts.from_numbers(numbers["common"]))
    model, members = Population.from_numbers(numbers), seen.members()
    surprise, typical = model.judge(members, seen.detector.spec.side)
    if seen.detector.exclude_frequent in ("all", "over"):
        surprise[model.is_frequent(members.who)] = 0.0
    buckets, counts = np.unique(mixed(seen.group, seen.bucket.astype(np.uint64)), return_counts=True)
    for cell in _surprising(surprise):
        key = seen.key(cell)
        here = mixed(seen.group[cell : cell + 1], seen.bucket[cell : cell + 1].astype(np.uint64))
        yield Found(
            key._replace(by_value=None) if values else key,
            int(seen.bucket[cell]),
            float(surprise[cell]),
            actual=float(seen.value[cell]),
            typical=float(typical[cell]),
            members=int(counts[np.searchsorted(buckets, here)[0]]),
            most=values[cell] if values else None,
        )


def _surprising(surprise: Floats) -> list[int]:
    return np.flatnonzero(np.nan_to_num(surprise) > SCORE_CURVE[0][0]).tolist()
