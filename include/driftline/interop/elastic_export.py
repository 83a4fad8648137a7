"""Our jobs as Elastic's API takes them, and what of them it has no word for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from driftline.core.aggregations import histogram_path, inner_of
from driftline.core.detector import SPLIT_FIELDS
from driftline.core.errors import DefinitionError
from driftline.core.functions import find_function
from driftline.core.timespan import format_span
from driftline.interop.elastic_jobs import CATEGORIES, PARTITIONS, READING, TIMING, plain_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from driftline.core.detector import Detector
    from driftline.core.job import Job

# What Elastic's API sets itself, or no longer takes.
_NOT_TAKEN = {
    "job_type", "job_version", "create_time", "finished_time", "model_snapshot_id", "model_snapshot_min_version", "state", "node",
    "established_model_memory", "authorization", "roles", "types", "use_per_partition_normalization", "detector_rules", "blocked",
    "deleting", "data_counts", "model_size_stats", "forecasts_stats", "timing_stats", "open_time", "assignment_explanation",
    "running_state", "field_delimiter", "quote_character", "config_type", "defaults", "calendars",
}  # fmt: skip
_OLD_FORMATS = [("format", "delimited")]
# Functions that Elastic does not have, and what it has in their place.
_STANDS_FOR = {
    "std_deviation": "varp", "high_std_deviation": "high_varp", "low_std_deviation": "low_varp", "c": "count",
}  # fmt: skip
_ANALYSIS = ("summary_count_field_name", "model_prune_window", *CATEGORIES)
CHECKED_MOST = timedelta(hours=24)  # Elastic's longest look for late data
_OURS = {"training", "forecast", "quality", "markers", "time_zone", "paused", "loudml"}
# of a detector: without these it would look for something else
_OUR_DETECTOR = ("query", "given", "per")
_OUR_FEED = {"start", "end", "historical", "on_request", "after_source"}


def to_elastic(job: Job) -> dict[str, Any]:
    """A job as Elastic's API takes it, with its datafeed as `datafeed_config`. What it was imported with is in it again."""
    body, _ = exported(job)
    return body


def shown(job: Job) -> dict[str, Any]:
    """A job for who looks at it, not to be made elsewhere: with all its detectors, each by the number that its records have."""
    body, _ = exported(job, whole=True)
    return body


def numbers(job: Job) -> list[list[int]]:
    """Of each detector that is shown, the detectors of ours that it stands for; the first is the number that it is shown by."""
    return [ours for _, ours in _said(job, [], whole=True)]


def exported(job: Job, *, whole: bool = False) -> tuple[dict[str, Any], list[str]]:
    """A job as Elastic's API takes it, and what of it is different there or missing.

    Args:
        job: The job.
        whole: Whether it is only looked at: with the detectors that Elastic has no word for, and their numbers.

    Raises:
        DefinitionError: It has no word for any of the detectors.
    """
    notes: list[str] = []
    kept = job.elastic
    written = job.model_dump(mode="json", exclude_defaults=True)
    plot = written.get("model_plot_config", {}) | kept.get("model_plot_config", {})
    out: dict[str, Any] = {
        "job_id": job.job_id,
        **({"description": job.description} if job.description else {}),
        **({"groups": groups} if (groups := _groups(job, notes)) else {}),
        **({"model_snapshot_retention_days": days} if (days := job.model_snapshot_retention_days) is not None else {}),
        **({"renormalization_window_days": days} if (days := job.renormalization_window_days) is not None else {}),
        **({"model_plot_config": {"enabled": job.model_plot_config.enabled, **plot}} if plot else {}),
        "analysis_config": {
            "bucket_span": format_span(job.bucket_span),
            "detectors": _detectors(job, notes, whole),
            "influencers": job.influencers,
            **{name: written[name] for name in _ANALYSIS if name in written},
            **_partitions(job),
            **_taken(kept.get("analysis_config", {})),
        },
        "data_description": {"time_field": job.time_field, **_taken(kept.get("data_description", {}))},
        "datafeed_config": _datafeed(job, written["datafeed"], notes),
    }
    notes += [f"{name} is Driftline's own: it is not exported" for name in sorted(_OURS & written.keys())]
    notes += [
        f"datafeed.{name} is Driftline's own: it is not exported" for name in sorted(_OUR_FEED & written["datafeed"].keys())
    ]
    notes += _clashes(job)
    notes += [f"the name {name!r} holds a double quote or a backslash: Elastic refuses it" for name in sorted(_quoted(job))]
    return {**out, **_taken(kept.get("job", {}))}, notes


def _quoted(job: Job) -> set[str]:
    """Names of fields that only we take."""
    named = {getattr(each, place) for each in job.detectors for place in ("field_name", *SPLIT_FIELDS)}
    return {name for name in named | {job.summary_count_field_name} if name and not {'"', "\\"}.isdisjoint(name)}


def _partitions(job: Job) -> dict[str, Any]:
    """Whether each partition has categories of its own, and what was said of that besides."""
    said = {"enabled": True} if job.per_partition_categorization.enabled else {}
    said |= job.elastic.get(PARTITIONS, {})
    return {PARTITIONS: said} if said else {}


def _detectors(job: Job, notes: list[str], whole: bool) -> list[dict[str, Any]]:
    said = _said(job, notes, whole)
    if not said:
        raise DefinitionError(
            "Elastic has none of what the job's detectors look for, so nothing is left to export",
            where=f"job {job.job_id}, detectors",
            expected=f"a detector without {', '.join(_OUR_DETECTOR)}",
        )
    return [{**each, "detector_index": ours[0]} if whole else each for each, ours in said]


def _said(job: Job, notes: list[str], whole: bool) -> list[tuple[dict[str, Any], list[int]]]:
    """Detectors in Elastic's words, each with the numbers of those that it stands for: what was one `metric` is one again."""
    detectors: list[tuple[dict[str, Any], list[int]]] = []
    extras = job.elastic.get("detectors", [])
    if len(extras) != len(job.detectors):  # its detectors were changed since
        extras = [{}] * len(job.detectors)
    for number, (detector, extra) in enumerate(zip(job.detectors, extras, strict=True)):
        ours = [name for name in _OUR_DETECTOR if getattr(detector, name) is not None]
        if ours and not whole:
            notes.append(f"detectors.{number} is not exported: Elastic has no {' and no '.join(ours)} of a detector")
            continue
        plain = detector.model_dump(mode="json", exclude_defaults=True, exclude=set(_OUR_DETECTOR))
        said = {**plain, **_function(detector, number, notes), **_taken(extra)}
        if ours:
            detectors.append(({**said, "detector_description": detector.description}, [number]))
        elif same := next((those for each, those in detectors if each == said), None):
            same.append(number)
        else:
            detectors.append((said, [number]))
    return detectors


def _function(detector: Detector, number: int, notes: list[str]) -> dict[str, str]:
    other = _STANDS_FOR.get(detector.function)
    if other is None:
        return {}
    if find_function(other) is not detector.spec:  # not merely another name of the same
        notes.append(f"detectors.{number}: Elastic has no function '{detector.function}'; '{other}' looks at its square instead")
    return {"function": other, **({"detector_description": detector.description} if detector.spec.needs_field else {})}


def _datafeed(job: Job, written: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    feed = {
        "indices": job.datafeed.indices,
        "query": job.datafeed.query,
        **{name: written[name] for name in (*TIMING, *READING) if name in written},
        # of Elastic's own choice where it is not said
        "query_delay": format_span(job.datafeed.query_delay),
    }
    if job.datafeed.aggregations:
        feed["aggregations"] = _with_time(job.datafeed.aggregations, histogram_path(job.datafeed.aggregations), job.time_field)
    if "delayed_data_check_config" in feed:
        feed["delayed_data_check_config"] = _late(job, notes)
    return {**feed, **_taken(job.elastic.get("datafeed", {}))}


def _with_time(aggregations: Mapping[str, Any], path: tuple[str, ...], time_field: str) -> dict[str, Any]:
    """The same with the newest time of each bucket, by which Elastic tells how far it has read."""
    name, *rest = path
    body = dict(aggregations[name])
    inner = inner_of(body)
    newest = {"max": {"field": time_field}}
    if rest:
        inner = _with_time(inner, tuple(rest), time_field)
    elif newest in inner.values():
        return dict(aggregations)
    else:
        inner = {time_field: newest, **inner}
    body.pop("aggs", None)
    return {**aggregations, name: {**body, "aggregations": inner}}


def _late(job: Job, notes: list[str]) -> dict[str, Any]:
    late = job.datafeed.delayed_data_check_config
    window = late.check_window
    if window and window > CHECKED_MOST:
        notes.append(f"datafeed.delayed_data_check_config.check_window: {format_span(window)} becomes 24h, Elastic's longest")
        window = CHECKED_MOST
    return {"enabled": late.enabled, **({"check_window": format_span(window)} if window else {})}


def _groups(job: Job, notes: list[str]) -> list[str]:
    """Groups have the form of ids in Elastic, and none is called like the job."""
    groups: list[str] = []
    for group in job.groups:
        plain = plain_id(group, [])
        if plain == job.job_id:
            notes.append(f"groups: '{group}' is left out: in Elastic a group cannot be called like the job")
            continue
        if plain != group:
            notes.append(f"groups: '{group}' becomes '{plain}': Elastic's groups have the form of ids")
        groups += [plain] if plain not in groups else []
    return groups


def _clashes(job: Job) -> list[str]:
    """Fields of which one is the beginning of another: Elastic's results have a field of each name."""
    splits = {getattr(detector, f"{kind}_field_name") for detector in job.detectors for kind in ("partition", "by", "over")}
    names = sorted({*splits, *job.influencers} - {None}, key=str)
    pairs = [(first, second) for first in names for second in names if second.startswith(f"{first}.")]
    return [f"Elastic refuses '{first}' and '{second}' as split fields or influencers of one job" for first, second in pairs]


def _taken(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same without what the API refuses."""
    return {name: value for name, value in given.items() if name not in _NOT_TAKEN and (name, value) not in _OLD_FORMATS}
