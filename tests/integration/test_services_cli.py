"""The commands around the services, as a user types them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

DRIFTLINE = Path(sys.executable).parent / "driftline"


def driftline(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DRIFTLINE, *words], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


def told(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.stderr == ""
    return orjson.loads(done.stdout)


def test_node_status_tells_where_everything_is(cluster: str) -> None:
    if "DRIFTLINE_ELASTICSEARCH_URL" in os.environ:
        pytest.skip("DRIFTLINE_TEST_CLUSTER names a cluster that is not ours")
    done = driftline("node", "status", "--json")
    node = told(done)
    assert done.returncode == 0
    assert node["running"] is True
    assert node["url"] == cluster
    assert Path(node["data"]).is_dir()
    assert Path(node["log"]).is_file()
    assert node["version"] == "9.2.4"


def test_node_start_leaves_a_users_own_cluster_alone_and_says_which(no_cluster: None) -> None:
    own = "http://somebody:secret@es.example:9200"
    done = driftline("node", "start", DRIFTLINE_ELASTICSEARCH_URL=own)
    assert done.returncode == 0
    assert "http://es.example:9200" in done.stdout
    assert "not started" in done.stdout
    assert "secret" not in done.stdout + done.stderr
    node = told(driftline("node", "start", "--json", DRIFTLINE_ELASTICSEARCH_URL=own))
    assert (node["running"], node["own_cluster"], node["url"]) == (False, True, "http://es.example:9200")


def test_nothing_runs_in_an_empty_state_folder(no_cluster: None) -> None:
    assert told(driftline("node", "status", "--json"))["running"] is False
    assert told(driftline("node", "stop", "--json")) == {"running": False, "stopped": False}
    done = driftline("status", "--json")
    assert done.returncode == 1
    services = told(done)
    assert (services["healthy"], services["airflow"]["running"]) == (False, False)
    assert told(driftline("down", "--json")) == {"airflow": False, "node": False}


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("DRIFTLINE_NODE_HEAP", "lots", "'lots' is no size"),
        ("DRIFTLINE_NODE_HEAP", "99999g", "too little memory"),
        ("DRIFTLINE_NODE_PORT", "http", "'http' is no port"),
    ],
)
def test_what_prevents_a_start_is_said_without_a_stack_trace(
    no_cluster: None, tmp_path: Path, variable: str, value: str, message: str
) -> None:
    done = driftline("node", "start", DRIFTLINE_NODE_DIR=str(tmp_path / "node"), **{variable: value})
    assert done.returncode == 1
    assert message in done.stderr
    assert "DRIFTLINE_NODE" in done.stderr
    assert "Traceback" not in done.stderr
