"""Plan a scoring run: which interval, with which snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from driftline_airflow.operators.base import JobOperator
from driftline_airflow.window import score_window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elasticsearch import Elasticsearch


class PlanScoreOperator(JobOperator):
    """Resolves the run's interval and chooses its snapshots; trains first where there is none.

    Returns the plan: `start`, `end`, `read_start`, `segments`, and `renewed`: whether it had to make what is now the job's
    newest snapshot. Skips the run when there is nothing new to score.
    """

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.elastic.snapshots import manifests
        from driftline.pipeline.score import prepare

        job = self.definition(client, context)
        window = score_window(context, job, client)
        if window.empty:
            raise AirflowSkipException(f"nothing to score: no bucket is complete between {window}")
        self.log.info("Scoring %s (%s buckets)", window, window.buckets(job.bucket_span))
        before = {manifest["snapshot_id"] for manifest in manifests(client, job.job_id)}
        model = context["params"].get("model") or "as_of"
        plan = prepare(client, job, window, model=model, run=context["run_id"], progress=self.progress())
        for note in plan["notes"]:
            self.log.info("%s", note)
        mine = [manifest for manifest in manifests(client, job.job_id) if manifest["job_version"] == job.version]
        valid = [manifest for manifest in mine if manifest["detail"]["valid"]]
        newest = max(valid, key=lambda manifest: manifest["training_end"])["snapshot_id"]
        return {**plan, "renewed": newest not in before}
