"""A job: what to read, how to cut it into series, how to train, score and forecast them. Elastic ML's vocabulary."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import orjson
from pydantic import AfterValidator, Field, PrivateAttr, field_validator, model_validator

from driftline.core.aggregations import aggregation_names, interval_of
from driftline.core.categorization import PerPartition, categorises, check_categorization, check_filters
from driftline.core.definition import Definition, check_name
from driftline.core.detector import SPLIT_FIELDS, Detector, meaning_of, meant
from driftline.core.errors import WindowError
from driftline.core.functions import METRIC
from driftline.core.rules import Identifier, Known, fits
from driftline.core.timespan import Span, Time, Window, format_span, known_zone

Check = Literal["pass", "warn", "stop"]

# what a job's version is made of
_MEANT = {"job_id", "bucket_span", "detectors", "influencers", "time_field"}
_MEANT_LATER = {
    "time_zone", "summary_count_field_name", "model_prune_window", "categorization_field_name", "categorization_filters",
    "per_partition_categorization",
}  # fmt: skip
_READ_LATER = {"aggregations", "runtime_mappings", "script_fields"}
_LEARNED = {"window", "min_history", "min_buckets", "transform", "prophet", "max_partitions"}
_LEARNED_LATER = {"prophet_by_partition", "engine"}
MAX_CHECKED = 10_000  # buckets that late data is looked for in: Elastic's limit
MIN_SPAN, MAX_SPAN = timedelta(seconds=1), timedelta(days=30)
TIME_SPAN_MOST = timedelta(hours=3)  # a time of day that is no more exact says nothing
NO_SCHEDULE = "none"


def _cron(value: str) -> str:
    if value != NO_SCHEDULE and not value.startswith("@") and len(value.split()) != 5:
        raise ValueError(f"'{value}' is not a schedule: five cron fields (minute hour day month weekday), or '{NO_SCHEDULE}'")
    return value


Cron = Annotated[str, AfterValidator(_cron)]


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
    aggregations: dict[str, Any] | None = Field(
        None, description="Elasticsearch aggregations whose rows are read instead of documents; needs summary_count_field_name."
    )
    runtime_mappings: dict[str, Any] = Field(default_factory=dict, description="Runtime fields, as Elasticsearch takes them.")
    script_fields: dict[str, Any] = Field(
        default_factory=dict, description="Fields that a Painless script stands for: `{name: {script: {source: …}}}`."
    )
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
        if self.aggregations and self.script_fields:
            raise ValueError("script_fields cannot be used with aggregations")
        for name, body in self.script_fields.items():
            if not isinstance(body, dict) or "script" not in body:
                raise ValueError(
                    f"script_fields.{name}: a script is expected, such as {{script: {{source: \"doc['a'].value * 2\"}}}}"
                )
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
    expires_in: Span = Field(timedelta(days=14), description="When a forecast's documents may be removed; 0: never.")
    max_partitions: int = Field(1_000, ge=0, description="Forecast this many series at most, the largest first; 0: all.")


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
        return fits(self.partitions, *values)


class Job(Definition):
    """An anomaly detection job. `include/jobs/*.yaml` holds one a file."""

    job_id: Identifier
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
    summary_count_field_name: str | None = Field(
        None, min_length=1, description="Where a document stands for several: the field with their number, or doc_count."
    )
    model_prune_window: Span | None = Field(
        None, description="A series without documents for so long is forgotten, rather than silent. Default: never."
    )
    model_snapshot_retention_days: int | None = Field(
        None,
        ge=0,
        description="Snapshots whose data ends so many days before the newest one's are removed. Default: the newest 12 stay.",
    )
    renormalization_window_days: int | None = Field(
        None,
        ge=0,
        description="How far back scores are lowered where the like comes again. Default: 30 days, or 100 buckets; 0 never does.",
    )
    categorization_field_name: str | None = Field(
        None, min_length=1, description="The field with messages whose kinds are values of `mlcategory`; see below."
    )
    categorization_filters: list[str] = Field(
        default_factory=list, description="Regular expressions; what they match in a message is taken out first."
    )
    per_partition_categorization: PerPartition = Field(
        default_factory=PerPartition, description="`{enabled: true}`: each partition has categories of its own."
    )
    datafeed: Datafeed
    training: Training = Field(default_factory=Training)
    forecast: Forecast = Field(default_factory=Forecast)
    quality: Quality = Field(default_factory=Quality)
    markers: list[Marker] = Field(default_factory=list, description="Known changes, each the start of a new baseline.")
    model_plot_config: ModelPlot = Field(default_factory=ModelPlot)
    paused: bool = Field(False, description="Its DAGs begin paused, until somebody starts them.")
    time_zone: str = Field(
        "UTC",
        description="Whose clock and weekday: of `time_of_day` and `time_of_week`, and in what is said of records and events.",
    )
    elastic: dict[str, Any] = Field(
        default_factory=dict,
        description="What a job that was imported from Elastic says besides, for `jobs export`; no effect here.",
    )
    loudml: dict[str, Any] = Field(
        default_factory=dict,
        description="What a model that was imported from loudml says besides, for `jobs export --to loudml`; no effect here.",
    )

    _known: Known = PrivateAttr(default_factory=Known)

    @model_validator(mode="before")
    @classmethod
    def _metric_is_not_summed(cls, value: object) -> object:
        given = value.get("detectors") if isinstance(value, Mapping) and value.get("summary_count_field_name") else None
        if any(isinstance(each, Mapping) and each.get("function") == METRIC for each in given or []):
            raise ValueError(f"function '{METRIC}' cannot be used with summary_count_field_name; use min, max and mean")
        return value

    @field_validator("detectors", mode="before")
    @classmethod
    def _metric_is_three(cls, value: object) -> object:
        return [each for given in value for each in meant(given)] if isinstance(value, list) else value

    @field_validator("categorization_filters")
    @classmethod
    def _filters_can_be_used(cls, value: list[str]) -> list[str]:
        return check_filters(value)

    @field_validator("time_zone")
    @classmethod
    def _zone_is_known(cls, value: str) -> str:
        return known_zone(value)

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
        if any(detector.kind == "time" for detector in self.detectors) and self.bucket_span > TIME_SPAN_MOST:
            raise ValueError(f"time_of_day and time_of_week need a bucket_span of at most {format_span(TIME_SPAN_MOST)}")
        self._prunes_whole_buckets()
        self._fields_fit()
        self._aggregations_fit()
        check_categorization(self)
        descriptions = [detector.model_dump_json() for detector in self.detectors]
        if len(set(descriptions)) < len(descriptions):
            raise ValueError("detectors: two detectors are the same")
        return self

    def _prunes_whole_buckets(self) -> None:
        if window := self.model_prune_window:
            if window < 2 * self.bucket_span:
                raise ValueError(f"model_prune_window must be at least two bucket spans, {format_span(2 * self.bucket_span)}")
            if window % self.bucket_span:
                raise ValueError(f"model_prune_window must be a multiple of the bucket_span, {format_span(self.bucket_span)}")

    def _fields_fit(self) -> None:
        """Elastic's rules for the fields of a job."""
        check_name(self.summary_count_field_name, "summary_count_field_name")
        check_name(self.categorization_field_name, "categorization_field_name")
        named = {getattr(detector, place) for detector in self.detectors for place in ("field_name", *SPLIT_FIELDS)}
        named |= {detector.other.field_name for detector in self.detectors if detector.other}
        if self.time_field in {*named, *self.influencers, self.summary_count_field_name}:
            raise ValueError(f"the time_field '{self.time_field}' can be no field of detectors, influencer or summary count")

    def _aggregations_fit(self) -> None:
        """Elastic's rules for datafeeds that aggregate."""
        if self.datafeed.aggregations is None:
            if self.summary_count_field_name == "doc_count":
                raise ValueError("summary_count_field_name: doc_count is what aggregations of a datafeed answer; there are none")
            return
        if self.summary_count_field_name is None:
            raise ValueError("summary_count_field_name must be given where the datafeed has aggregations; it is often doc_count")
        interval, _ = self.aggregation_interval, list(aggregation_names(self.datafeed.aggregations))
        if interval > self.bucket_span or self.bucket_span % interval:
            raise ValueError(
                f"datafeed.aggregations: the date_histogram's interval {format_span(interval)} must divide the bucket_span "
                f"{format_span(self.bucket_span)}"
            )
        if self.datafeed.frequency and self.datafeed.frequency % interval:
            raise ValueError(f"datafeed.frequency must be a multiple of the aggregations' interval {format_span(interval)}")
        for detector in self.detectors:
            if detector.spec.metric in ("info_content", "place"):
                raise ValueError(f"function '{detector.function}' cannot be used where the datafeed has aggregations")
            for name in ("query", "given", "per"):
                if getattr(detector, name) is not None:
                    raise ValueError(f"a detector's '{name}' cannot be used where the datafeed has aggregations")

    @property
    def aggregation_interval(self) -> timedelta:
        """How far apart the rows of the datafeed's aggregations are."""
        return interval_of(self.datafeed.aggregations or {})

    @property
    def meaning(self) -> dict[str, Any]:
        """What models and scores depend on."""
        training = self.training.model_dump(mode="json", include=_LEARNED)
        what: dict[str, Any] = {"indices": self.datafeed.indices, "query": self.datafeed.query, "training": training}
        what |= self.datafeed.model_dump(mode="json", include=_READ_LATER, exclude_defaults=True)
        meaning = {**self.model_dump(mode="json", include=_MEANT), **what}
        meaning["detectors"] = [meaning_of(detector) for detector in self.detectors]
        # came later: jobs that do not use them keep their version
        meaning |= self.training.model_dump(mode="json", include=_LEARNED_LATER, exclude_defaults=True)
        meaning |= self.model_dump(mode="json", include=_MEANT_LATER, exclude_defaults=True)
        return meaning

    @property
    def version(self) -> str:
        """Hash of what models and scores depend on: definitions that differ in words, schedules or checks only share it."""
        return hashlib.sha256(orjson.dumps(self.meaning, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]

    @property
    def known(self) -> Known:
        """The filters that its rules refer to, the calendars that are about it, and what people said of its records."""
        return self._known

    def knowing(self, known: Known) -> Job:
        """The same job with other filters, calendars and feedback."""
        job = self.model_copy()
        job._known = known
        return job

    @property
    def categorises(self) -> bool:
        """Whether any detector splits by the kind of message."""
        return any(categorises(detector) for detector in self.detectors)

    @property
    def zone(self) -> ZoneInfo:
        """Whose clock counts."""
        return ZoneInfo(self.time_zone)

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
        found = []
        if asked and asked < self.bucket_span:
            found.append(f"frequency {format_span(asked)} is below the bucket span; raised to {format_span(self.bucket_span)}")
        for number, detector in enumerate(self.detectors):
            excluded, there = detector.exclude_frequent, {"by": detector.by_field_name, "over": detector.over_field_name}
            if not (excluded == "none" or (any(there.values()) if excluded == "all" else there[excluded])):
                wanted = "a by or over field" if excluded == "all" else f"{excluded}_field_name"
                found.append(f"detectors.{number}: exclude_frequent '{excluded}' has no effect without {wanted}")
        return found

    @property
    def span_seconds(self) -> int:
        """The bucket span in whole seconds."""
        return int(self.bucket_span.total_seconds())

    @property
    def backtest_span(self) -> timedelta:
        """The held-back end of the training window, in whole buckets."""
        wanted = self.training.backtest or self.training.window / 7
        return max(1, round(wanted / self.bucket_span)) * self.bucket_span
