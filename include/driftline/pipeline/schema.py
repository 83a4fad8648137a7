"""The JSON Schemas of job and source files, for editors that complete and check as one types."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import TypeAdapter

from driftline.core.job import Job
from driftline.core.source import Source


def json_schema(kind: Literal["job", "source"] | str) -> dict[str, Any]:
    """The schema of one kind of definition (draft 2020-12)."""
    model: Any = Job if kind == "job" else Source
    schema = TypeAdapter(model).json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Driftline {kind}",
        **schema,
    }
