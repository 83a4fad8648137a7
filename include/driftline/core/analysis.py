"""An analysis of documents: classification, regression or outliers. Elastic's vocabulary of data-frame analytics jobs."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from driftline.core.definition import Definition, check_name, newly_put
from driftline.core.errors import SourceIndexError
from driftline.core.job import NO_SCHEDULE, Cron
from driftline.core.rules import Identifier
from driftline.core.source import IndexName

AnalysisType = Literal["classification", "regression", "outlier_detection"]
MAX_CLASSES = 100  # Elastic's limit
WEEKLY = "0 3 * * 0"
WRITTEN = {
    "prediction_probability", "prediction_score", "top_classes", "feature_importance", "is_training", "model_id", "driftline",
}  # fmt: skip
NOT_READ = {"_id", "_index", "_source"}

_MEANT = {"analytics_id", "source", "analysis", "analyzed_fields"}


def _field(value: str) -> str:
    check_name(value, "a field")
    if not value or value in NOT_READ:
        raise ValueError(f"'{value}' is no field of documents")
    return value


FieldName = Annotated[str, AfterValidator(_field)]


class Read(Definition):
    """Which documents are analysed."""

    index: list[str] = Field(min_length=1, description="Index names or patterns.")
    query: dict[str, Any] = Field(
        default_factory=lambda: {"match_all": {}}, description="An Elasticsearch query; only what matches is read."
    )

    @field_validator("index", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class Dest(Definition):
    """Where the documents go, with what was found."""

    index: IndexName = Field(description="The index that takes a copy of each document; it must be another than those read.")
    results_field: FieldName = Field("ml", description="The object that holds what was found.")


class _Supervised(Definition):
    """What classification and regression have in common."""

    dependent_variable: FieldName = Field(description="The field that is predicted. Documents without it are predicted only.")
    training_percent: float = Field(
        80, description="The share of labelled documents that is learned from; the others are held back to evaluate."
    )
    prediction_field_name: FieldName | None = Field(None, description="Default: `<dependent_variable>_prediction`.")
    num_top_feature_importance_values: int = Field(
        0, ge=0, le=1000, description="For each document, so many features that mattered most; takes as long as training."
    )
    randomize_seed: int = Field(42, ge=0, le=2**31 - 1, description="The same seed, the same split and the same model.")
    early_stopping_enabled: bool = Field(True, description="End a training when more trees do not help.")
    max_trees: int | None = Field(None, ge=1, le=5000, description="Trees at most. Default: 2000, stopped early.")
    eta: float | None = Field(None, ge=0.001, le=1, description="How much a tree adds. Default: searched for.")
    gamma: float | None = Field(None, ge=0, description="What a split must gain. Default: searched for.")
    lambda_: float | None = Field(None, ge=0, alias="lambda", description="How leaves are shrunk. Default: searched for.")
    feature_bag_fraction: float | None = Field(None, gt=0, le=1, description="Features a tree may use. Default: searched for.")
    downsample_factor: float | None = Field(None, gt=0, le=1, description="Documents a tree learns from. Default: searched for.")
    num_leaves: int | None = Field(None, ge=2, le=4096, description="Leaves of a tree. Default: searched for.")
    max_optimization_rounds_per_hyperparameter: int = Field(
        2, ge=0, le=20, description="How long hyperparameters are searched for: so many rounds for each; 0 takes the defaults."
    )

    @field_validator("training_percent")
    @classmethod
    def _both_sides(cls, value: float) -> float:
        if not 0 < value < 100:
            raise ValueError(
                f"{value:g} leaves nothing to {'learn from' if value <= 0 else 'evaluate with'}; between 0 and 100 is expected"
            )
        return value

    @field_validator("prediction_field_name")
    @classmethod
    def _free(cls, value: str | None, info: ValidationInfo) -> str | None:
        if newly_put(info) and value is not None and value.partition(".")[0] in WRITTEN:
            raise ValueError(f"'{value}' is written beside the prediction; another name is expected")
        return value

    @property
    def prediction_field(self) -> str:
        """The field of the result that holds the prediction."""
        return self.prediction_field_name or f"{self.dependent_variable}_prediction"


class Classification(_Supervised):
    """Which of several classes a document is of."""

    num_top_classes: int = Field(2, ge=-1, le=MAX_CLASSES, description="Classes with probabilities in each result; -1 for all.")
    class_assignment_objective: Literal["maximize_accuracy", "maximize_minimum_recall"] = Field(
        "maximize_accuracy", description="What the predicted class is chosen for; the second favours rare classes."
    )


class Regression(_Supervised):
    """A number that a document should have."""

    loss_function: Literal["mse", "huber", "msle"] = Field("mse", description="What is made small in training.")


class OutlierDetection(Definition):
    """Which documents are unlike the others."""

    method: Literal["ensemble", "distance_kth_nn", "distance_knn", "lof", "ldof", "isolation_forest"] = "ensemble"
    n_neighbors: int | None = Field(None, ge=1, le=1000, description="Neighbours that are looked at. Default: several numbers.")
    outlier_fraction: float = Field(0.05, gt=0, lt=1, description="The share that is thought to be unlike the others.")
    compute_feature_influence: bool = Field(True, description="Tell by which fields a document is unlike the others.")
    feature_influence_threshold: float = Field(0.1, ge=0, le=1, description="From this score on influences are told.")
    standardization_enabled: bool = Field(True, description="Bring all fields to one scale first.")
    randomize_seed: int = Field(42, ge=0, le=2**31 - 1, description="The same seed, the same scores.")


Supervised = Classification | Regression


class Kind(Definition):
    """What kind of analysis: exactly one."""

    classification: Classification | None = None
    regression: Regression | None = None
    outlier_detection: OutlierDetection | None = None

    @model_validator(mode="after")
    def _one(self) -> Kind:
        given = [name for name in ("classification", "regression", "outlier_detection") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                f"one of classification, regression and outlier_detection is expected, not {' and '.join(given) or 'none'}"
            )
        return self


class AnalyzedFields(Definition):
    """Which fields are looked at: names, or patterns with `*`."""

    includes: list[str] = Field(default_factory=list, description="Only these. Default: all that can be used.")
    excludes: list[str] = Field(default_factory=list, description="None of these.")


class Inference(Definition):
    """How new documents are given predictions."""

    index: list[str] = Field(default_factory=list, description="Where they are. Default: where the analysis reads.")
    query: dict[str, Any] = Field(default_factory=lambda: {"match_all": {}}, description="Which of them.")
    dest: IndexName = Field(description="The index that takes a copy of each with its prediction.")
    time_field: FieldName = Field("@timestamp", description="The field that tells which are new.")
    schedule: Cron = Field(NO_SCHEDULE, description="When: cron in UTC, or 'none' (by hand, or after_source).")
    after_source: str | None = Field(None, description="Whenever this source has ingested.")

    @field_validator("index", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


def _covered(index: str, read: list[str]) -> str | None:
    """By which name or pattern an index is read, or would be once it is there; `-pattern` takes out."""
    if any(fnmatchcase(index, each[1:]) for each in read if each.startswith("-")):
        return None
    return next((each for each in read if fnmatchcase(index, each)), None)


class Analysis(Definition):
    """A data-frame analytics job. `include/analytics/*.yaml` holds one a file."""

    analytics_id: Identifier
    description: str = ""
    source: Read
    dest: Dest
    analysis: Kind
    analyzed_fields: AnalyzedFields = Field(default_factory=AnalyzedFields)
    schedule: Cron | None = Field(
        None, description="When to analyse again: cron in UTC, or 'none' (by hand). Default: weekly where there is `inference`."
    )
    inference: Inference | None = Field(None, description="Predictions for new documents, by the model in force.")

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Analysis:
        if newly_put(info):
            self._reads_no_results()
        if self.inference is not None and self.supervised is None:
            raise ValueError("inference: outlier detection makes no model that new documents could be given to")
        if self.inference is not None and self.inference.dest == self.dest.index:
            raise ValueError("inference.dest: each analysis replaces what dest.index holds, so predictions go elsewhere")
        return self

    def _reads_no_results(self) -> None:
        places = {"dest.index": self.dest.index, **({"inference.dest": self.inference.dest} if self.inference else {})}
        for place, index in places.items():
            for read in (self.source.index, self.inference.index if self.inference else []):
                if by := _covered(index, read):
                    raise ValueError(f"{place}: '{index}' is read from (by '{by}'); results go into an index of their own")

    @property
    def type(self) -> AnalysisType:
        """Which kind of analysis it is."""
        if self.analysis.classification:
            return "classification"
        return "regression" if self.analysis.regression else "outlier_detection"

    @property
    def supervised(self) -> Supervised | None:
        """The settings of a classification or regression; None for outliers."""
        return self.analysis.classification or self.analysis.regression

    @property
    def retrain(self) -> str:
        """When it is run again."""
        return self.schedule or (WEEKLY if self.inference else NO_SCHEDULE)

    @property
    def seed(self) -> int:
        """The seed of all that is random."""
        chosen = self.supervised or self.analysis.outlier_detection
        assert chosen is not None
        return chosen.randomize_seed

    @property
    def version(self) -> str:
        """Hash of all that changes what is learned."""
        return self.digest(exclude=frozenset(set(type(self).model_fields) - _MEANT))

    def wanted(self, names: list[str]) -> list[str]:
        """Of fields of an index, those that `analyzed_fields` lets through.

        Raises:
            SourceIndexError: A name without `*` is no field of the index.
        """
        chosen = self.analyzed_fields
        for place, patterns in (("includes", chosen.includes), ("excludes", chosen.excludes)):
            for pattern in patterns:
                if "*" not in pattern and pattern not in names:
                    raise SourceIndexError(
                        f"no field '{pattern}' in the index", where=f"{self.analytics_id}, analyzed_fields.{place}"
                    )
        kept = [name for name in names if not chosen.includes or any(fnmatchcase(name, each) for each in chosen.includes)]
        return [name for name in kept if not any(fnmatchcase(name, each) for each in chosen.excludes)]
