"""Fits a fleet: series are grouped by the time stamps they were observed at, and each group shares its design."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from driftline.models.baseline.fleet import SCALARS, Fleet, Group
from driftline.models.baseline.grid import Grid
from driftline.models.baseline.options import new_prophet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.core.progress import Progress


def fit_fleet(
    ds: NDArray[np.datetime64],
    Y: NDArray[np.float64],  # noqa: N803 - the matrix of Prophet's y
    *,
    sqrt: NDArray[np.bool_] | bool = False,
    mask: NDArray[np.bool_] | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
    **options: Any,  # noqa: ANN401 - Prophet's options, by its names
) -> Fleet:
    """Fits one Prophet a series.

    Args:
        ds: (T,) time stamps, UTC, ascending.
        Y: (N, T) values, NaN where missing.
        sqrt: Whether to fit square roots, for all or for each series. Counts are nearer to normal there.
        mask: (N, T) True where a value is kept out of the fit (bursts).
        progress: Told how many series are done.
        workers: Fits at once; by default as many as there are processors. (Stan runs in a process of its own.)
        options: Prophet's options.

    Returns:
        A fleet of N; series that cannot be fitted are in `failed` with the reason.
    """
    flags: NDArray[np.bool_] = np.broadcast_to(np.asarray(sqrt, dtype=bool), (len(Y),)).copy()
    fleet = Fleet(len(Y), options, [], _unfit(Y), flags)
    space = fleet.to_space(Y)
    if mask is not None:
        space = np.where(mask, np.nan, space)
    groups: dict[bytes, list[int]] = {}
    for row in range(len(Y)):
        if row not in fleet.failed:
            groups.setdefault(np.packbits(~np.isnan(space[row])).tobytes(), []).append(row)
    done = len(fleet.failed)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for rows in groups.values():
            seen = ~np.isnan(space[rows[0]])
            grid = Grid.of(ds[seen], options)
            fits = pool.map(lambda row, seen=seen: _fit_one(ds[seen], space[row, seen], options), rows)
            numbers = []
            for row_numbers in fits:
                numbers.append(row_numbers)
                done += 1
                if progress:
                    progress("series fitted", done, len(Y))
            fleet.groups.append(Group(grid, np.asarray(rows, dtype=np.intp), np.array(numbers)))
    return fleet


def _unfit(values: NDArray[np.float64]) -> dict[int, str]:
    """Series that no model can be made of, each with the reason."""
    failed: dict[int, str] = {}
    observed = (~np.isnan(values)).sum(axis=1)
    infinite = np.asarray(np.isinf(values).any(axis=1))
    for row in range(len(values)):
        if infinite[row]:
            failed[row] = "holds infinite values"
        elif observed[row] < 2:
            failed[row] = f"has {observed[row]} observed buckets; a model needs two"
    return failed


def _fit_one(ds: NDArray[np.datetime64], y: NDArray[np.float64], options: dict[str, Any]) -> NDArray[np.float64]:
    """k, m, sigma, y_scale, y_min, delta, beta of one series, by Prophet."""
    model = new_prophet(options)
    model.fit(pd.DataFrame({"ds": ds, "y": y}))
    params = model.params
    scalars = [float(np.ravel(params[name])[0]) for name in ("k", "m", "sigma_obs")]
    delta = np.ravel(params["delta"])[: len(model.changepoints_t)]
    beta = np.ravel(params["beta"])
    numbers = np.concatenate([scalars, [float(model.y_scale), float(model.y_min)], delta, beta])
    if len(numbers) != SCALARS + len(model.changepoints_t) + len(beta):
        raise ValueError(f"Prophet returned {len(delta)} rate changes for {len(model.changepoints_t)} changepoints")
    return numbers
