"""The quality gate: great-expectations over raw rows and over series, with a verdict a check and a report a run. Pure."""

from driftline.quality.checks import CheckResult, worst
from driftline.quality.report import Report, render
from driftline.quality.rows import RowCheck, RowRules, check_rows, row_results
from driftline.quality.series import check_series

__all__ = ["CheckResult", "Report", "RowCheck", "RowRules", "check_rows", "check_series", "render", "row_results", "worst"]
