"""Buttons on a task that lead to its quality report and to its results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

PREFIX = "/driftline"


def page(path: str, **query: str) -> str:
    """A page of ours on Airflow's own web server, below its base path when it has one."""
    return f"{urlsplit(_base()).path}{PREFIX}/{path}" + (f"?{urlencode(query)}" if query else "")


def address(path: str) -> str:
    """The same as a whole address, for those who are not there: where Airflow says that its users find it."""
    from airflow.sdk.configuration import conf

    base = _base() or f"http://localhost:{conf.get('api', 'port', fallback='8080')}"
    return f"{base}{PREFIX}/{path}"


def _base() -> str:
    from airflow.sdk.configuration import conf

    return str(conf.get("api", "base_url", fallback="") or "").rstrip("/")


class QualityReportLink(BaseOperatorLink):
    """The HTML report of the gate that the run passed, or was stopped by."""

    name = "Quality report"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ANN401 - Airflow's signature
        """Called in the task's own process once it is done; empty (no button) when there is no report."""
        report_id = getattr(operator, "report_id", None)
        return page(f"reports/{quote(report_id, safe='')}") if report_id else ""


class ResultsLink(BaseOperatorLink):
    """The explorer, on the interval that the run scored; of an analysis of documents its page."""

    name = "Results"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ANN401 - Airflow's signature
        """Called in the task's own process once it is done; empty (no button) when nothing was scored."""
        if (analysis := getattr(operator, "analysis", None)) is not None:
            return page(f"analytics/{quote(getattr(analysis, 'analytics_id', analysis), safe='')}")
        plan, job = getattr(operator, "plan", None), getattr(operator, "job", None)
        if not isinstance(plan, dict) or job is None:
            return ""
        return page("explorer", job=getattr(job, "job_id", job), start=plan["start"], end=plan["end"])
