"""Any request that the API describes is answered: generated ones, right and wrong, never give an error of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from dag_definitions import PASSWORDS
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.openapi import from_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch
    from fastapi.testclient import TestClient

    from driftline.core.job import Job

EXAMPLES = 6  # of each route and kind: more took minutes
FINAL = {("DELETE", "/api/v1/jobs/{job_id}"), ("POST", "/api/v1/jobs/{job_id}/reset")}


@pytest.fixture(scope="module")
def web(airflow_database: None, cluster: str) -> Iterator[TestClient]:
    """Airflow's web application, as an editor asks it."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    with TestClient(create_app(), base_url="http://localhost", raise_server_exceptions=False) as client:
        asked = {"username": "admin", "password": PASSWORDS["admin"]}
        client.headers["Authorization"] = f"Bearer {client.post('/auth/token', json=asked).json()['access_token']}"
        yield client


@pytest.fixture(scope="module")
def ids(explored: Job, compared: Job, module_prefix: str, client: Elasticsearch) -> Iterator[dict[str, list[str]]]:
    """What stands in paths where a random name would never be found, or would be somebody else's."""
    own = f"{module_prefix}fuzzed"
    yield {"job_id": [explored.job_id, compared.job_id], "calendar_id": [own], "filter_id": [own], "own": [own]}
    from driftline.elastic import results

    results.delete(client, "driftline-jobs", {"prefix": {"id": own}})


def test_no_request_is_an_error_of_the_server(web: TestClient, ids: dict[str, list[str]]) -> None:
    schema = from_dict(web.get("/driftline/api/v1/openapi.json").json())
    wrong: dict[str, str] = {}
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))

        @settings(
            max_examples=EXAMPLES, derandomize=True, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(cases, st.data())
        def ask(case: schemathesis.Case, data: st.DataObject) -> None:
            nonlocal asked
            request = within(case, ids, data)
            assume(len(str(request.get("params", ""))) < 10_000)  # the client makes no longer addresses
            answer = web.request(**request)
            asked += 1
            if answer.status_code >= 500 and not (answer.status_code == 501 or answer.json().get("retry")):
                wrong[f"{case.method} {case.operation.path}"] = f"{case.as_curl_command()}: {answer.text[:500]}"

        ask()
    assert asked > 300
    assert wrong == {}


def within(case: schemathesis.Case, ids: dict[str, list[str]], data: st.DataObject) -> dict[str, Any]:
    """A request that finds something, and does no harm to what is not the test's own."""
    parameters = case.path_parameters or {}
    for name in parameters:
        if (case.method, case.operation.path) in FINAL or case.method == "PUT":
            parameters[name] = ids["own"][0]
        elif name in ids:
            parameters[name] = data.draw(st.sampled_from(ids[name]))
    if case.operation.path.startswith("/loudml") and case.method != "GET":
        case.query = {**(case.query or {}), "name": ids["own"][0]}  # without one some are about all models
    asked: dict[str, Any] = case.as_transport_kwargs(base_url="http://localhost/driftline")
    return {name: value for name, value in asked.items() if name not in ("cookies",)}
