"""Elastic's manners: its media types and product header, its errors, and parameters in the query or in the body."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Body, HTTPException, Request, Response, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from driftline.core.errors import (
    ClusterDownError,
    ClusterError,
    DefinitionError,
    DriftlineError,
    NodeError,
    TakenError,
    WindowError,
)
from driftline.core.timespan import Window, parse_time
from driftline_airflow.web.access import Guarded
from driftline_airflow.web.audit import Handler

PRODUCT = {"X-Elastic-Product": "Elasticsearch"}
MEDIA = re.compile(r"application/vnd\.elasticsearch\+(?:x-nd)?json\s*;\s*compatible-with\s*=\s*(\d+)", re.IGNORECASE)
VERSIONS = ("8", "9")  # of Elastic's API: paths and bodies of what is served here are the same in both
KINDS = {
    400: "illegal_argument_exception", 401: "security_exception", 403: "security_exception", 404: "resource_not_found_exception",
    409: "status_exception", 501: "unsupported_operation_exception",
}  # fmt: skip
COMMON = {"pretty", "human", "error_trace", "filter_path", "format"}  # what every address of Elastic's takes; of no effect here
DEEP = 10_000  # results; Elasticsearch pages no deeper
FROM = AliasChoices("from", "from_")


class ElasticError(HTTPException):
    """An error with its type, as Elastic names it."""

    def __init__(self, code: int, reason: str, kind: str | None = None) -> None:
        super().__init__(code, reason)
        self.kind = kind


def missing(reason: str) -> ElasticError:
    """What is asked for is not there."""
    return ElasticError(status.HTTP_404_NOT_FOUND, reason)


def taken(reason: str) -> ElasticError:
    """Something of that id is there already."""
    return ElasticError(status.HTTP_400_BAD_REQUEST, reason, "resource_already_exists_exception")


def wrong(reason: str) -> ElasticError:
    """The request cannot be meant so."""
    return ElasticError(status.HTTP_400_BAD_REQUEST, reason)


def conflict(reason: str) -> ElasticError:
    """Not in the state that it is in."""
    return ElasticError(status.HTTP_409_CONFLICT, reason)


def absent(reason: str) -> ElasticError:
    """Not here."""
    return ElasticError(status.HTTP_501_NOT_IMPLEMENTED, reason)


class Elastic(Guarded):
    """A route whose answers and errors look as Elastic's."""

    def __init__(self, path: str, endpoint: Any, **options: Any) -> None:  # noqa: ANN401
        options.update(response_model=None, include_in_schema=False)  # described by Elastic's own documents
        super().__init__(path, endpoint, **options)

    def answered(self, handle: Handler) -> Handler:
        """The handler with Elastic's headers, and what becomes of errors."""

        async def told(request: Request) -> Response:
            try:
                _check_version(request)
                response = await handle(request)
            except RequestValidationError as error:
                response = _error(status.HTTP_400_BAD_REQUEST, _words(error.errors()))
            except HTTPException as error:
                response = _error(error.status_code, str(error.detail), getattr(error, "kind", None), error.headers)
            except DriftlineError as error:
                response = _error(*_told(error))
            response.headers.update(PRODUCT)
            if version := _version(request.headers.get("accept", "")):
                response.headers["content-type"] = f"application/vnd.elasticsearch+json;compatible-with={version}"
            return response

        return told


def _version(header: str) -> str | None:
    found = MEDIA.search(header)
    return found[1] if found and found[1] in VERSIONS else None


def _check_version(request: Request) -> None:
    for name in ("accept", "content-type"):
        found = MEDIA.search(request.headers.get(name, ""))
        if found and found[1] not in VERSIONS:
            reason = f"{name}: compatible-with={found[1]} is not served; expected {' or '.join(VERSIONS)}."
            raise ElasticError(status.HTTP_400_BAD_REQUEST, reason, "media_type_header_exception")


def _error(code: int, reason: str, kind: str | None = None, headers: Any = None) -> Response:  # noqa: ANN401 - as starlette takes
    cause = {"type": kind or KINDS.get(code, "status_exception"), "reason": reason}
    return JSONResponse({"error": {"root_cause": [cause], **cause}, "status": code}, status_code=code, headers=headers)


def _told(error: DriftlineError) -> tuple[int, str, str]:
    """An error of ours in Elastic's terms."""
    if isinstance(error, ClusterDownError | NodeError):
        return status.HTTP_503_SERVICE_UNAVAILABLE, str(error), "status_exception"
    if isinstance(error, ClusterError):
        return status.HTTP_502_BAD_GATEWAY, str(error), "status_exception"
    if error.what.startswith(("there is no ", "no snapshot ", "no forecast ")):
        return status.HTTP_404_NOT_FOUND, str(error), KINDS[404]
    if isinstance(error, TakenError):
        return status.HTTP_409_CONFLICT, str(error), KINDS[409]
    kind = "parse_exception" if isinstance(error, WindowError) else "status_exception"
    return status.HTTP_400_BAD_REQUEST, str(error), kind if isinstance(error, WindowError | DefinitionError) else KINDS[400]


def _words(errors: Any) -> str:  # noqa: ANN401 - pydantic's own list
    return "; ".join(f"[{'.'.join(str(part) for part in each['loc'] if part != 'body')}] {each['msg']}" for each in errors)


class Asked(BaseModel):
    """Parameters; those that nobody knows are refused."""

    model_config = ConfigDict(extra="forbid")


A = TypeVar("A", bound=Asked)
Moment = Annotated[str, BeforeValidator(str), Field(max_length=40)]


class Named(Asked):
    """How to take a list of names."""

    allow_no_match: bool = True


class Which(Named):
    """Which definitions, and whether with what is not the user's own in them."""

    exclude_generated: bool = False


def asked(model: type[A]) -> Callable[..., A]:
    """A dependency: parameters of the query or, before them, of the body."""
    flags = {name for name, field in model.model_fields.items() if field.annotation is bool}

    def read(request: Request, user: GetUserDep, body: Annotated[dict[str, Any] | None, Body()] = None) -> A:
        asked = {name: value for name, value in request.query_params.items() if name not in COMMON}
        given = {name: "true" if name in flags and not value else value for name, value in asked.items()}  # ?force
        try:
            return model.model_validate({**given, **(body or {})})
        except ValidationError as error:
            raise wrong(_words(error.errors())) from None

    return read


def moment(name: str, value: str | None, default: str | None = None) -> datetime:
    """A parameter that is a point in time.

    Raises:
        ElasticError: It is none.
    """
    try:
        return parse_time(value or default or "")
    except WindowError as error:
        raise ElasticError(status.HTTP_400_BAD_REQUEST, f"[{name}] {error}", "parse_exception") from None


class Page(Asked):
    """A page in the body."""

    from_: int = Field(0, ge=0, validation_alias=FROM)
    size: int = Field(100, ge=0)


class Paged(Asked):
    """Which of many: `from` and `size`, or a `page` with both."""

    from_: int = Field(0, ge=0, validation_alias=FROM)
    size: int = Field(100, ge=0)
    page: Page | None = None

    @property
    def place(self) -> tuple[int, int]:
        """From which on, and how many."""
        first, size = (self.page.from_, self.page.size) if self.page else (self.from_, self.size)
        if first + size > DEEP:
            raise wrong(f"The sum of parameters [from] and [size] cannot be higher than {DEEP}.")
        return first, size

    def cut(self, found: list[Any]) -> list[Any]:
        """The page of a list."""
        first, size = self.place
        return found[first : first + size]


class Ranged(Paged):
    """Which of many, by time."""

    start: Moment | None = None
    end: Moment | None = None
    sort: str | None = Field(None, max_length=100)
    desc: bool = False
    exclude_interim: bool = False  # nothing here is: buckets are scored when they are over

    @property
    def window(self) -> Window:
        """From start to end; an open end is where time begins or ends."""
        return whole(self.start, self.end)


def whole(start: str | None, end: str | None) -> Window:
    """From start to end; an open end is where time begins or ends."""
    return Window(moment("start", start, EVER[0]), moment("end", end, EVER[1]))


EVER = ("1970-01-01T00:00:00Z", "2262-01-01T00:00:00Z")
