"""A run's quality report: as JSON for Elasticsearch, and as one self-contained HTML page for people."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from driftline.core.timespan import Window, iso
from driftline.quality.checks import CheckResult, worst

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Template

INDEXED = {"docs", "series", "buckets", "docs_per_bucket", "rows", "bad"}  # facts that are fields of the index
POINTS = 240  # of the picture of documents a bucket; more than a screen shows anyway


@dataclass
class Report:
    """What the gate found in one run.

    Attributes:
        kind: job or source.
        name: The job's or source's id.
        stage: train, score or ingest.
        window: The data's interval.
        checks: What each check found.
        run: The run that asked.
        facts: Figures for the head of the report, e.g. documents and series.
        docs: Documents a bucket, for the picture.
        kept: What later runs want to know of this one, e.g. the profile of a training.
    """

    kind: str
    name: str
    stage: str
    window: Window
    checks: list[CheckResult]
    run: str
    facts: dict[str, Any] = field(default_factory=dict)
    docs: Sequence[float] = ()
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The most severe verdict of all checks."""
        return worst(self.checks)

    @property
    def failed(self) -> list[str]:
        """The messages of the checks that did not pass."""
        return [f"{check.name}: {check.message}" for check in self.checks if check.verdict in {"warn", "stop"}]

    @property
    def report_id(self) -> str:
        """Says what was checked, never when: checking an interval again replaces its report."""
        text = "\0".join((self.kind, self.name, self.stage, iso(self.window.start), iso(self.window.end)))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """The document of the index `driftline-quality`, which `render` makes a page of."""
        document: dict[str, Any] = {
            "report_id": self.report_id,
            "kind": self.kind,
            f"{self.kind}_id": self.name,
            "stage": self.stage,
            "@timestamp": iso(self.window.end),
            **self.window.as_dict(),
            "verdict": self.verdict,
            "failed_checks": [check.name for check in self.checks if check.verdict in {"warn", "stop"}],
            "run": self.run,
            "created": iso(datetime.now(UTC)),
            "checks": [check.as_dict() for check in self.checks],
            "detail": {"facts": self.facts, "docs": _thinned(self.docs), **self.kept},
        }
        return document | {key: value for key, value in self.facts.items() if key in INDEXED}


def _thinned(values: Sequence[float]) -> list[float]:
    """At most POINTS means of neighbours: of sums the last, over fewer of them, would look like a drop."""
    step = -(-len(values) // POINTS) if values else 1
    return [_mean(values[first : first + step]) for first in range(0, len(values), step)]


def _mean(values: Sequence[float]) -> float:
    return round(float(sum(values)) / len(values), 3)


def render(document: dict[str, Any]) -> str:
    """The page of a stored report: nothing is fetched, and all text is shown as text."""
    docs = document.get("detail", {}).get("docs") or []
    return _template().render(
        report=document,
        name=document.get("job_id") or document.get("source_id"),
        bars=_bars(docs),
        highest=max(docs, default=0.0),
        facts=document["detail"]["facts"],
    )


def _bars(docs: list[float]) -> list[dict[str, float]]:
    """The picture's bars in a box of 100 × 20."""
    top = max(docs, default=0.0) or 1.0
    width = 100 / max(1, len(docs))
    return [
        {"x": round(n * width, 3), "width": round(width * 0.9, 3), "height": round(20 * value / top, 3)}
        for n, value in enumerate(docs)
    ]


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(loader=PackageLoader("driftline.quality"), autoescape=select_autoescape(default=True))
    return environment.get_template("report.html")
