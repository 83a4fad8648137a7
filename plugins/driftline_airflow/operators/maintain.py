"""Maintain: what is too old is removed, and scores are renormalised."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from driftline_airflow.operators.base import ClusterOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elasticsearch import Elasticsearch


class MaintainOperator(ClusterOperator):
    """Removes old months of results, superseded snapshots, expired forecasts and stale staged files of all jobs and signatures.

    Scores of results that have come again and again are lowered.

    The params `results_kept` (days) and `snapshots_kept` (a number for each job) say what is old.
    """

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.pipeline.jobs import list_learners
        from driftline.pipeline.maintain import maintain

        params = context["params"]
        kept = {"results_kept": timedelta(days=params["results_kept"]), "snapshots_kept": params["snapshots_kept"]}
        removed = maintain(client, list_learners(client), **kept)
        self.log.info("Removed, and renormalised: %s", removed)
        return removed
