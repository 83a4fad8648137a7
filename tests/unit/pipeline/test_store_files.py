"""The files of the series store: what is damaged is seen, what was superseded goes."""

import random
from datetime import UTC, datetime, timedelta

import fsspec
import numpy as np
import pytest

from driftline.core.errors import DataError
from driftline.core.paths import staging_uri
from driftline.elastic.read import Cells
from driftline.pipeline.maintain import sweep
from driftline.pipeline.store import MANIFEST, PARTS, _Day, _Part

NOW = datetime.now(UTC)


def cells(first, last, value=1.0, series=5):
    """One cell for each of some series in each bucket, which is an interval."""
    row, bucket = (array.ravel() for array in np.meshgrid(np.arange(series, dtype=np.int32), np.arange(first, last)))
    docs = np.ones(len(row), dtype=np.int64)
    keys = [(f"p{number}", "", "") for number in range(series)]
    return Cells(keys, row, bucket, docs, {"m0": value * docs}, list(range(first, last)))


def marks_of(first, last, written=1.0):
    return {interval: (5, written, "index") for interval in range(first, last)}


def day():
    return _Day.load(staging_uri("store", "hash", "1970-01-01"))


def names():
    filesystem, root = fsspec.core.url_to_fs(staging_uri())
    return {path.rpartition("/")[2] for path in filesystem.find(root)}


def content(marks):
    found = [part.cells() for part in day().parts(marks, 1)]
    return sorted((int(b), int(r), v) for one in found for b, r, v in zip(one.bucket, one.row, one.values["m0"], strict=True))


def test_a_changed_bit_anywhere_is_seen(state):
    day().add(cells(0, 24), marks_of(0, 24), 1)
    [part] = day().parts(marks_of(0, 24), 1)
    with fsspec.open(part.uri, "rb") as file:
        good = file.read()
    for place in random.Random(0).choices(range(len(good)), k=150):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        with fsspec.open(part.uri, "wb") as file:
            file.write(bad)
        with pytest.raises(DataError, match="damaged"):
            _Part(part.uri, part.intervals, 1).cells()


def test_what_is_read_again_replaces_what_was_there(state):
    day().add(cells(0, 24), marks_of(0, 24), 1)
    day().add(cells(5, 7, 2.0), marks_of(5, 7, 2.0), 1)
    now = marks_of(0, 24) | marks_of(5, 7, 2.0)
    assert content(now) == [(b, r, 2.0 if 5 <= b < 7 else 1.0) for b in range(24) for r in range(5)]
    assert content(marks_of(0, 24)) == [(b, r, 1.0) for b in range(24) if not 5 <= b < 7 for r in range(5)]


def test_files_that_are_made_one_vouch_for_no_more_than_they_did(state):
    for interval in range(PARTS):
        day().add(cells(interval, interval + 1), marks_of(interval, interval + 1), 1)
    changed = marks_of(0, PARTS + 1, 2.0)  # since, all were written anew, but only the last is read
    day().add(cells(PARTS, PARTS + 1), changed, 1)
    assert len(day().files) == 1
    assert {bucket for bucket, *_ in content(changed)} == {PARTS}
    assert {bucket for bucket, *_ in content(marks_of(0, PARTS))} == set(range(PARTS))


def test_superseded_files_go_after_days_and_the_others_after_months(state):
    day().add(cells(0, 24), marks_of(0, 24), 1)
    day().add(cells(0, 24, 2.0), marks_of(0, 24, 2.0), 1)
    assert len(names()) == 3
    ages = {"reports": NOW - timedelta(days=366), "store": NOW - timedelta(days=90)}
    assert sweep(NOW - timedelta(days=2), **ages) == 0
    assert sweep(NOW + timedelta(days=1), **ages) == 1
    assert names() == {MANIFEST, *day().files}
    assert len(content(marks_of(0, 24, 2.0))) == 120
    assert sweep(NOW + timedelta(days=1), **(ages | {"store": NOW + timedelta(days=1)})) == 2
    assert not names()
