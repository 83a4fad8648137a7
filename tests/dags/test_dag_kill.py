"""Kill -9 in the middle of a score task: after the retry the results are those of an undisturbed run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dag_definitions import make_job
from dag_traffic import END, TRAINED, index_traffic

from driftline.core.timespan import Window
from driftline.elastic import results
from driftline.elastic.indices import RESULTS
from driftline.pipeline.read import batches
from driftline.pipeline.score import prepare, read_plan, score_batch
from driftline.pipeline.train import train

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

WORKER = Path(__file__).with_name("write_results.py")
PATHS = tuple(f"/page/{number}" for number in range(6))


@pytest.fixture(scope="module")
def task(client: Elasticsearch, own_jobs: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A write task with its inputs staged: a week of six series with the bounds of every bucket, about a thousand documents."""
    folder = tmp_path_factory.mktemp("kill")
    job = make_job(f"{own_jobs}killed", bucket_span="1h", training={"window": "21d"}, model_plot_config={"enabled": True})
    index_traffic(client, job.datafeed.indices[0], PATHS)
    train(client, job, as_of=TRAINED)
    plan = prepare(client, job, Window(TRAINED, END), model="as_of", run="test")
    handle = read_plan(client, job, plan, uri=str(folder / "series.parquet"))
    scored = [
        score_batch(client, job, batch, plan, out=str(folder / f"scored-{batch['first']}.json")) for batch in batches(handle, 3)
    ]
    path = folder / "task.json"
    path.write_text(json.dumps({"job": job.as_dict(), "plan": plan, "scored": scored, "run": "test"}))
    return path


def work(task: Path, *how: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(WORKER), str(task), *how], stderr=subprocess.PIPE)


def finish(task: Path) -> None:
    process = work(task)
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()


def documents(client: Elasticsearch, task: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """All results of the job: index and id → source."""
    query = {"term": {"job_id": json.loads(task.read_text())["job"]["job_id"]}}
    client.indices.refresh(index=f"{RESULTS}-*")
    return {(hit["_index"], hit["_id"]): hit["_source"] for hit in results.scan(client, query)}


def kill_in_the_middle(client: Elasticsearch, task: Path, chunks: int) -> int:
    """Has the worker killed when so many chunks are written; returns how many documents there are then."""
    process = work(task, str(chunks))
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said.decode()
    return len(documents(client, task))


@pytest.mark.parametrize("chunks", [1, 8])
def test_after_a_kill_and_a_retry_the_documents_are_those_of_an_undisturbed_run(
    client: Elasticsearch, task: Path, chunks: int
) -> None:
    finish(task)
    undisturbed = documents(client, task)
    assert len(undisturbed) > 1000
    job_id = json.loads(task.read_text())["job"]["job_id"]
    results.delete(client, f"{RESULTS}-*", {"term": {"job_id": job_id}})
    there = kill_in_the_middle(client, task, chunks)
    assert 0 < there < len(undisturbed)
    finish(task)
    assert documents(client, task) == undisturbed


def test_a_kill_while_older_results_are_replaced_is_made_good_as_well(client: Elasticsearch, task: Path) -> None:
    finish(task)
    undisturbed = documents(client, task)
    keys = sorted(undisturbed)
    # as an earlier run over other data left it: some documents that will not come again, some that are missing
    stale = {**undisturbed[keys[0]], "record_score": 99.0}
    for number in range(50):
        client.index(index=keys[0][0], id=f"stale-{number}", document=stale)
    for index, id_ in keys[1::2]:
        client.delete(index=index, id=id_)
    there = len(documents(client, task))
    after = kill_in_the_middle(client, task, 4)
    assert there < after < len(undisturbed) + 50
    finish(task)
    assert documents(client, task) == undisturbed


def test_two_workers_at_once_leave_what_one_would(client: Elasticsearch, task: Path) -> None:
    finish(task)
    undisturbed = documents(client, task)
    both = [work(task), work(task)]
    for process in both:
        process.communicate(timeout=timedelta(minutes=2).total_seconds())
        assert process.returncode == 0
    assert documents(client, task) == undisturbed
