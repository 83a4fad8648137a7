"""What of the access-log traffic and its anomalies can be set."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from driftline.core.definition import Definition
from driftline.core.timespan import Span, iso, parse_span, parse_time

Kind = Literal[
    "spike", "drop", "silence", "level_shift", "ramp", "flatline", "variance", "contextual", "population", "not_found",
    "outage", "intermittent_errors", "site_drop", "ip_collapse", "response_size",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)

MAGNITUDES: dict[str, float] = {
    "spike": 10, "drop": 0.4, "silence": 0, "level_shift": 1.6, "ramp": 2.5, "flatline": 1, "variance": 0.7,
    "contextual": 12,
    "population": 15, "not_found": 0.15, "outage": 0.03, "intermittent_errors": 0.35, "site_drop": 0.85,
    "ip_collapse": 0.1,
    "response_size": 5,
}  # fmt: skip
"""What `magnitude` means, and is by default, for each kind.

A factor on the rate: spike, drop, silence, level_shift, ramp (at its end), outage, site_drop; on the level that it
freezes at: flatline; on response sizes: response_size. The relative swing: variance. Hours that the daily curve moves:
contextual. Downloads an hour: population. Requests at the peak, as a share of the site's: not_found. The share of
requests that fail: intermittent_errors; that keep their own address: ip_collapse.
"""
WHOLE_SITE = {"site_drop", "ip_collapse"}


def _moment(value: object) -> object:
    """An offset from the start (`21d14h`) or a point in time, kept as the canonical text of what it is."""
    text = str(value).strip()
    if re.fullmatch(r"(\s*\d+(\.\d+)?\s*(ms|s|m|h|d|w))+|0", text.lower()):
        parse_span(text)
        return text.lower()
    return iso(parse_time(text))


Moment = Annotated[str, BeforeValidator(_moment)]


class Injection(Definition):
    """One anomaly: what, when, how strong, on which partition."""

    kind: Kind
    at: Moment = Field(
        description="When it begins: an offset from the start of the source (21d14h) or a time (2026-03-22T14:00Z)."
    )
    duration: Span = Field(description="How long it lasts. It is cut at the end of the source.")
    magnitude: float | None = Field(None, ge=0, le=10_000, description="How strong; its meaning and default depend on the kind.")
    endpoints: list[str | int] = Field(default_factory=list, description="Paths, or ranks (0 is the busiest). Default: all.")
    share: float | None = Field(None, gt=0, le=1, description="Instead of endpoints: this share of them, by seed.")
    host: str | int | None = Field(None, description="Only requests that this host (name or number from 0) answers.")
    overlap: bool = Field(False, description="Allow it to overlap others on the same partition at the same time.")

    @field_validator("endpoints", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str | int) else value

    @model_validator(mode="after")
    def _consistent(self) -> Injection:
        if self.endpoints and self.share is not None:
            raise ValueError("give endpoints or share, not both")
        if self.host is not None and self.kind in {"flatline", "variance", "contextual", "population", "not_found"}:
            raise ValueError(f"{self.kind} cannot be limited to a host")
        if self.kind in WHOLE_SITE and (self.endpoints or self.share):
            raise ValueError(f"{self.kind} concerns all endpoints; use drop for some of them")
        if self.kind in {"ip_collapse", "intermittent_errors"} and self.strength > 1:
            raise ValueError(f"magnitude of {self.kind} is a share of the requests: 0 to 1")
        if self.kind == "variance" and self.strength > 1:
            raise ValueError("magnitude of variance is a relative swing: 0 to 1")
        return self

    @property
    def strength(self) -> float:
        """The magnitude, or the kind's default."""
        return MAGNITUDES[self.kind] if self.magnitude is None else self.magnitude


class AccessLogOptions(Definition):
    """A web site's traffic, and what goes wrong in it."""

    events_per_day: float = Field(
        35_700, ge=100, le=50_000_000, description="Requests a day on average: about 1 million in 28 days."
    )
    endpoints: int = Field(40, ge=1, le=20_000, description="Different values of url.path.")
    hosts: int = Field(5, ge=1, le=1_000, description="Different values of host.name.")
    countries: int = Field(16, ge=1, le=24, description="Countries that visitors come from, each with its own time of day.")
    clients: int = Field(
        30_000, ge=100, le=2_000_000, description="Different values of source.ip; few are heard often, most rarely."
    )
    daily: float = Field(1.0, ge=0, le=1, description="How deep the daily rhythm is; 0: none.")
    weekly: float = Field(1.0, ge=0, le=1, description="How much weekends differ; 0: not at all.")
    drift: float = Field(1.0, ge=0, le=5, description="How much the level of each endpoint wanders.")
    noise: float = Field(1.0, ge=0, le=10, description="How much more counts vary than chance alone would have it; 0: Poisson.")
    schedule: Literal["default", "none"] = Field(
        "default", description="Inject one of everything in the last quarter, or nothing."
    )
    without: list[Kind] = Field(default_factory=list, description="Kinds to leave out of the default schedule.")
    suspicious_days: tuple[int, int] = Field(
        (6, 9), description="First and last day, counted from 1, of the one suspicious client."
    )
    injections: list[Injection] = Field(
        default_factory=list, description="Anomalies of your own, beside the default schedule or alone."
    )

    @field_validator("suspicious_days")
    @classmethod
    def _in_order(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1]:
            raise ValueError("the first day must be 1 or more, and the last not before it")
        return value


def offset(moment: str) -> timedelta | None:
    """The offset that a validated moment is, or None when it is a point in time."""
    if moment == "0":
        return timedelta(0)
    return None if moment.endswith("Z") else parse_span(moment)
