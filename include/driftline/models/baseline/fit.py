"""Fits a fleet: its input is checked, its series are grouped by options, and each group is cut into batches."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pandas as pd
from threadpoolctl import threadpool_limits

from driftline.core.errors import DataError
from driftline.models.baseline.fleet import Fleet, Group
from driftline.models.baseline.options import plain
from driftline.models.baseline.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from driftline.core.progress import Progress


def fit_fleet(
    ds: NDArray[np.datetime64],
    Y: NDArray[np.float64],  # noqa: N803 - the matrix of Prophet's y
    *,
    sqrt: NDArray[np.bool_] | bool = False,
    mask: NDArray[np.bool_] | None = None,
    regressors: Mapping[str, NDArray[np.float64]] | None = None,
    series_options: Sequence[Mapping[str, Any]] | None = None,
    engine: str = "driftline",
    progress: Progress | None = None,
    workers: int | None = None,
    **options: Any,  # noqa: ANN401 - Prophet's options, by its names
) -> Fleet:
    """Fits one Prophet a series: the same model, at its optimum.

    Args:
        ds: (T,) time stamps, UTC.
        Y: (N, T) values, NaN where missing.
        sqrt: Whether to fit square roots, for all or for each series. Counts are nearer to normal there.
        mask: (N, T) True where a value is kept out of the fit (bursts).
        regressors: Values (T,) or (N, T) by name; the option `extra_regressors` has arguments of `Prophet.add_regressor` by name.
        series_options: For each series, options that differ from `options`: holidays, country_holidays, time_zone, ….
        engine: "driftline" solves batches; "prophet" leaves every series to Prophet.
        progress: Told how many series are done.
        workers: Batches at once; by default as many as there are processors for this process.
        options: Prophet's options, and `country_holidays`, `seasonalities` (arguments of `Prophet.add_seasonality`), `time_zone`
            (whose clocks the seasons follow), `extra_regressors`, and for logistic growth `cap` and `floor`.

    Returns:
        A fleet of N. Series that cannot be fitted are in `failed` with the reason, those that Prophet fitted in `fallbacks`.

    Raises:
        DataError: The arguments do not fit together.
    """
    times, values, hidden = _checked(ds, Y, mask)
    given = {name: _regressor(name, column, values) for name, column in (regressors or {}).items()}
    if given:
        options = {**options, "extra_regressors": {**{name: {} for name in given}, **options.get("extra_regressors", {})}}
    flags: NDArray[np.bool_] = np.broadcast_to(np.asarray(sqrt, dtype=bool), (len(values),)).copy()
    fleet = Fleet(len(values), plain(options), [], _unfit(values, hidden), flags, {}, (times, values, given))
    told = _Told(progress, len(values), len(fleet.failed))
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(workers or usable_processors()) as pool:
        for rows, chosen in _by_options(fleet, series_options):
            task = Task(times, values, hidden, flags, given, chosen, engine)
            for thorough in (False, True):
                left = []
                for done in pool.map(lambda piece, task=task: task.fit(*piece), task.pieces(rows, thorough=thorough)):
                    fleet.groups += done.groups
                    fleet.failed |= done.failed
                    fleet.fallbacks |= done.fallbacks
                    told.more(sum(len(group.rows) for group in done.groups) + len(done.failed))
                    left.append(done.left)
                rows = np.sort(np.concatenate(left)) if left else rows[:0]
    fleet.groups = _joined(fleet.groups)
    return fleet


def usable_processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _checked(
    ds: NDArray[np.datetime64], values: NDArray[np.float64], mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.datetime64], NDArray[np.float64], NDArray[np.bool_] | None]:
    index = pd.DatetimeIndex(ds)
    times = np.asarray(index if index.tz is None else index.tz_convert(None))
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != len(times):
        raise DataError(
            f"Y has the shape {matrix.shape}, ds {len(times)} times", expected="Y of shape (series, times)", fix="Transpose Y?"
        )
    if mask is not None and np.shape(mask) != matrix.shape:
        raise DataError(f"the mask has the shape {np.shape(mask)}, Y {matrix.shape}", expected="the same shape")
    if np.isnat(times).any():
        raise DataError("ds holds missing times", expected="a time for each column of Y")
    return times, matrix, None if mask is None else np.asarray(mask, dtype=bool)


def _regressor(name: str, column: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    given = np.asarray(column, dtype=np.float64)
    if given.shape not in {values.shape, values.shape[1:]}:
        raise DataError(f"the regressor '{name}' has the shape {given.shape}", expected=f"{values.shape[1:]} or {values.shape}")
    if (~np.isfinite(given) & ~np.isnan(values)).any():
        raise DataError(f"the regressor '{name}' is missing or infinite where Y is not", fix="Fill it, or set Y to NaN there.")
    return given


def _unfit(values: NDArray[np.float64], hidden: NDArray[np.bool_] | None) -> dict[int, str]:
    """Series that no model can be made of, each with the reason."""
    missing = np.isnan(values)
    observed = values.shape[1] - (missing if hidden is None else missing | hidden).sum(axis=1)
    infinite = np.isinf(values).any(axis=1)
    failed = {int(row): "holds infinite values" for row in np.flatnonzero(infinite)}
    for row in np.flatnonzero((observed < 2) & ~infinite):
        failed[int(row)] = f"has {observed[row]} observed buckets; a model needs two"
    return failed


def _by_options(
    fleet: Fleet, series_options: Sequence[Mapping[str, Any]] | None
) -> list[tuple[NDArray[np.intp], dict[str, Any]]]:
    """Series that can be fitted, by their options."""
    rows = np.setdiff1d(np.arange(fleet.size), np.fromiter(fleet.failed, np.intp, len(fleet.failed)))
    if series_options is None:
        return [(rows, fleet.options)]
    if len(series_options) != fleet.size:
        raise DataError(f"series_options has {len(series_options)} entries", expected=f"{fleet.size}, one for each series")
    sets: dict[bytes, tuple[list[int], dict[str, Any]]] = {}
    for row in rows.tolist():
        merged = {**fleet.options, **plain(dict(series_options[row]))}
        sets.setdefault(orjson.dumps(merged, option=orjson.OPT_SORT_KEYS), ([], merged))[0].append(row)
    return [(np.asarray(members, dtype=np.intp), merged) for members, merged in sets.values()]


class _Told:
    """Progress, from as many places as there are."""

    def __init__(self, progress: Progress | None, total: int, done: int) -> None:
        self.progress, self.total, self.done = progress, total, done

    def more(self, count: int) -> None:
        self.done += count
        if self.progress:
            self.progress("series fitted", self.done, self.total)


def _joined(groups: list[Group]) -> list[Group]:
    """Batches of the same design and basis as one group."""
    joined: dict[tuple[int, bytes], Group] = {}
    for group in groups:
        own = len(group.basis) > 1 or len(group.rows) == 1
        key = (id(group.design), b"" if own else group.basis.tobytes())
        if key not in joined:
            joined[key] = group
            continue
        other = joined[key]
        basis = np.concatenate([other.basis, group.basis]) if own else other.basis
        joined[key] = Group(
            group.design, np.concatenate([other.rows, group.rows]), basis, np.concatenate([other.numbers, group.numbers])
        )
    return list(joined.values())
