"""Airflow for the tests of the DAG side: its settings are read when it is imported, so they stand first."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dag_definitions import PASSWORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elasticsearch import Elasticsearch
    from playwright.sync_api import Browser, Page

    from driftline.core.job import Job

ROOT = Path(__file__).resolve().parents[2]


def airflow_settings(home: Path) -> dict[str, str]:
    """What Airflow's own parts need in a test: a home, our folders, an SQLite database, users."""
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps(PASSWORDS))
    bundle = {
        "name": "definitions",
        "classpath": "driftline_airflow.bundle.DefinitionBundle",
        "kwargs": {"refresh_interval": 5},
    }
    folder = {"name": "dags-folder", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {}}
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__SECRET_KEY": "a-key-of-tests-that-is-long-enough-for-everything",
        "AIRFLOW__API_AUTH__JWT_SECRET": "another-key-of-tests-that-is-long-enough-for-a-signature-of-512-bits",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([folder, bundle]),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
    }


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Runs before any test module is imported, and after the settings of all tests."""
    home = Path(os.environ["DRIFTLINE_STATE_DIR"]) / "airflow-of-dag-tests"
    home.mkdir(parents=True, exist_ok=True)
    os.environ.update(airflow_settings(home))


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's tables."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="session")
def site(airflow_database: None, cluster: str) -> Iterator[str]:
    """Airflow's web application behind a real port."""
    import uvicorn
    from airflow.api_fastapi.app import create_app

    # the system chooses the port: of two processes that look for a free one, both may find the same
    server = uvicorn.Server(uvicorn.Config(create_app(), host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 120
    while not server.started:
        assert thread.is_alive(), "the server did not come up"
        assert time.monotonic() < deadline, "the server did not come up"
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)


@pytest.fixture(scope="session")
def token_of(site: str) -> Callable[[str], str]:
    """Signs a user in."""
    import httpx

    def sign_in(user: str) -> str:
        asked = {"username": user, "password": PASSWORDS[user]}
        found: str = httpx.post(f"{site}/auth/token", json=asked, trust_env=False, timeout=60).json()["access_token"]
        return found

    return sign_in


@pytest.fixture
def editor(browser: Browser, site: str, token_of: Callable[[str], str]) -> Iterator[Page]:
    """A tab of somebody who may change jobs."""
    context = browser.new_context(base_url=site, viewport={"width": 1400, "height": 900})
    context.add_cookies([{"name": "_token", "value": token_of("admin"), "url": site}])
    tab = context.new_page()
    tab.set_default_timeout(60_000)
    said: list[str] = []
    tab.on("pageerror", lambda error: said.append(str(error)))
    yield tab
    context.close()
    assert said == []


@pytest.fixture(scope="module")
def explored(client: Elasticsearch, module_prefix: str) -> Iterator[Job]:
    """A job with results, for pages."""
    from dag_explored import explored_job

    from driftline.pipeline.jobs import delete

    made = explored_job(client, module_prefix)
    yield made
    delete(client, made.job_id)


@pytest.fixture(scope="module")
def compared(client: Elasticsearch, module_prefix: str, explored: Job) -> Iterator[Job]:
    """A job with a population and something rare, on the same documents."""
    from dag_explored import compared_job

    from driftline.pipeline.jobs import delete

    made = compared_job(client, module_prefix, explored.datafeed.indices[0])
    yield made
    delete(client, made.job_id)


@pytest.fixture(scope="module")
def own_jobs(module_prefix: str, client: Elasticsearch) -> Iterator[str]:
    """A prefix for job ids; what the jobs of that prefix have left is removed afterwards."""
    yield module_prefix
    from driftline.elastic import results, snapshots
    from driftline.elastic.indices import FORECASTS, QUALITY, RESULTS, RUNS, STATE

    for index in (f"{RESULTS}-*", f"{FORECASTS}-*", QUALITY, RUNS, STATE):
        results.delete(client, index, {"prefix": {"job_id": module_prefix}})
    for manifest in results.scan(client, {"prefix": {"job_id": module_prefix}}, index="driftline-snapshots"):
        snapshots.delete(client, manifest["_source"]["job_id"])
