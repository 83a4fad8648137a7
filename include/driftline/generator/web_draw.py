"""The requests of the generated web application as columns of numbers: who asked what, and how it was answered."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from driftline.generator import catalogue
from driftline.generator.options import AccessLogOptions
from driftline.generator.web_kinds import AGENTS, BEHAVIOURS, DURATIONS, HOURS, KINDS, METHODS, USUAL, Behaviour
from driftline.generator.world import CHOICE, REUSE, Floats, Ints, make_world, stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

USERS_A_CLIENT = 2  # names are as many as half of the clients: some people share an address, some have two
TAKEN_OVER = 0.02  # of the clients, by each kind of attacker: they keep on visiting, too
BANDWIDTH = (2_500.0, 0.6)  # bytes a millisecond: what a large body adds to a request's duration


@dataclass
class Columns:
    """One value a request. Indices point into the tables of `Site`; -1 is a missing value."""

    ms: Ints  # milliseconds since the day began
    path: Ints
    method: Ints
    status: Ints
    client: Ints
    agent: Ints
    referrer: Ints
    user: Ints
    request: Ints  # bytes
    response: Ints  # bytes
    duration: Ints  # nanoseconds
    kind: Ints  # what it is
    tag: Ints  # what it is said to be

    def __len__(self) -> int:
        return len(self.ms)

    def take(self, order: Ints) -> Columns:
        """The rows with these numbers."""
        return Columns(**{field.name: getattr(self, field.name)[order] for field in fields(self)})

    @staticmethod
    def joined(parts: Sequence[Columns]) -> Columns:
        """All rows, one part after another."""
        return Columns(**{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Columns)})


class Site:
    """The web application that a seed stands for, and the dice of all that is done on it."""

    def __init__(self, seed: int, clients: int, wrong: Floats, unlabelled: float) -> None:
        """Draws the site.

        Args:
            seed: What it is drawn by.
            clients: How many different addresses visit it.
            wrong: (kinds, kinds) cumulative probabilities of each tag for each kind.
            unlabelled: The share of rows without a tag.
        """
        self.world = world = make_world(seed, AccessLogOptions(endpoints=len(catalogue.PATHS), clients=clients))
        rng = stream(seed, CHOICE)
        extra = dict.fromkeys(path for behaviour in BEHAVIOURS for path, _ in behaviour.paths)
        self.paths = [*world.paths, *(path for path in extra if path not in set(world.paths))]
        self.users = [f"user-{number:05d}" for number in range(1, len(world.clients) // USERS_A_CLIENT + 1)]
        self.referrers = [referrer for referrer, _ in catalogue.REFERRERS[1:]]  # without the first, which is none
        self._referrer = _cumulative(weight for _, weight in catalogue.REFERRERS[1:])
        sizes = np.diff(world.country_first).astype(float)
        self._countries = {
            kind: _cumulative(sizes * np.exp(rng.normal(0, 0.8, len(sizes)) * (kind != KINDS[0]))) for kind in KINDS
        }
        few = max(1, round(TAKEN_OVER * len(world.clients)))
        self._taken = {kind: rng.choice(len(world.clients), few, replace=False) for kind in KINDS}
        self._acts = [_Act(behaviour, self) for behaviour in BEHAVIOURS]
        self._choice = [_cumulative(act.weight * (act.kind == kind) for act in BEHAVIOURS) for kind in KINDS]
        self._wrong, self._unlabelled = wrong, unlabelled

    def draw(self, rng: np.random.Generator, counts: Ints, first: int) -> Columns:
        """The requests for counts (kinds, minutes), in time order; `first` is the minute of the day of the first column."""
        cells = np.repeat(np.arange(counts.size), counts.ravel())
        kind, minute = cells // counts.shape[1], cells % counts.shape[1]
        rows = len(cells)
        ms = (first + minute) * 60_000 + rng.integers(0, 60_000, rows)
        act = np.empty(rows, dtype=np.int64)
        for number, cdf in enumerate(self._choice):
            mine = kind == number
            act[mine] = np.searchsorted(cdf, rng.random(int(mine.sum())), side="right")
        blank = {field.name: np.zeros(rows, dtype=np.int64) for field in fields(Columns)}  # each behaviour fills its rows
        found = Columns(**(blank | {"ms": ms, "kind": kind, "tag": self._tags(rng, kind)}))
        for number in np.unique(act):
            self._acts[number].perform(rng, np.flatnonzero(act == number), found)
        return found.take(np.argsort(ms, kind="stable"))

    def _tags(self, rng: np.random.Generator, kind: Ints) -> Ints:
        """What is said of each request: now and then something wrong, or nothing."""
        tag = (rng.random(len(kind))[:, None] >= self._wrong[kind, :-1]).sum(axis=1)
        return np.where(rng.random(len(kind)) < self._unlabelled, -1, tag)

    def visitors(self, rng: np.random.Generator, behaviour: Behaviour, rows: int) -> Ints:
        """Who does it: a country, then a client of it that is heard often or rarely; or one that was taken over."""
        world = self.world
        country = pick(rng, self._countries[behaviour.kind], rows)
        first, last = world.country_first[country], world.country_first[country + 1]
        anybody = first + np.floor((last - first) * rng.random(rows) ** REUSE).astype(np.int64)
        strange = rng.random(rows) < behaviour.strangers
        return np.where(strange, rng.choice(self._taken[behaviour.kind], rows), anybody)

    def referrers_of(self, rng: np.random.Generator, rows: int, share: float) -> Ints:
        """Where a request comes from; -1: it does not say."""
        return np.where(rng.random(rows) < share, pick(rng, self._referrer, rows), -1)


class _Act:
    """A behaviour with its dice made ready."""

    def __init__(self, behaviour: Behaviour, site: Site) -> None:
        self._what, self._site = behaviour, site
        world = site.world
        if behaviour.paths:
            self._endpoints = np.array([site.paths.index(path) for path, _ in behaviour.paths])
            self._endpoint = _cumulative(weight for _, weight in behaviour.paths)
        else:
            among = [row for row, kind in enumerate(world.kind.tolist()) if not behaviour.only or kind in behaviour.only]
            self._endpoints, self._endpoint = np.array(among), _cumulative(world.base[among].tolist())
        names = [agent.name for agent in AGENTS]
        self._agents = np.array([-1 if name == USUAL else names.index(name) for name, _ in behaviour.agents])
        self._agent = _cumulative(weight for _, weight in behaviour.agents)
        self._own = _table(behaviour.answers) if behaviour.answers else None
        self._usual = {kind: _table(answers) for kind, answers in catalogue.ANSWERS.items()}

    def perform(self, rng: np.random.Generator, at: Ints, columns: Columns) -> None:
        """Fills these rows."""
        what, site, rows = self._what, self._site, len(at)
        path = self._endpoints[pick(rng, self._endpoint, rows)]
        client = site.visitors(rng, what, rows)
        agent = self._agents[pick(rng, self._agent, rows)]
        number = len(site.users)
        user = np.where(rng.random(rows) < what.user, (client + rng.integers(0, 2, rows)) % number, -1)
        columns.path[at], columns.client[at], columns.user[at] = path, client, user
        columns.agent[at] = np.where(agent < 0, site.world.client_agent[client], agent)
        columns.referrer[at] = site.referrers_of(rng, rows, what.referrer)
        method, status = self._answer(rng, path)
        columns.method[at], columns.status[at] = method, status
        sent, body = self._bodies(rng, path, method, status)
        columns.request[at] = np.round(rng.lognormal(6.1, 0.25, rows) + sent)
        columns.response[at] = np.round(body + rng.integers(180, 420, rows))
        wait = self._wait(rng, path, status) + (sent + body) / _lognormal(rng, BANDWIDTH, rows)
        columns.duration[at] = np.round(wait * 1e6)

    def _answer(self, rng: np.random.Generator, path: Ints) -> tuple[Ints, Ints]:
        draw = rng.random(len(path))
        if self._own is not None:
            methods, statuses, cdf = self._own
            choice = np.searchsorted(cdf, draw, side="right")
            return methods[choice], statuses[choice]
        method, status = np.zeros(len(path), dtype=np.int64), np.zeros(len(path), dtype=np.int64)
        for kind, (methods, statuses, cdf) in self._usual.items():
            mine = self._site.world.kind[path] == kind
            choice = np.searchsorted(cdf, draw[mine], side="right")
            method[mine], status[mine] = methods[choice], statuses[choice]
        return method, status

    def _bodies(self, rng: np.random.Generator, path: Ints, method: Ints, status: Ints) -> tuple[Floats, Floats]:
        """Bytes of what is sent and of what is answered, without headers."""
        world, rows, what = self._site.world, len(path), self._what
        posted = (method == METHODS.index("POST")) | (method == METHODS.index("PUT"))
        sent = np.where(posted, _lognormal(rng, what.request or (600.0, 0.7), rows), 0.0)
        bell = rng.standard_normal(rows)
        if what.response:
            return sent, what.response[0] * np.exp(what.response[1] * bell)
        known = np.minimum(path, len(world.paths) - 1)  # paths of attacks have sizes of their own
        body = np.exp(world.size[known] + world.spread[known] * bell)
        body = np.where(status >= 400, 700 * np.exp(0.35 * bell), body)
        empty = (status == 304) | (status == 204) | (method == METHODS.index("HEAD")) | (method == METHODS.index("OPTIONS"))
        return sent, np.where(empty, 0.0, body)

    def _wait(self, rng: np.random.Generator, path: Ints, status: Ints) -> Floats:
        """Milliseconds until the answer begins."""
        if self._what.duration:
            return _lognormal(rng, self._what.duration, len(path))
        kind = self._site.world.kind[np.minimum(path, len(self._site.world.paths) - 1)]
        table = np.array([DURATIONS[number] for number in sorted(DURATIONS)])
        wait: Floats = table[kind, 0] * np.exp(table[kind, 1] * rng.standard_normal(len(path)))
        return np.where((status == 304) | (status == 404), 0.3 * wait, wait)


def rhythm(kind: str, minutes: Ints) -> Floats:
    """How many requests of a kind come in each minute of the day (UTC), relative to the mean."""
    hour, depth = HOURS[kind]
    return np.asarray(1 + depth * np.cos(2 * np.pi * (minutes / 60 - hour) / 24))


def pick(rng: np.random.Generator, cdf: Floats, count: int) -> Ints:
    """`count` indices by their cumulative probabilities."""
    return np.searchsorted(cdf, rng.random(count), side="right")


def _lognormal(rng: np.random.Generator, size: tuple[float, float], count: int) -> Floats:
    found: Floats = size[0] * np.exp(size[1] * rng.standard_normal(count))
    return found


def _cumulative(weights: Iterable[float]) -> Floats:
    total = np.cumsum(np.array(list(weights), dtype=float))
    return np.asarray(total / total[-1])


def _table(rows: Iterable[tuple[str, int, float]]) -> tuple[Ints, Ints, Floats]:
    rows = list(rows)
    methods = np.array([METHODS.index(method) for method, _, _ in rows], dtype=np.int64)
    return methods, np.array([status for _, status, _ in rows], dtype=np.int64), _cumulative(weight for *_, weight in rows)
