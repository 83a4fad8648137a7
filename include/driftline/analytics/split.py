"""Which documents are learned from and which are held back: by a hash of their ids, so that a document stays on its side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray


def places(ids: list[str], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each document that depends on its id and the seed alone."""
    hashed = pd.util.hash_array(np.array(ids, dtype=object), hash_key=f"{seed:016d}", categorize=False)
    return (hashed >> np.uint64(11)).astype(np.float64) / 2**53


def learned(ids: list[str], codes: NDArray[np.int64], percent: float, seed: int) -> NDArray[np.bool_]:
    """Which documents are learned from.

    Args:
        ids: [n] names that no two documents share.
        codes: [n] class numbers (0 for all of a regression), -1 without a label.
        percent: How many of the labelled, about.
        seed: Another seed, another split.

    Returns:
        [n]; of each class with two documents at least one is on each side.
    """
    place = places(ids, seed)
    chosen = (codes >= 0) & (place < percent / 100)
    for name in np.unique(codes[codes >= 0]):
        mine = np.flatnonzero(codes == name)
        if len(mine) > 1 and chosen[mine].all():
            chosen[mine[place[mine].argmax()]] = False
        elif len(mine) > 1 and not chosen[mine].any():
            chosen[mine[place[mine].argmin()]] = True
    return chosen
