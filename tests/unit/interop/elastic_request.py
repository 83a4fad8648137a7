"""What Elastic documents of the bodies of PUT _ml/anomaly_detectors/<job_id> and PUT _ml/datafeeds/<datafeed_id>, as models.

Fields, nesting and types are those of its specification (ml/put_job, ml/put_datafeed, ml/_types); the checks between fields are
those that its server makes before it takes a job. Anything that is not here is refused, as the server refuses it.
"""

from __future__ import annotations

import itertools
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, model_validator

_SECONDS = {"nanos": 1e-9, "micros": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
FUNCTIONS = {
    f"{side}{name}"
    for name in (
        "count", "non_zero_count", "nzc", "distinct_count", "dc", "info_content", "mean", "avg", "median", "sum", "non_null_sum",
        "varp",
    )
    for side in ("", "low_", "high_")
} | {"rare", "freq_rare", "metric", "min", "max", "time_of_day", "time_of_week", "lat_long"}  # fmt: skip
_COUNTS = {f"{side}{name}" for name in ("count", "non_zero_count", "nzc") for side in ("", "low_", "high_")}
WITHOUT_FIELD = _COUNTS | {"rare", "freq_rare", "time_of_day", "time_of_week"}


def seconds(duration: str) -> float:
    """A duration of one number and one unit, the only form that there is."""
    match = re.fullmatch(r"(\d+)(nanos|micros|ms|s|m|h|d)", duration)
    if not match:
        raise ValueError(f"{duration} is no duration")
    return int(match[1]) * _SECONDS[match[2]]


def _duration(value: str) -> str:
    seconds(value)
    return value


def _id(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9_\-]{0,62}[a-z0-9])?", value):
        raise ValueError(f"{value} is no id")
    return value


def _field(value: str) -> str:
    if not value or value == "." or any(each in '"\\' or ord(each) < 32 for each in value):
        raise ValueError(f"{value!r} is no field's name")
    return value


Duration = Annotated[StrictStr, AfterValidator(_duration)]
Id = Annotated[StrictStr, AfterValidator(_id)]
Name = Annotated[StrictStr, AfterValidator(_field)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FilterRef(Part):
    filter_id: Id
    filter_type: Literal["include", "exclude"] = "include"


class Condition(Part):
    applies_to: Literal["actual", "typical", "diff_from_typical", "time"]
    operator: Literal["lt", "lte", "gt", "gte"]
    value: float


class Rule(Part):
    # the third action and params are what the server makes of events of calendars; they are not in the specification
    actions: list[Literal["skip_result", "skip_model_update", "force_time_shift"]] = Field(["skip_result"], min_length=1)
    conditions: list[Condition] = []
    scope: dict[Name, FilterRef] = {}
    params: dict[Literal["force_time_shift"], dict[Literal["time_shift_amount"], StrictInt]] = {}

    @model_validator(mode="after")
    def _about_something(self) -> Rule:
        assert self.conditions or self.scope
        return self


class Detector(Part):
    function: StrictStr
    field_name: Name | None = None
    by_field_name: Name | None = None
    over_field_name: Name | None = None
    partition_field_name: Name | None = None
    detector_description: StrictStr | None = None
    detector_index: StrictInt | None = None
    exclude_frequent: Literal["all", "none", "by", "over"] | None = None
    use_null: StrictBool = False
    custom_rules: list[Rule] = []

    @property
    def splits(self) -> list[str]:
        return [name for name in (self.partition_field_name, self.by_field_name, self.over_field_name) if name]

    @model_validator(mode="after")
    def _fits(self) -> Detector:
        assert self.function in FUNCTIONS, f"unknown function {self.function}"
        assert (self.field_name is None) == (self.function in WITHOUT_FIELD), "field_name"
        assert self.by_field_name or self.function not in ("rare", "freq_rare"), "by_field_name"
        assert self.over_field_name or self.function != "freq_rare", "over_field_name"
        assert not (self.over_field_name and ("non_zero" in self.function or "nzc" in self.function)), "over_field_name"
        assert len(set(self.splits)) == len(self.splits), "splits are the same"
        assert not {self.by_field_name, self.over_field_name} & {"count", "by", "over"}, "reserved"
        for rule in self.custom_rules:
            assert rule.scope.keys() <= set(self.splits), "scope"
            numbers = any(condition.applies_to != "time" for condition in rule.conditions)
            assert not (numbers and self.function in ("lat_long", "metric", "rare", "freq_rare")), "conditions"
        return self


class PerPartition(Part):
    enabled: StrictBool = False
    stop_on_warn: StrictBool = False


class AnalysisConfig(Part):
    bucket_span: Duration = "5m"
    categorization_analyzer: str | dict[str, Any] | None = None
    categorization_field_name: Name | None = None
    categorization_filters: list[StrictStr] | None = None
    detectors: list[Detector] = Field(min_length=1)
    influencers: list[Name] = []
    latency: Duration | None = None
    model_prune_window: Duration | None = None
    multivariate_by_fields: StrictBool | None = None
    per_partition_categorization: PerPartition | None = None
    summary_count_field_name: Name | None = None

    @model_validator(mode="after")
    def _fits(self) -> AnalysisConfig:
        span = seconds(self.bucket_span)
        assert span >= 1, "bucket_span"
        assert span % 1 == 0, "bucket_span"
        if self.model_prune_window:
            buckets = seconds(self.model_prune_window) / span
            assert buckets >= 2, "model_prune_window"
            assert buckets % 1 == 0, "model_prune_window"
        assert not (self.summary_count_field_name and any(each.function == "metric" for each in self.detectors)), "metric"
        names = sorted({*self.influencers, *(name for each in self.detectors for name in each.splits)})
        assert not [1 for one, two in itertools.pairwise(names) if two.startswith(f"{one}.")], "nested names"
        return self


class AnalysisLimits(Part):
    categorization_examples_limit: StrictInt | None = None
    model_memory_limit: StrictStr | StrictInt | None = None


class DataDescription(Part):
    format: StrictStr | None = None
    time_field: Name = "time"
    time_format: StrictStr = "epoch"


class ModelPlotConfig(Part):
    enabled: StrictBool = False
    annotations_enabled: StrictBool | None = None
    terms: StrictStr | None = None


class ChunkingConfig(Part):
    mode: Literal["auto", "manual", "off"]
    time_span: Duration | None = None


class DelayedDataCheckConfig(Part):
    enabled: StrictBool
    check_window: Duration | None = None

    @model_validator(mode="after")
    def _not_too_long(self) -> DelayedDataCheckConfig:
        assert not self.check_window or 0 < seconds(self.check_window) <= 86400, "check_window"
        return self


class IndicesOptions(Part):
    allow_no_indices: StrictBool | None = None
    expand_wildcards: StrictStr | list[StrictStr] | None = None
    ignore_throttled: StrictBool | None = None
    ignore_unavailable: StrictBool | None = None


class Script(Part):
    source: StrictStr | None = None
    id: StrictStr | None = None
    lang: StrictStr | None = None
    params: dict[str, Any] | None = None


class ScriptField(Part):
    script: Script | StrictStr
    ignore_failure: StrictBool | None = None


class RuntimeField(BaseModel):
    type: Literal["boolean", "composite", "date", "double", "geo_point", "geo_shape", "ip", "keyword", "long", "lookup"]


class DatafeedConfig(Part):
    aggregations: dict[str, dict[str, Any]] | None = None
    chunking_config: ChunkingConfig | None = None
    datafeed_id: Id | None = None
    delayed_data_check_config: DelayedDataCheckConfig | None = None
    frequency: Duration | None = None
    indices: list[StrictStr] = Field(min_length=1)
    indices_options: IndicesOptions | None = None
    job_id: Id | None = None
    max_empty_searches: StrictInt | None = None
    project_routing: StrictStr | None = None
    query: dict[str, Any] = {"match_all": {}}
    query_delay: Duration | None = None
    runtime_mappings: dict[str, RuntimeField] | None = None
    script_fields: dict[str, ScriptField] | None = None
    scroll_size: StrictInt | None = None

    @model_validator(mode="after")
    def _fits(self) -> DatafeedConfig:
        assert not (self.aggregations and self.script_fields), "script_fields"
        assert self.frequency is None or (seconds(self.frequency) >= 1 and seconds(self.frequency) % 1 == 0), "frequency"
        return self

    def histogram(self) -> tuple[dict[str, Any], str]:
        """The aggregation that cuts the time, whose inner ones have the newest time; and its interval."""
        found, depth = dict(self.aggregations or {}), 0
        while True:
            assert len(found) == 1, "the histogram has siblings"
            (body,) = found.values()
            inner = body.get("aggregations") or body.get("aggs") or {}
            if "date_histogram" in body or "composite" in body:
                break
            found, depth = inner, depth + 1
        sources = [part for each in body.get("composite", {}).get("sources", []) for part in each.values()] or [body]
        assert not (depth and "composite" in body), "a composite is not at the top"
        (histogram,) = [part["date_histogram"] for part in sources if "date_histogram" in part]
        assert {"max": {"field": histogram["field"]}} in inner.values(), "the newest time is missing"
        return histogram, histogram.get("fixed_interval") or histogram.get("interval") or histogram["calendar_interval"]


class PutJob(Part):
    job_id: Id
    allow_lazy_open: StrictBool = False
    analysis_config: AnalysisConfig
    analysis_limits: AnalysisLimits | None = None
    background_persist_interval: Duration | None = None
    custom_settings: Any = None
    daily_model_snapshot_retention_after_days: StrictInt | None = None
    data_description: DataDescription
    datafeed_config: DatafeedConfig
    description: StrictStr | None = None
    groups: list[Id] = []
    model_plot_config: ModelPlotConfig | None = None
    model_snapshot_retention_days: StrictInt | None = None
    renormalization_window_days: StrictInt | None = None
    results_index_name: StrictStr | None = None
    results_retention_days: StrictInt | None = None

    @model_validator(mode="after")
    def _fits(self) -> PutJob:
        analysis, feed = self.analysis_config, self.datafeed_config
        assert self.job_id not in self.groups, "groups"
        assert not analysis.latency or not seconds(analysis.latency), "latency is for jobs without a datafeed"
        fields = [name for each in analysis.detectors for name in (*each.splits, each.field_name)]
        assert self.data_description.time_field not in [*fields, *analysis.influencers, analysis.summary_count_field_name]
        if feed.aggregations:
            assert analysis.summary_count_field_name, "summary_count_field_name"
            interval = seconds(feed.histogram()[1])
            assert seconds(analysis.bucket_span) % interval == 0, "interval"
            assert feed.frequency is None or seconds(feed.frequency) % interval == 0, "frequency"
        return self
