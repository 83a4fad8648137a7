"""Annotations: what people say of a stretch of time has Elastic's fields, and the same again changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from driftline.core.errors import DataError
from driftline.core.job import Job
from driftline.core.series import SeriesKey
from driftline.core.timespan import Window
from driftline.elastic import annotations
from driftline.pipeline.jobs import reset

NINE = datetime(2026, 3, 18, 9, tzinfo=UTC)
HOUR = Window(NINE, NINE + timedelta(hours=1))


@pytest.fixture
def job(client, prefix):
    split = {"function": "count", "partition_field_name": "path"}
    made = {"job_id": f"{prefix}noted", "detectors": [{"function": "count"}, split], "datafeed": {"indices": "web"}}
    yield Job.parse(made, where="test")
    reset(client, made["job_id"])


def test_a_users_annotation_has_elastics_fields(client, job):
    id_ = annotations.add(client, job, HOUR, "release 42", by="ann", key=SeriesKey(1, "/checkout"))
    (found,) = annotations.of_job(client, job.job_id)
    now = found.pop("create_time")
    assert found.pop("modified_time") == now
    assert found == {
        "_id": id_,
        "job_id": job.job_id,
        "type": "annotation",
        "event": "user",
        "annotation": "release 42",
        "timestamp": int(HOUR.start.timestamp() * 1000),
        "end_timestamp": int(HOUR.end.timestamp() * 1000),
        "detector_index": 1,
        "partition_field_name": "path",
        "partition_field_value": "/checkout",
        "create_username": "ann",
        "modified_username": "ann",
    }


def test_the_same_again_changes_nothing_and_others_stand_beside_it(client, job):
    first = annotations.add(client, job, HOUR, "release 42", by="ann")
    (before,) = annotations.of_job(client, job.job_id)
    assert annotations.add(client, job, HOUR, "release 42", by="bob") == first
    assert annotations.of_job(client, job.job_id) == [before]
    annotations.add(client, job, HOUR, "release 43", by="bob")
    annotations.add(client, job, HOUR, "release 42", by="bob", key=SeriesKey(1, "/a"))
    annotations.add(client, job, HOUR, "release 42", by="bob", key=SeriesKey(1, "/b"))
    assert len(annotations.of_job(client, job.job_id)) == 4
    assert annotations.delete(client, job.job_id, [first]) == 1
    assert first not in {each["_id"] for each in annotations.of_job(client, job.job_id)}


def test_an_event_that_is_told_anew_keeps_when_it_was_told_first(client, job):
    for text in ("two documents came late", "three documents came late"):
        annotations.annotate(client, job.job_id, HOUR, text, event=annotations.DELAYED)
    (found,) = annotations.of_job(client, job.job_id)
    assert found["annotation"] == "three documents came late"
    assert found["create_time"] <= found["modified_time"]


def test_what_makes_no_annotation_is_refused(client, job):
    with pytest.raises(DataError, match="the text has 0 characters"):
        annotations.add(client, job, HOUR, "", by="ann")
    with pytest.raises(DataError, match="there is no detector 7"):
        annotations.add(client, job, HOUR, "x", by="ann", key=SeriesKey(7))
    with pytest.raises(DataError, match="has no partition_field_name"):
        annotations.add(client, job, HOUR, "x", by="ann", key=SeriesKey(0, "/a"))
    mine = annotations.add(client, job, HOUR, "x", by="ann")
    with pytest.raises(DataError, match="no annotation 'nothing'"):
        annotations.delete(client, job.job_id, [mine, "nothing"])
    with pytest.raises(DataError, match="no annotation"):
        annotations.delete(client, "another-job", [mine])
    assert len(annotations.of_job(client, job.job_id)) == 1
