"""The single series viewer."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response

from driftline.core.detector import Detector
from driftline.core.errors import DriftlineError
from driftline.core.series import SeriesKey
from driftline.core.timespan import iso
from driftline.elastic.lanes import SPLITS
from driftline_airflow.web.access import ClusterDep, ReaderDep, may, of_job, readable_jobs, routes
from driftline_airflow.web.render import rendered

router = routes()
Text = Annotated[str | None, Query(max_length=60)]
Value = Annotated[str | None, Query(max_length=32_766)]


@router.get("/series")
def series(
    client: ClusterDep,
    user: ReaderDep,
    job: Annotated[str | None, Query(max_length=64)] = None,
    detector: Annotated[int, Query(ge=0)] = 0,
    partition: Value = None,
    by: Value = None,
    over: Value = None,
    start: Text = None,
    end: Text = None,
) -> Response:
    """The page. Without a series it opens on the one with the highest anomaly."""
    from driftline.pipeline.view import asked_window, top_series

    every = readable_jobs(client, user)
    if not every:
        return rendered("message.html", title="Series", here="series", message="There is no job yet.", todo="")
    chosen = readable_jobs(client, user, [job])[0] if job else every[0]
    detector = min(detector, len(chosen.detectors) - 1)
    spec = chosen.detectors[detector]
    fields = [(split, name) for split in SPLITS if (name := getattr(spec, f"{split}_field_name"))]
    given = {"partition": partition, "by": by, "over": over}
    try:
        window = asked_window(client, [chosen], start, end)
        if fields and all(given[split] is None for split, _ in fields):
            top = top_series(client, chosen, detector, window)
            given = dict(zip(SPLITS, top[1:], strict=True)) if top else given
    except DriftlineError as error:
        return rendered("message.html", title="Series", here="series", message=str(error), todo="", status_code=400)
    key = SeriesKey(detector, *(given[split] for split in SPLITS))
    ready = all(given[split] is not None for split, _ in fields)
    may_edit = may(user, "PUT", of_job(chosen.job_id))
    state: dict[str, Any] = {
        "job": chosen.job_id,
        "detector": detector,
        **given,
        "look": _look(spec),
        "counts_members": spec.spec.family == "freq_rare",
        "start": iso(window.start),
        "end": iso(window.end),
    }
    return rendered(
        "series.html",
        title="Series",
        here="series",
        jobs=every,
        detectors=[each.description for each in chosen.detectors],
        fields=fields,
        subtitle=f"{spec.description}: {key.label()}" if ready else "Choose a series",
        may_edit=may_edit,
        kind=spec.kind,
        state={**state, "ready": ready, "may_edit": [chosen.job_id] if may_edit else []},
    )


def _look(spec: Detector) -> str | None:
    """Which view of all at once a detector has besides that of each series."""
    if "rare" in spec.spec.family:
        return "rare"
    return "population" if spec.kind == "population" else None
