"""A detector: one function over one field, how it splits the documents, and which of its findings count. Elastic ML's terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from driftline.core.definition import Definition, check_name
from driftline.core.functions import METRIC, METRIC_MEANS, Function, find_function
from driftline.core.metric import Metric, check_query, check_related, describe
from driftline.core.rules import Rule

Kind = Literal["series", "population", "rare", "time", "place", "given"]
NOT_OVER = {"non_zero_count", "high_non_zero_count", "low_non_zero_count"}
_RESERVED = {"count", "by", "over"}  # Elastic's names for what is no by or over field
_DETECTOR_LATER = {"over_field_name", "use_null", "exclude_frequent", "query", "given", "per"}
_TIME_ONLY = {"rare", "freq_rare", "lat_long"}  # functions without a value that a rule could compare
SPLIT_FIELDS = ("partition_field_name", "by_field_name", "over_field_name")


class Detector(Definition):
    """One function over one field, optionally split into a series for each value of one or two fields, or over a population."""

    function: str = Field(
        description="count, non_zero_count, distinct_count, mean, min, max, sum, non_null_sum, median, varp, std_deviation, "
        "info_content, with high_ or low_ in front for one side only; rare, freq_rare, time_of_day, time_of_week, lat_long; "
        "metric is min, max and mean"
    )
    field_name: str | None = Field(None, min_length=1, description="The field that the function reads. Not for count.")
    partition_field_name: str | None = Field(None, min_length=1, description="A series of its own for each value of this field.")
    by_field_name: str | None = Field(None, min_length=1, description="A second split within the partition; what is rare.")
    over_field_name: str | None = Field(
        None, min_length=1, description="The members of a population: each is compared with the others in the same bucket."
    )
    use_null: bool = Field(False, description="Whether documents without a split field are a series of their own.")
    exclude_frequent: Literal["all", "by", "over", "none"] = Field(
        "none", description="Leaves out by or over values that are there in more than a tenth of all buckets."
    )
    query: dict[str, Any] | None = Field(
        None, description="An Elasticsearch query: of what the datafeed gives, the function reads only what matches."
    )
    given: Metric | None = Field(
        None, description="Another metric: what is judged is this one at so much of the other, such as load at so many requests."
    )
    per: Metric | None = Field(
        None, description="Another metric: what is judged is this one for each of the other, such as errors per request."
    )
    detector_description: str | None = None
    custom_rules: list[Rule] = Field(default_factory=list, description="What is no anomaly, or no lesson; see below.")

    @model_validator(mode="after")
    def _consistent(self) -> Detector:
        """Elastic's own rules."""
        function, name = find_function(self.function), self.function
        if function.needs_field and not self.field_name:
            raise ValueError(f"function '{name}' needs a field_name")
        if not function.needs_field and self.field_name:
            fix = "" if function.family != "measured" else f"; use sum or mean to measure '{self.field_name}'"
            raise ValueError(f"function '{name}' takes no field_name{fix}")
        if function.family in ("rare", "freq_rare") and not self.by_field_name:
            raise ValueError(f"function '{name}' needs a by_field_name: the field whose values may be rare")
        if function.family == "freq_rare" and not self.over_field_name:
            raise ValueError(f"function '{name}' needs an over_field_name: the members that may have rare values often")
        if function.name in NOT_OVER and self.over_field_name:
            raise ValueError(f"function '{name}' takes no over_field_name; use count")
        check_query(self.query, function)
        if self.given or self.per:
            check_related(function, self.field_name, self.query, self.given, self.per)
            if self.over_field_name:
                word = "per" if self.per else "given"
                raise ValueError(f"{word} cannot be used with over_field_name yet; use partition_field_name or by_field_name")
        self._names_fit()
        self._splits_differ()
        self._rules_fit()
        return self

    def _names_fit(self) -> None:
        for place in ("field_name", *SPLIT_FIELDS):
            check_name(getattr(self, place), place)

    def _rules_fit(self) -> None:
        splits = {self.partition_field_name, self.by_field_name, self.over_field_name} - {None}
        for rule in self.custom_rules:
            for name in rule.scope.keys() - splits:
                known = ", ".join(f"'{split}'" for split in sorted(splits, key=str)) or "there is none"
                raise ValueError(f"custom_rules: scope '{name}' is not a split field of the detector ({known})")
            if self.function in _TIME_ONLY and any(condition.applies_to != "time" for condition in rule.conditions):
                raise ValueError(f"custom_rules: with function '{self.function}' conditions are on time only")

    def _splits_differ(self) -> None:
        given: dict[str, str] = {}
        for split in SPLIT_FIELDS:
            value = getattr(self, split)
            if value is None:
                continue
            if value in given:
                raise ValueError(f"{split} and {given[value]} must differ")
            if value in _RESERVED and split != "partition_field_name":
                raise ValueError(f"{split}: '{value}' is not permitted as a field's name")
            given[value] = split

    @property
    def spec(self) -> Function:
        """The function's entry in the table."""
        return find_function(self.function)

    @property
    def is_average(self) -> bool:
        """Whether values are averages of all documents that are read, the less noisy the more of these there are."""
        return self.spec.metric in ("mean", "median") and self.query is None

    @property
    def is_sum(self) -> bool:
        """Whether values are sums of documents, the noisier the more there is."""
        return self.spec.metric in ("sum", "non_null_sum")

    @property
    def other(self) -> Metric | None:
        """The metric that this one is judged against."""
        return self.given or self.per

    @property
    def kind(self) -> Kind:
        """What looks at it: a model of each series, or something that compares what is there."""
        if self.other is not None:
            return "given"
        family = self.spec.family
        if family == "freq_rare" or (family == "measured" and self.over_field_name):
            return "population"
        return "series" if family == "measured" else family

    @property
    def description(self) -> str:
        """Elastic's one-line form: `mean(bytes) by url over clientip partitionfield=host`."""
        if self.detector_description:
            return self.detector_description
        text = describe(self.function, self.field_name, self.query)
        if self.other is not None:
            text += f" {'per' if self.per else 'given'} {self.other.description}"
        for word, name in (("by", self.by_field_name), ("over", self.over_field_name)):
            text += f" {word} {name}" if name else ""
        return text + (f" partitionfield={self.partition_field_name}" if self.partition_field_name else "")


def meant(given: object) -> list[object]:
    """The detectors that one of a definition stands for.

    Raises:
        ValueError: It is a metric with a rule about one number, where there are three.
    """
    if isinstance(given, Mapping) and given.get("function") == METRIC:
        rules = given.get("custom_rules") or []
        parts = [part for rule in rules if isinstance(rule, Mapping) for part in rule.get("conditions") or []]
        if any(isinstance(part, Mapping) and part.get("applies_to") != "time" for part in parts):
            raise ValueError(f"custom_rules: with function '{METRIC}' conditions are on time only")
        return [{**given, "function": function} for function in METRIC_MEANS]
    return [given]


def meaning_of(detector: Detector) -> dict[str, Any]:
    """What a job's version is made of; fields that came later count only where they are used."""
    before = detector.model_dump(mode="json", exclude={*_DETECTOR_LATER, "custom_rules"})
    return before | detector.model_dump(mode="json", include=_DETECTOR_LATER, exclude_defaults=True)
