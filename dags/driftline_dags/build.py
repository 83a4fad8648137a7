"""From a definition on disk to its DAGs: called by each stub when Airflow parses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from driftline.core.errors import DefinitionError
from driftline.core.job import Job

if TYPE_CHECKING:
    from airflow.sdk import DAG


def dags_of(stub: str) -> dict[str, DAG]:
    """The DAGs of the definition beside a stub, by DAG id.

    Raises:
        DefinitionError: The definition is broken; its message becomes the import error of this one file.
    """
    found = json.loads(Path(stub).with_suffix(".json").read_text(encoding="utf-8"))
    if found["error"] is not None:
        raise DefinitionError(found["error"])
    where = found["where"]
    if found["kind"] == "source":
        from driftline.core.source import Source
        from driftline_dags.ingest import ingest_dag

        dags = [ingest_dag(Source.parse(found["definition"], where=where, stored=True), where)]
    elif found["kind"] == "analytics":
        from driftline.core.analysis import Analysis
        from driftline_dags.analyze import analysis_dags

        dags = analysis_dags(Analysis.parse(found["definition"], where=where, stored=True), where)
    elif found["kind"] == "signatures":
        from driftline.core.signature import Signatures
        from driftline_dags.signatures import signature_dags

        dags = signature_dags(Signatures.parse(found["definition"], where=where, stored=True), where)
    else:
        from driftline_dags.forecast import forecast_dag
        from driftline_dags.score import score_dag
        from driftline_dags.train import train_dag

        job = Job.parse(found["definition"], where=where, stored=True)
        dags = [train_dag(job, where), score_dag(job, where), forecast_dag(job, where)]
    return {dag.dag_id: dag for dag in dags}
