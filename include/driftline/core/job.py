"""A job: what to read, how to cut it into series, how to train, score and forecast them. Elastic ML's vocabulary."""

from __future__ import annotations

import hashlib
import math
import re
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, field_validator, model_validator

from driftline.core.definition import IDENTIFIER, IDENTIFIER_HINT, Definition
from driftline.core.errors import WindowError
from driftline.core.functions import Function, find_function
from driftline.core.timespan import Span, Window, format_span, iso, parse_time

Time = Annotated[datetime, BeforeValidator(parse_time), PlainSerializer(iso, return_type=str)]
Check = Literal["pass", "warn", "stop"]

# what a job's version is made of
_MEANT = {"job_id", "bucket_span", "detectors", "influencers", "time_field"}
_LEARNED = {"window", "min_history", "min_buckets", "transform", "prophet", "max_partitions"}
_LEARNED_LATER = {"prophet_by_partition", "engine"}
MAX_CHECKED = 10_000  # buckets that late data is looked for in: Elastic's limit
MIN_SPAN, MAX_SPAN = timedelta(seconds=1), timedelta(days=30)
NO_SCHEDULE = "none"


def _identifier(value: str) -> str:
    if not re.match(IDENTIFIER, value):
        raise ValueError(f"'{value}' is not an identifier: {IDENTIFIER_HINT}")
    return value


def _cron(value: str) -> str:
    if value != NO_SCHEDULE and not value.startswith("@") and len(value.split()) != 5:
        raise ValueError(f"'{value}' is not a schedule: five cron fields (minute hour day month weekday), or '{NO_SCHEDULE}'")
    return value


JobId = Annotated[str, AfterValidator(_identifier)]
Cron = Annotated[str, AfterValidator(_cron)]


class Detector(Definition):
    """One function over one field, optionally split into a series for each value of one or two fields."""

    function: str = Field(
        description="count, non_zero_count, distinct_count, mean, min, max, sum, non_null_sum, median, varp; with "
        "high_ or low_ in front for one side only"
    )
    field_name: str | None = Field(None, min_length=1, description="The field that the function reads. Not for count.")
    partition_field_name: str | None = Field(None, min_length=1, description="A series of its own for each value of this field.")
    by_field_name: str | None = Field(None, min_length=1, description="A second split within the partition.")
    detector_description: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Detector:
        function = find_function(self.function)
        if function.needs_field and not self.field_name:
            raise ValueError(f"function '{self.function}' needs a field_name")
        if not function.needs_field and self.field_name:
            raise ValueError(f"function '{self.function}' takes no field_name; use sum or mean to measure '{self.field_name}'")
        if self.by_field_name and self.by_field_name == self.partition_field_name:
            raise ValueError("by_field_name and partition_field_name must differ")
        return self

    @property
    def spec(self) -> Function:
        """The function's entry in the table."""
        return find_function(self.function)

    @property
    def description(self) -> str:
        """Elastic's one-line form: `mean(bytes) by url partitionfield=host`."""
        if self.detector_description:
            return self.detector_description
        text = f"{self.function}({self.field_name})" if self.field_name else self.function
        if self.by_field_name:
            text += f" by {self.by_field_name}"
        return text + (f" partitionfield={self.partition_field_name}" if self.partition_field_name else "")


class DelayedData(Definition):
    """Whether buckets are scored again when documents of theirs come late, and how far back that is looked for."""

    enabled: bool = Field(True, description="Whether it is looked for at all.")
    check_window: Span | None = Field(None, description="Default: two hours, but at least eight buckets.")

    def buckets(self, span: timedelta) -> int:
        """How many buckets are looked at again."""
        return math.ceil((self.check_window or max(timedelta(hours=2), 8 * span)) / span)


class Datafeed(Definition):
    """Where the documents are and how often they are looked at."""

    indices: list[str] = Field(min_length=1, description="Index names or patterns.")
    query: dict[str, Any] = Field(
        default_factory=lambda: {"match_all": {}}, description="An Elasticsearch query; only what matches is counted."
    )
    query_delay: Span = Field(
        timedelta(seconds=60), description="How long documents may take to arrive; the newest data is left alone for that long."
    )
    frequency: Span | None = Field(None, description="How often to score. Default: the bucket span, but at least a minute.")
    start: Time | None = Field(None, description="For a historical job: first bucket. Default: the oldest document.")
    end: Time | None = Field(
        None, description="For a historical job: end of the last bucket. Giving it makes the job historical."
    )
    historical: bool = Field(
        False, description="Run once over [start, end) or the full range of the data, walked forward, then close."
    )
    on_request: bool = Field(False, description="Score only when asked (by hand, by a backfill), never by the clock.")
    after_source: str | None = Field(None, description="Score whenever this source has ingested, instead of by the clock.")

    delayed_data_check_config: DelayedData = Field(
        default_factory=DelayedData, description="Buckets that got documents after they were scored are scored again."
    )

    @field_validator("indices", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Datafeed:
        if self.start and self.end:
            Window(self.start, self.end)
        return self


class Training(Definition):
    """How much history a model sees, when it is trained again, and Prophet's options."""

    window: Span = Field(timedelta(weeks=4), description="How much history a training reads.")
    min_history: Span = Field(
        timedelta(weeks=2), description="How much history a first model waits for; what lies before it is scored in sample."
    )
    schedule: Cron = Field("0 3 * * 0", description="When to retrain: cron in UTC, or 'none'.")
    min_buckets: int = Field(20, ge=2, description="A partition with fewer non-empty buckets is too sparse to train, and listed.")
    backtest: Span | None = Field(
        None, description="The end of the window that is held back to compare models. Default: a seventh of the window."
    )
    transform: Literal["auto", "none", "sqrt"] = Field(
        "auto", description="Train in sqrt space (auto: counts and distinct counts)."
    )
    prophet: dict[str, Any] = Field(
        default_factory=dict, description="Options handed to Prophet, by its names (changepoint_prior_scale, …)."
    )
    prophet_by_partition: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Options of partitions whose value matches a pattern (`*`, `?`), on top of `prophet`: a time zone, holidays.",
    )
    engine: Literal["driftline", "prophet"] = Field(
        "driftline", description="Who fits the models: our solver, or Prophet itself (the same model, some hundred times slower)."
    )
    max_partitions: int = Field(20_000, ge=1, description="More series than this are named, not silently dropped.")


class Forecast(Definition):
    """How far to look ahead."""

    duration: Span = Field(timedelta(days=7), description="How far to forecast.")
    schedule: Cron = Field("30 3 * * *", description="When: cron in UTC, or 'none' (a retrain forecasts in any case).")
    expires_in: Span = Field(timedelta(days=14), description="When a forecast's documents may be removed.")
    max_partitions: int = Field(1_000, ge=1, description="Forecast this many series at most, the largest first.")


class Quality(Definition):
    """The verdict of each check of the series gate when it fails."""

    freshness: Check = Field(
        "warn", description="No document within max_lag of the interval's end (not of now: old data is as good as new)."
    )
    max_lag: Span | None = Field(None, description="Default: three bucket spans, but at least ten minutes.")
    completeness: Check = Field("warn", description="Too many buckets of the interval (ten at least) hold no document at all.")
    min_complete: float = Field(0.9, ge=0, le=1, description="The share of buckets that must hold documents.")
    non_negative: Check = Field(
        "stop", description="Counts, distinct counts, and measures of fields that end with 'bytes', below zero."
    )
    finite: Check = Field("stop", description="Infinite values.")
    volume: Check = Field(
        "warn", description="The volume differs by more than max_volume_ratio from the last training's at the same hours."
    )
    max_volume_ratio: float = Field(5.0, gt=1)
    partitions: Check = Field(
        "warn", description="More partitions than training.max_partitions, or a drop below min_partition_ratio."
    )
    min_partition_ratio: float = Field(0.5, ge=0, le=1)


class ModelPlot(Definition):
    """Whether bounds of every bucket are written, as Elastic's model_plot_config."""

    enabled: bool = False


class Marker(Definition):
    """A change that is known, such as a deployment or a campaign: it starts a new baseline."""

    at: Time = Field(description="When; floored to a bucket.")
    description: str = Field("", description="What it was.")
    partitions: list[str] = Field(
        default_factory=lambda: ["*"], description="Patterns (`*`, `?`) of the partition or by values it is about."
    )

    def concerns(self, *values: str | None) -> bool:
        """Whether it is about a series with these split values."""
        here = [value for value in values if value is not None]
        return any(pattern == "*" or fnmatchcase(value, pattern) for pattern in self.partitions for value in here or [""])


class Job(Definition):
    """An anomaly detection job. `include/jobs/*.yaml` holds one a file."""

    job_id: JobId
    description: str = ""
    groups: list[str] = Field(default_factory=list)
    bucket_span: Span = Field(timedelta(minutes=15), description="The width of a bucket, 1s to 30d.")
    detectors: list[Detector] = Field(min_length=1)
    influencers: list[str] = Field(
        default_factory=list, description="Fields whose values are blamed or acquitted for an anomaly."
    )
    time_field: str = Field(
        "@timestamp", min_length=1, description="A date field, or epoch milliseconds mapped as a date or a long."
    )
    datafeed: Datafeed
    training: Training = Field(default_factory=Training)
    forecast: Forecast = Field(default_factory=Forecast)
    quality: Quality = Field(default_factory=Quality)
    markers: list[Marker] = Field(default_factory=list, description="Known changes, each the start of a new baseline.")
    model_plot_config: ModelPlot = Field(default_factory=ModelPlot)
    elastic: dict[str, Any] = Field(
        default_factory=dict,
        description="What a job that was imported from Elastic says besides, for `jobs export`; no effect here.",
    )

    @field_validator("bucket_span")
    @classmethod
    def _span_in_range(cls, value: timedelta) -> timedelta:
        if not MIN_SPAN <= value <= MAX_SPAN:
            raise WindowError(f"bucket_span {format_span(value)} is out of range", expected="1s to 30d")
        if value.total_seconds() % 1:
            raise WindowError(f"bucket_span {format_span(value)} is not a whole number of seconds")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Job:
        if self.training.window < 10 * self.bucket_span:
            raise ValueError(
                f"training.window {format_span(self.training.window)} holds fewer than 10 buckets "
                f"of {format_span(self.bucket_span)}"
            )
        if self.datafeed.delayed_data_check_config.buckets(self.bucket_span) > MAX_CHECKED:
            raise ValueError(f"datafeed.delayed_data_check_config.check_window holds more than {MAX_CHECKED:,} buckets")
        descriptions = [detector.model_dump_json() for detector in self.detectors]
        if len(set(descriptions)) < len(descriptions):
            raise ValueError("detectors: two detectors are the same")
        return self

    @property
    def version(self) -> str:
        """Hash of what models and scores depend on: definitions that differ in words, schedules or checks only share it."""
        training = self.training.model_dump(mode="json", include=_LEARNED)
        what = {"indices": self.datafeed.indices, "query": self.datafeed.query, "training": training}
        meaning = {**self.model_dump(mode="json", include=_MEANT), **what}
        # came later: jobs that do not use them keep their version
        meaning |= self.training.model_dump(mode="json", include=_LEARNED_LATER, exclude_defaults=True)
        return hashlib.sha256(orjson.dumps(meaning, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]

    @property
    def historical(self) -> bool:
        """Whether the job runs once over old data rather than by the clock."""
        return self.datafeed.historical or self.datafeed.end is not None

    @property
    def by_clock(self) -> bool:
        """Whether scoring goes on with the clock, so that missing documents mean silence and not merely data to come."""
        return not (self.historical or self.datafeed.on_request or self.datafeed.after_source)

    @property
    def frequency(self) -> timedelta:
        """How often the job scores: as asked, but never more often than a bucket completes."""
        wanted = self.datafeed.frequency or max(self.bucket_span, timedelta(minutes=1))
        return max(wanted, self.bucket_span)

    @property
    def notes(self) -> list[str]:
        """What was asked for and is done differently, for the user to read."""
        asked = self.datafeed.frequency
        if asked and asked < self.bucket_span:
            return [f"frequency {format_span(asked)} is below the bucket span; raised to {format_span(self.bucket_span)}"]
        return []

    @property
    def span_seconds(self) -> int:
        """The bucket span in whole seconds."""
        return int(self.bucket_span.total_seconds())

    @property
    def backtest_span(self) -> timedelta:
        """The held-back end of the training window, in whole buckets."""
        wanted = self.training.backtest or self.training.window / 7
        return max(1, round(wanted / self.bucket_span)) * self.bucket_span
