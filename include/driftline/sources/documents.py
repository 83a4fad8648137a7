"""Records of NDJSON, CSV and Parquet → documents: fields renamed and added, the time read, everything else as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from driftline.sources.stamps import is_canonical, to_iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from driftline.sources.rows import Rows
    from driftline.sources.stamps import Clock

MAX_ID = 512  # bytes: Elasticsearch's limit
LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
_MISSING = object()


class Shaper:
    """Makes documents of records.

    Args:
        clock: What reads the time.
        time_field: The field that holds it, after renaming.
        renames: New names of columns; an empty one drops the column.
        add: Fields with the same value in every row.
        id_field: The field that names a row, or None.
    """

    def __init__(
        self,
        clock: Clock,
        time_field: str,
        *,
        renames: Mapping[str, str] | None = None,
        add: Mapping[str, Any] | None = None,
        id_field: str | None = None,
    ) -> None:
        self._clock, self._time_field, self._id_field = clock, time_field, id_field
        self._renames, self._add = dict(renames or {}), dict(add or {})

    def shape(self, record: dict[str, Any]) -> tuple[int, bytes, str | None]:
        """The time, the document as JSON, and its own id where there is one. The record is changed.

        Raises:
            ValueError: The record lacks its time or its id, or one of them cannot be used.
        """
        for old, new in self._renames.items():
            if (value := take(record, old)) is not _MISSING and new:
                record[new] = value
        value = find(record, self._time_field)
        if value is None:
            raise ValueError(f"there is no time in field '{self._time_field}'")
        time = self._clock.read(value)
        if not is_canonical(value):
            take(record, self._time_field)
            record[self._time_field] = to_iso(time)
        record |= self._add
        try:
            return time, orjson.dumps(record, default=plain), self._id(record)
        except (TypeError, orjson.JSONEncodeError) as error:
            raise ValueError(f"it cannot be written as JSON: {error}") from None

    def _id(self, record: dict[str, Any]) -> str | None:
        if self._id_field is None:
            return None
        value = find(record, self._id_field)
        if value is None or isinstance(value, dict | list) or value == "":
            raise ValueError(f"there is no id in field '{self._id_field}'")
        text = str(value)
        if len(text.encode()) > MAX_ID:
            raise ValueError(f"the id in field '{self._id_field}' is longer than {MAX_ID} bytes")
        return text


def shape_into(rows: Rows, shaper: Shaper, record: dict[str, Any], offset: int, line: int, raw: bytes) -> None:
    """Shapes one record and adds it to the rows."""
    time, body, id_ = shaper.shape(record)
    rows.add(offset, line, time, body, raw)
    if id_ is not None:
        rows.ids.append(id_)


def find(record: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON value
    """The value of a field by its dotted name, whether it is written with dots or nested; None where there is none."""
    if name in record:
        return record[name]
    return next((found for inner, rest in _inner(record, name) if (found := find(inner, rest)) is not None), None)


def take(record: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON value
    """Removes a field by its dotted name and returns its value, or a marker that equals nothing."""
    if name in record:
        return record.pop(name)
    return next((found for inner, rest in _inner(record, name) if (found := take(inner, rest)) is not _MISSING), _MISSING)


def _inner(record: Mapping[str, Any], name: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects in a record that may hold a field, each with what its name is there."""
    head, dot, rest = name.partition(".")
    while dot:
        if isinstance(inner := record.get(head), dict):
            yield inner, rest
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"


def plain(value: Any) -> Any:  # noqa: ANN401 - any value of a Parquet file
    """What JSON has no word for: decimals as numbers, bytes as text, times of day as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if hasattr(value, "as_tuple"):
        return float(value)
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


def float_fields(records: Iterable[dict[str, Any]]) -> dict[str, str]:
    """The fields that hold a fraction somewhere, as doubles: where whole numbers come first, a long would cut the rest."""
    found: dict[str, str] = {}

    def look(record: dict[str, Any], prefix: str) -> None:
        for name, value in record.items():
            if isinstance(value, float):
                found[prefix + name] = "double"
            elif isinstance(value, dict):
                look(value, f"{prefix}{name}.")

    for record in records:
        look(record, "")
    return found
