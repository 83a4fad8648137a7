"""Parquet: rows by number, in batches; types from the file's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from driftline.core.errors import DataError
from driftline.sources.documents import shape_into
from driftline.sources.rows import BadRow, Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from driftline.sources.documents import Shaper

BATCH = 20_000


class ParquetReader:
    """Reads a Parquet file.

    Args:
        stream: The file, seekable.
        shaper: What makes documents of rows.
        where: The file's name, for messages.
        first: The number of the first row to read.
        renames: New names of columns; types go by them.

    Raises:
        DataError: It is no Parquet file, or a broken one.
    """

    def __init__(self, stream: Any, shaper: Shaper, *, where: str, first: int = 0, renames: dict[str, str]) -> None:  # noqa: ANN401
        self._shaper, self._where, self._first = shaper, where, first
        self.pending = 0
        try:
            self._file = pq.ParquetFile(stream)
        except (pa.ArrowException, OSError) as error:
            raise self._broken(error) from None
        kinds = {renames.get(field.name, field.name): _type(field.type) for field in self._file.schema_arrow}
        self.types = {name: kind for name, kind in kinds.items() if name and kind}

    @property
    def count(self) -> int:
        """How many rows the file has."""
        return int(self._file.metadata.num_rows)

    def batches(self) -> Iterator[Rows]:
        """The rows, some ten thousand at a time."""
        number = 0
        try:
            for batch in self._file.iter_batches(batch_size=BATCH):
                begin, number = number, number + batch.num_rows
                if number > self._first:
                    skip = max(0, self._first - begin)
                    yield self._batch(batch.slice(skip), begin + skip)
        except (pa.ArrowException, OSError) as error:
            raise self._broken(error) from None

    def _batch(self, batch: Any, first: int) -> Rows:  # noqa: ANN401 - pyarrow has no types
        rows = Rows(end=first + batch.num_rows, end_line=first + batch.num_rows + 1)
        for number, values in enumerate(batch.to_pylist(), first):
            record = {name: value for name, value in values.items() if value is not None and value == value}
            try:
                shape_into(rows, self._shaper, record, number, number + 1, b"")
                rows.raws[-1] = rows.bodies[-1]
            except ValueError as error:
                rows.bad.append(BadRow(number, number + 1, str(error), repr(values).encode()[:32_000]))
        return rows

    def _broken(self, error: Exception) -> DataError:
        return DataError(
            f"the Parquet file cannot be read: {' '.join(str(error).split())[:200]}",
            where=self._where,
            fix="Write it again, or leave it out.",
        )


def _type(kind: Any) -> str | None:  # noqa: ANN401 - pyarrow has no types
    """The type of a field for a column's; None leaves it to the documents."""
    tests = {
        "boolean": pa.types.is_boolean,
        "long": pa.types.is_integer,
        "double": lambda kind: pa.types.is_floating(kind) or pa.types.is_decimal(kind),
        "date": lambda kind: pa.types.is_timestamp(kind) or pa.types.is_date(kind),
        "keyword": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind),
    }
    return next((name for name, test in tests.items() if test(kind)), None)
