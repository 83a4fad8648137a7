"""Preview: what a job that is not saved would have found in its newest data. It leaves nothing but the series store's cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import DataError
from driftline.core.results import milliseconds
from driftline.elastic.fields import data_range
from driftline.pipeline.history import counted, of_job
from driftline.pipeline.replay import replay
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
    found = replay(history.times, history.values, sqrt=history.sqrt, progress=progress)
    known = np.isfinite(found.typical).any(axis=0)
    if not known.any():
        raise DataError(
            "the history is too short for any model", where=f"job {job.job_id}", expected=f"more than {history.window} holds"
        )
    skip = int(known.argmax())
    scores = found.anomaly_score[:, skip:]
    return {
        **history.window.as_dict(),
        "bucket_span": job.span_seconds,
        "alarms": counted(Alarms.of(scores), LEVELS, scores.shape, history.span),
        "series": [_drawn(history, found, row) for row in range(len(history.labels))],
        "notes": history.notes,
    }


def _drawn(history: History, found: Replayed, row: int) -> dict[str, Any]:
    """One series as the viewer draws it."""
    first, span = milliseconds(history.start), round(history.span.total_seconds() * 1000)
    marked = np.flatnonzero(found.record_score[row] >= MIN_RECORD_SCORE).tolist()
    return {
        "label": history.labels[row],
        "bucket_span": span // 1000,
        "times": [first + n * span for n in range(history.values.shape[1])],
        "actual": numbers(history.values[row]),
        **{name: numbers(getattr(found, name)[row]) for name in ("lower", "typical", "upper")},
        "records": [
            {
                "timestamp": first + n * span,
                "record_score": float(found.record_score[row, n]),
                "severity": severity(float(found.record_score[row, n])),
                "alarm": bool(found.anomaly_score[row, n] > 0),
                "driftline": {
                    "sentence": sentence(
                        float(history.values[row, n]), float(found.typical[row, n]), kind=KINDS[int(found.kind[row, n])]
                    )
                },
            }
            for n in marked
        ],
    }
