"""`<signatures>.train` and `<signatures>.score`: how entities behave, and which behave otherwise now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import DAG, Param

from driftline.core.timespan import format_span
from driftline_airflow.operators import ScoreSignaturesOperator, TrainSignaturesOperator
from driftline_airflow.schedules import cron, signature_schedule
from driftline_dags.common import defaults, time_param
from driftline_dags.score import PARAMS as OF_SCORE
from driftline_dags.train import PARAMS as OF_TRAIN

if TYPE_CHECKING:
    from driftline.core.signature import Signatures


def signature_dags(signatures: Signatures, where: str) -> list[DAG]:
    """The DAGs of signatures."""
    name, tags = signatures.signature_id, ["signatures"]
    with DAG(
        **defaults(name, "train", groups=tags, paused=signatures.paused),
        description=f"Learns the signatures {name}",
        doc_md=_doc(signatures, "Learns the long-term signatures, and groups them.", where),
        schedule=cron(signatures.training_schedule),
        params={
            **OF_TRAIN,
            "start": time_param("Learn from what came from then on. Default: as much as window says."),
            "limit": Param(None, type=["null", "integer"], minimum=10, description="So many random profiles are grouped."),
        },
        max_active_runs=1,
    ) as train:
        TrainSignaturesOperator(task_id="train", signatures=signatures)
    with DAG(
        **defaults(name, "score", groups=tags, paused=signatures.paused),
        description=f"Scores the signatures {name}",
        doc_md=_doc(signatures, "Compares short-term signatures with long-term ones.", where),
        schedule=signature_schedule(signatures),
        params={
            **{name: OF_SCORE[name] for name in ("start", "end", "model")},
            "interval": Param(None, type=["null", "string"], description="How often, such as 24h for a quick scan."),
            "threshold": Param(None, type=["null", "number"], minimum=0, maximum=100, description="Least score of an anomaly."),
        },
        max_active_runs=1,
    ) as score:
        ScoreSignaturesOperator(task_id="score", signatures=signatures)
    return [train, score]


def _doc(signatures: Signatures, does: str, where: str) -> str:
    """The page in the UI."""
    lines = [
        f"**{does}**",
        "",
        signatures.description,
        "",
        f"Signatures `{signatures.signature_id}`, version `{signatures.version}`, defined in `{where}`.",
        "",
        f"- of each `{signatures.term}` in `{', '.join(signatures.indices)}`, at most {signatures.max_terms}",
        f"- {format_span(signatures.span)} against {format_span(signatures.window)}, every {format_span(signatures.interval)}",
        f"- anomalies from a score of {signatures.threshold:g} on",
    ]
    return "\n".join([*lines, *(f"- note: {note}" for note in signatures.notes)])
