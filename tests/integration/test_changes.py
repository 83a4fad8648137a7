"""Documents that several change at once."""

from __future__ import annotations

from typing import Any

import pytest

from driftline.core.errors import ClusterDownError
from driftline.elastic.changes import ATTEMPTS, change


def test_a_change_is_made_of_what_somebody_else_made_meanwhile(client, prefix) -> None:
    index, others = f"{prefix}changed", iter([{"n": 10}, {"n": 20}])

    def one_more(stored: dict[str, Any] | None) -> dict[str, Any]:
        if (other := next(others, None)) is not None:
            client.index(index=index, id="a", document=other)
        return {"n": (stored or {"n": 0})["n"] + 1}

    assert change(client, index, "a", one_more) == {"n": 21}
    assert client.get(index=index, id="a")["_source"] == {"n": 21}


def test_what_is_the_same_is_left_alone_and_what_is_to_go_goes(client, prefix) -> None:
    index = f"{prefix}changed"
    assert change(client, index, "a", lambda stored: stored) is None, "where there is not even an index"
    change(client, index, "a", lambda _: {"n": 1})
    change(client, index, "a", lambda stored: dict(stored or {}))
    assert client.get(index=index, id="a")["_version"] == 1
    assert change(client, index, "a", lambda _: None) is None
    assert not client.exists(index=index, id="a")


def test_who_never_comes_to_write_is_told(client, prefix) -> None:
    index, asked = f"{prefix}changed", []

    def always_late(stored: dict[str, Any] | None) -> dict[str, Any]:
        asked.append(stored)
        client.index(index=index, id="a", document={"n": len(asked)})
        return {"mine": True}

    with pytest.raises(ClusterDownError, match="changed by others all the time"):
        change(client, index, "a", always_late)
    assert len(asked) == ATTEMPTS
