"""How far rows are from a random sample of them, and what follows from it: distance and density scores of outliers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

Floats: TypeAlias = NDArray[np.float64]
Singles: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int32]

BLOCK = 1 << 20  # distances at once: 4 MB; of 2 ** 17 to 2 ** 22, the quickest
NEAR = 1e-3  # added to distances, as a part of the usual one: rows that are there several times have no distance of 0


@dataclass(frozen=True)
class Sample:
    """Reference rows.

    Attributes:
        rows: (m,) their numbers.
        values: (m, d) their values.
        place: (n,) where in the sample a row is, -1 where it is not: nobody is a neighbour of itself.
    """

    rows: NDArray[np.int64]
    values: Singles
    place: Ints

    @classmethod
    def draw(cls, matrix: Singles, size: int, rng: np.random.Generator) -> Sample:
        """`size` rows at random, or all where there are no more."""
        rows = np.sort(rng.choice(len(matrix), min(size, len(matrix)), replace=False))
        place = np.full(len(matrix), -1, dtype=np.int32)
        place[rows] = np.arange(len(rows))
        return cls(rows, matrix[rows], place)

    def squares(self, matrix: Singles, rows: NDArray[np.int64] | None = None) -> Iterator[tuple[slice, Singles]]:
        """Squared distances of the rows (all, or those with these numbers) to the sample, some at a time: a slice and (b, m)."""
        count, step = len(matrix) if rows is None else len(rows), max(1, BLOCK // len(self.rows))
        # |x|² - 2xy + |y|² as one product of matrices: (x, 1, |x|²) with (-2y, |y|², 1)
        ones = np.ones((len(self.rows), 1), dtype=np.float32)
        other = np.ascontiguousarray(np.hstack([-2 * self.values, _lengths(self.values), ones]).T)
        for first in range(0, count, step):
            part = slice(first, min(count, first + step))
            block = matrix[part] if rows is None else matrix[rows[part]]
            place = self.place[part] if rows is None else self.place[rows[part]]
            far = np.hstack([block, np.ones((len(block), 1), dtype=np.float32), _lengths(block)]) @ other
            inside = np.flatnonzero(place >= 0)
            far[inside, place[inside]] = np.inf
            yield part, far

    def nearest(self, matrix: Singles, count: int) -> tuple[Singles, Ints]:
        """(n, count) distances of each row to its nearest rows of the sample, in any order, and which these are."""
        far, which = np.empty((len(matrix), count), dtype=np.float32), np.empty((len(matrix), count), dtype=np.int32)
        for part, block in self.squares(matrix):
            near = np.argpartition(block, count - 1, axis=1)[:, :count]
            far[part], which[part] = _root(np.take_along_axis(block, near, axis=1)), near
        return far, which


def nearest_distances(matrix: Singles, sample: Sample, kth: int, mean: int) -> tuple[Floats, Floats]:
    """Logarithms of the distance to the `kth` nearest row of a sample, and of the mean of the `mean` nearest; each (n,)."""
    wide = max(kth, mean)
    one, several = np.empty(len(matrix)), np.empty(len(matrix))
    for part, block in sample.squares(matrix):
        block.partition(wide - 1, axis=1)
        near = _root(np.sort(block[:, :wide], axis=1))
        one[part], several[part] = near[:, kth - 1], near[:, :mean].mean(axis=1)
    return _log(one), _log(several)


def lof(matrix: Singles, sample: Sample, count: int) -> Floats:
    """Logarithm of the local outlier factor (Breunig and others, 2000) among the rows of a sample: (n,)."""
    far, which = sample.nearest(matrix, count)
    reach = np.maximum(far, far[sample.rows].max(axis=1)[which]).mean(axis=1, dtype=np.float64)
    reach += _least(reach)
    density = 1.0 / reach
    return np.asarray(np.log(density[sample.rows][which].mean(axis=1)) + np.log(reach))


def ldof(matrix: Singles, sample: Sample, count: int) -> Floats:
    """Logarithm of the local distance-based outlier factor (Zhang and others, 2009) among the rows of a sample: (n,)."""
    far, which = sample.nearest(matrix, count)
    between = _root(np.concatenate([block for _, block in sample.squares(matrix, sample.rows)]))
    np.fill_diagonal(between, 0)
    inner = np.zeros(len(matrix))
    for neighbour in range(count):
        inner += between[which[:, neighbour, None], which].sum(axis=1)
    return _log(far.mean(axis=1, dtype=np.float64)) - _log(inner / max(1, count * (count - 1)))


def _lengths(values: Singles) -> Singles:
    """(n, 1) squared lengths of rows."""
    found: Singles = np.einsum("ij,ij->i", values, values)[:, None]
    return found


def _root(squares: Singles) -> Singles:
    """Distances; rounding makes some squares a little less than 0."""
    return np.asarray(np.sqrt(np.maximum(squares, 0)), dtype=np.float32)


def _log(distance: Floats) -> Floats:
    return np.asarray(np.log(distance + _least(distance)))


def _least(distance: Floats) -> float:
    usual = distance[distance > 0]
    return NEAR * float(np.median(usual)) if len(usual) else 1.0
