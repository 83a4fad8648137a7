"""Trained models: what there is, which is in force, models as files, and predictions for documents that are sent."""

from __future__ import annotations

from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import HTTPException, Path, Query, Request, Response, status
from pydantic import BaseModel, ConfigDict, Field

from driftline.elastic import trained
from driftline_airflow.web.access import ClusterDep, ReaderDep, asks, may, of_analytics, routes

router = routes(prefix="/trained_models", tags=["trained models"])
ModelId = Annotated[str, Path(max_length=200)]
LARGEST = 64 * 2**20  # bytes that are sent: a hundred times what a model of 20 000 documents is; the command takes larger ones
MOST_SENT = 1_000  # documents that a request waits for


@router.get("")
def models(
    client: ClusterDep, user: ReaderDep, analytics_id: Annotated[str | None, Query(max_length=64)] = None
) -> dict[str, Any]:
    """Trained models of analyses that you may see, the newest first."""
    from driftline.pipeline.trainedmodels import summary

    every = trained.list_(client, analytics_id, brief=True)
    seen = {name: may(user, "GET", of_analytics(name)) for name in {each["analytics_id"] for each in every}}
    mine = {name: trained.in_force([each for each in every if each["analytics_id"] == name]) for name in seen}
    found = [{**summary(each), "in_force": mine[each["analytics_id"]] is each} for each in every if seen[each["analytics_id"]]]
    return {"count": len(found), "trained_models": found}


@router.post("/import", status_code=status.HTTP_201_CREATED)
async def imported(
    client: ClusterDep, user: GetUserDep, request: Request, analytics_id: Annotated[str, Query(min_length=1, max_length=64)]
) -> dict[str, Any]:
    """Keeps a model of a file that export gave: its bytes are the body. It is not in force until it is promoted."""
    from fastapi.concurrency import run_in_threadpool

    from driftline.pipeline.trainedmodels import imported as kept
    from driftline.pipeline.trainedmodels import summary

    if not may(user, "PUT", of_analytics(analytics_id)):
        raise HTTPException(status.HTTP_403_FORBIDDEN, f"You may not change {analytics_id}.")
    data = await _body(request)
    return summary(await run_in_threadpool(kept, client, data, analytics_id=analytics_id))


async def _body(request: Request) -> bytes:
    """What is sent, as long as it is not too much: nothing of more is kept in memory."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LARGEST:
            raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, f"A model of {LARGEST // 2**20} MB at most is taken here.")
    return bytes(data)


@router.get("/{model_id}")
def model(client: ClusterDep, user: ReaderDep, model_id: ModelId) -> dict[str, Any]:
    """One, with its analysis, evaluation, hyperparameters and the importance of its fields."""
    found = trained.describe(client, model_id)
    current = trained.in_force(trained.list_(client, found["analytics_id"], brief=True))
    return {**found, "in_force": current is not None and current["model_id"] == model_id}


@router.get("/{model_id}/export", response_class=Response)
def exported(client: ClusterDep, user: ReaderDep, model_id: ModelId) -> Response:
    """The model as a file."""
    from driftline.pipeline.trainedmodels import exported as packed

    headers = {"Content-Disposition": 'attachment; filename="trained-model.json.gz"'}
    return Response(packed(client, model_id), media_type="application/gzip", headers=headers)


@router.post("/{model_id}/promote")
def promote(client: ClusterDep, model_id: ModelId) -> dict[str, Any]:
    """Puts a model in force: new documents are given its predictions. So one goes back to an older one, too."""
    from driftline.pipeline.trainedmodels import put_in_force

    found = put_in_force(client, model_id)
    return {name: found[name] for name in ("model_id", "analytics_id", "in_force_since")}


@router.delete("/{model_id}")
def delete(client: ClusterDep, model_id: ModelId) -> dict[str, Any]:
    """Deletes a model that is not in force."""
    from driftline.pipeline.trainedmodels import delete as remove

    remove(client, model_id)
    return {"model_id": model_id, "deleted": True}


class Documents(BaseModel):
    """What shall be given predictions."""

    model_config = ConfigDict(extra="forbid")
    docs: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_SENT, description="Documents as they would be indexed.")
    explained: bool = Field(False, description="Tell of each what mattered most.")


@router.post("/{model_id}/infer")
@asks
def infer(client: ClusterDep, user: ReaderDep, model_id: ModelId, asked: Documents) -> dict[str, Any]:
    """Predictions for documents that are sent; nothing is kept."""
    from driftline.pipeline.trainedmodels import apply

    return {"inference_results": apply(client, model_id, asked.docs, explained=asked.explained)}
