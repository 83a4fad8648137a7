"""The files that production is made of: no engine is at hand, so they are held against schema, parser, code and one another."""

from __future__ import annotations

import fnmatch
import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from driftline.core.paths import ROOT
from driftline.elastic.node.distribution import VERSION
from driftline.services.environment import airflow_environment

COMPOSE = ROOT / "docker-compose.yaml"
TEXT = COMPOSE.read_text()
SERVICES: dict[str, Any] = yaml.safe_load(TEXT)["services"]
OURS = sorted(name for name in SERVICES if name.startswith("airflow-"))
LONG_RUNNING = sorted(set(SERVICES) - {"airflow-init"})
SECRETS = {
    "AIRFLOW_FERNET_KEY", "AIRFLOW_SECRET_KEY", "AIRFLOW_JWT_SECRET", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "ELASTIC_PASSWORD",
    "DRIFTLINE_ELASTICSEARCH_PASSWORD", "DRIFTLINE_ADMIN_PASSWORD", "DRIFTLINE_EDITOR_PASSWORD", "DRIFTLINE_VIEWER_PASSWORD",
}  # fmt: skip
ELSEWHERE = {
    "AIRFLOW__CORE__EXECUTOR": "Celery workers instead of processes of the scheduler",
    "AIRFLOW__CORE__PARALLELISM": "4 is what SQLite bears, PostgreSQL bears more",
    "AIRFLOW__CORE__AUTH_MANAGER": "users in the database instead of a passwords file",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "another host",
    "AIRFLOW__CORE__FERNET_KEY": "a secret",
    "AIRFLOW__API__SECRET_KEY": "a secret",
    "AIRFLOW__API_AUTH__JWT_SECRET": "a secret",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "PostgreSQL instead of SQLite",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": "a place in the container",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": "a place in the container",
    "AIRFLOW__CORE__DAGS_FOLDER": "a place in the container",
    "AIRFLOW__CORE__PLUGINS_FOLDER": "a place in the container",
    "DRIFTLINE_STATE_DIR": "a place in the container",
}
"""What production sets otherwise than `driftline up`, and why."""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=120)


@functools.cache
def example() -> dict[str, str]:
    """What .env.example sets, by name."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def parsed(tmp_path: Path, values: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The file as compose reads it, with these values in .env."""
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed (Debian: apt install docker-compose)")
    settings = tmp_path / "settings.env"
    settings.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    return run(program, "--file", COMPOSE, "--env-file", settings, "config")


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A filled-in .env, with nothing of this shell's environment in its way."""
    for name in example():
        monkeypatch.delenv(name, raising=False)
    return {name: value or f"value-of-{name}" for name, value in example().items()}


def test_it_keeps_to_the_compose_specification() -> None:
    program = Path(sys.executable).parent / "check-jsonschema"
    done = run(program, "--builtin-schema", "vendor.compose-spec", COMPOSE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_reads_it_and_every_value_of_env_arrives(tmp_path: Path, filled: dict[str, str]) -> None:
    done = parsed(tmp_path, filled)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == set(SERVICES)
    for name in SECRETS:
        assert f"value-of-{name}" in done.stdout
    environment = services["airflow-worker"]["environment"]
    assert environment["AIRFLOW__CELERY__BROKER_URL"] == "redis://:value-of-REDIS_PASSWORD@redis:6379/0"


@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_nothing_starts_without_a_secret(secret: str, tmp_path: Path, filled: dict[str, str]) -> None:
    done = parsed(tmp_path, filled | {secret: ""})
    assert done.returncode != 0
    assert secret in done.stderr


def test_every_variable_stands_in_the_example_and_every_line_of_it_is_used() -> None:
    assert set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", TEXT)) == set(example())


def test_the_example_holds_no_secret_and_a_default_for_all_else() -> None:
    assert {name for name, value in example().items() if not value} == SECRETS | {"DRIFTLINE_ELASTICSEARCH_CA"}
    defaults = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", TEXT))
    assert {name: value for name, value in example().items() if name not in SECRETS} == defaults


def test_no_secret_stands_in_a_file_or_in_a_command_line() -> None:
    required = set(re.findall(r"\$\{([A-Z_]+):\?", TEXT))
    assert required == SECRETS
    for service in SERVICES.values():
        told = orjson.dumps([service.get("command"), service.get("healthcheck")]).decode()
        assert not re.search(r"(?<!\$)\$\{", told)


def test_images_are_the_versions_that_the_project_is_built_and_tested_with() -> None:
    airflow = re.search(r'"apache-airflow==([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert airflow is not None
    assert re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE) == [f"apache/airflow:{airflow[1]}"]
    assert f"\napache-airflow=={airflow[1]}\n" in (ROOT / "requirements-production.txt").read_text()
    assert {SERVICES[name]["image"] for name in OURS} == {"${DRIFTLINE_IMAGE:-driftline:latest}"}
    foreign = {name: service["image"] for name, service in SERVICES.items() if name not in OURS}
    assert foreign == {"postgres": "postgres:17", "redis": "redis:7", "elasticsearch": f"elasticsearch:{VERSION}"}


def test_the_executor_loads_with_the_pinned_versions(tmp_path: Path) -> None:
    module = "airflow.providers.celery.executors.celery_executor"
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}
    command = [sys.executable, "-c", f"import {module} as loaded; loaded.CeleryExecutor, loaded.app"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-600:]


def test_all_parts_are_there_and_two_workers() -> None:
    parts = {"airflow-init", "airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"}
    assert set(OURS) == parts | {"airflow-worker"}
    assert SERVICES["airflow-worker"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_a_service_is_watched_and_started_again(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert set(service["healthcheck"]) == {"test", "interval", "timeout", "retries", "start_period"}
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_a_service_waits_for_what_it_needs() -> None:
    assert set(SERVICES["airflow-init"]["depends_on"]) == {"postgres", "elasticsearch"}
    for name in sorted(set(OURS) - {"airflow-init"}):
        assert SERVICES[name]["depends_on"]["airflow-init"]["condition"] == "service_completed_successfully"
    for service in SERVICES.values():
        for needed, wanted in service.get("depends_on", {}).items():
            healthy = "healthcheck" in SERVICES[needed]
            assert wanted["condition"] == ("service_healthy" if healthy else "service_completed_successfully")


@pytest.mark.usefixtures("no_cluster")
@pytest.mark.parametrize("name", OURS)
def test_the_environment_agrees_with_that_of_driftline_up(name: str) -> None:
    here, there = airflow_environment(), SERVICES[name]["environment"]
    common = (set(here) & set(there)) - set(ELSEWHERE) - {"NO_PROXY", "no_proxy"}
    assert {"AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL", "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"} <= common
    bundles = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
    assert orjson.loads(there[bundles]) == orjson.loads(here[bundles])
    rest = common - {bundles}
    assert {key: there[key] for key in rest} == {key: here[key] for key in rest}
    assert all(there[key] != here[key] for key in set(ELSEWHERE) & set(there)), "agrees now: take it off the list"


def test_only_who_signs_tokens_has_the_key() -> None:
    holders = {name for name in OURS if "AIRFLOW__API_AUTH__JWT_SECRET" in SERVICES[name]["environment"]}
    assert holders == {"airflow-init", "airflow-api-server", "airflow-scheduler"}
    assert [name for name in OURS if "ELASTIC_PASSWORD" in SERVICES[name]["environment"]] == ["airflow-init"]


def test_what_the_tasks_share_lies_on_a_volume_that_all_of_them_have() -> None:
    volumes = yaml.safe_load(TEXT)["volumes"]
    for name in OURS:
        mounts = dict(entry.split(":")[:2] for entry in SERVICES[name]["volumes"] if not entry.startswith("${"))
        environment = SERVICES[name]["environment"]
        assert mounts["state"] == environment["DRIFTLINE_STATE_DIR"]
        assert environment["DRIFTLINE_STAGING"] == f"${{DRIFTLINE_STAGING:-{mounts['state']}/staging}}"
        assert mounts["logs"] == environment["AIRFLOW__LOGGING__BASE_LOG_FOLDER"]
    assert {"state", "logs", "postgres", "elasticsearch"} == set(volumes)


def test_the_image_holds_what_the_environment_names() -> None:
    copied = copies()
    environment = SERVICES["airflow-worker"]["environment"]
    for folder in (environment["AIRFLOW__CORE__DAGS_FOLDER"], environment["AIRFLOW__CORE__PLUGINS_FOLDER"]):
        assert folder in copied.values()
    command = SERVICES["airflow-init"]["command"]
    assert command == ["python", "/opt/driftline/tools/production_init.py"]
    assert copied["tools/production_init.py"] == "/opt/driftline/tools/"
    assert copied["include"] == "/opt/driftline/include"
    assert "--no-deps --editable /opt/driftline" in (ROOT / "Dockerfile").read_text()


def test_everything_that_is_copied_reaches_the_build() -> None:
    for source in copies():
        place = ROOT / source
        files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
        wanted = [file.relative_to(ROOT).as_posix() for file in files if not {"__pycache__"} & set(file.parts)]
        assert wanted, source
        assert [file for file in wanted if ignored(file)] == []


@pytest.mark.parametrize(
    "path", [".env", ".git/config", ".driftline/airflow/passwords.json", ".venv/bin/python", "tests/conftest.py", "input/log"]
)
def test_secrets_and_state_never_reach_the_build(path: str) -> None:
    assert ignored(path)


def test_the_env_file_is_not_committed() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_hooks_before_a_commit_fetch_nothing() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    repositories = yaml.safe_load(text)["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    programs = [hook["entry"].split()[0] for hook in hooks]
    assert programs == [".venv/bin/ruff", ".venv/bin/ruff", ".venv/bin/mypy", ".venv/bin/lint-imports"]


def copies() -> dict[str, str]:
    """What the Dockerfile copies from the checkout, and where to."""
    found = {}
    for words in re.findall(r"^COPY --chown=airflow:0 (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        *sources, target = words.split()
        found |= dict.fromkeys(sources, target)
    return found


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a file from the build: the last line that fits it or one of its folders decides."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern, keeps = line.removeprefix("!"), not line.startswith("!")
        if any(_fits(place, pattern) for place in [path, *map(str, Path(path).parents)][:-1]):
            verdict = keeps
    return verdict


def _fits(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch.fnmatch(Path(path).name, pattern.removeprefix("**/"))
    return path.count("/") == pattern.count("/") and fnmatch.fnmatch(path, pattern)
