"""Gradient boosted trees: the search for hyperparameters, the fit, predictions, what mattered. LightGBM does the work."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.analysis import Classification
from driftline.core.errors import DataError, DriftlineError, SnapshotError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from driftline.core.analysis import Supervised
    from driftline.core.progress import Progress

    Floats = NDArray[np.float64]
    Matrix = NDArray[np.float64]

SEARCHED_ROWS = 40_000  # a search over more finds the same settings, later
MOST_TREES = 2000
PATIENCE = 30  # trees without gain that end a training
FOLDS, FOLDED_ROWS = 3, 10_000  # with fewer rows, a single part to validate with is luck
HELD_SHARE = 0.1  # of larger sets, to know when to stop
ETA = 0.07  # smaller steps and more trees gain a little more, for much more time
SEARCHED_ETA, SEARCHED_TREES, SEARCHED_PATIENCE = 0.2, 120, 8  # coarse: which settings are better shows soon
EXPLAINED_ROWS = 1_000  # a mean over more hardly moves, and each takes as long as hundreds of predictions
CHUNK = 50_000  # rows a prediction
ROWS_A_THREAD = 25_000
TRIES = 5  # settings that are tried in each round of a search
CHOICES: dict[str, list[Any]] = {
    "num_leaves": [7, 15, 31, 63, 127],
    "min_data_in_leaf": [5, 10, 20, 50, 100],
    "feature_fraction": [0.5, 0.7, 0.85, 1.0],
    "bagging_fraction": [0.7, 0.85, 1.0],
    "lambda_l2": [0.0, 0.3, 3.0, 10.0, 30.0],
    "min_gain_to_split": [0.0, 0.0, 0.1, 0.5],
    "cat_smooth": [3.0, 10.0, 50.0],
}
DEFAULTS = {  # LightGBM's own
    "num_leaves": 31, "min_data_in_leaf": 20, "feature_fraction": 1.0, "bagging_fraction": 1.0, "lambda_l2": 0.0,
    "min_gain_to_split": 0.0, "cat_smooth": 10.0,
}  # fmt: skip
GIVEN = {  # Elastic's names
    "eta": "learning_rate",
    "gamma": "min_gain_to_split",
    "lambda_": "lambda_l2",
    "feature_bag_fraction": "feature_fraction",
    "downsample_factor": "bagging_fraction",
    "num_leaves": "num_leaves",
}


@dataclass(frozen=True)
class Trees:
    """A fitted model.

    Attributes:
        text: The trees in LightGBM's own text format.
        classes: The classes' names in the order of the probabilities; empty for a regression.
        weights: Of each class, what its probability is multiplied with before the greatest is chosen.
        hyperparameters: How it was fitted.
        trees: Trees of each class.
        searched: Settings that were tried, with their loss.
        log: Whether what is predicted is the logarithm of 1 + value.
    """

    text: str
    classes: list[str]
    weights: list[float]
    hyperparameters: dict[str, Any]
    trees: int
    searched: list[dict[str, Any]]
    log: bool = False

    @cached_property
    def booster(self) -> Any:  # noqa: ANN401 - LightGBM has no types
        """The trees, loaded.

        Raises:
            SnapshotError: The text is none of LightGBM's.
        """
        try:
            return _lightgbm().Booster(model_str=self.text)
        except _lightgbm().basic.LightGBMError as error:
            raise SnapshotError(f"the trees cannot be read: {error}", where="trained model") from None

    def predict(self, rows: Matrix) -> Floats:
        """Probabilities [n, classes], or values [n] of a regression."""
        parts = [np.asarray(self.booster.predict(part, num_threads=threads(len(part)))) for part in _chunks(rows)]
        found = np.concatenate(parts) if parts else np.empty(0)
        if not self.classes:
            return np.expm1(found) if self.log else found
        return np.column_stack([1 - found, found]) if len(self.classes) == 2 else found.reshape(-1, len(self.classes))

    def assign(self, probabilities: Floats) -> NDArray[np.int64]:
        """The class of each row: the greatest of the weighted probabilities."""
        best: NDArray[np.int64] = np.argmax(probabilities * np.asarray(self.weights), axis=1)
        return best

    def contributions(self, rows: Matrix) -> Floats:
        """What each column did to each row's prediction (SHAP values of the trees).

        Returns:
            [n, columns] for a regression and for two classes (towards the second), [n, classes, columns] for more.
        """
        width = rows.shape[1] + 1  # the last is the mean prediction
        parts = [
            np.asarray(self.booster.predict(part, pred_contrib=True, num_threads=threads(len(part)))) for part in _chunks(rows)
        ]
        found = np.concatenate(parts) if parts else np.empty((0, width))
        if len(self.classes) > 2:
            return found.reshape(len(rows), len(self.classes), width)[:, :, :-1]
        return found[:, :-1]


def threads(rows: int) -> int:
    """Threads for so many rows: few are done sooner by one, which waits for no other on a busy machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, rows // ROWS_A_THREAD))


def fit(
    rows: Matrix,
    target: NDArray[Any],
    *,
    settings: Supervised,
    classes: list[str],
    categorical: list[int],
    progress: Progress | None = None,
) -> Trees:
    """Fits trees.

    Args:
        rows: [n, d] what is learned from.
        target: [n] class numbers, or values.
        settings: Hyperparameters that are given; the others are searched for.
        classes: The names of the classes, empty for a regression.
        categorical: Columns whose numbers are names.
        progress: Told of the search and the fit.

    Raises:
        DataError: A value has no logarithm, and its loss is wanted.
    """
    log = not classes and getattr(settings, "loss_function", "mse") == "msle"
    if log and target.min() <= -1:
        raise DataError(
            f"'{settings.dependent_variable}' is {target.min():.6g} in a document",
            expected="more than -1 for msle", fix="Take loss_function mse or huber, or leave such documents out by source.query.",
        )  # fmt: skip
    wanted = np.log1p(target) if log else np.asarray(target, dtype=np.float64)
    fixed = _fixed(settings, classes, wanted)
    order = np.random.default_rng(settings.randomize_seed).permutation(len(rows))
    best, searched = _search(rows, wanted, order, fixed, settings, categorical, progress)
    chosen = {**DEFAULTS, **fixed, **best, "learning_rate": settings.eta or ETA}
    booster, out_of_sample = _final(rows, wanted, order, chosen, settings, categorical, progress)
    weights = [1.0] * len(classes)
    if isinstance(settings, Classification) and settings.class_assignment_objective == "maximize_minimum_recall":
        weights = favoured(*out_of_sample, len(classes))
    told = {name: chosen[name] for name in (*DEFAULTS, "learning_rate")}
    trees = booster.best_iteration or booster.current_iteration()
    return Trees(booster.model_to_string(), classes, weights, told, trees, searched, log)


def _lightgbm() -> Any:  # noqa: ANN401 - a module
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait busily make a shared machine many times slower
    try:
        import lightgbm
    except OSError as error:
        raise DriftlineError(
            f"LightGBM cannot be loaded: {error}", fix="Install the system's OpenMP library (apt-get install libgomp1)."
        ) from None
    return lightgbm


def _fixed(settings: Supervised, classes: list[str], target: Floats) -> dict[str, Any]:
    """What is not searched for."""
    huber = getattr(settings, "loss_function", "") == "huber"
    objective = {0: "huber" if huber else "regression", 2: "binary"}
    given = {ours: getattr(settings, name) for name, ours in GIVEN.items()}
    many = {"num_class": len(classes)} if len(classes) > 2 else {}
    return {
        "objective": objective.get(len(classes), "multiclass"),
        "seed": settings.randomize_seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": threads(len(target)),
        "bagging_freq": 1,
        "verbosity": -1,
        "feature_pre_filter": False,
        **many,
        **({"alpha": _spread(target)} if huber else {}),
        **{name: value for name, value in given.items() if value is not None},
    }


def _spread(target: Floats) -> float:
    """From which error on Huber's loss grows no faster than the error: in the unit of what is predicted."""
    away = np.abs(target - np.median(target))
    return float(np.median(away) or away.mean() or 1.0)


def _dataset(rows: Matrix, target: Floats, categorical: list[int], *, of: Any = None) -> Any:  # noqa: ANN401 - LightGBM's
    options: dict[str, Any] = {"params": {"verbosity": -1, "feature_pre_filter": False}, "free_raw_data": False}
    return _lightgbm().Dataset(rows, target, categorical_feature=categorical, reference=of, **options)


def _tries(settings: Supervised, fixed: dict[str, Any]) -> list[dict[str, Any]]:
    """LightGBM's own settings first, then some at random: the same for the same seed."""
    random = np.random.default_rng(settings.randomize_seed)
    free = {name: values for name, values in CHOICES.items() if name not in fixed}
    tries: list[dict[str, Any]] = [{}]
    if free:
        many = TRIES * settings.max_optimization_rounds_per_hyperparameter
        tries += [{name: values[random.integers(len(values))] for name, values in free.items()} for _ in range(many)]
    return tries


def _search(
    rows: Matrix, target: Floats, order: NDArray[np.int64], fixed: dict[str, Any], settings: Supervised,
    categorical: list[int], progress: Progress | None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:  # fmt: skip
    """The settings with the least loss on a part of the rows that they were not fitted on."""
    tries = _tries(settings, fixed)
    if len(tries) == 1:
        return {}, []
    chosen = order[:SEARCHED_ROWS]
    folds = _folds(chosen, target, 2 if len(chosen) <= FOLDED_ROWS else 1)
    sets = []
    for learn, hold in folds:
        train = _dataset(rows[learn], target[learn], categorical)
        sets.append((train, _dataset(rows[hold], target[hold], categorical, of=train)))
    told: list[dict[str, Any]] = []
    base = {"learning_rate": SEARCHED_ETA, **fixed, "num_threads": threads(len(chosen))}
    for number, tried in enumerate(tries):
        losses = [_boosted(train, {**base, **tried}, held, SEARCHED_TREES, SEARCHED_PATIENCE)[1] for train, held in sets]
        told.append({**tried, "loss": float(np.mean(losses))})
        if progress:
            progress("settings tried", number + 1, len(tries))
    best = min(range(len(tries)), key=lambda place: (told[place]["loss"], place))
    return tries[best], told


def _folds(chosen: NDArray[np.int64], target: Floats, many: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Parts to fit on and to judge with; each class has its share in each part."""
    # by class (or by size), then cut in turns: `chosen` is in random order, so the sort, being stable, keeps what is random in it
    ranked = chosen[np.argsort(target[chosen], kind="stable")]
    every = max(many, 4)
    return [(np.delete(ranked, np.s_[fold::every]), ranked[fold::every]) for fold in range(many)]


def _boosted(train: Any, params: dict[str, Any], held: Any, trees: int, patience: int) -> tuple[Any, float]:  # noqa: ANN401
    """Trees until the held-back part gains nothing (with patience 0: all), and the loss there."""
    lightgbm = _lightgbm()
    stop = [lightgbm.early_stopping(patience, verbose=False)] if patience else []
    booster = lightgbm.train(params, train, trees, valid_sets=[held], callbacks=stop)
    return booster, next(iter(booster.best_score["valid_0"].values()))


def _final(
    rows: Matrix, target: Floats, order: NDArray[np.int64], params: dict[str, Any], settings: Supervised,
    categorical: list[int], progress: Progress | None,
) -> tuple[Any, tuple[Floats, NDArray[np.int64]]]:  # fmt: skip
    """The model on all rows (of large sets: all but those that say when to stop), and predictions of rows it did not learn."""
    many = FOLDS if len(rows) <= FOLDED_ROWS else 1
    most, patience = settings.max_trees or MOST_TREES, PATIENCE if settings.early_stopping_enabled else 0
    folds = _folds(order, target, many) if many > 1 else [_split_off(order, target)]
    boosters, predicted, truth = [], [], []
    for number, (learn, hold) in enumerate(folds):
        train = _dataset(rows[learn], target[learn], categorical)
        booster, _ = _boosted(train, params, _dataset(rows[hold], target[hold], categorical, of=train), most, patience)
        boosters.append(booster)
        predicted.append(np.asarray(booster.predict(rows[hold])))
        truth.append(target[hold].astype(np.int64))
        if progress:
            progress("trained", number + 1, len(folds) + (many > 1))
    out_of_sample = np.concatenate(predicted), np.concatenate(truth)
    if many == 1:
        return boosters[0], out_of_sample
    trees = max(1, round(np.mean([each.best_iteration or each.current_iteration() for each in boosters])))
    final = _lightgbm().train(params, _dataset(rows, target, categorical), trees)
    if progress:
        progress("trained", len(folds) + 1, len(folds) + 1)
    return final, out_of_sample


def _split_off(order: NDArray[np.int64], target: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ranked = order[np.argsort(target[order], kind="stable")]
    every = round(1 / HELD_SHARE)
    return np.delete(ranked, np.s_[::every]), ranked[::every]


def favoured(predicted: Floats, truth: NDArray[np.int64], classes: int) -> list[float]:
    """Weights of classes with which the least recall of a class is greatest: the worst class is given more, step by step."""
    shares = np.column_stack([1 - predicted, predicted]) if predicted.ndim == 1 else predicted
    weights = 1 / np.maximum(np.bincount(truth, minlength=classes) / len(truth), 1e-6)  # by share: where it mostly lies
    best, step = (-1.0, weights.copy()), 1.5
    there = np.unique(truth)
    for _ in range(60):
        chosen = np.argmax(shares * weights, axis=1)
        recalls = np.array([np.mean(chosen[truth == name] == name) for name in there])
        if recalls.min() > best[0]:
            best = float(recalls.min()), weights.copy()
        weights[there[recalls.argmin()]] *= step
        step = max(1.02, step * 0.95)
    return [float(weight) for weight in best[1] / best[1].max()]


def _chunks(rows: Matrix) -> Iterator[Matrix]:
    for first in range(0, len(rows), CHUNK):
        yield rows[first : first + CHUNK]
