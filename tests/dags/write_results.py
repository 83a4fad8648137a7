"""A worker's process for one write task: the operator, as a worker runs it. The tests start it, and kill it.

Small chunks, so that a kill falls between two of them and not before the first or after the last.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from driftline.core.job import Job
from driftline.elastic import bulk
from driftline_airflow.operators import WriteResultsOperator

bulk.CHUNK_BYTES = 32 * 1024

task = json.loads(Path(sys.argv[1]).read_text())
job = Job.parse(task["job"], where="test")
operator = WriteResultsOperator(task_id="write", job=job, plan=task["plan"], scored=task["scored"])
operator.execute({"run_id": task["run"], "params": {}})
