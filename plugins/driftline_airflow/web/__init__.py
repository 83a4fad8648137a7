"""Pages on Airflow's own web server. Every part of Airflow loads the plugin, so the pages are built at the first request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]


async def app(scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    """The ASGI application that Airflow mounts."""
    from driftline_airflow.web.pages import pages

    await pages()(scope, receive, send)
