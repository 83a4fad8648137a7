"""Recurrence: what a series had before, again and again, is less surprising than its tail has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from driftline.scoring.renormalisation import corrected
from driftline.scoring.settings import RECUR_BLOCKS, RECUR_LEAST, SCORE_CURVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.scoring.windows import Windows

    Matrix = NDArray[np.float64]

LEAST = SCORE_CURVE[0][0]  # what is less surprising has no score


def peaks(surprise: Matrix, windows: Windows) -> Matrix:
    """(N, RECUR_BLOCKS) the most surprising of each block of (N, T) buckets, from the newest back; NaN where none is known.

    The newest `rest` is left out: an incident at the end is no history of itself.
    """
    out = np.full((len(surprise), RECUR_BLOCKS), np.nan)
    end = surprise.shape[1] - windows.rest
    for block in range(RECUR_BLOCKS):
        if end <= 0:
            break
        begin = max(0, end - windows.recurrence)
        out[:, block] = surprise[:, begin:end].max(axis=1)
        end = begin
    return np.where(out < LEAST, 0.0, out)


def lowered(surprise: Matrix, peaks: Matrix, windows: Windows) -> tuple[Matrix, NDArray[np.int8]]:
    """(N, T) surprises of buckets, given the `peaks` of N series before them, and in how many of these was one as surprising.

    The law is that of `renormalised`. What came only once before is no habit: the second incident alarms as the first did.
    """
    rows, columns = np.nonzero(surprise >= LEAST)
    times = np.zeros(surprise.shape, dtype=np.int8)
    out, before, size = surprise.copy(), peaks[rows], surprise[rows, columns]
    history = np.isfinite(before).sum(axis=1) * windows.recurrence
    others = (before >= size[:, None]).sum(axis=1)
    out[rows, columns] = corrected(size, np.where(others >= RECUR_LEAST, others, 0), history)
    times[rows, columns] = others
    return out, times
