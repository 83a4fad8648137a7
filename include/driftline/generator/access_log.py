"""The access-log generator: a web site's requests, day by day, with what was injected into them."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from driftline.generator import effects, truth
from driftline.generator.base import CHUNKS_A_DAY, DAY, Chunk, Generated
from driftline.generator.options import AccessLogOptions
from driftline.generator.rates import Rates
from driftline.generator.render import Tables, chunk
from driftline.generator.requests import Columns, Requests
from driftline.generator.schedule import resolve
from driftline.generator.world import COUNTS, ROWS, make_world, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from driftline.generator.schedule import Event
    from driftline.generator.world import Ints

__all__ = ["AccessLog", "AccessLogOptions"]

MINUTES = 1440 // CHUNKS_A_DAY
_KEYWORD, _LONG = {"type": "keyword"}, {"type": "long"}


class AccessLog(Generated):
    """Requests to one site, in Elastic Common Schema."""

    kind: ClassVar[str] = "access_log"
    time_field: ClassVar[str] = "@timestamp"
    properties: ClassVar[dict[str, Any]] = {
        "@timestamp": {"type": "date"},
        "host.name": _KEYWORD,
        "url.path": _KEYWORD,
        "url.original": _KEYWORD,
        "source.ip": {"type": "ip"},
        "source.geo.country_iso_code": _KEYWORD,
        "user_agent.original": _KEYWORD,
        "user_agent.name": _KEYWORD,
        "user_agent.os.name": _KEYWORD,
        "user_agent.device.name": _KEYWORD,
        "http.version": _KEYWORD,
        "http.request.method": _KEYWORD,
        "http.request.referrer": _KEYWORD,
        "http.request.bytes": _LONG,
        "http.response.status_code": _LONG,
        "http.response.bytes": _LONG,
        "http.response.body.bytes": _LONG,
    }

    def __init__(self, seed: int, start: datetime, days: float, options: AccessLogOptions) -> None:
        super().__init__(seed, start, days, options)
        self.options = options
        self.minutes = int((self.end - self.start) / timedelta(minutes=1))
        self.world = make_world(seed, options)
        self.rates = Rates(self.world, options, self.start)
        self.events = resolve(self.world, options, seed, self.start, self.minutes)
        self._requests = Requests(self.world, options, self.rates, seed)

    @cached_property
    def _tables(self) -> Tables:
        return Tables(self.world)

    @property
    def documents_estimate(self) -> int:
        """What the rate gives without injections; they add and take a few per cent."""
        return round(self.options.events_per_day * self.minutes / 1440)

    def day_chunks(self, day: int) -> Iterator[Chunk]:
        """Eight chunks of three hours, each drawn from its own seeds."""
        begin, number = day * 1440, 0
        for part in range(CHUNKS_A_DAY):
            first, last = begin + part * MINUTES, min(begin + (part + 1) * MINUTES, self.minutes)
            if first >= last:
                return
            columns = self._draw(day, part, first, last)
            moment = self.start + day * DAY + timedelta(minutes=part * MINUTES)
            yield chunk(self._tables, columns, day=day, first=number, start=moment, minutes=last - first)
            number += len(columns.ms)

    def counts(self) -> Ints:
        """Requests of every endpoint in every minute, (E, T): what the rows add up to, without what concerns one host only."""
        parts = []
        for first in range(0, self.minutes, MINUTES):
            day, part = divmod(first // MINUTES, CHUNKS_A_DAY)
            parts.append(self._counts(day, part, np.arange(first, min(first + MINUTES, self.minutes)))[0])
        return np.concatenate(parts, axis=1)

    def _draw(self, day: int, part: int, first: int, last: int) -> Columns:
        minutes = np.arange(first, last)
        counts, events = self._counts(day, part, minutes)
        return self._requests.draw(stream(self.seed, ROWS, day, part), counts, minutes, events)

    def _counts(self, day: int, part: int, minutes: Ints) -> tuple[Ints, list[Event]]:
        """Requests of a chunk's minutes (E, T), and the injections that touch it."""
        events = [event for event in self.events if event.within(int(minutes[0]), int(minutes[-1]) + 1)]
        rng = stream(self.seed, COUNTS, day, part)
        rate = self.rates.expected(minutes)
        effects.disturb_rates(rate, minutes, events, self.rates, self.seed)
        rate *= self.rates.noise(rng, (rate.shape[0], rate.shape[1]))
        counts = rng.poisson(rate).astype(np.int64)
        effects.freeze(counts, minutes, events, self.rates)
        return counts, events

    def truth(self) -> list[dict[str, Any]]:
        """One document for each injection."""
        return [truth.document(event, self.world, self.start, self.digest) for event in self.events]
