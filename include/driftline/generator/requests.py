"""The single requests of a chunk as columns: who asked what, when, and what was answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from driftline.generator import catalogue, effects
from driftline.generator.world import REUSE, Bools, Floats, Ints, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from driftline.generator.options import AccessLogOptions
    from driftline.generator.rates import Rates
    from driftline.generator.schedule import Event

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE"]
SLOT = 15  # minutes that share one mix of countries
NORMAL, NOT_FOUND, SUSPICIOUS = range(3)
STRAY_AGENT = 0.1  # share of requests that do not come with the client's usual browser
BIG_FILE = (600_000, 0.5)  # median and spread of what the suspicious client downloads: +30 % on the demo's mean


@dataclass
class Columns:
    """One value a request, in time order. Indices point into the world's lists, or just past them for injected ones."""

    ms: Ints  # milliseconds after the first minute of the chunk
    endpoint: Ints  # len(paths): the bad link
    host: Ints
    client: Ints  # len(clients): the suspicious one, after it the proxies
    agent: Ints
    referrer: Ints  # len(REFERRERS): the page with the bad link
    method: Ints
    status: Ints
    body: Ints
    response: Ints
    request: Ints


class Requests:
    """Draws the requests of a chunk from its counts."""

    def __init__(self, world: World, options: AccessLogOptions, rates: Rates, seed: int) -> None:
        self.world, self.options, self.rates, self.seed = world, options, rates, seed
        self._kind = np.append(world.kind, catalogue.PAGE)
        self._size, self._spread = np.append(world.size, np.log(900.0)), np.append(world.spread, 0.1)
        self._answers = [_table(catalogue.ANSWERS[kind]) for kind in sorted(catalogue.ANSWERS)]
        self._referrers = _cumulative([weight for _, weight in catalogue.REFERRERS])
        self._host_cdf = _cumulative(world.host_share)

    def draw(self, rng: np.random.Generator, counts: Ints, minutes: Ints, events: Sequence[Event]) -> Columns:
        """The requests for counts (E, T) at these minutes."""
        cells = np.repeat(np.arange(counts.size), counts.ravel())
        endpoint, minute = cells // counts.shape[1], cells % counts.shape[1]
        host = _pick(rng, self._host_cdf, len(cells))
        copies = effects.host_copies(rng, events, minute, endpoint, host, self.seed, minutes)
        if copies is not None:
            endpoint, minute, host = (np.repeat(column, copies) for column in (endpoint, minute, host))
        special = np.zeros(len(endpoint), dtype=np.int64)
        for event in events:
            if event.kind in {"population", "not_found"}:
                more = effects.extra_requests(rng, event, minutes, self.options.events_per_day / 1440)
                what, rank = (
                    (SUSPICIOUS, int(event.endpoints[0])) if event.kind == "population" else (NOT_FOUND, len(self.world.paths))
                )
                minute, endpoint = np.append(minute, more), np.append(endpoint, np.full(len(more), rank))
                host = np.append(host, _pick(rng, self._host_cdf, len(more)))
                special = np.append(special, np.full(len(more), what))
        ms = minute * 60_000 + rng.integers(0, 60_000, len(minute))
        order = np.argsort(ms, kind="stable")
        return self._fill(rng, ms[order], endpoint[order], host[order], special[order], minutes, events)

    def _fill(
        self,
        rng: np.random.Generator,
        ms: Ints,
        endpoint: Ints,
        host: Ints,
        special: Ints,
        minutes: Ints,
        events: Sequence[Event],
    ) -> Columns:
        at = minutes[ms // 60_000] if len(ms) else ms
        client, agent = self._visitors(rng, ms // 60_000, endpoint, minutes)
        method, status = self._answer(rng, endpoint)
        referrer = _pick(rng, self._referrers, len(ms))
        bad, suspicious = special == NOT_FOUND, special == SUSPICIOUS
        method[bad | suspicious] = METHODS.index("GET")
        status[bad], status[suspicious] = 404, 200
        referrer[bad] = len(catalogue.REFERRERS)
        client[suspicious], agent[suspicious], referrer[suspicious] = len(self.world.clients), catalogue.DOWNLOADER, 0
        for event in events:
            self._rewrite(rng, event, at, endpoint, host, client, status)
        body = self._bodies(rng, endpoint, method, status, suspicious)
        for event in events:
            if event.kind == "response_size":
                hit = _hit(event, at, endpoint, host)
                body[hit] = np.round(body[hit] * event.magnitude).astype(np.int64)
        response = body + rng.integers(180, 420, len(ms))
        sent = np.where((method == 2) | (method == 3), rng.lognormal(6.4, 0.7, len(ms)), 0.0)
        request = (rng.lognormal(6.1, 0.25, len(ms)) + sent).astype(np.int64)
        return Columns(ms, endpoint, host, client, agent, referrer, method, status, body, response, request)

    def _visitors(self, rng: np.random.Generator, minute: Ints, endpoint: Ints, minutes: Ints) -> tuple[Ints, Ints]:
        """Country by the hour and the endpoint's mix, then a client of that country."""
        world = self.world
        slots = np.arange(SLOT // 2, len(minutes) + SLOT, SLOT)
        active = world.mix[:, :, None] * self.rates.countries(minutes[0] + slots)[None]  # (G, C, slots)
        cdf = np.cumsum(active, axis=1)
        cdf /= cdf[:, -1:, :]
        group = np.append(world.group, 0)[endpoint]
        draw = rng.random(len(endpoint))
        country = (draw[:, None] >= cdf[group, :-1, minute // SLOT]).sum(axis=1)
        first, last = world.country_first[country], world.country_first[country + 1]
        client = first + np.floor((last - first) * rng.random(len(endpoint)) ** REUSE).astype(np.int64)
        stray = rng.random(len(endpoint)) < STRAY_AGENT
        agent = world.client_agent[np.where(stray, rng.integers(0, len(world.clients), len(endpoint)), client)]
        return client, agent

    def _answer(self, rng: np.random.Generator, endpoint: Ints) -> tuple[Ints, Ints]:
        method, status = np.zeros(len(endpoint), dtype=np.int64), np.zeros(len(endpoint), dtype=np.int64)
        kind, draw = self._kind[endpoint], rng.random(len(endpoint))
        for number, (methods, statuses, cdf) in enumerate(self._answers):
            mine = kind == number
            choice = np.searchsorted(cdf, draw[mine], side="right")
            method[mine], status[mine] = methods[choice], statuses[choice]
        return method, status

    def _rewrite(
        self, rng: np.random.Generator, event: Event, at: Ints, endpoint: Ints, host: Ints, client: Ints, status: Ints
    ) -> None:
        if event.kind == "ip_collapse":
            hit = _hit(event, at, endpoint, host)
            hit &= rng.random(len(at)) >= event.magnitude
            proxies = len(self.world.clients) + 1 + rng.integers(0, len(catalogue.PROXY_IPS), len(at))
            client[hit] = proxies[hit]
        elif event.kind == "intermittent_errors":
            hit = _hit(event, at, endpoint, host)
            hit &= rng.random(len(at)) < event.magnitude
            status[hit] = rng.choice(catalogue.FAILURES, len(at))[hit]

    def _bodies(self, rng: np.random.Generator, endpoint: Ints, method: Ints, status: Ints, suspicious: Bools) -> Ints:
        bell = rng.standard_normal(len(endpoint))
        size = np.exp(self._size[endpoint] + self._spread[endpoint] * bell)
        size = np.where(suspicious, BIG_FILE[0] * np.exp(BIG_FILE[1] * bell), size)
        size = np.where(status == 206, size * 0.3, size)
        size = np.where(status >= 400, 700 * np.exp(0.35 * bell), size)
        size = np.where((status == 301) | (status == 302), 240 * np.exp(0.1 * bell), size)
        empty = (status == 304) | (status == 204) | (method == METHODS.index("HEAD"))
        return np.where(empty, 0, size).astype(np.int64)


def _hit(event: Event, at: Ints, endpoint: Ints, host: Ints) -> Bools:
    """Which requests an event concerns."""
    hit = (at >= event.first) & (at < event.last)
    if not event.whole:
        hit &= np.isin(endpoint, event.endpoints)
    if event.host is not None:
        hit &= host == event.host
    return hit


def _cumulative(weights: Sequence[float] | Floats) -> Floats:
    total = np.cumsum(np.asarray(weights, dtype=float))
    return np.asarray(total / total[-1])


def _pick(rng: np.random.Generator, cdf: Floats, count: int) -> Ints:
    return np.searchsorted(cdf, rng.random(count), side="right")


def _table(rows: list[tuple[str, int, float]]) -> tuple[Ints, Ints, Floats]:
    methods = np.array([METHODS.index(method) for method, _, _ in rows], dtype=np.int64)
    return (
        methods,
        np.array([status for _, status, _ in rows], dtype=np.int64),
        _cumulative([weight for *_, weight in rows]),
    )
