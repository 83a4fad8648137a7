"""What an access log looks like."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import HTTPException, Path, Query, status

from driftline.core.timespan import Window
from driftline.elastic import overview as stored
from driftline_airflow.web.access import ClusterDep, ReaderDep, routes

router = routes(prefix="/sources", tags=["sources"])
Values = Annotated[list[str] | None, Query(max_length=50)]
Moment = Annotated[
    str | None, Query(max_length=40, description="ISO 8601, epoch, or now-7d; without both it is all of the data.")
]
Class = Literal["1xx", "2xx", "3xx", "4xx", "5xx"]


@router.get("/{source_id}/overview")
def overview(
    client: ClusterDep,
    user: ReaderDep,
    source_id: Annotated[str, Path(max_length=64, pattern=r"^[a-z0-9][a-z0-9_-]*$")],
    start: Moment = None,
    end: Moment = None,
    url: Values = None,
    country: Values = None,
    browser: Values = None,
    client_: Annotated[list[str] | None, Query(alias="client", max_length=50)] = None,
    host: Values = None,
    answered: Annotated[list[Class] | None, Query(alias="status")] = None,
    top: Annotated[int, Query(ge=1, le=100)] = 10,
) -> dict[str, Any]:
    """Hits, answers and bytes over time, and the most frequent values, of the requests that have these values."""
    from driftline.pipeline.jobs import load_source

    source = load_source(source_id)
    values = {"url": url, "country": country, "browser": browser, "client": client_, "host": host, "status": answered}
    if bool(start) != bool(end):
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, "start, end: give both, or neither for all of the data.")
    window = Window.parse(start, end) if start and end else None
    chosen = {name: [str(each) for each in wanted] for name, wanted in values.items() if wanted}
    return {"source_id": source_id, **stored.overview(client, stored.Asked(source.index, window, chosen), top=top)}
