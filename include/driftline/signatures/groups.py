"""Groups of profiles that are alike: k-means of the shapes, with as many groups as are found again in another half."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

MOST = 12  # groups: more of them nobody looks at
SAMPLE = 1_000  # profiles that the number of groups is chosen by, however many there are: it must not depend on that
HALVINGS = 3
FOUND_AGAIN = 0.8  # share of pairs that stay together in the other half: Tibshirani and Walther's for well separated groups
AXES = 8  # principal axes that are kept: as many as differ by more than chance in fleets of a thousand profiles
STARTS, STARTS_HALF = 8, 4  # of k-means; the best is kept
EVIDENCE = 20.0  # documents that a profile's share of the fleet's own counts for, so that few documents make no shape
LEAST_SHARE = 0.01  # of the sample that a group must have to be one


@dataclass
class Groups:
    """Groups of profiles.

    Attributes:
        common: (D,) the fleet's own shares, that those of entities with few documents are drawn towards.
        mean: (D,) of the shapes.
        axes: (A, D) the directions in which shapes differ.
        centres: (K, A) of the groups.
        parts: Numbers of columns of each block of shares.
    """

    common: Matrix
    mean: Matrix
    axes: Matrix
    centres: Matrix
    parts: list[int]

    def place(self, amounts: list[Matrix]) -> Matrix:
        """(E, A) where profiles are on the axes; amounts as `fit_groups` takes them."""
        return (_shapes(amounts, self.common, self.parts) - self.mean) @ self.axes.T

    def assign(self, amounts: list[Matrix]) -> tuple[NDArray[np.intp], Matrix]:
        """(E,) the nearest group of each profile, and (E,) how far away it is."""
        distance = _distances(self.place(amounts), self.centres)
        nearest = distance.argmin(axis=1)
        return nearest, np.sqrt(distance[np.arange(len(nearest)), nearest])


def fit_groups(amounts: list[Matrix], *, limit: int | None = None, seed: int = 0) -> Groups:
    """Groups of profiles.

    The number of groups, and where they are sought first, come from a random sample that does not grow with the fleet; then the
    centres are moved to the middle of all profiles that are theirs (or of `limit` random ones).

    Args:
        amounts: Blocks of (E, D) amounts a bin, such as counts an hour and documents of each value of a mix.
        limit: So many random profiles are used.
        seed: Of the choice.
    """
    rng = np.random.default_rng(seed)
    entities = len(amounts[0])
    order = rng.permutation(entities)
    used = np.sort(order[: limit or entities])
    amounts = [block[used] for block in amounts]
    parts = [block.shape[1] for block in amounts]
    common = np.concatenate([_share(block.sum(axis=0, keepdims=True))[0] for block in amounts])
    shapes = _shapes(amounts, common, parts)
    sample = shapes[np.sort(rng.permutation(len(shapes))[:SAMPLE])]
    mean = sample.mean(axis=0)
    _, _, axes = np.linalg.svd(sample - mean, full_matrices=False)
    axes = axes[: min(AXES, len(axes))]
    small, all_of = (sample - mean) @ axes.T, (shapes - mean) @ axes.T
    with threadpool_limits(1):  # a thousand points are not worth threads, which cost more where cores are busy
        count = _how_many(small, seed)
        first = _kmeans(small, count, seed)
    centres = KMeans(count, init=first, n_init=1, random_state=seed).fit(all_of).cluster_centers_
    sizes = np.bincount(_nearest(all_of, centres), minlength=count)
    return Groups(common, mean, axes, centres[np.argsort(-sizes, kind="stable")], parts)


def _shapes(amounts: list[Matrix], common: Matrix, parts: list[int]) -> Matrix:
    """(E, D) square roots of shares, whose distances are Hellinger's: they weigh what is rare and what is frequent alike."""
    out, at = [], 0
    for block, size in zip(amounts, parts, strict=True):
        out.append(np.sqrt(_share(block + EVIDENCE * common[at : at + size])))
        at += size
    return np.concatenate(out, axis=1)


def _share(amounts: Matrix) -> Matrix:
    total = amounts.sum(axis=1, keepdims=True)
    return np.divide(amounts, total, out=np.full_like(amounts, 1 / max(1, amounts.shape[1])), where=total > 0)


def _how_many(points: Matrix, seed: int) -> int:
    """The most groups that are found again: what one half's groups have together, the other half's have, too."""
    rng = np.random.default_rng(seed)
    halves = [np.array_split(rng.permutation(len(points)), 2) for _ in range(HALVINGS)]
    best, distinct = 1, len(np.unique(np.round(points, 9), axis=0))
    for count in range(2, MOST + 1):
        if len(points) < 4 * count or count > distinct:
            break
        strength = np.mean([_strength(points[one], points[other], count, seed) for one, other in halves])
        if strength >= FOUND_AGAIN:
            best = count
    return best


def _strength(one: Matrix, other: Matrix, count: int, seed: int) -> float:
    """Of the group of `one` that fares worst: the share of its pairs that groups of `other` leave together."""
    mine = _nearest(one, _kmeans(one, count, seed, STARTS_HALF))
    theirs = _nearest(one, _kmeans(other, count, seed, STARTS_HALF))
    worst = 1.0
    for group in range(count):
        inside = theirs[mine == group]
        if len(inside) < max(2, LEAST_SHARE * len(one)):
            return 0.0
        sizes = np.bincount(inside)
        worst = min(worst, float((sizes * (sizes - 1)).sum() / (len(inside) * (len(inside) - 1))))
    return worst


def _kmeans(points: Matrix, count: int, seed: int, starts: int = STARTS) -> Matrix:
    found: Any = KMeans(count, n_init=starts, random_state=seed).fit(points)
    return np.asarray(found.cluster_centers_)


def _distances(points: Matrix, centres: Matrix) -> Matrix:
    """(E, K) squared distances."""
    return np.maximum((points**2).sum(axis=1)[:, None] - 2 * points @ centres.T + (centres**2).sum(axis=1), 0.0)


def _nearest(points: Matrix, centres: Matrix) -> NDArray[np.intp]:
    return _distances(points, centres).argmin(axis=1)
