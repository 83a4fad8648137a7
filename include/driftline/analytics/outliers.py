"""Outlier detection: which rows of a matrix of features lie apart from the others, and by which of the features.

As Elastic's outlier detection, an ensemble of distances to near rows and of local densities, here with an isolation forest beside
them. Rows are compared with random samples, so that a million of them take minutes, not days.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from driftline.analytics.neighbours import Sample, ldof, lof, nearest_distances
from driftline.core.analysis import OutlierDetection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.analytics.neighbours import Floats, Singles

FAR, DENSE = 2048, 512
"""Rows of a sample for distances and for densities. Densities are coarser: in a small sample a group of outliers that lie
together is a few rows, not a dense place of its own."""
FAR_SAMPLES, DENSE_SAMPLES = 3, 4
KTH, MEAN, LOCAL = 5, 12, 20
"""Neighbours for the distance to one, for the mean distance to several, and for densities. On the sets of `driftline bench
outliers`, samples of 256 to 1024 rows with 12 to 40 neighbours, and other ways of putting detectors together, have mean AUCs that
differ by 0.002: nothing hangs on these numbers."""
TREES = 100
WIDE = 30.0  # standardised values beyond grow by their logarithm, lest one value drowns what a row's others say
MOST = 1e100  # squares of much more are infinite
CLEAR = 5.0  # log-odds beyond grow by their logarithm, lest all that is far away has a score of 1
OUTLIERS = (3.0, 2.0)
"""Centre and spread of outliers' surprise, where that of the others has 0 and 1: it is 0.5 likely to be one at 2.7, if one row
in twenty is."""
ROWS_AT_ONCE = 50_000  # of the forest: its paths take 8 bytes a row and tree


@dataclass(frozen=True)
class Outliers:
    """What was found of n rows with d features.

    Attributes:
        scores: (n,) 0 to 1: how likely a row is an outlier.
        influence: (n, d) the part of each feature in a row's score: a row sums to 1, or to 0 where nothing is told of it.
    """

    scores: Floats
    influence: Floats


def detect(matrix: Floats, *, settings: OutlierDetection | None = None, seed: int | None = None) -> Outliers:
    """Finds the rows that lie apart.

    Args:
        matrix: (n, d) features. A missing value (NaN) counts as the column's median; a constant column says nothing.
        settings: How.
        seed: Of the samples and the forest, instead of the settings' `randomize_seed`: the same one gives the same scores.

    Returns:
        Scores and influence. With fewer than four rows, or no column that varies, all are 0.
    """
    chosen = settings or OutlierDetection()
    seed = chosen.randomize_seed if seed is None else seed
    matrix = np.asarray(matrix, dtype=np.float64)
    scores, influence = np.zeros(len(matrix)), np.zeros(matrix.shape)
    values, varying = standardised(matrix, scale=chosen.standardization_enabled)
    if len(matrix) < 4 or not varying.any():
        return Outliers(scores, influence)
    with threadpool_limits(1):  # the products are small: threads that share them wait for one another
        scores = _likely(_surprise(values, chosen, seed), chosen.outlier_fraction)
        if chosen.compute_feature_influence:
            told = np.flatnonzero(scores >= chosen.feature_influence_threshold)
            influence[np.ix_(told, np.flatnonzero(varying))] = _influence(values, told, chosen, seed)
    return Outliers(scores, influence)


def standardised(matrix: Floats, *, scale: bool = True) -> tuple[Singles, NDArray[np.bool_]]:
    """The columns that vary, centred and scaled, as (n, v) float32; and which of the d columns these are.

    The scale is that of the middle nine tenths, so that outliers do not hide themselves; at least half the standard deviation, so
    that a column that is nearly always the same does not outweigh all others.
    """
    columns, varying = [], np.zeros(matrix.shape[1], dtype=bool)
    for number, column in enumerate(matrix.T):
        finite = np.clip(column[np.isfinite(column)], -MOST, MOST)
        if not len(finite) or finite.min() == finite.max():
            continue
        varying[number] = True
        low, middle, high = np.quantile(finite, [0.05, 0.5, 0.95])
        known = np.clip(np.where(np.isnan(column), middle, column), finite.min(), finite.max())
        spread = max((high - low) / 3.29, finite.std() / 2) if scale else 1.0  # 3.29 standard deviations, of a normal column
        away = (known - middle) / spread
        beyond = np.maximum(np.abs(away) - WIDE, 0)
        columns.append(
            (np.sign(away) * (np.minimum(np.abs(away), WIDE) + np.log1p(beyond)) if scale else away).astype(np.float32)
        )
    return np.ascontiguousarray(np.array(columns, dtype=np.float32).reshape(len(columns), len(matrix)).T), varying


def _surprise(values: Singles, settings: OutlierDetection, seed: int) -> Floats:
    """How far a row's detectors are from what they say of most rows, in standard deviations."""
    if settings.method == "isolation_forest":
        return _usual(_isolation(values, seed))
    if settings.method != "ensemble":
        return _among_samples(values, settings, seed)[settings.method]
    said = _among_samples(values, settings, seed)
    distance = (said["distance_kth_nn"] + said["distance_knn"]) / 2
    families = [distance, said["lof"], _usual(_isolation(values, seed))]
    # two of three must agree: the mean of all is lowered by the one that cannot see it, the greatest is raised by chance
    return _usual(np.sort(families, axis=0)[1:].mean(axis=0))


def _among_samples(values: Singles, settings: OutlierDetection, seed: int) -> dict[str, Floats]:
    """What the detectors that the method needs say of each row, by name, on the scale of `_usual`: the mean over samples."""
    said: dict[str, Floats] = {}
    for near, size, times in ((True, FAR, FAR_SAMPLES), (False, DENSE, DENSE_SAMPLES)):
        if settings.method not in {"ensemble", *(("distance_kth_nn", "distance_knn") if near else ("lof", "ldof"))}:
            continue
        for number in range(times if len(values) > size else 1):
            sample = Sample.draw(values, size, np.random.default_rng([seed, near, number]))
            for name, scores in _with(sample, values, settings, near).items():
                said[name] = said.get(name, 0.0) + scores
    return {name: _usual(scores) for name, scores in said.items()}


def _with(sample: Sample, values: Singles, settings: OutlierDetection, near: bool) -> dict[str, Floats]:
    most = len(sample.rows) - 1
    kth, mean, local = (min(most, settings.n_neighbors or usual) for usual in (KTH, MEAN, LOCAL))
    if near:
        one, several = nearest_distances(values, sample, kth, mean)
        return {"distance_kth_nn": one, "distance_knn": several}
    # one neighbour alone has no density
    local = max(local, min(2, most))
    return {"ldof": ldof(values, sample, local)} if settings.method == "ldof" else {"lof": lof(values, sample, local)}


def _isolation(values: Singles, seed: int) -> Floats:
    """How soon random cuts leave a row alone (Liu, Ting and Zhou, 2008)."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=TREES, random_state=seed).fit(values)
    parts = [forest.score_samples(values[first : first + ROWS_AT_ONCE]) for first in range(0, len(values), ROWS_AT_ONCE)]
    return -np.concatenate(parts)


def _usual(said: Floats) -> Floats:
    """Centred at the median and scaled by the middle half: what most rows have is 0, and its spread 1."""
    low, middle, high = np.quantile(said, [0.25, 0.5, 0.75])
    spread = (high - low) / 1.349 or said.std()  # 1.349 standard deviations, of a normal distribution
    return np.asarray((said - middle) / (spread or 1.0))


def _likely(surprise: Floats, fraction: float) -> Floats:
    """The probability that a row is an outlier, by Bayes' rule, before which it was `fraction`."""
    centre, spread = OUTLIERS
    seen = np.maximum(surprise, -centre / (spread**2 - 1))  # below, the wide distribution of outliers would win again
    odds = np.log(fraction / (1 - fraction)) - np.log(spread) + seen**2 / 2 - ((seen - centre) / spread) ** 2 / 2
    odds = np.where(odds > CLEAR, CLEAR + np.log1p(np.maximum(odds - CLEAR, 0)), odds)
    return np.asarray(1 / (1 + np.exp(-odds)))


def _influence(values: Singles, told: NDArray[np.int64], settings: OutlierDetection, seed: int) -> Floats:
    """(t, v) by which columns these rows are far from the nearest rows of a sample, beyond what is usual for the column.

    What is usual is what a thousand rows at random have; where nothing is beyond it, the distances as they are.
    """
    rng = np.random.default_rng([seed, 2])
    sample = Sample.draw(values, FAR, rng)
    count = min(len(sample.rows) - 1, settings.n_neighbors or MEAN)
    some = np.sort(rng.choice(len(values), min(1000, len(values)), replace=False))
    usual = np.median(_apart(values, some, sample, count), axis=0)
    apart = _apart(values, told, sample, count)
    more = np.maximum(apart - usual, 0)
    more = np.where(more.sum(axis=1, keepdims=True) > 0, more, apart)
    total = more.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(more, total, out=np.zeros_like(more), where=total > 0))


def _apart(values: Singles, rows: NDArray[np.int64], sample: Sample, count: int) -> Floats:
    """(rows, v) the mean squared difference of each column from the nearest rows of a sample."""
    found = np.empty((len(rows), values.shape[1]))
    for part, far in sample.squares(values, rows):
        near = np.argpartition(far, count - 1, axis=1)[:, :count]
        here, total = values[rows[part]], 0.0
        for neighbour in near.T:
            total = total + (here - sample.values[neighbour]).astype(np.float64) ** 2
        found[part] = total / count
    return found
