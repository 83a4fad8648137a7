"""The gate: checks staged series or ingested rows, keeps the report, and stops the run where the settings say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import fsspec

from driftline.core.errors import QualityStopError
from driftline.core.paths import staging_uri
from driftline.core.series import SeriesFrame
from driftline.core.timespan import Window, iso
from driftline.elastic.client import explained, talks_to_cluster
from driftline.elastic.indices import QUALITY, ensure_templates
from driftline.quality import Report, render
from driftline.quality.history import active, profile, reads, usual
from driftline.quality.series import check_series as judge_series

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job

Stage = Literal["train", "score"]
TRAININGS = 16  # reports that are looked through for one of the same reading: a job's query may have changed since

TREND, NAMES = 10, 1000
LATEST: list[dict[str, Any]] = [{"created": {"order": "desc", "unmapped_type": "date"}}]


def check_series(
    client: Elasticsearch, job: Job, handle: dict[str, Any], *, stage: Stage, run: str, window: Window | None = None
) -> dict[str, Any]:
    """Checks a staged frame.

    Args:
        client: The cluster.
        job: Whose settings apply.
        handle: The frame's handle.
        stage: train or score.
        run: The run that asks.
        window: The part of the frame that counts; by default the handle's `interval` (without its look-back), or all of it.

    Returns:
        `verdict`, `report_id`, `report` (URI of the page), `failed` (messages).

    Raises:
        QualityStopError: A check that is set to `stop` failed. The report is written all the same.
    """
    frame = SeriesFrame.read(handle["uri"])
    interval = window or (Window.parse(**handle["interval"]) if "interval" in handle else frame.window)
    part = frame.slice(interval)
    known = history(client, job, stage, interval)
    checks = judge_series(frame, job, window=interval, history=usual(known, part.window, job.bucket_span) if known else None)
    buckets, docs = len(part.docs), int(part.docs.sum())
    alive = int(active(part, job).any(axis=1).sum())
    facts = {"docs": docs, "buckets": buckets, "series": alive, "docs_per_bucket": docs / max(1, buckets)}
    kept: dict[str, Any] = {"reads": reads(job)} | ({"profile": profile(part, job)} if stage == "train" else {})
    report = Report("job", job.job_id, stage, interval, checks, run, facts, part.docs.tolist(), kept)
    return conclude(client, report, where=f"job {job.job_id}, {stage}")


def write_report(client: Elasticsearch, report: Report) -> dict[str, Any]:
    """Keeps a report, in Elasticsearch and as a page; checking the same interval again replaces both.

    Returns:
        As `check_series`. It raises nothing on `stop`: that is for who knows what has to end.
    """
    uri = staging_uri("reports", f"{report.report_id}.html")
    document = {**report.as_dict(), "report": uri}
    with fsspec.open(uri, "w", encoding="utf-8", auto_mkdir=True) as page:
        page.write(render(document))
    ensure_templates(client)
    with explained(f"index {QUALITY}"):
        # visible at once, for the button of a task and for who asks the command line next; it is one document a run
        client.index(index=QUALITY, id=report.report_id, document=document, refresh=True)
    return {"verdict": report.verdict, "report_id": report.report_id, "report": uri, "failed": report.failed}


def conclude(client: Elasticsearch, report: Report, *, where: str) -> dict[str, Any]:
    """Keeps a report, and raises where the run must stop."""
    outcome = write_report(client, report)
    if report.verdict == "stop":
        reasons = "; ".join(f"{check.name}: {check.message}" for check in report.checks if check.verdict == "stop")
        raise QualityStopError(
            f"the quality gate stops the run: {reasons}",
            report=outcome["report"],
            report_id=report.report_id,
            where=where,
            fix=f"Read the report ({outcome['report']}) and mend the data, or change the verdicts under 'quality'.",
        )
    return outcome


@talks_to_cluster
def history(client: Elasticsearch, job: Job, stage: Stage, window: Window) -> dict[str, Any] | None:
    """The profile (`quality.history`) of the newest training before an interval; None where there was none.

    As of the interval, in data time: for scoring a training that ended where the interval begins or before; for training one
    that ended earlier, as their windows overlap. So checking again, or in another order, judges by the same history.
    """
    before = {"lte": iso(window.start)} if stage == "score" else {"lt": iso(window.end)}
    clauses = [
        {"term": {"job_id": job.job_id}},
        {"term": {"stage": "train"}},
        {"terms": {"verdict": ["pass", "warn"]}},
        {"range": {"end": before}},
    ]
    found = client.search(
        index=QUALITY,
        query={"bool": {"filter": clauses}},
        sort=[{"end": {"order": "desc", "unmapped_type": "date"}}],
        size=TRAININGS,
        source_includes=["detail.reads", "detail.profile"],
        ignore_unavailable=True,
    )
    details = [hit["_source"].get("detail") or {} for hit in found["hits"]["hits"]]
    return next((detail["profile"] for detail in details if detail.get("reads") == reads(job) and "profile" in detail), None)


@talks_to_cluster
def reports(
    client: Elasticsearch, name: str | None = None, *, stage: str | None = None, run: str | None = None, limit: int = 20
) -> list[dict[str, Any]]:
    """Stored reports, the latest made first: of one job or source, one stage and one run, or of all."""
    clauses = [_of(name), *({"term": {field: value}} for field, value in (("stage", stage), ("run", run)) if value is not None)]
    query = {"bool": {"filter": clauses}}
    found = client.search(index=QUALITY, query=query, sort=LATEST, size=limit, ignore_unavailable=True)
    return [hit["_source"] for hit in found["hits"]["hits"]]


@talks_to_cluster
def latest(client: Elasticsearch, name: str | None = None) -> list[dict[str, Any]]:
    """The latest report of each stage of a job or source, or of all, without its checks.

    Returns:
        Documents of the index, with `name` and `trend`: the verdicts of the last reports, the latest at the end.
    """
    hits = {"top_hits": {"size": TREND, "sort": LATEST, "_source": {"excludes": ["checks", "detail"]}}}
    stages = {"terms": {"field": "stage", "size": 10}, "aggs": {"latest": hits}}
    names = {field: {"terms": {"field": field, "size": NAMES}, "aggs": {"stages": stages}} for field in ("job_id", "source_id")}
    found = client.search(index=QUALITY, query=_of(name), size=0, aggs=names, ignore_unavailable=True)
    entries = []
    for field in names:
        # an index that does not exist yet answers without aggregations
        for of in found.get("aggregations", {}).get(field, {}).get("buckets", []):
            for stage in of["stages"]["buckets"]:
                documents = [hit["_source"] for hit in stage["latest"]["hits"]["hits"]]
                trend = [document["verdict"] for document in reversed(documents)]
                entries.append({**documents[0], "name": of["key"], "trend": trend})
    return sorted(entries, key=lambda entry: (entry["name"], entry["stage"]))


def _of(name: str | None) -> dict[str, Any]:
    if name is None:
        return {"match_all": {}}
    return {"bool": {"should": [{"term": {"job_id": name}}, {"term": {"source_id": name}}], "minimum_should_match": 1}}
