"""Who may see what: Airflow's own users and permissions. A page about a job needs the right to read the job's DAG."""

from __future__ import annotations

import functools
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep  # noqa: TC002 - FastAPI reads the annotation at run time
from elasticsearch import Elasticsearch  # noqa: TID253 - loaded at the first request for a page, in the API server only
from fastapi import Depends, HTTPException, status

from driftline_airflow.hook import DriftlineElasticsearchHook


def require_read(dag_id: str, user: Any) -> None:  # noqa: ANN401 - the auth manager's own kind of user
    """Refuses a user who may not read a DAG, with 403."""
    if not get_auth_manager().is_authorized_dag(method="GET", details=DagDetails(id=dag_id), user=user):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You may not see this.")


@functools.cache
def _client() -> Elasticsearch:
    return DriftlineElasticsearchHook().get_conn()


def cluster(user: GetUserDep) -> Elasticsearch:
    """The cluster's client; nobody reaches it without being a user."""
    return _client()


ClusterDep = Annotated[Elasticsearch, Depends(cluster)]
