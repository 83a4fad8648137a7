"""`<analytics>.analyze`: read → gate → train → evaluate → write; and `<analytics>.infer`: predictions for new documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import DAG

from driftline_airflow.operators import (
    DocumentsGateOperator,
    EvaluateModelOperator,
    InferOperator,
    ReadDocumentsOperator,
    TrainModelOperator,
    WriteDocumentsOperator,
)
from driftline_airflow.schedules import at, infer_schedule
from driftline_dags.common import defaults, time_param

if TYPE_CHECKING:
    from driftline.core.analysis import Analysis


def analysis_dags(analysis: Analysis, where: str) -> list[DAG]:
    """The DAGs of an analysis: the second only where it says what of new documents."""
    with DAG(
        **defaults(analysis.analytics_id, "analyze", groups=["analytics", analysis.type]),
        description=f"Analyses {analysis.analytics_id}" + (f": {analysis.description}" if analysis.description else ""),
        doc_md=_doc(analysis, "Learns from documents, evaluates what was learned, and writes them with predictions.", where),
        schedule=at(analysis.retrain),
        max_active_runs=1,
    ) as analyze:
        handle = ReadDocumentsOperator(task_id="read", analysis=analysis).output
        verdict = DocumentsGateOperator(task_id="gate", analysis=analysis, handle=handle)
        trained = TrainModelOperator(task_id="train", analysis=analysis, handle=handle)
        verdict >> trained
        result = EvaluateModelOperator(task_id="evaluate", analysis=analysis, handle=handle, made=trained.output).output
        WriteDocumentsOperator(task_id="write", analysis=analysis, handle=handle, result=result, verdict=verdict.output)
    if analysis.inference is None:
        return [analyze]
    with DAG(
        **defaults(analysis.analytics_id, "infer", groups=["analytics", analysis.type]),
        description=f"Predicts for {analysis.analytics_id}",
        doc_md=_doc(analysis, "Gives new documents predictions by the model in force.", where),
        schedule=infer_schedule(analysis.inference),
        params={
            "start": time_param("Documents from then on. Default: an hour before the last inference ended."),
            "end": time_param("Documents before then. Default: now."),
        },
        max_active_runs=1,
    ) as infer:
        InferOperator(task_id="infer", analysis=analysis)
    return [analyze, infer]


def _doc(analysis: Analysis, does: str, where: str) -> str:
    """The page in the UI."""
    lines = [
        f"**{does}**",
        "",
        analysis.description,
        "",
        f"Analysis `{analysis.analytics_id}`, version `{analysis.version}`, defined in `{where}`.",
        "",
        f"- {analysis.type.replace('_', ' ')}"
        + (f" of `{analysis.supervised.dependent_variable}`" if analysis.supervised else ""),
        f"- reads `{', '.join(analysis.source.index)}`, writes `{analysis.dest.index}`",
    ]
    return "\n".join(lines)
