"""Signatures: the list of them, and which entities of one behave otherwise, each with its profiles side by side."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response

from driftline.core.signature import Signatures
from driftline.core.timespan import format_span
from driftline_airflow.web.access import ClusterDep, ReaderDep, may, of_job, routes
from driftline_airflow.web.render import rendered

router = routes()


@router.get("/signatures")
def signatures(
    client: ClusterDep,
    user: ReaderDep,
    id_: Annotated[str, Query(alias="id", max_length=64)] = "",
    entity: Annotated[str | None, Query(max_length=32_766)] = None,
    until: Annotated[str | None, Query(max_length=60)] = None,
) -> Response:
    """The page; its script asks for what it shows."""
    from driftline.pipeline.jobs import list_definitions

    found = [each for each in list_definitions(client) if each.kind == "signatures" and may(user, "GET", of_job(each.id))]
    rows: list[dict[str, Any]] = []
    for entry in found:
        row = {"id": entry.id, "error": entry.error, "term": "", "description": "", "compares": ""}
        if isinstance(each := entry.definition, Signatures):
            compares = f"{format_span(each.span)} against {format_span(each.window)}"
            row |= {"term": each.term, "description": each.description, "compares": compares}
        rows.append(row)
    chosen = next((row for row in rows if row["id"] == id_ and not row["error"]), None)
    state = {"id": chosen["id"] if chosen else None, "entity": entity, "until": until}
    return rendered("signatures.html", title="Signatures", here="signatures", rows=rows, chosen=chosen, state=state)
