"""What a model is made of: its trend, and each season, holidays and regressors apart, as Prophet's component plots show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from driftline.core.errors import DataError
from driftline.models.baseline.fleet import SCALARS, Fleet, stack_regressors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from driftline.models.baseline.fleet import Group

HOLIDAYS, HABITS = "holidays", "habits"


@dataclass(frozen=True)
class Component:
    """One term.

    Attributes:
        name: Of a season, `holidays`, of a regressor, or `habits`.
        multiplicative: Whether it is a share of the trend; otherwise it is added, in the model's units.
        period: A season's, in days; None of others.
        values: (T,).
    """

    name: str
    multiplicative: bool
    period: float | None
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Components:
    """The terms of one series in the model's space: square roots where the series was fitted so.

    Attributes:
        trend: (T,).
        terms: The others.
        floor: What the trend stands on, and is not multiplied: 0 unless the series was scaled by its least value, or has a floor.
    """

    trend: NDArray[np.float64]
    terms: list[Component]
    floor: float

    @property
    def mean(self) -> NDArray[np.float64]:
        """(T,) what is expected: trend · (1 + the multiplicative terms) + the additive ones, above the floor."""
        product, sums = np.ones(len(self.trend)), np.full(len(self.trend), self.floor)
        for each in self.terms:
            target = product if each.multiplicative else sums
            target += each.values
        return (self.trend - self.floor) * product + sums


def components(
    fleet: Fleet, row: int, times: NDArray[np.datetime64], regressors: Mapping[str, NDArray[np.float64]] | None = None
) -> Components:
    """The terms of one series.

    Args:
        fleet: The models.
        row: Which series.
        times: (T,) UTC, ascending.
        regressors: Values of regressors, as `Fleet.predict` takes them.

    Raises:
        DataError: The series has no model.
    """
    for group in fleet.groups:
        inside = np.flatnonzero(group.rows == row)
        if len(inside):
            made = _of_one(group.take(inside), times, regressors)
            own = fleet.habits.placed(np.where(np.arange(fleet.size) == row, 0, -1))
            if len(own):
                clock = np.zeros(1, dtype=np.intp), group.design.local(times)
                made.terms.append(Component(HABITS, False, None, own.moved([clock], 1)[0]))
            return made
    raise DataError(f"there is no model of series {row}", expected=fleet.failed.get(row, f"0 to {fleet.size - 1}"))


def _of_one(one: Group, times: NDArray[np.datetime64], regressors: Mapping[str, NDArray[np.float64]] | None) -> Components:
    design = one.design
    local = design.local(times)
    features = design.features(local)
    if (given := stack_regressors(design.regressors, regressors, one.rows, len(times))) is not None:
        features[:, -given.shape[2] :] = one.standard(given)[0]
    beta, scale, floor = one.numbers[0, SCALARS + one.changepoints.shape[1] :], one.numbers[0, 3], one.numbers[0, 4]
    columns, modes = design.template.train_component_cols, design.template.component_modes
    seasons = design.template.seasonalities
    terms = []
    for name in (*seasons, *([HOLIDAYS] if HOLIDAYS in columns else ()), *design.regressors):
        multiplicative = name in modes["multiplicative"]
        values = features @ (beta * columns[name].to_numpy())
        period = float(seasons[name]["period"]) if name in seasons else None
        terms.append(Component(name, multiplicative, period, values if multiplicative else values * scale))
    return Components(one.trend(local)[0] * scale + floor, terms, float(floor))
