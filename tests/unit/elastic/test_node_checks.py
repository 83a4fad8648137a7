"""What the embedded node checks before it starts, and what it says when something is missing."""

from __future__ import annotations

import os
import socket
import stat
import zipfile
from typing import TYPE_CHECKING

import psutil
import pytest

from driftline.core.errors import NodeError
from driftline.elastic import node
from driftline.elastic.node import checks, config, distribution, places

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_is_replaced_and_named(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_NODE_PORT", str(taken))
    port, note = checks.pick_port(None)
    assert port > taken
    assert str(taken) in str(note)
    assert str(port) in str(note)


def test_the_port_of_the_last_run_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRIFTLINE_NODE_PORT")
    assert checks.wanted_port() == 9200
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        last = probe.getsockname()[1]
    assert checks.pick_port(last) == (last, None)


@pytest.mark.parametrize("text", ["no port", "0", "65536", "-1"])
def test_a_port_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_NODE_PORT", text)
    with pytest.raises(NodeError, match="is no port"):
        checks.pick_port(None)


@pytest.mark.parametrize("text", ["1", "g", "1.5g", "0m", "1t"])
def test_a_heap_that_is_no_size_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_NODE_HEAP", text)
    with pytest.raises(NodeError, match="is no size") as caught:
        checks.heap()
    assert caught.value.where == "DRIFTLINE_NODE_HEAP"


def test_too_little_memory_names_what_is_there_and_what_to_set() -> None:
    with pytest.raises(NodeError, match="too little memory") as caught:
        checks.need_memory("99999g")
    assert "DRIFTLINE_NODE_HEAP=512m" in caught.value.fix


def test_a_container_limits_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text(f"{900 * 1024**2}\n")
    (tmp_path / "memory.current").write_text(f"{500 * 1024**2}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {100 * 1024**2}\n")
    monkeypatch.setattr(checks, "CGROUP", tmp_path)
    assert checks.available_memory() == min(500 * 1024**2, psutil.virtual_memory().available)
    with pytest.raises(NodeError, match="500 MB available"):
        checks.need_memory("1g")


def test_a_full_disk_is_named_before_anything_is_unpacked(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="disk is nearly full") as caught:
        checks.need_disk(tmp_path / "not" / "there" / "yet", 10**18, "for its data")
    assert "DRIFTLINE_NODE_DIR" in caught.value.fix


def test_a_damaged_download_is_refused_with_both_checksums(tmp_path: Path) -> None:
    archive = tmp_path / "elasticsearch.zip"
    archive.write_bytes(b"half a download")
    with pytest.raises(NodeError, match="SHA-256 differs") as caught:
        distribution.check(archive)
    assert distribution.SHA256 in caught.value.expected


def test_a_download_without_a_network_says_what_to_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    said: list[str] = []
    with pytest.raises(NodeError, match="download of Elasticsearch failed") as caught:
        distribution.distribution(tmp_path, said.append)
    assert "network" in caught.value.fix
    assert said == [f"Downloading Elasticsearch {distribution.VERSION} (95 MB) …"]
    assert not [path for path in tmp_path.iterdir() if path.is_dir()], "a failed download leaves nothing behind"


def test_the_distribution_is_readable_for_everybody_whatever_the_umask(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("es/bin/elasticsearch", "#!/bin/sh\n")
        opened.writestr("es/lib/a.jar", "jar")
    before = os.umask(0o077)
    try:
        distribution.unpack(archive, tmp_path / "out")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").rglob("*")}
    assert modes == {"es": 0o755, "bin": 0o755, "lib": 0o755, "elasticsearch": 0o755, "a.jar": 0o644}


def test_one_variable_moves_home_and_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_NODE_DIR", str(tmp_path))
    assert places.places() == places.Places(tmp_path, tmp_path / "programs")


def test_each_state_folder_has_a_node_of_its_own(tmp_path: Path) -> None:
    assert places.default_home(tmp_path / "a") != places.default_home(tmp_path / "b")


def test_root_keeps_the_node_where_nobody_can_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "is_root", lambda: True)
    assert places.default_home(tmp_path).parent == places.SYSTEM
    monkeypatch.setattr(places, "is_root", lambda: False)
    assert places.default_home(tmp_path) == tmp_path / "node"


def test_the_node_listens_on_the_loopback_address_only(tmp_path: Path) -> None:
    written = config.settings(places.Places(tmp_path, tmp_path), 9200, node.NodeOptions())
    assert (written["http.host"], written["transport.host"]) == ("127.0.0.1", "127.0.0.1")
    assert written["xpack.security.enabled"] is False
    assert config.settings(places.Places(tmp_path, tmp_path), 1, node.NodeOptions(users={"a": ("b", [])}))[
        "xpack.security.enabled"
    ]


def test_a_node_that_never_ran_has_no_address(no_cluster: None) -> None:
    assert node.running_url() is None
    assert node.status().running is False
    assert node.log_lines(10) == []
    assert node.stop() is False
