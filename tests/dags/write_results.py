"""A worker's process for one write task: the operator, as a worker runs it. The tests start it, and have it killed.

    write_results.py TASK.json [CHUNKS]

With CHUNKS it is killed, by the signal that nothing can catch, when Elasticsearch has answered that many chunks and others
are on their way: a watcher from outside that looks now and then would sometimes come too late.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from driftline.core.job import Job
from driftline.elastic import bulk
from driftline_airflow.operators import WriteResultsOperator

task = json.loads(Path(sys.argv[1]).read_text())
bulk.CHUNK_BYTES = 32 * 1024  # small, so that there are many to be killed between
if len(sys.argv) > 2:
    send, answered, last = bulk._send, itertools.count(1), int(sys.argv[2])

    def send_and_die(*args: Any) -> Any:
        answer = send(*args)
        if next(answered) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    bulk._send = send_and_die
job = Job.parse(task["job"], where="test")
operator = WriteResultsOperator(task_id="write", job=job, plan=task["plan"], scored=task["scored"])
operator.execute({"run_id": task["run"], "params": {}})
