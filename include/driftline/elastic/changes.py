"""Documents that several change at once: each is written only as it was read, so that nobody's change is lost."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal

from elasticsearch import ConflictError

from driftline.core.errors import ClusterDownError
from driftline.elastic.client import explained

if TYPE_CHECKING:
    from collections.abc import Callable

    from elasticsearch import Elasticsearch

Document = dict[str, Any]
ATTEMPTS = 10  # each is lost to a change of somebody else's, so a few rounds settle it


def change(
    client: Elasticsearch,
    index: str,
    name: str,
    changed: Callable[[Document | None], Document | None],
    *,
    refresh: bool | Literal["wait_for"] = False,
) -> Document | None:
    """Stores what `changed` makes of a document, also while others do.

    Args:
        client: The cluster.
        index: Where it is.
        name: Its id.
        changed: Makes of the document what it shall be; None where there is none, and where it shall go. Asked again where
            somebody else's change came first.
        refresh: Whether searches find it at once.

    Returns:
        What it is now.

    Raises:
        ClusterDownError: Others change it all the time.
    """
    where = f"{index}/{name}"
    with explained(where):
        for _ in range(ATTEMPTS):
            found = client.options(ignore_status=404).get(index=index, id=name).body
            stored: Document | None = found.get("_source")
            document = changed(stored)
            if document == stored:
                return stored
            read = {"if_seq_no": found["_seq_no"], "if_primary_term": found["_primary_term"]} if found.get("found") else {}
            with contextlib.suppress(ConflictError):
                if document is None:
                    client.delete(index=index, id=name, refresh=refresh, **read)
                else:
                    client.index(index=index, id=name, document=document, refresh=refresh, **(read or {"op_type": "create"}))
                return document
    raise ClusterDownError("it is changed by others all the time", where=where, fix="Try again.")
