"""The site that a seed stands for: endpoints, hosts and visitors, and how they behave. Drawn once, for every day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from driftline.generator import catalogue

if TYPE_CHECKING:
    from driftline.generator.options import AccessLogOptions

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Objects: TypeAlias = NDArray[Any]

WORLD, CLIENTS, COUNTS, ROWS, VARIANCE, CHOICE = range(6)
"""Streams: each purpose draws from a generator of its own, so that one does not shift what another draws."""

GROUPS = 4  # mixes of countries: endpoints of one group see their peak at the same hour
FLATTENING = 3  # rank 0 gets 1 / (3 + 1): the busiest of 40 endpoints takes a tenth of the traffic, as on real sites
WAVES = 3  # slow waves of 9 to 60 days that the level of each endpoint wanders on
REUSE = 3.0  # an address is drawn as u ** 3: density r ** (-2/3), a few addresses are heard all day, most once


def stream(seed: int, *path: int) -> np.random.Generator:
    """A generator of random numbers for one purpose."""
    return np.random.default_rng([seed, *path])


@dataclass(frozen=True)
class World:
    """Endpoints (E), hosts (H), country mixes (G groups x C countries) and clients (N)."""

    paths: list[str]
    kind: Ints
    base: Floats  # mean requests a minute
    daily: Floats  # 0..1, share of the traffic that follows the day
    weekly: Floats  # how much is missing at weekends; negative: more
    group: Ints
    wave_height: Floats  # (E, WAVES)
    wave_period: Floats  # (E, WAVES), days
    wave_phase: Floats  # (E, WAVES)
    size: Floats  # logarithm of the median body
    spread: Floats
    hosts: list[str]
    host_share: Floats
    mix: Floats  # (G, C)
    hours: Floats  # (C,) ahead of UTC
    countries: list[str]
    clients: list[str]
    client_country: Ints
    client_agent: Ints
    country_first: Ints  # (C + 1,) where each country's clients begin


def make_world(seed: int, options: AccessLogOptions) -> World:
    """Draws the site."""
    rng = stream(seed, WORLD)
    count = options.endpoints
    paths, kind = _endpoints(count)
    weight = 1.0 / (np.arange(count) + 1 + FLATTENING)
    weight *= np.exp(rng.normal(0, 0.05, count))
    countries = catalogue.COUNTRIES[: options.countries]
    share = np.array([row[1] for row in countries])
    mix = share * np.exp(rng.normal(0, 0.5, (GROUPS, len(countries))))
    medians = np.array([catalogue.SIZES[int(k)] for k in kind])
    load = rng.dirichlet(np.full(options.hosts, 200.0))
    drift = options.drift
    return World(
        paths=paths,
        kind=kind,
        base=weight / weight.sum() * options.events_per_day / 1440,
        daily=rng.uniform(0.75, 1.0, count) * options.daily,
        weekly=rng.choice([0.45, 0.3, 0.15, -0.2], count, p=[0.3, 0.4, 0.2, 0.1]) * options.weekly,
        group=rng.integers(0, GROUPS, count),
        wave_height=np.abs(rng.normal(0, 0.04, (count, WAVES))) * drift,
        wave_period=rng.uniform(9, 60, (count, WAVES)),
        wave_phase=rng.uniform(0, 2 * np.pi, (count, WAVES)),
        size=np.log(medians[:, 0]) + rng.normal(0, 0.3, count),
        spread=medians[:, 1],
        hosts=[f"web-{number:02d}" for number in range(1, options.hosts + 1)],
        host_share=load,
        mix=mix / mix.sum(axis=1, keepdims=True),
        hours=np.array([row[2] for row in countries]),
        countries=[row[0] for row in countries],
        **_clients(stream(seed, CLIENTS), options.clients, share / share.sum()),
    )


def _endpoints(count: int) -> tuple[list[str], Ints]:
    """The first 40 by name, further ones from sections and nouns."""
    known = catalogue.PATHS[:count]
    paths, kinds = [path for path, _ in known], [kind for _, kind in known]
    for number in range(count - len(known)):
        section, kind = catalogue.SECTIONS[number % len(catalogue.SECTIONS)]
        noun = catalogue.NOUNS[number // len(catalogue.SECTIONS) % len(catalogue.NOUNS)]
        paths.append(f"{section}/{noun}/{number // (len(catalogue.SECTIONS) * len(catalogue.NOUNS)) + 1}")
        kinds.append(kind)
    return paths, np.array(kinds, dtype=np.int64)


def _clients(rng: np.random.Generator, count: int, share: Floats) -> dict[str, Any]:
    """Addresses, country by country, in public-looking blocks; each client keeps its browser."""
    sizes = np.maximum(1, np.floor(share * count).astype(np.int64))
    total = int(sizes.sum())
    numbers = rng.permutation(_usable(rng, total))
    weights = np.array([agent.weight for agent in catalogue.AGENTS])
    return {
        "clients": [f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in numbers.tolist()],
        "client_country": np.repeat(np.arange(len(sizes)), sizes),
        "client_agent": rng.choice(len(weights), total, p=weights / weights.sum()),
        "country_first": np.concatenate([[0], np.cumsum(sizes)]),
    }


def _usable(rng: np.random.Generator, count: int) -> Ints:
    """Different IPv4 numbers outside private, loopback, link-local, shared and documentation blocks."""
    reserved_first = {10, 100, 127, 169, 172, 192, 198, 203}
    first = np.array([octet for octet in range(11, 224) if octet not in reserved_first])
    found = np.empty(0, dtype=np.int64)
    while len(found) < count:
        draws = rng.choice(first, 2 * count) << 24 | rng.integers(0, 1 << 24, 2 * count)
        found = np.unique(np.concatenate([found, draws]))
    return rng.permutation(found)[:count]
