"""Signatures: how each of many entities behaves, learned over weeks, and which of them behave otherwise now."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any, Literal

import orjson
from pydantic import Field, field_validator, model_validator

from driftline.core.definition import Definition, check_name
from driftline.core.job import Cron, Job
from driftline.core.rules import Identifier
from driftline.core.timespan import Span, format_span, known_zone

Metric = Literal["count", "sum", "avg", "min", "max"]
_FUNCTIONS = {"count": "count", "sum": "sum", "avg": "mean", "min": "min", "max": "max"}
_MEANT = {"indices", "query", "time_field", "term", "max_terms", "span", "window", "resolution", "features", "time_zone"}
_MEANT_LATER = {"count_field", "mix", "limit"}
DAY = timedelta(days=1)
MIX_KEPT = 50  # values of `mix` that are told apart; what is beyond is one value, as rare ones say little each
LEAST_RESOLUTION = timedelta(minutes=15)  # 192 parts of a week; finer ones hold next to nothing of most entities
REFERENCES = 2  # spans that a window must hold at least: one is compared with the others to learn what is usual


class Feature(Definition):
    """What else is looked at besides how many documents there are and when: the level of one metric."""

    name: str = Field(min_length=1, description="How it is called in results.")
    metric: Metric = Field(description="What is measured of the field in a span.")
    field: str | None = Field(None, min_length=1, description="The field; not for `count`.")

    @model_validator(mode="after")
    def _consistent(self) -> Feature:
        check_name(self.field, "field")
        if (self.field is None) != (self.metric == "count"):
            raise ValueError(f"metric '{self.metric}' {'takes no' if self.field else 'needs a'} field")
        return self


class Signatures(Definition):
    """Signatures of the values of a term. `include/signatures/*.yaml` holds one a file."""

    signature_id: Identifier = Field(description="The name, as an id of a job; no job can have the same.")
    description: str = Field("", description="One line for people; the DAGs show it.")
    indices: list[str] = Field(min_length=1, description="Index names or patterns.")
    query: dict[str, Any] = Field(
        default_factory=lambda: {"match_all": {}}, description="An Elasticsearch query; only what matches is read."
    )
    time_field: str = Field("@timestamp", min_length=1, description="A date field, or epoch milliseconds.")
    term: str = Field(min_length=1, description="The field whose values are the entities: an account, a user, a host.")
    max_terms: int = Field(20_000, ge=1, description="Entities at most; those with the fewest documents are named and left out.")
    span: Span = Field(timedelta(days=7), description="What a short-term signature covers: whole days, best a whole week.")
    window: Span = Field(timedelta(days=30), description="What a long-term signature covers, at least two spans.")
    interval: Span = Field(timedelta(hours=1), description="How often entities are scored.")
    resolution: Span = Field(timedelta(hours=1), description="The parts of a day that are told apart; they divide a day.")
    time_zone: str = Field("UTC", description="By whose clock hours and weekends are told.")
    count_field: str | None = Field(
        None, min_length=1, description="Where a document stands for several: the field with their number."
    )
    features: list[Feature] = Field(default_factory=list, description="Levels that are compared besides the count; see below.")
    mix: str | None = Field(
        None, min_length=1, description="A field with few values, such as a destination: in which shares an entity has them."
    )
    limit: int | None = Field(
        None, ge=10, description="So many random profiles are grouped instead of all: faster, and the same groups."
    )
    threshold: float = Field(99.0, ge=0, le=100, description="From which score on an entity is written as an anomaly.")
    query_delay: Span = Field(timedelta(seconds=60), description="How long documents may take to arrive.")
    training_schedule: Cron = Field("0 3 * * 0", description="When to train again: cron in UTC, or 'none'.")
    scan_schedule: Literal["interval", "none"] = Field(
        "interval", description="interval: entities are scored by the clock. none: only when asked."
    )
    paused: bool = Field(False, description="The DAGs begin paused, until somebody starts them.")
    loudml: dict[str, Any] = Field(
        default_factory=dict, description="What a model that came from loudml's API was made with; no effect here."
    )

    @field_validator("indices", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("time_zone")
    @classmethod
    def _zone_is_known(cls, value: str) -> str:
        return known_zone(value)

    @model_validator(mode="after")
    def _consistent(self) -> Signatures:
        if self.resolution < LEAST_RESOLUTION or DAY % self.resolution:
            raise ValueError(f"resolution {format_span(self.resolution)} must divide a day, and be at least 15m")
        self.whole("interval", self.interval)
        if not self.span or self.span % DAY or self.window % self.resolution:
            raise ValueError("span must be whole days, and window a multiple of the resolution")
        if self.window < REFERENCES * self.span:
            raise ValueError(
                f"window {format_span(self.window)} must hold at least {REFERENCES} spans of {format_span(self.span)}"
            )
        names = [feature.name for feature in self.features]
        if len(set(names)) < len(names):
            raise ValueError("features: each needs a name of its own")
        for name in ("term", "mix", "count_field", "time_field"):
            check_name(getattr(self, name), name)
        if self.mix in {self.term, self.time_field}:
            raise ValueError("mix: another field than term and time_field is needed")
        self.reading  # noqa: B018 - a job that reads these is right, or says what is not
        return self

    def whole(self, name: str, part: timedelta) -> None:
        """Checks that a span holds whole buckets.

        Raises:
            ValueError: It does not, or is nothing.
        """
        if not part or part % self.resolution:
            raise ValueError(f"{name} {format_span(part)} must be a multiple of the resolution {format_span(self.resolution)}")

    @property
    def job_id(self) -> str:
        """As results, snapshots and runs call it."""
        return self.signature_id

    @property
    def meaning(self) -> dict[str, Any]:
        """What models and scores depend on."""
        later = self.model_dump(mode="json", include=_MEANT_LATER, exclude_defaults=True)
        return {"signature_id": self.signature_id, **self.model_dump(mode="json", include=_MEANT), **later}

    @property
    def version(self) -> str:
        """Hash of what models and scores depend on."""
        return hashlib.sha256(orjson.dumps(self.meaning, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]

    @property
    def reading(self) -> Job:
        """A job that reads the counts (detector 0) and the features of all entities, in buckets of the resolution."""
        detectors = [{"function": "count", "partition_field_name": self.term}]
        for feature in self.measured:
            detectors.append(
                {"function": _FUNCTIONS[feature.metric], "field_name": str(feature.field), "partition_field_name": self.term}
            )
        return self._job(detectors, self.resolution, self.query)

    def reading_mix(self, values: list[str], length: timedelta = DAY) -> Job:
        """A job that reads how many documents of each of these values of `mix` the entities have in buckets of a length."""
        query = {"bool": {"filter": [self.query, {"terms": {str(self.mix): values}}]}}
        detectors = [{"function": "count", "partition_field_name": self.term, "by_field_name": str(self.mix)}]
        return self._job(detectors, length, query)

    def reading_other(self, values: list[str], length: timedelta = DAY) -> Job:
        """The same of all other values of `mix` together."""
        there = {"exists": {"field": str(self.mix)}}
        query = {"bool": {"filter": [self.query, there], "must_not": [{"terms": {str(self.mix): values}}]}}
        return self._job([{"function": "count", "partition_field_name": self.term}], length, query)

    def clock(self, interval: timedelta | None = None) -> Job:
        """A job with the interval as its buckets, for what goes by the clock."""
        return self._job([{"function": "count", "partition_field_name": self.term}], interval or self.interval, self.query)

    @property
    def measured(self) -> list[Feature]:
        """The features whose values are read; `count` is there in any case."""
        return [feature for feature in self.features if feature.metric != "count"]

    def _job(self, detectors: list[dict[str, str]], span: timedelta, query: dict[str, Any]) -> Job:
        return Job.parse(
            {
                "job_id": self.signature_id,
                "bucket_span": span,
                "detectors": detectors,
                "time_field": self.time_field,
                "summary_count_field_name": self.count_field,
                "datafeed": {"indices": self.indices, "query": query, "query_delay": self.query_delay, "on_request": True},
                "training": {"window": max(self.window, 10 * span), "max_partitions": self.max_terms},
            },
            where=f"signatures {self.signature_id}",
        )

    @property
    def notes(self) -> list[str]:
        """What was asked for and is done differently, for the user to read."""
        week = timedelta(days=7)
        return [] if self.span % week == timedelta(0) else [
            f"span {format_span(self.span)} is no whole week: a workday is only compared with workdays, but no day with its own"
        ]  # fmt: skip
