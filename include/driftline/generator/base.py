"""What every generator offers: documents by day, the same however the days are split, and the truth about them."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from driftline.core.errors import WindowError
from driftline.core.timespan import iso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from driftline.core.definition import Definition

DAY = timedelta(days=1)
CHUNKS_A_DAY = 8  # three hours: at 15 million hits in four weeks a chunk is 67 000 documents, so memory stays flat


class Chunk(ABC):
    """Some documents of one day, in time order.

    Attributes:
        day: Number of the day, from 0.
        first: Number of the first document within its day.
    """

    day: int
    first: int

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def documents(self) -> list[dict[str, Any]]:
        """The documents. Nested values are shared between them: read, do not change."""

    @abstractmethod
    def times(self) -> list[int]:
        """When each happened, in milliseconds since the epoch."""

    @abstractmethod
    def measures(self) -> dict[str, list[Any]]:
        """The values of the fields that hold sizes and codes, by dotted name: a gate asks for them, with no need of documents."""

    @abstractmethod
    def encoded(self) -> list[bytes]:
        """The same documents as JSON, each without a line end."""

    @abstractmethod
    def lines(self) -> list[bytes]:
        """The same events as lines of a combined access log, each without a line end."""

    def ids(self, prefix: str) -> list[str]:
        """An id for each document that every run gives again: prefix, day and number within the day."""
        return [f"{prefix}-{self.day:04d}-{number:07d}" for number in range(self.first, self.first + len(self))]


class Generated(ABC):
    """A generated source: `days` days of documents from `start`.

    Day `n` is [start + n days, start + (n + 1) days); the last may be cut short. `last_day` is exclusive everywhere.
    """

    kind: ClassVar[str]
    time_field: ClassVar[str]
    properties: ClassVar[dict[str, Any]]
    """The index mapping's properties that fit the documents."""

    def __init__(self, seed: int, start: datetime, days: float, options: Definition) -> None:
        if not 0 < days <= 3660 or seed < 0:
            raise WindowError(
                f"cannot generate {days} days with seed {seed}", expected="0 < days <= 3660 and a seed of 0 or more"
            )
        moment = start.astimezone(UTC) if start.tzinfo else start.replace(tzinfo=UTC)
        self.seed, self.days = seed, days
        self.start = moment.replace(second=0, microsecond=0)
        try:
            self.end = self.start + timedelta(minutes=max(1, round(days * 1440)))
            self.end + DAY  # what ends a day may lie as far beyond
        except OverflowError:
            raise WindowError(f"{days} days from {iso(self.start)} on go beyond the year 9999") from None
        self._definition = options

    @property
    def digest(self) -> str:
        """Twelve hex digits that name these documents: kind, seed, start, length and options."""
        parts = [self.kind, self.seed, iso(self.start), iso(self.end), self._definition.as_dict()]
        return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]

    @property
    def day_count(self) -> int:
        """How many days there are, a last partial one included."""
        return math.ceil((self.end - self.start) / DAY)

    @property
    @abstractmethod
    def documents_estimate(self) -> int:
        """About how many documents there will be."""

    @abstractmethod
    def day_chunks(self, day: int) -> Iterator[Chunk]:
        """The chunks of one day, in time order."""

    @abstractmethod
    def truth(self) -> list[dict[str, Any]]:
        """What was injected: documents for `driftline-truth` without `source_id`, which the ingest fills in."""

    def ranges(self, size: int = 1) -> list[tuple[int, int]]:
        """The days cut in pieces of `size` days, as (first_day, last_day) for `chunks`, `batches` and the like."""
        return [(first, min(first + size, self.day_count)) for first in range(0, self.day_count, size)]

    def chunks(self, first_day: int = 0, last_day: int | None = None) -> Iterator[Chunk]:
        """The chunks of days [first_day, last_day), in time order; the same whether asked for at once or day by day."""
        for day in range(max(0, first_day), min(self.day_count, self.day_count if last_day is None else last_day)):
            yield from self.day_chunks(day)

    def batches(self, first_day: int = 0, last_day: int | None = None) -> Iterator[list[dict[str, Any]]]:
        """The documents of these days, a chunk at a time."""
        return (chunk.documents() for chunk in self.chunks(first_day, last_day))

    def encoded_batches(self, first_day: int = 0, last_day: int | None = None) -> Iterator[list[bytes]]:
        """The documents of these days as JSON, a chunk at a time."""
        return (chunk.encoded() for chunk in self.chunks(first_day, last_day))

    def lines(self, first_day: int = 0, last_day: int | None = None) -> Iterator[list[bytes]]:
        """The events of these days as lines of a combined access log, a chunk at a time."""
        return (chunk.lines() for chunk in self.chunks(first_day, last_day))
