"""The injected access-log set: what the benchmark promises, on a small part of it."""

import numpy as np
import pytest

from driftline.bench.detect import run
from driftline.bench.injected import DAYS, KINDS, make


def test_the_set_is_the_same_for_the_same_seed_and_holds_each_kind():
    data = make(3, 20)
    np.testing.assert_array_equal(data.counts, make(3, 20).counts)
    assert data.counts.shape == (20, DAYS * 1440)
    assert set(data.kind) == set(KINDS)
    quiet = make(3, 20, anomalies=False)
    for row, kind in enumerate(data.kind):
        inside = slice(data.first[row], data.last[row])
        assert not np.array_equal(data.counts[row, inside], quiet.counts[row, inside]), kind
        if kind == "silence":
            assert not data.counts[row, inside].any()
    binned = data.binned(15)
    assert binned.counts.sum() == data.counts.sum()
    assert len(binned.times) == binned.counts.shape[1] == DAYS * 96


@pytest.mark.parametrize(("minutes", "models"), [(15, "daily"), (5, "daily"), (15, "weekly"), (5, "weekly")])
def test_most_anomalies_are_found_and_few_alarms_are_false(minutes, models):
    figures = run(partitions=100, minutes=minutes, seed=11, models=models)
    assert figures["recall"] >= 0.85
    assert figures["precision"] >= 0.95
    assert figures["false_alarms_a_week"] <= 0.025
    assert figures["level_shifts_in_a_day"] >= 0.75
    if models == "weekly":  # events alarm once; rows of `detect` again when it gets ten times more surprising
        assert figures["further_alarms"] <= 1
        for kind in ("spike_10", "constant", "drop", "silence"):
            assert abs(figures[f"late_{kind}"]) <= minutes, "what is over is over"
    for kind in ("spike_10", "constant", "flatline", "silence"):
        assert figures[f"recall_{kind}"] == 1.0
    assert (figures["by_second_spike_10"], figures["by_second_constant"]) == (1.0, 1.0)


def test_at_a_minute_all_large_spikes_are_told_by_their_second_bucket():
    figures = run(partitions=100, minutes=1, seed=11, models="weekly")
    assert figures["recall"] >= 0.85
    assert figures["precision"] >= 0.95
    assert figures["false_alarms_a_week"] <= 0.025
    assert (figures["by_second_spike_10"], figures["by_second_constant"]) == (1.0, 1.0)
