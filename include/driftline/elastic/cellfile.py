"""Cells as a Parquet file: their columns, and what tells the series in its metadata."""

from __future__ import annotations

from itertools import repeat
from typing import IO, TYPE_CHECKING

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from driftline.elastic.messages import Sample
from driftline.elastic.read import Cells

if TYPE_CHECKING:
    from driftline.elastic.read import SplitKey

META = b"driftline"


def encoded(cells: Cells) -> pa.Buffer:
    """The file."""
    columns = {"row": cells.row, "bucket": cells.bucket, "docs": cells.docs, **cells.values}
    table = pa.table({name: pa.array(column) for name, column in columns.items()})
    texts = list(zip(*cells.keys, strict=True)) or [(), (), ()]
    named = [column if any(column) else None for column in texts]
    samples = [[*kind, *sample] for kind, sample in cells.samples.items()]
    described = {
        "keys": named,
        "series": len(cells.keys),
        "intervals": cells.intervals,
        **({"samples": samples} if samples else {}),
    }
    meta = orjson.dumps(described)
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({META: meta}), sink, compression="zstd", compression_level=1)
    return sink.getvalue()


def decoded(content: bytes | pa.Buffer) -> Cells:
    """The cells again.

    Raises:
        ValueError, KeyError, TypeError, pa.ArrowException: It is no such file.
    """
    table = pq.read_table(pa.BufferReader(content))
    columns = {name: table[name].to_numpy() for name in table.column_names}
    row, bucket, docs = (columns.pop(name) for name in ("row", "bucket", "docs"))
    keys, intervals = _described(table.schema)
    told = orjson.loads(table.schema.metadata[META]).get("samples", [])
    samples = {(group, shape): Sample(longest, tuple(examples)) for group, shape, longest, examples in told}
    return Cells(keys, row, bucket, docs, columns, intervals, samples)


def described(file: IO[bytes]) -> tuple[list[SplitKey], list[int]]:
    """The keys and the intervals, without reading the rest."""
    return _described(pq.read_schema(file))


def _described(schema: pa.Schema) -> tuple[list[SplitKey], list[int]]:
    meta = orjson.loads(schema.metadata[META])
    columns = [column or repeat("", meta["series"]) for column in meta["keys"]]
    return list(zip(*columns, strict=True)), sorted(meta["intervals"])
