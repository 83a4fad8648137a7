"""Definitions that the tests of the DAG side share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from driftline.core.job import Job

if TYPE_CHECKING:
    from pathlib import Path


PASSWORDS = {"admin": "admin-of-tests", "viewer": "viewer-of-tests"}


def make_job(job_id: str = "web-requests", **changes: Any) -> Job:
    data: dict[str, Any] = {
        "job_id": job_id,
        "description": "Requests by path",
        "groups": ["web"],
        "bucket_span": "15m",
        "detectors": [{"function": "count", "partition_field_name": "url.path"}],
        "datafeed": {"indices": [f"{job_id}-data"], "query_delay": "60s"},
    }
    for key, value in changes.items():
        data[key] = {**data[key], **value} if isinstance(value, dict) and isinstance(data.get(key), dict) else value
    return Job.parse(data, where="test")


def write_job(folder: Path, job: Job) -> Path:
    """As a job file: JSON is YAML too."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{job.job_id}.yaml"
    path.write_text(json.dumps(job.as_dict()))
    return path


def airflow_knows(job_id: str) -> dict[str, Any]:
    """Does what the DAG processor does once it has seen a job that is new, and gives the job's DAGs."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    manager = DagBundlesManager()
    manager.sync_bundles_to_db()
    bundle = manager.get_bundle("definitions")
    bundle.initialize()
    (stub,) = [path for path in bundle.path.rglob("*.py") if job_id.replace("-", "_") in path.stem]
    bag = DagBag(dag_folder=str(stub), bundle_path=bundle.path, bundle_name="definitions")
    assert bag.import_errors == {}
    sync_bag_to_db(bag, "definitions", None)
    return dict(bag.dags)
