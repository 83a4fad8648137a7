"""Categorisation in a job: kinds of messages as values that detectors split by. Elastic's names, and its rules."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

from pydantic import Field

from driftline.core.definition import Definition

if TYPE_CHECKING:
    from driftline.core.detector import Detector
    from driftline.core.job import Job

MLCATEGORY = "mlcategory"  # the name of the field that categories are values of
# What kinds of messages that turn out to be one category add up to is known for these alone.
ADDING = {"count", "sum", "non_null_sum", "min", "max"}
# What RE2, which needs no more time for hostile messages than for others, may not know though `re` does.
_DOUBTFUL = re.compile(r"\(\?[^:]|[*+?}]\+|\\[1-9A-Z]|\{\d{4}")


class PerPartition(Definition):
    """Whether each partition has categories of its own."""

    enabled: bool = Field(False, description="Categories belong to a value of the detectors' partition_field_name.")


def field_names(detector: Detector) -> list[str | None]:
    """The partition, by and over field."""
    return [detector.partition_field_name, detector.by_field_name, detector.over_field_name]


def categorises(detector: Detector) -> bool:
    """Whether a detector splits by category."""
    return MLCATEGORY in field_names(detector)


def check_filters(filters: list[str]) -> list[str]:
    """The filters, if they can be used.

    Raises:
        ValueError: Names the one that cannot, and why.
    """
    for number, pattern in enumerate(filters):
        if not pattern:
            raise ValueError(f"categorization_filters.{number} is empty")
        if problem := _problem(pattern):
            raise ValueError(
                f"categorization_filters.{number} '{pattern}' is no regular expression that can be used: {problem} "
                "(the syntax is RE2's, which has neither look-around nor references back)"
            )
    if len(set(filters)) < len(filters):
        raise ValueError("categorization_filters contain a duplicate")
    return filters


def _problem(pattern: str) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
        if not _DOUBTFUL.search(pattern):
            return None
    except (re.error, OverflowError, RecursionError):
        pass
    import pyarrow as pa  # late: only for what is not plain, and not where a DAG file is parsed
    import pyarrow.compute as pc

    try:
        pc.replace_substring_regex(pa.array([""]), pattern, "")
    except pa.ArrowInvalid as error:
        return str(error).removeprefix("Invalid regular expression: ")
    return None


def check_categorization(job: Job) -> None:
    """Elastic's rules for jobs with categories, and ours.

    Raises:
        ValueError: What does not fit.
    """
    using = [detector for detector in job.detectors if categorises(detector)]
    if job.categorization_field_name is None:
        _check_without(job, bool(using))
        return
    if not using:
        raise ValueError(
            f"categorization_field_name is set, but no detector uses '{MLCATEGORY}' as its by_field_name, over_field_name or "
            "partition_field_name"
        )
    if job.categorization_field_name == MLCATEGORY:
        raise ValueError(f"categorization_field_name: '{MLCATEGORY}' is what categories are called; name the field with messages")
    if job.datafeed.aggregations:
        raise ValueError("categorization_field_name cannot be used where the datafeed has aggregations: messages are read")
    for detector in using:
        metric = detector.spec.metric
        if metric not in ADDING:
            raise ValueError(
                f"function '{detector.function}' cannot be used with {MLCATEGORY}: what it is of several kinds of messages does "
                "not add up to what it is of their category; use a count, sum, min, max or rare"
            )
    if job.per_partition_categorization.enabled:
        _check_partitions(using)


def _check_without(job: Job, using: bool) -> None:
    if using:
        raise ValueError(
            f"{MLCATEGORY} is used by a detector, but categorization_field_name is not set: name the field of messages"
        )
    if job.categorization_filters:
        raise ValueError("categorization_filters require categorization_field_name")
    if job.per_partition_categorization.enabled:
        raise ValueError("per_partition_categorization requires categorization_field_name")


def _check_partitions(using: list[Detector]) -> None:
    names = {detector.partition_field_name for detector in using}
    if None in names or MLCATEGORY in names:
        raise ValueError(
            f"partition_field_name must be set, to another field than {MLCATEGORY}, in each detector that uses {MLCATEGORY} when "
            "per-partition categorization is enabled"
        )
    if len(names) > 1:
        raise ValueError(
            f"partition_field_name must be the same in all detectors that use {MLCATEGORY} when per-partition categorization is "
            f"enabled, not {' and '.join(sorted(map(str, names)))}"
        )
