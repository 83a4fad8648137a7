"""How good predictions are, on documents that were held back, with intervals of confidence. Elastic's names of measures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm, rankdata

from driftline.core.results import number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

LEVEL = 0.95
Z = float(norm.ppf(0.5 + LEVEL / 2))
CURVE = 200  # points of a curve: more than a screen shows
HUBER_DELTA = 1.0  # Elastic's
BOOTSTRAPS, BOOTSTRAPPED = 400, 20_000


def classification(truth: Codes, assigned: Codes, probabilities: Floats, classes: list[str]) -> dict[str, Any]:
    """Evaluates predicted classes.

    Args:
        truth: [n] class numbers.
        assigned: [n] class numbers that were predicted.
        probabilities: [n, classes].
        classes: The classes' names.

    Returns:
        `multiclass_confusion_matrix`, `accuracy`, `precision`, `recall`, `auc_roc` (one against the others for each class, and
        their mean by size; for two classes that of the second), `log_loss`; `ci` beside each value is the interval that holds
        it in 19 of 20 cases.
    """
    many, n = len(classes), len(truth)
    matrix = np.zeros((many, many), dtype=np.int64)
    np.add.at(matrix, (truth, assigned), 1)
    right, actual, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    # as Elastic has it: of all documents, those that are right about belonging to the class
    about = [
        {"class_name": name, **_share(int(n - actual[k] - predicted[k] + 2 * right[k]), n)} for k, name in enumerate(classes)
    ]
    return {
        "documents": n,
        "multiclass_confusion_matrix": _confusion(matrix, classes),
        "accuracy": {**_share(int(right.sum()), n), "classes": about},
        "precision": _by_class(right, predicted, classes, "avg_precision"),
        "recall": _by_class(right, actual, classes, "avg_recall"),
        "auc_roc": _areas(probabilities, truth, classes, actual),
        "log_loss": number(float(-np.mean(np.log(np.maximum(probabilities[np.arange(n), truth], 1e-15))))),
    }


def _confusion(matrix: Codes, classes: list[str]) -> dict[str, Any]:
    rows = [
        {
            "actual_class": name,
            "actual_class_doc_count": int(counts.sum()),
            "predicted_classes": [
                {"predicted_class": other, "count": int(count)} for other, count in zip(classes, counts, strict=True)
            ],
            "other_predicted_class_doc_count": 0,
        }
        for name, counts in zip(classes, matrix, strict=True)
    ]
    return {"confusion_matrix": rows, "other_actual_class_count": 0}


def _areas(probabilities: Floats, truth: Codes, classes: list[str], actual: Codes) -> dict[str, Any]:
    found = [roc(probabilities[:, place], truth == place) for place in range(len(classes))]
    each = [{"class_name": name, **area} for name, area in zip(classes, found, strict=True) if area]
    if len(classes) == 2:
        return {**(found[1] or {"value": None, "ci": None}), "classes": each}
    weights = [int(actual[classes.index(area["class_name"])]) for area in each]
    mean = np.average([area["value"] for area in each], weights=weights) if sum(weights) else None
    return {"value": None if mean is None else number(mean), "classes": each}


def _by_class(right: Codes, of: Codes, classes: list[str], mean: str) -> dict[str, Any]:
    each = [{"class_name": name, **_share(int(right[k]), int(of[k]))} for k, name in enumerate(classes)]
    known = [entry["value"] for entry in each if entry["value"] is not None]
    return {mean: number(np.mean(known)) if known else None, "classes": each}


def _share(right: int, of: int) -> dict[str, Any]:
    """A share with Wilson's interval, which is sane for few documents and near 0 and 1."""
    if of == 0:
        return {"value": None, "ci": None}
    p, weight = right / of, Z * Z / of
    middle, half = (p + weight / 2) / (1 + weight), Z * math.sqrt(p * (1 - p) / of + weight / (4 * of)) / (1 + weight)
    return {"value": number(p), "ci": [number(max(0.0, middle - half)), number(min(1.0, middle + half))]}


def roc(scores: Floats, positive: NDArray[np.bool_]) -> dict[str, Any] | None:
    """The area under the ROC curve with DeLong's interval, and the curve; None without documents of both kinds.

    Args:
        scores: [n] higher for what is thought positive.
        positive: [n] what is.
    """
    yes, no = int(positive.sum()), int((~positive).sum())
    if not yes or not no:
        return None
    ranks = rankdata(scores)
    # of each positive the share of negatives below it, and the other way round (DeLong's placements)
    above = (ranks[positive] - rankdata(scores[positive])) / no
    below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / yes
    area = float(above.mean())
    variance = (above.var(ddof=1) / yes if yes > 1 else 0.0) + (below.var(ddof=1) / no if no > 1 else 0.0)
    half = Z * math.sqrt(variance)
    return {
        "value": number(area),
        "ci": [number(max(0.0, area - half)), number(min(1.0, area + half))],
        "curve": _curve(scores, positive),
    }


def _curve(scores: Floats, positive: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Elastic's points: `tpr`, `fpr`, `threshold`."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # equal scores are one point
    hits = np.cumsum(positive[order])[ends]
    tpr, fpr = hits / max(1, hits[-1]), (ends + 1 - hits) / max(1, len(scores) - hits[-1])
    # points that are far from one another along the curve, not along the documents
    length = np.append(0, np.cumsum(np.abs(np.diff(tpr)) + np.abs(np.diff(fpr))))
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], CURVE)).clip(0, len(ends) - 1))
    points = [{"tpr": 0.0, "fpr": 0.0, "threshold": 1.0}]
    for place in kept:
        points.append({"tpr": number(tpr[place]), "fpr": number(fpr[place]), "threshold": number(scores[order[ends[place]]])})
    return points


def regression(truth: Floats, predicted: Floats) -> dict[str, Any]:
    """Evaluates predicted numbers.

    Returns:
        `mse`, `msle` (None where a number is not above -1), `huber`, `r_squared`, each with `value` and `ci`, by bootstrap.
    """
    error = predicted - truth
    size = np.abs(error)
    huber = HUBER_DELTA**2 * (np.sqrt(1 + (size / HUBER_DELTA) ** 2) - 1)  # pseudo-Huber, as Elastic's
    losses = {"mse": error**2, "huber": huber}
    if truth.min(initial=0) > -1 and predicted.min(initial=0) > -1:
        losses["msle"] = (np.log1p(predicted) - np.log1p(truth)) ** 2
    random = np.random.default_rng(0)
    rows = random.integers(len(truth), size=(BOOTSTRAPS, min(len(truth), BOOTSTRAPPED)))
    shrunk = math.sqrt(rows.shape[1] / len(truth))  # of many documents a part is drawn: intervals are wider by as much
    told: dict[str, Any] = {"documents": len(truth), "msle": {"value": None, "ci": None}}
    for name, loss in losses.items():
        told[name] = _interval(float(loss.mean()), loss[rows].mean(axis=1), shrunk)
    spread = float(truth.var())
    if spread > 0:
        drawn = 1 - losses["mse"][rows].mean(axis=1) / np.maximum(truth[rows].var(axis=1), 1e-300)
        told["r_squared"] = _interval(1 - float(losses["mse"].mean()) / spread, drawn, shrunk)
    else:
        told["r_squared"] = {"value": None, "ci": None}
    return told


def _interval(value: float, drawn: Floats, shrunk: float) -> dict[str, Any]:
    low, high = np.quantile(drawn, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return {"value": number(value), "ci": [number(value + (low - value) * shrunk), number(value + (high - value) * shrunk)]}


def outliers(scores: Floats, actual: NDArray[np.bool_]) -> dict[str, Any]:
    """Evaluates scores against what is known: `auc_roc`, and `precision`, `recall` and `confusion_matrix` at some thresholds."""
    told: dict[str, Any] = {"documents": len(scores), "auc_roc": roc(scores, actual)}
    for name in ("precision", "recall", "confusion_matrix"):
        told[name] = {}
    for threshold in (0.25, 0.5, 0.75):
        chosen = scores >= threshold
        tp, fp, fn = int((chosen & actual).sum()), int((chosen & ~actual).sum()), int((~chosen & actual).sum())
        told["precision"][str(threshold)] = _share(tp, tp + fp)["value"]
        told["recall"][str(threshold)] = _share(tp, tp + fn)["value"]
        told["confusion_matrix"][str(threshold)] = {"tp": tp, "fp": fp, "tn": len(scores) - tp - fp - fn, "fn": fn}
    return told
