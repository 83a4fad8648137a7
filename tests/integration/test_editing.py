"""A job that is edited: the new version trains itself and scores again what the former one covered; both stay apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftline.core.errors import DefinitionError, SnapshotError
from driftline.core.job import Job
from driftline.core.timespan import Window
from driftline.elastic import results, snapshots, state
from driftline.elastic.annotations import of_job
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.indices import RESULTS
from driftline.pipeline import versions
from driftline.pipeline.jobs import reset
from driftline.pipeline.score import score

START, HOUR, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(hours=1), timedelta(days=1)
DAYS = 21
SPLIT = [{"function": "count", "partition_field_name": "path"}]
ALL = [{"function": "count"}]


@pytest.fixture(scope="module")
def index(client, module_prefix):
    """Three weeks of hourly counts of two paths; /a has a tenfold hour on day 12, all fail for three hours on day 18."""
    name, hours = f"{module_prefix}edited", np.arange(DAYS * 24)
    properties = {"@timestamp": {"type": "date"}, "path": {"type": "keyword"}}
    client.indices.create(index=name, mappings={"properties": properties})
    rng = np.random.default_rng(5)
    rows = []
    for path in ("/a", "/b"):
        counts = rng.poisson(30 * (1 + 0.4 * np.sin(2 * np.pi * hours / 24)))
        counts[18 * 24 + 9 : 18 * 24 + 12] = 1
        counts[12 * 24 + 9] *= 10 if path == "/a" else 1
        rows += [(START + int(h) * HOUR, path) for h, n in zip(hours, counts, strict=True) for _ in range(n)]
    bulk(client, (index_action(name, None, {"@timestamp": int(t.timestamp() * 1000), "path": path}) for t, path in rows))
    client.indices.refresh(index=name)
    return name


@pytest.fixture
def make(client, prefix, index):
    """Definitions of one job over it."""
    made = []

    def job(name="job", **changes):
        data = {
            "job_id": f"{prefix}{name}",
            "bucket_span": "1h",
            "detectors": SPLIT,
            "datafeed": {"indices": [index], "on_request": True},
            "training": {"window": "14d", "min_history": "7d"},
            **changes,
        }
        made.append(data["job_id"])
        return Job.parse(data, where="test")

    yield job
    for job_id in set(made):
        reset(client, job_id)


def stored(client, job, version=None):
    """All results, by id."""
    clauses = [{"term": {"job_id": job.job_id}}, *([{"term": {"driftline.job_version": version}}] if version else [])]
    client.indices.refresh(index=f"{RESULTS}-*", allow_no_indices=True)
    return {hit["_id"]: hit["_source"] for hit in results.scan(client, {"bool": {"filter": clauses}})}


def told(documents):
    """What results say, without whose they are."""
    out = []
    for document in documents.values():
        lineage = {k: v for k, v in document["driftline"].items() if k not in ("job_version", "snapshot_id", "key")}
        if event := lineage.get("event"):
            lineage["event"] = event | {"member_of": "member_of" in event}  # ids go by the job
        out.append(repr(sorted({**document, "job_id": "", "driftline": sorted(lineage.items(), key=str)}.items(), key=str)))
    return sorted(out)


def test_an_edited_job_trains_itself_and_scores_again_what_the_former_version_covered(client, make):
    before, after = make(), make(detectors=ALL)
    first = score(client, before, window=Window(START + 8 * DAY, START + 20 * DAY))
    old = stored(client, before)
    assert first["records"] > 0
    assert versions.pending(client, after).endswith("from 2026-03-09T00:00:00Z on")
    outcome = score(client, after)
    assert (outcome["start"], outcome["end"]) == ("2026-03-09T00:00:00Z", "2026-03-21T23:00:00Z")
    assert {m["job_version"] for m in snapshots.manifests(client, after.job_id)} == {before.version, after.version}
    assert stored(client, after, before.version) == old, "the former version's results stay as they were"
    new = stored(client, after, after.version)
    assert {d["function"] for d in new.values() if d["result_type"] == "record"} == {"count"}
    assert not any("partition_field_value" in d for d in new.values() if d["result_type"] == "record")
    # the same as a job that has this definition from the beginning
    fresh = make("fresh", detectors=ALL)
    score(client, fresh, window=Window.parse(outcome["start"], outcome["end"]))
    assert told(new) == told(stored(client, fresh))
    # a second run changes nothing
    again = score(client, after)
    assert again["notes"] == ["nothing new to score"]
    assert stored(client, after, after.version) == new
    assert versions.pending(client, after) is None
    (noted,) = [each for each in of_job(client, after.job_id) if each["event"] == "model_change"]
    assert noted["annotation"] == (f"The job was changed (detectors): version {before.version} gave way to {after.version}.")
    assert noted["timestamp"] == int((START + 20 * DAY).timestamp() * 1000)


def test_no_more_is_scored_again_than_a_training_window_and_nothing_older_than_the_data(client, make):
    state.advance(client, make(), Window(START - 5 * DAY, START + 20 * DAY))
    short = make(training={"window": "5d", "min_history": "3d"})
    assert versions.owed(client, short) == START + 15 * DAY
    long = make(training={"window": "60d", "min_history": "3d"})
    assert versions.owed(client, long) == START
    state.advance(client, long, Window(START, START + 10 * DAY))
    assert versions.owed(client, long) is None, "there are no older data that it could owe"


def test_a_change_of_words_checks_and_schedules_owes_nothing(client, make):
    job = make()
    score(client, job, window=Window(START + 14 * DAY, START + 15 * DAY))
    words = make(
        description="other words",
        groups=["web"],
        quality={"freshness": "pass"},
        forecast={"duration": "1d"},
        training={"window": "14d", "min_history": "7d", "schedule": "0 4 * * *"},
        model_snapshot_retention_days=5,
    )
    assert words.version == job.version
    assert versions.owed(client, words) is None
    assert score(client, words)["start"] == "2026-03-16T00:00:00Z"


def test_what_was_scored_by_hand_after_an_edit_does_not_make_good_for_the_rest(client, make):
    before, after = make(), make(bucket_span="2h")
    score(client, before, window=Window(START + 14 * DAY, START + 18 * DAY))
    score(client, after, window=Window(START + 17 * DAY, START + 18 * DAY))
    assert score(client, after)["start"] == "2026-03-15T00:00:00Z"
    assert state.progress(client, after).window == Window(START + 14 * DAY, START + 20 * DAY + 22 * HOUR)


def test_a_definition_that_is_put_back_goes_on_where_it_stopped(client, make):
    before, after = make(), make(detectors=ALL)
    score(client, before, window=Window(START + 14 * DAY, START + 16 * DAY))
    score(client, after, window=Window(START + 14 * DAY, START + 18 * DAY))
    outcome = score(client, before)
    assert outcome["start"] == "2026-03-17T00:00:00Z"
    noted = [each["annotation"] for each in of_job(client, before.job_id) if each["event"] == "model_change"]
    assert [text.split("version ")[1].split()[0] for text in noted] == [before.version, after.version]


def test_versions_are_listed_and_one_can_be_removed(client, make):
    before, after = make(), make(detectors=ALL, influencers=["path"])
    score(client, before, window=Window(START + 14 * DAY, START + 20 * DAY))
    score(client, after)
    current, former = versions.listed(client, after)
    assert (current["version"], current["current"], former["version"]) == (after.version, True, before.version)
    assert (former["scored_from"], former["scored_until"]) == ("2026-03-15T00:00:00Z", "2026-03-21T00:00:00Z")
    assert former["changed"] == ["detectors", "influencers"]
    assert former["results"] == len(stored(client, after, before.version))
    assert former["records"] > 0
    assert versions.find(client, after, before.version[:8]) == before.version
    with pytest.raises(DefinitionError, match="there is no version 'nothing'"):
        versions.find(client, after, "nothing")
    removed = reset(client, after.job_id, before.version)
    assert removed["results"] == former["results"]
    assert removed["snapshots"] == former["snapshots"]
    assert [each["version"] for each in versions.listed(client, after)] == [after.version]
    assert versions.owed(client, after) is None
    assert len(stored(client, after)) == current["results"]


def test_a_snapshot_of_another_version_is_not_put_in_force(client, make):
    before, after = make(), make(detectors=ALL)
    score(client, before, window=Window(START + 14 * DAY, START + 15 * DAY))
    old = snapshots.manifests(client, before.job_id)[0]
    score(client, after, window=Window(START + 14 * DAY, START + 15 * DAY))
    with pytest.raises(SnapshotError, match="is of version"):
        snapshots.revert(client, after.job_id, old["snapshot_id"], START + 14 * DAY, version=after.version)
