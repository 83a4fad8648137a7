"""Great-expectations on frames in memory: one context for the process, results found again by the check's own name."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

CHECK = "driftline_check"
FORMAT = {"result_format": "COMPLETE", "return_unexpected_index_query": False}


@cache
def _batch_definition() -> Any:  # noqa: ANN401 - great-expectations has no types
    """An ephemeral context's whole-frame batch definition. Making one takes 5 ms, importing the library seconds."""
    import great_expectations as gx

    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # it tells of every function it registers
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(enable=False)  # nothing about a user's data leaves the house
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    return context.data_sources.add_pandas("frames").add_dataframe_asset("frame").add_batch_definition_whole_dataframe("whole")


def validate(frame: pd.DataFrame, expectations: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Validates a frame.

    Args:
        frame: Any frame; its index must be 0, 1, 2, …
        expectations: Check name → (expectation class, its arguments).

    Returns:
        Check name → `success`, `unexpected` (row numbers), `observed` (an aggregate's value), `error` (why it could not be
        judged, e.g. a missing column) or None.
    """
    import great_expectations as gx
    import great_expectations.expectations as known

    planned = [getattr(known, kind)(**arguments, meta={CHECK: name}) for name, (kind, arguments) in expectations.items()]
    batch = _batch_definition().get_batch({"dataframe": frame})
    found = batch.validate(gx.ExpectationSuite(name="gate", expectations=planned), result_format=FORMAT)
    return {result.expectation_config.meta[CHECK]: _plain(result) for result in found.results}


def _plain(result: Any) -> dict[str, Any]:  # noqa: ANN401 - great-expectations has no types
    return {
        "success": bool(result.success),
        "unexpected": [int(row) for row in result.result.get("unexpected_index_list") or []],
        "observed": result.result.get("observed_value"),
        "error": None if result.result else _exception(result.exception_info or {}),
    }


def _exception(info: dict[str, Any]) -> str:
    """The message of an expectation that raised: a metric's entry, or one for the whole expectation."""
    entries = [info] if "exception_message" in info else [entry for entry in info.values() if isinstance(entry, dict)]
    messages = [str(entry["exception_message"]) for entry in entries if entry.get("exception_message")]
    return messages[0].splitlines()[0][:300] if messages else "it could not be judged"
