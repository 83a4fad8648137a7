"""`driftline bench outliers`: sets with known outliers, found by Driftline and by detectors of PyOD."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_auc_score

from driftline.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from driftline.core.progress import Progress

OURS = "driftline"
SAME = 0.005  # AUCs that differ by less are called equal: half of what another seed of a set changes


def run(*, seeds: int, sets: Sequence[str] = (), progress: Progress | None = None) -> dict[str, Any]:
    """The area under the ROC curve of each detector on each set, averaged over seeds.

    PyOD's detectors have their default settings and get each set standardised, as its examples do; Driftline gets it as it is.

    Args:
        seeds: How many sets of each kind.
        sets: Names of sets. Default: all.
        progress: Told how many are done.

    Returns:
        `seeds`; `auc_<set>`: the AUC of each detector; `auc`: their means over sets; `seconds`: what all sets took;
        `at_least_best`: on how many sets Driftline is as good as the best of PyOD's there, of `sets`.

    Raises:
        DataError: PyOD is not installed, or a set is unknown.
    """
    detectors = {OURS: _ours, **_pyod()}
    from driftline.bench.outlier_sets import SETS

    if unknown := [name for name in sets if name not in SETS]:
        raise DataError(f"there is no set '{unknown[0]}'", where="--set", expected=", ".join(SETS))
    names = list(sets) or list(SETS)
    areas = {name: {which: 0.0 for which in detectors} for name in names}
    seconds = dict.fromkeys(detectors, 0.0)
    for done, (name, seed) in enumerate((name, seed) for name in names for seed in range(seeds)):
        data, odd = SETS[name](np.random.default_rng([seed, 7]))
        for which, scores in detectors.items():
            begun = time.perf_counter()
            said = scores(data, seed)
            seconds[which] += time.perf_counter() - begun
            areas[name][which] += float(roc_auc_score(odd, said)) / seeds
        if progress:
            progress("sets", done + 1, len(names) * seeds)
    best = [max(area for which, area in found.items() if which != OURS) for found in areas.values()]
    return {
        "seeds": seeds,
        **{f"auc_{name}": _rounded(found, 4) for name, found in areas.items()},
        "auc": _rounded({which: float(np.mean([found[which] for found in areas.values()])) for which in detectors}, 4),
        "seconds": _rounded(seconds, 2),
        "at_least_best": sum(found[OURS] >= top - SAME for found, top in zip(areas.values(), best, strict=True)),
        "sets": len(names),
    }


def _rounded(values: dict[str, float], digits: int) -> dict[str, float]:
    return {name: round(value, digits) for name, value in values.items()}


def _ours(data: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    from driftline.analytics.outliers import detect

    return detect(data, seed=seed).scores


def _pyod() -> dict[str, Callable[[NDArray[np.float64], int], NDArray[np.float64]]]:
    """Three detectors of PyOD that are used most, with their defaults."""
    try:
        from pyod.models.iforest import IForest
        from pyod.models.knn import KNN
        from pyod.models.lof import LOF
    except ImportError:
        raise DataError(
            "PyOD, to compare with, is not installed", fix="pip install pyod (it is in requirements-dev.txt)."
        ) from None

    def fitted(make: Callable[[int], Any]) -> Callable[[NDArray[np.float64], int], NDArray[np.float64]]:
        def scores(data: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
            spread = data.std(axis=0)
            standard = (data - data.mean(axis=0)) / np.where(spread > 0, spread, 1)
            return np.asarray(make(seed).fit(standard).decision_scores_, dtype=np.float64)

        return scores

    return {
        "pyod_lof": fitted(lambda _: LOF()),
        "pyod_knn": fitted(lambda _: KNN()),
        "pyod_iforest": fitted(lambda seed: IForest(random_state=seed)),
    }
