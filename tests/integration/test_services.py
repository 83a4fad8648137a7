"""Elasticsearch and Airflow together, really started; what is killed is noticed, and mended by the next `up`."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import psutil
import pytest

from driftline.core.paths import state_dir
from driftline.core.processes import marked
from driftline.services import airflow, control
from driftline.services.api import AirflowApi
from driftline.services.environment import MARK
from driftline.services.runs import Run, follow

if TYPE_CHECKING:
    from collections.abc import Iterator


def ours() -> list[psutil.Process]:
    return marked(MARK, str(state_dir().resolve()))


def part(name: str) -> psutil.Process:
    parent = airflow.status().pid
    assert parent is not None
    return next(child for child in psutil.Process(parent).children() if name in " ".join(child.cmdline()).replace("_", "-"))


def kill(process: psutil.Process) -> None:
    os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs([process], timeout=5)  # a part stays behind as a zombie: its parent does not look


@pytest.fixture(scope="module")
def services(cluster: str) -> Iterator[control.Services]:
    with socket.socket() as other:  # the port is taken, by a program that is no Airflow
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DRIFTLINE_AIRFLOW_PORT", str(other.getsockname()[1]))
            yield control.up()
            airflow.stop()
    assert ours() == []


@pytest.fixture(scope="module")
def api(services: control.Services) -> Iterator[AirflowApi]:
    assert services.airflow.url
    with AirflowApi(services.airflow.url) as opened:
        yield opened


def test_all_parts_are_healthy_on_another_port_when_the_wanted_one_is_taken(services: control.Services, cluster: str) -> None:
    assert services.healthy
    assert services.cluster_url == cluster
    assert services.airflow.parts == dict.fromkeys(airflow.PARTS, "healthy")
    assert any("is taken by another program" in note for note in services.airflow.notes)


def test_a_second_up_changes_nothing(services: control.Services) -> None:
    again = control.up()
    assert again.airflow.pid == services.airflow.pid
    assert not again.airflow.started


def test_the_password_is_not_in_the_log(services: control.Services) -> None:
    from driftline.services.environment import password

    assert password() not in airflow.log_file().read_text()


def test_a_run_is_followed_to_its_end_and_its_results_are_read(api: AirflowApi) -> None:
    seen: list[tuple[str, int, int]] = []
    (run,) = follow(api, [[[Run("driftline.maintenance")]]], lambda *told: seen.append(told))
    assert seen[-1] == ("driftline.maintenance", 1, 1)
    assert isinstance(run.returned["maintain"], dict)


@pytest.mark.full
@pytest.mark.parametrize("name", ["scheduler", "dag-processor", "api-server", "triggerer"])
def test_a_killed_part_is_noticed_at_once_and_mended_by_up(services: control.Services, name: str) -> None:
    kill(part(name))
    now = control.status()
    assert now.airflow.parts[name] == "dead"
    assert not now.healthy
    mended = control.up()
    assert mended.healthy
    assert mended.airflow.started


@pytest.mark.full
def test_after_a_kill_of_standalone_nothing_of_it_stays(services: control.Services) -> None:
    parent = airflow.status().pid
    assert parent is not None
    before = {process.pid for process in ours()}
    kill(psutil.Process(parent))
    now = control.status()
    assert not now.airflow.running
    assert "left behind by a crash" in now.airflow.notes[0]
    assert control.up().healthy
    assert before.isdisjoint(process.pid for process in ours())
