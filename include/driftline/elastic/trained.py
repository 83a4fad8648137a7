"""Trained models in Elasticsearch: their definition in parts, and a description, written last, that makes them visible."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from driftline.core.errors import SnapshotError
from driftline.core.timespan import iso
from driftline.elastic import results
from driftline.elastic.bulk import bulk, delete_action, index_action
from driftline.elastic.client import talks_to_cluster
from driftline.elastic.indices import TRAINED, TRAINED_PARTS, ensure_templates

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

Description = dict[str, Any]
PART = 2**20  # bytes; base64 makes a third more of it
MOST = 1000
MGET = 8
LONG = ["detail.searched", "detail.total_feature_importance", "detail.evaluation.auc_roc.classes", "detail.evaluation.multi*"]


@talks_to_cluster
def write(client: Elasticsearch, description: Description, definition: bytes) -> None:
    """Writes a model: all parts first, then its description. One of the same id is the old one until it is the new one.

    Args:
        client: The cluster.
        description: `model_id`, `analytics_id`, and what is told of it; `in_force_since` of a model that is written again stays.
        definition: The model itself.

    Raises:
        WriteError: A part was refused; there is then no model.
    """
    ensure_templates(client)
    name = description["model_id"]
    before = client.options(ignore_status=404).get(index=TRAINED, id=name).body.get("_source")
    writing = secrets.token_hex(4)
    pieces = [definition[first : first + PART] for first in range(0, len(definition), PART)]
    bulk(
        client,
        (
            index_action(
                TRAINED_PARTS,
                f"{name}:{writing}:{row}",
                {"model_id": name, "row": row, "definition": base64.b64encode(piece).decode()},
            )
            for row, piece in enumerate(pieces)
        ),
    )
    facts = {"bytes": len(definition), "parts": len(pieces), "writing": writing}
    since = {"in_force_since": before["in_force_since"]} if before and before.get("in_force_since") else {}
    client.index(index=TRAINED, id=name, document={**since, **description, **facts}, refresh=True)
    if before:
        bulk(client, (delete_action(TRAINED_PARTS, id_) for id_ in _part_ids(before)))


def _part_ids(description: Description) -> list[str]:
    return [f"{description['model_id']}:{description['writing']}:{row}" for row in range(description["parts"])]


@talks_to_cluster
def list_(client: Elasticsearch, analytics_id: str | None = None, *, brief: bool = False) -> list[Description]:
    """The models of an analysis, or all, the newest first; `brief` leaves out curves, and all else that is long."""
    found = client.search(
        index=TRAINED,
        source_excludes=LONG if brief else None,
        query={"term": {"analytics_id": analytics_id}} if analytics_id else {"match_all": {}},
        sort=[{"created": {"order": "desc", "unmapped_type": "date"}}],
        size=MOST,
        ignore_unavailable=True,
    )
    return [hit["_source"] for hit in found["hits"]["hits"]]


@talks_to_cluster
def describe(client: Elasticsearch, model_id: str) -> Description:
    """The description of one.

    Raises:
        SnapshotError: There is no such model.
    """
    found = find(client, model_id)
    if found is None:
        raise SnapshotError(f"there is no trained model '{model_id}'", fix="'driftline models list' tells which there are.")
    return found


@talks_to_cluster
def find(client: Elasticsearch, model_id: str) -> Description | None:
    """The description of one; None where there is none."""
    source: Description | None = client.options(ignore_status=404).get(index=TRAINED, id=model_id).body.get("_source")
    return source


@talks_to_cluster
def definition(client: Elasticsearch, description: Description) -> bytes:
    """The model itself.

    Raises:
        SnapshotError: A part is missing.
    """
    ids, pieces = _part_ids(description), []
    for place in range(0, len(ids), MGET):
        for found in client.mget(index=TRAINED_PARTS, ids=ids[place : place + MGET])["docs"]:
            if not found.get("found"):
                raise SnapshotError(
                    f"part {found['_id']} is missing",
                    where=f"trained model {description['model_id']}",
                    fix="If it was written again just now, start anew. Else analyse again, or put another model in force.",
                )
            pieces.append(base64.b64decode(found["_source"]["definition"]))
    return b"".join(pieces)


def in_force(found: list[Description]) -> Description | None:
    """Of an analysis' models, the one that gives predictions: that was put in force last."""
    chosen = [each for each in found if each.get("in_force_since")]
    return max(chosen, key=lambda each: each["in_force_since"], default=None)


@talks_to_cluster
def put_in_force(client: Elasticsearch, model_id: str) -> Description:
    """Puts a model in force, from now on.

    Raises:
        SnapshotError: There is no such model.
    """
    description = {**describe(client, model_id), "in_force_since": iso(datetime.now(UTC))}
    client.index(index=TRAINED, id=model_id, document=description, refresh=True)
    return description


@talks_to_cluster
def delete(client: Elasticsearch, analytics_id: str, model_ids: list[str] | None = None) -> int:
    """Removes models of an analysis (all by default), descriptions first. Returns how many."""
    doomed = [each["model_id"] for each in list_(client, analytics_id) if model_ids is None or each["model_id"] in model_ids]
    bulk(client, (delete_action(TRAINED, name) for name in doomed))
    if doomed:
        client.indices.refresh(index=TRAINED, ignore_unavailable=True)
        results.delete(client, TRAINED_PARTS, {"terms": {"model_id": doomed}})
    return len(doomed)
