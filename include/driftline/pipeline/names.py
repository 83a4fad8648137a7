"""What fields are usually called, and what that says of them: ECS first, then words that people use."""

from __future__ import annotations

import re

LONGEST = 48  # characters of an id, so that a prefix and a number go before and after

# Fields that get a series of each value, the most telling first.
SPLITS = (
    "http.response.status_code", "url.path", "event.dataset", "service.name", "host.name", "event.action", "event.outcome",
    "endpoint", "route", "service", "app", "host", "server", "node", "instance", "region", "status", "level", "method", "type",
    "category", "sensor", "device", "station", "country",
)  # fmt: skip
WHO = (
    "source.ip", "user.name", "client.ip", "destination.ip", "source.address", "clientip", "client_ip", "remote_addr", "ip",
    "user", "username", "user_id", "account", "customer", "client",
)  # fmt: skip
URLS = ("url.path", "url.original", "url", "uri", "path", "request", "page")
RARE = (
    "process.name", "process.executable", "url.path", "user_agent.name", "dns.question.registered_domain",
    "source.geo.country_iso_code", "process", "command", "program", "executable", "url", "uri", "path", "agent", "domain",
    "error",
)  # fmt: skip
SUMS = ("bytes", "size", "amount", "volume", "requests", "quantity", "price", "revenue", "cost")
DURATIONS = ("duration", "latency", "elapsed", "time", "ms", "seconds", "took", "pct", "percent", "ratio", "temperature", "usage")
CODES = (
    "status_code",
    "status",
    "code",
    "port",
    "response",
    "severity",
    "pid",
    "line",
    "version",
    "year",
    "month",
    "day",
    "hour",
)
IDS = (
    "id",
    "uuid",
    "guid",
    "hash",
    "sequence",
    "seq",
    "offset",
    "trace",
    "session",
    "fingerprint",
    "lat",
    "lon",
    "latitude",
    "longitude",
)
COUNTERS = ("counter", "uptime")
KNOWN = (*SPLITS, *WHO, *URLS, *RARE, *SUMS, *DURATIONS)


def rank(name: str, words: tuple[str, ...] = KNOWN) -> int:
    """The place of a field's name in a list of names: as a whole, at its end after a dot, or its last word; the end where not."""
    plain = re.sub(r"\.keyword$", "", name.lower())
    parts = re.split(r"[.]", plain)
    last = re.split(r"[^a-z0-9]+|(?<=[a-z])(?=[0-9])", parts[-1])
    for place, word in enumerate(words):
        if plain == word or plain.endswith("." + word) or parts[-1] == word or ("." not in word and word in last):
            return place
    return len(words)


def slug(text: str) -> str:
    """An identifier of whatever a field is called: `URL Path!` → `url-path`. What has no letter or digit is `field`."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower())[:LONGEST].strip("-")
    return plain or "field"
