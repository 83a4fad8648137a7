"""The web application: pages, the REST API, and the APIs that clients of Elastic and loudml know. Every route needs a user."""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, Request, Response, status
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from driftline import __version__
from driftline.core.errors import DriftlineError
from driftline_airflow.web import access, api, assets, elastic, loudml, loudml_signatures, pages
from driftline_airflow.web.errors import status_of
from driftline_airflow.web.pages import (
    alerts,
    analytics,
    explorer,
    jobs,
    overview,
    quality,
    quarantine,
    reports,
    series,
    signatures,
)
from driftline_airflow.web.render import rendered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# Scripts and styles are our own files. Plotly sets styles of the elements that it draws, which is what is allowed inline.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}


@functools.cache
def application() -> FastAPI:
    """The application: no documentation pages of FastAPI's, which load scripts from elsewhere, and nothing for the anonymous."""
    app = FastAPI(
        title="Driftline",
        version=__version__,
        dependencies=[Depends(get_user)],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.add_exception_handler(DriftlineError, _explained)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.middleware("http")(_guarded)
    for page in (explorer, series, signatures, jobs, analytics, overview, quality, quarantine, alerts, reports, assets):
        app.include_router(page.router, include_in_schema=False)
    app.include_router(api.router())
    app.include_router(loudml.router)
    app.include_router(loudml_signatures.router)
    app.include_router(elastic.router())
    return app


def prepare() -> None:
    """Loads what the pages need and import late. Where something fails, the page that needs it says so."""
    application()
    assets.asset(assets.PLOTLY)
    import driftline.pipeline.jobs
    import driftline.pipeline.view  # noqa: F401

    with suppress(DriftlineError):
        access.connected()


def _of_page(request: Request) -> bool:
    """Whether people look at the answer: an error is a page then, and JSON for all others."""
    return str(getattr(request.scope.get("endpoint"), "__module__", "")).startswith(pages.__name__)


def _page(request: Request, message: str, code: int) -> Response:
    depth = request.scope["route"].path.count("/") - 1
    return rendered(
        "message.html", title="This cannot be shown", here="", message=message, todo="", status_code=code, depth=depth
    )


async def _guarded(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Every answer says what it may load, unless it says so itself."""
    response = await call_next(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


async def _refused(request: Request, error: Exception) -> Response:
    """What is not there, or not for this user."""
    assert isinstance(error, HTTPException)
    if _of_page(request):
        return _page(request, str(error.detail), error.status_code)
    return await http_exception_handler(request, error)


def _explained(request: Request, error: Exception) -> Response:
    """A Driftline error."""
    assert isinstance(error, DriftlineError)
    if _of_page(request):
        return _page(request, str(error), status_of(error))
    return JSONResponse({**error.as_dict(), "message": str(error)}, status_code=status_of(error))


def _invalid(request: Request, error: Exception) -> Response:
    """What pydantic found, in one sentence a field."""
    assert isinstance(error, RequestValidationError)
    told: list[dict[str, Any]] = [
        {"where": ".".join(str(part) for part in each["loc"]), "what": str(each["msg"])} for each in error.errors()
    ]
    message = "; ".join(f"{each['where']}: {each['what']}" for each in told)
    if _of_page(request):
        return _page(request, message, status.HTTP_422_UNPROCESSABLE_CONTENT)
    body = {"error": "RequestError", "what": "the request is wrong", "message": message, "details": told}
    return JSONResponse(body, status_code=status.HTTP_422_UNPROCESSABLE_CONTENT)
