from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftline.core.job import Job
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.pipeline.read import _limited


@pytest.mark.parametrize(("most", "kept"), [(1, "c"), (2, "bc"), (3, "bcd"), (4, "abcd"), (9, "abcd")])
def test_the_largest_partitions_are_kept_and_the_others_named(most, kept):
    values = np.array([[1.0, 0, 0], [-4, -4, np.nan], [9, 9, 9], [np.nan, 3, 3]])
    keys = [SeriesKey(0, name) for name in "abcd"]
    frame = SeriesFrame(datetime(2026, 3, 1, tzinfo=UTC), timedelta(hours=1), keys, values, np.ones(3, dtype=np.int64))
    detector = {"function": "mean", "field_name": "x", "partition_field_name": "p"}
    feed, training = {"indices": ["i"]}, {"max_partitions": most}
    job = Job.parse({"job_id": "limit", "detectors": [detector], "datafeed": feed, "training": training}, where="t")
    found = _limited(frame, job)
    assert "".join(key.label() for key in found.keys) == kept
    np.testing.assert_array_equal(found.values, values[["abcd".index(name) for name in kept]])
    left = sorted(set("abcd") - set(kept))
    assert [note.endswith(": " + ", ".join(left)) for note in found.notes] == ([True] if left else [])
