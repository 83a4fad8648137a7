"""Two pages for people: a quality report, and the top records of an interval. Both need a user of Airflow."""

from __future__ import annotations

import functools
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep, get_user
from fastapi import Depends, FastAPI, HTTPException, Path, Query, Request, Response, status
from fastapi.responses import HTMLResponse, JSONResponse

from driftline.core.definition import IDENTIFIER
from driftline.core.errors import ClusterError, DefinitionError, DriftlineError
from driftline.core.timespan import Window
from driftline_airflow.web.access import ClusterDep, require_read
from driftline_airflow.web.table import CSP, page, records_page

REPORT_ID = r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}$"
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}
TOP = 100


@functools.cache
def pages() -> FastAPI:
    """The application: no documentation pages, and nothing for the anonymous."""
    app = FastAPI(title="Driftline", dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(DriftlineError, _explained)
    app.add_api_route("/reports/{report_id}", report, methods=["GET"], response_class=HTMLResponse)
    app.add_api_route("/results/{job_id}", results, methods=["GET"], response_class=HTMLResponse)
    return app


def _explained(_: Request, error: Exception) -> Response:
    """A Driftline error as JSON: 503 when the cluster is away, 400 when the request is wrong."""
    assert isinstance(error, DriftlineError)
    code = status.HTTP_503_SERVICE_UNAVAILABLE if isinstance(error, ClusterError) else status.HTTP_400_BAD_REQUEST
    return JSONResponse(error.as_dict(), status_code=code, headers=HEADERS)


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
    require_read(_dag_of(found), user)
    return HTMLResponse(render(found), headers=HEADERS)


def _dag_of(found: dict[str, Any]) -> str:
    """The DAG whose readers may see a report."""
    if found.get("source_id"):
        return f"{found['source_id']}.ingest"
    return f"{found.get('job_id')}.{found.get('stage') or 'score'}"


def results(
    job_id: Annotated[str, Path(pattern=IDENTIFIER)],
    client: ClusterDep,
    user: GetUserDep,
    start: Annotated[str | None, Query(max_length=40)] = None,
    end: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """The records of a job with the highest scores, in an interval or of all time."""
    from driftline.elastic.results import top_records

    require_read(f"{job_id}.score", user)
    if bool(start) != bool(end):
        return HTMLResponse(page("Results", "<p>Give both start and end, or neither.</p>"), status_code=400, headers=HEADERS)
    window = Window.parse(start, end) if start and end else None
    records = top_records(client, job_id, version=_version(job_id, client), window=window, limit=TOP)
    return HTMLResponse(records_page(job_id, str(window) if window else "All time", records), headers=HEADERS)


def _version(job_id: str, client: ClusterDep) -> str | None:
    """The version of the job as it is defined now; None, for results of all versions, when its definition is gone or broken."""
    from driftline.pipeline.jobs import load_job

    try:
        return load_job(job_id, client).version
    except DefinitionError:
        return None
