"""Nightly jobs: what their benchmark promises, on a small part of it."""

import numpy as np

from driftline.bench.habits import AT, DAY, MISSED_DAY, RUNS, make, run


def test_the_runs_are_where_they_are_said_to_be():
    length, begins = RUNS["each_night"]
    counts = make(begins, 2, 5, np.random.default_rng(1), length).reshape(2, -1, DAY // 5)
    nights = counts[:, :, AT // 5]
    assert (np.delete(nights[1], MISSED_DAY) > 250).all()
    assert (nights[0] > 250).all()
    assert nights[1, MISSED_DAY] < 200
    length, begins = RUNS["office_hours"]
    days = make(begins, 2, 60, np.random.default_rng(1), length).reshape(2, -1, 24)
    workdays = np.flatnonzero(np.arange(days.shape[1]) % 7 < 5)
    assert (days[0, workdays][:, 9:17] > 2000).all()
    assert (days[1, [MISSED_DAY, 5, 6]][:, 9:17] < 1200).all()


def test_jobs_hide_nothing_raise_no_alarms_and_are_missed():
    figures = run(series=8, minutes=60, seed=5)["habits"]
    for name, found in figures.items():
        assert found["false_alarms_a_week"] <= 0.15, "two of eight series in two weeks"
        # of office hours a day may come to two thirds of what it mostly does, and four times as much in an hour of it is less
        assert found["spikes"] >= (0.75 if name == "office_hours" else 1.0)
    assert figures["none"]["missed"] == 0.0
    for name in ("each_night", "each_hour", "three_hours", "office_hours"):
        assert figures[name]["missed"] == 1.0
