"""Score: staged series and a plan → records, and the interval's results replaced."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from driftline.core.paths import staging_uri
from driftline.core.results import Document, Maker, compare, milliseconds, number, numbers
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.timespan import Window, floor_time, parse_time
from driftline.elastic import results, snapshots, state
from driftline.elastic.fields import data_range
from driftline.elastic.influencers import find_influencers
from driftline.models.baseline.fleet import pack, unpack
from driftline.models.trained import Trained
from driftline.pipeline import gate
from driftline.pipeline.files import read_lines, write_lines
from driftline.pipeline.plan import Model, prepare
from driftline.pipeline.read import batches, read_series
from driftline.pipeline.window import resolve
from driftline.scoring.aggregate import bucket_results, influencer_results
from driftline.scoring.evidence import Evidence, impact, weigh
from driftline.scoring.score import to_score
from driftline.scoring.settings import MIN_RECORD_SCORE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.core.progress import Progress

__all__ = ["known_keys", "prepare", "read_plan", "score", "score_batch", "write"]
BOUNDS = 1.959964  # of the 95 % interval that model bounds show, as in Elastic's model plot
PLOTTED = {"actual": 10, "model_lower": 6, "model_median": 6, "model_upper": 6}  # significant digits
TYPES = ["record", "bucket", "influencer", "model_plot"]


def known_keys(client: Elasticsearch, job: Job, plan: dict[str, Any]) -> list[SeriesKey]:
    """All series that the plan's snapshots have a model for: a silent partition is scored too."""
    manifests = snapshots.manifests(client, job.job_id)
    keys: dict[SeriesKey, None] = {}
    for snapshot_id in {segment["snapshot_id"] for segment in plan["segments"]}:
        manifest = snapshots.find(manifests, snapshot_id, job.job_id)
        for chunk in snapshots.chunks(client, manifest, fields=["keys", "fitted"]):
            keys |= {SeriesKey(*chunk["keys"][row]): None for row in chunk["fitted"]}
    return list(keys)


def read_plan(
    client: Elasticsearch, job: Job, plan: dict[str, Any], *, uri: str, progress: Progress | None = None
) -> dict[str, Any]:
    """Reads what a plan needs: its interval with the look-back, silent series included.

    Returns:
        The frame's handle, with the plan's own `interval`: what the gate judges, and reports.
    """
    window = Window.parse(plan["read_start"], plan["end"])
    handle = read_series(client, job, window, uri=uri, keys=known_keys(client, job, plan), progress=progress)
    return {**handle, "interval": {"start": plan["start"], "end": plan["end"]}}


def score_batch(
    client: Elasticsearch, job: Job, batch: dict[str, Any], plan: dict[str, Any], *, partitions: list[str] | None = None, out: str
) -> dict[str, Any]:
    """Scores one batch of staged series and stages what it finds, a line for the models of each chunk of a snapshot.

    Returns:
        `uri`, `scored` (series with a model), `unscored` (without), `records`.
    """
    frame = SeriesFrame.read(batch["uri"], rows=(batch["first"], batch["last"]))
    place = {key: row for row, key in enumerate(frame.keys)}
    manifests = snapshots.manifests(client, job.job_id)
    scored: set[SeriesKey] = set()
    lines = []
    for segment in plan["segments"]:
        manifest = snapshots.find(manifests, segment["snapshot_id"], job.job_id)
        for trained in _models(client, manifest, place):
            # counted before it is narrowed: a bucket's score allows for all series that it has, whichever are scored again
            scored |= set(trained.keys)
            if some := _narrowed(trained, partitions):
                part = frame.take([place[key] for key in some.keys])
                lines.append(_score_segment(job, part, some, segment))
    write_lines(out, lines)
    records = sum(len(line["records"]) for line in lines)
    return {"uri": out, "scored": len(scored), "unscored": len(frame.keys) - len(scored), "records": records}


def _models(client: Elasticsearch, manifest: dict[str, Any], keys: Collection[SeriesKey]) -> Iterator[Trained]:
    """The snapshot's models of these series, those that could be trained, chunk by chunk."""
    for chunk in snapshots.chunks(client, manifest, keys=keys):
        rows = [row for row in chunk["fitted"] if SeriesKey(*chunk["keys"][row]) in keys]
        if rows:
            trained = Trained.from_numbers(chunk)
            yield trained if len(rows) == len(trained.keys) else trained.select(rows)


def _narrowed(trained: Trained, partitions: list[str] | None) -> Trained | None:
    """Only series with one of these partition or by values; None if there is none."""
    wanted = set(partitions or ())
    if not wanted:
        return trained
    rows = [row for row, key in enumerate(trained.keys) if wanted & {key.partition_value, key.by_value}]
    return trained.select(rows) if rows else None


def _score_segment(job: Job, frame: SeriesFrame, trained: Trained, segment: dict[str, Any]) -> dict[str, Any]:
    """What is found in the buckets that one snapshot scores. Residuals of the look-back are taken from the same snapshot.

    Args:
        job: The job.
        frame: The series of `trained`, in its order.
        trained: The models.
        segment: The plan's entry.

    Returns:
        `records`, pairs of id and document; and `plots` where the job wants the bounds of every bucket: `keys`, `times`,
        `lineage`, and (N, T) matrices of what is in `PLOTTED`, NaN where there is no bucket.
    """
    window = Window.parse(segment["start"], segment["end"])
    part = frame.slice(Window(frame.start, window.end))
    values = _filled(job, part, trained)
    space = trained.fleet.to_space(values)
    mean, trend = trained.fleet.moments(part.times)
    sd = np.sqrt(trend**2 + trained.noise[:, :1] ** 2)
    sides = [job.detectors[key.detector_index].spec.side for key in part.keys]
    evidence = weigh(space - mean, sd, trained.noise[:, 1], sides)
    scores = to_score(evidence.surprise)
    skip = round((window.start - part.start) / job.bucket_span)
    bounds = [trained.fleet.to_units(bound) for bound in (mean - BOUNDS * sd, mean, mean + BOUNDS * sd)]
    view = _View(job, part, values, bounds, evidence, scores, segment)
    rows, columns = np.nonzero(scores[:, skip:] >= MIN_RECORD_SCORE)
    found = [view.record(row, column) for row, column in zip(rows.tolist(), (columns + skip).tolist(), strict=True)]
    return {"records": found} | ({"plots": view.plots(skip)} if job.model_plot_config.enabled else {})


def _filled(job: Job, frame: SeriesFrame, trained: Trained) -> NDArray[np.float64]:
    """Values with empty buckets as zeros where the function says so, from the series' first appearance on."""
    zero = np.array([job.detectors[key.detector_index].spec.empty_is_zero for key in frame.keys])
    seconds = frame.start.timestamp() + np.arange(frame.values.shape[1]) * frame.span.total_seconds()
    exists = seconds[None] >= trained.first[:, None]
    filled = np.where(np.isnan(frame.values) & zero[:, None], 0.0, frame.values)
    return np.where(exists, filled, np.nan)


class _View:
    """Makes what is staged of a scored segment."""

    def __init__(
        self,
        job: Job,
        frame: SeriesFrame,
        values: NDArray[np.float64],
        bounds: list[NDArray[np.float64]],
        evidence: Evidence,
        scores: NDArray[np.float64],
        segment: dict[str, Any],
    ) -> None:
        self.frame, self.values, self.bounds = frame, values, bounds
        self.evidence, self.scores = evidence, scores
        self.times = [milliseconds(frame.start) + n * job.span_seconds * 1000 for n in range(values.shape[1])]
        self.lineage = {key: segment[key] for key in ("snapshot_id", "training_start", "training_end", "in_sample")}
        self.maker = Maker(job, "record", self.lineage)

    def record(self, row: int, column: int) -> tuple[str, dict[str, Any]]:
        """A record with its explanation."""
        key, time = self.frame.keys[row], self.times[column]
        actual, (lower, typical, upper) = self.values[row, column], (bound[row, column] for bound in self.bounds)
        point, multi = float(self.evidence.point[row, column]), float(self.evidence.multi[row, column])
        score = float(self.scores[row, column])
        document = self.maker.document(time, key)
        document["driftline"]["sentence"] = compare(float(actual), number(typical))
        document |= {
            "probability": float(f"{max(10.0 ** -float(self.evidence.surprise[row, column]), 1e-300):.6g}"),
            "record_score": score,
            "initial_record_score": score,
            "multi_bucket_impact": impact(point, multi),
            "actual": [number(actual, 10)],
            "typical": [number(typical)],
            "anomaly_score_explanation": {
                "single_bucket_impact": number(abs(point), 4),
                "multi_bucket_impact": number(abs(multi), 4),
                "lower_confidence_bound": number(lower),
                "typical_value": number(typical),
                "upper_confidence_bound": number(upper),
            },
        }
        return self.maker.id(time, key), document

    def plots(self, skip: int) -> dict[str, Any]:
        """The bounds of every bucket from `skip` on, as columns: half a million documents become large."""
        return {
            "keys": [list(key) for key in self.frame.keys],
            "times": self.times[skip:],
            "lineage": self.lineage,
            **{name: pack(part[:, skip:]) for name, part in zip(PLOTTED, (self.values, *self.bounds), strict=True)},
        }


def _plot_documents(job: Job, plots: dict[str, Any], word: str) -> Iterator[Document]:
    """Elastic's model plots, one document a series and bucket."""
    maker = Maker(job, "model_plot", {**plots["lineage"], "quality": word})
    times = np.asarray(plots["times"])
    parts = {name: unpack(plots[name], len(plots["keys"])) for name in PLOTTED}
    for row, parsed in enumerate(plots["keys"]):
        key = SeriesKey(*parsed)
        there = ~np.isnan(parts["actual"][row])
        detector = job.detectors[key.detector_index]
        columns = {name: numbers(part[row, there], PLOTTED[name]) for name, part in parts.items()}
        feature = f"'{detector.spec.metric} value by {detector.field_name or 'bucket'}'"
        yield from maker.rows(key, times[there].tolist(), columns, model_feature=feature)


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
    """Replaces the interval's results by the staged ones, with bucket and influencer results derived from the records.

    With `partitions` only their records are replaced; bucket and influencer results are derived from what is stored of the
    others, too.

    Returns:
        `written`, `deleted`, `records`, `buckets`, `max_anomaly_score`, `scored`, `unscored`.
    """
    started = datetime.now(UTC)
    window = Window.parse(plan["start"], plan["end"])
    word = (verdict or {}).get("verdict", "pass")
    found = [pair for line in _lines(scored) for pair in line["records"]]
    records = [record for _, record in found]
    for record in records:
        record["driftline"]["quality"] = word
    find_influencers(client, job, records)
    series = sum(part["scored"] for part in scored)
    other = _stored_records(client, job, window, partitions) if partitions else []
    summary = bucket_results(job, [*records, *other], series) + influencer_results(job, [*records, *other])
    documents, summaries = _documents(job, found, scored, word), map(_encoded, summary)
    if partitions:
        within = [_of_partitions(job, partitions)]
        parts = [
            results.replace(client, job, window, documents, types=["record", "model_plot"], within=within),
            results.replace(client, job, window, summaries, types=["bucket", "influencer"]),
        ]
    else:
        parts = [results.replace(client, job, window, chain(documents, summaries), types=TYPES)]
        state.advance(client, job.job_id, window.end)
    buckets = [document for _, document in summary if document["result_type"] == "bucket"]
    outcome = {
        "written": sum(part.written for part in parts),
        "deleted": sum(part.deleted for part in parts),
        "records": len(records),
        "buckets": len(buckets),
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


def _encoded(pair: tuple[str, dict[str, Any]]) -> Document:
    id_, document = pair
    return id_, document["timestamp"], orjson.dumps(document)


def _of_partitions(job: Job, partitions: list[str]) -> dict[str, Any]:
    fields = ("partition_field_value", "by_field_value")
    return {"bool": {"should": [{"terms": {field: partitions}} for field in fields], "minimum_should_match": 1}}


def _stored_records(client: Elasticsearch, job: Job, window: Window, partitions: list[str]) -> list[dict[str, Any]]:
    clauses = [*results.interval(job, window), {"term": {"result_type": "record"}}]
    query = {"bool": {"filter": clauses, "must_not": [_of_partitions(job, partitions)]}}
    return [hit["_source"] for hit in results.scan(client, query)]


def score(
    client: Elasticsearch,
    job: Job,
    *,
    window: Window | None = None,
    model: Model = "as_of",
    partitions: list[str] | None = None,
    run: str = "cli",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The whole scoring of an interval in one process: plan (train where needed), read, gate, score, write.

    Without a window a historical job is walked from end to end, and another from where it was scored last.

    Returns:
        As `write`, with the gate's `quality` and the plan's `segments`.

    Raises:
        QualityStopError: The gate stops the run; nothing is written.
    """
    interval = window or default_window(client, job)
    plan = prepare(client, job, interval, model=model, run=run, progress=progress)
    if interval.empty:
        return {"records": 0, "written": 0, "deleted": 0, "segments": [], **interval.as_dict(), "notes": ["nothing new to score"]}
    place = staging_uri(job.job_id, "score", f"{interval.end:%Y%m%dT%H%M%S}-{run}")
    handle = read_plan(client, job, plan, uri=f"{place}/series.parquet", progress=progress)
    verdict = gate.check_series(client, job, handle, stage="score", run=run)
    parts = []
    for batch_number, batch in enumerate(batches(handle)):
        parts.append(score_batch(client, job, batch, plan, partitions=partitions, out=f"{place}/scored-{batch_number}.jsonl"))
        if progress:
            progress("series scored", batch["last"], handle["series"])
    outcome = write(client, job, plan, parts, verdict=verdict, partitions=partitions, run=run)
    return {**outcome, "quality": verdict, "segments": plan["segments"], "notes": [*plan["notes"], *handle["notes"]]}


def default_window(client: Elasticsearch, job: Job, *, run_after: datetime | None = None) -> Window:
    """What to score when nobody says: a historical job's whole range, or what is new since the last run."""
    data = data_range(client, job)
    if job.historical:
        last = parse_time(job.datafeed.end) if job.datafeed.end else data.end
        whole = Window(parse_time(job.datafeed.start) if job.datafeed.start else data.start, last)
        floored = whole.floored(job.bucket_span)
        # the range's last bucket counts even if it is not full: no more will come
        return floored if floored.end >= whole.end else Window(floored.start, floored.end + job.bucket_span)
    fresh = resolve(job, run_after=run_after, scored_until=state.scored_until(client, job.job_id), oldest=data.start)
    # where data comes in lots, what has not come yet is not silence: the newest bucket waits for the next lot
    end = fresh.end if job.by_clock else min(fresh.end, floor_time(data.end, job.bucket_span))
    return Window(min(fresh.start, end), end)


def asked_window(
    client: Elasticsearch,
    job: Job,
    start: str | datetime | None,
    end: str | datetime | None,
    *,
    run_after: datetime | None = None,
) -> Window:
    """The interval that a person asks for. An end left open is what is complete by the clock, or else where the data ends."""
    if not job.by_clock and not (start and end):
        whole = default_window(client, job, run_after=run_after)
        end = end or whole.end
        start = start or (whole.start if job.historical else None)
    return resolve(job, start=start or None, end=end or None, run_after=run_after)
