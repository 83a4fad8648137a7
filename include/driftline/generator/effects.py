"""What injections do: to expected rates, to counts, and to single requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from driftline.generator.world import VARIANCE, Floats, Ints, stream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from driftline.generator.rates import Rates
    from driftline.generator.schedule import Event

ON_RATES = {"spike", "drop", "silence", "level_shift", "ramp", "outage", "site_drop", "variance"}
FLOOR_SHARE = 0.6  # an outage stays at its floor for this share of its time, then recovers linearly
SWING = 30  # minutes that a variance change keeps each of its levels
FADING = 3.0  # requests for the bad link end at e ** -3 of their peak


def factor(event: Event, minutes: Ints, seed: int) -> Floats:
    """What an event multiplies rates with at these minutes; 1 outside its time."""
    inside = (minutes >= event.first) & (minutes < event.last)
    progress = (minutes - event.first + 0.5) / (event.last - event.first)
    value = np.full(len(minutes), event.magnitude)
    if event.kind == "ramp":
        value = 1 + (event.magnitude - 1) * progress
    elif event.kind == "outage":
        value = event.magnitude + (1 - event.magnitude) * np.clip((progress - FLOOR_SHARE) / (1 - FLOOR_SHARE), 0, 1)
    elif event.kind == "variance":
        blocks = -(-(event.last - event.first) // SWING)
        signs = np.resize([-1.0, 1.0], blocks)
        stream(seed, VARIANCE, event.number).shuffle(signs)
        value = 1 + event.magnitude * signs[np.clip((minutes - event.first) // SWING, 0, blocks - 1)]
    return np.where(inside, value, 1.0)


def disturb_rates(rate: Floats, minutes: Ints, events: Iterable[Event], rates: Rates, seed: int) -> None:
    """Changes expected rates (E, T) in place, for all that does not concern one host only."""
    for event in events:
        if event.host is not None:
            continue
        if event.kind in ON_RATES:
            rate[event.endpoints] *= factor(event, minutes, seed)
        elif event.kind == "contextual":
            inside = (minutes >= event.first) & (minutes < event.last)
            moved = minutes[inside] - round(event.magnitude * 60)
            rate[np.ix_(event.endpoints, inside)] = rates.expected(moved, event.endpoints)


def freeze(counts: Ints, minutes: Ints, events: Iterable[Event], rates: Rates) -> None:
    """Flatlines: counts (E, T) that do not move any more, whatever the span they are looked at."""
    for event in events:
        if event.kind != "flatline":
            continue
        level = rates.expected(np.arange(event.first, event.last), event.endpoints).mean(axis=1) * event.magnitude
        # a whole number a minute, or where rounding would change the level, a whole number a quarter of an hour
        quarter = np.where(level >= 4, np.round(level) * 15, np.maximum(1, np.round(level * 15))).astype(np.int64)
        inside = (minutes >= event.first) & (minutes < event.last)
        now = minutes[inside]
        counts[np.ix_(event.endpoints, inside)] = (now + 1) * quarter[:, None] // 15 - now * quarter[:, None] // 15


def host_copies(
    rng: np.random.Generator,
    events: Iterable[Event],
    minute: Ints,
    endpoint: Ints,
    host: Ints,
    seed: int,
    minutes: Ints,
) -> Ints | None:
    """How often each request happens when events concern one host only; None when there are none."""
    wanted: Floats | None = None
    for event in events:
        if event.host is None or event.kind not in ON_RATES:
            continue
        by_minute = factor(event, minutes, seed)[minute]
        mine = (host == event.host) & np.isin(endpoint, event.endpoints)
        wanted = np.where(mine, by_minute, 1.0) * (1.0 if wanted is None else wanted)
    if wanted is None:
        return None
    return np.floor(wanted + rng.random(len(wanted))).astype(np.int64)


def extra_requests(rng: np.random.Generator, event: Event, minutes: Ints, site_rate: float) -> Ints:
    """Minutes (as positions in `minutes`, repeated) of the requests that an event adds."""
    inside = (minutes >= event.first) & (minutes < event.last)
    if event.kind == "population":
        rate = np.where(inside, event.magnitude / 60, 0.0)
    else:
        progress = (minutes - event.first) / (event.last - event.first)
        rate = np.where(inside, event.magnitude * site_rate * np.exp(-FADING * np.clip(progress, 0, 1)), 0.0)
    return np.repeat(np.arange(len(minutes)), rng.poisson(rate))
