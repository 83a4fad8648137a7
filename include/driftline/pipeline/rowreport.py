"""The quality report of an ingest run: what the checks of its rows found, for Elasticsearch and as a page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from driftline.core.timespan import Window
from driftline.pipeline import gate
from driftline.pipeline.rowgate import add, no_counts, results_of
from driftline.quality.report import Report
from driftline.quality.rows import RowRules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from elasticsearch import Elasticsearch

    from driftline.core.source import Source

NOTHING: dict[str, Any] = {"verdict": "pass", "report_id": None, "report": None, "failed": []}


def write(client: Elasticsearch, source: Source, results: Iterable[dict[str, Any]], run: str) -> dict[str, Any]:
    """Writes the report of what a run did.

    Returns:
        `verdict`, `report_id` and `report` (None where there was nothing to judge), and `failed`, the messages of checks that
        did not pass.
    """
    counts, done = no_counts(), list(results)
    for result in done:
        if found := result["checks"]:
            add(counts, found)
    rows = counts["rows"] + counts["unparsed"]
    if not rows:
        return dict(NOTHING)
    checks = results_of(RowRules.of(source), counts)
    facts = {
        "index": source.index,
        "files": len(done),
        "rows": rows,
        "bad": counts["bad"] + counts["unparsed"],
        "pending": sum(result["pending"] for result in done),
    }
    report = Report("source", source.source_id, "ingest", _window(counts), checks, run, facts)
    return gate.write_report(client, report)


def _window(counts: dict[str, Any]) -> Window:
    """The interval of the rows' own times; of nothing but unreadable rows none is known."""
    first, last = counts["first"] or 0, counts["last"] or 0
    return Window(datetime.fromtimestamp(first / 1000, UTC), datetime.fromtimestamp(last / 1000, UTC))
