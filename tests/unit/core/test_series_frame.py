from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftline.core.errors import DataError
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.timespan import Window

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def frame(keys=3, buckets=5):
    values = np.arange(keys * buckets, dtype=float).reshape(keys, buckets)
    if buckets > 1 and keys:
        values[0, 1] = np.nan
    names = [SeriesKey(0, f"p{n}", None) for n in range(keys)]
    return SeriesFrame(START, HOUR, names, values, np.arange(buckets), ["a note"])


@pytest.mark.parametrize("keys", [0, 1, 3])
@pytest.mark.parametrize("buckets", [0, 1, 5])
def test_a_frame_reads_back_as_it_was_written(tmp_path, keys, buckets):
    written = frame(keys, buckets)
    read = SeriesFrame.read(written.write(str(tmp_path / "deep" / "series.parquet")))
    np.testing.assert_array_equal(read.values, written.values)
    np.testing.assert_array_equal(read.docs, written.docs)
    assert (read.keys, read.start, read.span, read.notes) == (written.keys, START, HOUR, ["a note"])


@pytest.mark.parametrize("value", ["", "\x00", "a · b", "'; DROP TABLE", "é🎉", "x" * 32766])
def test_partition_values_of_any_kind_survive(tmp_path, value):
    one = SeriesFrame(START, HOUR, [SeriesKey(0, value, None)], np.ones((1, 2)), np.ones(2, int))
    assert SeriesFrame.read(one.write(str(tmp_path / "s.parquet"))).keys == one.keys


def test_a_range_of_rows_can_be_read_alone(tmp_path):
    uri = frame().write(str(tmp_path / "s.parquet"))
    part = SeriesFrame.read(uri, rows=(1, 3))
    assert [key.partition_value for key in part.keys] == ["p1", "p2"]
    np.testing.assert_array_equal(part.values, frame().values[1:3])


def test_how_many_documents_a_value_is_of_goes_along(tmp_path):
    whole = frame()
    whole.sizes = np.where(np.isnan(whole.values), np.nan, whole.values + 100)
    uri = whole.write(str(tmp_path / "s.parquet"))
    np.testing.assert_array_equal(SeriesFrame.read(uri).sizes, whole.sizes)
    np.testing.assert_array_equal(SeriesFrame.read(uri, rows=(1, 3)).sizes, whole.sizes[1:3])
    np.testing.assert_array_equal(whole.take([2, 0]).sizes, whole.sizes[[2, 0]])
    np.testing.assert_array_equal(whole.slice(Window(START + HOUR, START + 3 * HOUR)).sizes, whole.sizes[:, 1:3])
    assert SeriesFrame.read(frame().write(str(tmp_path / "other.parquet"))).sizes is None


def test_a_slice_keeps_to_the_grid():
    part = frame().slice(Window(START + HOUR, START + 3 * HOUR))
    assert (part.start, part.end) == (START + HOUR, START + 3 * HOUR)
    np.testing.assert_array_equal(part.values, frame().values[:, 1:3])


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(DataError, match="staged series are gone"):
        SeriesFrame.read(str(tmp_path / "none.parquet"))
