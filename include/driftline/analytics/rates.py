"""What documents with the same value had as label: it stands for a value where there are too many to be categories.

Known as target encoding (Micci-Barreca 2001). A document that is learned from must not be told its own label that way, so what is
known of its value comes from the other parts of the documents (cross-fitting).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PARTS = 5
LEAST = 5  # documents of a value, for its labels to say something
COVERED = 0.1  # of all documents must have such a value
SMOOTH = 10.0  # documents that a value begins with, labelled as all are
MOST_CLASSES = 8  # with a column of their own, the most frequent ones


@dataclass(frozen=True)
class Target:
    """The labels of n documents that an encoder is made of.

    Attributes:
        names: Of what is averaged: `rate of <class>` (of two classes, the second), or `mean` of a regression.
        values: [n, len(names)] whether a document is of that class, or its value.
        part: [n] which of the `PARTS` a document is in, whatever others there are.
    """

    names: list[str]
    values: Floats
    part: NDArray[np.int64]

    @classmethod
    def of(cls, values: NDArray[np.int64] | Floats, classes: list[str], places: Floats) -> Target:
        """The target of documents.

        Args:
            values: [n] class numbers, or values of a regression.
            classes: Their names, the most frequent first; empty for a regression.
            places: [n] numbers in [0, 1) by which the documents are parted.
        """
        part = (places * PARTS).astype(np.int64)
        if not classes:
            return cls(["mean"], np.asarray(values, dtype=np.float64)[:, None], part)
        told = [1] if len(classes) == 2 else list(range(min(MOST_CLASSES, len(classes))))
        shares = np.stack([values == place for place in told], axis=1).astype(np.float64)
        return cls([f"rate of {classes[place]}" for place in told], shares, part)

    @property
    def usual(self) -> Floats:
        """[len(names)] what all documents have."""
        found: Floats = self.values.mean(axis=0)
        return found


def counted(codes: NDArray[np.int64], many: int, target: Target) -> tuple[NDArray[np.int64], Floats]:
    """Documents [many] of each value, and what they have together [many, names]. Documents with the code -1 have no value."""
    there = codes >= 0
    counts = np.bincount(codes[there], minlength=many)
    sums = [np.bincount(codes[there], values[there], minlength=many) for values in target.values.T]
    return counts, np.stack(sums, axis=1)


def rated(counts: NDArray[np.int64], sums: Floats, usual: Floats) -> Floats:
    """What documents of each value have on average, the nearer to all documents' the fewer there are."""
    found: Floats = (sums + SMOOTH * usual) / (counts[:, None] + SMOOTH)
    return found


def crossed(codes: NDArray[np.int64], many: int, target: Target, known: NDArray[np.bool_]) -> Floats:
    """[n, names] of each document, what those of its value in the other parts have; NaN without a value.

    Args:
        codes: [n] the document's value, -1 without one.
        many: Values.
        target: The labels.
        known: [many] which values are told apart; the others have what all have.
    """
    counts, sums = counted(codes, many, target)
    usual = target.usual
    out = np.full(target.values.shape, np.nan)
    for part in range(PARTS):
        its = np.where(target.part == part, codes, -1)
        mine = its >= 0
        less, fewer = counted(its, many, target)
        rates = rated(counts - less, sums - fewer, usual)
        rates[~known] = usual
        out[mine] = rates[its[mine]]
    return out
