"""The access-log benchmark at a small size: every line that was written is in the index, and nothing of it stays behind."""

from __future__ import annotations

import pytest

from driftline.bench.hits import run, write_logs
from driftline.core.paths import state_dir

FIGURES = {
    "hits", "weeks", "documents", "quarantined", "records", "rows_per_second", "seconds", "seconds_generate", "seconds_ingest",
    "seconds_train", "seconds_score", "seconds_forecast", "cpu_seconds", "rss_mb",
}  # fmt: skip


@pytest.mark.parametrize("hits", [500, 4_321])
def test_as_many_lines_are_written_as_were_asked_for_one_file_a_day_and_the_same_again(tmp_path, hits):
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write_logs(folder, hits, 1, seed=1)
    first, again = ([file.read_bytes() for file in sorted((tmp_path / name).iterdir())] for name in "ab")
    assert first == again
    assert len(first) == 7
    assert all(first)
    assert sum(content.count(b"\n") for content in first) == hits


def test_every_hit_is_a_document_and_the_pipeline_finds_what_was_injected(client):
    before = _documents(client)
    figures = run(client, hits=60_000, weeks=3)
    assert set(figures) == FIGURES
    assert (figures["hits"], figures["documents"], figures["quarantined"]) == (60_000, 60_000, 0)
    assert figures["records"] > 0
    assert not list(client.indices.get(index="bench-hits-*", expand_wildcards="all").body)
    assert _documents(client) == before
    assert not [path for path in state_dir().rglob("*") if path.name.startswith("bench-")]


def _documents(client) -> int:
    client.indices.refresh(index="driftline-*")
    query = {"bool": {"should": [{"prefix": {name: "bench-hits-"}} for name in ("source_id", "job_id", "index")]}}
    return client.count(index="driftline-*", query=query)["count"]
