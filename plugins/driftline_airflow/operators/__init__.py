"""Operators: one verb a file, each a thin cover over a function of `driftline.pipeline`."""

from driftline_airflow.operators.alert import AlertOperator
from driftline_airflow.operators.analysis import (
    DocumentsGateOperator,
    EvaluateModelOperator,
    InferOperator,
    ReadDocumentsOperator,
    TrainModelOperator,
    WriteDocumentsOperator,
)
from driftline_airflow.operators.fit import FitBatchOperator
from driftline_airflow.operators.forecast import ForecastOperator
from driftline_airflow.operators.gate import QualityGateOperator
from driftline_airflow.operators.index import FinishIngestOperator, IndexRowsOperator, PendingFilesOperator
from driftline_airflow.operators.maintain import MaintainOperator
from driftline_airflow.operators.plan import PlanScoreOperator
from driftline_airflow.operators.promote import PromoteSnapshotOperator
from driftline_airflow.operators.read import ReadSeriesOperator
from driftline_airflow.operators.score import ScoreBatchOperator
from driftline_airflow.operators.signatures import ScoreSignaturesOperator, TrainSignaturesOperator
from driftline_airflow.operators.write import WriteResultsOperator

__all__ = [
    "AlertOperator",
    "DocumentsGateOperator",
    "EvaluateModelOperator",
    "FinishIngestOperator",
    "FitBatchOperator",
    "ForecastOperator",
    "IndexRowsOperator",
    "InferOperator",
    "MaintainOperator",
    "PendingFilesOperator",
    "PlanScoreOperator",
    "PromoteSnapshotOperator",
    "QualityGateOperator",
    "ReadDocumentsOperator",
    "ReadSeriesOperator",
    "ScoreBatchOperator",
    "ScoreSignaturesOperator",
    "TrainModelOperator",
    "TrainSignaturesOperator",
    "WriteDocumentsOperator",
    "WriteResultsOperator",
]
