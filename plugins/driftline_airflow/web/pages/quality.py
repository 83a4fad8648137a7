"""Verdicts of the quality gate, and the rows that were put aside."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from driftline_airflow.web.access import ClusterDep, ReaderDep, may, routes
from driftline_airflow.web.api.quality import dag_of
from driftline_airflow.web.api.quarantine import readable
from driftline_airflow.web.render import rendered

router = routes()


@router.get("/quality")
def quality(client: ClusterDep, user: ReaderDep) -> Response:
    """The latest verdict of each stage of each job and source, with its trend."""
    from driftline.pipeline.gate import latest
    from driftline.pipeline.quarantine import kept

    found: list[dict[str, Any]] = [each for each in latest(client) if may(user, "GET", dag_of(each))]
    return rendered("quality.html", title="Data quality", here="quality", found=found, sources=readable(kept(client), user))
