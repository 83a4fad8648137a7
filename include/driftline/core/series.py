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
from driftline.core.timespan import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class SeriesKey(NamedTuple):
    """What tells one series of a job from the others. Values are None where the detector has no such split."""

    detector_index: int
    partition_value: str | None = None
    by_value: str | None = None

    def label(self) -> str:
        """The key for people: `0`, `0 /checkout`, `0 eu · /checkout`."""
        return " · ".join(value for value in (self.partition_value, self.by_value) if value is not None) or "(all)"


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
    """

    start: datetime
    span: timedelta
    keys: list[SeriesKey]
    values: NDArray[np.float64]
    docs: NDArray[np.int64]
    notes: list[str] = field(default_factory=list)

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
        start = self.start + first * self.span
        return SeriesFrame(start, self.span, self.keys, self.values[:, first:last], self.docs[first:last], self.notes)

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> SeriesFrame:
        """The series at these row numbers."""
        keys = [self.keys[row] for row in rows]
        return SeriesFrame(self.start, self.span, keys, self.values[np.asarray(rows, dtype=np.intp)], self.docs, self.notes)

    def write(self, uri: str) -> str:
        """Writes the frame as one Parquet file and returns its URI. A file appears whole or not at all."""
        columns = list(zip(*self.keys, strict=True)) or [(), (), ()]
        flat = pa.array(np.ascontiguousarray(self.values).ravel())
        table = pa.table(
            {
                "detector_index": pa.array(columns[0], pa.int32()),
                "partition_value": pa.array(columns[1], pa.string()),
                "by_value": pa.array(columns[2], pa.string()),
                "values": pa.FixedSizeListArray.from_arrays(flat, max(1, self.values.shape[1]))
                if self.values.size
                else pa.array([None] * len(self.keys), pa.list_(pa.float64(), max(1, self.values.shape[1]))),
            }
        )
        meta = {
            "start": self.start.timestamp(),
            "span": self.span.total_seconds(),
            "docs": self.docs.tolist(),
            "notes": self.notes,
        }
        table = table.replace_schema_metadata({b"driftline": orjson.dumps(meta)})
        with fsspec.open(f"{uri}.part", "wb", auto_mkdir=True) as file:
            pq.write_table(table, file, compression="zstd")
        filesystem, path = fsspec.core.url_to_fs(uri)
        filesystem.mv(f"{path}.part", path)
        return uri

    @classmethod
    def read(cls, uri: str, *, rows: tuple[int, int] | None = None) -> SeriesFrame:
        """Reads a frame back; `rows` takes a range of its series.

        Raises:
            DataError: There is no such file.
        """
        try:
            with fsspec.open(uri, "rb") as file:
                table = pq.read_table(file)
        except FileNotFoundError:
            raise DataError("the staged series are gone", where=uri, fix="Run the read task again.") from None
        meta = orjson.loads(table.schema.metadata[b"driftline"])
        if rows:
            table = table.slice(rows[0], rows[1] - rows[0])
        docs = np.asarray(meta["docs"], dtype=np.int64)
        matrix = table["values"].combine_chunks()
        # a frame without buckets was written as nulls, which flatten drops
        flat = matrix.flatten().to_numpy(zero_copy_only=False)
        values = flat[: len(matrix) * len(docs)].reshape(len(matrix), len(docs)).astype(np.float64)
        keys = [
            SeriesKey(*key)
            for key in zip(*(table[name].to_pylist() for name in ("detector_index", "partition_value", "by_value")), strict=True)
        ]
        start = datetime.fromtimestamp(meta["start"], UTC)
        return cls(start, timedelta(seconds=meta["span"]), keys, values, docs, meta["notes"])
