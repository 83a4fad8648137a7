"""Forecast: the snapshot in force carried forward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from driftline_airflow.operators.base import JobOperator, wanted_partitions
from driftline_airflow.window import SCHEDULED, forecast_start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elasticsearch import Elasticsearch


class ForecastOperator(JobOperator):
    """Writes forecast documents of a job; the params `start`, `duration` and `partitions` narrow it.

    `all_series` takes all series, also where there are more than `forecast.max_partitions`; `expires_in` says for how long.

    One that follows a new snapshot begins where that snapshot's data ends, another where scored data ends.

    Returns `forecast_id`, `snapshot_id`, `start`, `end`, `series`, `documents`. A run by the clock is skipped while the job has
    no snapshot yet.
    """

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.core.errors import SnapshotError
        from driftline.pipeline.forecast import forecast

        job = self.definition(client, context)
        params = context["params"]
        try:
            outcome = forecast(
                client,
                job,
                start=forecast_start(context),
                duration=params.get("duration") or None,
                partitions=wanted_partitions(context),
                every=bool(params.get("all_series")),
                expires_in=params.get("expires_in") or None,
                run=context["run_id"],
                progress=self.progress(),
            )
        except SnapshotError as error:
            if context["dag_run"].run_type != SCHEDULED:
                raise
            raise AirflowSkipException(str(error)) from None
        for note in outcome["notes"]:
            self.log.warning("%s", note)
        self.log.info("%(documents)s documents for %(series)s series, %(start)s to %(end)s", outcome)
        return {key: outcome[key] for key in ("forecast_id", "snapshot_id", "start", "end", "series", "documents")}
