"""The retrain benchmark at a small size: every series is trained, compared with the snapshot before, and nothing stays behind."""

from __future__ import annotations

from driftline.bench.retrain import run


def test_every_series_is_trained_again_and_the_models_take_a_few_hundred_bytes_each(client, state):
    figures = run(client, series=12, points=200, freq="1h")
    assert (figures["series"], figures["trained"], figures["failed"], figures["promoted"]) == (12, 12, 0, True)
    parts = sum(figures[f"seconds_{name}"] for name in ("read", "gate", "fit", "backtest", "promote"))
    assert 0 < parts <= figures["seconds"]
    # of twelve series, each carries a twelfth of what is kept for all of them together
    assert 100 < figures["snapshot_bytes_per_partition"] < 1300
    assert not list(client.indices.get(index="bench-fleet-*", expand_wildcards="all").body)
    assert not [path for path in state.rglob("*") if path.name.startswith("bench-fleet-")]
