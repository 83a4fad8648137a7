"""The score benchmark at a small size: all series are scored, and nothing stays behind."""

from __future__ import annotations

from driftline.bench.score import run


def test_every_new_bucket_of_every_series_is_scored(client, state):
    figures = run(client, series=12, points=200, freq="1h", new=6)
    assert (figures["series"], figures["points"], figures["buckets"]) == (12, 200, 12 * 6)
    parts = sum(figures[f"seconds_{name}"] for name in ("read", "gate", "score", "write"))
    assert 0 < parts <= figures["seconds"]
    assert figures["written"] >= figures["records"] >= 0
    assert not list(client.indices.get(index="bench-fleet-*", expand_wildcards="all").body)
    assert not [path for path in state.rglob("*") if path.name.startswith("bench-fleet-")]
