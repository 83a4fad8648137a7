"""The other metric of a detector that judges one given another, and which ones go together."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import Field, model_validator

from driftline.core.definition import Definition, check_name
from driftline.core.functions import Function, find_function

ADDS_UP = {"count", "sum", "non_null_sum"}  # metrics of which one can be a part of another


class Metric(Definition):
    """What a detector's metric is judged against."""

    function: str = Field(
        description="count, non_zero_count, distinct_count, mean, min, max, sum, non_null_sum, median, varp, std_deviation"
    )
    field_name: str | None = Field(None, min_length=1, description="The field that the function reads. Not for count.")
    query: dict[str, Any] | None = Field(
        None, description="An Elasticsearch query: only what matches is read. The detector's own query does not count here."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Metric:
        function = check_measured(self.function, self.field_name)
        if function.side != "both":
            raise ValueError(f"function '{self.function}' looks at one side; here it is only read: use {function.metric}")
        check_name(self.field_name, "field_name")
        check_query(self.query, function)
        return self

    @property
    def spec(self) -> Function:
        """The function's entry in the table."""
        return find_function(self.function)

    @property
    def description(self) -> str:
        """In one line: `count`, `mean(bytes) where …`."""
        return describe(self.function, self.field_name, self.query)


def check_measured(name: str, field_name: str | None) -> Function:
    """The function of a metric that can be judged given another, or be that other.

    Raises:
        ValueError: It measures nothing that could be, or its field is missing, or there is one too many.
    """
    function = find_function(name)
    if function.family != "measured" or function.metric == "info_content":
        raise ValueError(f"function '{name}' does not measure what could be judged given another metric")
    if function.needs_field != bool(field_name):
        raise ValueError(f"function '{name}' {'needs a' if function.needs_field else 'takes no'} field_name")
    return function


def check_query(query: dict[str, Any] | None, function: Function) -> None:
    """Whether a query can narrow what a function reads.

    Raises:
        ValueError: It is not one clause, or the function takes none.
    """
    if query is None:
        return
    if len(query) != 1:
        raise ValueError("query: an Elasticsearch query of one clause is expected, such as {term: {event.outcome: failure}}")
    if function.metric == "info_content":
        raise ValueError(f"function '{function.name}' takes no query; give the datafeed one")


def check_related(
    function: Function, field_name: str | None, query: dict[str, Any] | None, given: Metric | None, per: Metric | None
) -> None:
    """Whether one metric can be judged given another, or as so much for each of it.

    Raises:
        ValueError: It cannot; why.
    """
    if given and per:
        raise ValueError("given and per exclude each other: 'per' judges a share, 'given' a value at so much of the other")
    check_measured(function.name, field_name)
    for word, other in (("given", given), ("per", per)):
        if other and (function.metric, field_name, query) == (other.spec.metric, other.field_name, other.query):
            raise ValueError(f"{word}: it is the same metric; what is judged must differ, by its function, field_name or query")
    for spec, place in ((function, "function"), (per.spec, "per.function")) if per else ():
        if spec.metric not in ADDS_UP:
            raise ValueError(
                f"{place} '{spec.name}' cannot be a share's: only counts and sums add up, so that one is so much for each of the "
                "other; use 'given' to judge it by the other metric"
            )


def describe(function: str, field_name: str | None, query: dict[str, Any] | None) -> str:
    """A metric in one line; of a long query the beginning."""
    text = f"{function}({field_name})" if field_name else function
    if query is None:
        return text
    said = canonical(query)
    return f"{text} where {said if len(said) <= 80 else said[:79] + '…'}"


def canonical(query: dict[str, Any] | None) -> str:
    """A query as text, the same for the same query; empty where there is none."""
    return "" if query is None else orjson.dumps(query, option=orjson.OPT_SORT_KEYS).decode()
