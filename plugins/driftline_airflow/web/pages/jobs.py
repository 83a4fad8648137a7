"""The list of jobs, and the page that makes one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Response

from driftline.core.functions import FUNCTIONS
from driftline.core.job import Job
from driftline_airflow.web.access import ClusterDep, ReaderDep, maker, may, of_job, routes
from driftline_airflow.web.render import rendered

router = routes()
ANY_FIELD = {"distinct_count", "info_content"}


@router.get("/jobs")
def jobs(client: ClusterDep, user: ReaderDep) -> Response:
    """All jobs that the user may see; how each is doing is asked for by the page's script."""
    from driftline.pipeline.jobs import list_definitions

    found = [each for each in list_definitions(client) if each.kind == "job" and may(user, "GET", of_job(each.id))]
    rows: list[dict[str, Any]] = []
    for entry in found:
        row = {"id": entry.id, "error": entry.error, "description": "", "detectors": ""}
        if isinstance(job := entry.definition, Job):
            row |= {"description": job.description, "detectors": "; ".join(each.description for each in job.detectors)}
        rows.append(row)
    return rendered("jobs.html", title="Jobs", here="jobs", jobs=rows, state={"may_edit": may(user, "PUT", None)})


@router.get("/new-job", dependencies=[Depends(maker)])
def new_job(index: Annotated[str | None, Query(max_length=200)] = None) -> Response:
    """The wizard."""
    functions = {name: {"field": _field(name)} for name in FUNCTIONS}
    return rendered("new_job.html", title="Create a job", here="jobs", state={"functions": functions, "index": index})


def _field(name: str) -> str | None:
    """What kind of field a function reads."""
    function = FUNCTIONS[name]
    if not function.needs_field:
        return None
    if function.metric == "place":
        return "geo_point"
    return "any" if function.metric in ANY_FIELD else "number"
