"""What the source indices hold: are they there, have they documents, can their fields be aggregated."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from driftline.core.aggregations import aggregation_names
from driftline.core.categorization import MLCATEGORY
from driftline.core.errors import SourceIndexError
from driftline.core.timespan import Window
from driftline.elastic.client import explained, talks_to_cluster
from driftline.elastic.query import DOCS, searched

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.signature import Signatures

_NUMBERS = {"long", "integer", "short", "byte", "double", "float", "half_float", "scaled_float", "unsigned_long"}
_TIMES = {"date", "date_nanos"}
_TYPES: dict[str, tuple[set[str] | None, str]] = {
    "distinct_count": (None, "a keyword or a number"),
    "info_content": (None, "a keyword"),
    "place": ({"geo_point"}, "a geo_point"),
}


def check_fields(client: Elasticsearch, job: Job) -> None:
    """Checks a job against its indices before anything is read.

    Raises:
        SourceIndexError: An index or a field is missing, or a field has a type that the function cannot use.
    """
    runtime: dict[str, Any] = searched(job, {})
    with explained(f"job {job.job_id}, datafeed.indices {job.datafeed.indices}"):
        caps = client.field_caps(index=job.datafeed.indices, fields="*", allow_no_indices=True, **runtime).body
    where = f"job {job.job_id}"
    if not caps["indices"]:
        raise SourceIndexError(
            f"no index matches {', '.join(job.datafeed.indices)}",
            where=f"{where}, datafeed.indices",
            fix="Check the name, or ingest first.",
        )
    fields: dict[str, Any] = caps["fields"]
    _require(fields, job.time_field, f"{where}, time_field", _TIMES | {"long"}, "a date")
    if job.datafeed.aggregations:
        return _check_aggregations(job, where)
    if summary := job.summary_count_field_name:
        _require(fields, summary, f"{where}, summary_count_field_name", _NUMBERS, "a number")
    fields |= {name: {"script": {"aggregatable": True}} for name in job.datafeed.script_fields}
    if messages := job.categorization_field_name:
        _require_there(fields, messages, f"{where}, categorization_field_name")
        fields[MLCATEGORY] = {"category": {"aggregatable": True}}
    _check_detectors(fields, job, where)
    for name in job.influencers:
        _require(fields, name, f"{where}, influencers", None, "a keyword")
    return None


def check_signatures(client: Elasticsearch, signatures: Signatures) -> None:
    """Checks signatures in the same way, with what they read of their mix.

    Raises:
        SourceIndexError: As `check_fields`.
    """
    for job in (signatures.reading, *([signatures.reading_mix([])] if signatures.mix else [])):
        check_fields(client, job)


def _check_detectors(fields: dict[str, Any], job: Job, where: str) -> None:
    for number, detector in enumerate(job.detectors):
        place = f"{where}, detectors.{number}"
        for read, where_read in ((detector, place), (detector.other, f"{place}.{'per' if detector.per else 'given'}")):
            if read and read.field_name:
                types, wanted = _TYPES.get(read.spec.metric, (_NUMBERS, "a number"))
                _require(fields, read.field_name, f"{where_read}.field_name", types, wanted)
        for split in ("partition_field_name", "by_field_name", "over_field_name"):
            if name := getattr(detector, split):
                _require(fields, name, f"{place}.{split}", None, "a keyword")


def _check_aggregations(job: Job, where: str) -> None:
    """Fields of such a job are what its aggregations are called."""
    names = {DOCS, *aggregation_names(job.datafeed.aggregations or {})}
    asked = [(job.summary_count_field_name, "summary_count_field_name")]
    for number, detector in enumerate(job.detectors):
        for place in ("field_name", "partition_field_name", "by_field_name", "over_field_name"):
            asked.append((getattr(detector, place), f"detectors.{number}.{place}"))
    for name, place in asked:
        if name is not None and name not in names:
            known = ", ".join(sorted(names))
            raise SourceIndexError(f"no aggregation is called '{name}'", where=f"{where}, {place}", expected=known)


def _require_there(fields: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    kinds: dict[str, Any] | None = fields.get(name)
    if kinds is None or set(kinds) == {"unmapped"}:
        near = difflib.get_close_matches(name, [field for field in fields if not field.startswith("_")], n=1)
        raise SourceIndexError(f"no field '{name}' in the index", where=where, fix=f"Did you mean '{near[0]}'?" if near else "")
    return kinds


def _require(fields: dict[str, Any], name: str, where: str, types: set[str] | None, wanted: str) -> None:
    kinds = _require_there(fields, name, where)
    for kind, caps in kinds.items():
        if kind == "unmapped":
            continue
        if kind == "text" or not caps["aggregatable"]:
            keyword = f"{name}.keyword"
            fix = f"Use '{keyword}'." if keyword in fields else "Map it as a keyword or a number."
            raise SourceIndexError(
                f"field '{name}' is of type {kind}, which cannot be aggregated", where=where, expected=wanted, fix=fix
            )
        if types is not None and kind not in types and kind != "script":
            raise SourceIndexError(f"field '{name}' is of type {kind}", where=where, expected=wanted)


@talks_to_cluster
def has_words(client: Elasticsearch, job: Job) -> bool:
    """Whether the words of the job's messages can be searched for, rather than parts of one long value."""
    name = job.categorization_field_name or ""
    found = client.field_caps(index=job.datafeed.indices, fields=name, **searched(job, {})).body["fields"]
    return bool({"text", "match_only_text"} & set(found.get(name, {})))


def data_range(client: Elasticsearch, job: Job) -> Window:
    """The full range of the job's documents: oldest time stamp to just after the newest.

    Raises:
        SourceIndexError: No document matches.
    """
    aggs = {"first": {"min": {"field": job.time_field}}, "last": {"max": {"field": job.time_field}}}
    with explained(f"job {job.job_id}, datafeed.indices {job.datafeed.indices}"):
        body = searched(job, {"query": job.datafeed.query, "size": 0, "aggs": aggs})
        found = client.search(index=job.datafeed.indices, **body).body.get("aggregations")
    if not found or found["first"]["value"] is None:  # no aggregations: no index of that pattern
        raise SourceIndexError(
            f"the index {', '.join(job.datafeed.indices)} holds no document that the query matches",
            where=f"job {job.job_id}, datafeed",
            fix="Ingest first, or check datafeed.query and time_field.",
        )
    first, last = found["first"]["value"], int(found["last"]["value"]) + 1
    return Window(*(datetime.fromtimestamp(stamp / 1000, UTC) for stamp in (first, last)))
