"""Signatures: profiles, groups, and which entities behave otherwise."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from signature_fleets import HOUR, SPAN, TRAINED, learned, sums, times_of
from sklearn.metrics import adjusted_rand_score

from driftline.bench.behaviours import KINDS, make
from driftline.core.signature import Signatures
from driftline.signatures.evidence import by_chance
from driftline.signatures.model import chunks, from_chunks
from driftline.signatures.profiles import bins_of, sums_of
from driftline.signatures.score import FLEET, score, to_score
from driftline.signatures.why import why

SIGNATURES = Signatures.parse({"signature_id": "a", "indices": "a", "term": "account", "mix": "destination"}, where="test")
ENTITIES = 1_500


@pytest.fixture(scope="module")
def fleet():
    return make(11, ENTITIES, planted=12, since=TRAINED)


@pytest.fixture(scope="module")
def found(fleet):
    return learned(fleet)


@pytest.fixture(scope="module")
def week(fleet):
    return sums(fleet, [(TRAINED, TRAINED + SPAN)])


def test_hours_are_those_of_the_clock_of_the_zone_and_weekends_are_apart():
    bins = bins_of(times_of(0, 7), HOUR, "UTC")
    assert bins[:24].tolist() == list(range(24))
    assert bins[5 * 24 : 6 * 24].tolist() == list(range(24, 48))
    berlin = bins_of(times_of(0, 7), HOUR, "Europe/Berlin")
    assert berlin[0] == 1
    assert berlin[5 * 24 - 1] == 24  # Saturday there already


def test_a_long_bucket_is_of_the_slot_and_day_that_hold_most_of_it():
    weekend = bins_of(times_of(0, 7)[::24], timedelta(days=1), "America/New_York")  # its days begin at 19:00 of the day before
    assert weekend.tolist() == [0, 0, 0, 0, 0, 1, 1]


def test_sums_are_of_each_bin_and_means_are_weighted_by_what_they_are_means_of():
    counts = np.zeros((1, 7 * 24))
    counts[0, [9, 33, 129]] = [2, 3, 5]
    duration = np.full(counts.shape, np.nan)
    duration[0, [9, 33, 129]] = [10, 20, 40]
    bins = bins_of(times_of(0, 7), HOUR, "UTC")
    measured = [("avg", duration), ("sum", duration), ("min", duration), ("max", duration)]
    out = sums_of(counts, measured, bins, [slice(0, 168)], 48)
    assert out.counts[0, 0, 9] == 5
    assert out.counts[0, 0, 24 + 9] == 5
    assert out.hours[0, :24].tolist() == [5] * 24
    assert out.features[0, 0].tolist() == pytest.approx([28.0, np.log1p(70), 10, 40])


def test_the_deviance_of_chance_is_known():
    grid, mean, variance = by_chance()
    rng = np.random.default_rng(1)
    for expected in (0.05, 1.0, 30.0):
        counts = rng.poisson(expected, 400_000)
        logs = np.log(np.maximum(counts, 1) / expected)
        deviance = 2 * (counts * logs - (counts - expected))
        at = np.log(expected)
        assert np.interp(at, grid, mean) == pytest.approx(deviance.mean(), rel=0.03)
        assert np.interp(at, grid, variance) == pytest.approx(deviance.var(), rel=0.05)


def test_groups_are_those_that_there_are(fleet, found):
    assert len(found.facts["sizes"]) == 6
    assert adjusted_rand_score(fleet.way, found.group) >= 0.98
    assert found.facts["sizes"] == sorted(found.facts["sizes"], reverse=True)


def test_groups_of_random_profiles_are_those_of_all(fleet, found):
    assert adjusted_rand_score(found.group, learned(fleet, limit=400, seed=1).group) >= 0.95


def test_what_is_one_group_is_not_cut_up():
    one = make(3, 400, planted=0)
    same = np.flatnonzero(one.way == 0)
    few = make(3, 400, planted=0)
    few.way, few.workday, few.weekend, few.mix = (each[same] for each in (one.way, one.workday, one.weekend, one.mix))
    assert len(learned(few).facts["sizes"]) <= 2


def test_changes_of_all_kinds_are_found_and_hardly_anything_else(fleet, found, week):
    scored = score(found, week)
    reported = set(np.flatnonzero(scored.score >= 99).tolist())
    assert len(reported & fleet.changed.keys()) >= 11
    assert len(reported - fleet.changed.keys()) <= 1
    assert set(fleet.changed.values()) == set(KINDS)


def test_a_week_like_others_has_hardly_an_anomaly(found):
    quiet = make(11, ENTITIES, planted=0)
    for first in (TRAINED, TRAINED + SPAN):
        assert (score(found, sums(quiet, [(first, first + SPAN)])).score >= 99).sum() <= 1


def test_why_says_what_has_changed(fleet, found, week):
    scored = score(found, week, parts=True)
    told = {kind: why(SIGNATURES, found, scored, row) for row, kind in fleet.changed.items()}
    assert told["silence"]["sentence"].startswith("Nothing in 7 days; about ")
    assert "times more." in told["more"]["sentence"]
    assert "times fewer." in told["less"]["sentence"]
    assert told["later"]["aspect"] == "shape"
    assert "Other hours: more " in told["later"]["sentence"]
    assert any("weekends" in each for aspect in told["weekend"]["aspects"] for each in aspect.get("more", []))
    assert told["mix"]["sentence"].startswith("Other destination: ")


def test_hours_of_a_whole_day_and_many_that_differ_by_little_are_told():
    def said(parts):
        deviation = SimpleNamespace(parts={"shape": np.array([parts])})
        scored = SimpleNamespace(aspects=["shape"], each=np.ones((1, 1)), deviation=deviation, group=np.zeros(1))
        return why(SIGNATURES, SimpleNamespace(group=np.zeros(1)), scored, 0)["sentence"]

    assert said([-3.0] * 24 + [2.0] * 24) == "Other hours: more weekends all day; less workdays all day."
    assert said([0.2, -0.4, *[0.1] * 46]) == "Other hours: less workdays 01:00–02:00."


def test_what_all_do_at_once_is_nobodys_anomaly(fleet, found, week):
    half = sums(fleet, [(TRAINED, TRAINED + SPAN)])
    half.counts = np.floor(half.counts / 2 + 0.5 * (np.indices(half.counts.shape).sum(axis=0) % 2))
    before, after = (score(found, each).score for each in (week, half))
    others = np.setdiff1d(np.arange(ENTITIES), list(fleet.changed))
    assert (after[others] >= 99).sum() <= 3
    silent = [row for row, kind in fleet.changed.items() if kind == "silence"]
    assert (before[silent] >= 99).all()
    assert (after[silent] >= 90).all()


def test_a_week_in_which_nobody_does_anything_is_nobodys_anomaly(found, week):
    nothing = week.take(np.full(ENTITIES, -1))
    assert (score(found, nothing).score >= 99).sum() == 0


def test_the_order_of_entities_does_not_matter(found, week):
    order = np.random.default_rng(2).permutation(ENTITIES)
    np.testing.assert_array_equal(score(found.take(order), week.take(order)).score, score(found, week).score[order])


def test_what_was_learned_is_the_same_once_it_was_stored(found, week):
    stored = from_chunks(json.loads(json.dumps(list(chunks(found)))))
    assert stored.names == found.names
    np.testing.assert_allclose(score(stored, week).score, score(found, week).score, atol=1e-3)
    np.testing.assert_array_equal(stored.group, found.group)


def test_a_score_says_how_many_as_far_out_are_expected_by_chance():
    for fleet in (FLEET, 20_000):
        one = np.log10(fleet)
        assert to_score(np.array([0.0, one, one + 1, one + 9]), fleet).tolist() == pytest.approx([
            30.0 if fleet == FLEET else 0.0, 90.0, 99.0, 100.0])  # fmt: skip
    assert to_score(np.array([5.0]), 3)[0] == to_score(np.array([5.0]), FLEET)[0]


def test_who_is_not_there_any_more_is_silent(found, week):
    rows = np.arange(ENTITIES)
    rows[7] = -1
    scored = score(found, week.take(rows))
    assert scored.deviation.actual[7] == 0
    assert scored.score[7] >= 90
