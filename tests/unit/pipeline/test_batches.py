from itertools import pairwise

import pytest

from driftline.pipeline.read import BATCH, BATCH_BY_PROPHET, BATCH_VALUES, batches


def handle(series, buckets=672, **more):
    return {"uri": "x", "series": series, "buckets": buckets, **more}


@pytest.mark.parametrize("series", [0, 1, 499, 20_000, 20_001, 100_000])
@pytest.mark.parametrize("buckets", [1, 672, 4033, 10**9])
@pytest.mark.parametrize("more", [{}, {"engine": "prophet"}])
def test_batches_hold_every_series_once_and_are_no_larger_than_asked(series, buckets, more):
    found = batches(handle(series, buckets, **more))
    assert found[0]["first"] == 0
    assert found[-1]["last"] == series
    assert all(one["last"] == two["first"] for one, two in pairwise(found))
    sizes = [batch["last"] - batch["first"] for batch in found]
    most = max(1, min(BATCH, BATCH_VALUES // buckets, BATCH_BY_PROPHET if more else BATCH))
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert len(found) == max(1, -(-series // most))


def test_an_ordinary_fleet_is_one_batch():
    assert len(batches(handle(20_000))) == 1
    assert len(batches(handle(20_000, engine="prophet"))) == 40
    assert len(batches(handle(10), 3)) == 4
