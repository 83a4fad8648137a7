"""Which trained model of an analysis gives predictions: the newest, unless it is worse than the one that did."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np

from driftline.analytics.model import Model
from driftline.core.errors import DataError, NoModelError, SnapshotError
from driftline.core.timespan import iso
from driftline.elastic import trained

if TYPE_CHECKING:
    import pyarrow as pa
    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.analysis import Analysis

WORSE = 1.05  # what the loss may grow by: as much as chance makes of it
FEW = 30  # documents that both did not learn from; fewer decide nothing
KEPT = 12  # models of an analysis, besides the one in force


def staged(uri: str) -> Model:
    """A model that was staged by a training.

    Raises:
        DataError: There is no such file.
    """
    try:
        with fsspec.open(uri, "rb") as file:
            return Model.loads(file.read())
    except FileNotFoundError:
        raise DataError("the staged model is gone", where=uri, fix="Run the task that wrote it again.") from None


def load(client: Elasticsearch, description: dict[str, Any]) -> Model:
    """A model that is kept."""
    return Model.loads(trained.definition(client, description))


def asked(client: Elasticsearch, analysis: Analysis) -> dict[str, Any]:
    """The description of the model in force, which gives an analysis' predictions.

    Raises:
        NoModelError: There is none yet.
        SnapshotError: It predicts something else.
    """
    description = trained.in_force(trained.list_(client, analysis.analytics_id))
    if description is None:
        raise NoModelError(
            f"analytics '{analysis.analytics_id}' has no model yet",
            fix=f"Run it: driftline analytics run {analysis.analytics_id}",
        )
    check_fits(analysis, description)
    return description


def check_fits(analysis: Analysis, description: dict[str, Any]) -> None:
    """Refuses a model that predicts something else than an analysis: it was imported, or the analysis was changed since.

    Raises:
        SnapshotError: What each of them predicts.
    """
    wanted = analysis.type, analysis.supervised.dependent_variable if analysis.supervised else None
    told = description.get("analysis_type"), description.get("dependent_variable")
    if told != wanted:
        raise SnapshotError(
            f"model '{description['model_id']}' is a {told[0]} of '{told[1]}'",
            where=f"analytics {analysis.analytics_id}", expected=f"a {wanted[0]} of '{wanted[1]}'",
            fix="Run the analysis, or put another model in force.",
        )  # fmt: skip


def judge(
    client: Elasticsearch, analysis: Analysis, held: pa.Table, truth: NDArray[Any], classes: list[str], evaluation: dict[str, Any]
) -> dict[str, Any]:
    """Whether a new model takes over: compared on documents that neither it nor the one in force has learned from.

    Both hold the same documents back, as that depends on their ids, as long as the analysis is the same.

    Returns:
        `promoted`, `reason`, `loss`, `loss_before` (None without a comparison).
    """
    loss = float(evaluation["log_loss"] if classes else evaluation["mse"]["value"])
    before = trained.in_force(trained.list_(client, analysis.analytics_id))
    told = {"loss": loss, "loss_before": None, "promoted": True}
    if before is None:
        return {**told, "reason": "it is the first"}
    if before["analytics_version"] != analysis.version:
        return {**told, "reason": "the analysis was changed since the last"}
    if len(truth) < FEW:
        return {**told, "reason": f"fewer than {FEW} documents were held back to compare"}
    old = _loss(load(client, before), held, truth, classes)
    if loss <= old * WORSE:
        return {
            **told,
            "loss_before": old,
            "reason": f"its loss of {loss:.4g} is not worse than {old:.4g} of {before['model_id']}",
        }
    reason = f"its loss of {loss:.4g} is worse than {old:.4g} of {before['model_id']}, which stays in force"
    return {**told, "loss_before": old, "promoted": False, "reason": reason}


def _loss(model: Model, held: pa.Table, truth: NDArray[Any], classes: list[str]) -> float:
    _, predicted = model.predict(held)
    if not classes:
        return float(np.mean((predicted - truth) ** 2))
    places = {name: place for place, name in enumerate(model.trees.classes)}
    columns = np.array([places.get(name, -1) for name in classes])[truth]
    chances = np.where(columns >= 0, predicted[np.arange(len(truth)), columns], 0.0)
    return float(-np.mean(np.log(np.maximum(chances, 1e-15))))


def keep(client: Elasticsearch, analysis: Analysis, handle: dict[str, Any], result: dict[str, Any]) -> None:
    """Keeps a model with what is known of it, and removes the oldest beyond `KEPT`."""
    model = staged(result["model"])
    assert analysis.supervised is not None
    now = iso(datetime.now(UTC))
    description = {
        "model_id": result["model_id"],
        "analytics_id": analysis.analytics_id,
        "analytics_version": analysis.version,
        "analysis_type": analysis.type,
        "dependent_variable": analysis.supervised.dependent_variable,
        "description": analysis.description,
        "created": handle["read_at"],
        "documents": handle["rows"],
        "origin": "trained",
        **({"in_force_since": now} if result["promoted"] else {}),
        "detail": {
            "analysis": analysis.as_dict(),
            "classes": model.trees.classes,
            "fields": model.encoder.types,
            "hyperparameters": model.trees.hyperparameters,
            "trees": model.trees.trees,
            "searched": model.trees.searched,
            "evaluation": result["evaluation"],
            "total_feature_importance": result["importance"],
            "promotion": {name: result[name] for name in ("promoted", "reason", "loss", "loss_before")},
        },
    }
    trained.write(client, description, model.dumps())
    found = trained.list_(client, analysis.analytics_id)
    current = trained.in_force(found)
    old = [each["model_id"] for each in found[KEPT:] if each is not current]
    if old:
        trained.delete(client, analysis.analytics_id, old)
