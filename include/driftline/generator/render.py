"""Requests as documents, JSON or log lines. Everything that repeats is written once and looked up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from driftline.generator import catalogue
from driftline.generator.base import Chunk
from driftline.generator.requests import METHODS, Columns

if TYPE_CHECKING:
    from driftline.generator.world import Ints, Objects, World

MINUTE = timedelta(minutes=1)
_MS = [f".{ms:03d}Z" for ms in range(1000)]


def _objects(values: list[Any]) -> Objects:
    """An array of the values as they are: numpy would take dicts and strings apart or pad them."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _fragments(name: str, values: list[Any]) -> Objects:
    """`"name":{…},` for each value, to be put together to a document."""
    return _objects([f'"{name}":{orjson.dumps(value).decode()},' for value in values])


class Tables:
    """What documents of one site repeat: hosts, paths, clients, agents, referrers, as objects, JSON and text."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._hosts = [{"name": host} for host in world.hosts]
        self._urls = [{"path": path, "original": path} for path in [*world.paths, catalogue.BAD_LINK]]
        ips = [*world.clients, catalogue.SUSPICIOUS_IP, *catalogue.PROXY_IPS]
        places = [world.countries[country] for country in world.client_country.tolist()]
        places += [world.countries[0]] * (len(ips) - len(places))
        self._sources = [{"ip": ip, "geo": {"country_iso_code": place}} for ip, place in zip(ips, places, strict=True)]
        self._agents = [
            {"original": agent.original, "name": agent.name, "os": {"name": agent.os}, "device": {"name": agent.device}}
            for agent in catalogue.AGENTS
        ]
        self.referrers = [referrer for referrer, _ in catalogue.REFERRERS] + [catalogue.BAD_LINK_REFERRER]

    @cached_property
    def objects(self) -> tuple[Objects, Objects, Objects, Objects]:
        """host, url, source, user_agent as dicts."""
        return _objects(self._hosts), _objects(self._urls), _objects(self._sources), _objects(self._agents)

    @cached_property
    def json(self) -> tuple[Objects, Objects, Objects, Objects, Objects]:
        """host, url, source, user_agent and the beginning of the request, by method and referrer, as pieces of JSON."""
        begin = [
            f'"method":"{method}","referrer":{orjson.dumps(referrer).decode()},' if referrer != "-" else f'"method":"{method}",'
            for method in METHODS
            for referrer in self.referrers
        ]
        return (
            _fragments("host", self._hosts), _fragments("url", self._urls), _fragments("source", self._sources),
            _fragments("user_agent", self._agents), _objects(begin),
        )  # fmt: skip

    @cached_property
    def text(self) -> tuple[Objects, Objects, Objects]:
        """Address, request line by method and path, and the quoted end by referrer and agent."""
        paths = [url["path"] for url in self._urls]
        lines = [f'"{method} {path} HTTP/1.1"' for method in METHODS for path in paths]
        ends = [f'"{referrer}" "{agent.original}"' for referrer in self.referrers for agent in catalogue.AGENTS]
        return _objects([source["ip"] for source in self._sources]), _objects(lines), _objects(ends)


@dataclass
class Traffic(Chunk):
    """Some hours of access-log traffic."""

    day: int
    first: int
    start: datetime
    minutes: int
    columns: Columns
    tables: Tables

    def __len__(self) -> int:
        return len(self.columns.ms)

    def _clock(self, form: str, end: str = "") -> list[str]:
        """The time of each request to the second: a strftime form for its minute, the seconds, and what follows them."""
        begins = [(self.start + minute * MINUTE).strftime(form) for minute in range(self.minutes)]
        every = _objects([f"{begin}{second:02d}{end}" for begin in begins for second in range(60)])
        found: list[str] = every[self.columns.ms // 1000].tolist()
        return found

    def _stamps(self) -> list[str]:
        fractions = (self.columns.ms % 1000).tolist()
        return [clock + _MS[ms] for clock, ms in zip(self._clock("%Y-%m-%dT%H:%M:"), fractions, strict=True)]

    def times(self) -> list[int]:
        """Milliseconds since the epoch."""
        found: list[int] = (round(self.start.timestamp()) * 1000 + self.columns.ms).tolist()
        return found

    def measures(self) -> dict[str, list[Any]]:
        """Status codes and bytes."""
        columns = self.columns
        return {
            "http.request.bytes": columns.request.tolist(), "http.response.status_code": columns.status.tolist(),
            "http.response.bytes": columns.response.tolist(), "http.response.body.bytes": columns.body.tolist(),
        }  # fmt: skip

    def documents(self) -> list[dict[str, Any]]:
        """The requests as ECS documents."""
        columns = self.columns
        host, url, source, agent = self.tables.objects
        numbers = (columns.method, columns.referrer, columns.request, columns.status, columns.response, columns.body)
        shared = (host[columns.host], url[columns.endpoint], source[columns.client], agent[columns.agent])
        rows = zip(self._stamps(), *(part.tolist() for part in shared), *(part.tolist() for part in numbers), strict=True)
        return [
            {
                "@timestamp": stamp, "host": on, "url": what, "source": who, "user_agent": how,
                "http": {
                    "version": "1.1",
                    "request": self._request(method, referrer, size),
                    "response": {"status_code": status, "bytes": total, "body": {"bytes": body}},
                },
            }
            for stamp, on, what, who, how, method, referrer, size, status, total, body in rows
        ]  # fmt: skip

    def _request(self, method: int, referrer: int, size: int) -> dict[str, Any]:
        begin: dict[str, Any] = {"method": METHODS[method]}
        if referrer:
            begin["referrer"] = self.tables.referrers[referrer]
        return begin | {"bytes": size}

    def encoded(self) -> list[bytes]:
        """The ECS documents as JSON, put together from pieces: several times faster than encoding each."""
        columns = self.columns
        host, url, source, agent, begin = self.tables.json
        which = columns.method * len(self.tables.referrers) + columns.referrer
        text = (host[columns.host], url[columns.endpoint], source[columns.client], agent[columns.agent], begin[which])
        numbers = (columns.request, columns.status, columns.response, columns.body)
        rows = zip(self._stamps(), *(part.tolist() for part in text), *(part.tolist() for part in numbers), strict=True)
        return [
            (
                f'{{"@timestamp":"{stamp}",{on}{what}{who}{how}"http":{{"version":"1.1","request":{{{asked}"bytes":{size}}},'
                f'"response":{{"status_code":{status},"bytes":{total},"body":{{"bytes":{body}}}}}}}}}'
            ).encode()
            for stamp, on, what, who, how, asked, size, status, total, body in rows
        ]

    def lines(self) -> list[bytes]:
        """The requests in combined format, which has no place for the host."""
        columns = self.columns
        ip, request, end = self.tables.text
        paths = len(request) // len(METHODS)
        asked: Ints = columns.method * paths + columns.endpoint
        last: Ints = columns.referrer * len(catalogue.AGENTS) + columns.agent
        rows = zip(
            ip[columns.client].tolist(), self._clock("%d/%b/%Y:%H:%M:", " +0000"), request[asked].tolist(),
            columns.status.tolist(), columns.body.tolist(), end[last].tolist(), strict=True,
        )  # fmt: skip
        return [
            f"{who} - - [{clock}] {line} {status} {body or '-'} {rest}".encode() for who, clock, line, status, body, rest in rows
        ]


def chunk(world_tables: Tables, columns: Columns, *, day: int, first: int, start: datetime, minutes: int) -> Traffic:
    """A chunk of `minutes` minutes that begins at `start`."""
    return Traffic(day, first, start, minutes, columns, world_tables)
