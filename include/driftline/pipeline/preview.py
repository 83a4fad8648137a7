"""Preview: what a job that is not saved would see, and what it would have found, in its newest data.

It leaves nothing but the series store's cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.categorization import MLCATEGORY
from driftline.core.errors import DataError
from driftline.core.results import milliseconds
from driftline.core.timespan import Window
from driftline.elastic.client import explained
from driftline.elastic.fields import data_range
from driftline.elastic.query import filtered, searched
from driftline.pipeline.history import counted, of_job, replayed
from driftline.pipeline.view import numbers
from driftline.scoring.kinds import KINDS
from driftline.scoring.score import severity
from driftline.scoring.sentence import sentence
from driftline.scoring.settings import MIN_RECORD_SCORE
from driftline.scoring.truth import Alarms

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.progress import Progress
    from driftline.pipeline.history import History
    from driftline.pipeline.replay import Replayed

SERIES = 6  # the largest: as many as a person looks at
BUCKETS = 2_000  # of the newest data: three weeks of quarter hours, replayed in seconds
LEVELS = (25.0, 50.0, 75.0)


def preview(client: Elasticsearch, job: Job, *, progress: Progress | None = None) -> dict[str, Any]:
    """Replays the largest series of a job as it would have happened.

    Returns:
        `alarms` (how many at each severity's threshold), `series` (each as `view.view_series` gives one: `label`, `times`,
        `actual`, `lower`, `typical`, `upper`, `records`), `start`, `end`, `notes`.

    Raises:
        DataError: The job has no series, or too little history.
    """
    if not any(detector.kind == "series" for detector in job.detectors):
        raise DataError(
            "there is no preview of detectors that compare: they learn from a whole training", where=f"job {job.job_id}"
        )
    data = data_range(client, job)
    history = of_job(client, job, start=max(data.start, data.end - BUCKETS * job.bucket_span), most=SERIES, progress=progress)
    found = replayed(history, progress=progress)
    known = np.isfinite(found.typical).any(axis=0)
    if not known.any():
        raise DataError(
            "the history is too short for any model", where=f"job {job.job_id}", expected=f"more than {history.window} holds"
        )
    skip = int(known.argmax())
    scores = found.anomaly_score[:, skip:]
    counts = all(each.spec.empty_is_zero for each in job.detectors if each.kind == "series")
    return {
        **history.window.as_dict(),
        "bucket_span": job.span_seconds,
        "alarms": counted(Alarms.of(scores), LEVELS, scores.shape, history.span),
        "series": [_drawn(history, found, row, counts=counts) for row in range(len(history.labels))],
        "notes": history.notes,
    }


def sketch(client: Elasticsearch, job: Job, *, progress: Progress | None = None) -> dict[str, Any]:
    """The largest series of a job as they are; of detectors that compare, how many documents there are.

    Returns:
        `series` (each with `label`, `times`, `actual`), `start`, `end`, `notes`.

    Raises:
        DataError: There is no whole bucket of data.
    """
    data = data_range(client, job)
    window = Window(max(data.start, data.end - BUCKETS * job.bucket_span), data.end)
    history = of_job(client, _few(client, job, window), start=window.start, most=SERIES, progress=progress)
    return {
        **history.window.as_dict(),
        "bucket_span": job.span_seconds,
        "series": [_line(history, row) for row in range(len(history.labels))],
        "notes": history.notes,
    }


def _few(client: Elasticsearch, job: Job, window: Window) -> Job:
    """The same job of fewer documents: those of the most frequent values of the split that all of its detectors have."""
    found = {(each.partition_field_name, each.by_field_name) for each in job.detectors if each.kind == "series"}
    if not found or any(MLCATEGORY in fields for fields in found):
        counting = {"job_id": job.job_id, "bucket_span": job.bucket_span, "detectors": [{"function": "count"}]}
        return job.parse({**counting, "time_field": job.time_field, "datafeed": job.datafeed}, where=f"job {job.job_id}")
    names = [name for name in next(iter(found)) if name]
    # of other splits the query would leave out documents, and it cannot ask for what a script or an aggregation makes
    made = job.datafeed.aggregations or job.datafeed.script_fields.keys() & set(names)
    if len(found) > 1 or made or not names:
        return job
    with explained(f"job {job.job_id}, datafeed"):
        aggs = {name: {"terms": {"field": name, "size": SERIES}} for name in names}
        body = searched(job, {"size": 0, "query": filtered(job, window), "aggs": aggs})
        answer = client.search(index=job.datafeed.indices, **body).body["aggregations"]
    buckets = {name: answer[name]["buckets"] for name in names}
    chosen = [{"terms": {name: [each.get("key_as_string", each["key"]) for each in listed]}} for name, listed in buckets.items()]
    query = {"bool": {"filter": [job.datafeed.query, *chosen]}}
    return job.model_copy(update={"datafeed": job.datafeed.model_copy(update={"query": query})})


def _line(history: History, row: int) -> dict[str, Any]:
    """One series as it is."""
    first, span = milliseconds(history.start), round(history.span.total_seconds() * 1000)
    return {
        "label": history.labels[row],
        "bucket_span": span // 1000,
        "times": [first + n * span for n in range(history.values.shape[1])],
        "actual": numbers(history.values[row]),
    }


def _drawn(history: History, found: Replayed, row: int, *, counts: bool) -> dict[str, Any]:
    """One series as the viewer draws it."""
    first, span = milliseconds(history.start), round(history.span.total_seconds() * 1000)
    marked = np.flatnonzero(found.record_score[row] >= MIN_RECORD_SCORE).tolist()
    return {
        **_line(history, row),
        **{name: numbers(getattr(found, name)[row]) for name in ("lower", "typical", "upper")},
        "records": [
            {
                "timestamp": first + n * span,
                "record_score": float(found.record_score[row, n]),
                "severity": severity(float(found.record_score[row, n])),
                "alarm": bool(found.anomaly_score[row, n] > 0),
                "driftline": {
                    "sentence": sentence(
                        float(history.values[row, n]),
                        float(found.typical[row, n]),
                        kind=KINDS[int(found.kind[row, n])],
                        counts=counts,
                    )
                },
            }
            for n in marked
        ],
    }
