"""Averages of documents: what their benchmark promises, on a small part of it."""

import numpy as np

from driftline.bench.averages import DRAWS, make, run


def test_averages_are_of_the_documents_that_are_counted():
    values, sizes = make(DRAWS["normal"], 3, 60, np.random.default_rng(2), together=False)
    np.testing.assert_array_equal(np.isnan(values), sizes == 0)
    there = sizes > 30
    assert abs(values[there] - 50).max() < 6 * 15 / 30**0.5 + 0.5 * 50, "with those that are half as large again"
    again, _ = make(DRAWS["normal"], 3, 60, np.random.default_rng(2), together=False)
    np.testing.assert_array_equal(values, again)


def test_few_alarms_are_false_and_bounds_hold_day_and_night():
    figures = run(series=8, minutes=60, seed=5)
    kinds = figures["averages"]
    for name, ways in kinds.items():
        told, alike = ways["by_number"], ways["alike"]
        assert told["false_alarms_a_week"] <= (0.2 if name == "pareto" else 0.05)
        assert told["recall"] >= alike["recall"] - 0.1
        assert 0.86 < told["bounds_by_day"] < 0.98
        assert 0.86 < told["bounds_by_night"] < 0.98
        # which knows the noise of each hour at best
        assert told["bounds_by_night"] > alike["bounds_by_night"]
    assert np.mean([ways["alike"]["false_alarms_a_week"] for ways in kinds.values()]) > 0.05
    for name, ways in figures["sums"].items():
        told, alike = ways["as_sums"], ways["alike"]
        assert told["false_alarms_a_week"] <= (0.2 if name == "pareto" else 0.1)
        assert told["outages"] >= alike["outages"]
        assert 0.86 < told["bounds_by_day"] < 0.98
        assert 0.86 < told["bounds_by_night"] < 0.98
        # hours have a noise of their own, but of a few weeks that is less than what a law of all values tells
        assert alike["bounds_by_day"] < told["bounds_by_day"]
        # by night it shows in each kind but the smoothest, of which eight series are few …
        assert name == "two_kinds" or alike["bounds_by_night"] > told["bounds_by_night"]
    # … and in all of them together
    nights = [[ways[how]["bounds_by_night"] for ways in figures["sums"].values()] for how in ("alike", "as_sums")]
    assert np.mean(nights[0]) > np.mean(nights[1]) + 0.01
