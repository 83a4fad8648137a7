"""The benchmarks of detectors that compare, at a small size: what was planted is found, and nothing stays behind."""

from __future__ import annotations

from driftline.bench.compared import population, rare


def test_one_member_of_many_is_found(client):
    figures = population(client, members=300, active=0.5)
    assert figures["found"]
    assert figures["cells"] == 300 * 48
    assert not list(client.indices.get(index="bench-compared-*", expand_wildcards="all").body)


def test_one_new_value_is_found(client):
    figures = rare(client, rows=200_000)
    assert figures["found"]
    assert figures["seconds"] > 0
