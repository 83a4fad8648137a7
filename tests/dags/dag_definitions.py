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
