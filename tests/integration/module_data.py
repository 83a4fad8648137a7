"""Sixteen days of data for each module, with an incident of an hour for each of its jobs on the last day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.timespan import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START, DAYS, TRAINED = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=16), timedelta(days=15)
STEP = timedelta(minutes=15)
Document = dict[str, Any]

# Module → incident → the hour of the last day at which it begins; it lasts an hour.
INCIDENTS = {
    "web_access": {"outage": 2, "scraper": 6, "scanner": 10, "errors": 14, "crowd": 18, "download": 22},
    "system_metrics": {
        "cpu": 1, "memory": 4, "filesystem": 7, "disk": 10, "network": 13, "processes": 16, "load": 19, "silence": 22,
    },
    "authentication": {"night": 3, "spray": 9, "brute": 12, "address": 15, "country": 17},
    "dns": {"tunnel": 3, "bytes": 7, "domain": 11, "type": 15, "nxdomain": 19},
}  # fmt: skip


def incident_at(module: str, at: datetime) -> str | None:
    """What goes on at a time."""
    hours = (at - START - TRAINED) / timedelta(hours=1)
    return next((name for name, hour in INCIDENTS[module].items() if hour <= hours < hour + 1), None)


def documents(module: str) -> Iterator[Document]:
    """All documents, in the order of time."""
    rng, make = np.random.default_rng(7), MAKERS[module]
    for step in range(DAYS // STEP):
        at = START + step * STEP
        for document in make(rng, at, incident_at(module, at)):
            yield {"@timestamp": iso(at + float(rng.random()) * STEP), **document}


def web(rng: np.random.Generator, at: datetime, what: str | None) -> Iterator[Document]:
    def request(address: str, path: str, status: int, size: float = 5000) -> Document:
        return {
            "source.ip": address,
            "url.original": path,
            "url.path": path,
            "http.request.method": "GET",
            "http.response.status_code": status,
            "http.response.body.bytes": int(rng.normal(size, size / 10)),
        }

    for number in range(int(rng.poisson(20)) if what != "outage" else 1):
        status = 500 if rng.random() < (0.6 if what == "errors" else 0.03) else 200 if rng.random() < 0.9 else 404
        size = 2_000_000 if what == "download" and number == 0 else 5000
        yield request(f"192.0.2.{rng.integers(1, 60)}", f"/p/{rng.integers(0, 30)}", status, size)
    for number in range({"scraper": 30, "scanner": 30, "crowd": 80}.get(what or "", 0)):
        if what == "crowd":
            yield request(f"198.51.100.{number}", "/p/1", 200)
        else:
            yield (
                request("192.0.2.9", f"/admin/{rng.integers(0, 10**6)}", 404)
                if what == "scanner"
                else request("192.0.2.7", "/p/1", 404)
            )


def system(rng: np.random.Generator, at: datetime, what: str | None) -> Iterator[Document]:
    for host in range(4):
        if what == "silence" and host == 2:
            continue
        strange = what if host == 1 else None

        def level(usual: float, kind: str, much: float, strange: str | None = strange) -> float:
            return float(rng.normal(usual, usual / 20)) * (much if strange == kind else 1)

        yield {
            "host.name": f"host-{host}",
            "system.cpu.total.norm.pct": level(0.3, "cpu", 3),
            "system.memory.actual.used.pct": level(0.4, "memory", 2.4),
            "system.load.norm.5": level(0.4, "load", 10),
            "system.process.summary.total": round(level(200, "processes", 4)),
            "host.network.ingress.bytes": round(level(1e6, "network", 0.01)),
            "host.network.egress.bytes": round(level(2e6, "network", 0.01)),
            "host.disk.read.bytes": round(level(5e5, "disk", 20)),
            "host.disk.write.bytes": round(level(7e5, "disk", 20)),
        }
        for mount in ("/", "/data"):
            used = level(0.4, "filesystem" if mount == "/data" else "", 2.4)
            yield {"host.name": f"host-{host}", "system.filesystem.mount_point": mount, "system.filesystem.used.pct": used}


def logins(rng: np.random.Generator, at: datetime, what: str | None) -> Iterator[Document]:
    def login(user: int, outcome: str, address: str | None = None, country: str = "DE") -> Document:
        return {
            "event.category": "authentication",
            "event.outcome": outcome,
            "user.name": f"user-{user}",
            "source.ip": address or f"10.0.0.{user}",
            "source.geo.country_iso_code": country,
        }

    office = 8 <= at.hour < 18
    first = at.minute == 0
    for user in range(40):
        if office and rng.random() < 0.4:
            yield login(user, "success")
        if office and rng.random() < 0.05:  # who mistypes a password often does it again
            yield from (login(user, "failure") for _ in range(rng.geometric(0.5)))
    if what == "night" and first:
        yield login(3, "success")
    elif what == "spray":
        yield from (login(int(user), "failure", "203.0.113.66") for user in rng.integers(0, 30, 40))
    elif what == "brute":
        yield from (login(5, "failure", f"203.0.113.{part}") for part in rng.integers(100, 250, 40))
    elif what == "address" and first:
        yield login(7, "success", "198.51.100.9")
    elif what == "country" and first:
        yield login(8, "success", "198.51.100.10", "NZ")


def dns(rng: np.random.Generator, at: datetime, what: str | None) -> Iterator[Document]:
    def question(host: int, name: str, domain: str, **more: Any) -> Document:
        return {
            "source.ip": f"10.0.0.{host}",
            "dns.question.name": f"{name}.{domain}",
            "dns.question.registered_domain": domain,
            "dns.question.type": "AAAA" if rng.random() < 0.2 else "A",
            "dns.response_code": "NXDOMAIN" if rng.random() < 0.05 else "NOERROR",
            "network.bytes": int(rng.normal(120, 10)),
        } | {key.replace("__", "."): value for key, value in more.items()}

    for _ in range(rng.poisson(30)):
        name = ("www", "api", "cdn", "img")[rng.integers(0, 4)]
        yield question(int(rng.integers(1, 30)), name, f"site-{rng.integers(0, 20)}.example")
    first = at.minute == 0
    if what == "tunnel":
        yield from (question(5, rng.bytes(20).hex(), "site-3.example") for _ in range(30))
    elif what == "bytes":
        yield from (question(8, "www", "site-1.example", network__bytes=20_000) for _ in range(3))
    elif what == "domain" and first:
        yield question(8, "www", "never-before.example")
    elif what == "type" and first:
        yield question(8, "www", "site-1.example", dns__question__type="NULL")
    elif what == "nxdomain":
        yield from (question(9, "www", "site-2.example", dns__response_code="NXDOMAIN") for _ in range(30))


MAKERS: dict[str, Callable[[np.random.Generator, datetime, str | None], Iterator[Document]]] = {
    "web_access": web,
    "system_metrics": system,
    "authentication": logins,
    "dns": dns,
}
MAPPINGS: dict[str, Any] = {
    "dynamic_templates": [{"words": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}],
    "properties": {"@timestamp": {"type": "date"}, "source.ip": {"type": "ip"}, "network.bytes": {"type": "long"}},
}
