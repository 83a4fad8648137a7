"""The steps of an analysis of documents: read, gate, train, evaluate, write; and predictions for new documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from driftline.core.analysis import Analysis
from driftline_airflow.links import QualityReportLink, ResultsLink
from driftline_airflow.operators.base import ClusterOperator
from driftline_airflow.operators.gate import Gate
from driftline_airflow.window import BACKFILL, SCHEDULED, data_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from elasticsearch import Elasticsearch


class AnalysisOperator(ClusterOperator):
    """Base of the operators that work for an analysis.

    Args:
        analysis: The analysis, or the id of one.
        kwargs: As `ClusterOperator` takes them.
    """

    def __init__(self, *, analysis: Analysis | str, **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's arguments
        super().__init__(**kwargs)
        self.analysis = analysis

    def definition(self, client: Elasticsearch, made: Mapping[str, Any] | None = None) -> Analysis:
        """The analysis itself, in the version for which an earlier task of the run `made` what this one takes.

        Raises:
            ChangedError: It was changed since.
        """
        from driftline.core.errors import ChangedError
        from driftline.pipeline.jobs import load_analysis

        analysis = self.analysis if isinstance(self.analysis, Analysis) else load_analysis(self.analysis, client)
        if made is not None and made["version"] != analysis.version:
            raise ChangedError(
                "the analysis was changed while this run was under way",
                where=f"analytics {analysis.analytics_id}",
                fix="Start a new run, or clear all tasks of this one.",
            )
        return analysis


class ReadDocumentsOperator(AnalysisOperator):
    """Reads the documents and stages them.

    Returns a handle: `uri`, `rows`, `fields`, `label`, `read_at`, `version`.
    """

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.pipeline.analyze import read

        handle = read(client, self.definition(client), uri=self.staged(context, "documents.parquet"), progress=self.progress())
        self.log.info("%s documents of %s fields", handle["rows"], len(handle["fields"]))
        return handle


class StagedOperator(AnalysisOperator):
    """Base of the operators that work on staged documents.

    Args:
        handle: What `ReadDocumentsOperator` returned.
        kwargs: As `AnalysisOperator` takes them.
    """

    template_fields: Sequence[str] = ("handle",)

    def __init__(self, *, handle: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's arguments
        super().__init__(**kwargs)
        self.handle = handle


class DocumentsGateOperator(Gate, StagedOperator):
    """Checks staged documents with great-expectations; the verdict `stop` fails the run with its reasons.

    Returns `verdict`, `report_id`, `report`, `failed`.
    """

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.pipeline.analyze import gate

        analysis = self.definition(client, self.handle)
        return self.judged(lambda: gate(client, analysis, self.handle, run=context["run_id"]))


class TrainModelOperator(StagedOperator):
    """Learns from a part of the documents; of outliers, scores all.

    Returns a handle: `uri`, `model_id`, `version`, and what was learned.
    """

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.pipeline.analyze import train

        out = self.staged(context, "model")
        return train(self.definition(client, self.handle), self.handle, out=out, progress=self.progress())


class EvaluateModelOperator(StagedOperator):
    """Gives all documents predictions, and judges those of the documents that were held back.

    Args:
        made: What `TrainModelOperator` returned.
        kwargs: As `StagedOperator` takes them.

    Returns a handle: `uri`, `model`, `facts`, `model_id`, `promoted`, `reason`.
    """

    template_fields: Sequence[str] = ("handle", "made")

    def __init__(self, *, made: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's arguments
        super().__init__(**kwargs)
        self.made = made

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.pipeline.analyze import evaluate

        analysis, out = self.definition(client, self.handle), self.staged(context, "results.parquet")
        return evaluate(client, analysis, self.handle, self.made, out=out, progress=self.progress())


class WriteDocumentsOperator(StagedOperator):
    """Writes the documents with their results, and puts the model in force unless it is worse than the one that is.

    Args:
        result: What `EvaluateModelOperator` returned.
        verdict: What `DocumentsGateOperator` returned.
        kwargs: As `StagedOperator` takes them.

    Returns `written`, `removed`, `model_id`, `promoted`, `reason`.
    """

    operator_extra_links = (ResultsLink(),)
    template_fields: Sequence[str] = ("handle", "result", "verdict")

    def __init__(self, *, result: dict[str, Any], verdict: dict[str, Any] | None = None, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(**kwargs)
        self.result, self.verdict = result, verdict

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.pipeline.analyze import write

        outcome = write(
            client, self.definition(client, self.handle), self.handle, self.result,
            run=context["run_id"], verdict=self.verdict, progress=self.progress(),
        )  # fmt: skip
        self.log.info("%(written)s documents written; model %(model_id)s: %(reason)s", outcome)
        return {name: value for name, value in outcome.items() if name != "evaluation"}


class InferOperator(AnalysisOperator):
    """Gives new documents predictions by the model in force.

    A backfill means exactly its interval, other runs what is new; the params `start` and `end` come first. A run by the clock is
    skipped while there is no model.

    Returns `documents`, `written`, `model_id`, `predicted`, `start`, `end`.
    """

    operator_extra_links = (QualityReportLink(),)

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's arguments
        super().__init__(**kwargs)
        self.report_id: str | None = None

    def work(self, context: Mapping[str, Any], client: Elasticsearch) -> dict[str, Any]:
        """See the class."""
        from driftline.core.errors import NoModelError
        from driftline.pipeline.infer import infer

        run, params = context["dag_run"], context["params"]
        start, end = params.get("start"), params.get("end")
        interval = data_interval(run) if run.run_type == BACKFILL else None
        if interval and not (start or end):
            start, end = interval.start, interval.end
        try:
            outcome = infer(
                client, self.definition(client), start=start, end=end, run=context["run_id"], progress=self.progress()
            )
        except NoModelError as error:
            if run.run_type != SCHEDULED:
                raise
            raise AirflowSkipException(str(error)) from None
        self.report_id = outcome.get("quality", {}).get("report_id")
        self.log.info("%(documents)s documents, by model %(model_id)s: %(predicted)s", outcome)
        return {name: outcome[name] for name in ("documents", "written", "model_id", "predicted", "start", "end")}
