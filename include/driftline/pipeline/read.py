"""Read: a job's series, by way of the series store, into a staged frame that the next tasks share."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.timespan import Window, iso
from driftline.elastic.fields import check_fields
from driftline.pipeline.categories import learn_categories
from driftline.pipeline.categories import stage as stage_categories
from driftline.pipeline.compared import notes, stage
from driftline.pipeline.store import read_stored

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.progress import Progress
    from driftline.core.series import SeriesFrame, SeriesKey
    from driftline.pipeline.categories import Naming

# A mapped task costs Airflow about half a second; these take ten times as long, and half a gigabyte.
BATCH = 20_000
BATCH_VALUES = 20_000_000
BATCH_BY_PROPHET = 500  # series that Prophet fits one by one: half a minute


def read_series(
    client: Elasticsearch,
    job: Job,
    window: Window,
    *,
    uri: str,
    keys: list[SeriesKey] | None = None,
    cells: tuple[Window, Window] | None = None,
    naming: Naming | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Reads a job's series over a window and stages them as Parquet.

    Args:
        client: The cluster.
        job: What to read.
        window: From when to when, in whole buckets.
        uri: Where the frame is written.
        keys: Series that must be in the frame even if they are silent in the window.
        cells: What detectors that compare must see, and those of them that must know what was seen before; by default the window.
        naming: The categories of messages; by default those of the window are learned.
        progress: Told how far the read is.

    Returns:
        A handle: `uri`, `series`, `buckets`, `docs`, `start`, `end`, `notes`, `job_version`, `engine` (who is going to fit them),
        `compared` (of each detector that compares, what is staged for it), `names` and `categories` (what is staged of these, if
        any).

    Raises:
        SourceIndexError: An index or a field is missing or of the wrong type.
    """
    check_fields(client, job)
    staged: dict[str, Any] = {}
    if job.categorises and naming is None:
        naming = learn_categories(client, job, window, progress=progress)
        staged["categories"] = stage_categories(naming, f"{uri}.categories")
    recast = naming.recast if naming else None
    frame = _limited(read_stored(client, job, window, recast=recast, progress=progress), job)
    if keys:
        frame = _with_silent(frame, keys)
    inside, since = cells or (window, window)
    compared = stage(client, job, inside, uri=uri, since=since, recast=recast, progress=progress)
    frame.notes = [*frame.notes, *notes(job, compared)]
    if naming:
        frame.notes += naming.notes
        staged["names"] = naming.write(f"{uri}.names")
        compared = [{**each, "names": staged["names"]} for each in compared]
    frame.write(uri)
    facts = {"job_version": job.version, "engine": job.training.engine, "compared": compared}
    return handle_of(frame, uri) | facts | staged


def together(handles: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What was staged for the categories of several snapshots as one handle, that of the last: snapshot → its own in `frames`."""
    last = list(handles.values())[-1]
    if len(handles) == 1:
        return last
    frames = {snapshot: _where(handle) for snapshot, handle in handles.items()}
    compared = [
        {**each, "frames": {snapshot: _where(handle["compared"][number]) for snapshot, handle in handles.items()}}
        for number, each in enumerate(last["compared"])
    ]
    return {**last, "frames": frames, "compared": compared}


def _where(handle: dict[str, Any]) -> dict[str, Any]:
    return {"uri": handle["uri"], "names": handle["names"]}


def handle_of(frame: SeriesFrame, uri: str) -> dict[str, Any]:
    """What tasks hand to one another instead of the frame itself."""
    return {
        "uri": uri,
        "series": len(frame.keys),
        "buckets": int(frame.values.shape[1]),
        "docs": int(frame.docs.sum()),
        "start": iso(frame.start),
        "end": iso(frame.end),
        "notes": frame.notes,
    }


def _with_silent(frame: SeriesFrame, keys: list[SeriesKey]) -> SeriesFrame:
    silent = sorted(set(keys) - set(frame.keys), key=str)
    if not silent:
        return frame
    nothing = np.full((len(silent), frame.values.shape[1]), np.nan)
    sizes = None if frame.sizes is None else np.concatenate([frame.sizes, nothing])
    return replace(frame, keys=[*frame.keys, *silent], values=np.concatenate([frame.values, nothing]), sizes=sizes)


def _limited(frame: SeriesFrame, job: Job) -> SeriesFrame:
    """Keeps the largest partitions when there are more than the job allows, and says which were left out."""
    limit = job.training.max_partitions
    if len(frame.keys) <= limit:
        return frame
    volume = np.array([np.nansum(np.abs(values)) for values in frame.values])  # one by one: no second matrix in memory
    kept = np.sort(np.argsort(-volume, kind="stable")[:limit])
    left = sorted(set(range(len(frame.keys))) - set(kept.tolist()))
    named = ", ".join(frame.keys[row].label() for row in left[:20])
    note = f"{len(left)} series beyond training.max_partitions={limit} are left out (the smallest): {named}"
    limited = frame.take(kept)
    limited.notes = [*frame.notes, note + (" …" if len(left) > 20 else "")]
    return limited


def batches(handle: dict[str, Any], size: int | None = None) -> list[dict[str, Any]]:
    """The frame's series in batches of nearly the same size for mapped tasks, and one for each detector that compares.

    If there is nothing at all there is one empty batch, so that the run concludes in any case. `size` is the most series of a
    batch; by default so many that Airflow's share stays small.
    """
    most = size or max(1, min(BATCH, BATCH_VALUES // max(1, handle["buckets"])))
    if size is None and handle.get("engine") == "prophet":
        most = min(most, BATCH_BY_PROPHET)
    total = handle["series"]
    if "frames" in handle:  # each of a few thousand categories, and one of them may be several in the next
        most = max(1, total)
    count = max(1, -(-total // most))
    edges = [total * number // count for number in range(count + 1)]
    shared = {name: handle[name] for name in ("uri", "names", "frames") if name in handle}
    series = [{**shared, "first": first, "last": last, "part": str(first)} for first, last in pairwise(edges)]
    compared = [{**staged, "part": f"detector-{staged['detector']}"} for staged in handle.get("compared", [])]
    version = {"job_version": handle["job_version"]} if "job_version" in handle else {}
    return [batch | version for batch in (*(series if total or not compared else []), *compared)]
