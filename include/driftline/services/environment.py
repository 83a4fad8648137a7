"""The environment that Airflow's processes run in: where everything is, and what must differ from the defaults."""

from __future__ import annotations

import os
import secrets
import sys
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from driftline.core.paths import ROOT, state_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

MARK = "DRIFTLINE_INSTANCE"
"""The environment variable by which Airflow's processes are found again; its value is the state folder."""

PARALLELISM = 4  # at the default 32, SQLite locks up and components die
REFRESH_SECONDS = 5  # how soon a new or changed definition shows; the default is 300
USER = "admin"

BUNDLES = [
    {"name": "dags-folder", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {}},
    {
        "name": "driftline",
        "classpath": "driftline_airflow.bundle.DefinitionBundle",
        "kwargs": {"refresh_interval": REFRESH_SECONDS},
    },
]
"""Where DAGs come from: the folder, and the job and source definitions."""


def airflow_home() -> Path:
    """Airflow's database, logs and passwords."""
    return state_dir().resolve() / "airflow"


def passwords_file() -> Path:
    """The users' passwords, readable by their owner only."""
    return airflow_home() / "passwords.json"


def airflow_environment(
    *,
    port: int = 8080,
    log_ports: tuple[int, int] = (8793, 8794),
    cluster_url: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The whole environment for Airflow's processes: this process's own, and ours over it.

    Args:
        port: Of the API server and the UI.
        log_ports: On which scheduler and triggerer serve the logs of running tasks.
        cluster_url: The embedded node, so that a task finds it whatever else it sees; None when the environment
            names the user's own cluster.
        settings: What shall differ: another executor or database.
    """
    home = airflow_home()
    return {
        **_inherited(),
        **_core(home, port),
        **_dag_processing(home),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_ports[0]),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_ports[1]),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # A task whose worker was killed is noticed after a minute instead of five, and then tried again.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "60",  # two busy cores may be late
        **_secrets(),
        MARK: str(state_dir().resolve()),
        "SPT_NOENV": "1",  # else Airflow's process titles overwrite the environment, and with it the mark
        "DRIFTLINE_STATE_DIR": str(state_dir().resolve()),
        **({"DRIFTLINE_ELASTICSEARCH_URL": cluster_url} if cluster_url else {}),
        **(settings or {}),
    }


def _core(home: Path, port: int) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin,viewer:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords_file()),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",
    }


def _dag_processing(home: Path) -> dict[str, str]:
    return {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": orjson.dumps(BUNDLES).decode(),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": str(REFRESH_SECONDS),
        "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": str(REFRESH_SECONDS),
    }


def _inherited() -> dict[str, str]:
    """This process's environment, with the environment's programs first in PATH and no proxy between our own services."""
    inherited = dict(os.environ)
    programs = str(Path(sys.executable).parent)  # standalone starts its parts by the name `airflow`
    inherited["PATH"] = os.pathsep.join([programs, inherited.get("PATH", os.defpath)])
    inherited["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "include"), inherited.get("PYTHONPATH")]))
    inherited["PYTHONUTF8"] = "1"  # logs hold any text, whatever the terminal's language is
    for name in ("no_proxy", "NO_PROXY"):
        inherited[name] = ",".join(filter(None, [inherited.get(name), "127.0.0.1,localhost"]))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        inherited.setdefault(name, "1")  # tasks run beside one another; threads within each would fight for the cores
    inherited.pop("AIRFLOW_CONFIG", None)  # another project's settings
    return inherited


def _secrets() -> dict[str, str]:
    """Keys that all components must share, made once: left to themselves, each would make its own on the first start."""
    path = airflow_home() / "secrets.json"
    if not path.exists():
        key = urlsafe_b64encode(secrets.token_bytes(32)).decode()
        write_secret(path, {"fernet": key, "api": secrets.token_urlsafe(24), "jwt": secrets.token_urlsafe(64)})
    kept = orjson.loads(path.read_bytes())
    return {
        "AIRFLOW__CORE__FERNET_KEY": kept["fernet"],
        "AIRFLOW__API__SECRET_KEY": kept["api"],
        "AIRFLOW__API_AUTH__JWT_SECRET": kept["jwt"],
    }


def password() -> str:
    """The admin's password; made at random the first time."""
    path = passwords_file()
    if not path.exists():
        write_secret(path, {USER: secrets.token_urlsafe(12), "viewer": secrets.token_urlsafe(12)})
    return str(orjson.loads(path.read_bytes())[USER])


def write_secret(path: Path, content: dict[str, str]) -> None:
    """Writes a file that only its owner can read, in one step: whoever reads it finds all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps(content) + b"\n")
    fresh.replace(path)
