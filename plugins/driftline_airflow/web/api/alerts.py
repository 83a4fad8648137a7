"""Alerts: who is told of what, and the test of a channel."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import HTTPException, status

from driftline_airflow.web.access import ClusterDep, ReaderDep, may, routes

router = routes(prefix="/alerts", tags=["alerts"])


@router.get("")
def alerts(client: ClusterDep, user: ReaderDep) -> dict[str, Any]:
    """All alerts, with when each told something last, how much waits to be told, and why."""
    from driftline.pipeline.alerts import overview

    if not may(user, "GET", None):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You may not see this.")
    found = overview(client)
    return {"count": len(found), "alerts": found}


@router.post("/{alert_id}/test")
def test(alert_id: str) -> dict[str, Any]:
    """Send a test on the alert's channel."""
    from driftline.pipeline.alerts import load_alert, trial
    from driftline_airflow.channels import send

    alert = load_alert(alert_id)
    send(alert, trial(alert, datetime.now(UTC)))
    return {"alert_id": alert.alert_id, "sent": True}
