"""Analyses of documents (Elastic's data-frame analytics): what there is, and making, changing, checking and removing them."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Body, Depends, HTTPException, Response, status
from pydantic import BaseModel, ConfigDict, Field

from driftline.core.analysis import Analysis
from driftline.core.errors import DefinitionError, DriftlineError
from driftline.elastic import trained
from driftline_airflow.web.access import ClusterDep, ReaderDep, asks, maker, may, of_analytics, routes
from driftline_airflow.web.api.jobs import Create

router = routes(prefix="/analytics", tags=["analytics"])
checks = routes(prefix="/analytics", tags=["analytics"])
Definition = Annotated[dict[str, Any], Body(description="An analysis as in include/analytics, as JSON.")]


def analysis_of(analytics_id: str, client: ClusterDep, user: ReaderDep) -> Analysis:
    """The analysis of the path."""
    from driftline.pipeline.jobs import load_analysis

    return load_analysis(analytics_id, client)


AnalysisDep = Annotated[Analysis, Depends(analysis_of)]


@router.get("")
def analyses(client: ClusterDep, user: ReaderDep) -> dict[str, Any]:
    """All analyses that you may see, broken ones with what is wrong; with each the newest of its models and which is in force."""
    from driftline.pipeline.jobs import as_json, list_definitions
    from driftline.pipeline.trainedmodels import summary

    models = defaultdict(list)
    for each in trained.list_(client, brief=True):
        models[each["analytics_id"]].append(each)
    found = []
    for entry in list_definitions(client):
        if entry.kind == "analytics" and may(user, "GET", of_analytics(entry.id)):
            mine = models[entry.id]
            current = trained.in_force(mine)
            about = {
                "models": len(mine), "newest": summary(mine[0]) if mine else None,
                "in_force": current["model_id"] if current else None,
            }  # fmt: skip
            found.append({**as_json(entry), **about})
    return {"count": len(found), "analytics": found}


@router.get("/{analytics_id}")
def analysis(client: ClusterDep, found: AnalysisDep) -> dict[str, Any]:
    """An analysis with its defaults, and its models."""
    from driftline.pipeline.trainedmodels import summary

    mine = trained.list_(client, found.analytics_id, brief=True)
    current = trained.in_force(mine)
    return {
        "analytics_id": found.analytics_id,
        "type": found.type,
        "definition": found.as_dict(),
        "version": found.version,
        "in_force": current["model_id"] if current else None,
        "models": [summary(each) for each in mine],
    }


@router.put("/{analytics_id}")
def put(
    client: ClusterDep, analytics_id: str, definition: Definition, response: Response, create: Create = False
) -> dict[str, Any]:
    """Makes or changes an analysis; its DAGs appear within seconds. Index, fields and destination are checked first."""
    made = _parsed({**definition, "analytics_id": definition.get("analytics_id", analytics_id)})
    if made.analytics_id != analytics_id:
        told = f"analytics_id: '{made.analytics_id}' is not that of the address."
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, told)
    created = _saved(client, made, create=create)
    response.status_code = status.HTTP_201_CREATED if created else status.HTTP_200_OK
    return {"analytics_id": analytics_id, "version": made.version, "created": created}


@router.delete("/{analytics_id}")
def delete(client: ClusterDep, analytics_id: str) -> dict[str, Any]:
    """Deletes an analysis with its models; its DAGs go within seconds. The indices that it wrote stay."""
    from driftline.pipeline.jobs import delete_analysis

    return {"analytics_id": analytics_id, "removed": delete_analysis(client, analytics_id)}


def _saved(client: ClusterDep, made: Analysis, *, create: bool = False) -> bool:
    """Keeps a checked analysis. Returns whether it is new."""
    from driftline.pipeline.documents import usable
    from driftline.pipeline.jobs import list_definitions, save_analysis

    there = next((each for each in list_definitions(client) if (each.kind, each.id) == ("analytics", made.analytics_id)), None)
    if there is not None and there.origin == "file":
        told = f"The analysis is defined in a file, which is under version control: {made.analytics_id}.yaml"
        raise HTTPException(status.HTTP_409_CONFLICT, told)
    if there is not None and create:
        told = f"The id '{made.analytics_id}' is taken: there is such an analysis. Choose another."
        raise HTTPException(status.HTTP_409_CONFLICT, told)
    usable(client, made)
    _check_destination(client, made)
    save_analysis(client, made)
    return there is None


def _check_destination(client: ClusterDep, made: Analysis) -> None:
    from driftline.pipeline import destination

    destination.check(client, made, made.dest.index, made.source.index, "dest.index")
    if made.inference:
        destination.check(client, made, made.inference.dest, made.inference.index or made.source.index, "inference.dest")


# before the routes with an id: 'validate' and 'import' are none
@checks.post("/validate", dependencies=[Depends(maker)])
@asks
def validate(client: ClusterDep, definition: Definition) -> dict[str, Any]:
    """Whether a definition is right, with what it would read: documents, fields, classes. It changes nothing."""
    from driftline.pipeline.documents import usable
    from driftline.pipeline.predicted import labels

    try:
        made = _parsed(definition)
        fields, label = usable(client, made)
        _check_destination(client, made)
        read = labels(client, made)
    except DriftlineError as error:
        return {"valid": False, "problems": str(error.what).split("; "), "where": error.where, "fix": error.fix}
    return {"valid": True, "problems": [], "version": made.version, "fields": fields, "label": label, **read}


class Config(BaseModel):
    """A data-frame analytics job as Elastic's API gives it."""

    model_config = ConfigDict(extra="forbid")
    config: dict[str, Any] = Field(description="Its JSON, or the answer that lists it alone.")
    dry_run: bool = Field(False, description="Tell what would become of it, and save nothing.")


@checks.post("/import")
def imported(client: ClusterDep, user: GetUserDep, asked: Config) -> dict[str, Any]:
    """Takes over an analysis of Elastic's; in `notes`, what of it is different here."""
    from driftline.interop.elastic_analytics import to_analysis

    made, notes = to_analysis(asked.config)
    if not may(user, "PUT", of_analytics(made.analytics_id)):
        raise HTTPException(status.HTTP_403_FORBIDDEN, f"You may not change {made.analytics_id}.")
    created = None if asked.dry_run else _saved(client, made)
    return {"analytics_id": made.analytics_id, "definition": made.as_dict(), "notes": notes, "created": created}


def _parsed(definition: dict[str, Any]) -> Analysis:
    try:
        return Analysis.parse(definition, where="analytics")
    except DefinitionError:
        raise
    except (TypeError, ValueError) as error:
        raise DefinitionError(str(error), where="analytics") from None
