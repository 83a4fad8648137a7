"""Pages of analyses of documents: the list, the wizard, the results of one, and trained models."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Response

from driftline.core.analysis import Analysis
from driftline.elastic import trained
from driftline_airflow.web.access import ClusterDep, ReaderDep, maker, may, of_analytics, routes
from driftline_airflow.web.api.analytics import AnalysisDep
from driftline_airflow.web.render import rendered

router = routes()
HERE = "analytics"
KINDS = {"classification": "classification", "regression": "regression", "outlier_detection": "outliers"}


@router.get("/analytics")
def analyses(client: ClusterDep, user: ReaderDep) -> Response:
    """All analyses that the user may see; how each is doing is asked for by the page's script."""
    from driftline.pipeline.jobs import list_definitions

    rows: list[dict[str, Any]] = []
    for entry in list_definitions(client):
        if entry.kind != "analytics" or not may(user, "GET", of_analytics(entry.id)):
            continue
        row = {"id": entry.id, "error": entry.error, "description": "", "type": "", "index": "", "may_edit": False}
        if isinstance(made := entry.definition, Analysis):
            index = ", ".join(made.source.index)
            row |= {"description": made.description, "type": KINDS[made.type], "index": index}
        rows.append(row)
    return rendered("analytics.html", title="Analytics", here=HERE, analyses=rows, state={"may_edit": may(user, "PUT", None)})


@router.get("/new-analysis", dependencies=[Depends(maker)])
def new_analysis(index: Annotated[str | None, Query(max_length=200)] = None) -> Response:
    """The wizard."""
    from driftline.analytics.features import DATES, NUMBERS, TEXTS, USED

    types = {"numbers": sorted(NUMBERS - {"boolean"}), "classes": sorted(USED - DATES - TEXTS)}
    return rendered("new_analysis.html", title="Create an analysis", here=HERE, state={"index": index, "types": types})


@router.get("/analytics/{analytics_id}")
def analysis(user: ReaderDep, found: AnalysisDep) -> Response:
    """What an analysis found."""
    supervised = found.supervised
    state: dict[str, Any] = {
        "id": found.analytics_id,
        "type": found.type,
        "label": supervised.dependent_variable if supervised else None,
        "infers": found.inference is not None,
        "may_edit": may(user, "PUT", of_analytics(found.analytics_id)),
    }
    return rendered(
        "analysis.html",
        title=found.analytics_id,
        here=HERE,
        depth=1,
        analysis=found,
        kind=KINDS[found.type],
        state=state,
    )


@router.get("/models")
def models(client: ClusterDep, user: ReaderDep, analytics_id: Annotated[str | None, Query(max_length=64)] = None) -> Response:
    """Trained models; the script asks for them."""
    from driftline.pipeline.jobs import list_analyses

    known = {each["analytics_id"] for each in trained.list_(client, brief=True)}
    names = sorted(known | {each.analytics_id for each in list_analyses(client) if each.supervised})
    editable = [name for name in names if may(user, "PUT", of_analytics(name))]
    state = {"analytics_id": analytics_id, "editable": editable}
    return rendered("models.html", title="Trained models", here=HERE, editable=editable, state=state)
