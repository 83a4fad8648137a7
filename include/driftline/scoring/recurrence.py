"""Recurrence: what a series had before, again and again, is less surprising than its tail has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from driftline.scoring.renormalisation import corrected
from driftline.scoring.score import span_bonus
from driftline.scoring.settings import RECUR_BLOCKS, RECUR_LEAST, SCORE_CURVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.scoring.windows import Windows

    Matrix = NDArray[np.float64]


def _least(windows: Windows) -> float:
    """What is less surprising has no score."""
    return SCORE_CURVE[0][0] - span_bonus(windows.span)


def peaks(surprise: Matrix, windows: Windows) -> Matrix:
    """(N, RECUR_BLOCKS) the most surprising of each block of (N, T) buckets, from the newest back; NaN where none is known.

    The newest `rest` is left out: an incident at the end is no history of itself. One that lies in two blocks, or comes back
    within a rest, counts in that where it is worse.

    Args:
        surprise: NaN where there was no value.
        windows: How long a rest and a block are.
    """
    out = np.full((len(surprise), RECUR_BLOCKS), np.nan)
    place = np.tile(-1e9 * np.arange(RECUR_BLOCKS), (len(surprise), 1))  # of what is not known: far from all
    end = surprise.shape[1] - windows.rest
    for block in range(RECUR_BLOCKS):
        if end <= 0:
            break
        begin = max(0, end - windows.recurrence)
        part = np.nan_to_num(surprise[:, begin:end], nan=-1.0)
        at = part.argmax(axis=1)
        top = part[np.arange(len(part)), at]
        out[:, block], place[:, block] = np.where(top < 0, np.nan, top), begin + at
        end = begin
    newer, older = out[:, :-1].copy(), out[:, 1:].copy()
    near = place[:, :-1] - place[:, 1:] <= windows.rest
    out[:, :-1][near & (newer < older)] = 0.0
    out[:, 1:][near & (older <= newer)] = 0.0
    return np.where(out < _least(windows), 0.0, out)


def lowered(surprise: Matrix, peaks: Matrix, windows: Windows) -> tuple[Matrix, NDArray[np.int8]]:
    """(N, T) surprises of buckets, given the `peaks` of N series before them, and in how many of these was one as surprising.

    The law is that of `renormalised`. What came only once before is no habit: the second incident alarms as the first did.
    """
    rows, columns = np.nonzero(surprise >= _least(windows))
    times = np.zeros(surprise.shape, dtype=np.int8)
    out, before, size = surprise.copy(), peaks[rows], surprise[rows, columns]
    history = np.isfinite(before).sum(axis=1) * windows.recurrence
    others = (before >= size[:, None]).sum(axis=1)
    out[rows, columns] = corrected(size, np.where(others >= RECUR_LEAST, others, 0), history)
    times[rows, columns] = others
    return out, times
