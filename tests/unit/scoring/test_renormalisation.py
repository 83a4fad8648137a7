"""Renormalisation: what has equals is worth less, what has none stays."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from driftline.scoring.renormalisation import first_score, renormalised
from driftline.scoring.score import from_job_score, from_score, to_job_score, to_score

MONTH = 2880  # buckets of a quarter of an hour


def of(surprises, buckets, groups=None, history=MONTH):
    groups = np.zeros(len(surprises), dtype=np.int64) if groups is None else np.asarray(groups, dtype=np.int64)
    return renormalised(np.asarray(surprises, dtype=np.float64), np.asarray(buckets, dtype=np.int64), groups, history)


def test_a_lone_incident_stays_as_it_is_however_long_it_lasts():
    assert of([8.0], [5]).tolist() == [8.0]
    assert of([8.0, 9.0, 3.0, 8.5], [5, 6, 7, 10]).tolist() == [8.0, 9.0, 3.0, 8.5]
    assert of([], []).tolist() == []
    pieces, zero = (np.array([8.0, 8.0]), np.array([0, 11])), np.zeros(2, dtype=np.int64)
    assert renormalised(*pieces, zero, MONTH, gap=10).tolist() == [8.0, 8.0]
    assert max(renormalised(*pieces, zero, MONTH, gap=9)) < 8.0


def test_of_ten_as_rare_each_is_worth_as_much_less():
    found = of([12.0] * 10, range(0, 1000, 100))
    assert found == pytest.approx([12 - np.log10(1 + 9 / 0.5)] * 10, abs=1e-3)


def test_the_greatest_of_many_stays_and_the_least_loses_most():
    surprises = np.linspace(5, 14, 10)
    found = of(surprises, range(0, 1000, 100))
    assert found[-1] == surprises[-1]
    loss = surprises - found
    assert np.all(np.diff(loss) <= 0)
    assert np.all(np.diff(found) > 0), "ranks are kept"
    assert loss[0] == pytest.approx(np.log10(1 + 9 / 0.5), abs=0.3)


def test_what_is_as_frequent_as_its_law_says_becomes_no_more_surprising():
    # once in a thousand buckets: three times in a month is no news
    assert of([3.0, 3.0, 3.0], [0, 900, 1800]).tolist() == [3.0, 3.0, 3.0]
    assert np.all(of([2.7] * 30, range(0, 2700, 90)) < 2.7)


def test_groups_have_histories_of_their_own_in_any_order():
    rng = np.random.default_rng(3)
    surprises = np.concatenate([np.full(9, 10.0), [10.0]])
    buckets = np.concatenate([np.arange(0, 900, 100), [50]])
    groups = np.concatenate([np.full(9, 1), [0]])
    order = rng.permutation(10)
    found = np.empty(10)
    found[order] = of(surprises[order], buckets[order], groups[order])
    assert found[-1] == 10.0
    assert np.all(found[:-1] < 9.0)


def test_saturated_surprises_can_be_compared():
    found = of([300.0, 300.0, 8.0], [0, 100, 200])
    assert np.isfinite(found).all()
    assert found[0] == found[1] == pytest.approx(300 - np.log10(3), abs=1e-6)


@pytest.mark.parametrize("span", [timedelta(minutes=1), timedelta(hours=1), None])
def test_scores_and_surprises_are_one_to_one(span):
    surprises = np.linspace(3.4, 299, 50)
    back = from_score(to_score(surprises, span), span) if span else from_job_score(to_job_score(surprises))
    assert back == pytest.approx(surprises, abs=0.01)


def test_what_people_judged_counts_as_they_judged_it():
    record = {"record_score": 30.0, "initial_record_score": 80.0, "driftline": {}}
    assert first_score(record) == 80.0
    assert first_score({**record, "driftline": {"feedback": {"verdict": "nothing"}}}) == 30.0
