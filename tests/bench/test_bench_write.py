"""The write benchmark at a small size: every document is written, and nothing stays behind."""

from __future__ import annotations

from driftline.bench.write import run


def test_each_way_writes_all_documents_and_leaves_nothing_behind(client):
    before = set(client.indices.get(index="driftline-results-*").body)
    figures = run(client, series=30, points=24, freq="1h")
    assert figures["documents"] == 30 * 24
    assert figures["seconds_raw"] == min(figures[f"seconds_{way}"] for way in ("client", "helper", "parallel"))
    assert min(figures["seconds_write"], figures["write_ratio"], figures["docs_per_second"]) > 0
    assert set(client.indices.get(index="driftline-results-*").body) == before
