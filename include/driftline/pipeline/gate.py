"""The gate: checks staged series or ingested rows, keeps the report, and stops the run where the settings say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fsspec

from driftline.core.errors import QualityStopError
from driftline.core.paths import staging_uri
from driftline.core.series import SeriesFrame
from driftline.elastic.client import explained, talks_to_cluster
from driftline.elastic.indices import QUALITY, ensure_templates
from driftline.quality import Report, render
from driftline.quality.series import check_series as judge_series

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.timespan import Window
    from driftline.quality.series import Stage

HISTORY = 8  # earlier runs that the usual volume is the median of
MIN_SHARE = 0.5  # an interval shorter than half of a day says little about the usual volume, for volume has a daily cycle
DAY = 86_400


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
        window: The part of the frame that counts; all of it by default.

    Returns:
        `verdict`, `report_id`, `report` (URI of the page), `failed` (messages).

    Raises:
        QualityStopError: A check that is set to `stop` failed. The report is written all the same.
    """
    frame = SeriesFrame.read(handle["uri"])
    interval = window or frame.window
    part = frame.slice(interval)
    checks = judge_series(frame, job, window=interval, history=history(client, job, stage, interval))
    buckets, docs = len(part.docs), int(part.docs.sum())
    facts = {"docs": docs, "buckets": buckets, "series": len(part.keys), "docs_per_bucket": docs / max(1, buckets)}
    report = Report("job", job.job_id, stage, interval, checks, run, facts, part.docs.tolist())
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
    """The usual volume and number of series: medians over the job's earlier intervals of the stage, as they were reported.

    Only intervals that ended before this one begins, so that checking an interval again judges it by the same history; and
    only of similar length where shorter than a day, as the hour of the day matters there.
    """
    seconds = (window.end - window.start).total_seconds()
    found = client.search(
        index=QUALITY,
        query={"bool": {"filter": [
            {"term": {"job_id": job.job_id}},
            {"term": {"stage": stage}},
            {"terms": {"verdict": ["pass", "warn"]}},
            {"range": {"end": {"lte": window.start.isoformat()}}},
        ]}},
        sort=[{"end": {"order": "desc", "unmapped_type": "date"}}],
        size=HISTORY,
        ignore_unavailable=True,
    )["hits"]["hits"]  # fmt: skip
    if seconds < MIN_SHARE * DAY or not found:
        return None
    reports = [hit["_source"] for hit in found]
    return {name: _median([float(report[name]) for report in reports]) for name in ("docs_per_bucket", "series")} | {
        "runs": len(reports)
    }


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


@talks_to_cluster
def reports(client: Elasticsearch, name: str | None = None, *, limit: int = 20) -> list[dict[str, Any]]:
    """Stored reports, the newest data first: of one job or source, or of all."""
    mine = {"bool": {"should": [{"term": {"job_id": name}}, {"term": {"source_id": name}}], "minimum_should_match": 1}}
    found = client.search(
        index=QUALITY,
        query=mine if name else {"match_all": {}},
        sort=[{"created": {"order": "desc", "unmapped_type": "date"}}],
        size=limit,
        ignore_unavailable=True,
    )
    return [hit["_source"] for hit in found["hits"]["hits"]]
