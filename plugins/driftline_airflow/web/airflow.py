"""Airflow's own REST API, asked by us in the name of the user who asks us: its rights, its audit log, its validation count."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import anyio.from_thread
import httpx
from fastapi import Depends, HTTPException, Request, status

from driftline_airflow.web import AIRFLOW

PASSED_ON = ("authorization", "cookie")
HERE = "http://airflow"  # it never leaves the process


class Airflow:
    """Airflow as the user of a request may use it. For routes that are no coroutines: they run in threads."""

    def __init__(self, request: Request) -> None:
        self._app = request.scope[AIRFLOW]
        self._headers = {name: value for name in PASSED_ON if (value := request.headers.get(name))}

    def call(self, method: str, path: str, *, also: tuple[int, ...] = (), **options: Any) -> Any:  # noqa: ANN401 - any JSON
        """What Airflow answers, as JSON; None where its status is one of `also`.

        Raises:
            HTTPException: Airflow refuses; with its status and its words.
        """
        answer: httpx.Response = anyio.from_thread.run(self._send, method, path, options)
        if answer.status_code in also:
            return None
        if answer.status_code >= status.HTTP_400_BAD_REQUEST:
            raise HTTPException(answer.status_code, _words(answer))
        return answer.json() if answer.content else None

    async def _send(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(app=self._app)
        async with httpx.AsyncClient(transport=transport, base_url=HERE, headers=self._headers, timeout=60) as client:
            return await client.request(method, f"/api/v2/{path}", **options)

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> dict[str, Any]:
        """Starts a run, and gives it as Airflow describes it."""
        body = {"logical_date": None, "conf": conf}
        run: dict[str, Any] = self.call("POST", f"dags/{part(dag_id)}/dagRuns", json=body)
        return run

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """A DAG; None where Airflow has none of that id, or not yet."""
        found: dict[str, Any] | None = self.call("GET", f"dags/{part(dag_id)}", also=(404,))
        return found

    def pause(self, dag_id: str, paused: bool) -> None:
        """Pauses a DAG, or lets it run."""
        self.call("PATCH", f"dags/{part(dag_id)}", params={"update_mask": "is_paused"}, json={"is_paused": paused})


def part(name: str) -> str:
    """A name as one part of an address."""
    return quote(name, safe="")


def _words(answer: httpx.Response) -> str:
    try:
        detail = answer.json().get("detail")
    except ValueError:
        detail = None
    return str(detail or f"Airflow answers {answer.status_code}.")


AirflowDep = Annotated[Airflow, Depends(Airflow)]
