"""When what goes wrong: the default schedule, and injections resolved to minutes and endpoints of one site."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from driftline.core.errors import DefinitionError
from driftline.core.timespan import parse_time
from driftline.generator.options import AccessLogOptions, Injection, offset
from driftline.generator.world import CHOICE, Ints, World, stream

QUARTER = 0.75  # what goes before is for training
WEEK_HOURS = 168.0  # the default schedule is laid out over seven days and shrinks with the range
OWN_PARTITION = {"population", "not_found"}  # they add requests of their own and disturb nobody's

DEFAULTS: list[tuple[str, float, float, float | None, list[str | int], int | None]] = [
    ("site_drop", 10, 8, None, [], None),
    ("ip_collapse", 36, 4, None, [], None),
    ("spike", 42, 0.5, 10, [1], None),
    ("outage", 61, 2, None, [4, 7, 9], None),
    ("outage", 68, 3, 0.02, [], 2),
    ("level_shift", 72, WEEK_HOURS, None, [10], None),
    ("silence", 75, 4, None, [26], None),
    ("spike", 84, 1, 3, [5], None),
    ("drop", 87, 3, None, [0], None),
    ("not_found", 90, 6, None, [], None),
    ("flatline", 98, 12, None, [3], None),
    ("ramp", 100, 36, None, [12], None),
    ("intermittent_errors", 112, 6, None, [], None),
    ("variance", 126, 12, None, [6], None),
    ("response_size", 148, 4, None, [5], None),
    ("contextual", 154, 8, None, [2], None),
]
"""Kind, hour it begins, hours it lasts, magnitude, ranks of its endpoints, host: over the last week of four.

What concerns the whole site comes first, each at a time of its own; afterwards only single endpoints, so that nothing
hides another. `outage` is there twice: a dependency of three endpoints, and one host with all it serves.
"""


@dataclass(frozen=True)
class Event:
    """An injection of one site: minutes [first, last) after the start, endpoints by rank, host by number."""

    number: int
    kind: str
    first: int
    last: int
    magnitude: float
    endpoints: Ints
    whole: bool
    host: int | None
    overlap: bool = False

    def within(self, first: int, last: int) -> bool:
        """Whether it touches minutes [first, last)."""
        return self.first < last and self.last > first

    def clashes(self, other: Event) -> bool:
        """Whether both disturb one partition at one time."""
        if not self.within(other.first, other.last) or OWN_PARTITION & {self.kind, other.kind}:
            return False
        return bool(np.intersect1d(self.endpoints, other.endpoints).size)


def resolve(world: World, options: AccessLogOptions, seed: int, start: datetime, minutes: int) -> list[Event]:
    """All events of a source of so many minutes, by time.

    Raises:
        DefinitionError: An injection outside the range, of an unknown endpoint or host, or on top of another.
    """
    place = _Resolver(world, seed, start, minutes)
    for entry in options.injections:
        place.explicit(entry)
    if options.schedule == "default":
        for entry in _default(options, minutes):
            if entry.kind not in options.without:
                place.default(entry)
    return sorted(place.events, key=lambda event: (event.first, event.number))


def _default(options: AccessLogOptions, minutes: int) -> list[Injection]:
    """The default schedule, shrunk to the last quarter of the range; a range above four weeks keeps it as it is."""
    begin = math.floor(minutes * QUARTER)
    scale = min(1.0, (minutes - begin) / 60 / WEEK_HOURS)
    entries = []
    for kind, hour, hours, magnitude, endpoints, host in DEFAULTS:
        at, length = begin + round(hour * 60 * scale), max(10, round(hours * 60 * scale))
        if kind == "level_shift":
            length = minutes - at
        if at >= minutes or (host is not None and options.hosts == 1):
            continue
        number = host % options.hosts if host is not None else None
        share = 0.05 if kind == "intermittent_errors" else None
        entries.append(_injection(kind, at, length, magnitude, endpoints, number, share))
    first, last = ((day - 1 + place) * 1440 for day, place in zip(options.suspicious_days, (0, 1), strict=True))
    if first < minutes:
        entries.append(_injection("population", first, last - first, None, [17 if options.endpoints > 17 else 0], None, None))
    return entries


def _injection(
    kind: str,
    at: int,
    length: int,
    magnitude: float | None,
    endpoints: list[str | int],
    host: int | None,
    share: float | None,
) -> Injection:
    data = {
        "kind": kind,
        "at": f"{at}m",
        "duration": f"{length}m",
        "magnitude": magnitude,
        "endpoints": endpoints,
        "host": host,
    }
    return Injection.model_validate(data | {"share": share})


class _Resolver:
    def __init__(self, world: World, seed: int, start: datetime, minutes: int) -> None:
        self.world, self.seed, self.start, self.minutes = world, seed, start, minutes
        self.events: list[Event] = []
        self._ranks = {path: rank for rank, path in enumerate(world.paths)}

    def explicit(self, entry: Injection) -> None:
        """One of the user's own: wrong places and overlaps are errors."""
        where = f"injections.{len(self.events)} ({entry.kind})"
        event = self._event(entry, where)
        clash = next((other for other in self.events if event.clashes(other)), None)
        if clash is not None and not entry.overlap:
            raise DefinitionError(
                f"it disturbs the same partition at the same time as injection {clash.number} ({clash.kind})",
                where=where,
                fix="Move it, or say 'overlap: true'.",
            )
        self.events.append(event)

    def default(self, entry: Injection) -> None:
        """One of the default schedule: on a small site it moves to a free endpoint; without one it is left out."""
        wanted: list[str | int] = [int(rank) % len(self.world.paths) for rank in entry.endpoints]
        wholesale = not wanted and entry.share is None
        candidates = [wanted] if wholesale or entry.share else [wanted, *([rank] for rank in range(len(self.world.paths)))]
        for endpoints in candidates:
            event = self._event(entry.model_copy(update={"endpoints": endpoints}), entry.kind)
            if not any(event.clashes(other) for other in self.events if not other.overlap):
                self.events.append(event)
                return

    def _event(self, entry: Injection, where: str) -> Event:
        at = offset(entry.at)
        begin = at if at is not None else parse_time(entry.at) - self.start
        first = math.floor(begin / timedelta(minutes=1))
        last = min(self.minutes, first + max(1, round(entry.duration / timedelta(minutes=1))))
        if first < 0 or first >= self.minutes:
            raise DefinitionError(
                f"it begins at {entry.at}, outside the source's range",
                where=where,
                fix="Move it, or change start or days.",
            )
        number = len(self.events) + 1
        endpoints = self._endpoints(entry, number, where, first, last)
        whole = not entry.endpoints and entry.share is None
        host = None if entry.host is None else self._host(entry.host, where)
        return Event(number, entry.kind, first, last, entry.strength, endpoints, whole, host, entry.overlap)

    def _endpoints(self, entry: Injection, number: int, where: str, first: int, last: int) -> Ints:
        total = len(self.world.paths)
        if entry.share is not None:
            probe = Event(0, entry.kind, first, last, 0, np.arange(total), True, None)
            taken = [other.endpoints for other in self.events if probe.clashes(other)]
            free = np.setdiff1d(np.arange(total), np.concatenate(taken) if taken else [])
            wanted = min(len(free), max(1, round(entry.share * total)))
            return np.sort(stream(self.seed, CHOICE, number).choice(free, wanted, replace=False)).astype(np.int64)
        ranks = [self._rank(name, where) for name in entry.endpoints]
        return np.unique(np.array(ranks, dtype=np.int64)) if ranks else np.arange(total)

    def _rank(self, name: str | int, where: str) -> int:
        rank = name if isinstance(name, int) else self._ranks.get(name, -1)
        if not 0 <= rank < len(self.world.paths):
            raise DefinitionError(
                f"no endpoint '{name}'",
                where=where,
                expected=f"a rank below {len(self.world.paths)} or a path of the site",
            )
        return rank

    def _host(self, name: str | int, where: str) -> int:
        hosts = self.world.hosts
        if isinstance(name, int) and 0 <= name < len(hosts):
            return name
        if name in hosts:
            return hosts.index(str(name))
        raise DefinitionError(
            f"no host '{name}'", where=where, expected=f"a number below {len(hosts)}, or {hosts[0]} … {hosts[-1]}"
        )
