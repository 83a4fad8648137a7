"""Who may see and do what: Airflow's own users and permissions.

What is about a job needs the right to read the job's DAGs; what changes something needs the right to change them. A browser's
cookie is not enough to change something: the request must come from our own pages.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from elasticsearch import Elasticsearch  # noqa: TID253 - loaded at the first request for a page, in the API server only
from fastapi import APIRouter, Depends, HTTPException, Request, status
from fastapi.routing import APIRoute

from driftline.core.job import Job
from driftline_airflow.hook import DriftlineElasticsearchHook
from driftline_airflow.web.audit import Handler, audited, event_of

STAGES = ("score", "train", "forecast")
WRITING = {"POST", "PUT", "PATCH", "DELETE"}
F = TypeVar("F", bound=Callable[..., Any])


def may(user: Any, method: str, dag_id: str | None) -> bool:  # noqa: ANN401 - the auth manager's own kind of user
    """Whether a user may `GET`, or change (`PUT`), a DAG; None stands for DAGs in general."""
    details = DagDetails(id=dag_id) if dag_id else None
    return bool(get_auth_manager().is_authorized_dag(method=method, details=details, user=user))  # type: ignore[arg-type]


def require_read(dag_id: str, user: Any) -> None:  # noqa: ANN401
    """Refuses a user who may not read a DAG, with 403."""
    if not may(user, "GET", dag_id):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You may not see this.")


def of_job(job_id: str) -> str:
    """The DAG whose rights are those of a job."""
    return f"{job_id}.{STAGES[0]}"


def of_source(source_id: str) -> str:
    """The DAG whose rights are those of a source."""
    return f"{source_id}.ingest"


def of_analytics(analytics_id: str) -> str:
    """The DAG whose rights are those of an analysis of documents, and of its trained models."""
    return f"{analytics_id}.analyze"


def refuse_file(name: str) -> None:
    """Refuses a path in place of an id, with 404: files of the server are nobody's to read, and their errors quote them."""
    from driftline.pipeline.jobs import names_file

    if names_file(name):
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is nothing of the id '{name[:100]}'.")


def dag_of(request: Request) -> str | None:
    """The DAG whose rights are those of what the path names: a job, a source, an analysis or its model; else None.

    Raises:
        HTTPException: It names a file (404).
    """
    named = request.path_params
    for parameter, of in (("job_id", of_job), ("source_id", of_source), ("analytics_id", of_analytics)):
        if name := named.get(parameter):
            refuse_file(str(name))
            return of(str(name))
    return _of_model(request, str(named["model_id"])) if named.get("model_id") else None


def _of_model(request: Request, model_id: str) -> str | None:
    """Looked up once a request, first in a thread; None where there is no such model."""
    from driftline.elastic import trained

    if not hasattr(request.state, "dag_of_model"):
        description = trained.find(connected(), model_id)
        request.state.dag_of_model = of_analytics(description["analytics_id"]) if description else None
    found: str | None = request.state.dag_of_model
    return found


def reader(request: Request, user: GetUserDep) -> Any:  # noqa: ANN401
    """The user, who may read what the path names: a job, a source, an analysis, a trained model."""
    if dag_id := dag_of(request):
        require_read(dag_id, user)
    return user


def editor(request: Request, user: GetUserDep) -> Any:  # noqa: ANN401
    """The user, who may change what the path names, or jobs in general, and who asks from no other site."""
    if not may(user, "PUT", dag_of(request)):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You may not change this.")
    if "authorization" not in request.headers and not _from_our_pages(request):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "The request comes from another site.")
    request.state.editor = user  # for the audit log
    return user


def maker(user: GetUserDep) -> Any:  # noqa: ANN401
    """The user, who may make jobs."""
    if not may(user, "PUT", None):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You may not make jobs.")
    return user


def _from_our_pages(request: Request) -> bool:
    """Whether a browser says so. Those that say nothing are too old to be trusted with a cookie alone."""
    fetched = request.headers.get("sec-fetch-site")
    if fetched is not None:
        return fetched == "same-origin"
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host")


class Guarded(APIRoute):
    """A route: what changes something is for editors, which is looked at first, and is logged, unless it only `asks`."""

    def __init__(self, path: str, endpoint: Any, **options: Any) -> None:  # noqa: ANN401
        self.changes = bool(WRITING & set(options.get("methods") or ())) and not getattr(endpoint, "asks", False)
        if self.changes:
            options["dependencies"] = [Depends(editor), *(options.get("dependencies") or ())]
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Handler:
        """FastAPI's handler, answered in the route's own way, and logged where it changes something."""
        handle = self.answered(super().get_route_handler())
        if not self.changes:
            return handle
        return audited(handle, self.path, event_of(self.endpoint), dag_of)

    def answered(self, handle: Handler) -> Handler:
        """A handler with a way of its own to answer errors; by default the application answers them."""
        return handle


def asks(endpoint: F) -> F:
    """Marks a route as one that only asks, though it takes a body: readers may."""
    endpoint.asks = True  # type: ignore[attr-defined]
    return endpoint


def routes(**options: Any) -> APIRouter:  # noqa: ANN401 - as APIRouter takes them
    """A router of guarded routes."""
    return APIRouter(route_class=Guarded, **options)


@functools.cache
def connected() -> Elasticsearch:
    """The cluster's client, made once."""
    return DriftlineElasticsearchHook().get_conn()


def cluster(user: GetUserDep) -> Elasticsearch:
    """The cluster's client; nobody reaches it without being a user."""
    return connected()


ClusterDep = Annotated[Elasticsearch, Depends(cluster)]
ReaderDep = Annotated[Any, Depends(reader)]


def readable_jobs(client: Elasticsearch, user: Any, names: list[str] | None = None) -> list[Job]:  # noqa: ANN401
    """The jobs of these ids, in their order; without any, all that can be read and that the user may see.

    Raises:
        HTTPException: The user may not see one that is named (403), or it is a file (404).
        DefinitionError: There is no such job, or it is broken.
    """
    from driftline.pipeline.jobs import list_jobs, load_job

    if names:
        for name in names:
            refuse_file(name)
            require_read(of_job(name), user)
        return [load_job(name, client) for name in dict.fromkeys(names)]
    return [job for job in list_jobs(client) if may(user, "GET", of_job(job.job_id))]
