"""Read: one aggregation per job, into a staged frame that the next tasks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.timespan import Window, iso
from driftline.elastic.fields import check_fields
from driftline.elastic.read import read_frame

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.progress import Progress

BATCH = 500  # series a mapped task: a minute of plain Prophet, against a second or two of Airflow's overhead


def read_series(
    client: Elasticsearch,
    job: Job,
    window: Window,
    *,
    uri: str,
    keys: list[SeriesKey] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Reads a job's series over a window and stages them as Parquet.

    Args:
        client: The cluster.
        job: What to read.
        window: From when to when, in whole buckets.
        uri: Where the frame is written.
        keys: Series that must be in the frame even if they are silent in the window.
        progress: Told how far the read is.

    Returns:
        A handle: `uri`, `series`, `buckets`, `docs`, `start`, `end`, `notes`.

    Raises:
        SourceIndexError: An index or a field is missing or of the wrong type.
    """
    check_fields(client, job)
    frame = read_frame(client, job, window, progress=progress)
    if keys:
        frame = _with_silent(frame, keys)
    frame.write(uri)
    return handle_of(frame, uri)


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
    return SeriesFrame(
        frame.start, frame.span, [*frame.keys, *silent], np.concatenate([frame.values, nothing]), frame.docs, frame.notes
    )


def batches(handle: dict[str, Any], size: int = BATCH) -> list[dict[str, Any]]:
    """The frame's series in batches for mapped tasks; an empty frame is one empty batch, so that the run still concludes."""
    return [
        {"uri": handle["uri"], "first": first, "last": min(first + size, handle["series"])}
        for first in range(0, max(1, handle["series"]), size)
    ]
