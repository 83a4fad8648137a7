"""The classic: one event every five seconds for seven days, and half an hour of ten times as many."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import orjson
from pydantic import Field

from driftline.core.definition import Definition
from driftline.core.errors import WindowError
from driftline.core.timespan import SECOND, Span, Window, format_span, iso
from driftline.generator.base import DAY, Chunk, Generated

if TYPE_CHECKING:
    from collections.abc import Iterator

MINUTE = timedelta(minutes=1)
PLACE = (0.6, 0.9)  # where the spike may begin, as shares of the range: after enough history to learn from

_KEYWORD = {"type": "keyword"}
_EVENT = {
    "request": "/index.html",
    "response": "200",
    "agent": "Firefox",
    "remote_ip": "1.1.1.1",
    "remote_user": "",
    "bytes": "1234",
    "referrer": "http://example.com",
}


class SmokeEventOptions(Definition):
    """What of the classic can be changed; the defaults are the classic."""

    interval: Span = Field(5 * SECOND, description="One event this often; whole seconds that divide a minute.")
    magnitude: int = Field(10, ge=1, le=1000, description="How many times as many events there are in the spike; 1: no spike.")
    duration: Span = Field(30 * MINUTE, description="How long the spike lasts.")
    at: Span | None = Field(None, description="Where it begins, counted from the start. Default: somewhere late, by seed.")


@dataclass
class _Moments(Chunk):
    """Events by the second of the day they happen at."""

    day: int
    first: int
    stamps: list[str]

    def __len__(self) -> int:
        return len(self.stamps)

    def documents(self) -> list[dict[str, Any]]:
        return [{"timestamp": stamp, **_EVENT} for stamp in self.stamps]

    def times(self) -> list[int]:
        clock = {stamp: round(datetime.fromisoformat(stamp).timestamp() * 1000) for stamp in set(self.stamps)}
        return [clock[stamp] for stamp in self.stamps]

    def measures(self) -> dict[str, list[Any]]:
        return {"bytes": [_EVENT["bytes"]] * len(self)}

    def encoded(self) -> list[bytes]:
        rest = orjson.dumps(_EVENT)[1:]
        return [b'{"timestamp":"' + stamp.encode() + b'",' + rest for stamp in self.stamps]

    def lines(self) -> list[bytes]:
        head, tail = (
            f"{_EVENT['remote_ip']} - - [",
            f'] "GET {_EVENT["request"]} HTTP/1.1" 200 1234 "{_EVENT["referrer"]}" "Firefox"',
        )
        clock = {stamp: datetime.fromisoformat(stamp).strftime("%d/%b/%Y:%H:%M:%S +0000") for stamp in set(self.stamps)}
        return [f"{head}{clock[stamp]}{tail}".encode() for stamp in self.stamps]


class SmokeEvent(Generated):
    """Events at a constant rate with one spike, in the shape that `smoke_event` indices have always had."""

    kind: ClassVar[str] = "smoke_event"
    time_field: ClassVar[str] = "timestamp"
    properties: ClassVar[dict[str, Any]] = {"timestamp": {"type": "date"}, **dict.fromkeys(_EVENT, _KEYWORD)}

    def __init__(self, seed: int, start: datetime, days: float, options: SmokeEventOptions) -> None:
        super().__init__(seed, start, days, options)
        self.options = options
        seconds = options.interval.total_seconds()
        if seconds < 1 or 60 % seconds:
            raise WindowError(f"interval {format_span(options.interval)}: whole seconds that divide a minute were expected")
        self.spike = self._place()

    def _place(self) -> Window:
        room = self.end - self.start
        if self.options.duration > room:
            raise WindowError(f"a spike of {format_span(self.options.duration)} does not fit in {self.days} days")
        at = self.options.at
        if at is None:
            share = np.random.default_rng([self.seed, 0]).uniform(*PLACE)
            at = min(round(share * room / MINUTE) * MINUTE, room - self.options.duration)
        begin = self.start + at
        if begin + self.options.duration > self.end:
            raise WindowError(f"a spike at {format_span(at)} ends after the last event", fix="Move it, or generate more days.")
        return Window(begin, begin + self.options.duration)

    @property
    def documents_estimate(self) -> int:
        """Exactly how many documents there are."""
        step = self.options.interval
        inside = -(-(self.spike.end - self.start) // step) - -(-(self.spike.start - self.start) // step)
        return -(-(self.end - self.start) // step) + inside * (self.options.magnitude - 1)

    def day_chunks(self, day: int) -> Iterator[Chunk]:
        """All of the day at once: it is 17 280 events."""
        step, begin = int(self.options.interval.total_seconds()), self.start + day * DAY
        seconds = np.arange(0, int((min(begin + DAY, self.end) - begin).total_seconds()), step)
        first, last = ((moment - begin).total_seconds() for moment in (self.spike.start, self.spike.end))
        copies = np.where((seconds >= first) & (seconds < last), self.options.magnitude, 1)
        stamps = [iso(begin + int(second) * SECOND) for second in seconds]
        yield _Moments(day, 0, np.repeat(np.array(stamps, dtype=object), copies).tolist())

    def truth(self) -> list[dict[str, Any]]:
        """The spike."""
        if self.options.magnitude == 1:
            return []
        per = format_span(self.options.interval)
        text = f"{self.options.magnitude} events every {per} instead of one, for {format_span(self.options.duration)}"
        return [
            {
                "truth_id": f"{self.digest}-01-spike",
                "kind": "spike",
                **self.spike.as_dict(),
                "function": "count",
                "magnitude": float(self.options.magnitude),
                "description": text,
            }
        ]
