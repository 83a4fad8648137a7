"""Snapshots on a real Elasticsearch: visible as a whole or not at all, and read in parts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from driftline.core.errors import SnapshotError
from driftline.core.job import Job
from driftline.core.series import SeriesKey
from driftline.elastic import bulk, snapshots
from driftline.elastic.annotations import of_job
from driftline.elastic.indices import MODELS
from driftline.pipeline.jobs import reset
from driftline.pipeline.maintain import prune

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
    with pytest.raises(SnapshotError, match="3 chunks are missing") as told:
        values(client, before)
    assert told.value.retry, "what begins anew finds the other"


LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def make(client, prefix):
    """Definitions of one job that differ in their version."""

    def job(**changes):
        data = {"job_id": f"{prefix}job", "detectors": [{"function": "count"}], "datafeed": {"indices": "web"}, **changes}
        return Job.parse(data, where="test")

    yield job
    reset(client, f"{prefix}job")


def promoted(client, job, day, **said):
    end = END + timedelta(days=day)
    manifest = snapshots.new_manifest(job.job_id, job.version, end - timedelta(days=14), end)
    detail = {"valid": [{"from": manifest["training_end"]}], "ranges": []}
    snapshots.write(client, {**manifest, "state": "promoted", "description": "first", "detail": detail}, encode())
    if said:
        snapshots.update(client, job.job_id, manifest["snapshot_id"], **said)
    return manifest["snapshot_id"]


def left(client, job):
    return {manifest["snapshot_id"] for manifest in snapshots.manifests(client, job.job_id)}


def test_what_is_retained_stays_and_each_version_keeps_its_own(client, make):
    job, former = make(), make(bucket_span="1h")
    mine = [promoted(client, job, day) for day in range(5)]
    theirs = [promoted(client, former, day) for day in range(10, 13)]
    snapshots.update(client, job.job_id, mine[0], retain=True)
    assert prune(client, job, 2, superseded=LONG_AGO) == 3
    assert left(client, job) == {mine[0], *mine[3:], *theirs[1:]}
    snapshots.update(client, job.job_id, theirs[2], retain=True)
    prune(client, job, 2, superseded=datetime.now(UTC) + timedelta(days=1))
    assert left(client, job) == {mine[0], *mine[3:], theirs[2]}, "a former version's go after a year"
    snapshots.update(client, job.job_id, mine[0], retain=False)
    prune(client, job, 2, superseded=LONG_AGO)
    assert mine[0] not in left(client, job)


def test_snapshots_are_kept_for_as_many_days_as_the_job_says(client, make):
    job = make(model_snapshot_retention_days=10)
    assert job.version == make().version
    made = [promoted(client, job, day) for day in (0, 5, 12, 14, 15)]
    assert prune(client, job, 1, superseded=LONG_AGO) == 1
    assert left(client, job) == set(made[1:])
    snapshots.revert(client, job.job_id, made[1], END + timedelta(days=20))
    assert prune(client, make(model_snapshot_retention_days=0), 1, superseded=LONG_AGO) == 2
    assert left(client, job) == {made[1], made[4]}, "that in force stays, however old"


def test_what_was_said_of_a_snapshot_stays_when_it_is_trained_again(client, make):
    job = make()
    name = promoted(client, job, 0, description="before the move", retain=True)
    promoted(client, job, 0)
    (manifest,) = snapshots.manifests(client, job.job_id)
    assert (manifest["snapshot_id"], manifest["description"], manifest["retain"]) == (name, "before the move", True)
    assert manifest["detail"]["bytes"] == sum(map(len, encode()))
    with pytest.raises(SnapshotError, match="no snapshot 'nothing'"):
        snapshots.update(client, job.job_id, "nothing", retain=True)


def test_a_revert_is_noted_and_leaves_other_versions_alone(client, make):
    job, former = make(), make(bucket_span="1h")
    old, new = promoted(client, job, 0), promoted(client, job, 7)
    theirs = promoted(client, former, 7)
    before = {m["snapshot_id"]: m["detail"]["valid"] for m in snapshots.manifests(client, job.job_id)}[theirs]
    for _ in range(2):
        snapshots.revert(client, job.job_id, old, END + timedelta(days=3))
    found = {m["snapshot_id"]: m for m in snapshots.manifests(client, job.job_id)}
    assert found[theirs]["detail"]["valid"] == before
    assert snapshots.in_force(list(found.values()), job.version) is found[old]
    assert found[new]["detail"]["valid"] == []
    (noted,) = of_job(client, job.job_id)
    assert noted["event"] == "model_change"
    assert old in noted["annotation"]
    assert noted["timestamp"] == int((END + timedelta(days=3)).timestamp() * 1000)
