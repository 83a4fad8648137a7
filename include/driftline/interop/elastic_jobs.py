"""Elastic's anomaly detection jobs as ours. What has no effect here is kept, and named."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from driftline.core.definition import IDENTIFIER, mapping
from driftline.core.errors import DefinitionError, WindowError
from driftline.core.functions import METRIC, METRIC_MEANS, find_function
from driftline.core.job import Job
from driftline.core.timespan import format_span, parse_span

if TYPE_CHECKING:
    from driftline.interop.elastic_files import Found

BUCKET_SPAN = "5m"  # where a job of Elastic's does not say
INDEX_PLACEHOLDER = "INDEX_PATTERN_NAME"
# Fields that are ours, too.
_OWN = ("description", "groups", "model_snapshot_retention_days", "renormalization_window_days")
_JOB = {"job_id", *_OWN, "analysis_config", "data_description", "datafeed_config", "model_plot_config"}
CATEGORIES = ("categorization_field_name", "categorization_filters")
PARTITIONS = "per_partition_categorization"
_ANALYSIS = {
    "bucket_span", "detectors", "influencers", "summary_count_field_name", "model_prune_window", *CATEGORIES, PARTITIONS,
}  # fmt: skip
_DETECTOR = {
    "function", "field_name", "by_field_name", "over_field_name", "partition_field_name", "use_null", "exclude_frequent",
    "detector_description", "custom_rules",
}  # fmt: skip
TIMING = ("query_delay", "frequency", "delayed_data_check_config")
READING = ("runtime_mappings", "script_fields")
_TIME_FORMAT = ("time_format",)  # of documents that are posted; Elastic sets it itself where there is a datafeed
_FEED = {"indices", "indexes", "query", "aggregations", "aggs", *TIMING, *READING}
# Fields that change nothing here, and why.
_IDLE = {
    "job_type": "every job is an anomaly detector",
    "job_version": "it is of another system",
    "create_time": "it is of another system",
    "blocked": "it is of another system",
    "deleting": "it is of another system",
    "data_counts": "it is of another system",
    "model_size_stats": "it is of another system",
    "forecasts_stats": "it is of another system",
    "timing_stats": "it is of another system",
    "open_time": "it is of another system",
    "assignment_explanation": "it is of another system",
    "running_state": "it is of another system",
    "config_type": "every job has one datafeed",
    "defaults": "it is of another system",
    "calendars": "a calendar names its jobs: driftline calendars put",
    "finished_time": "it is of another system",
    "model_snapshot_id": "models are not taken over; they are trained here",
    "model_snapshot_min_version": "models are not taken over; they are trained here",
    "established_model_memory": "models have no memory of their own between runs",
    "analysis_limits": "models have no memory limit; training.max_partitions limits their number",
    "allow_lazy_open": "Airflow starts the work",
    "background_persist_interval": "models are written when they were trained",
    "daily_model_snapshot_retention_after_days": "maintenance keeps the newest 12 snapshots",
    "results_retention_days": "maintenance removes results by whole months",
    "results_index_name": "results are in driftline-results-*",
    "custom_settings": "words and links of Kibana",
    "datafeed_id": "a job has one datafeed",
    "types": "indices have no types",
    "scroll_size": "documents are aggregated, not read",
    "chunking_config": "the series store cuts what it reads",
    "max_empty_searches": "jobs do not stop by themselves",
    "indices_options": "indices that are not there are an error",
    "use_per_partition_normalization": "scores are comparable between partitions",
    "latency": "documents count where their time is, in whatever order they come; what comes late is scored again",
    "project_routing": "what is read is in the one cluster that is connected",
    "format": "documents are read from an index",
    "field_delimiter": "documents are read from an index",
    "quote_character": "documents are read from an index",
    "categorization_analyzer": "messages are cut into words by rules of our own; see categorization_filters",
    "stop_on_warn": "categorisation goes on whatever its quality",
    "detector_index": "detectors are numbered in their order",
    "state": "it is of another system",
    "node": "it is of another system",
    "authorization": "it is of another system",
    "roles": "it is of another system",
}
# Fields that say what to find, and that nothing here can do yet: without them a job would find something else.
_OLD_RULES = "detector_rules"
_OLD_ACTIONS = {"filter_results": "skip_result", "skip_sampling": "skip_model_update"}
_OLD_QUANTITIES = {
    "numerical_actual": "actual", "numerical_typical": "typical", "numerical_diff_abs": "diff_from_typical", "time": "time",
}  # fmt: skip
_NEEDED_ANALYSIS = {
    "multivariate_by_fields": "each by value has a model of its own here, and what several do together is told as a job event; "
    "leave it out",
}


@dataclass
class Imported:
    """What became of a file.

    Attributes:
        file: Its path.
        job_id: The job's id; None of what is no job.
        status: `imported`, `imported_with_notes`, `refused` or `not_a_job`.
        notes: What has no effect here and why; of what is refused, what exactly.
        job: The job, if there is one.
    """

    file: str
    job_id: str | None
    status: str
    notes: list[str] = field(default_factory=list)
    job: Job | None = None

    def as_dict(self) -> dict[str, Any]:
        """Without the job itself."""
        return {"file": self.file, "job_id": self.job_id, "status": self.status, "notes": self.notes}


def to_job(found: Found, *, index_pattern: str | None = None, stored: bool = False, former: Job | None = None) -> Imported:
    """One of Elastic's jobs as ours.

    Args:
        found: The job and its datafeed.
        index_pattern: What to read in place of a placeholder, or where no datafeed says.
        stored: It was taken when it was put, by the rules of then.
        former: The job that is changed.
    """
    notes, refused = list(found.notes), list[str]()
    job_id = plain_id(found.job_id, notes)
    try:
        definition = _definition(found, job_id, index_pattern or found.index_pattern, notes, refused)
        if refused:
            return Imported(str(found.path), job_id, "refused", refused)
        job = Job.parse(definition, where=str(found.path), stored=stored, former=former)
    except DefinitionError as error:
        return Imported(str(found.path), job_id, "refused", [*refused, str(error)])
    return Imported(str(found.path), job_id, "imported_with_notes" if notes else "imported", notes, job)


def plain_id(name: str, notes: list[str]) -> str:
    """The name as an id of a job; where they differ, a note says so."""
    if re.fullmatch(IDENTIFIER, name):
        return name
    plain = re.sub(r"[^a-z0-9_\-]+", "-", name.lower()).strip("-_")[:64].strip("-_") or "job"
    notes.append(f"the id '{name}' becomes '{plain}': {'dots' if '.' in name else 'such characters'} are for Airflow's names")
    return plain


def _definition(found: Found, job_id: str, index_pattern: str | None, notes: list[str], refused: list[str]) -> dict[str, Any]:
    source, analysis = found.job, mapping(found.job.get("analysis_config"), "analysis_config")
    about = mapping(source.get("data_description") or {}, "data_description")
    kept: dict[str, Any] = {
        "job": _idle(source, _JOB, "", notes),
        "analysis_config": _idle(analysis, _ANALYSIS, "analysis_config.", notes, _NEEDED_ANALYSIS),
        "data_description": _idle(about, {"time_field", *_TIME_FORMAT}, "data_description.", notes)
        | {name: about[name] for name in _TIME_FORMAT if name in about},
        "detectors": [],
    }
    detectors = []
    for number, given in enumerate(_listed(analysis.get("detectors"), "analysis_config.detectors")):
        detector, place = _detector(given, f"detectors.{number}"), f"detectors.{number}."
        extra = _idle(detector, {*_DETECTOR, _OLD_RULES}, place, notes)
        kept["detectors"] += [{**extra, "function": METRIC}] * len(METRIC_MEANS) if detector["function"] == METRIC else [extra]
        detectors.append({name: value for name, value in detector.items() if name in _DETECTOR})
        detectors[-1] |= _rules(detector, place, notes, refused)
        refused += _function(detector["function"], place)
    refused += [f"analysis_config.{name} is not supported: {why}" for name, why in _NEEDED_ANALYSIS.items() if analysis.get(name)]
    partitions = mapping(analysis.get(PARTITIONS) or {}, PARTITIONS)
    kept[PARTITIONS] = _idle(partitions, {"enabled"}, f"analysis_config.{PARTITIONS}.", notes)
    feed = _datafeed(found, analysis, about, index_pattern, kept, notes, refused) | _latency(found, analysis, kept, notes)
    summary = None if "aggregations" in kept.get("datafeed", {}) else analysis.get("summary_count_field_name")
    definition: dict[str, Any] = {
        "job_id": job_id,
        **{name: source[name] for name in _OWN if source.get(name) or source.get(name) == 0},
        "influencers": analysis.get("influencers") or [],
        "bucket_span": analysis.get("bucket_span") or BUCKET_SPAN,
        "detectors": detectors,
        "time_field": about.get("time_field", "time"),
        "datafeed": feed,
        **({"summary_count_field_name": summary} if summary else {}),
        **({"model_prune_window": window} if (window := analysis.get("model_prune_window")) else {}),
        **{name: analysis[name] for name in CATEGORIES if analysis.get(name)},
        **({PARTITIONS: {"enabled": True}} if partitions.get("enabled") else {}),
    }
    if plot := source.get("model_plot_config"):
        enabled = mapping(plot, "model_plot_config").get("enabled", False)
        definition["model_plot_config"] = {"enabled": enabled}
        kept["model_plot_config"] = _idle(plot, {"enabled"}, "model_plot_config.", notes)
    return {**definition, "elastic": {name: value for name, value in kept.items() if value and any(value)}}


def _detector(given: object, place: str) -> dict[str, Any]:
    """A detector as Elastic understands it: without what is empty, function and exclude_frequent in either case."""
    detector = {name: value for name, value in mapping(given, place).items() if value is not None and value != ""}
    for name in ("function", "exclude_frequent"):
        if isinstance(value := detector.get(name), str):
            detector[name] = value.lower()
    if not isinstance(detector.get("function"), str):
        raise DefinitionError(f"{place}.function: required, but not given")
    return detector


def _latency(found: Found, analysis: Mapping[str, Any], kept: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """How long Elastic waits for documents in its order is how long ours are waited for: only without a datafeed it takes it."""
    try:
        latency, given = parse_span(analysis.get("latency") or 0), (found.datafeed or {}).get("query_delay")
        delay = max(latency, parse_span(given)) if given else latency
    except WindowError as error:
        raise DefinitionError(str(error), where="analysis_config.latency, datafeed.query_delay") from None
    if not latency:
        return {}
    del kept["analysis_config"]["latency"]
    notes[:] = [note for note in notes if not note.startswith("analysis_config.latency")]
    notes.append(f"analysis_config.latency becomes datafeed.query_delay {format_span(delay)}: buckets are left alone for so long")
    return {"query_delay": format_span(delay)}


def _datafeed(
    found: Found,
    analysis: Mapping[str, Any],
    about: Mapping[str, Any],
    index_pattern: str | None,
    kept: dict[str, Any],
    notes: list[str],
    refused: list[str],
) -> dict[str, Any]:
    feed = dict(mapping({} if found.datafeed is None else found.datafeed, "datafeed"))
    feed.pop("job_id", None)
    named = feed.get("indices") or feed.get("indexes") or index_pattern or []
    indices = _names(named) if isinstance(named, str) else _listed(named, "datafeed.indices")
    if INDEX_PLACEHOLDER in indices:
        if index_pattern is None:
            refused.append(f"datafeed.indices: '{INDEX_PLACEHOLDER}' stands for an index; give it with --index-pattern")
        pattern = _names(index_pattern or INDEX_PLACEHOLDER)
        indices = [each for name in indices for each in (pattern if name == INDEX_PLACEHOLDER else [name])]
    if found.datafeed is None:
        notes.append("there is no datafeed: all documents of the index pattern are read")
        if not indices:
            refused.append("there is no datafeed, so what to read must be given with --index-pattern")
    read = {name: feed[name] for name in (*TIMING, *READING, "query") if feed.get(name)}
    aggregations = feed.get("aggregations") or feed.get("aggs")
    if aggregations and _counts(analysis) and _only_counts(aggregations, about):
        notes.append("datafeed.aggregations only count documents a bucket: they are counted here as they are")
        kept["datafeed"] = {"aggregations": aggregations}
        kept["analysis_config"] |= {"summary_count_field_name": "doc_count"}
    elif aggregations:
        read["aggregations"] = aggregations
    idle = _idle(feed, _FEED, "datafeed.", notes)
    if idle:
        kept["datafeed"] = {**kept.get("datafeed", {}), **idle}
    return {**read, "indices": indices}


def _names(text: str) -> list[str]:
    """What a text names with commas between."""
    return [name for each in text.split(",") if (name := each.strip())]


def _counts(analysis: Mapping[str, Any]) -> bool:
    """Whether all detectors count, and name no fields."""
    detectors = [mapping(each, "detectors") for each in _listed(analysis.get("detectors"), "detectors")]
    named = [name for each in detectors for name, value in each.items() if name.endswith("field_name") and value]
    return analysis.get("summary_count_field_name") == "doc_count" and not named


def _only_counts(aggregations: object, about: Mapping[str, Any]) -> bool:
    """Whether an aggregation is a date histogram with nothing in it but the time."""
    if not isinstance(aggregations, Mapping) or len(aggregations) != 1:
        return False
    (histogram,) = aggregations.values()
    if not isinstance(histogram, Mapping) or "date_histogram" not in histogram:
        return False
    inner = histogram.get("aggregations") or histogram.get("aggs") or {}
    time = {"max": {"field": about.get("time_field", "time")}}
    return isinstance(inner, Mapping) and all(each == time for each in inner.values())


def _idle(
    given: Mapping[str, Any], known: set[str], place: str, notes: list[str], needed: Collection[str] = ()
) -> dict[str, Any]:
    """What is not ours: kept, with a note of each."""
    out = {name: value for name, value in given.items() if name not in known and name not in needed}
    for name in out:
        notes.append(f"{place}{name} has no effect here: {_IDLE.get(name, 'it is not known')}")
    return out | {name: given[name] for name in needed if name in given and not given[name]}


def _rules(detector: Mapping[str, Any], place: str, notes: list[str], refused: list[str]) -> dict[str, Any]:
    """A detector's rules, also where they are spelled as before version 6.4."""
    rules = [mapping(rule, f"{place}custom_rules") for rule in _listed(detector.get("custom_rules"), f"{place}custom_rules")]
    for number, given in enumerate(_listed(detector.get(_OLD_RULES), f"{place}{_OLD_RULES}")):
        rules += _old_rule(mapping(given, f"{place}{_OLD_RULES}"), f"{place}{_OLD_RULES}.{number}: ", refused)
    scopes = [scope for rule in rules for scope in mapping(rule.get("scope") or {}, f"{place}scope").values()]
    for name in sorted({str(mapping(scope, f"{place}scope").get("filter_id", "")) for scope in scopes}):
        notes.append(f"{place}custom_rules refer to filter '{name}': make it with 'driftline filters put'")
    return {"custom_rules": rules} if rules else {}


def _old_rule(given: Mapping[str, Any], place: str, refused: list[str]) -> list[dict[str, Any]]:
    """One rule, or one for each condition where any of them is enough."""
    action = given.get("rule_action") or given.get("actions") or ["filter_results"]
    actions = [_OLD_ACTIONS.get(str(each), each) for each in ([action] if isinstance(action, str) else _listed(action, place))]
    if target := given.get("target_field_name") or given.get("target_field_value"):
        refused.append(
            f"{place}a rule about '{target}' alone (target_field_name, target_field_value) is not supported; use a scope"
        )
    parts: list[dict[str, Any]] = []
    for one in _listed(given.get("rule_conditions") or given.get("conditions"), f"{place}rule_conditions"):
        condition = mapping(one, f"{place}rule_conditions")
        kind = condition.get("condition_type") or condition.get("type")
        if kind == "categorical":
            name = condition.get("value_filter") or condition.get("value_list") or condition.get("filter_id")
            parts.append({"scope": {str(condition.get("field_name")): {"filter_id": name}}})
        elif isinstance(kind, str) and kind in _OLD_QUANTITIES and not condition.get("field_value"):
            compared = mapping(condition.get("condition") or {}, f"{place}condition")
            parts.append({"conditions": [{"applies_to": _OLD_QUANTITIES[kind], **compared}]})
        else:
            refused.append(
                f"{place}a condition '{kind}'{' with a field_value' if condition.get('field_value') else ''} is not known"
            )
    if given.get("conditions_connective", "or") == "or":
        return [{"actions": actions, **part} for part in parts]
    scopes = [each for part in parts for each in part.get("scope", {}).items()]
    scope = dict(scopes)
    if len(scope) < len(scopes):
        refused.append(f"{place}two categorical conditions on one field that must both hold are not supported")
    return [{"actions": actions, "scope": scope, "conditions": [one for part in parts for one in part.get("conditions", [])]}]


def _function(name: str, place: str) -> list[str]:
    """What is wrong with a function."""
    if name == METRIC:
        return []
    try:
        find_function(name)
    except ValueError as error:
        return [f"{place}function: {error}"]
    return []


def _listed(value: object, name: str) -> list[Any]:
    """A list, also where there is none."""
    if value is not None and not isinstance(value, list):
        raise DefinitionError(f"{name}: a list was expected, not {type(value).__name__}")
    return value or []
