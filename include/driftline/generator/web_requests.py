"""Requests to a web application, each with a tag that says what it is: a labelled set to classify.

What each kind does, others do, too (see `web_kinds`), tags are wrong now and then, and some kinds are rare: no classifier can be
right about every row.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from driftline.core.definition import Definition
from driftline.generator.base import CHUNKS_A_DAY, DAY, Generated
from driftline.generator.web_draw import Columns, Site, rhythm
from driftline.generator.web_kinds import KINDS
from driftline.generator.web_rows import WebChunk, WebTables
from driftline.generator.world import COUNTS, ROWS, Floats, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

Attack = Literal["credential_stuffing", "data_exfiltration", "scanner", "broken_client"]
SHARES: dict[Attack, float] = {
    "credential_stuffing": 0.015, "data_exfiltration": 0.005, "scanner": 0.025, "broken_client": 0.015,
}  # fmt: skip
MINUTES = 1440 // CHUNKS_A_DAY
START = datetime(2026, 3, 2, tzinfo=UTC)

_KEYWORD, _LONG = {"type": "keyword"}, {"type": "long"}


class WebRequestsOptions(Definition):
    """How many requests there are, of which kinds, and how well they are labelled."""

    rows_per_day: int = Field(20_000, ge=10, le=50_000_000, description="Requests a day, exactly.")
    rows: int | None = Field(
        None, ge=1, le=1_000_000_000, description="Instead of rows_per_day: requests in the whole range, exactly."
    )
    shares: dict[Attack, float] = Field(
        default_factory=dict,
        description="{kind: share of the requests}; what is not named keeps its default, and normal is the rest.",
    )
    label_noise: float = Field(
        0.01, ge=0, le=0.5, description="Share of tags that are wrong: another kind's, the more often the more common it is."
    )
    unlabelled: float = Field(0, ge=0, le=1, description="Share of requests without a tag.")
    clients: int = Field(30_000, ge=100, le=2_000_000, description="Different values of source.ip.")
    truth: bool = Field(False, description="Write what a request is in the field `truth`, beside what its tag says.")

    @field_validator("shares")
    @classmethod
    def _leave_some(cls, value: dict[Attack, float]) -> dict[Attack, float]:
        if any(not 0 <= share <= 1 for share in value.values()) or sum({**SHARES, **value}.values()) > 1:
            raise ValueError("each share is a number from 0 to 1, and all kinds together are at most 1")
        return value

    @property
    def all_shares(self) -> Floats:
        """The share of each of `KINDS`."""
        given = [share for _, share in sorted({**SHARES, **self.shares}.items(), key=lambda item: KINDS.index(item[0]))]
        return np.array([max(0.0, 1 - sum(given)), *given])

    @property
    def wrong(self) -> Floats:
        """(kinds, kinds) cumulative probabilities of each tag, for each kind."""
        shares = self.all_shares
        others = np.where(np.eye(len(KINDS), dtype=bool), 0.0, shares)
        total = others.sum(axis=1, keepdims=True)
        others = np.divide(others, total, out=np.zeros_like(others), where=total > 0)
        noise = np.where(total > 0, self.label_noise, 0.0)
        return np.cumsum(noise * others + (1 - noise) * np.eye(len(KINDS)), axis=1)


class WebRequests(Generated):
    """Requests to one web application, in Elastic Common Schema, with a tag."""

    kind: ClassVar[str] = "web_requests"
    time_field: ClassVar[str] = "@timestamp"
    properties: ClassVar[dict[str, Any]] = {
        "@timestamp": {"type": "date"},
        "source.ip": {"type": "ip"},
        "source.geo.country_iso_code": _KEYWORD,
        "user.name": _KEYWORD,
        "url.path": _KEYWORD,
        "user_agent.original": _KEYWORD,
        "user_agent.name": _KEYWORD,
        "user_agent.os.name": _KEYWORD,
        "http.request.method": _KEYWORD,
        "http.request.referrer": _KEYWORD,
        "http.request.bytes": _LONG,
        "http.response.status_code": _LONG,
        "http.response.bytes": _LONG,
        "event.duration": _LONG,
        "tag": _KEYWORD,
        "truth": _KEYWORD,
    }

    def __init__(self, seed: int, start: datetime, days: float, options: WebRequestsOptions) -> None:
        super().__init__(seed, start, days, options)
        self.options = options
        self._minutes = int((self.end - self.start) / timedelta(minutes=1))
        self.site = Site(seed, options.clients, options.wrong, options.unlabelled)

    @cached_property
    def tables(self) -> WebTables:
        """What the rows repeat."""
        return WebTables(self.site)

    @property
    def documents_estimate(self) -> int:
        """Exactly how many documents there are."""
        return self._before(self._minutes)

    def _before(self, minute: int) -> int:
        """How many requests come before a minute at which a day begins, or all end."""
        if self.options.rows is not None:
            return self.options.rows * minute // self._minutes
        return self.options.rows_per_day * minute // 1440

    def day_columns(self, day: int) -> Iterator[Columns]:
        """The requests of a day as columns, three hours at a time, each drawn from its own seeds."""
        first, last = day * 1440, min((day + 1) * 1440, self._minutes)
        rng = stream(self.seed, COUNTS, day)
        kinds = rng.multinomial(self._before(last) - self._before(first), self.options.all_shares)
        moment = (self.start.hour * 60 + self.start.minute + np.arange(last - first)) % 1440
        shapes = [rhythm(kind, moment) for kind in KINDS]
        counts = np.array([rng.multinomial(count, shape / shape.sum()) for count, shape in zip(kinds, shapes, strict=True)])
        for part in range(0, last - first, MINUTES):
            yield self.site.draw(stream(self.seed, ROWS, day, part), counts[:, part : part + MINUTES], part)

    def day_chunks(self, day: int) -> Iterator[WebChunk]:
        """Eight chunks of three hours."""
        number = 0
        for columns in self.day_columns(day):
            yield WebChunk(day, number, self.start + day * DAY, columns, self.tables, self.options.truth)
            number += len(columns)

    def truth(self) -> list[dict[str, Any]]:
        """Nothing: each row says what it is."""
        return []


def frame(
    rows: int,
    *,
    seed: int = 42,
    start: datetime = START,
    days: float = 7,
    **options: Any,  # noqa: ANN401 - see WebRequestsOptions
) -> pd.DataFrame:
    """The requests as a frame: one row a request, in time order, columns by their dotted names.

    Args:
        rows: How many.
        seed: The same seed (and the rest) gives the same rows.
        start: The first moment.
        days: Over how many days they are spread.
        **options: What `WebRequestsOptions` takes: `shares`, `label_noise`, `unlabelled`, `clients`, `truth`.

    Returns:
        The columns are the fields of the documents: `@timestamp` is a UTC time to the millisecond, sizes and durations (in
        nanoseconds) are int64, the rest is text. What is not there is missing: no user, no referrer, no tag.

    Raises:
        DefinitionError: Options that do not say what they must.
    """
    import pandas as pd

    made = WebRequests(seed, start, days, WebRequestsOptions.parse({**options, "rows": rows}, where="web_requests.frame"))
    parts, begins = [], []
    for day in range(made.day_count):
        for columns in made.day_columns(day):
            parts.append(columns)
            begins.append(np.full(len(columns), day, dtype=np.int64))
    columns = Columns.joined(parts)
    since = np.datetime64(made.start.replace(tzinfo=None), "ms")
    times = since + (np.concatenate(begins) * 86_400_000 + columns.ms).astype("timedelta64[ms]")
    data = {"@timestamp": pd.DatetimeIndex(times).tz_localize("UTC"), **made.tables.columns(columns)}
    if not made.options.truth:
        del data["truth"]
    return pd.DataFrame(data)
