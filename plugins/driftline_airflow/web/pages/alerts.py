"""The list of alerts, with a button that tries whether messages arrive."""

from __future__ import annotations

from fastapi import HTTPException, Response, status

from driftline_airflow.web.access import ClusterDep, ReaderDep, may, routes
from driftline_airflow.web.render import rendered

router = routes()


@router.get("/alerts")
def alerts(client: ClusterDep, user: ReaderDep) -> Response:
    """All alerts: what, where to, when last, and what went wrong."""
    from driftline.pipeline.alerts import overview

    if not may(user, "GET", None):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You may not see this.")
    return rendered("alerts.html", title="Alerts", here="alerts", found=overview(client), may_edit=may(user, "PUT", None))
