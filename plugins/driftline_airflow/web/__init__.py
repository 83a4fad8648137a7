"""Pages and APIs on Airflow's own web server. Every part of Airflow loads the plugin, so they are built at the first request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
AIRFLOW = "driftline.airflow"  # where a request finds the application that it came through


async def app(scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    """The ASGI application that Airflow mounts."""
    from driftline_airflow.web.app import application

    await application()({**scope, AIRFLOW: scope.get("app")}, receive, send)
