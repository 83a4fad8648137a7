"""Measures and their intervals, against scikit-learn and against chance itself."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_score, r2_score, recall_score, roc_auc_score

from driftline.analytics import evaluate


def drawn(seed: int = 0, n: int = 1500):
    random = np.random.default_rng(seed)
    truth = random.choice(3, n, p=[0.7, 0.2, 0.1])
    scores = random.normal(size=(n, 3)) + 1.5 * np.eye(3)[truth]
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return truth, shares


def test_measures_of_classes_are_those_of_scikit_learn() -> None:
    truth, shares = drawn()
    assigned = shares.argmax(axis=1)
    found = evaluate.classification(truth, assigned, shares, ["a", "b", "c"])
    assert found["accuracy"]["value"] == pytest.approx(accuracy_score(truth, assigned), abs=1e-6)
    for place in range(3):
        assert found["recall"]["classes"][place]["value"] == pytest.approx(
            recall_score(truth, assigned, average=None)[place], abs=1e-5
        )
        assert found["precision"]["classes"][place]["value"] == pytest.approx(
            precision_score(truth, assigned, average=None)[place], abs=1e-5
        )
    area = roc_auc_score(truth, shares, multi_class="ovr", average="weighted")
    assert found["auc_roc"]["value"] == pytest.approx(area, abs=1e-5)
    matrix = found["multiclass_confusion_matrix"]["confusion_matrix"]
    assert sum(each["count"] for row in matrix for each in row["predicted_classes"]) == len(truth)


def test_two_classes_have_the_curve_of_the_second() -> None:
    truth = np.array([0, 0, 1, 1])
    shares = np.array([[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]])
    found = evaluate.classification(truth, shares.argmax(axis=1), shares, ["no", "yes"])
    assert found["auc_roc"]["value"] == 0.75
    curve = found["auc_roc"]["curve"]
    assert (curve[0]["fpr"], curve[0]["tpr"]) == (0, 0)
    assert (curve[-1]["fpr"], curve[-1]["tpr"]) == (1, 1)


def test_a_class_that_nobody_predicted_has_no_precision() -> None:
    truth, shares = np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]])
    found = evaluate.classification(truth, shares.argmax(axis=1), shares, ["no", "yes"])
    assert found["precision"]["classes"][1] == {"class_name": "yes", "value": None, "ci": None}


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    random, inside = np.random.default_rng(1), 0
    area = roc_auc_score(*_large())
    for _ in range(200):
        positive = random.random(300) < 0.3
        inside += _within(evaluate.roc(random.normal(size=300) + positive, positive)["ci"], area)
    assert 0.90 <= inside / 200 <= 0.99


def _large():
    random = np.random.default_rng(7)
    positive = random.random(200_000) < 0.3
    return positive, random.normal(size=200_000) + positive


def _within(ci, value):
    return ci[0] <= value <= ci[1]


def test_equal_scores_are_one_point_of_the_curve() -> None:
    found = evaluate.roc(np.array([0.5, 0.5, 0.5, 0.5]), np.array([True, False, True, False]))
    assert found["value"] == 0.5
    assert len(found["curve"]) == 2


def test_without_one_of_the_kinds_there_is_no_curve() -> None:
    assert evaluate.roc(np.array([0.1, 0.2]), np.array([True, True])) is None


def test_measures_of_numbers_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    truth = random.gamma(2, size=900)
    predicted = truth + random.normal(size=900) * 0.3
    found = evaluate.regression(truth, np.maximum(predicted, 0))
    assert found["mse"]["value"] == pytest.approx(np.mean((np.maximum(predicted, 0) - truth) ** 2), rel=1e-5)
    assert found["r_squared"]["value"] == pytest.approx(r2_score(truth, np.maximum(predicted, 0)), rel=1e-5)
    assert found["msle"]["value"] is not None
    for name in ("mse", "msle", "huber", "r_squared"):
        assert found[name]["ci"][0] < found[name]["value"] < found[name]["ci"][1]


def test_numbers_that_never_differ_have_no_r_squared() -> None:
    assert evaluate.regression(np.ones(20), np.ones(20))["r_squared"]["value"] is None


def test_outliers_are_judged_at_some_thresholds() -> None:
    found = evaluate.outliers(np.array([0.9, 0.8, 0.1, 0.3]), np.array([True, False, False, True]))
    assert found["confusion_matrix"]["0.5"] == {"tp": 1, "fp": 1, "tn": 1, "fn": 1}
    assert found["recall"]["0.25"] == 1
