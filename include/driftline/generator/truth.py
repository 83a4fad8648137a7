"""The truth: what was injected, when and where, as documents and as a sentence."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from driftline.core.timespan import format_span, iso
from driftline.generator import catalogue

if TYPE_CHECKING:
    from driftline.generator.schedule import Event
    from driftline.generator.world import World

MEASURES: dict[str, tuple[str, str | None]] = {
    "population": ("sum", "http.response.bytes"),
    "ip_collapse": ("distinct_count", "source.ip"),
    "response_size": ("mean", "http.response.bytes"),
    "intermittent_errors": ("count", "http.response.status_code"),
}
"""The function, and its field, that shows a kind best; count where nothing is said."""


def document(event: Event, world: World, start: datetime, digest: str) -> dict[str, Any]:
    """One document for `driftline-truth`, without `source_id`.

    `partition_field_value` is a list where an event concerns several values, and missing where it concerns all.
    """
    first, last = (start + timedelta(minutes=minute) for minute in (event.first, event.last))
    function, field = MEASURES.get(event.kind, ("count", None))
    body: dict[str, Any] = {
        "truth_id": f"{digest}-{event.number:02d}-{event.kind}",
        "kind": event.kind,
        "start": iso(first),
        "end": iso(last),
        "function": function,
        "magnitude": float(event.magnitude),
        "description": _sentence(event, world, last - first),
    }
    if field:
        body["field_name"] = field
    name, values = partition(event, world)
    if name:
        body |= {"partition_field_name": name, "partition_field_value": values[0] if len(values) == 1 else values}
    return body


def partition(event: Event, world: World) -> tuple[str | None, list[str]]:
    """The field and the values that an event concerns; no field when it concerns the whole site."""
    if event.kind == "population":
        return "source.ip", [catalogue.SUSPICIOUS_IP]
    if event.kind == "not_found":
        return "url.path", [catalogue.BAD_LINK]
    if event.host is not None:
        return "host.name", [world.hosts[event.host]]
    if event.whole:
        return None, []
    return "url.path", [world.paths[rank] for rank in event.endpoints.tolist()]


def _sentence(event: Event, world: World, length: timedelta) -> str:
    name, values = partition(event, world)
    shown = ", ".join(values[:3]) + (f" and {len(values) - 3} more" if len(values) > 3 else "")
    where = f"{name} {shown}" if name else "the whole site"
    amount, span = f"{event.magnitude:g}", format_span(length)
    percent, lost = f"{event.magnitude * 100:g} %", f"{(1 - event.magnitude) * 100:g} %"
    texts = {
        "spike": f"Requests of {where} rise to {amount} times the usual for {span}.",
        "drop": f"Requests of {where} fall to {percent} of the usual for {span}.",
        "silence": f"{where} falls silent for {span}.",
        "level_shift": f"Requests of {where} move to {amount} times the old level and stay there for {span}.",
        "ramp": f"Requests of {where} grow steadily to {amount} times the usual over {span}, then fall back.",
        "flatline": f"Requests of {where} freeze at one value for {span}.",
        "variance": f"Requests of {where} swing by {percent} around the usual every half hour for {span}.",
        "contextual": f"{where} sees for {span} the traffic of {amount} hours before: night traffic by day.",
        "population": f"One client, {catalogue.SUSPICIOUS_IP}, downloads {amount} large files an hour for {span}.",
        "not_found": f"A bad link sends visitors to {catalogue.BAD_LINK}, which answers 404, for {span}.",
        "outage": f"A dependency of {where} fails: requests fall to {percent} of the usual, and recover within {span}.",
        "intermittent_errors": f"{where}: {percent} of requests fail with a 5xx status for {span}, at normal volume.",
        "site_drop": f"All endpoints lose {lost} of their requests for {span}; no single one shows it.",
        "ip_collapse": f"For {span} most requests come from a few proxies: unique addresses collapse, not the volume.",
        "response_size": f"Responses of {where} are {amount} times as large as usual for {span}.",
    }
    return texts[event.kind]
