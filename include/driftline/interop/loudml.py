"""loudml's time series models as jobs, and jobs as loudml's create call takes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from driftline.core.definition import Definition, check_name
from driftline.core.errors import DefinitionError
from driftline.core.job import MAX_SPAN, Job, Training
from driftline.core.signature import LEAST_RESOLUTION, Signatures
from driftline.core.timespan import format_span
from driftline.interop.elastic_jobs import Imported, plain_id

if TYPE_CHECKING:
    from driftline.core.detector import Detector
    from driftline.interop.elastic_files import Found

Metric = Literal["count", "min", "max", "sum", "avg", "variance", "std_deviation"]
_FUNCTIONS: dict[str, str] = {
    "count": "count", "min": "min", "max": "max", "sum": "sum", "avg": "mean", "variance": "varp",
    "std_deviation": "std_deviation",
}  # fmt: skip
_METRICS = {function: metric for metric, function in _FUNCTIONS.items()}
_LEAST = Training().window  # four weeks: a week is learned from two of them on
_MOST = Training().max_partitions
_LONGEST = 3650 * 86_400  # ten years of history are more than anybody has
_BUCKETS = 10  # the least that a training reads
_ALL: dict[str, Any] = {"match_all": {}}


class Feature(Definition):
    """What a model looks at: one metric of a field or of a script."""

    name: str = Field(min_length=1)
    metric: Metric
    field: str | None = Field(None, min_length=1)
    script: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Feature:
        if self.field and self.script:
            raise ValueError("field and script: only one of them can be given")
        if not self.field and not self.script and self.metric != "count":
            raise ValueError(f"metric '{self.metric}' needs a field, or a script")
        if self.script and self.metric == "count":
            raise ValueError("script: metric 'count' counts documents; a script gives it nothing to count")
        check_name(self.field or self.name, "field" if self.field else "name")
        return self


class Model(Definition):
    """The parameters of loudml's create call, those of its query string and those of its body together. Times are seconds."""

    name: str = Field(min_length=1)
    index: str = Field(min_length=1)
    interval: int = Field(gt=0, le=_LONGEST)
    bucket_interval: int = Field(gt=0, le=int(MAX_SPAN.total_seconds()))
    span: int = Field(gt=0, le=_LONGEST)
    features: list[Feature] = Field(min_length=1)
    term: str | None = Field(None, min_length=1)
    max_terms: int | None = Field(None, gt=0)
    threshold: float | None = Field(None, ge=0, le=100)

    @model_validator(mode="after")
    def _consistent(self) -> Model:
        names = [feature.name for feature in self.features]
        if len(set(names)) < len(names):
            raise ValueError("features: each needs a name of its own")
        fields = {feature.field for feature in self.features}
        for feature in self.features:
            if feature.script and feature.name in fields:
                raise ValueError(f"features: '{feature.name}' is the name of a script, and a field of another feature")
        return self


class Ivoip(Definition):
    """The parameters of the create call of signatures. Times are seconds."""

    name: str = Field(min_length=1)
    index: str = Field(min_length=1)
    term: str = Field(min_length=1)
    max_terms: int = Field(20_000, gt=0)
    span: int = Field(7 * 86_400, gt=0, le=_LONGEST)
    interval: int = Field(3600, gt=0, le=_LONGEST)
    threshold: float | None = Field(None, ge=0, le=100)

    @field_validator("interval")
    @classmethod
    def _of_whole_parts_of_hours(cls, value: int) -> int:
        if _part(value) < LEAST_RESOLUTION.total_seconds():
            raise ValueError("a multiple of 900 or of 1200 seconds is needed, a quarter or a third of an hour")
        return value


def _part(interval: int) -> int:
    """Seconds of the longest parts of an hour that an interval holds whole ones of."""
    return math.gcd(interval, 3600)


def to_signatures(given: Mapping[str, Any], *, where: str) -> tuple[Signatures, list[str]]:
    """Loudml's signatures as ours, whose DAGs begin paused, and what is to know of them.

    Raises:
        DefinitionError: A parameter is wrong, or signatures cannot be made of them.
    """
    notes: list[str] = []
    asked = Ivoip.parse(given, where=where)
    definition: dict[str, Any] = {
        "signature_id": plain_id(asked.name, notes),
        "indices": [name.strip() for name in asked.index.split(",")],
        "term": asked.term,
        "max_terms": asked.max_terms,
        "span": f"{asked.span}s",
        "interval": f"{asked.interval}s",
        "resolution": f"{_part(asked.interval)}s",
        "window": f"{max(30 * 86_400, 2 * asked.span)}s",
        "paused": True,
        "loudml": asked.model_dump(exclude_none=True),
    }
    if asked.threshold is not None:
        definition["threshold"] = asked.threshold
    made = Signatures.parse(definition, where=where)
    notes += [*made.notes, "its DAGs begin paused; its first training starts them"]
    return made, notes


def to_job(found: Found) -> Imported:
    """One of loudml's models as a job, whose DAGs begin paused."""
    notes, file = list(found.notes), str(found.path)
    job_id = plain_id(found.job_id, notes)
    try:
        model = Model.parse(found.job, where=file)
        job = Job.parse(_definition(model, job_id, notes), where=file)
    except DefinitionError as error:
        return Imported(file, job_id, "refused", [str(error)])
    notes += job.notes
    notes.append("its DAGs begin paused, as models do in loudml: start them in Airflow")
    return Imported(file, job_id, "imported_with_notes", notes, job)


def _definition(model: Model, job_id: str, notes: list[str]) -> dict[str, Any]:
    scripts = {feature.name: feature.script for feature in model.features if feature.script}
    training: dict[str, Any] = {}
    if (window := _window(model.span, model.bucket_interval)) != _LEAST:
        training["window"] = window
    if model.max_terms:
        training["max_partitions"] = model.max_terms
    _say(model, window, notes)
    counted = {feature.name: feature.field for feature in model.features if feature.metric == "count" and feature.field}
    kept = {**model.model_dump(include={"name", "span", "threshold", "max_terms"}, exclude_none=True), "counted": counted}
    return {
        "job_id": job_id,
        "bucket_span": f"{model.bucket_interval}s",
        "detectors": [_detector(feature, model.term) for feature in model.features],
        "datafeed": {
            "indices": [name.strip() for name in model.index.split(",")],
            "query": _query(model, notes),
            "frequency": f"{model.interval}s",
            "script_fields": {name: {"script": {"lang": "painless", "source": source}} for name, source in scripts.items()},
        },
        "training": training,
        "paused": True,
        "loudml": {name: value for name, value in kept.items() if value not in ({}, None)},
    }


def _detector(feature: Feature, term: str | None) -> dict[str, Any]:
    field = None if feature.metric == "count" else feature.field or feature.name
    return {
        "function": _FUNCTIONS[feature.metric],
        "detector_description": feature.name,
        **({"field_name": field} if field else {}),
        **({"partition_field_name": term} if term else {}),
    }


def _window(span: int, bucket_interval: int) -> timedelta:
    """How much history tells what to expect: as much as the span says, but enough for a weekly pattern."""
    return max(_LEAST, timedelta(seconds=span), _BUCKETS * timedelta(seconds=bucket_interval))


def _query(model: Model, notes: list[str]) -> dict[str, Any]:
    """Which documents are read: a count of a field is of those that have it."""
    counted = {feature.field for feature in model.features if feature.metric == "count" and feature.field}
    if not counted:
        return _ALL
    if {feature.field for feature in model.features} == counted and len(counted) == 1:
        return {"exists": {"field": counted.pop()}}
    named = ", ".join(f"'{name}'" for name in sorted(map(str, counted)))
    notes.append(f"metric count: all documents are counted, those without {named}, too; a model of that field alone does not")
    return _ALL


def _say(model: Model, window: timedelta, notes: list[str]) -> None:
    asked = format_span(timedelta(seconds=model.span))
    if window != timedelta(seconds=model.span):
        notes.append(f"span: what to expect is learned from {format_span(window)} (training.window), not only from {asked}")
    if model.max_terms and not model.term:
        notes.append("max_terms has no effect without a term: there is one series for each feature")
    if model.threshold is not None:
        say = f"driftline anomalies JOB --min-score {model.threshold:g}"
        notes.append(f"threshold is kept, and has no effect: events alarm from a score of 50; for a threshold ask with '{say}'")


def to_loudml(job: Job) -> dict[str, Any]:
    """A job as the parameters of loudml's create call. What it was imported with is in it again.

    Raises:
        DefinitionError: It says what loudml has no word for.
    """
    _expressible(job)
    kept = job.loudml
    bucket = job.span_seconds
    span, window = kept.get("span"), int(job.training.window.total_seconds())
    if span is None or _window(span, bucket) != job.training.window:  # its window was changed since
        span = window
    term = job.detectors[0].partition_field_name
    limit = job.training.max_partitions if "max_terms" in kept or job.training.max_partitions != _MOST else None
    model = {
        "name": kept.get("name", job.job_id),
        "index": ",".join(job.datafeed.indices),
        "interval": int((job.datafeed.frequency or job.frequency).total_seconds()),
        "bucket_interval": bucket,
        "span": span,
        "term": term,
        "max_terms": limit,
        "threshold": kept.get("threshold"),
        "features": [_feature(job, detector) for detector in job.detectors],
    }
    return Model.parse({name: value for name, value in model.items() if value is not None}, where=f"job {job.job_id}").as_dict()


def _feature(job: Job, detector: Detector) -> dict[str, Any]:
    name, metric = detector.description, _METRICS[detector.spec.name]
    field = detector.field_name or job.loudml.get("counted", {}).get(name)
    if field in job.datafeed.script_fields:
        return {"name": name, "metric": metric, "script": job.datafeed.script_fields[field]["script"]["source"]}
    return {"name": name, "metric": metric, **({"field": field} if field else {})}


def _expressible(job: Job) -> None:
    """Refuses what loudml has no word for: without it, a model would find something else."""
    lacking = []
    for number, detector in enumerate(job.detectors):
        place = f"detectors.{number}"
        if detector.spec.name not in _METRICS:
            lacking.append(f"{place}: function '{detector.function}'")
        others = ("by_field_name", "over_field_name", "custom_rules", "use_null", "query", "given", "per")
        lacking += [f"{place}: {name}" for name in others if getattr(detector, name)]
        if detector.partition_field_name != job.detectors[0].partition_field_name:
            lacking.append(f"{place}: another partition_field_name than the first detector's")
    feed = job.datafeed
    lacking += [f"datafeed.{name}" for name in ("aggregations", "runtime_mappings") if getattr(feed, name)]
    if feed.query != _ALL and not ("counted" in job.loudml and "exists" in feed.query):
        lacking.append("datafeed.query")
    for name, body in feed.script_fields.items():
        script = body["script"]
        if not isinstance(script, Mapping) or "source" not in script or set(script) - {"lang", "source"}:
            lacking.append(f"datafeed.script_fields.{name}: more than a source")
    lacking += ["summary_count_field_name"] if job.summary_count_field_name else []
    lacking += ["time_field"] if job.time_field != Job.model_fields["time_field"].default else []
    if lacking:
        raise DefinitionError(f"loudml has no word for {', '.join(lacking)}", where=f"job {job.job_id}")
