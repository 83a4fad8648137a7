"""Nightly jobs: what their benchmark promises, on a small part of it."""

import numpy as np

from driftline.bench.habits import AT, DAY, MISSED_DAY, RUNS, make, run


def test_the_runs_are_where_they_are_said_to_be():
    counts = make(RUNS["each_night"], 2, 5, np.random.default_rng(1)).reshape(2, -1, DAY // 5)
    nights = counts[:, :, AT // 5]
    assert (np.delete(nights, MISSED_DAY, axis=1) > 250).all()
    assert (nights[:, MISSED_DAY] < 200).all()


def test_jobs_hide_nothing_raise_no_alarms_and_are_missed():
    figures = run(series=3, minutes=60, seed=5)["habits"]
    for found in figures.values():
        assert found["false_alarms_a_week"] <= 0.15, "one of three series in two weeks"
        assert found["spikes"] == 1.0
    assert figures["none"]["missed"] == 0.0
    for name in ("each_night", "each_hour"):
        assert figures[name]["missed"] == 1.0
