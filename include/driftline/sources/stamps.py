"""Time stamps as logs write them → milliseconds since the epoch, and back to ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

from driftline.core.timespan import MILLISECOND

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CACHED = 100_000  # rows come in time order: a day's seconds are plenty
MONTHS = dict(Jan=1, Feb=2, Mar=3, Apr=4, May=5, Jun=6, Jul=7, Aug=8, Sep=9, Oct=10, Nov=11, Dec=12)
# what a date of Elasticsearch and of pandas can both hold
EARLIEST, LATEST = -9_214_560_000_000, 9_214_560_000_000
_COMMON = re.compile(r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,6})\d*)?(?: ?([+-])(\d\d):?(\d\d))?")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


class Clock:
    """Reads the stamps of one source.

    Args:
        zone: The zone of stamps that name none.
        form: As `Source.time_format`.
    """

    def __init__(self, zone: str, form: str | None = None) -> None:
        self._zone, self._form = ZoneInfo(zone), form
        self.common = lru_cache(CACHED)(self._common)
        self._text = lru_cache(CACHED)(self._parse)

    def read(self, value: object) -> int:
        """Milliseconds of a value of any type.

        Raises:
            ValueError: The value is no time; the message says why.
        """
        if isinstance(value, str):
            return self._text(value.strip())
        if isinstance(value, datetime):
            return self._moment(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._number(value)
        raise ValueError("the time is missing" if value is None else f"a {type(value).__name__} is no time")

    def _number(self, value: float) -> int:
        if value != value or abs(value) == float("inf"):
            raise ValueError("the time is not a number")
        seconds = self._form == "epoch_s" or (self._form != "epoch_ms" and abs(value) < 1e11)
        return _in_range(round(value * 1000) if seconds else round(value))

    def _parse(self, text: str) -> int:
        if not text:
            raise ValueError("the time is missing")
        if _NUMBER.fullmatch(text) and (self._form is None or self._form.startswith("epoch_")):
            return self._number(float(text))
        try:
            if self._form and not self._form.startswith("epoch_"):
                return self._moment(datetime.strptime(text, self._form))
            return self._moment(datetime.fromisoformat(text))
        except (ValueError, OverflowError):
            if self._form is None and _COMMON.fullmatch(text):
                return self._common(text)
            wanted = f"the format {self._form}" if self._form else "ISO 8601, or epoch seconds or milliseconds"
            raise ValueError(f"the time '{text[:60]}' is not in {wanted}") from None

    def _common(self, text: str) -> int:
        """The stamp of an access log: `17/May/2015:10:05:03 +0000`."""
        found = _COMMON.fullmatch(text)
        if found is None:
            return self._moment(_iso(text))
        day, month, year, hour, minute, second, fraction, sign, hours, minutes = found.groups()
        if month not in MONTHS:
            raise ValueError(f"the time '{text[:60]}' has no month of that name")
        zone = timezone(timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)) if sign else None
        try:
            # a leap second is the last moment of its minute: there is no other way to write it
            moment = datetime(int(year), MONTHS[month], int(day), int(hour), int(minute), min(int(second), 59), tzinfo=zone)
        except ValueError as error:
            raise ValueError(f"the time '{text[:60]}' does not exist: {error}") from None
        return self._moment(moment) + (int(float(f"0.{fraction}") * 1000) if fraction else 0)

    def _moment(self, moment: datetime) -> int:
        aware = moment if moment.tzinfo else moment.replace(tzinfo=self._zone)
        return _in_range((aware - EPOCH) // MILLISECOND)


def _iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"the time '{text[:60]}' is not as access logs write it (17/May/2015:10:05:03 +0000)") from None


def _in_range(ms: int) -> int:
    if not EARLIEST <= ms <= LATEST:
        raise ValueError("the time lies outside the years 1678 to 2261")
    return ms


@lru_cache(CACHED)
def to_iso(ms: int) -> str:
    """`2015-05-17T10:05:03.000Z`."""
    return (EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_canonical(value: object) -> bool:
    """Whether Elasticsearch reads the value as it stands, with all its digits."""
    return isinstance(value, str) and _CANONICAL.fullmatch(value) is not None
