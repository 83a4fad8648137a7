"""Sets with known outliers: real ones that come with scikit-learn, and generated ones of many shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn import datasets

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Maker = Callable[[np.random.Generator], tuple[Floats, Flags]]

SHARE = 0.05  # of outliers where we choose it
ROWS = 1000  # of generated sets


def _classes(load: Callable[..., tuple[Floats, NDArray[np.int64]]], rare: tuple[int, ...]) -> Maker:
    """One class of a set becomes rare; which one, and which of its rows, is by the seed."""

    def make(rng: np.random.Generator) -> tuple[Floats, Flags]:
        data, target = load(return_X_y=True)
        of_class = target == rng.choice(rare)
        usual, odd = data[~of_class], data[of_class]
        count = max(3, round(SHARE / (1 - SHARE) * len(usual)))
        return _joined(rng, usual, odd[rng.choice(len(odd), count, replace=False)])

    return make


def _joined(rng: np.random.Generator, usual: Floats, odd: Floats) -> tuple[Floats, Flags]:
    order = rng.permutation(len(usual) + len(odd))
    return np.concatenate([usual, odd])[order], np.repeat([False, True], [len(usual), len(odd)])[order]


def _noise(rng: np.random.Generator, usual: Floats, margin: float = 0.25) -> tuple[Floats, Flags]:
    """Points anywhere in the box around the usual ones, and a little beyond."""
    low, high = usual.min(axis=0), usual.max(axis=0)
    room = margin * (high - low)
    return _joined(rng, usual, rng.uniform(low - room, high + room, (round(SHARE * len(usual)), usual.shape[1])))


def _whole(rng: np.random.Generator) -> int:
    return int(rng.integers(0, 2**31))


def _blobs(rng: np.random.Generator) -> tuple[Floats, Flags]:
    data, _ = datasets.make_blobs(ROWS, n_features=4, centers=4, random_state=_whole(rng))
    return _noise(rng, data)


def _moons(rng: np.random.Generator) -> tuple[Floats, Flags]:
    data, _ = datasets.make_moons(ROWS, noise=0.06, random_state=_whole(rng))
    return _noise(rng, data)


def _circles(rng: np.random.Generator) -> tuple[Floats, Flags]:
    data, _ = datasets.make_circles(ROWS, noise=0.05, factor=0.5, random_state=_whole(rng))
    return _noise(rng, data)


def _stretched(rng: np.random.Generator) -> tuple[Floats, Flags]:
    data, _ = datasets.make_blobs(ROWS, n_features=3, centers=3, random_state=_whole(rng))
    return _noise(rng, data @ rng.normal(0, 1, (3, 3)))


def _densities(rng: np.random.Generator) -> tuple[Floats, Flags]:
    """A dense, a middling and a wide cluster; outliers lie around the dense one, closer than the wide one's points are."""
    centres, spreads = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 14.0]]), np.array([0.2, 1.0, 3.0])
    which = rng.integers(0, 3, ROWS)
    usual = centres[which] + spreads[which, None] * rng.normal(0, 1, (ROWS, 2))
    odd = round(SHARE * ROWS)
    angle, near = rng.uniform(0, 2 * np.pi, odd), rng.uniform(1.0, 3.0, odd)
    return _joined(rng, usual, near[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]))


def _few_relevant(rng: np.random.Generator) -> tuple[Floats, Flags]:
    """Of 40 features, five tell the outliers."""
    usual = rng.normal(0, 1, (ROWS, 40))
    odd = rng.normal(0, 1, (round(SHARE * ROWS), 40))
    odd[:, :5] += 3.0 * rng.choice([-1, 1], odd[:, :5].shape)
    return _joined(rng, usual, odd)


def _correlated(rng: np.random.Generator) -> tuple[Floats, Flags]:
    """Eight features that three factors drive; outliers have each feature's values, but not together."""
    usual = rng.normal(0, 1, (ROWS, 3)) @ rng.normal(0, 1, (3, 8)) + 0.2 * rng.normal(0, 1, (ROWS, 8))
    odd = np.column_stack([rng.choice(column, round(SHARE * ROWS)) for column in usual.T])
    return _joined(rng, usual, odd)


def _skewed(rng: np.random.Generator) -> tuple[Floats, Flags]:
    """Sizes and durations as logs have them: lognormal; outliers are rare combinations and extremes."""
    usual = np.exp(rng.normal(0, 1, (ROWS, 5)) * np.array([0.5, 1.0, 0.8, 0.3, 1.2]))
    odd = np.exp(
        rng.normal(0, 1, (round(SHARE * ROWS), 5)) * np.array([0.5, 1.0, 0.8, 0.3, 1.2])
        + rng.normal(0, 2, (round(SHARE * ROWS), 5))
    )
    return _joined(rng, usual, odd)


def _pyod(clusters: bool, features: int) -> Maker:
    def make(rng: np.random.Generator) -> tuple[Floats, Flags]:
        from pyod.utils import data as made

        if clusters:
            data, _, odd, _ = made.generate_data_clusters(
                ROWS,
                100,
                n_clusters=4,
                n_features=features,
                contamination=SHARE,
                size="different",
                density="different",
                random_state=_whole(rng),
            )
        else:
            data, odd = made.generate_data(
                ROWS, n_features=features, contamination=SHARE, train_only=True, random_state=_whole(rng)
            )
        return np.asarray(data, dtype=float), np.asarray(odd) == 1

    return make


SETS: dict[str, Maker] = {
    "breast_cancer": _classes(datasets.load_breast_cancer, (0,)),
    "wine": _classes(datasets.load_wine, (0, 1, 2)),
    "digits": _classes(datasets.load_digits, tuple(range(10))),
    "iris": _classes(datasets.load_iris, (0, 1, 2)),
    "blobs": _blobs,
    "moons": _moons,
    "circles": _circles,
    "stretched": _stretched,
    "densities": _densities,
    "few_relevant": _few_relevant,
    "correlated": _correlated,
    "skewed": _skewed,
    "pyod_data": _pyod(False, 5),
    "pyod_clusters": _pyod(True, 5),
}
"""Name of the set and what makes it."""
