"""Gaps: readings that did not come, as columns of missing ones, so that a day is so many columns back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from driftline.scoring.settings import PERIODS

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEADY = 0.1  # of a step: readings that are no farther off come at a steady pace
MOST = 100_000  # missing readings of one gap; beyond, what comes after it begins anew
DAY = np.timedelta64(1, "D")


def with_gaps(times: NDArray[np.datetime64]) -> tuple[NDArray[np.datetime64], NDArray[np.intp]]:
    """Times with those at which readings did not come, and the places of the given ones among them.

    What the pace is, and whether it is steady, is told from what came before a gap alone. Of a gap that is longer than what is
    looked back on, whole days are left out.

    Args:
        times: (T,) UTC, ascending.
    """
    if len(times) < 3:
        return times, np.arange(len(times))
    change = np.diff(times).astype("timedelta64[us]").astype(np.int64).astype(np.float64)
    step = pd.Series(change).expanding().median().shift(1, fill_value=0.0).to_numpy()
    steady = np.abs(change - step) <= STEADY * step
    share = np.cumsum(steady) / np.arange(1, len(change) + 1)
    missing = np.zeros(len(change), dtype=np.int64)
    gaps = np.flatnonzero((change >= 1.5 * step) & (step > 0) & (np.append(0.0, share[:-1]) >= 0.5))
    missing[gaps] = np.round(change[gaps] / step[gaps]) - 1
    day = np.maximum(np.round(DAY / np.timedelta64(1, "us") / np.maximum(step, 1.0)), 1).astype(np.int64)
    missing = np.where(missing > PERIODS * day, PERIODS * day + missing % day, missing)
    missing[missing > MOST] = 0
    place = np.append(0, np.cumsum(missing + 1))
    whole = np.empty(place[-1] + 1, dtype=times.dtype)
    whole[place] = times
    for at in np.flatnonzero(missing).tolist():
        back = np.arange(missing[at], 0, -1) * step[at]
        whole[place[at] + 1 : place[at + 1]] = times[at + 1] - back.astype("timedelta64[us]")
    return whole, place.astype(np.intp)


def spread(values: NDArray[np.float64], place: NDArray[np.intp], width: int) -> NDArray[np.float64]:
    """(N, width) values (N, T) at their places, NaN elsewhere."""
    out = np.full((len(values), width), np.nan)
    out[:, place] = values
    return out
