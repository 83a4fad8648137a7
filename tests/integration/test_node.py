"""The embedded node, really started: passwords, TLS, rights, a kill, two starts at once, a start that fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest
from elasticsearch import AuthenticationException, AuthorizationException, Elasticsearch

from driftline.core.errors import ClusterError, NodeError
from driftline.core.paths import state_dir
from driftline.elastic import node
from driftline.elastic.client import connect, explained
from driftline.elastic.node.places import default_home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWNER, READER = ("owner", "secret-of-the-owner"), ("reader", "secret-of-the-reader")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A second node's home, where the user that it runs as can reach it."""
    folder = default_home(state_dir() / "second")
    yield folder
    node.stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def options(home: Path, certificate: tuple[bytes, bytes]) -> node.NodeOptions:
    key, signed = certificate
    tls = "xpack.security.http.ssl"
    return node.NodeOptions(
        home=home,
        heap="300m",
        users={OWNER[0]: (OWNER[1], ["superuser"]), READER[0]: (READER[1], ["reads_logs"])},
        roles={
            "reads_logs": {
                "cluster": ["monitor"],
                "indices": [{"names": ["logs-*"], "privileges": ["read", "view_index_metadata"]}],
            }
        },
        settings={f"{tls}.enabled": True, f"{tls}.key": "key.pem", f"{tls}.certificate": "cert.pem"},
        files={"key.pem": key, "cert.pem": signed},
    )


@pytest.fixture(scope="module")
def secured(options: node.NodeOptions) -> node.Node:
    return node.start(options)


@pytest.fixture(scope="module")
def ca(options: node.NodeOptions, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    path.write_bytes(options.files["cert.pem"])
    return str(path)


@pytest.fixture(scope="module")
def owner(secured: node.Node, ca: str) -> Iterator[Elasticsearch]:
    with connect({"url": secured.url, "basic_auth": OWNER, "ca_certs": ca}) as client:
        client.index(index="logs-a", id="1", document={"text": "kept"}, refresh=True)
        client.index(index="other", id="1", document={"text": "not for all"}, refresh=True)
        yield client


def test_the_session_node_runs_as_no_root(cluster: str) -> None:
    now = node.status()
    if not now.running:
        pytest.skip("DRIFTLINE_TEST_CLUSTER names a cluster that is not ours")
    assert now.url == cluster
    assert now.health in {"yellow", "green"}
    assert psutil.Process(now.pid).uids().real != 0
    assert any("started" in line for line in node.log_lines(500))


def test_a_second_start_leaves_a_running_node_alone(secured: node.Node, options: node.NodeOptions) -> None:
    again = node.start(options)
    assert again.pid == secured.pid
    assert (secured.started, again.started) == (True, False)


def test_tls_and_passwords_work(secured: node.Node, owner: Elasticsearch) -> None:
    assert str(secured.url).startswith("https://127.0.0.1:")
    assert owner.cluster.health()["status"] in {"yellow", "green"}


def test_a_wrong_password_is_explained(secured: node.Node, owner: Elasticsearch, ca: str) -> None:
    with (
        connect({"url": secured.url, "basic_auth": (OWNER[0], "wrong"), "ca_certs": ca}) as client,
        pytest.raises(ClusterError, match="refuses the user name") as caught,
        explained(),
    ):
        client.count(index="logs-a")
    assert isinstance(caught.value.__cause__, AuthenticationException)
    assert "wrong" not in str(caught.value)


def test_a_wrong_password_ends_a_command_with_its_message(secured: node.Node, owner: Elasticsearch, ca: str) -> None:
    settings = {"URL": str(secured.url), "USER": OWNER[0], "PASSWORD": "wrong", "CA": ca}
    environment = {**os.environ, **{f"DRIFTLINE_ELASTICSEARCH_{name}": value for name, value in settings.items()}}
    command = [sys.executable, "-c", "from driftline.cli import main; main()", "quality", "list", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 2
    assert "refuses the user name, password or API key" in json.loads(done.stdout)["what"]
    assert "wrong" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_right_is_explained(secured: node.Node, owner: Elasticsearch, ca: str) -> None:
    with connect({"url": secured.url, "basic_auth": READER, "ca_certs": ca}) as client:
        assert client.count(index="logs-*")["count"] == 1
        with pytest.raises(ClusterError, match="may not do this") as caught, explained():
            client.count(index="other")
    assert isinstance(caught.value.__cause__, AuthorizationException)


def test_a_killed_node_is_noticed_and_two_starts_at_once_make_one_with_its_data(
    secured: node.Node, options: node.NodeOptions, owner: Elasticsearch
) -> None:
    assert secured.pid is not None
    process = psutil.Process(secured.pid)
    os.kill(secured.pid, signal.SIGKILL)
    psutil.wait_procs([process], timeout=20)
    assert node.running_url(options.home) is None

    started: list[node.Node] = []
    threads = [threading.Thread(target=lambda: started.append(node.start(options))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.pid for each in started}) == 1
    assert sorted(each.started for each in started) == [False, True]
    assert {each.url for each in started} == {secured.url}, "it comes back on its port"
    assert owner.get(index="logs-a", id="1")["_source"] == {"text": "kept"}


def test_a_start_that_fails_shows_the_lines_that_tell_why(tmp_path: Path, options: node.NodeOptions) -> None:
    home = default_home(tmp_path)
    try:
        with pytest.raises(NodeError, match="ended while starting") as caught:
            node.start(node.NodeOptions(home=home, heap="200m", settings={"no.such.setting": 1}))
        assert "unknown setting [no.such.setting]" in caught.value.fix
        assert node.status(home).running is False
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_stop_ends_the_process_and_a_second_stop_has_nothing_to_do(secured: node.Node, options: node.NodeOptions) -> None:
    assert node.stop(options.home) is True
    assert node.status(options.home).running is False
    assert node.stop(options.home) is False
