"""The environment that Airflow's processes get."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import orjson
import pytest

from driftline.core.paths import ROOT
from driftline.services.environment import MARK, airflow_environment, airflow_home, password, passwords_file

pytestmark = pytest.mark.usefixtures("no_cluster")


def test_it_points_at_this_checkout_and_its_state(state: Path) -> None:
    environment = airflow_environment()
    assert environment["AIRFLOW_HOME"] == str(state / "airflow")
    assert environment["AIRFLOW__CORE__DAGS_FOLDER"] == str(ROOT / "dags")
    assert environment["AIRFLOW__CORE__PLUGINS_FOLDER"] == str(ROOT / "plugins")
    assert environment["DRIFTLINE_STATE_DIR"] == environment[MARK] == str(state)
    assert environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_the_execution_api_moves_with_the_port() -> None:
    environment = airflow_environment(port=8123)
    assert environment["AIRFLOW__API__PORT"] == "8123"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8123/execution/"
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_folder_and_definitions_are_both_bundles_that_refresh_within_seconds() -> None:
    environment = airflow_environment()
    bundles = orjson.loads(environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert [bundle["name"] for bundle in bundles] == ["dags-folder", "driftline"]
    assert bundles[1]["kwargs"] == {"refresh_interval": 5}


def test_tasks_find_the_embedded_node_and_never_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.org")
    environment = airflow_environment(cluster_url="http://127.0.0.1:9201")
    assert environment["DRIFTLINE_ELASTICSEARCH_URL"] == "http://127.0.0.1:9201"
    assert environment["NO_PROXY"] == "example.org,127.0.0.1,localhost"


def test_the_users_own_cluster_is_handed_on_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ELASTICSEARCH_DEFAULT", "http://es.example:9200")
    environment = airflow_environment()
    assert environment["AIRFLOW_CONN_ELASTICSEARCH_DEFAULT"] == "http://es.example:9200"
    assert "DRIFTLINE_ELASTICSEARCH_URL" not in environment


def test_settings_that_are_given_win() -> None:
    assert (
        airflow_environment(settings={"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor"})["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    )


def test_another_projects_settings_file_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONFIG", "/elsewhere/airflow.cfg")
    assert "AIRFLOW_CONFIG" not in airflow_environment()


def test_keys_are_made_once_and_only_the_owner_can_read_them() -> None:
    first, second = airflow_environment(), airflow_environment()
    names = ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET")
    assert [first[name] for name in names] == [second[name] for name in names]
    assert len({first[name] for name in names}) == 3
    assert stat.S_IMODE((airflow_home() / "secrets.json").stat().st_mode) == 0o600


def test_the_password_is_random_kept_and_only_the_owner_can_read_it() -> None:
    assert password() == password() != ""
    assert set(orjson.loads(passwords_file().read_bytes())) == {"admin", "viewer"}
    assert stat.S_IMODE(passwords_file().stat().st_mode) == 0o600
