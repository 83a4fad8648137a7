"""The REST API, version 1: one resource a file. `openapi.json` describes it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from driftline_airflow.web.api import (
    alerts,
    analytics,
    analytics_results,
    analytics_runs,
    draft,
    exchange,
    feedback,
    health,
    jobs,
    notes,
    overview,
    planning,
    quality,
    quarantine,
    results,
    rules,
    runs,
    series,
    signatures,
    snapshots,
    trained_models,
)

PREFIX = "/api/v1"
RESOURCES = (
    draft.router,
    health.router,
    jobs.checks,
    jobs.router,
    results.router,
    series.router,
    runs.router,
    feedback.router,
    notes.router,
    planning.router,
    exchange.router,
    snapshots.router,
    signatures.router,
    rules.router,
    overview.router,
    quality.router,
    quarantine.router,
    alerts.router,
    analytics.checks,
    analytics.router,
    analytics_runs.router,
    analytics_results.router,
    trained_models.router,
)


def router() -> APIRouter:
    """All resources."""
    whole = APIRouter(prefix=PREFIX)
    for resource in RESOURCES:
        whole.include_router(resource)
    whole.add_api_route("/openapi.json", openapi, methods=["GET"], include_in_schema=False)
    return whole


def openapi(request: Request) -> dict[str, Any]:
    """The description of the API, with addresses as the reader has them."""
    described: dict[str, Any] = request.app.openapi()
    return {**described, "servers": [{"url": request.scope.get("root_path", "")}]}
