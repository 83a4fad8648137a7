"""Publish: what was staged → results. An interval's records, and what derives from them, replace what was there."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from datetime import UTC, datetime
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from driftline.core.results import Document, Maker, milliseconds, numbers
from driftline.core.ruling import reasons
from driftline.core.series import SeriesKey
from driftline.core.timespan import Window, parse_time
from driftline.elastic import results, snapshots, state
from driftline.elastic.annotations import DELAYED, annotate
from driftline.elastic.influencers import find_influencers
from driftline.models.baseline.fleet import unpack
from driftline.pipeline import versions
from driftline.pipeline.files import read_lines
from driftline.pipeline.late import sentence as told_late
from driftline.pipeline.segment import PLOTTED
from driftline.scoring.aggregate import bucket_results, event_results, influencer_results
from driftline.scoring.events import longest, look_ahead, look_back
from driftline.scoring.feedback import weigh
from driftline.scoring.renormalisation import first_score
from driftline.scoring.settings import CHANGE_REST
from driftline.scoring.together import Shared, SharedNoise, surprise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.scoring.discovery import Looks

TYPES = ["record", "bucket", "influencer", "model_plot"]
SharedBy = dict[tuple[int, int], Shared]


def write(
    client: Elasticsearch,
    job: Job,
    plan: dict[str, Any],
    scored: list[dict[str, Any]],
    *,
    verdict: dict[str, Any] | None = None,
    partitions: list[str] | None = None,
    run: str = "cli",
) -> dict[str, Any]:
    """Replaces the interval's results by the staged ones, with bucket, influencer and event results derived from the records.

    With `partitions` only their records are replaced; what is derived takes the others' stored ones in, too.

    Returns:
        `written`, `deleted`, `records`, `buckets`, `events`, `alarms`, `max_anomaly_score`, `scored`, `unscored`.
    """
    started = datetime.now(UTC)
    window = Window.parse(plan["start"], plan["end"])
    word = (verdict or {}).get("verdict", "pass")
    found, looked = _found(scored)
    records = [record for _, record in found]
    for record in records:
        record["driftline"]["quality"] = word
    weigh(job, records)
    find_influencers(client, job, records)
    series = sum(part["scored"] for part in scored)
    shared = _shared(client, job, scored, window)
    other = _stored(client, job, window, "record", without=_of_partitions(job, partitions)) if partitions else []
    summary = bucket_results(job, [*records, *other], looked, shared) + influencer_results(job, [*records, *other], looked)
    documents, summaries = _documents(job, found, scored, word), map(_encoded, summary)
    if partitions:
        within = [_of_partitions(job, partitions)]
        parts = [
            results.replace(client, job, window, documents, types=["record", "model_plot"], within=within),
            results.replace(client, job, window, summaries, types=["bucket", "influencer"]),
        ]
    else:
        parts = [results.replace(client, job, window, chain(documents, summaries), types=TYPES)]
    events = _events(client, job, window, [*records, *other], looked, shared)
    inside = _around(job, window)
    parts.append(results.replace(client, job, inside, map(_encoded, events), types=["event"]))
    if not partitions:
        _advance(client, job, window, dict(plan.get("data") or {}))
    buckets = [document for _, document in summary if document["result_type"] == "bucket"]
    here = [event["driftline"]["event"] for _, event in events if milliseconds(window.start) <= event["timestamp"]]
    outcome = {
        "written": sum(part.written for part in parts),
        "deleted": sum(part.deleted for part in parts),
        "records": len(records),
        "buckets": len(buckets),
        "events": len(here),
        "alarms": sum(event["alarm"] for event in here),
        "max_anomaly_score": max((bucket["anomaly_score"] for bucket in buckets), default=0.0),
        "scored": series,
        "unscored": sum(part["unscored"] for part in scored),
        **window.as_dict(),
    }
    state.journal(
        client, run, "score", started, job_id=job.job_id, job_version=job.version, verdict=word,
        window_start=plan["start"], window_end=plan["end"], detail={**outcome, "segments": plan["segments"]},
    )  # fmt: skip
    return outcome


def _advance(client: Elasticsearch, job: Job, window: Window, noted: dict[str, Any]) -> None:
    """Notes how far the job is scored, and what was found on the way: late data, and that it was changed."""
    if late := noted.pop("late", None):
        annotate(client, job.job_id, Window.parse(late["start"], late["end"]), told_late(late, job), event=DELAYED)
    versions.note_change(client, job)
    state.advance(client, job, window, noted or None)


def _found(scored: list[dict[str, Any]]) -> tuple[list[tuple[str, dict[str, Any]]], Looks]:
    """The staged records, and how many series were looked at in each bucket: by segments, of newcomers by days.

    In a month many more come and go than there are in a day, and what a day's results are must not depend on the rest of the run.
    """
    records, steps = [], Counter[int]()
    for line in _lines(scored):
        records += line["records"]
        steps[milliseconds(parse_time(line["start"]))] += line["series"]
        steps[milliseconds(parse_time(line["end"]))] -= line["series"]
    times = sorted(steps)
    counts = [0, *accumulate(steps[time] for time in times)]
    return records, lambda time: counts[bisect_right(times, time)]


def _shared(client: Elasticsearch, job: Job, scored: list[dict[str, Any]], window: Window) -> SharedBy:
    """What all series of a detector did together, by timestamp and detector, once the batches' sums are added up."""
    sums: dict[tuple[str, int, int, int], list[Any]] = {}
    for line in _lines(scored):
        for detector, packed in line["together"].items():
            if detector not in ("first", "start"):
                place = (line["snapshot_id"], line["together"]["first"], line["together"]["start"], int(detector))
                parts = [unpack(part, 1)[0] for part in packed]
                before = sums.get(place)
                sums[place] = parts if before is None else [a + b for a, b in zip(before, parts, strict=True)]
    manifests = {manifest["snapshot_id"]: manifest for manifest in snapshots.manifests(client, job.job_id)}
    out: SharedBy = {}
    for (snapshot_id, first, start, detector), (total, count, actual, typical) in sums.items():
        measured = manifests[snapshot_id]["detail"].get("together", {}).get(str(detector))
        if measured is None:
            continue
        spec = job.detectors[detector].spec
        stamps = first + np.arange(len(total)) * job.span_seconds * 1000
        noise = SharedNoise(tuple(measured["usual"]), tuple(measured["scales"]))
        surprises, away = surprise(stamps.astype("datetime64[ms]"), total, count.astype(np.int64), noise, side=spec.side)
        adds = spec.empty_is_zero
        # of what comes before its segment another says more
        for n in np.flatnonzero((stamps >= max(milliseconds(window.start), start)) & (count > 0)).tolist():
            if reasons(job, SeriesKey(detector), int(stamps[n]) / 1000, None, None):
                continue
            both = (float(actual[n]), float(typical[n])) if adds else (None, None)
            out[int(stamps[n]), detector] = Shared(float(surprises[n]), float(away[n]), int(count[n]), *both)
    return out


def _around(job: Job, window: Window) -> Window:
    """Where events lie that records of a window may change.

    They begin up to an event's longest before it; or after it, in the rest of one that goes on for as long after its end.
    """
    reach = longest(job.bucket_span) * job.bucket_span
    return Window(window.start - reach, window.end + reach + CHANGE_REST)


def _events(
    client: Elasticsearch, job: Job, window: Window, records: list[dict[str, Any]], looked: Looks, shared: SharedBy
) -> list[tuple[str, dict[str, Any]]]:
    """The events that start around a window: derived from its records, and from those that are stored before and after it."""
    around = _around(job, window)
    before = Window(around.start - look_back(job.bucket_span) * job.bucket_span, window.start)
    after = Window(window.end, around.end + look_ahead(job.bucket_span) * job.bucket_span)
    near = [record for part in (before, after) for record in _stored(client, job, part, "record")]
    known, counts = dict(shared), dict[int, int]()
    for part in (before, after):
        for bucket in _stored(client, job, part, "bucket"):
            counts[bucket["timestamp"]] = bucket["driftline"].get("series", 0)
            for detector, said in bucket["driftline"].get("together", {}).items():
                known[bucket["timestamp"], int(detector)] = Shared(**said)
    edges = milliseconds(around.start), milliseconds(around.end)
    events = event_results(job, [*near, *records], lambda time: counts.get(time) or looked(time), known, zone=job.zone)
    return [event for event in events if edges[0] <= event[1]["timestamp"] < edges[1]]


def _lines(scored: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for part in scored:
        yield from map(orjson.loads, read_lines(part["uri"]))


def _documents(
    job: Job, records: list[tuple[str, dict[str, Any]]], scored: list[dict[str, Any]], word: str
) -> Iterator[Document]:
    """All that was staged. The bounds of every bucket are read a second time rather than kept: there may be many."""
    yield from map(_encoded, records)
    if job.model_plot_config.enabled:
        for line in _lines(scored):
            yield from _plot_documents(job, line["plots"], word)


def _plot_documents(job: Job, plots: dict[str, Any], word: str) -> Iterator[Document]:
    """Elastic's model plots, one document a series and bucket."""
    maker = Maker(job, "model_plot", {**plots["lineage"], "quality": word})
    times = np.asarray(plots["times"])
    parts = {name: unpack(plots[name], len(plots["keys"])) for name in PLOTTED} if plots["keys"] else {}
    for row, parsed in enumerate(plots["keys"]):
        key = SeriesKey(*parsed)
        there = ~np.isnan(parts["actual"][row])
        detector = job.detectors[key.detector_index]
        columns = {name: numbers(part[row, there], PLOTTED[name]) for name, part in parts.items()}
        feature = f"'{detector.spec.described} value by {detector.field_name or 'bucket'}'"
        yield from maker.rows(key, times[there].tolist(), columns, model_feature=feature)


def _encoded(pair: tuple[str, dict[str, Any]]) -> Document:
    id_, document = pair
    return id_, document["timestamp"], orjson.dumps(document)


def _of_partitions(job: Job, partitions: list[str]) -> dict[str, Any]:
    fields = ("partition_field_value", "by_field_value")
    return {"bool": {"should": [{"terms": {field: partitions}} for field in fields], "minimum_should_match": 1}}


def _stored(
    client: Elasticsearch, job: Job, window: Window, result_type: str, *, without: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """The job's stored results of one type in a window, as they were scored: what derives from them knows no maintenance."""
    found = results.of_type(client, job.job_id, result_type, version=job.version, window=window, without=without)
    return [{**each, "record_score": first_score(each)} for each in found] if result_type == "record" else found
