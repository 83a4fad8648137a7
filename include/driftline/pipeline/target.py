"""The index that a source writes to: made when it is missing, asked for its types when it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elasticsearch import BadRequestError, NotFoundError

from driftline.elastic.client import explained
from driftline.sources import mapping

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.source import Source


def known_types(client: Elasticsearch, index: str) -> dict[str, str]:
    """The types of an index's fields, as values are written for them; none where there is no index."""
    with explained(f"index {index}"):
        try:
            found = client.indices.get_mapping(index=index).body
        except NotFoundError:
            return {}
    types: dict[str, str] = {}
    for body in found.values():
        types |= mapping.known_types(body["mappings"].get("properties", {}))
    return types


def prepare(client: Elasticsearch, source: Source, mappings: dict[str, Any]) -> None:
    """Makes the source's index, or adds the fields that it lacks; what it has is left as it is."""
    ensure(client, source.index, mapping.settings(source), mappings)


def ensure(client: Elasticsearch, index: str, settings: dict[str, Any], mappings: dict[str, Any]) -> None:
    """Makes an index, or adds the fields that it lacks."""
    if create(client, index, settings, mappings):
        return
    have = known_types(client, index)
    missing = {name: body for name, body in mappings["properties"].items() if name not in have}
    if missing:
        with explained(f"index {index}"):
            client.indices.put_mapping(index=index, properties=missing)


def create(client: Elasticsearch, index: str, settings: dict[str, Any], mappings: dict[str, Any]) -> bool:
    """Makes an index; whether there was none."""
    with explained(f"index {index}"):
        if client.indices.exists(index=index):
            return False
        try:
            client.indices.create(index=index, settings=settings, mappings=mappings)
        except BadRequestError as error:
            if error.error != "resource_already_exists_exception":
                raise
            return False  # another task was faster
    return True
