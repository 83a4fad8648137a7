"""What every DAG of ours promises: its id, its tags, how fast it parses, and what it must not import."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
from dag_definitions import make_job, write_job

from driftline.core.errors import DefinitionError
from driftline.pipeline.jobs import list_definitions
from driftline_airflow.bundle import DefinitionBundle
from driftline_airflow.stubs import write_stubs
from driftline_dags.build import dags_of

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import DAG

JOBS = 100
HEAVY = ["elasticsearch", "fastapi", "great_expectations", "numpy", "pandas", "plotly", "prophet", "pyarrow", "scipy"]


def without_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out what comes with Driftline besides jobs."""
    for kind in ("SOURCES", "ANALYTICS", "SIGNATURES"):
        monkeypatch.setenv(f"DRIFTLINE_{kind}_DIR", str(tmp_path / "none"))


@pytest.fixture
def stubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stubs of three jobs: one by the clock, one historical, one that waits for a source."""
    jobs = tmp_path / "jobs"
    write_job(jobs, make_job("by-clock"))
    write_job(jobs, make_job("old-data", datafeed={"historical": True}))
    write_job(jobs, make_job("after-logs", datafeed={"after_source": "logs"}, forecast={"schedule": "none"}))
    monkeypatch.setenv("DRIFTLINE_JOBS_DIR", str(jobs))
    without_others(tmp_path, monkeypatch)
    write_stubs(tmp_path / "stubs", list_definitions(), keep_indexed=False)
    return tmp_path / "stubs"


@pytest.fixture
def dags(stubs: Path) -> dict[str, DAG]:
    bag = DagBag(dag_folder=str(stubs))
    assert bag.import_errors == {}
    return bag.dags


def test_each_job_has_its_three_dags(dags: dict[str, DAG]) -> None:
    jobs = ("by-clock", "old-data", "after-logs")
    assert set(dags) == {f"{job}.{stage}" for job in jobs for stage in ("train", "score", "forecast")}


def test_dags_do_not_catch_up_start_early_and_are_documented(dags: dict[str, DAG]) -> None:
    for dag in dags.values():
        assert dag.catchup is False
        assert dag.start_date.year == 2000
        assert dag.doc_md
        assert "detector 0: `count partitionfield=url.path`" in dag.doc_md
        assert {"driftline", dag.dag_id.split(".")[1], "web"} == dag.tags
        assert all(task.retries == 3 for task in dag.tasks)


def test_every_dag_survives_serialisation_and_scoring_dags_can_be_backfilled(dags: dict[str, DAG]) -> None:
    for dag in dags.values():
        stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
        assert stored.dag_id == dag.dag_id
        if dag.dag_id.endswith(".score"):
            assert stored.timetable.periodic


def test_only_reducing_tasks_have_outlets(dags: dict[str, DAG]) -> None:
    for dag in dags.values():
        assert {task.task_id for task in dag.tasks if task.outlets} <= {"promote", "write"}


def test_runs_of_a_job_overlap_but_neither_train_nor_write_at_once(dags: dict[str, DAG]) -> None:
    scoring = [dag for name, dag in dags.items() if name.endswith(".score")]
    assert scoring
    for dag in scoring:
        assert dag.max_active_runs > 1
        alone = {task.task_id for task in dag.tasks if getattr(task, "max_active_tis_per_dag", None) == 1}
        assert alone == {"plan", "write"}


def test_where_there_are_alerts_a_run_is_what_its_work_is_and_not_what_its_messages_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from driftline.core.source import Source
    from driftline_dags.ingest import ingest_dag
    from driftline_dags.score import score_dag
    from driftline_dags.train import train_dag

    source = Source.parse({"source_id": "logs", "index": "logs", "files": {"paths": "/x/*.log"}}, where="here.yaml")
    (tmp_path / "a.yaml").write_text("broken: true\n")
    monkeypatch.setenv("DRIFTLINE_ALERTS_DIR", str(tmp_path))
    for dag in (train_dag(make_job(), "x"), score_dag(make_job(), "x"), ingest_dag(source, "x")):
        stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
        leaves = {task.task_id: task for task in stored.tasks if not task.downstream_task_ids}
        assert leaves.keys() - {"all_read"} == {"worked", "told"}
        (last,) = leaves["worked"].upstream_task_ids
        assert last in stored.get_task("alert").upstream_task_ids
        assert stored.get_task("alert").trigger_rule == leaves["told"].trigger_rule == "all_done"
        assert leaves["worked"].trigger_rule == "all_success"


def test_signatures_have_two_dags_that_parse_without_what_is_heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_others(tmp_path, monkeypatch)
    monkeypatch.setenv("DRIFTLINE_JOBS_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("DRIFTLINE_SIGNATURES_DIR", str(tmp_path / "signatures"))
    (tmp_path / "signatures").mkdir()
    definition = {"signature_id": "callers", "indices": ["calls"], "term": "caller", "paused": True}
    (tmp_path / "signatures" / "a.yaml").write_text(json.dumps(definition))
    write_stubs(tmp_path / "stubs", list_definitions(), keep_indexed=False)
    (path,) = (tmp_path / "stubs").glob("*.py")
    bag = DagBag(dag_folder=str(path))
    assert bag.import_errors == {}
    assert set(bag.dags) == {"callers.train", "callers.score"}
    for dag in bag.dags.values():
        stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
        assert stored.timetable.periodic
        assert (dag.catchup, dag.start_date.year, dag.is_paused_upon_creation) == (False, 2000, True)
        assert dag.tags == {"driftline", "signatures", dag.dag_id.partition(".")[2]}
        assert all(task.retries == 3 for task in dag.tasks)
    code = f"import runpy, sys; runpy.run_path({str(path)!r}); print([each for each in {HEAVY} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_analysis_has_a_dag_of_its_steps_and_one_for_new_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_others(tmp_path, monkeypatch)
    monkeypatch.setenv("DRIFTLINE_JOBS_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("DRIFTLINE_ANALYTICS_DIR", str(tmp_path / "analytics"))
    (tmp_path / "analytics").mkdir()
    definition = {
        "analytics_id": "tags", "source": {"index": "requests"}, "dest": {"index": "requests-tags"},
        "analysis": {"classification": {"dependent_variable": "tag"}}, "inference": {"dest": "new-tags", "after_source": "logs"},
    }  # fmt: skip
    (tmp_path / "analytics" / "a.yaml").write_text(json.dumps(definition))
    write_stubs(tmp_path / "stubs", list_definitions(), keep_indexed=False)
    (path,) = (tmp_path / "stubs").glob("*.py")
    bag = DagBag(dag_folder=str(path))
    assert bag.import_errors == {}
    stored = {
        name: DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag)))) for name, dag in bag.dags.items()
    }
    assert set(stored) == {"tags.analyze", "tags.infer"}
    after = {task.task_id: task.downstream_task_ids for task in stored["tags.analyze"].tasks}
    assert after["gate"] == {"train", "write"}, "what the gate stops is not learned from"
    assert after["read"] == {"gate", "train", "evaluate", "write"}
    assert (after["train"], after["evaluate"], after["write"]) == ({"evaluate"}, {"write"}, set())
    assert stored["tags.analyze"].timetable.summary == "0 3 * * 0", "weekly, as new documents are predicted"
    waits_for = [key.uri for key, _ in stored["tags.infer"].timetable.asset_condition.iter_assets()]
    assert waits_for == ["driftline://sources/logs"]
    code = f"import runpy, sys; runpy.run_path({str(path)!r}); print([each for each in {HEAVY} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_forecast_follows_a_retrain(dags: dict[str, DAG]) -> None:
    (asset,) = dags["by-clock.train"].get_task("promote").outlets
    for job in ("by-clock", "old-data", "after-logs"):
        stored = DagSerialization.from_dict(DagSerialization.to_dict(dags[f"{job}.forecast"]))
        waits_for = [key.uri for key, _ in stored.timetable.asset_condition.iter_assets()]
        assert waits_for == [f"driftline://snapshots/{job}"]
    assert asset.uri == "driftline://snapshots/by-clock"


def test_the_dags_of_a_paused_job_begin_paused_and_others_as_airflow_is_set(dags: dict[str, DAG]) -> None:
    from driftline_dags.forecast import forecast_dag
    from driftline_dags.score import score_dag
    from driftline_dags.train import train_dag

    assert {dag.is_paused_upon_creation for dag in dags.values()} == {None}
    for build in (train_dag, score_dag, forecast_dag):
        stored = DagSerialization.to_dict(build(make_job("waiting", paused=True), "here.yaml"))
        assert DagSerialization.from_dict(stored).is_paused_upon_creation is True
    assert make_job(paused=True).version == make_job().version, "whether it is started is no part of what it finds"


def test_notes_of_a_job_are_in_its_documentation(tmp_path: Path) -> None:
    from driftline_dags.score import score_dag

    dag = score_dag(make_job(datafeed={"frequency": "1m"}), "here.yaml")
    assert "frequency 1m is below the bucket span; raised to 15m" in str(dag.doc_md)


def test_a_broken_definition_raises_its_own_message(tmp_path: Path) -> None:
    broken: dict[str, Any] = {"kind": "job", "where": "x.yaml", "definition": None, "error": "x.yaml: detectors: required"}
    (tmp_path / "job_x.json").write_text(json.dumps(broken))
    with pytest.raises(DefinitionError, match=r"^x\.yaml: detectors: required$"):
        dags_of(str(tmp_path / "job_x.py"))


def test_parsing_imports_nothing_heavy(stubs: Path) -> None:
    code = (
        "import sys, json, importlib.util\n"
        "for number, path in enumerate(sys.argv[1:]):\n"
        "    spec = importlib.util.spec_from_file_location(f'stub_{number}', path)\n"
        "    spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
    )
    paths = [str(path) for path in sorted(stubs.glob("*.py"))]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_a_hundred_jobs_parse_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any) -> None:
    for number in range(JOBS):
        write_job(tmp_path / "jobs", make_job(f"job-{number:03}"))
    monkeypatch.setenv("DRIFTLINE_JOBS_DIR", str(tmp_path / "jobs"))
    without_others(tmp_path, monkeypatch)
    began = time.perf_counter()
    write_stubs(tmp_path / "stubs", list_definitions(), keep_indexed=False)
    listed = time.perf_counter() - began
    bag = DagBag(dag_folder=str(tmp_path / "stubs"))
    assert len(bag.dags) == 3 * JOBS
    seconds = [stat.duration.total_seconds() for stat in bag.dagbag_stats]
    record_property("listing_seconds", round(listed, 3))
    record_property("parse_seconds", round(sum(seconds), 3))
    record_property("slowest_file_seconds", round(max(seconds), 3))
    print(f"\n{JOBS} jobs: listed in {listed:.2f} s, parsed in {sum(seconds):.2f} s, slowest file {max(seconds):.3f} s")
    assert sum(seconds) < 10
    # the median, for one pause of a busy machine says nothing about a file
    assert statistics.median(seconds) < 0.3


def test_the_bundle_is_one_that_airflow_can_configure() -> None:
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    assert isinstance(DagBundlesManager().get_bundle("definitions"), DefinitionBundle)
