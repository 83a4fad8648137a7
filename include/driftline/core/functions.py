"""The detector functions: what each reads from Elasticsearch, which side it looks at, and what an empty bucket means.

Names and meanings are those of Elastic's anomaly detection ("Function reference" of its documentation); only std_deviation is
our own.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

Side = Literal["both", "high", "low"]
Family = Literal["measured", "rare", "freq_rare", "time", "place"]


@dataclass(frozen=True)
class Function:
    """One detector function.

    Attributes:
        name: As written in a job.
        metric: The quantity: count, distinct_count, mean, min, max, sum, non_null_sum, median, varp, std_deviation,
            info_content, or place.
        side: Which deviations it reports.
        needs_field: Whether `field_name` must be given (count takes none).
        empty_is_zero: Whether a bucket without documents is a 0 (counts, sums) rather than missing.
        family: How it is looked at: as a number that is measured, or as something that is rare.
    """

    name: str
    metric: str
    side: Side
    needs_field: bool
    empty_is_zero: bool
    family: Family = "measured"

    @property
    def described(self) -> str:
        """What Elastic's results call the quantity."""
        if self.family != "measured":
            return self.name
        return "sum" if self.metric == "non_null_sum" else self.metric


_TWO_SIDED = (
    "count", "non_zero_count", "distinct_count", "mean", "sum", "non_null_sum", "median", "varp", "std_deviation",
    "info_content",
)  # fmt: skip
_METRICS = {"non_zero_count": "count"}
_RARE: dict[str, Family] = {"rare": "rare", "freq_rare": "freq_rare", "time_of_day": "time", "time_of_week": "time"}


def _table() -> dict[str, Function]:
    table = {}
    for name, metric in ((name, _METRICS.get(name, name)) for name in _TWO_SIDED):
        for prefix, side in (("", "both"), ("high_", "high"), ("low_", "low")):
            zero = name in ("count", "distinct_count", "sum", "info_content")
            table[prefix + name] = Function(prefix + name, metric, side, metric != "count", zero)  # type: ignore[arg-type]
    for metric in ("min", "max"):
        table[metric] = Function(metric, metric, "both", True, False)
    for name, family in _RARE.items():
        table[name] = Function(name, "count", "high", False, False, family)
    table["lat_long"] = Function("lat_long", "place", "both", True, False, "place")
    return table


FUNCTIONS = _table()
METRIC = "metric"  # stands for three functions of the same field
METRIC_MEANS = ("min", "max", "mean")
_ALIASES = {"avg": "mean", "high_avg": "high_mean", "low_avg": "low_mean", "c": "count", "dc": "distinct_count",
            "high_dc": "high_distinct_count", "low_dc": "low_distinct_count", "nzc": "non_zero_count",
            "high_nzc": "high_non_zero_count", "low_nzc": "low_non_zero_count"}  # fmt: skip


def find_function(name: str) -> Function:
    """The function of that name (Elastic's short names included).

    Raises:
        ValueError: No such function; the message names the nearest.
    """
    function = FUNCTIONS.get(_ALIASES.get(name, name))
    if function is None:
        nearest = difflib.get_close_matches(name, [*FUNCTIONS, *_ALIASES], n=1, cutoff=0)
        raise ValueError(f"unknown function '{name}'; did you mean '{nearest[0]}'? Known: {', '.join(FUNCTIONS)}")
    return function
