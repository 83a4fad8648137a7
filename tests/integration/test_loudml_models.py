"""A loudml model on a real Elasticsearch: imported, looked at, given back; and what it needs that the cluster has not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from test_cli import refused, run

from driftline.core.errors import ClusterError
from driftline.core.timespan import Window
from driftline.elastic import results
from driftline.elastic.bulk import bulk, index_action
from driftline.pipeline.imports import import_jobs
from driftline.pipeline.jobs import reset
from driftline.pipeline.score import score
from driftline.pipeline.train import train

START, HOUR = datetime(2026, 3, 1, tzinfo=UTC), timedelta(hours=1)
DAYS, WILD = 16, 15 * 24 + 7
FIELDS = {"@timestamp": {"type": "date"}, "caller": {"type": "keyword"}, "seconds": {"type": "double"}}


@pytest.fixture(scope="module")
def index(client, module_prefix):
    """Calls of two callers; in one hour the first's are of all lengths."""
    rng, name = np.random.default_rng(4), f"{module_prefix}calls"
    client.indices.create(index=name, mappings={"properties": FIELDS}, settings={"number_of_replicas": 0})
    rows = [
        {
            "@timestamp": int((START + hour * HOUR).timestamp() * 1000) + int(rng.integers(0, 3_600_000)),
            "caller": caller,
            "seconds": float(rng.normal(100, 200 if (hour, caller) == (WILD, "anna") else 10)),
        }
        for hour in range(DAYS * 24)
        for caller in ("anna", "otto")
        for _ in range(12)
    ]
    bulk(client, (index_action(name, None, row) for row in rows))
    client.indices.refresh(index=name)
    return name


@pytest.fixture
def model(index, prefix, tmp_path):
    def write(*features, **changes):
        data = {"name": f"{prefix}model", "index": index, "interval": 3600, "bucket_interval": 3600, "span": 86400 * 28}
        data |= {"term": "caller", "features": list(features), **changes}
        path = tmp_path / "model.json"
        path.write_text(json.dumps(data))
        return path, data

    return write


SPREAD = {"name": "spread", "metric": "std_deviation", "field": "seconds"}


def job_of(path):
    """The job that a model becomes, scored when asked for."""
    (made,) = import_jobs(None, [path])
    assert made.job is not None, made.notes
    return made.job.model_copy(update={"datafeed": made.job.datafeed.model_copy(update={"on_request": True})})


def test_a_model_is_saved_by_the_command_and_given_back(model, prefix):
    path, data = model(SPREAD, {"name": "calls", "metric": "count", "field": "seconds"})
    done = run("jobs", "import", path, "--json")
    (entry,) = json.loads(done.stdout)
    assert (entry["job_id"], entry["status"]) == (f"{prefix}model", "imported_with_notes")
    assert entry["notes"] == ["its DAGs begin paused, as models do in loudml: start them in Airflow"]
    try:
        assert json.loads(run("jobs", "export", f"{prefix}model", "--to", "loudml").stdout) == data
        shown = run("jobs", "export", f"{prefix}model")
        assert json.loads(shown.stdout)["analysis_config"]["detectors"][0]["function"] == "varp"
        assert "detectors.0: Elastic has no function 'std_deviation'; 'varp' looks at its square instead" in shown.stderr
        assert "paused is Driftline's own: it is not exported" in shown.stderr
    finally:
        run("jobs", "delete", f"{prefix}model", "--yes")


def test_a_model_finds_what_was_planted(client, model):
    job = job_of(model(SPREAD, {"name": "calls", "metric": "count", "field": "seconds"})[0])
    train(client, job, as_of=START + 15 * 24 * HOUR)
    score(client, job, window=Window(START + 15 * 24 * HOUR, START + DAYS * 24 * HOUR))
    top = results.top_records(client, job.job_id, limit=1)[0]
    reset(client, job.job_id)
    assert (top["detector_index"], top["partition_field_value"], top["function"]) == (0, "anna", "std_deviation")
    assert top["timestamp"] == (START + WILD * HOUR).timestamp() * 1000


def test_a_script_that_the_cluster_cannot_run_is_told_by_its_capability(client, model):
    job = job_of(model({"name": "twice", "metric": "avg", "script": "doc['seconds'].value * 2"})[0])
    with pytest.raises(ClusterError, match="this cluster cannot do Painless scripts") as caught:
        train(client, job, as_of=START + 15 * 24 * HOUR)
    assert caught.value.exit_code == 2
    assert "A full Elasticsearch can" in caught.value.fix


def test_a_model_that_is_wrong_is_refused_and_a_form_that_is_none(model, tmp_path):
    path, _ = model({"name": "a", "metric": "p95", "field": "seconds"})
    done = run("jobs", "import", path, "--dry-run", "--json")
    assert done.returncode == 1
    (entry,) = json.loads(done.stdout)
    assert (entry["status"], entry["job_id"] is not None) == ("refused", True)
    assert "features.0.metric: Input should be 'count', 'min', 'max', 'sum', 'avg', 'variance' or" in entry["notes"][0]
    code, error = refused("jobs", "export", "demo-hosts", "--to", "prophet")
    assert (code, error["expected"]) == (2, "elastic or loudml"), error
