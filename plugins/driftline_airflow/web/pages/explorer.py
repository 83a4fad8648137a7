"""The explorer: swim lanes of one or many jobs. The page brings its lanes along; the rest is asked for by its script."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.responses import RedirectResponse

from driftline.core.errors import DriftlineError
from driftline.core.timespan import iso, parse_time
from driftline.elastic import lanes as stored
from driftline.elastic.lanes import SPLITS, Chosen
from driftline_airflow.web.access import STAGES, ClusterDep, ReaderDep, may, of_job, readable_jobs, routes
from driftline_airflow.web.airflow import part
from driftline_airflow.web.render import rendered

router = routes()
Text = Annotated[str | None, Query(max_length=60)]
MANY_JOBS = 50  # that a page opens on; more are for whoever names them


@router.get("/explorer")
def explorer(
    client: ClusterDep,
    user: ReaderDep,
    job: Annotated[list[str] | None, Query()] = None,
    dag_id: Annotated[str | None, Query(max_length=250)] = None,
    start: Text = None,
    end: Text = None,
    view: Annotated[str | None, Query(max_length=300)] = None,
    min_score: Annotated[int, Query(ge=0, le=100)] = 0,
    selected_from: Annotated[str | None, Query(alias="from", max_length=60)] = None,
    until: Text = None,
    lane: Annotated[str | None, Query(max_length=32_766)] = None,
    influencer: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """The page; `dag_id` is that of a DAG whose tab it is shown on."""
    from driftline.pipeline.view import asked_window

    name, _, stage = (dag_id or "").rpartition(".")
    if stage in ("analyze", "infer"):
        return RedirectResponse(f"analytics/{part(name)}")
    every = readable_jobs(client, user)
    names = job or ([name] if stage in STAGES else [])
    chosen = readable_jobs(client, user, names) if names else every[:MANY_JOBS]
    if not chosen:
        todo = "Make one: a file in include/jobs, driftline jobs suggest, or driftline jobs import."
        return rendered("message.html", title="Anomalies", here="explorer", message="There is no job yet.", todo=todo)
    try:
        window = asked_window(client, chosen, start, end)
        selected = {"start": _ms(selected_from), "end": _ms(until)} if selected_from and until else None
    except DriftlineError as error:
        return rendered("message.html", title="Anomalies", here="explorer", message=str(error), todo="", status_code=400)
    views = _views(chosen)
    view = view if view in dict(views) else views[0][0]
    choice = Chosen(chosen, window, float(min_score))
    state: dict[str, Any] = {
        "jobs": [each.job_id for each in chosen],
        "start": iso(window.start),
        "end": iso(window.end),
        "view": view,
        "min_score": min_score,
        "selected": selected,
        "lane": lane,
        "influencer": influencer or [],
        "may_edit": [each.job_id for each in chosen if may(user, "PUT", of_job(each.job_id))],
        "lanes": stored.lanes(client, choice, by=view),
    }
    label = ", ".join(state["jobs"][:3]) + (f" and {len(chosen) - 3} more" if len(chosen) > 3 else "")
    return rendered(
        "explorer.html",
        title="Anomalies",
        here="explorer",
        jobs=every,
        chosen=set(state["jobs"]),
        chosen_label=label,
        views=views,
        state=state,
    )


def _ms(text: str) -> int:
    return round(parse_time(text).timestamp() * 1000)


def _views(jobs: list[Any]) -> list[tuple[str, str]]:
    """What lanes can be by, with words for it: what tells most first."""
    detectors = [detector for job in jobs for detector in job.detectors]
    views = []
    for split in SPLITS:
        fields = sorted({name for each in detectors if (name := getattr(each, f"{split}_field_name"))})
        if fields:
            views.append((split, ", ".join(fields)))
    views += [(f"influencer:{name}", f"influencer {name}") for name in sorted({name for job in jobs for name in job.influencers})]
    if len(jobs) > 1:
        return [("job", "job"), *views]
    if len(detectors) > 1 or not views:
        views.append(("detector", "detector"))
    return views


@router.get("/results/{job_id}")
def results(request: Request, job_id: str, user: ReaderDep) -> Response:
    """Where the results of a job used to be: buttons of old runs lead here."""
    query = f"&{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"../explorer?job={job_id}{query}")


@router.get("/")
def home(user: ReaderDep) -> Response:
    """The first page is the explorer."""
    return RedirectResponse("explorer")
