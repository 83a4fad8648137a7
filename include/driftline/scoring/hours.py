"""Noise by the clock: how noisy a series is, and how often it stands still, at each hour of workdays and of weekends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from driftline.scoring.residuals import absolute_quantile
from driftline.scoring.settings import (
    HOUR_ALONE,
    HOUR_DAYS,
    HOUR_DOUBT,
    HOUR_MOST,
    HOUR_OWN,
    HOUR_REACH,
    HOUR_SURE,
    HOUR_VALUES,
    HOUR_YOUNG,
    STILL_SURE,
)
from driftline.scoring.statistics import ended

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Rows = NDArray[np.intp]
    Hours = list[tuple[Rows, NDArray[np.intp]]]  # series, and the hours that their clocks showed (T,)

DAY = 24
HOURS = 2 * DAY
"""Those of workdays, and those of weekends."""
SIZE = 0.7  # quantile of sizes that is compared: two bad days of a week lie beyond it …
NORMAL = 1.036  # … where a normal law has it …
ERROR = 0.9  # … and its logarithm's squared error, of so many values of normal noise one part; that of a median has 1.36


def hours_of(clocks: Iterable[tuple[Rows, NDArray[np.datetime64]]]) -> Hours:
    """Which of HOURS clocks showed: series, and what these showed (T,), by time zone."""
    out = []
    for rows, local in clocks:
        hours = local.astype("datetime64[h]").astype(np.int64)
        weekend = (hours // DAY + 3) % 7 >= 5  # the epoch's first day was a Thursday
        out.append((rows, (hours % DAY + DAY * weekend).astype(np.intp)))
    return out


def chosen_of(hours: Hours, chosen: Rows) -> Hours:
    """Those of some series (n,), ascending, by their places among these."""
    return [(np.flatnonzero(np.isin(chosen, rows)), shown) for rows, shown in hours]


def noise_by_hour(z: Matrix, hours: Hours, day: int) -> Matrix:
    """(N, HOURS) by what the noise of each hour is multiplied; 1 where neither the series' hours nor this one surely differ.

    First each hour with those around it, while little is known of it, is held against the whole day; then what the hour has of
    its own against that, and what it has on workdays and at weekends.

    Args:
        z: (N, T) residuals in units of their noise, of either sign; NaN where missing.
        hours: As of `hours_of`.
        day: Buckets of a day.
    """
    log = np.zeros((len(z), HOURS))
    if day > 1:
        an_hour = max(1, day // DAY)
        for rows, shown in hours:
            left = np.abs(z[rows])
            differ = np.zeros(len(left), dtype=bool)
            for places, reach in ((DAY, HOUR_REACH), (DAY, 0), (HOURS, 0)):
                place = shown % places
                more = _compared(left, place, places, an_hour, reach, differ)
                # whose hours differ with those around them may have sharper edges than these show
                differ = (more != 0).any(axis=1) & (reach > 0)
                left /= np.exp(more)[:, place]
                log[rows] += np.tile(more, HOURS // places)
    return np.exp(np.clip(log, -HOUR_MOST, HOUR_MOST))


def repeats_by_hour(values: Matrix, asked: NDArray[np.bool_], hours: Hours, day: int) -> Matrix:
    """(N, HOURS) how often a value is followed by the same, at hours at which it surely is so more often than at all; others 0.

    What stands still each night, in whole degrees, is not stuck then, but would be by day.

    Args:
        values: (N, T), NaN where missing.
        asked: (N,) series that have it; of counts a law knows, and where little repeats no run is long.
        hours: As of `hours_of`.
        day: Buckets of a day: a run that goes on at the end is left out until then.
    """
    out = np.zeros((len(values), HOURS))
    for rows, shown in hours:
        those = rows[asked[rows]]
        change, at = np.diff(values[those], axis=1), np.eye(HOURS)[shown[1:]]
        known = ended(change == 0, np.isfinite(change), day)
        seen, same = ((part @ at).reshape(-1, 2, DAY) for part in (known, known & (change == 0)))
        on_both = seen.sum(axis=1, keepdims=True)
        common = ((same.sum(axis=(1, 2)) + 0.5) / (seen.sum(axis=(1, 2)) + 1))[:, None]
        by_day = (same.sum(axis=1, keepdims=True) + common[:, None]) / (on_both + 1)
        share = ((same + by_day) / (seen + 1)).reshape(-1, HOURS)
        told = np.where(seen > 0, seen, on_both).reshape(-1, HOURS)  # until the first weekend comes, workdays tell of it
        error = np.sqrt(common * (1 - common) / np.maximum(told, 1))
        out[those] = np.where(share > common + STILL_SURE * error, share, 0.0)
    return out


def laid(factors: Matrix, hours: Hours, length: int, nothing: float = 1.0) -> Matrix | None:
    """(N, T) the factor (N, HOURS) of each bucket's hour; None where all say `nothing`."""
    if (factors == nothing).all():
        return None
    out = np.full((len(factors), length), nothing)
    for rows, shown in hours:
        out[rows] = factors[rows][:, shown]
    return out


def _compared(sizes: Matrix, place: NDArray[np.intp], places: int, an_hour: int, reach: int, differ: NDArray[np.bool_]) -> Matrix:
    """(n, places) logarithms of how much larger sizes (n, T) are at each place than at all; 0 where that may be chance.

    With a `reach` it is each place with so many to either side, of series that know little of single ones. Series that are known
    to `differ` need not show it again.
    """
    more, error = np.zeros((len(sizes), places)), np.full((len(sizes), places), np.inf)
    usual, width = absolute_quantile(sizes, SIZE), 2 * reach + 1
    for each in np.unique(place).tolist():
        there = sizes[:, (place - each + reach) % places < width]
        values = (~np.isnan(there)).sum(axis=1) / width
        known = values >= (HOUR_YOUNG if reach else HOUR_DAYS) * an_hour
        if reach:
            known &= values < max(HOUR_OWN, HOUR_DAYS * an_hour)
        rows = np.flatnonzero(known & (usual > 0))
        size = absolute_quantile(there[rows], SIZE)
        rows, size = rows[size > 0], size[size > 0]
        more[rows, each] = np.log(size / usual[rows])
        error[rows, each] = ERROR / (values[rows] / an_hour * min(an_hour, HOUR_VALUES) * width)
    chance = more**2 / error
    # neighbours that take each other in tell the same thing several times
    sure = differ | (chance.sum(axis=1) > HOUR_SURE * width**0.5 * np.isfinite(error).sum(axis=1))
    drawn = 1 - np.divide(HOUR_DOUBT, chance, out=np.ones_like(chance), where=chance > HOUR_DOUBT) ** 2
    return np.where(sure[:, None] | (chance > HOUR_ALONE * width**0.5), more * drawn, 0.0)
