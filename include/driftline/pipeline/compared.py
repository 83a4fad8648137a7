"""Detectors that compare: members of populations, what is rare, a metric given another. They need no model of each series.

Their cells (non-empty buckets) are staged beside the series, a batch for each detector. A training measures what is usual, a
chunk of the snapshot for each; scoring judges an interval by it and, for what is rare, by what was seen since the training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.paths import whole
from driftline.core.ruling import reasons
from driftline.core.timespan import Window, iso
from driftline.elastic import snapshots
from driftline.elastic.cellfile import encoded
from driftline.elastic.query import splits
from driftline.elastic.read import places
from driftline.pipeline.categories import read_names, tell
from driftline.pipeline.files import write_lines
from driftline.pipeline.seen import Seen
from driftline.pipeline.store import stored_cells
from driftline.scoring import looks
from driftline.scoring.novelty import Novelty
from driftline.scoring.places import Geography
from driftline.scoring.population import Population
from driftline.scoring.rarity import Counts, mixed
from driftline.scoring.score import to_score
from driftline.scoring.telling import Found, explained, record
from driftline.scoring.usual import Usual

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.detector import Kind
    from driftline.core.job import Job
    from driftline.core.progress import Progress
    from driftline.core.series import SeriesKey
    from driftline.pipeline.store import Recast
    from driftline.scoring.rarity import Floats, Hashes

KINDS: tuple[Kind, ...] = ("population", "rare", "time", "place", "given")
FORGETFUL = ("population", "given")  # need not know what was seen since the training
CELLS_MOST = 20_000_000  # that one reading takes, the newest: a gigabyte
MAX_LISTED = 1000  # failures that a snapshot names
RECORDS_MOST = 500  # of one detector and bucket, as in Elastic; the most surprising
NO_PLOTS: dict[str, Any] = {"keys": [], "times": [], "lineage": {}}
RARE_AMONG = 0.05  # of the members: what no more of them have counts as rare for freq_rare


def compares(job: Job) -> bool:
    """Whether any of a job's detectors does."""
    return any(detector.kind in KINDS for detector in job.detectors)


def stage(
    client: Elasticsearch,
    job: Job,
    window: Window,
    *,
    uri: str,
    since: Window | None = None,
    recast: Recast | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Reads the cells of a job's comparing detectors and stages them.

    Args:
        client: The cluster.
        job: What to read.
        window: From when to when, in whole buckets.
        uri: Of the frame that they go with.
        since: The window for detectors that must know what was seen before; by default the same.
        recast: Makes of cells those that count.
        progress: Told how far the read is.

    Returns:
        Of each detector its `detector` number, `uri`, number of `cells`, from when to when they are there, and whether that was
        `cut`.
    """
    out = []
    for number, split in enumerate(splits(job, KINDS)):
        remembers = any(job.detectors[detector].kind not in FORGETFUL for detector in split.detectors)
        asked = since if since and remembers else window
        if since and any(job.detectors[detector].kind == "given" for detector in split.detectors):
            before = window.start - looks.back(job.span_seconds) * job.bucket_span
            asked = Window(min(asked.start, before), asked.end)
        cells, start = stored_cells(client, job, split, asked, most=CELLS_MOST, recast=recast, progress=progress)
        place = f"{uri}.{number}.cells"
        with whole(place) as file:
            file.write(encoded(cells))
        staged = {"uri": place, "cells": len(cells.row), **Window(max(start, asked.start), asked.end).as_dict()}
        staged["cut"] = start > asked.start
        for detector in split.detectors:
            measured = {"metric": split.metrics[detector], "other": split.others.get(detector)}
            out.append({"detector": detector, **measured, **staged})
    return out


def notes(job: Job, staged: list[dict[str, Any]]) -> list[str]:
    """What a reader should know of what was staged: where it is not all that was asked for."""
    return [
        f"detector {batch['detector']} ({job.detectors[batch['detector']].description}) sees what came since {batch['start']}: "
        f"{CELLS_MOST:,} non-empty buckets are the most that is read"
        for batch in staged
        if batch["cut"]
    ]


def fit_compared(job: Job, batch: dict[str, Any], *, out: str) -> dict[str, Any]:
    """Measures what is usual for one detector and stages it; as `train.fit_batch`."""
    seen = Seen.read(job, batch).without(hidden=False)
    numbers = _fitted(seen)
    keys, first = np.unique(seen.group, return_index=True)
    few = [{**seen.key(int(first[row]))._asdict(), "reason": why} for row, why in _unknown(seen, keys, numbers)]
    groups = len(keys) - len(few)
    head = {
        "detector": batch["detector"],
        "groups": groups,
        "cells": len(seen.bucket),
        "failures": few[:MAX_LISTED],
        "failed": len(few),
    }
    write_lines(out, [head, {"detector": batch["detector"], "numbers": numbers}])
    return {"uri": out, "trained": groups, "failed": len(few), "fallbacks": 0}


def _unknown(seen: Seen, groups: Hashes, numbers: dict[str, Any]) -> list[tuple[int, str]]:
    """Which of the groups a training could learn nothing of, and why; only of a metric given another it needs to say."""
    if seen.detector.kind != "given":
        return []
    return [
        (int(row), looks.TOO_FEW) for row in np.flatnonzero(~looks.known(numbers, groups, share=seen.detector.per is not None))
    ]


def _fitted(seen: Seen) -> dict[str, Any]:
    kind = seen.detector.kind
    if kind == "given":
        share, counted = seen.detector.per is not None, seen.detector.spec.metric == "count"
        return looks.learned(seen.pairs(), seen.job.span_seconds, share=share, counted=counted)
    if kind == "place":
        return Geography.fit(seen.visits()).numbers()
    if kind != "population":
        return Novelty.fit(seen.sightings()).numbers()
    if seen.detector.spec.family == "freq_rare":
        common = _common(seen)
        return {**Population.fit(_with_rare(seen, common)[0].members()).numbers(), "common": common.numbers()}
    members = seen.members()
    _, first = np.unique(seen.group, return_index=True)
    names = [list(seen.key(cell)[1:3]) for cell in first.tolist()]
    return {**Population.fit(members).numbers(), "usual": {**Usual.fit(members).numbers(), "names": names}}


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
    manifests = snapshots.manifests(client, job.job_id)
    lines, scored, unscored = [], 0, 0
    read: tuple[str, Seen] | None = None
    for segment in plan["segments"]:
        mine = batch.get("frames", {}).get(segment["snapshot_id"], batch)
        if read is None or read[0] != mine["uri"]:
            read = mine["uri"], Seen.read(job, {**batch, **mine}).without(hidden=True)
        seen, names = read[1], read_names(mine.get("names"))
        manifest = snapshots.find(manifests, segment["snapshot_id"], job.job_id)
        numbers = snapshots.detector_chunk(client, manifest, batch["detector"])
        asked = seen.between(segment["start"], segment["end"])
        found = [each for each in _judged(seen, numbers, asked, segment) if not _skipped(job, each)] if numbers else []
        groups = len(np.unique(seen.group[asked]))
        known = manifest["detail"].get("groups", {}).get(str(batch["detector"]), 0)
        scored, unscored = max(scored, known), max(unscored, groups - known)
        records = tell([record(job, each, segment) for each in _most(found) if _wanted(each.key, partitions)], names)
        about = {name: segment[name] for name in ("snapshot_id", "start", "end")}
        lines.append({**about, "series": known, "records": records, "together": {}, "plots": NO_PLOTS})
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
    if kind == "given":
        judged = given_other(seen, numbers, asked)
        yield from (judged.found(n) for n in _surprising(seen.job, judged.looked.surprise))
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
        for n in _surprising(seen.job, surprise):
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
    for n in _surprising(seen.job, np.where(frequent, 0.0, surprise)):
        yield Found(seen.key(cells[n]), int(seen.bucket[cells[n]]), float(surprise[n]), level=float(level[n]))


@dataclass
class Given:
    """Cells of a detector that judges a metric given another, and what is to be said of each."""

    seen: Seen
    looked: looks.Looked

    def found(self, cell: int) -> Found:
        """What is to be told of one."""
        seen, looked = self.seen, self.looked
        return Found(
            seen.key(cell),
            int(seen.bucket[cell]),
            float(looked.surprise[cell]),
            actual=float(seen.value[cell]),
            typical=float(looked.typical[cell]),
            other=float(seen.other[cell]),
            point=float(looked.point[cell]),
            long=float(looked.long[cell]),
        )


def given_other(seen: Seen, numbers: dict[str, Any], asked: NDArray[np.bool_]) -> Given:
    """Judges the cells that are asked for; of the others only those of the hours before count."""
    buckets = seen.bucket[asked]
    first = buckets.min(initial=np.iinfo(np.int64).max) - looks.back(seen.job.span_seconds)
    near = (seen.bucket > first) & (seen.bucket <= buckets.max(initial=0))
    seen, asked = seen.where(near), asked[near]
    share = seen.detector.per is not None
    found = looks.looked(numbers, seen.pairs(), seen.job.span_seconds, seen.detector.spec.side, share=share)
    typical = found.typical / seen.other if share else found.typical
    return Given(
        seen.where(asked), looks.Looked(*(column[asked] for column in (found.surprise, typical, found.point, found.long)))
    )


def given_series(
    client: Elasticsearch, job: Job, staged: list[dict[str, Any]], manifest: dict[str, Any] | None, window: Window
) -> dict[SeriesKey, dict[str, Any]]:
    """What is to be said of a bucket of each series whose metric is judged given another, as far as it was there lately.

    Returns:
        Series → what `explained` tells.
    """
    out: dict[SeriesKey, dict[str, Any]] = {}
    for batch in staged:
        if job.detectors[batch["detector"]].kind != "given":
            continue
        seen = Seen.read(job, batch).without(hidden=True)
        numbers = (snapshots.detector_chunk(client, manifest, batch["detector"]) if manifest else None) or looks.NOTHING
        out |= {seen.key(cell): explained(job, None) for cell in range(len(seen.bucket))}
        judged = given_other(seen, numbers, seen.between(iso(window.start), iso(window.end)))
        found = [judged.found(cell) for cell in range(len(judged.seen.bucket))]
        out |= {each.key: explained(job, each) for each in found}
    return out


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
    for cell in _surprising(seen.job, surprise):
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


def _surprising(job: Job, surprise: Floats) -> list[int]:
    return np.flatnonzero(to_score(np.nan_to_num(surprise), job.bucket_span) > 0).tolist()
