"""Fields that give the answer away: how much of the label each tells alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.analytics.features import Encoder

LOOKED_AT = 20_000  # rows: a field that tells all does so on few
LEAVES = 512


def told_alone(rows: NDArray[np.float64], target: NDArray[Any], encoder: Encoder, *, classes: int, seed: int) -> dict[str, float]:
    """How much of the label each field tells by itself, on rows that were not looked at to find out.

    Args:
        rows: [n, columns] as the encoder makes them.
        target: [n] class numbers, or values.
        encoder: Which column is of which field.
        classes: How many classes; 0 for a regression.
        seed: The same seed, the same answer.

    Returns:
        Field → 0 (nothing) to 1 (all): of classes the share of the errors that it saves, of values that of the variance of their
        ranks.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if not classes:
        target = rankdata(target)  # by their size a few great values would be all that counts, and those no tree can tell
    chosen = np.random.default_rng(seed).permutation(len(rows))[:LOOKED_AT]
    target = target[chosen]
    rows = rankdata(rows[chosen], method="dense", axis=0, nan_policy="omit")  # scikit-learn takes seven digits, and no 1e300
    told = {}
    for name in encoder.fields:
        mine = [place for place, column in enumerate(encoder.columns) if column.field == name]
        make = DecisionTreeClassifier if classes else DecisionTreeRegressor
        tree = make(max_leaf_nodes=LEAVES, min_samples_leaf=2 if classes else 1, random_state=seed)
        found = tree.fit(rows[::2, mine], target[::2]).predict(rows[1::2, mine])
        told[name] = _share(found, target[1::2], target[::2], classes)
    return told


def _share(found: NDArray[Any], truth: NDArray[Any], learned: NDArray[Any], classes: int) -> float:
    """One minus what is still wrong, over what would be wrong without the field."""
    if classes:
        usual = np.bincount(learned, minlength=classes).argmax()
        before, after = np.mean(truth != usual), np.mean(found != truth)
    else:
        before, after = np.var(truth), np.mean((found - truth) ** 2)
    return float(max(0.0, 1 - after / before)) if before > 0 else 0.0
