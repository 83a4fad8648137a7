"""The definitions bundle: new, changed, broken, repaired and deleted definitions, and a cluster that goes away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from airflow.dag_processing.dagbag import DagBag
from dag_definitions import make_job, write_job

from driftline.elastic.indices import JOBS
from driftline.pipeline import jobs as registry
from driftline_airflow.bundle import DefinitionBundle
from driftline_airflow.stubs import stub_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from elasticsearch import Elasticsearch

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of job files of its own, no sources, and a cluster that does not answer."""
    monkeypatch.setenv("DRIFTLINE_JOBS_DIR", str(tmp_path / "jobs"))
    monkeypatch.setenv("DRIFTLINE_SOURCES_DIR", str(tmp_path / "sources"))
    monkeypatch.setenv("DRIFTLINE_ANALYTICS_DIR", str(tmp_path / "analytics"))
    monkeypatch.setenv("DRIFTLINE_ELASTICSEARCH_URL", NOBODY)
    (tmp_path / "jobs").mkdir()
    return tmp_path / "jobs"


@pytest.fixture
def bundle(tmp_path: Path) -> DefinitionBundle:
    made = DefinitionBundle(name="definitions", refresh_interval=5)
    made.base_dir = tmp_path / "bundle"
    return made


def parsed(bundle: DefinitionBundle) -> tuple[set[str], list[str]]:
    """The DAG ids and the import errors that Airflow would show."""
    bag = DagBag(dag_folder=str(bundle.path))
    return set(bag.dags), list(bag.import_errors.values())


def dag_ids(*jobs: str) -> set[str]:
    return {f"{job}.{stage}" for job in jobs for stage in ("train", "score", "forecast")}


def test_a_new_job_file_becomes_dags(bundle: DefinitionBundle, folder: Path) -> None:
    bundle.refresh()
    assert parsed(bundle) == (set(), [])
    write_job(folder, make_job("one"))
    bundle.refresh()
    assert parsed(bundle) == (dag_ids("one"), [])


def test_a_broken_job_shows_its_own_message_and_takes_no_other_away(bundle: DefinitionBundle, folder: Path) -> None:
    write_job(folder, make_job("good"))
    (folder / "bad.yaml").write_text("job_id: bad\ndetectorz: []\n")
    bundle.refresh()
    ids, errors = parsed(bundle)
    assert ids == dag_ids("good")
    assert len(errors) == 1
    assert "detectorz: unknown field; did you mean 'detectors'?" in errors[0]
    assert str(folder / "bad.yaml") in errors[0]
    write_job(folder, make_job("bad"))
    bundle.refresh()
    assert parsed(bundle) == (dag_ids("good", "bad"), [])


def test_a_changed_job_is_written_again_and_an_unchanged_one_is_left_alone(bundle: DefinitionBundle, folder: Path) -> None:
    write_job(folder, make_job("still"))
    write_job(folder, make_job("moving"))
    bundle.refresh()
    paths = {name: bundle.path / f"{stub_name('job', name)}.py" for name in ("still", "moving")}
    before = {name: (path.stat().st_mtime_ns, path.read_text()) for name, path in paths.items()}
    write_job(folder, make_job("moving", bucket_span="1h"))
    bundle.refresh()
    after = {name: (path.stat().st_mtime_ns, path.read_text()) for name, path in paths.items()}
    assert after["still"] == before["still"]
    assert after["moving"][1] != before["moving"][1]


def test_a_deleted_job_goes_and_leaves_nothing_behind(bundle: DefinitionBundle, folder: Path) -> None:
    path = write_job(folder, make_job("gone"))
    bundle.refresh()
    path.unlink()
    bundle.refresh()
    assert parsed(bundle) == (set(), [])
    assert [path.name for path in bundle.path.iterdir()] == [".kept"]


def test_hostile_names_never_become_paths(bundle: DefinitionBundle, folder: Path) -> None:
    for name in ("..", "a b;c", "ünï", "x" * 200, "-"):
        (folder / f"{name}.yaml").write_text("job_id: [")
    bundle.refresh()
    assert all(path.name.isascii() and len(path.name) < 80 for path in bundle.path.iterdir())
    assert len(parsed(bundle)[1]) == 5


def test_initialize_does_nothing_where_a_processor_keeps_the_stubs(bundle: DefinitionBundle, folder: Path) -> None:
    write_job(folder, make_job("one"))
    bundle.refresh()
    write_job(folder, make_job("two"))
    bundle.initialize()
    assert parsed(bundle)[0] == dag_ids("one")
    long_ago = time.time() - 3600
    os.utime(bundle.path / ".kept", (long_ago, long_ago))
    bundle.initialize()
    assert parsed(bundle)[0] == dag_ids("one", "two")


def test_initialize_in_a_task_is_cheap(bundle: DefinitionBundle, folder: Path) -> None:
    bundle.refresh()
    code = (
        "import sys; from pathlib import Path; from driftline_airflow.bundle import DefinitionBundle\n"
        "bundle = DefinitionBundle(name='definitions', refresh_interval=5); bundle.base_dir = Path(sys.argv[1])\n"
        "bundle.initialize(); print('elasticsearch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bundle.base_dir)], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"


class TestIndexedJobs:
    @pytest.fixture(autouse=True)
    def _real_cluster(self, folder: Path, cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DRIFTLINE_ELASTICSEARCH_URL", cluster)
        monkeypatch.setattr("driftline_airflow.bundle.LISTING_TIMEOUT", 60)  # a busy cluster is not one that is away

    @pytest.fixture
    def job_id(self, client: Elasticsearch, module_prefix: str) -> Iterator[str]:
        job = make_job(f"{module_prefix}indexed")
        registry.save(client, job)
        yield job.job_id
        client.options(ignore_status=404).delete(index=JOBS, id=f"job:{job.job_id}", refresh=True)

    def test_a_job_of_the_index_becomes_dags_and_goes_when_it_is_deleted(
        self, bundle: DefinitionBundle, client: Elasticsearch, job_id: str
    ) -> None:
        bundle.refresh()
        assert parsed(bundle) == (dag_ids(job_id), [])
        registry.delete(client, job_id)
        bundle.refresh()
        assert parsed(bundle) == (set(), [])

    def test_it_stays_while_the_cluster_is_down_and_files_go_on_working(
        self, bundle: DefinitionBundle, folder: Path, job_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = write_job(folder, make_job("old-file"))
        bundle.refresh()
        monkeypatch.setenv("DRIFTLINE_ELASTICSEARCH_URL", NOBODY)
        write_job(folder, make_job("new-file"))
        old.unlink()
        bundle.refresh()
        assert parsed(bundle) == (dag_ids(job_id, "new-file"), [])

    def test_a_broken_job_of_the_index_has_an_import_error_of_its_own(
        self, bundle: DefinitionBundle, client: Elasticsearch, job_id: str
    ) -> None:
        stored = client.get(index=JOBS, id=f"job:{job_id}")["_source"]
        broken = {**stored, "definition": {**stored["definition"], "bucket_span": "nonsense"}}
        client.index(index=JOBS, id=f"job:{job_id}", document=broken, refresh=True)
        bundle.refresh()
        ids, errors = parsed(bundle)
        assert ids == set()
        assert len(errors) == 1
        assert "bucket_span: 'nonsense' is not a span" in errors[0]
        assert json.loads((bundle.path / f"{stub_name('job', job_id)}.json").read_text())["origin"] == "index"
