"""What an access log looks like."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response

from driftline_airflow.web.access import ClusterDep, ReaderDep, may, of_source, routes
from driftline_airflow.web.render import rendered

router = routes()
Values = Annotated[list[str] | None, Query(max_length=50)]
FILTERS = {"url": "URL", "status": "Status", "country": "Country", "browser": "Browser", "client": "Client", "host": "Host"}


@router.get("/overview")
def overview(
    client: ClusterDep,
    user: ReaderDep,
    source: Annotated[str, Query(max_length=64)] = "",
    start: Annotated[str, Query(max_length=40)] = "",
    end: Annotated[str, Query(max_length=40)] = "",
    url: Values = None,
    status: Values = None,
    country: Values = None,
    browser: Values = None,
    client_: Annotated[list[str] | None, Query(alias="client", max_length=50)] = None,
    host: Values = None,
) -> Response:
    """The page; its script asks for what it shows."""
    from driftline.pipeline.jobs import list_definitions

    every = [each.id for each in list_definitions(client) if each.kind == "source" and may(user, "GET", of_source(each.id))]
    if not every:
        todo = "Make one: a file in include/sources, as docs/sources.md says."
        return rendered("message.html", title="Overview", here="overview", message="There is no source yet.", todo=todo)
    chosen = source or every[0]
    values = {"url": url, "status": status, "country": country, "browser": browser, "client": client_, "host": host}
    filters = {name: wanted for name, wanted in values.items() if wanted}
    state: dict[str, Any] = {"source": chosen, "start": start, "end": end, "filters": filters, "names": FILTERS}
    return rendered(
        "overview.html",
        title="Overview",
        here="overview",
        sources=every if chosen in every else [*every, chosen],
        state=state,
    )
