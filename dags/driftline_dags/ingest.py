"""`<source>.ingest`: what is new → parse, gate and index, one mapped task a file → conclude."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TriggerRule

from driftline_airflow.operators import FinishIngestOperator, IndexRowsOperator, PendingFilesOperator
from driftline_airflow.schedules import cron, source_asset
from driftline_dags.common import alerted, defaults

if TYPE_CHECKING:
    from driftline.core.source import Source

FILES_AT_ONCE = 2  # of one source: parsing is bound by the processor, and other work must not wait for it


def ingest_dag(source: Source, where: str) -> DAG:
    """The ingest DAG of a source."""
    named = f"Source `{source.source_id}`, defined in `{where}`."
    with DAG(
        **defaults(source.source_id, "ingest"),
        description=f"Ingests {source.source_id}" + (f": {source.description}" if source.description else ""),
        doc_md=f"**Ingests what is new in a source.**\n\n{source.description}\n\n{named}",
        schedule=cron(source.schedule),
        max_active_runs=1,
    ) as dag:
        files = PendingFilesOperator(task_id="pending", source=source).output
        indexed = IndexRowsOperator.partial(task_id="ingest_file", source=source, max_active_tis_per_dagrun=FILES_AT_ONCE).expand(
            handle=files
        )
        # a file that cannot be read must not keep the others from those who wait for them …
        finished = FinishIngestOperator(
            task_id="finish",
            source=source,
            results=indexed.output,
            outlets=[source_asset(source.source_id)],
            trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
        )
        # … but the run has failed, and says so
        indexed >> EmptyOperator(task_id="all_read")
        alerted(finished, source_id=source.source_id)
    return dag
