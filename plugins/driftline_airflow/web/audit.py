"""Who changed what: each change through our pages and APIs is a row of Airflow's own audit log.

Airflow's `action_logging` writes before a request is answered, and cannot say what became of it; so a row is written here, of the
same kind, once the answer is known.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from airflow._shared.secrets_masker import redact
from airflow.models.dag import DagModel
from airflow.models.log import Log
from airflow.utils.session import create_session
from fastapi import HTTPException, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError

from driftline.core.errors import DriftlineError
from driftline_airflow.web.errors import status_of

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
LONGEST_EVENT, LONGEST_OWNER = 60, 500  # characters: what Airflow's table holds
WHOLE_BODY = 2048  # bytes: longer ones are whole definitions, which are kept where they belong


def event_of(endpoint: Callable[..., Any]) -> str:
    """What the log calls a route: `driftline.jobs.put`, `driftline.loudml.train`, `driftline.elastic.jobs.…`."""
    where = endpoint.__module__.removeprefix("driftline_airflow.web.").removeprefix("api.")
    return f"driftline.{where}.{endpoint.__name__}"[:LONGEST_EVENT]


def audited(handle: Handler, path: str, event: str, dag_of: Callable[[Request], str | None]) -> Handler:
    """A route's handler that has its requests logged, but for those that are refused.

    Args:
        handle: The handler.
        path: The route's path, with its parameters by name.
        event: What the log calls it.
        dag_of: Which DAG a request is about.
    """

    async def logged(request: Request) -> Response:
        body, code = await _short_body(request), status.HTTP_500_INTERNAL_SERVER_ERROR
        try:
            response = await handle(request)
            code = response.status_code
        except HTTPException as error:
            code = error.status_code
            raise
        except RequestValidationError:
            code = status.HTTP_422_UNPROCESSABLE_CONTENT
            raise
        except DriftlineError as error:
            code = status_of(error)
            raise
        finally:
            user = getattr(request.state, "editor", None)
            if user is not None and code != status.HTTP_403_FORBIDDEN:
                about = {"method": request.method, "path": path, "status": code, **request.path_params}
                extra = {**about, **_redacted("query", dict(request.query_params)), **body}
                await run_in_threadpool(write, event, str(user.get_name()), dag_of(request), extra)
        return response

    return logged


def write(event: str, user: str, dag_id: str | None, extra: dict[str, Any]) -> None:
    """Writes a row. It names the DAG only where Airflow has it: rows of DAGs that are not there are shown to nobody."""
    with create_session() as session:
        known = dag_id if dag_id and session.get(DagModel, dag_id) else None
        text, owner = orjson.dumps(extra).decode(), user[:LONGEST_OWNER]
        session.add(Log(event, owner=owner, owner_display_name=owner, extra=text, dag_id=known))


async def _short_body(request: Request) -> dict[str, Any]:
    """A short JSON body without its secrets, of a longer one the size."""
    told = request.headers.get("content-length", "")
    size = int(told) if told.isascii() and told.isdecimal() else 0
    if not 0 < size <= WHOLE_BODY:
        return {"body_bytes": size} if size else {}
    try:
        return _redacted("body", orjson.loads(await request.body()))
    except orjson.JSONDecodeError:
        return {"body_bytes": size}


def _redacted(name: str, given: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {name: redact(given)} if given else {}
