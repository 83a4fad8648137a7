"""The rows that were put aside."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response

from driftline_airflow.web.access import ClusterDep, ReaderDep, may, of_source, routes
from driftline_airflow.web.api.quarantine import readable
from driftline_airflow.web.render import rendered

router = routes()
Text = Annotated[str, Query(max_length=1000)]
CHECKS = ("unparsed", "mapping", "missing", "future", "past", "range", "value")


@router.get("/quarantine")
def quarantine(
    client: ClusterDep,
    user: ReaderDep,
    source: Annotated[str, Query(max_length=64)] = "",
    check: Text = "",
    reason: Text = "",
    file: Text = "",
    start: Annotated[str, Query(max_length=40)] = "",
    end: Annotated[str, Query(max_length=40)] = "",
    moment: Annotated[str, Query(max_length=10)] = "added",
    state: Annotated[str, Query(max_length=10)] = "open",
) -> Response:
    """The page; its script asks for the rows."""
    from driftline.pipeline.quarantine import kept

    names = sorted({each["source_id"] for of in ("open", "released", "dismissed") for each in readable(kept(client, of), user)})
    wanted = {"source": source, "check": check, "reason": reason, "file": file, "start": start, "end": end}
    chosen: dict[str, Any] = {**wanted, "moment": moment, "state": state}
    return rendered(
        "quarantine.html",
        title="Quarantine",
        here="quarantine",
        sources=names if source in ("", *names) else [*names, source],
        checks=CHECKS if check in ("", *CHECKS) else (*CHECKS, check),
        chosen=chosen,
        state={"wanted": chosen, "editable": [name for name in names if may(user, "PUT", of_source(name))]},
    )
