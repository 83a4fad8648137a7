"""Outliers: what was planted has the highest scores, the features that made it one are named, and odd columns do no harm."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from driftline.analytics import outliers
from driftline.analytics.neighbours import Sample, ldof, lof, nearest_distances
from driftline.analytics.outliers import detect
from driftline.core.analysis import OutlierDetection

METHODS = ["ensemble", "distance_kth_nn", "distance_knn", "lof", "ldof", "isolation_forest"]


@pytest.fixture(scope="module")
def planted():
    """Two clusters of unequal spread with four features, and ten rows that differ in the third alone."""
    rng = np.random.default_rng(1)
    usual = np.concatenate([rng.normal(0, 1, (200, 4)), rng.normal(9, 1.5, (190, 4))]) * [1, 10, 0.1, 1000]
    odd = usual[rng.choice(200, 10, replace=False)]
    odd[:, 2] -= rng.uniform(1.6, 4, 10)
    return np.concatenate([usual, odd]), np.arange(400) >= 390


@pytest.mark.parametrize("method", METHODS)
def test_every_method_puts_what_was_planted_first(planted, method):
    found = detect(planted[0], settings=OutlierDetection(method=method))
    assert roc_auc_score(planted[1], found.scores) > 0.9
    assert found.scores.min() >= 0
    assert found.scores.max() <= 1


def test_most_rows_are_no_outliers_and_those_that_were_planted_are(planted):
    scores = detect(planted[0]).scores
    assert scores[planted[1]].min() > 0.5
    assert np.median(scores) < 0.05
    assert (scores[~planted[1]] > 0.5).mean() < 0.05
    assert len(np.unique(scores)) > 0.95 * len(scores[scores > 0.1])  # none is cut off at 1


def test_influence_names_the_feature_and_sums_to_one_where_it_is_told(planted):
    found = detect(planted[0], settings=OutlierDetection(feature_influence_threshold=0.4))
    total = found.influence.sum(axis=1)
    assert np.allclose(total[found.scores >= 0.4], 1)
    assert not total[found.scores < 0.4].any()
    assert (found.influence[planted[1]].argmax(axis=1) == 2).all()
    assert found.influence[planted[1], 2].min() > 0.6
    untold = detect(planted[0], settings=OutlierDetection(compute_feature_influence=False))
    assert not untold.influence.any()
    assert np.array_equal(untold.scores, found.scores)


def test_the_same_seed_gives_the_same_scores_and_units_do_not_matter(planted):
    first, again = detect(planted[0], seed=3), detect(planted[0], seed=3)
    assert np.array_equal(first.scores, again.scores)
    assert np.array_equal(first.influence, again.influence)
    assert not np.array_equal(detect(planted[0], seed=4).scores, first.scores)
    other = detect(planted[0] * [1000, 0.01, 1, 5] + [0, 5, -3, 1e6], seed=3)
    assert np.allclose(other.scores, first.scores, atol=0.02)


def test_without_standardisation_the_largest_unit_decides(planted):
    raw = detect(planted[0], settings=OutlierDetection(standardization_enabled=False, method="distance_knn"))
    assert roc_auc_score(planted[1], raw.scores) < 0.8
    assert (raw.influence[raw.scores > 0.3].argmax(axis=1) == 3).all()


def test_columns_that_say_nothing_and_missing_values_do_no_harm(planted):
    data, odd = planted
    more = np.column_stack([data, np.full(400, 7.0), np.full(400, np.nan)])
    more[:390:17, 0], more[5, 1], more[6, 1] = np.nan, np.inf, -np.inf
    found = detect(more)
    assert np.isfinite(found.scores).all()
    assert roc_auc_score(odd, found.scores) > 0.9
    assert not found.influence[:, 4:].any()


def test_a_value_whose_square_is_beyond_all_numbers_is_an_outlier(planted):
    data = planted[0].copy()
    data[7, 0] = 1e300
    found = detect(data)
    assert found.scores.argmax() == 7


def test_rows_that_are_there_many_times_are_usual():
    data = np.repeat(np.array([[0.0, 1.0], [5.0, 2.0], [5.0, 2.1]]), 60, axis=0)
    found = detect(np.concatenate([data, [[40.0, -9.0]]]))
    assert np.isfinite(found.scores).all()
    assert found.scores.argmax() == 180
    assert found.scores[180] > 0.9
    assert found.scores[:180].max() < 0.5


@pytest.mark.parametrize("data", [np.zeros((0, 3)), np.zeros((50, 3)), np.zeros((50, 0)), np.eye(3)])
def test_where_there_is_nothing_to_compare_all_scores_are_zero(data):
    found = detect(data)
    assert found.scores.shape == (len(data),)
    assert found.influence.shape == data.shape
    assert not found.scores.any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("neighbours", [1, 3, 1000])
def test_few_rows_and_any_number_of_neighbours_work(method, neighbours):
    data = np.array([[0.0, 0.1], [0.2, 0.0], [0.1, 0.2], [0.0, 0.3], [9.0, 9.0]])
    found = detect(data, settings=OutlierDetection(method=method, n_neighbors=neighbours))
    assert np.isfinite(found.scores).all()
    assert found.influence[found.scores >= 0.1].sum(axis=1) == pytest.approx(1)


def test_a_larger_fraction_makes_all_rows_likelier(planted):
    few, many = (detect(planted[0], settings=OutlierDetection(outlier_fraction=share)).scores for share in (0.01, 0.2))
    assert (many > few).all()


def test_in_samples_of_many_rows_the_same_is_found(planted, monkeypatch):
    monkeypatch.setattr(outliers, "FAR", 150)
    monkeypatch.setattr(outliers, "DENSE", 100)
    found = detect(planted[0])
    assert roc_auc_score(planted[1], found.scores) > 0.9
    assert (found.influence[planted[1]].argmax(axis=1) == 2).mean() > 0.8


def test_distances_and_densities_are_what_their_definitions_say():
    """A point that is looked at is no neighbour of itself; all else is counted by hand."""
    values = np.array([[0.0], [1.0], [3.0], [7.0], [20.0]], dtype=np.float32)
    sample = Sample.draw(values, 5, np.random.default_rng(0))
    one, several = nearest_distances(values, sample, 2, 2)
    assert np.exp(one) == pytest.approx([3, 2, 3, 6, 17], rel=0.01)
    assert np.exp(several) == pytest.approx([2, 1.5, 2.5, 5, 15], rel=0.01)
    # each is reached over its distance, or the second neighbour's of the other: from 20, 7 over 13 and 3 over 17
    reach = {0: (2 + 3) / 2, 1: (3 + 3) / 2, 3: (2 + 3) / 2, 7: (4 + 6) / 2, 20: (13 + 17) / 2}
    near = {0: (1, 3), 1: (0, 3), 3: (1, 0), 7: (3, 1), 20: (7, 3)}
    expected = [(1 / reach[a] + 1 / reach[b]) / 2 * reach[point] for point, (a, b) in near.items()]
    assert np.exp(lof(values, sample, 2)) == pytest.approx(expected, rel=0.01)
    # the mean distance to the two, over the distance between them
    assert np.exp(ldof(values, sample, 2)) == pytest.approx([2 / 2, 1.5 / 3, 2.5 / 1, 5 / 2, 15 / 4], rel=0.01)
