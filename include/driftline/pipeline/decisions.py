"""What people decided about rows in quarantine: kept for good, so that reading a file again does not undo it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.client import explained
from driftline.elastic.indices import DECISIONS, ensure_templates
from driftline.sources.quarantine import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from elasticsearch import Elasticsearch

RELEASED, DISMISSED = "released", "dismissed"
AT_ONCE = 2_000  # documents of a request


def _id(index: str, name: str) -> str:
    return f"{index}:{name}"


def verdicts(client: Elasticsearch, index: str, names: Sequence[str]) -> dict[str, str]:
    """The names of rows about which something was decided, with the verdict, as it is this moment."""
    return {name: found["verdict"] for name, found in load(client, index, names, fields=["verdict"]).items()}


def load(client: Elasticsearch, index: str, names: Sequence[str], fields: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """What was decided about these rows, by their names; `fields` of it, or all."""
    return fetch(client, DECISIONS, {_id(index, name): name for name in names}, fields)


def fetch(client: Elasticsearch, index: str, names: dict[str, str], fields: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """Documents of an index, as they are this moment; none where there is no such index.

    Args:
        client: The cluster.
        index: The index.
        names: `_id` → what it is called in the answer.
        fields: Of the documents; None for all.
    """
    found: dict[str, dict[str, Any]] = {}
    ids = list(names)
    for first in range(0, len(ids), AT_ONCE):
        with explained(f"index {index}"):
            answer = client.mget(index=index, ids=ids[first : first + AT_ONCE], source_includes=fields)
        found |= {names[each["_id"]]: each["_source"] for each in answer["docs"] if each.get("found")}
    return found


def put(client: Elasticsearch, documents: Iterable[dict[str, Any]]) -> None:
    """Writes decisions: documents of a quarantine with `verdict`, `by` and `decided`. A later one about the same row counts."""
    ensure_templates(client)
    bulk(client, (index_action(DECISIONS, _id(each["index"], name(each)), each) for each in documents))


def name(document: dict[str, Any]) -> str:
    """What the row of a document is called in its quarantine."""
    return name_of(document["fingerprint"], document["offset"])
