"""What all tests share: a state folder of their own, and one real Elasticsearch for the whole session.

Nothing here touches the user's data: whatever cluster the environment names is taken out of it first. While writing tests,
DRIFTLINE_TEST_CLUSTER=http://127.0.0.1:9200 saves the node's start by using one that runs.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import settings

from driftline.elastic import node
from driftline.elastic.node.places import default_home

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from elasticsearch import Elasticsearch
    from playwright.sync_api import Browser

NAME = "driftline-test-"
STATE = Path(tempfile.gettempdir()).resolve() / f"{NAME}{os.getpid()}"
FOREIGN = ("DRIFTLINE_", "AIRFLOW_CONN_")
LONG = (
    "test_walkthrough", "test_compared", "test_cli", "test_demo", "test_detect", "test_reference", "test_services",
    "test_dag_kill", "test_aggregated_feeds", "test_node", "test_bench_hits", "test_backtest_command", "test_dag_browser",
    "test_api_fuzzed", "test_detect_command", "test_elastic_api", "test_ingest", "test_suggest", "test_modules",
    "test_bench_detect",
)  # fmt: skip
"""Files that take most of a minute and more, the longest first: one that began last would leave the other process idle until it
ends. Those that start a whole Airflow stand apart, so that two of them seldom run at once."""
TERMINAL = ("COLUMNS", "LINES")  # of a terminal that is none: tests that run side by side are told of one
settings.register_profile("driftline", deadline=None)  # how long one example takes tells of the machine, not of what is tested
settings.load_profile("driftline")


def worker() -> int:
    """Which of the processes this is that run tests side by side."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def pytest_configure() -> None:
    """Before any module is imported: Driftline and Airflow read these when they are."""
    shared = os.environ.get("DRIFTLINE_TEST_CLUSTER")
    for name in [name for name in os.environ if name.startswith(FOREIGN) or name in TERMINAL]:
        del os.environ[name]
    STATE.mkdir(exist_ok=True)
    os.environ["DRIFTLINE_STATE_DIR"] = str(STATE)
    # away from what the user may run, and from what tests beside these do
    os.environ["DRIFTLINE_NODE_PORT"] = str(19200 + 10 * worker())
    os.environ["DRIFTLINE_AIRFLOW_PORT"] = str(18080 + 10 * worker())
    if shared:
        os.environ["DRIFTLINE_ELASTICSEARCH_URL"] = shared


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the long files (see `TWO` in the Makefile)."""
    order = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test of a page that fails tells what stood on it: a screenshot stays behind on the machine."""
    report = yield
    if report.when == "call" and report.failed:
        for name, tab in getattr(item, "funcargs", {}).items():
            if type(tab).__name__ == "Page" and not tab.is_closed():
                with contextlib.suppress(Exception):  # whatever else is wrong with it: the test's own failure is what counts
                    report.sections.append((f"{name}: {tab.url}", tab.locator("body").inner_text(timeout=1000)))
    return report


def pytest_unconfigure() -> None:
    """Stops this session's node, and those of sessions that were killed before they could."""
    for state in STATE.parent.glob(f"{NAME}*"):
        owner = state.name.removeprefix(NAME)
        if state == STATE or (owner.isdecimal() and not psutil.pid_exists(int(owner))):
            home = default_home(state)
            node.stop(home)
            shutil.rmtree(home, ignore_errors=True)
            shutil.rmtree(state, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster() -> str:
    """The address of a real Elasticsearch. `connect()` and every child process find the same one."""
    if shared := os.environ.get("DRIFTLINE_ELASTICSEARCH_URL"):
        return shared
    started = node.start(node.NodeOptions(heap="512m"))
    assert started.url
    return started.url


@pytest.fixture(scope="session")
def client(cluster: str) -> Iterator[Elasticsearch]:
    """A client for it."""
    from driftline.elastic.client import connect

    with connect() as connected:
        yield connected


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The Chromium of this machine; none is downloaded."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # as root there is no sandbox
        yield started
        started.close()


@pytest.fixture
def prefix(client: Elasticsearch) -> Iterator[str]:
    """A name that no other test uses, for indices and ids; indices that begin with it are deleted afterwards."""
    name = f"test-{uuid.uuid4().hex[:8]}-"
    yield name
    _delete_indices(client, name)


@pytest.fixture(scope="module")
def module_prefix(client: Elasticsearch) -> Iterator[str]:
    """The same for what the tests of one file share."""
    name = f"test-{uuid.uuid4().hex[:8]}-"
    yield name
    _delete_indices(client, name)


def _delete_indices(client: Elasticsearch, prefix: str) -> None:
    names = list(client.indices.get(index=f"{prefix}*", expand_wildcards="all").body)
    if names:
        client.indices.delete(index=names, ignore_unavailable=True)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder for one test."""
    monkeypatch.setenv("DRIFTLINE_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def no_cluster(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names no cluster, where no node runs."""
    for name in ("DRIFTLINE_ELASTICSEARCH_URL", "AIRFLOW_CONN_ELASTICSEARCH_DEFAULT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def write() -> Callable[[Path, str], Path]:
    """Writes a text file, with the folders that it needs."""

    def write_file(path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write_file


@pytest.fixture(scope="session")
def certificate() -> tuple[bytes, bytes]:
    """A key and a certificate for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "driftline test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, signed.public_bytes(serialization.Encoding.PEM)
