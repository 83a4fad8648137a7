"""The JSON Schemas of job and source files, for editors that complete and check as one types."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import TypeAdapter

from driftline.core.analysis import Analysis
from driftline.core.functions import FUNCTIONS
from driftline.core.job import Job
from driftline.core.signature import Signatures
from driftline.core.source import Source
from driftline.core.timespan import format_span

_SPAN = {"anyOf": [{"type": "string", "pattern": r"^\s*(\d+(\.\d+)?\s*(ms|s|m|h|d|w)?\s*)+$"}, {"type": "number"}]}
_ONE_OR_MANY = {"indices", "paths", "index"}
_MODELS: dict[str, Any] = {"job": Job, "source": Source, "analytics": Analysis, "signatures": Signatures}


def json_schema(kind: Literal["job", "source", "analytics", "signatures"] | str) -> dict[str, Any]:
    """The schema of one kind of definition (draft 2020-12). It accepts what `Definition.load` accepts."""
    schema = TypeAdapter(_MODELS[kind]).json_schema(mode="validation")
    found: dict[str, Any] = _as_written(schema)
    if kind == "job":
        found["$defs"]["Detector"]["properties"]["function"]["examples"] = list(FUNCTIONS)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Driftline {kind}",
        **{key: value for key, value in found.items() if key != "title"},
    }


def _as_written(node: Any) -> Any:  # noqa: ANN401 - any JSON
    """The schema of what people write, where pydantic describes what is read from it: `15m`, `now-7d`, one for a list."""
    if isinstance(node, list):
        return [_as_written(part) for part in node]
    if not isinstance(node, dict):
        return node
    if node.get("format") == "duration":
        others = {key: value for key, value in node.items() if key not in {"format", "type"}}
        if "default" in others:  # pydantic writes PT1M, which nobody here reads
            others["default"] = format_span(TypeAdapter(timedelta).validate_python(others["default"]))
        return {**others, **_SPAN}
    if node.get("format") == "date-time":
        others = {key: value for key, value in node.items() if key not in {"format", "type"}}
        return {**others, "anyOf": [{"type": "string"}, {"type": "number"}]}
    renewed = {key: _as_written(value) for key, value in node.items()}
    for name in _ONE_OR_MANY & renewed.keys():
        field = renewed[name]
        if isinstance(field, dict) and field.get("type") == "array":
            listed = {key: field[key] for key in ("type", "items", "minItems") if key in field}
            others = {key: value for key, value in field.items() if key not in listed}
            renewed[name] = {**others, "anyOf": [{"type": "string"}, listed]}
    return renewed
