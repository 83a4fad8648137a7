"""The labelled requests of the web application as documents, JSON, log lines or columns of text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from driftline.core.timespan import iso
from driftline.generator.base import Chunk
from driftline.generator.web_kinds import AGENTS, KINDS, METHODS

if TYPE_CHECKING:
    from driftline.generator.web_draw import Columns, Site
    from driftline.generator.world import Ints

MS = timedelta(milliseconds=1)


class WebTables:
    """What the rows of one site repeat. A number of -1 is the last entry of a table that ends with None."""

    def __init__(self, site: Site) -> None:
        world = site.world
        self.paths, self.methods = site.paths, list(METHODS)
        self.ips = world.clients
        self.countries = [world.countries[row] for row in world.client_country.tolist()]
        self.users: list[str | None] = [*site.users, None]
        self.referrers: list[str | None] = [*site.referrers, None]
        self.tags: list[str | None] = [*KINDS, None]
        self.agents = [{"original": agent.original, "name": agent.name, "os": {"name": agent.os}} for agent in AGENTS]

    def columns(self, rows: Columns) -> dict[str, Any]:
        """All fields but the time, by dotted name: arrays of text or of int64."""
        return {
            "source.ip": _text(self.ips, rows.client),
            "source.geo.country_iso_code": _text(self.countries, rows.client),
            "user.name": _text(self.users, rows.user),
            "url.path": _text(self.paths, rows.path),
            "user_agent.original": _text([agent.original for agent in AGENTS], rows.agent),
            "user_agent.name": _text([agent.name for agent in AGENTS], rows.agent),
            "user_agent.os.name": _text([agent.os for agent in AGENTS], rows.agent),
            "http.request.method": _text(self.methods, rows.method),
            "http.request.referrer": _text(self.referrers, rows.referrer),
            "http.request.bytes": rows.request,
            "http.response.status_code": rows.status,
            "http.response.bytes": rows.response,
            "event.duration": rows.duration,
            "tag": _text(self.tags, rows.tag),
            "truth": _text(self.tags, rows.kind),
        }


def _text(table: list[str] | list[str | None], numbers: Ints) -> Any:  # noqa: ANN401 - a pandas array of text
    import pandas as pd

    return pd.array(table, dtype="str").take(np.where(numbers < 0, len(table) - 1, numbers))


@dataclass
class WebChunk(Chunk):
    """Some hours of labelled requests."""

    day: int
    first: int
    begin: datetime  # of the day
    columns: Columns
    tables: WebTables
    with_truth: bool

    def __len__(self) -> int:
        return len(self.columns)

    def times(self) -> list[int]:
        """Milliseconds since the epoch."""
        found: list[int] = (round(self.begin.timestamp()) * 1000 + self.columns.ms).tolist()
        return found

    def measures(self) -> dict[str, list[Any]]:
        """Status codes, bytes and durations."""
        columns = self.columns
        return {
            "http.request.bytes": columns.request.tolist(), "http.response.status_code": columns.status.tolist(),
            "http.response.bytes": columns.response.tolist(), "event.duration": columns.duration.tolist(),
        }  # fmt: skip

    def documents(self) -> list[dict[str, Any]]:
        """The requests as ECS documents; what is missing is left out."""
        rows, tables = self.columns, self.tables
        found = []
        minutes = {minute: iso(self.begin + timedelta(minutes=minute))[:17] for minute in np.unique(rows.ms // 60_000).tolist()}
        numbers = (rows.ms, rows.path, rows.method, rows.status, rows.client, rows.agent, rows.referrer, rows.user,
                   rows.request, rows.response, rows.duration, rows.kind, rows.tag)  # fmt: skip
        for ms, path, method, status, client, agent, referrer, user, sent, answered, took, kind, tag in zip(
            *(part.tolist() for part in numbers), strict=True
        ):
            request: dict[str, Any] = {"method": tables.methods[method], "bytes": sent}
            document: dict[str, Any] = {
                "@timestamp": f"{minutes[ms // 60_000]}{ms // 1000 % 60:02d}.{ms % 1000:03d}Z",
                "source": {"ip": tables.ips[client], "geo": {"country_iso_code": tables.countries[client]}},
                "url": {"path": tables.paths[path]},
                "user_agent": tables.agents[agent],
                "http": {"request": request, "response": {"status_code": status, "bytes": answered}},
                "event": {"duration": took},
            }
            if user >= 0:
                document["user"] = {"name": tables.users[user]}
            if referrer >= 0:
                request["referrer"] = tables.referrers[referrer]
            if tag >= 0:
                document["tag"] = tables.tags[tag]
            if self.with_truth:
                document["truth"] = tables.tags[kind]
            found.append(document)
        return found

    def encoded(self) -> list[bytes]:
        """The same documents as JSON."""
        return [orjson.dumps(document) for document in self.documents()]

    def lines(self) -> list[bytes]:
        """The requests in combined format, which has no place for the tag."""
        rows, tables = self.columns, self.tables
        numbers = (rows.ms, rows.path, rows.method, rows.status, rows.client, rows.agent, rows.referrer, rows.user, rows.response)
        return [
            (
                f"{tables.ips[client]} - {tables.users[user] or '-'} [{(self.begin + ms * MS):%d/%b/%Y:%H:%M:%S} +0000] "
                f'"{tables.methods[method]} {tables.paths[path]} HTTP/1.1" {status} {answered} '
                f'"{tables.referrers[referrer] or "-"}" "{AGENTS[agent].original}"'
            ).encode()
            for ms, path, method, status, client, agent, referrer, user, answered in zip(
                *(part.tolist() for part in numbers), strict=True
            )
        ]
