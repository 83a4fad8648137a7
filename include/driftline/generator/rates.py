"""How many requests to expect: the daily rhythm of each country, weekends, drifting levels, and noise beyond chance."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from datetime import datetime

    from driftline.generator.options import AccessLogOptions
    from driftline.generator.world import Floats, Ints, World

SHARPNESS = 1.1  # exp(1.1 cos): a country's busiest hour sees nine times its quietest
PEAK, EVENING = 15.5, 20.5  # local hours
NOISE_HOUR, NOISE_SITE = (
    0.04,
    0.015,
)  # relative, of each endpoint by the hour and of the whole site by the quarter of an hour
DISPERSION = 25.0  # gamma shape of each endpoint's minutes: variance = mean + mean ** 2 / 25


def _day_curve(hour: Floats) -> Floats:
    turn = 2 * np.pi / 24
    curve: Floats = np.exp(SHARPNESS * np.cos(turn * (hour - PEAK)) + 0.15 * np.cos(2 * turn * (hour - EVENING)))
    return curve


class Rates:
    """Expected requests a minute of every endpoint, as a pure function of time."""

    def __init__(self, world: World, options: AccessLogOptions, start: datetime) -> None:
        self.world, self.options = world, options
        self._hour = start.hour + start.minute / 60
        self._weekday = start.weekday()

    @cached_property
    def _curve_mean(self) -> float:
        return float(_day_curve(np.arange(0, 24, 0.05)).mean())

    def countries(self, minutes: Ints) -> Floats:
        """Activity of each country at these minutes after the start: (C, T), 1 on average over a day."""
        local = self._hour + minutes / 60 + self.world.hours[:, None]
        activity: Floats = _day_curve(local % 24) / self._curve_mean
        return 1 + self.options.daily * (activity - 1)

    def _weekend(self, minutes: Ints) -> Floats:
        days = self._weekday + np.floor((self._hour + minutes / 60 + self.world.hours[:, None]) / 24)
        return np.where(days % 7 >= 5, 1.0, 0.0)

    def expected(self, minutes: Ints, endpoints: Ints | slice = slice(None)) -> Floats:
        """Requests a minute: (E, T) for all endpoints, or for those named."""
        world = self.world
        group, daily, weekly = world.group[endpoints], world.daily[endpoints, None], world.weekly[endpoints, None]
        rhythm = (world.mix @ self.countries(minutes))[group]
        weekend = (world.mix @ self._weekend(minutes))[group]
        rate = world.base[endpoints, None] * (1 - daily + daily * rhythm)
        rate *= (1 - weekly * weekend) / (1 - weekly * 2 / 7)
        # levels move so slowly that one value an hour is enough
        hours, back = np.unique(minutes // 60, return_inverse=True)
        turn = (
            2 * np.pi * hours[None, None, :] / 24 / world.wave_period[endpoints, :, None] + world.wave_phase[endpoints, :, None]
        )
        level = np.exp((world.wave_height[endpoints, :, None] * np.sin(turn)).sum(axis=1))
        result: Floats = rate * level[:, back]
        return result

    def noise(self, rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        """Factors around 1, (E, T): of the site by the quarter, of each endpoint by the hour and by the minute."""
        scale, (count, width) = self.options.noise, shape
        if not scale:
            return np.ones(shape)
        site = np.repeat(rng.normal(0, NOISE_SITE * scale, -(-width // 15)), 15)[:width]
        hour = np.repeat(rng.normal(0, NOISE_HOUR * scale, (count, -(-width // 60))), 60, axis=1)[:, :width]
        shape_minute = DISPERSION / scale**2
        factors: Floats = np.exp(site + hour) * rng.gamma(shape_minute, 1 / shape_minute, shape)
        return factors
