"""Pages and APIs on Airflow's own web server. Every part of Airflow loads the plugin, so they are built where a server starts."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
AIRFLOW = "driftline.airflow"  # where a request finds the application that it came through
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI application that Airflow mounts."""
    from driftline_airflow.web.app import application

    await application()({**scope, AIRFLOW: scope.get("app")}, receive, send)


class Prepared:
    """A middleware of Airflow's web server that does nothing but load, when it starts, what the first visitor would wait for.

    An application that is mounted as a function is told nothing of the server's start; a middleware is.
    """

    def __init__(self, inner: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        self._inner = inner

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Passes everything on."""
        if scope["type"] == "lifespan":
            threading.Thread(target=_prepare, name="driftline-prepare", daemon=True).start()
        await self._inner(scope, receive, send)


def _prepare() -> None:
    from driftline_airflow.web.app import prepare

    prepare()
