"""Noise by the hour: what its benchmark promises, on a small part of it."""

import numpy as np

from driftline.bench.hours import NOISE, make, run


def test_readings_are_as_noisy_as_it_is_said():
    values, noise = make(NOISE["an_hour"], 4, 15, np.random.default_rng(1))
    left = values - np.median(values.reshape(4, 42, 96), axis=1).repeat(42, axis=0).reshape(4, -1)
    assert np.std(left[:, noise > 1]) > 4 * np.median(np.abs(left[:, noise == 1]))
    again, _ = make(NOISE["an_hour"], 4, 15, np.random.default_rng(1))
    np.testing.assert_array_equal(values, again)


def test_what_comes_is_told_when_it_is_quiet_and_when_it_is_loud():
    for kind, told in run(series=6, minutes=15, seed=3)["noise"].items():
        assert told["quiet"] == 1, kind
        assert told["loud"] >= 2 / 3, kind
        assert told["false_alarms_a_week"] <= 0.15, kind
        assert 0.92 < told["bounds_quiet"] < 0.98, kind
        assert 0.82 < told.get("bounds_loud", 0.95) < 0.98, kind
        assert 0.92 < told["early_bounds_quiet"] < 0.98, kind
        # an hour that is unlike those around it is known from seven days on
        assert kind == "an_hour" or 0.75 < told.get("early_bounds_loud", 0.95) < 0.98, kind
