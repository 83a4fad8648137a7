"""A quality report: what the gate saw of a run."""

from __future__ import annotations

from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import HTTPException, Path, Response, status
from fastapi.responses import HTMLResponse

from driftline_airflow.web.access import ClusterDep, require_read, routes
from driftline_airflow.web.api.quality import dag_of

REPORT_ID = r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}$"
# the report is a page of its own, which is also mailed and kept: its style is in it, and nothing else runs
CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
router = routes()


@router.get("/reports/{report_id}", response_class=HTMLResponse)
def report(report_id: Annotated[str, Path(pattern=REPORT_ID)], client: ClusterDep, user: GetUserDep) -> Response:
    """The gate's report, rendered from what is stored of it; its id is looked up and never part of a path."""
    from driftline.elastic.client import explained
    from driftline.elastic.indices import QUALITY
    from driftline.quality.report import render

    query = {"bool": {"filter": [{"term": {"report_id": report_id}}]}}
    with explained("quality report"):
        hits = client.search(index=QUALITY, query=query, size=1, ignore_unavailable=True)["hits"]["hits"]
    if not hits:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such report.")
    found: dict[str, Any] = hits[0]["_source"]
    require_read(dag_of(found), user)
    return HTMLResponse(render(found), headers={"Content-Security-Policy": CSP})
