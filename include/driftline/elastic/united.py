"""Several cells of one series and bucket as one: a missing value of a split field and an empty one are the same series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from driftline.elastic.query import Split

    Numbers = NDArray[np.float64]


def united(
    split: Split, row: NDArray[np.int32], bucket: NDArray[np.int64], docs: NDArray[np.int64], values: dict[str, Numbers]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], dict[str, Numbers]]:
    """Columns of `read.Cells`, with one cell for each series and bucket.

    Counts, sums and extremes are as one reading of all documents would give them, and so are means where each document has the
    field. No more is known of the others: medians and variances are between those of the cells, of distinct values there are as
    many as the most that one of the cells has, and places are that of the cell with the most documents.
    """
    order = np.lexsort((-docs, bucket, row))
    row, bucket, docs = row[order], bucket[order], docs[order]
    first = np.flatnonzero((np.diff(row, prepend=-1) != 0) | (np.diff(bucket, prepend=-1) != 0))
    single = np.diff(first, append=len(row)) == 1
    out = {}
    for name, (metric, _) in zip(split.names, split.measures, strict=True):
        column = values[name][order]
        # what is no sum of several stays as it was read, to the last bit
        out[name] = column[first] if single.all() else np.where(single, column[first], _TOGETHER[metric](column, docs, first))
    return row[first], bucket[first], np.add.reduceat(docs, first) if len(first) else docs, out


def _sum(column: Numbers, _: NDArray[np.int64], first: NDArray[np.intp]) -> Numbers:
    total, some = np.add.reduceat(np.nan_to_num(column), first), np.logical_or.reduceat(~np.isnan(column), first)
    return np.where(some, total, np.nan)


def _mean(column: Numbers, docs: NDArray[np.int64], first: NDArray[np.intp]) -> Numbers:
    weight = np.where(np.isnan(column), np.nan, docs)
    return _sum(column * weight, docs, first) / _sum(weight, docs, first)


def _largest(column: Numbers, _: NDArray[np.int64], first: NDArray[np.intp]) -> Numbers:
    return np.where(np.isnan(column[first]), np.fmax.reduceat(column, first), column[first])


_TOGETHER: dict[str, Callable[[Numbers, NDArray[np.int64], NDArray[np.intp]], Numbers]] = {
    **dict.fromkeys(("count", "sum", "non_null_sum"), _sum),
    **dict.fromkeys(("mean", "weighted", "median", "varp"), _mean),
    "std_deviation": lambda column, docs, first: _mean(column**2, docs, first) ** 0.5,
    "min": lambda column, _, first: np.fmin.reduceat(column, first),
    **dict.fromkeys(("max", "distinct_count"), lambda column, _, first: np.fmax.reduceat(column, first)),
    "place": _largest,
}
