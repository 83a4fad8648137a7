"""Signatures: learn how entities behave, and score those that behave otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from driftline_airflow.operators.base import ClusterOperator
from driftline_airflow.window import signature_window, training_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elasticsearch import Elasticsearch

    from driftline.core.signature import Signatures


class SignaturesOperator(ClusterOperator):
    """Base of the operators that work for signatures.

    Args:
        signatures: The definition.
        kwargs: As `ClusterOperator` takes them.
    """

    def __init__(self, *, signatures: Signatures, **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's arguments
        super().__init__(**kwargs)
        self.signatures = signatures


class TrainSignaturesOperator(SignaturesOperator):
    """Learns the long-term signatures, as of the param `as_of`, from `start` on, grouping `limit` profiles.

    Returns `snapshot_id`, `entities`, `groups`, `window`.
    """

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.pipeline.signatures import train

        params = context["params"]
        asked = {name: params.get(name) or None for name in ("start", "limit")}
        outcome = train(
            client, self.signatures, as_of=training_time(context), run=context["run_id"], progress=self.progress(), **asked
        )
        for note in outcome.pop("notes"):
            self.log.warning("%s", note)
        self.log.info("%(entities)s entities in groups of %(groups)s: snapshot %(snapshot_id)s", outcome)
        return outcome


class ScoreSignaturesOperator(SignaturesOperator):
    """Scores all entities over the run's interval; the params `start`, `end`, `interval`, `threshold`, `model` say otherwise.

    Returns `start`, `end`, `interval`, `scored`, `entities`, `records`, `anomalous`. Skips the run when there is nothing new.
    """

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.pipeline.signatures import score

        params = context["params"]
        window = signature_window(context, self.signatures, client)
        if window.empty:
            raise AirflowSkipException(f"nothing to score: no interval is complete between {window}")
        outcome = score(
            client,
            self.signatures,
            window,
            interval=params.get("interval") or None,
            threshold=params.get("threshold"),
            model=params.get("model") or "as_of",
            run=context["run_id"],
            progress=self.progress(),
        )
        for note in outcome.pop("notes"):
            self.log.warning("%s", note)
        self.log.info("%(anomalous)s of %(entities)s entities are anomalous, %(records)s records", outcome)
        return outcome
