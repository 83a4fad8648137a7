"""Airflow for the tests of the DAG side: its settings are read when it is imported, so they stand first."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def airflow_settings(home: Path) -> dict[str, str]:
    """What Airflow's own parts need in a test: a home, our folders, an SQLite database."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
            [
                {"name": "dags-folder", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {}},
                {
                    "name": "definitions",
                    "classpath": "driftline_airflow.bundle.DefinitionBundle",
                    "kwargs": {"refresh_interval": 5},
                },
            ]
        ),
    }


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Runs before any test module is imported, and after the settings of all tests."""
    home = Path(os.environ["DRIFTLINE_STATE_DIR"]) / "airflow-of-dag-tests"
    home.mkdir(parents=True, exist_ok=True)
    os.environ.update(airflow_settings(home))
