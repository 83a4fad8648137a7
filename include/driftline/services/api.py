"""A small client of Airflow's REST API: trigger a run, follow it, read what it returned and why it failed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx

from driftline.core.errors import ServiceError
from driftline.services.environment import USER, password

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

RETRY_SECONDS = 120  # an API server on SQLite may keep one request waiting for half a minute while runs start
PAGE = 100
TEST_SECONDS = 300  # for a mail server that does not answer, all its retries included


class AirflowApi:
    """Airflow's REST API, logged in as the admin of `driftline up`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def __enter__(self) -> Self:
        answer = self._send("POST", "/auth/token", json={"username": USER, "password": password()})
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """The DAG, or None while Airflow does not know it."""
        answer = self._send("GET", f"/api/v2/dags/{_path(dag_id)}", also=(404,))
        return None if answer.status_code == 404 else answer.json()

    def unpause(self, dag_id: str) -> None:
        """Lets the DAG's runs start."""
        self._send("PATCH", f"/api/v2/dags/{_path(dag_id)}?update_mask=is_paused", json={"is_paused": False})

    def import_errors(self) -> list[dict[str, Any]]:
        """Files whose DAGs cannot be loaded."""
        return list(self._pages("/api/v2/importErrors", "import_errors"))

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> None:
        """Starts a run; it has no logical date, as the window is in `conf`. One of that id that is there already is this one."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        # a request that timed out may have been carried out all the same: asked again, it answers 409
        self._send("POST", f"/api/v2/dags/{_path(dag_id)}/dagRuns", json=body, also=(409,))

    def asset_run(self, dag_id: str, since: datetime) -> str | None:
        """The newest run that an asset has started since then."""
        wanted = {"run_type": "asset_triggered", "run_after_gte": since.isoformat(), "order_by": "-run_after", "limit": 1}
        found = self._send("GET", f"/api/v2/dags/{_path(dag_id)}/dagRuns", params=wanted).json()["dag_runs"]
        return str(found[0]["dag_run_id"]) if found else None

    def state(self, dag_id: str, run_id: str) -> str:
        """Of a run: queued, running, success or failed."""
        return str(self._send("GET", self._run(dag_id, run_id)).json()["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """A run's task instances, mapped ones each."""
        return list(self._pages(f"{self._run(dag_id, run_id)}/taskInstances", "task_instances"))

    def returned(self, dag_id: str, run_id: str, task_id: str) -> Any:  # noqa: ANN401 - any JSON
        """What a task returned; None when it returned nothing."""
        where = f"{self._run(dag_id, run_id)}/taskInstances/{_path(task_id)}/xcomEntries/return_value"
        answer = self._send("GET", where, params={"stringify": False, "deserialize": False}, also=(404,))
        return None if answer.status_code == 404 else answer.json()["value"]

    def log(self, task: dict[str, Any], lines: int = 25) -> list[str]:
        """The end of the log of a task's last try."""
        run = self._run(task["dag_id"], task["dag_run_id"])
        where = f"{run}/taskInstances/{_path(task['task_id'])}/logs/{max(1, task['try_number'])}"
        answer = self._send(
            "GET",
            where,
            params={"map_index": task["map_index"], "full_content": True},
            headers={"Accept": "application/json"},
            also=(404,),
        )
        content = [] if answer.status_code == 404 else answer.json()["content"]
        return [line for entry in content for line in _log_lines(entry)][-lines:]

    def test_alert(self, alert_id: str) -> None:
        """Sends a test on an alert's channel.

        Raises:
            ServiceError: There is no such alert, or it cannot be sent.
        """
        # asked once, however long its channel takes: asked again, it would be sent again
        where = f"/driftline/api/v1/alerts/{_path(alert_id)}/test"
        answer = self._send("POST", where, also=(400, 404, 502), timeout=TEST_SECONDS)
        if not answer.is_success:
            said = answer.json()
            raise ServiceError(said["what"], **{name: said.get(name, "") for name in ("where", "expected", "fix")})

    def link(self, task: dict[str, Any]) -> str:
        """The page of a task instance in the UI."""
        page = f"{self.url}/dags/{_path(task['dag_id'])}/runs/{_path(task['dag_run_id'])}/tasks/{_path(task['task_id'])}"
        return page if task["map_index"] < 0 else f"{page}/mapped/{task['map_index']}"

    def _run(self, dag_id: str, run_id: str) -> str:
        return f"/api/v2/dags/{_path(dag_id)}/dagRuns/{_path(run_id)}"

    def _pages(self, path: str, name: str) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._send("GET", path, params={"limit": PAGE, "offset": offset}).json()
            yield from page[name]
            offset += PAGE
            if offset >= page["total_entries"]:
                return

    def _send(self, method: str, path: str, *, also: tuple[int, ...] = (), **options: Any) -> httpx.Response:  # noqa: ANN401
        """Sends a request; asks again while nothing answers or the server is busy.

        Raises:
            ServiceError: It stays so, or the request is refused (with a status other than those in `also`).
        """
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                answer = self._http.request(method, path, **options)
                problem = f"answers {answer.status_code}: {answer.text[:300]}"
                if answer.is_success or answer.status_code in also:
                    return answer
                if answer.status_code < 500:
                    break
            except httpx.TransportError as error:
                problem = f"does not answer ({error})"
            if time.monotonic() > deadline:
                break
            time.sleep(1)
        raise ServiceError(f"Airflow {problem}", where=f"{method} {self.url}{path}", fix="'driftline status' tells how it is.")


def _path(name: str) -> str:
    return quote(name, safe="")


def _log_lines(entry: Any) -> Iterator[str]:  # noqa: ANN401 - a string or a structured event
    if not isinstance(entry, dict):
        yield str(entry)
        return
    level = str(entry.get("level") or "")
    yield f"{level + ': ' if level in {'error', 'warning', 'critical'} else ''}{entry.get('event', '')}"
    for error in entry.get("error_detail") or []:
        yield f"{error.get('exc_type')}: {error.get('exc_value')}"
