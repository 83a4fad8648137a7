"""The benchmark of the explorer at a small size: the results are there while it measures, and gone afterwards."""

from __future__ import annotations

from driftline.bench.explorer import START, run


def test_results_are_filled_asked_for_and_removed(client):
    figures = run(client, partitions=200, days=3, documents=3000)
    assert 2900 < figures["documents"] < 3400
    assert min(seconds for name, seconds in figures.items() if name != "documents") > 0
    assert not list(client.indices.get(index=f"driftline-results-{START.year}.*").body)
