"""Trained models as files, and given documents: what is told of them, export, import, and predictions for what somebody sends."""

from __future__ import annotations

import gzip
import re
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from driftline.analytics.model import Model
from driftline.core.analysis import Analysis
from driftline.core.errors import DataError, DefinitionError, DriftlineError
from driftline.core.timespan import iso
from driftline.elastic import trained
from driftline.pipeline import promotion
from driftline.pipeline.evaluated import Found
from driftline.pipeline.infer import table_of
from driftline.pipeline.jobs import list_analyses

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

FORMAT = "driftline trained model"
LARGEST = 2**28  # bytes of a file
MODEL_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,120}")
MOST_DOCUMENTS = 10_000


def summary(description: dict[str, Any]) -> dict[str, Any]:
    """What a list of models tells of one: no curves, no hyperparameters."""
    detail = description.get("detail", {})
    kept = {name: description.get(name) for name in ("model_id", "analytics_id", "analysis_type", "dependent_variable")}
    evaluation = detail.get("evaluation", {})
    measures = {
        "accuracy": evaluation.get("accuracy"),
        "auc_roc": evaluation.get("auc_roc"),
        "r_squared": evaluation.get("r_squared"),
    }
    told = {name: {"value": found.get("value"), "ci": found.get("ci")} for name, found in measures.items() if found}
    more = {name: description.get(name) for name in ("created", "documents", "bytes", "in_force_since", "origin", "description")}
    return {**kept, **more, "trees": detail.get("trees"), "evaluation": told, "promotion": detail.get("promotion")}


def exported(client: Elasticsearch, model_id: str) -> bytes:
    """A model as a file: its description and its definition, as packed JSON."""
    description = trained.describe(client, model_id)
    definition = gzip.decompress(trained.definition(client, description))
    data = {"format": FORMAT, "description": description, "definition": orjson.Fragment(definition)}
    return gzip.compress(orjson.dumps(data), mtime=0)


def imported(client: Elasticsearch, data: bytes, *, analytics_id: str | None = None) -> dict[str, Any]:
    """Keeps a model of a file that `exported` wrote; nothing in it is ever run. It is not in force until somebody says so.

    Args:
        client: The cluster.
        data: The file.
        analytics_id: Whose model it shall be. Default: whose it was.

    Raises:
        DataError: It is no such file.
        DefinitionError: There is a model of that name.
    """
    where = "trained model"
    if len(data) > LARGEST:
        raise DataError(f"the file is of {len(data):,} bytes", where=where, expected=f"at most {LARGEST:,}")
    try:
        unpacking = zlib.decompressobj(wbits=31)
        found = orjson.loads(unpacking.decompress(data, 4 * LARGEST))
        description, definition = found["description"], found["definition"]
        if found["format"] != FORMAT:
            raise KeyError("format")
        name = str(description["model_id"])
        analysis = Analysis.parse(description["detail"]["analysis"], where=where, stored=True)
        predicted = analysis.supervised
        if predicted is None:
            raise KeyError("dependent_variable")
    except (zlib.error, orjson.JSONDecodeError, KeyError, TypeError):
        raise DataError("this is no exported model", where=where, expected="what 'driftline models export' writes") from None
    if not MODEL_ID.fullmatch(name):
        raise DataError(f"'{name[:80]}' is no name of a model", where=where)
    model = Model.loads(gzip.compress(orjson.dumps(definition), mtime=0), foreign=True)
    if bool(model.trees.classes) != (analysis.type == "classification"):
        raise DataError(f"the trees are none of a {analysis.type}", where=where)
    model.predict(table_of(model, [{}]))  # what cannot give a prediction is found out here, not in the night
    if any(each["model_id"] == name for each in trained.list_(client)):
        raise DefinitionError(f"there is a model '{name}'", where=where, fix="Delete it first.")
    made = {
        **{name: description.get(name) for name in ("description", "created", "documents")},
        "analysis_type": analysis.type,
        "dependent_variable": predicted.dependent_variable,
        "model_id": name,
        "analytics_id": analytics_id or analysis.analytics_id,
        "analytics_version": analysis.version,
        "origin": "imported",
        "detail": {**description["detail"], "analysis": analysis.as_dict(), "imported": iso(datetime.now(UTC))},
    }
    _check_fits(client, made)
    trained.write(client, made, model.dumps())
    return trained.describe(client, name)


def apply(
    client: Elasticsearch, model_id: str, documents: list[dict[str, Any]], *, explained: bool = False
) -> list[dict[str, Any]]:
    """What a model says of documents that somebody sends.

    Args:
        client: The cluster.
        model_id: Which.
        documents: As they would be indexed.
        explained: Tell of each what mattered most.

    Returns:
        Of each what an analysis would write below its results field.
    """
    if len(documents) > MOST_DOCUMENTS:
        raise DefinitionError(f"{len(documents):,} documents at once", where="docs", expected=f"at most {MOST_DOCUMENTS:,}")
    description = trained.describe(client, model_id)
    analysis = Analysis.parse(description["detail"]["analysis"], where=f"trained model {model_id}", stored=True)
    model = promotion.load(client, description)
    return Found.of_new(analysis, model, table_of(model, documents), model_id).results(10 if explained else None)


def put_in_force(client: Elasticsearch, model_id: str) -> dict[str, Any]:
    """Puts a model in force: also the way back to an older one.

    Raises:
        SnapshotError: There is no such model, or it predicts something else than its analysis.
    """
    _check_fits(client, trained.describe(client, model_id))
    return trained.put_in_force(client, model_id)


def _check_fits(client: Elasticsearch, description: dict[str, Any]) -> None:
    """Refuses a model that predicts something else than its analysis, where there is one."""
    for analysis in list_analyses(client):
        if analysis.analytics_id == description["analytics_id"]:
            promotion.check_fits(analysis, description)


def delete(client: Elasticsearch, model_id: str) -> None:
    """Deletes a model.

    Raises:
        SnapshotError: There is no such model.
        DriftlineError: It is in force.
    """
    description = trained.describe(client, model_id)
    current = trained.in_force(trained.list_(client, description["analytics_id"]))
    if current is not None and current["model_id"] == model_id:
        raise DriftlineError(f"the model '{model_id}' is in force", fix="Put another in force first, or delete the analysis.")
    trained.delete(client, description["analytics_id"], [model_id])
