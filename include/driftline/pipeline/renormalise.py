"""Renormalise: the scores of a job's stored results, given what has come since. `initial_…` scores stay what they were."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.timespan import Window
from driftline.elastic import results, state
from driftline.elastic.bulk import AT_ONCE, bulk, update_action
from driftline.scoring.events import quiet
from driftline.scoring.renormalisation import renormalised
from driftline.scoring.score import from_job_score, from_score, to_job_score, to_score
from driftline.scoring.settings import RENORMAL_POINTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job

DAYS, BUCKETS = 30, 100  # the window is the longer of the two, as Elastic's is
SCORES = {"record": "record_score", "influencer": "influencer_score", "event": "anomaly_score", "bucket": "anomaly_score"}
OF_SERIES = ("detector_index", "partition_field_value", "by_field_value", "over_field_value")
PARTS = "bucket_influencers"
OF_INFLUENCER = ("influencer_field_name", "influencer_field_value")


@dataclass
class _Found:
    """Results of one type: columns, as there may be a million."""

    place: list[tuple[str, str]] = field(default_factory=list)
    time: array[int] = field(default_factory=lambda: array("q"))
    group: array[int] = field(default_factory=lambda: array("q"))
    initial: array[float] = field(default_factory=lambda: array("d"))
    alone: array[float] = field(default_factory=lambda: array("d"))  # of what was lowered when it was scored; else NaN
    current: array[float] = field(default_factory=lambda: array("d"))
    parts: dict[int, list[dict[str, Any]]] = field(default_factory=dict)


def renormalise(client: Elasticsearch, job: Job) -> int:
    """Lowers what has come again and again, and raises again what no longer has. The same results give the same scores.

    What people judged keeps the score that this gave it.

    Returns:
        How many results were written.
    """
    known = state.progress(client, job)
    window = _window(job, known.window) if known else None
    return sum(_of_type(client, job, window, kind) for kind in SCORES) if window else 0


def _window(job: Job, scored: Window) -> Window | None:
    """How far back, from the newest bucket; None for not at all."""
    days = job.renormalization_window_days
    reach = max(timedelta(days=DAYS), BUCKETS * job.bucket_span) if days is None else timedelta(days=days)
    return Window(max(scored.start, scored.end - reach), scored.end) if reach else None


def _of_type(client: Elasticsearch, job: Job, window: Window, kind: str) -> int:
    found, of_job = _found(client, job, window, kind), kind == "bucket"
    before, initial = np.asarray(found.current), np.asarray(found.initial)
    bucket = np.asarray(found.time, dtype=np.int64) // (1000 * job.span_seconds)
    history = int((window.end - window.start) / job.bucket_span)
    alone = np.asarray(found.alone)
    # what was lowered already is not lowered twice for the same
    first = np.where(np.isnan(alone), from_job_score(initial) if of_job else from_score(initial, job.bucket_span), alone)
    surprise = renormalised(first, bucket, np.asarray(found.group, dtype=np.int64), history, gap=quiet(job.bucket_span))
    after = np.minimum(to_job_score(surprise) if of_job else to_score(surprise, job.bucket_span), initial)
    changed = np.flatnonzero(np.abs(after - before) >= RENORMAL_POINTS)

    def actions() -> Iterator[bytes]:
        for number in changed.tolist():
            fields: dict[str, Any] = {SCORES[kind]: float(after[number])}
            if parts := found.parts.get(number):
                most = fields[SCORES[kind]]
                fields[PARTS] = [{**each, "anomaly_score": min(each["initial_anomaly_score"], most)} for each in parts]
            yield update_action(*found.place[number], fields)

    bulk(client, actions(), at_once=AT_ONCE)
    return len(changed)


def _found(client: Elasticsearch, job: Job, window: Window, kind: str) -> _Found:
    named = {"influencer": OF_INFLUENCER, "bucket": ()}.get(kind, OF_SERIES)
    score, out = SCORES[kind], _Found()
    groups: dict[tuple[Any, ...], int] = {}
    query = {"bool": {"filter": [*results.interval(job, window), {"term": {"result_type": kind}}]}}
    wanted = ["timestamp", score, f"initial_{score}", "driftline.feedback.id", "driftline.recurring.surprise", PARTS, *named]
    for hit in results.scan(client, query, source=wanted):
        document = hit["_source"]
        ours = document.get("driftline", {})
        if "feedback" in ours:
            continue
        if parts := document.get(PARTS):
            out.parts[len(out.place)] = parts
        out.place.append((hit["_index"], hit["_id"]))
        out.time.append(document["timestamp"])
        out.group.append(groups.setdefault(tuple(map(document.get, named)), len(groups)))
        out.initial.append(document[f"initial_{score}"])
        out.alone.append(ours.get("recurring", {}).get("surprise", np.nan))
        out.current.append(document[score])
    return out
