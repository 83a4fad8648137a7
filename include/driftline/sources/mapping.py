"""Settings and mappings of the indices that an ingest makes: only field types that every Elasticsearch has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline.core.timespan import format_span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from driftline.core.source import Source

KEYWORD = {"type": "keyword", "ignore_above": 8191}  # 32 766 bytes is Lucene's limit, and a character takes up to four
UNSEARCHED = {"type": "keyword", "index": False, "doc_values": False}
LONG, DATE = {"type": "long"}, {"type": "date", "format": "strict_date_optional_time||epoch_millis"}

_ECS_WORDS = (
    "http.request.method", "http.request.referrer", "http.version",
    "url.original", "url.path", "url.query", "url.domain", "source.address", "user.name", "host.name",
    "user_agent.original", "user_agent.name", "user_agent.version",
    "user_agent.os.name", "user_agent.os.version", "user_agent.device.name",
    "source.geo.continent_code", "source.geo.country_iso_code", "source.geo.country_name",
    "source.geo.region_name", "source.geo.city_name", "source.geo.timezone",
)  # fmt: skip
_ECS_NUMBERS = ("http.response.status_code", "http.response.bytes", "http.response.body.bytes", "http.request.bytes")
ECS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(_ECS_WORDS, KEYWORD),
    **dict.fromkeys(_ECS_NUMBERS, LONG),
    "source.ip": {"type": "ip"},
    "network.forwarded_ip": {"type": "ip"},
    "source.geo.location": {"type": "geo_point"},
    # kept to be read, not to be searched: it would double the index
    "event.original": UNSEARCHED,
}
"""The fields of an access log."""

_DYNAMIC = [
    {"words": {"match_mapping_type": "string", "mapping": KEYWORD}},
    # a fraction in a field of whole numbers is refused, and its row quarantined: coerced, it would be cut without a word
    {"whole": {"match_mapping_type": "long", "mapping": {"type": "long", "coerce": False}}},
    {"fractions": {"match_mapping_type": "double", "mapping": {"type": "double"}}},
]
_TYPES: dict[str, dict[str, Any]] = {"keyword": KEYWORD, "date": DATE, "long": {"type": "long", "coerce": False}}
_AS = {
    "short": "long", "integer": "long", "byte": "long", "long": "long", "unsigned_long": "long",
    "float": "double", "half_float": "double", "scaled_float": "double", "double": "double", "boolean": "boolean",
}  # fmt: skip
"""How values of an existing field are written; anything not named here is text."""

QUARANTINE: dict[str, Any] = {
    **dict.fromkeys(("source_id", "index", "path", "fingerprint", "check", "reason", "document_id"), KEYWORD),
    **dict.fromkeys(("line", "offset", "raw_bytes"), LONG),
    **dict.fromkeys(("time", "added"), DATE),
    **dict.fromkeys(("raw", "body"), UNSEARCHED),
    "truncated": {"type": "boolean"},
}


def field(kind: str) -> dict[str, Any]:
    """The mapping of a field type as a source names it."""
    return _TYPES.get(kind) or {"type": kind}


def settings(source: Source) -> dict[str, Any]:
    """Settings of the source's index."""
    wanted = source.index_settings
    replicas = {"auto_expand_replicas": "0-1"} if wanted.replicas is None else {"number_of_replicas": wanted.replicas}
    return {
        "number_of_shards": wanted.shards,
        **replicas,
        "refresh_interval": format_span(wanted.refresh_interval),
        # hostile NDJSON may name any number of fields: those beyond the limit are stored, not indexed, and refuse no row
        "mapping.total_fields.ignore_dynamic_beyond_limit": True,
    }


def mappings(source: Source, types: Mapping[str, str], *, access_log: bool) -> dict[str, Any]:
    """Mappings of the source's index.

    Args:
        source: The source.
        types: Field types that its first rows show.
        access_log: Whether its rows are those of an access log.
    """
    chosen = {**types, **(source.files.types if source.files else {})}
    properties = {**(ECS if access_log else {}), **{name: field(kind) for name, kind in chosen.items()}, source.time_field: DATE}
    return {"dynamic": True, "date_detection": False, "dynamic_templates": _DYNAMIC, "properties": properties}


def known_types(properties: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """The types of an existing index's fields, as values are written for them; keyword is anything that takes text."""
    found: dict[str, str] = {}
    for name, body in properties.items():
        if "properties" in body:
            found |= known_types(body["properties"], f"{prefix}{name}.")
        else:
            found[prefix + name] = _AS.get(body.get("type", ""), "keyword")
    return found
