"""Writes what is derived from the code: the tables of docs/jobs.md and docs/sources.md, the schemas, the file of all defaults.

    .venv/bin/python docs/reference.py

A test compares the files with what this would write, so they cannot fall behind.
"""

from __future__ import annotations

import json
import re
import textwrap
from datetime import datetime, time, timedelta
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from driftline.core import alerts, analysis, categorization, detector, job, metric, rules, signature, source
from driftline.core.functions import FUNCTIONS
from driftline.core.paths import ROOT
from driftline.core.timespan import format_span
from driftline.pipeline.schema import json_schema

if TYPE_CHECKING:
    from pathlib import Path

DOCS = ROOT / "docs"
KINDS = ("job", "source", "analytics", "signatures")
WIDTH = 116
MODELS: dict[str, list[type[BaseModel]]] = {
    "analytics.md": [
        analysis.Analysis,
        analysis.Read,
        analysis.Dest,
        analysis.Classification,
        analysis.OutlierDetection,
        analysis.AnalyzedFields,
        analysis.Inference,
    ],
    "alerts.md": [alerts.Alert, alerts.Quiet, alerts.Channel],
    "jobs.md": [
        job.Job,
        detector.Detector,
        metric.Metric,
        job.Datafeed,
        job.Training,
        job.Forecast,
        job.Quality,
        job.Marker,
        job.DelayedData,
        job.ModelPlot,
        categorization.PerPartition,
    ],
    "signatures.md": [signature.Signatures, signature.Feature],
    "rules.md": [rules.Rule, rules.Condition, rules.Scope, rules.Filter, rules.Calendar, rules.ScheduledEvent],
    "sources.md": [source.Source, source.Files, source.Csv, source.Generator, source.RowQuality, source.IndexSettings],
}
# What a field means where its name says it so plainly that the model has no description.
MEANING = {
    "Alert.alert_id": "The alert's name, as an id of a job.",
    "Alert.description": "One line for people.",
    "Analysis.analytics_id": "The analysis' name, as an id of a job.",
    "Analysis.description": "One line for people.",
    "Analysis.source": "Which documents; see below.",
    "Analysis.dest": "Where they go with what was found; see below.",
    "Analysis.analysis": "One of `classification`, `regression`, `outlier_detection`; see below.",
    "Analysis.analyzed_fields": "Which fields are looked at; see below.",
    "OutlierDetection.method": "How unlike is measured; several ways together by default.",
    "Job.job_id": "The job's name: lower-case letters, digits, '-' and '_', at most 64.",
    "Job.description": "One line for people; the DAGs show it.",
    "Job.groups": "Words to find the job by; they become tags of its DAGs.",
    "Job.detectors": "What to look at, at least one; see below.",
    "Job.datafeed": "Where the documents are; see below.",
    "Job.training": "How models are trained; see below.",
    "Job.forecast": "How far to look ahead; see below.",
    "Job.quality": "The checks before training and scoring; see below.",
    "Job.model_plot_config": "Whether the bounds of every bucket are written; see below.",
    "Detector.detector_description": "A name for the detector. Default: made of the function and its fields.",
    "Quality.max_volume_ratio": "How many times more or less than before is still usual.",
    "Quality.min_partition_ratio": "The share of the usual number of series below which `partitions` fails.",
    "ModelPlot.enabled": "Write one `model_plot` document for each series and bucket. Many: use it on small jobs.",
    "Rule.params": "`{force_time_shift: {time_shift_amount: SECONDS}}`, for the action of that name.",
    "Condition.operator": "How: less, at most, more, at least.",
    "Condition.value": "With what.",
    "Filter.filter_id": "The filter's name, as an id of a job.",
    "Filter.description": "One line for people.",
    "Calendar.calendar_id": "The calendar's name, as an id of a job.",
    "Calendar.description": "One line for people.",
    "Calendar.events": "Scheduled events; see below.",
    "ScheduledEvent.description": "What it is.",
    "ScheduledEvent.start_time": "When it begins.",
    "ScheduledEvent.end_time": "When it is over.",
    "Source.source_id": "The source's name: lower-case letters, digits, '-' and '_', at most 64.",
    "Source.description": "One line for people; the DAG shows it.",
    "Source.files": "Rows that are read from files; see below.",
    "Source.generator": "Rows that are made up; see below.",
    "Source.quality": "What makes a row bad; see below.",
    "Source.index_settings": "Settings of the index; see below.",
    "Files.csv": "How a CSV file is cut into columns; see below.",
    "Generator.kind": "Which generator.",
    "Generator.seed": "The same seed gives the same rows.",
    "Generator.days": "How many days are generated.",
    "IndexSettings.shards": "Primary shards.",
}
# The least that makes a job; all else in the file of all defaults is what the code fills in.
LEAST = {"job_id": "example", "detectors": [{"function": "count"}], "datafeed": {"indices": ["example"]}}
HEAD = """\
# All options of a job with their defaults. A job file needs only what differs; the least is job_id, detectors with a
# function, and datafeed with indices. Spans are written 30s, 15m, 1h30m, 7d. `null` means: see the comment.
# This file is not read as a job: its name does not end in .yaml. Copy what you need. Reference: docs/jobs.md
# yaml-language-server: $schema=../../docs/schema/job.json
"""


def meaning(model: type[BaseModel], name: str) -> str:
    """What a field is for."""
    return model.model_fields[name].description or MEANING[f"{model.__name__}.{name}"]


def kind(annotation: Any, name: str = "") -> str:  # noqa: ANN401 - an annotation may be any typing construct
    """The type of a field in words."""
    plain = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        timedelta: "span",
        datetime: "time",
        time: "time of day",
    }
    if name == "schedule":
        return "cron, or `none`"
    if annotation in plain:
        return plain[annotation]
    origin, arguments = get_origin(annotation), [part for part in get_args(annotation) if part is not NoneType]
    if origin is Literal:
        return " · ".join(f"`{part}`" for part in arguments)
    if origin in {Union, UnionType}:
        return " or ".join(dict.fromkeys(kind(part) for part in arguments))
    if origin is list:
        return f"list of {kind(arguments[0])}"
    if origin is dict:
        return "mapping"
    if origin is tuple:
        return "pair"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return kind(origin_of(annotation))


def choices_of(annotation: Any) -> list[str]:  # noqa: ANN401 - as above
    """The values of a `Literal`."""
    return [str(part) for part in get_args(annotation)] if get_origin(annotation) is Literal else []


def origin_of(annotation: Any) -> Any:  # noqa: ANN401 - as above
    """What stands behind an `Annotated`."""
    return annotation.__origin__


def default(model: type[BaseModel], name: str) -> str:
    """A field's default as it is written in a file."""
    field = model.model_fields[name]
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return "as below"
    if isinstance(value, timedelta):
        return f"`{format_span(value)}`"
    if value is None or value == "":
        return "–"
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


def table(model: type[BaseModel]) -> str:
    """The table of one model's fields."""
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        cells = (f"`{field.alias or name}`", kind(field.annotation, name), default(model, name), meaning(model, name))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def functions() -> str:
    """The table of detector functions."""
    sides = {"both": "both", "high": "more than expected", "low": "less than expected"}
    rows = ["| function | looks for | `field_name` | a bucket without documents |", "|---|---|---|---|"]
    for function in FUNCTIONS.values():
        field = "needed" if function.needs_field else "none"
        empty = "is 0" if function.empty_is_zero else "is missing"
        rows.append(f"| `{function.name}` | {sides[function.side]} | {field} | {empty} |")
    return "\n".join(rows)


def page(name: str) -> str:
    """A page of docs/ with its tables renewed."""
    text = (DOCS / name).read_text(encoding="utf-8")
    tables = {model.__name__: table(model) for model in MODELS[name]} | {"functions": functions()}

    def renew(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n{tables[match[1]]}\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", renew, text, flags=re.DOTALL)


def defaults() -> str:
    """include/jobs/defaults.yaml.example."""
    example = job.Job.parse(LEAST, where="docs/reference.py")
    return HEAD + "\n".join(_section(type(example), example.model_dump(mode="json"), "")) + "\n"


def _section(model: type[BaseModel], values: dict[str, Any], indent: str) -> list[str]:
    lines: list[str] = []
    for name, value in values.items():
        words = meaning(model, name).replace("; see below", "")
        if choices := choices_of(model.model_fields[name].annotation):
            words += f" One of {', '.join(choices)}."
        lines += ["", *textwrap.wrap(words, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")]
        inner = _model_in(model.model_fields[name].annotation)
        if inner and isinstance(value, list):
            if not value:
                lines.append(f"{indent}{name}: []")
                continue
            (first,) = value
            body = _section(inner, first, f"{indent}    ")[1:]
            mark = next(number for number, line in enumerate(body) if not line.lstrip().startswith("#"))
            body[mark] = f"{indent}  - {body[mark].lstrip()}"
            lines += [f"{indent}{name}:", *body]
        elif inner and value is not None:
            lines += [f"{indent}{name}:", *_section(inner, value, f"{indent}  ")[1:]]
        else:
            lines.append(f"{indent}{name}: {json.dumps(value)}")
    return lines


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - as above
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def written() -> dict[Path, str]:
    """Every derived file with its content."""
    schemas = {DOCS / "schema" / f"{name}.json": json.dumps(json_schema(name), indent=2) + "\n" for name in KINDS}
    pages = {DOCS / name: page(name) for name in MODELS}
    return {**schemas, **pages, ROOT / "include" / "jobs" / "defaults.yaml.example": defaults()}


if __name__ == "__main__":
    for path, content in written().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
