"""Snapshots on a real Elasticsearch: visible as a whole or not at all, and read in parts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from driftline.core.errors import SnapshotError
from driftline.core.series import SeriesKey
from driftline.elastic import bulk, snapshots
from driftline.elastic.indices import MODELS

END = datetime(2026, 3, 15, tzinfo=UTC)
CHUNKS = [["/a", "/b"], ["/c", "/d"], ["/e", ""]]


def keys_of(chunk):
    return [SeriesKey(0, value, None) for value in chunk]


def describe(job_id, chunks=CHUNKS):
    manifest = snapshots.new_manifest(job_id, "v1", END - timedelta(days=14), END)
    return manifest | {"detail": {"valid": [], "ranges": [snapshots.key_range(keys_of(chunk)) for chunk in chunks]}}


def encode(chunks=CHUNKS):
    return (orjson.dumps({"keys": keys, "more": "numbers"}) for keys in (list(map(list, keys_of(chunk))) for chunk in chunks))


def values(client, manifest, **options):
    return [key[1] for chunk in snapshots.chunks(client, manifest, **options) for key in chunk["keys"]]


def stored(client, job_id):
    client.indices.refresh(index=MODELS)
    return client.count(index=MODELS, query={"term": {"job_id": job_id}})["count"]


@pytest.fixture
def job_id(client, prefix):
    yield f"{prefix}job"
    snapshots.delete(client, f"{prefix}job")


def test_a_snapshot_comes_back_whole_or_in_part(client, job_id):
    snapshots.write(client, describe(job_id), encode())
    (manifest,) = snapshots.manifests(client, job_id)
    assert values(client, manifest) == ["/a", "/b", "/c", "/d", "/e", ""]
    assert values(client, manifest, keys=keys_of(["/b", "/bb"])) == ["/a", "/b", "/e", ""], "'' to /e spans all of them"
    assert values(client, manifest, keys=keys_of(["/x"])) == []
    assert values(client, manifest, keys=[]) == []
    assert list(snapshots.chunks(client, manifest, fields=["more"])) == [{"more": "numbers"}] * 3


def test_a_snapshot_that_was_not_finished_is_not_there_and_its_remains_are_removed(client, job_id, monkeypatch):
    monkeypatch.setattr(bulk, "CHUNK_BYTES", 1)

    def half():
        yield next(encode())
        raise ValueError("killed")

    with pytest.raises(ValueError, match="killed"):
        snapshots.write(client, describe(job_id), half())
    assert snapshots.manifests(client, job_id) == []
    assert stored(client, job_id) == 1
    snapshots.write(client, describe(job_id), encode())
    assert snapshots.delete(client, job_id) == 1
    assert stored(client, job_id) == 0


def test_while_it_is_written_again_a_snapshot_is_the_old_one_and_then_the_new_one(client, job_id):
    snapshots.write(client, describe(job_id), encode())
    (before,) = snapshots.manifests(client, job_id)

    def watched():
        yield next(encode([["/new"]]))
        assert values(client, before) == ["/a", "/b", "/c", "/d", "/e", ""]

    snapshots.write(client, describe(job_id, [["/new"]]), watched())
    (after,) = snapshots.manifests(client, job_id)
    assert values(client, after) == ["/new"]
    assert stored(client, job_id) == 1
    with pytest.raises(SnapshotError, match="3 chunks are missing"):
        values(client, before)
