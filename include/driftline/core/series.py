"""Series: many partitions on one time grid, as a matrix, and as Parquet between tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import fsspec
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from driftline.core.errors import DataError
from driftline.core.paths import whole
from driftline.core.timespan import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


GROUP = 1_000_000  # values of the series that are written, and read, together


class SeriesKey(NamedTuple):
    """What tells one series of a job from the others. Values are None where the detector has no such split."""

    detector_index: int
    partition_value: str | None = None
    by_value: str | None = None
    over_value: str | None = None

    @property
    def values(self) -> tuple[str | None, ...]:
        """The split values; empty where there are none."""
        return self[1:] if any(value is not None for value in self[1:]) else ()

    def label(self) -> str:
        """The key for people: `/checkout`, `eu · /checkout`."""
        return " · ".join(value for value in self[1:] if value is not None) or "(all)"


@dataclass
class SeriesFrame:
    """Series on a regular grid.

    Attributes:
        start: Start of the first bucket, UTC.
        span: Bucket span.
        keys: N series keys.
        values: (N, T) float64; NaN where there is no value.
        docs: (T,) int64, documents a bucket over all partitions (what completeness and freshness are judged on).
        notes: What a reader should know, e.g. partitions beyond the limit.
        sizes: (N, T) float64, of how many documents each value is the average; NaN for what is none. None if no series is one.
    """

    start: datetime
    span: timedelta
    keys: list[SeriesKey]
    values: NDArray[np.float64]
    docs: NDArray[np.int64]
    notes: list[str] = field(default_factory=list)
    sizes: NDArray[np.float64] | None = None

    @property
    def end(self) -> datetime:
        """End of the last bucket."""
        return self.start + int(self.values.shape[1]) * self.span

    @property
    def window(self) -> Window:
        """The interval that the buckets cover."""
        return Window(self.start, self.end)

    @property
    def times(self) -> NDArray[np.datetime64]:
        """(T,) bucket starts as datetime64[ms], UTC without a zone as Prophet wants them."""
        start = np.datetime64(self.start.astimezone(UTC).replace(tzinfo=None), "ms")
        step = np.timedelta64(round(self.span.total_seconds() * 1000), "ms")
        return start + np.arange(self.values.shape[1]) * step

    def slice(self, window: Window) -> SeriesFrame:
        """The buckets that lie in `window`; columns outside of the frame are left out."""
        first = max(0, round((window.start - self.start) / self.span))
        last = max(first, min(self.values.shape[1], round((window.end - self.start) / self.span)))
        start, part = self.start + first * self.span, slice(first, last)
        sizes = None if self.sizes is None else self.sizes[:, part]
        return SeriesFrame(start, self.span, self.keys, self.values[:, part], self.docs[part], self.notes, sizes)

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> SeriesFrame:
        """The series at these row numbers."""
        keys, chosen = [self.keys[row] for row in rows], np.asarray(rows, dtype=np.intp)
        sizes = None if self.sizes is None else self.sizes[chosen]
        return SeriesFrame(self.start, self.span, keys, self.values[chosen], self.docs, self.notes, sizes)

    def write(self, uri: str) -> str:
        """Writes the frame as one Parquet file, in groups of series, and returns its URI. It appears whole or not at all."""
        columns = list(zip(*self.keys, strict=True)) or [(), (), (), ()]  # members of populations are no series
        table = pa.table(
            {
                "detector_index": pa.array(columns[0], pa.int32()),
                "partition_value": pa.array(columns[1], pa.string()),
                "by_value": pa.array(columns[2], pa.string()),
                "values": _packed(self.values),
                **({} if self.sizes is None else {"sizes": _packed(self.sizes)}),
            }
        )
        meta = {
            "start": self.start.timestamp(),
            "span": self.span.total_seconds(),
            "docs": self.docs.tolist(),
            "notes": self.notes,
        }
        table = table.replace_schema_metadata({b"driftline": orjson.dumps(meta)})
        with whole(uri) as file:
            size = max(1, GROUP // max(1, self.values.shape[1]))
            pq.write_table(table, file, row_group_size=size, compression="lz4", use_dictionary=False, write_statistics=False)
        return uri

    @classmethod
    def read(cls, uri: str, *, rows: tuple[int, int] | None = None) -> SeriesFrame:
        """Reads a frame back; `rows` takes a range of its series, and reads little else.

        Raises:
            DataError: There is no such file.
        """
        try:
            with fsspec.open(uri, "rb") as file, pq.ParquetFile(file) as source:
                return cls._read(source, *(rows or (0, source.metadata.num_rows)))
        except FileNotFoundError:
            raise DataError("the staged series are gone", where=uri, fix="Run the read task again.") from None

    @classmethod
    def _read(cls, source: pq.ParquetFile, first: int, last: int) -> SeriesFrame:
        meta = orjson.loads(source.schema_arrow.metadata[b"driftline"])
        docs = np.asarray(meta["docs"], dtype=np.int64)
        last = min(last, source.metadata.num_rows)
        values = np.empty((max(0, last - first), len(docs)))
        sizes = np.empty_like(values) if "sizes" in source.schema_arrow.names else None
        keys: list[SeriesKey] = []
        at = 0
        for number in range(source.num_row_groups):
            size = source.metadata.row_group(number).num_rows
            begin, end = max(first, at), min(last, at + size)
            if begin < end:
                group = source.read_row_group(number).slice(begin - at, end - begin)
                names = ("detector_index", "partition_value", "by_value")
                keys += [SeriesKey(*key) for key in zip(*(group[name].to_pylist() for name in names), strict=True)]
                part = slice(begin - first, end - first)
                values[part] = _unpacked(group["values"], len(docs))
                if sizes is not None:
                    sizes[part] = _unpacked(group["sizes"], len(docs))
            at += size
        start = datetime.fromtimestamp(meta["start"], UTC)
        return cls(start, timedelta(seconds=meta["span"]), keys, values, docs, meta["notes"], sizes)


def _packed(matrix: NDArray[np.float64]) -> pa.Array:
    """(N, T) with all of a series' values as one: nothing looks at them one by one."""
    length = max(1, matrix.shape[1])  # Parquet has no values of no bytes
    filled = matrix if matrix.shape[1] else np.zeros((len(matrix), 1))
    buffers = [None, pa.py_buffer(np.ascontiguousarray(filled, dtype="<f8"))]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(8 * length), len(matrix), buffers)


def _unpacked(column: pa.ChunkedArray, width: int) -> NDArray[np.float64]:
    array = column.combine_chunks()
    matrix = np.frombuffer(array.buffers()[1], dtype="<f8").reshape(-1, max(1, width))
    return matrix[array.offset :][: len(array), :width]
