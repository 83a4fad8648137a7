"""Feedback: what people said of records, nothing or real. It is a setting: what is like them is scored by it from then on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

Word = Literal["nothing", "real"]
WORDS: tuple[Word, ...] = get_args(Word)
# In data time: three times the default training window. By then no model has learned from the days that it was said of.
COUNTS_FOR = timedelta(days=90)

ABOUT = (
    "function", "field_name", "bucket_span", "partition_field_name", "partition_field_value", "by_field_name", "by_field_value",
    "over_field_name", "over_field_value",
)  # fmt: skip
"""What must be the same: not the detector's number, which another version of the job may give to another."""


def about(document: dict[str, Any]) -> tuple[Any, ...]:
    """What a record, or what was said of one, is about."""
    return tuple(document.get(name) for name in ABOUT)


@dataclass(frozen=True)
class Verdict:
    """What somebody said of a record.

    Attributes:
        id: Of what was said.
        record: The record's id.
        word: Whether it was nothing, or real.
        about: Detector and series, as `about` gives it.
        way: Which way the record deviates, as `scoring.events.direction` tells it.
        timestamp: Its bucket's start, epoch milliseconds.
        surprise: −log10 of its probability.
        deviation: Actual − typical; None where there is no single value.
        actual: What was there; of a place its latitude and longitude.
        by: Who said it.
        created: When, ISO 8601.
        note: Why.
    """

    id: str
    record: str
    word: Word
    about: tuple[Any, ...]
    way: str
    timestamp: int
    surprise: float
    deviation: float | None
    actual: tuple[float, ...]
    by: str
    created: str
    note: str = ""

    @classmethod
    def of(cls, id_: str, document: dict[str, Any]) -> Verdict:
        """As it is stored."""
        return cls(
            id_,
            document["record_id"],
            document["verdict"],
            about(document),
            document["direction"],
            document["timestamp"],
            document["surprise"],
            document.get("deviation"),
            tuple(document["actual"]),
            document["created_by"],
            document["created"],
            document.get("note", ""),
        )

    def concerns(self, timestamp: int) -> bool:
        """Whether it counts for a bucket: one after the record's, for a while."""
        return 0 < timestamp - self.timestamp <= COUNTS_FOR / timedelta(milliseconds=1)

    def __str__(self) -> str:
        return f"said to be {self.word} on {self.created[:10]}" + (f" by {self.by}" if self.by else "")
