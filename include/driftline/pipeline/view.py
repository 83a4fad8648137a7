"""View: one series as people look at it: what was, what was expected, what was found, and what is forecast. It only reads."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.categorization import MLCATEGORY
from driftline.core.errors import SnapshotError, SourceIndexError, WindowError
from driftline.core.results import milliseconds
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.timespan import Window, ceil_time, floor_time, parse_time
from driftline.elastic import lanes, snapshots, state
from driftline.elastic.annotations import of_job
from driftline.elastic.client import explained, talks_to_cluster
from driftline.elastic.fields import data_range
from driftline.elastic.indices import FORECASTS
from driftline.elastic.lanes import Chosen, of_jobs, result_range
from driftline.elastic.query import SPLITS, between, splits
from driftline.elastic.read import read_cells
from driftline.elastic.results import of_type, scan
from driftline.models.trained import Trained
from driftline.pipeline.categories import category_clauses, in_force
from driftline.pipeline.compared import CELLS_MOST
from driftline.pipeline.feedback import with_verdicts
from driftline.pipeline.plan import segments_of
from driftline.pipeline.segment import look_back, score_segment
from driftline.pipeline.store import stored_cells

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job

POINTS = 4_000  # that a screen can tell apart, twice over
BUCKETS_MOST = 200_000  # that one view reads: a year of five minutes, or four months of one
RECENT = timedelta(days=14)  # what a page of a job that goes on opens on
FORECASTS_MOST = 10_000  # that one series is in
BOUNDS = ("lower", "typical", "upper")


def opening_window(client: Elasticsearch, jobs: list[Job]) -> Window:
    """What a page opens on: all that is scored of a historical job, or else the newest two weeks of it.

    Before there are results it is the newest two weeks of the data, or, where there is none either, of the clock.
    """
    found = result_range(client, jobs) or _of_data(client, jobs)
    scored = [known.window for job in jobs if (known := state.progress(client, job))]
    # where nothing was unusual there are no results, but it was looked at
    found = Window(min([found.start, *(each.start for each in scored)]), max([found.end, *(each.end for each in scored)]))
    goes_on = any(job.by_clock or job.datafeed.after_source for job in jobs)
    return Window(max(found.start, found.end - RECENT), found.end) if goes_on else found


def asked_window(client: Elasticsearch, jobs: list[Job], start: str | None, end: str | None) -> Window:
    """The window from `start` to `end`; an end that is left open is that of what a page opens on."""
    if start and end:
        return Window.parse(start, end)
    found = opening_window(client, jobs)
    return Window(parse_time(start) if start else found.start, parse_time(end) if end else found.end)


def _of_data(client: Elasticsearch, jobs: list[Job]) -> Window:
    ranges = []
    for job in jobs:
        with suppress(SourceIndexError):  # a job whose data is still to come
            ranges.append(data_range(client, job))
    end = max((each.end for each in ranges), default=datetime.now(UTC))
    return Window(max(min((each.start for each in ranges), default=end - RECENT), end - RECENT), end)


def view_series(client: Elasticsearch, job: Job, key: SeriesKey, window: Window) -> dict[str, Any]:
    """One series over a window, of at most `POINTS` points: of more, those that stand out are kept.

    Returns:
        `key`, `kind` (of the detector), `start`, `end`, `times` (epoch ms), `actual`, `lower`, `typical`, `upper` (null where not
        known), `thinned` (buckets a point stands for), `records`, `events`, `annotations`, `forecast`, `notes`.

    Raises:
        WindowError: The window holds too many buckets, or none.
    """
    window = _so_far(client, job, whole(job, window))
    read = Window(floor_time(window.start, timedelta(days=1)) - look_back(job), window.end)
    frame = _frame(client, job, key, read)
    skip = round((window.start - read.start) / job.bucket_span)
    bounds, notes = _bounds(client, job, frame, window) if _is_series(job, key) else ({}, [])
    values = frame.values[0, skip:]
    columns = {"actual": bounds.pop("actual", values), **bounds}
    records = [each for each in of_type(client, job.job_id, "record", version=job.version, window=window) if _about(each, key)]
    starts = milliseconds(window.start) + np.arange(len(values)) * job.span_seconds * 1000
    marked = np.isin(starts, [each["timestamp"] for each in records])
    kept, group = thinned(columns["actual"], marked)
    return {
        "job_id": job.job_id,
        "key": key._asdict(),
        "label": key.label(),
        "detector": job.detectors[key.detector_index].description,
        "kind": job.detectors[key.detector_index].kind,
        "bucket_span": job.span_seconds,
        **window.as_dict(),
        "times": starts[kept].tolist(),
        **{name: numbers(columns[name][kept]) if name in columns else [] for name in ("actual", *BOUNDS)},
        "thinned": group,
        "records": with_verdicts(client, records),
        "events": [e for e in of_type(client, job.job_id, "event", version=job.version, window=window) if _about_event(e, key)],
        "annotations": _annotations(client, job, window),
        "forecast": _forecast(client, job, key),
        "notes": notes,
    }


def whole(job: Job, window: Window) -> Window:
    """The window in whole buckets.

    Raises:
        WindowError: It holds too many, or none.
    """
    start = floor_time(window.start, job.bucket_span)
    end = ceil_time(window.end, job.bucket_span)
    count = (end - start) / job.bucket_span
    if not 1 <= count <= BUCKETS_MOST:
        raise WindowError(
            f"the window holds {count:,.0f} buckets",
            where=f"job {job.job_id}",
            expected=f"1 to {BUCKETS_MOST:,}; choose a shorter one",
        )
    return Window(start, end)


def _so_far(client: Elasticsearch, job: Job, window: Window) -> Window:
    """The window to the end of what there is, or was looked at: what is still to come is no silence."""
    ends = [scored] if (scored := state.scored_until(client, job)) else []
    if scored and scored >= window.end:
        return window
    with suppress(SourceIndexError):
        ends.append(ceil_time(data_range(client, job).end, job.bucket_span))
    end = max(ends, default=window.end)
    return Window(window.start, end) if window.start < end < window.end else window


def _is_series(job: Job, key: SeriesKey) -> bool:
    return job.detectors[key.detector_index].kind == "series"


def _frame(client: Elasticsearch, job: Job, key: SeriesKey, window: Window) -> SeriesFrame:
    """The series alone: Elasticsearch is asked for its documents only, but for those of a category."""
    split = next(each for each in splits(narrowed(job, key)) if key.detector_index in each.detectors)
    if split.category is None:
        cells = read_cells(client, narrowed(job, key), split, window)
    else:  # which category a document is of Elasticsearch does not know
        recast = in_force(client, job, window.end).recast
        cells, _ = stored_cells(client, job, split, window, most=CELLS_MOST, recast=recast)
    wanted = tuple(value or "" for value in key[1:])
    rows = [row for row, pair in enumerate(cells.keys) if pair == wanted]
    values, docs = np.full((1, window.buckets(job.bucket_span)), np.nan), np.zeros(window.buckets(job.bucket_span), np.int64)
    mine = np.isin(cells.row, rows)
    at = cells.bucket[mine] - int(window.start.timestamp()) // job.span_seconds
    metric = split.metrics[key.detector_index]
    values[0, at] = cells.values[metric][mine] if metric else cells.docs[mine]
    docs[at] = cells.docs[mine]
    sizes = np.where(docs > 0, docs, np.nan)[None] if job.detectors[key.detector_index].is_average else None
    return SeriesFrame(window.start, job.bucket_span, [key], values, docs, sizes=sizes)


def narrowed(job: Job, key: SeriesKey) -> Job:
    """The job that reads the documents of one series only; it has another version, so it is good for reading alone."""
    detector = job.detectors[key.detector_index]
    if job.datafeed.aggregations:
        return job
    clauses: list[dict[str, Any]] = [job.datafeed.query]
    for split, value in zip(SPLITS, key[1:], strict=True):
        name = getattr(detector, f"{split}_field_name")
        if name in (None, MLCATEGORY) or value is None or name in job.datafeed.script_fields:
            continue
        missing = {"bool": {"must_not": {"exists": {"field": name}}}}
        clauses.append({"term": {name: value}} if value else {"bool": {"should": [missing, {"term": {name: ""}}]}})
    feed = job.datafeed.model_copy(update={"query": {"bool": {"filter": clauses}}})
    return job.model_copy(update={"datafeed": feed})


def _bounds(
    client: Elasticsearch, job: Job, frame: SeriesFrame, window: Window
) -> tuple[dict[str, NDArray[np.float64]], list[str]]:
    """What was expected in each bucket of the window, and what was there with empty buckets as scoring sees them."""
    width = window.buckets(job.bucket_span)
    out = {name: np.full(width, np.nan) for name in ("actual", *BOUNDS)}
    found = snapshots.manifests(client, job.job_id)
    try:
        segments = segments_of(job, found, window)
    except SnapshotError:
        return {}, ["the job has no snapshot: nothing is known of what to expect"]
    notes, unknown = [], False
    for segment in segments:
        trained = model_of(client, snapshots.find(found, segment["snapshot_id"], job.job_id), frame.keys[0])
        if trained is None:
            unknown = True
            continue
        scored = score_segment(job, frame, trained, segment)
        first = round((parse_time(segment["start"]) - window.start) / job.bucket_span)
        part = slice(first, first + scored.values.shape[1] - scored.skip)
        for name, column in zip(("actual", *BOUNDS), (scored.values, *scored.bounds), strict=True):
            out[name][part] = column[0, scored.skip :]
        if segment["in_sample"]:
            notes.append(f"until {segment['training_end']} the model has seen what it is compared with")
    if unknown:
        notes.append("where there are no bounds the series was too new, or too sparse, for a model")
        raw = frame.values[0, -width:]
        out["actual"] = np.where(np.isnan(out["actual"]), raw, out["actual"])
    return out, list(dict.fromkeys(notes))


def model_of(client: Elasticsearch, manifest: dict[str, Any], key: SeriesKey) -> Trained | None:
    """The model of one series in a snapshot; None where it has none."""
    for chunk in snapshots.chunks(client, manifest, keys=[key]):
        rows = [row for row in chunk["fitted"] if SeriesKey(*chunk["keys"][row]) == key]
        if rows:
            return Trained.from_numbers(chunk).select(rows)
    return None


def thinned(values: NDArray[np.float64], marked: NDArray[np.bool_]) -> tuple[NDArray[np.intp], int]:
    """Which points are kept, and how many buckets they stand for: of each group the lowest, the highest, and marked ones."""
    group = -(-2 * len(values) // POINTS) if len(values) > POINTS else 1
    if group == 1:
        return np.arange(len(values)), 1
    padded = np.concatenate([values, np.full(-len(values) % group, np.nan)]).reshape(-1, group)
    first = np.arange(len(padded)) * group
    low = first + np.where(np.isnan(padded), np.inf, padded).argmin(axis=1)
    high = first + np.where(np.isnan(padded), -np.inf, padded).argmax(axis=1)
    kept = np.unique(np.concatenate([low, high, np.flatnonzero(marked)]))
    return kept[kept < len(values)], group


def numbers(column: NDArray[np.float64]) -> list[float | None]:
    """Numbers as JSON has them: None where there is none."""
    return [None if np.isnan(value) else float(f"{value:.7g}") for value in column.tolist()]


def _about(document: dict[str, Any], key: SeriesKey) -> bool:
    return document.get("detector_index") == key.detector_index and all(
        document.get(f"{split}_field_value") == value for split, value in zip(SPLITS, key[1:], strict=True)
    )


def _about_event(event: dict[str, Any], key: SeriesKey) -> bool:
    """Whether an event is the series' own, or of the job as a whole."""
    return "detector_index" not in event or _about(event, key)


def _annotations(client: Elasticsearch, job: Job, window: Window) -> list[dict[str, Any]]:
    start, end = milliseconds(window.start), milliseconds(window.end)
    return [each for each in of_job(client, job.job_id) if each["timestamp"] < end and each.get("end_timestamp", start) >= start]


def _time(document: dict[str, Any]) -> int:
    return int(document["timestamp"])


@talks_to_cluster
def _forecast(client: Elasticsearch, job: Job, key: SeriesKey) -> dict[str, Any] | None:
    """The newest forecast that has the series, with what its reader should know of it as `notes`."""
    clauses: list[dict[str, Any]] = [of_jobs([job]), {"term": {"detector_index": key.detector_index}}]
    for split, value in zip(SPLITS, key[1:], strict=True):
        field = f"{split}_field_value"
        clauses.append({"bool": {"must_not": {"exists": {"field": field}}}} if value is None else {"term": {field: value}})
    asked: dict[str, Any] = {"index": f"{FORECASTS}-*", "ignore_unavailable": True, "allow_no_indices": True}
    names = {"names": {"terms": {"field": "forecast_id", "size": FORECASTS_MOST}}}
    found = client.search(query={"bool": {"filter": clauses}}, aggs=names, size=0, **asked).get("aggregations")
    ids = [f"stats:{each['key']}" for each in found["names"]["buckets"]] if found else []
    # the one that was made last: an older one may reach farther
    newest = [{"forecast_create_timestamp": {"order": "desc", "unmapped_type": "date"}}]
    told = client.search(query={"ids": {"values": ids}}, sort=newest, size=1, **asked)["hits"]["hits"]
    if not told:
        return None
    stats = told[0]["_source"]
    identity = stats["forecast_id"]
    clauses.append({"term": {"forecast_id": identity}})
    rows = sorted((hit["_source"] for hit in scan(client, {"bool": {"filter": clauses}}, index=asked["index"])), key=_time)
    step = -(-len(rows) // POINTS)
    rows = [*rows[:-1:step], rows[-1]]
    return {
        "forecast_id": identity,
        "notes": stats.get("forecast_messages", []),
        "times": [row["timestamp"] for row in rows],
        **{name: [row[f"forecast_{name}"] for row in rows] for name in ("lower", "prediction", "upper")},
    }


def series_names(client: Elasticsearch, job: Job, *, detector: int | None = None) -> list[SeriesKey]:
    """All series that the newest snapshot of the job knows, with a model or without."""
    found = [each for each in snapshots.manifests(client, job.job_id) if each["job_version"] == job.version]
    if not found:
        return []
    keys: dict[SeriesKey, None] = {}
    for chunk in snapshots.chunks(client, found[0], fields=["keys"]):
        keys |= {SeriesKey(*key): None for key in chunk["keys"]}
    return [key for key in keys if detector is None or key.detector_index == detector]


def documents(
    client: Elasticsearch, job: Job, key: SeriesKey, window: Window, *, size: int = 50, start: int = 0
) -> dict[str, Any]:
    """The raw documents behind buckets of a series, a page of them by time: what a drill-down shows.

    Returns:
        `total` and `documents`: `_index`, `_id` and `_source` of each.
    """
    clauses = category_clauses(client, job, key)
    job = narrowed(job, key)
    query = {"bool": {"filter": [job.datafeed.query, between(job.time_field, window), *clauses]}}
    runtime: dict[str, Any] = {"runtime_mappings": job.datafeed.runtime_mappings} if job.datafeed.runtime_mappings else {}
    with explained(f"job {job.job_id}, datafeed.indices"):
        found = client.search(
            index=job.datafeed.indices,
            query=query,
            sort=[{job.time_field: "asc"}],
            size=size,
            from_=start,
            track_total_hits=True,
            **runtime,
        )["hits"]
    return {
        "total": int(found["total"]["value"]),
        "documents": [{name: hit[name] for name in ("_index", "_id", "_source")} for hit in found["hits"]],
    }


def top_series(client: Elasticsearch, job: Job, detector: int, window: Window) -> SeriesKey | None:
    """The series of a detector with the highest anomaly in a window, or else the first that the snapshot knows."""
    _, found = lanes.records(client, Chosen([job], window, values={"detector": [str(detector)]}), size=1)
    if found:
        return SeriesKey(detector, *(found[0].get(f"{split}_field_value") for split in SPLITS))
    return next(iter(series_names(client, job, detector=detector)), None)
