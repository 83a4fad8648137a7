"""What an analysis found: its evaluation, pages of documents with their predictions, a part of them for charts, one explained."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query

from driftline.pipeline.predicted import DEEP, PAGE, SAMPLE, Part, Sort, Wanted
from driftline_airflow.web.access import ClusterDep, routes
from driftline_airflow.web.api.analytics import AnalysisDep

router = routes(prefix="/analytics/{analytics_id}", tags=["analytics"])
Value = Annotated[str | None, Query(max_length=32_766)]
DocumentId = Annotated[str, Path(max_length=512)]


def wanted(
    predicted: Value = None,
    actual: Value = None,
    errors: Annotated[bool, Query(description="Only those that were predicted wrongly.")] = False,
    part: Annotated[Part | None, Query(description="Documents that were learned from, held back, or have no label.")] = None,
    field: Annotated[str | None, Query(max_length=500, description="A field that must have `value`.")] = None,
    value: Value = None,
    min_score: Annotated[float, Query(ge=0, le=1, description="Outliers of at least this score.")] = 0.0,
) -> Wanted:
    """Which documents the request is about."""
    return Wanted(predicted, actual, errors, part, field or None, value, min_score)


WantedDep = Annotated[Wanted, Depends(wanted)]


@router.get("/evaluation")
def evaluation(client: ClusterDep, analysis: AnalysisDep) -> dict[str, Any]:
    """How good the last run's predictions are on the documents that it held back; of outliers, how the scores lie."""
    from driftline.pipeline.predicted import evaluation as found

    return found(client, analysis)


@router.get("/results")
def results(
    client: ClusterDep,
    analysis: AnalysisDep,
    choice: WantedDep,
    sort: Annotated[Sort, Query(description="`errors`: what was predicted wrongly first, the worst of all.")] = "errors",
    desc: bool = True,
    size: Annotated[int, Query(ge=1, le=PAGE)] = 50,
    first: Annotated[int, Query(ge=0, le=DEEP - PAGE)] = 0,
) -> dict[str, Any]:
    """A page of documents with their predictions."""
    from driftline.pipeline.predicted import page

    found = page(client, analysis, choice, sort=sort, descending=desc, size=size, first=first)
    return {"analytics_id": analysis.analytics_id, "index": analysis.dest.index, **found}


@router.get("/sample")
def sampled(
    client: ClusterDep, analysis: AnalysisDep, choice: WantedDep, size: Annotated[int, Query(ge=1, le=SAMPLE)] = SAMPLE
) -> dict[str, Any]:
    """Some documents for charts: predicted and actual numbers of a regression, fields and scores of outliers."""
    from driftline.pipeline.predicted import sample

    return {"analytics_id": analysis.analytics_id, **sample(client, analysis, choice, size=size)}


@router.get("/results/{doc_id:path}/explain")
def explain(client: ClusterDep, analysis: AnalysisDep, doc_id: DocumentId) -> dict[str, Any]:
    """What mattered for one document's prediction, computed by the model that gave it."""
    from driftline.pipeline.predicted import explanation

    return explanation(client, analysis, doc_id)
