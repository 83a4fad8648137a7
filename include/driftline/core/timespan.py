"""Spans (`15m`), points in time (`2026-03-01T00:00Z`, `now-30d`, epoch) and windows aligned to the bucket span."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, PlainSerializer

from driftline.core.errors import WindowError

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_DATE_MATH = re.compile(r"now(?:([+-])(\d+(?:ms|s|m|h|d|w)))?(?:/([smhdw]))?")
SECOND = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)


def parse_span(text: str | int | float | timedelta) -> timedelta:
    """Reads a span: `30s`, `15m`, `1h30m`, `7d`; a plain number is seconds.

    Raises:
        WindowError: The text is no span.
    """
    if isinstance(text, timedelta):
        return text
    compact = str(text).replace(" ", "")
    if re.search(r"\dM(?![sS])", compact):  # it is no minute to Elasticsearch
        raise WindowError(
            f"'{text}' is not a span", expected="no months, which have no fixed length", fix="Use 30d, or m: minutes."
        )
    compact = compact.lower()
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        compact += "s"
    parts = _SPAN.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise WindowError(f"'{text}' is not a span", expected="a number and a unit (ms, s, m, h, d, w), such as 15m or 7d")
    try:
        return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
    except OverflowError:
        raise WindowError(f"'{str(text)[:40]}' is too long for a span") from None


def format_span(span: timedelta) -> str:
    """The shortest spelling of a span in one unit: `90s`, `15m`, `7d`."""
    seconds = span.total_seconds()
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{int(seconds // _UNITS[unit])}{unit}"
    return f"{round(seconds * 1000, 3):.15g}ms"


Span = Annotated[timedelta, BeforeValidator(parse_span), PlainSerializer(format_span, return_type=str)]


def parse_time(text: str | int | float | datetime, *, now: datetime | None = None) -> datetime:
    """Reads a point in time: ISO 8601 (UTC when it names no zone), epoch seconds or milliseconds, or date math (`now-30d/d`).

    Raises:
        WindowError: The text is none of these.
    """
    try:
        return _time(text, now)
    except WindowError:
        raise
    except (OverflowError, OSError, ValueError):  # the last is of years that there are not
        raise WindowError(f"'{str(text)[:40]}' is beyond all times", expected="a year from 1 to 9999") from None


def _time(text: str | int | float | datetime, now: datetime | None) -> datetime:
    if isinstance(text, datetime):
        return text.astimezone(UTC) if text.tzinfo else text.replace(tzinfo=UTC)
    value = str(text).strip()
    if re.fullmatch(r"-?\d+(\.\d+)?", value) and not re.fullmatch(r"\d{4}", value):
        number = float(value)
        return datetime.fromtimestamp(number / 1000 if abs(number) >= 1e11 else number, UTC)
    if math := _DATE_MATH.fullmatch(value):
        sign, amount, unit = math.groups()
        moment = now or datetime.now(UTC)
        if amount:
            moment += parse_span(amount) * (-1 if sign == "-" else 1)
        monday = timedelta(days=3 if unit == "w" else 0)  # when weeks begin; the epoch was a Thursday
        return floor_time(moment + monday, parse_span(f"1{unit}")) - monday if unit else moment
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        expected = "ISO 8601 (2026-03-01T00:00Z), epoch seconds or milliseconds, or now-30d"
        raise WindowError(f"'{value[:40]}' is not a time", expected=expected) from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def known_zone(name: str) -> str:
    """The name, if a time zone has it.

    Raises:
        ValueError: None has.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"'{name}' is no time zone: such as UTC or Europe/Berlin") from None
    return name


def floor_time(moment: datetime, span: timedelta) -> datetime:
    """The start of the bucket that holds `moment`; buckets are counted from the epoch, as Elasticsearch counts them."""
    step = int(span.total_seconds() * 1000)
    ms = round(moment.timestamp() * 1000)
    return datetime.fromtimestamp((ms - ms % step) / 1000, UTC)


def ceil_time(moment: datetime, span: timedelta) -> datetime:
    """The end of the last bucket that holds anything before `moment`."""
    return floor_time(moment - MILLISECOND, span) + span


def iso(moment: datetime) -> str:
    """UTC, to the second, or to the millisecond where it has any: `2026-03-01T00:00:00Z`."""
    spec = "milliseconds" if moment.microsecond else "seconds"
    return moment.astimezone(UTC).isoformat(timespec=spec).replace("+00:00", "Z")


Time = Annotated[datetime, BeforeValidator(parse_time), PlainSerializer(iso, return_type=str)]


@dataclass(frozen=True)
class Window:
    """A half-open interval [start, end) of data time, in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise WindowError(f"the end {iso(self.end)} lies before the start {iso(self.start)}")

    @classmethod
    def parse(cls, start: str | datetime, end: str | datetime) -> Window:
        """A window from two points in time as `parse_time` reads them."""
        return cls(parse_time(start), parse_time(end))

    def floored(self, span: timedelta) -> Window:
        """The window with both ends moved down to bucket starts: only whole buckets are ever scored."""
        return Window(floor_time(self.start, span), floor_time(self.end, span))

    @property
    def empty(self) -> bool:
        """Whether the window holds nothing."""
        return self.end <= self.start

    def buckets(self, span: timedelta) -> int:
        """How many buckets of `span` the window holds."""
        return int((self.end - self.start) / span)

    def as_dict(self) -> dict[str, str]:
        """`{"start": …, "end": …}` as ISO 8601."""
        return {"start": iso(self.start), "end": iso(self.end)}

    def __str__(self) -> str:
        return f"{iso(self.start)} – {iso(self.end)}"
