"""Series that are a few days old: what their benchmark promises, on a small part of it."""

from driftline.bench.early import run


def test_what_comes_is_told_from_the_fifth_day_on_and_nothing_clean_alarms():
    found = run(series=4, minutes=60, seed=3)["days"]
    for kind, told in found.items():
        assert told["drops"] >= 0.8, kind
        assert max(told["false_alarms"]) <= 0.1, kind
    assert sum(told["spikes"] for told in found.values()) >= 3.5
