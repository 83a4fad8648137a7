"""Alerts: which findings are told to whom, and when not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, field_validator, model_validator

from driftline.core.definition import Definition
from driftline.core.rules import ALL, Identifier, about, fits
from driftline.core.timespan import Span, known_zone

if TYPE_CHECKING:
    from driftline.core.job import Job

Severity = Literal["warning", "minor", "major", "critical"]
Tells = Literal["event", "record", "quality"]
ChannelKind = Literal["email", "slack", "pagerduty", "webhook"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
RANKS: tuple[Severity, ...] = ("warning", "minor", "major", "critical")
WEEK = timedelta(weeks=1)
_CONNECTION = re.compile(r"[\w.\-]{1,200}")  # Airflow's rule for ids of connections
_ADDRESS = re.compile(r"[^\s@,;<>\"\x00-\x1f\x7f]+@[^\s@,;<>\"\x00-\x1f\x7f]+")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_PATH = re.compile(r"(?!.*://)[!-~]*")


def _clock(value: object) -> object:
    """YAML reads 22:00 without quotes as 1320, minutes in an hour of sixty."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return f"{value // 60:02}:{value % 60:02}"
    if isinstance(value, str) and not _CLOCK.fullmatch(value):
        raise ValueError(f"'{value[:20]}' is no time of day: such as 22:00")
    return value


def _conn_id(value: str) -> str:
    if not _CONNECTION.fullmatch(value):
        raise ValueError(f"'{value[:40]}' is no id of a connection: letters, digits, '_', '-' and '.'")
    return value


Clock = Annotated[time, BeforeValidator(_clock), PlainSerializer(lambda value: f"{value:%H:%M}", return_type=str)]


class Quiet(Definition):
    """Hours in which nothing is told."""

    start: Clock = Field(alias="from", description="When they begin, by the clocks of `time_zone`, such as 22:00.")
    end: Clock = Field(alias="to", description="When they end; not after `from`, it is the next day's.")
    days: list[Day] = Field(list(DAYS), min_length=1, description="On which days they begin.")

    def around(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """When the quiet hours end that a moment lies in; None where it lies in none."""
        today = moment.astimezone(zone).date()
        for day in (today - timedelta(days=1), today):
            if DAYS[day.weekday()] in self.days:
                last = _at(day + timedelta(days=self.end <= self.start), self.end, zone)
                if _at(day, self.start, zone) <= moment < last:
                    return last
        return None


def _at(day: date, clock: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, clock, zone).astimezone(UTC)


class Channel(Definition):
    """Where it is told."""

    kind: ChannelKind = Field(description="What is spoken there.")
    conn_id: Annotated[str, AfterValidator(_conn_id)] = Field(
        description="The Airflow connection that has the address and the secrets."
    )
    to: list[str] = Field(default_factory=list, max_length=100, description="Of e-mail: whom it goes to.")
    path: str = Field("", max_length=1000, description="Of a webhook: the path after the connection's host.")

    @model_validator(mode="after")
    def _suits(self) -> Channel:
        if (self.kind == "email") != bool(self.to):
            raise ValueError("an e-mail needs addresses in 'to', and no other channel has them")
        if self.path and self.kind != "webhook":
            raise ValueError("only a webhook has a path")
        for address in self.to:
            if not _ADDRESS.fullmatch(address):
                raise ValueError(f"{address[:80]!r} is no e-mail address")
        if not _PATH.fullmatch(self.path):
            raise ValueError("the path holds blanks, control characters, or a host; the host is the connection's")
        return self

    @property
    def key(self) -> str:
        """Tells channels apart: what was told on one was not told on another."""
        return "\0".join([self.kind, self.conn_id, self.path, *self.to])


class Alert(Definition):
    """What is told on one channel."""

    alert_id: Identifier
    description: str = ""
    tells: Tells = Field(
        "event",
        description="event: incidents that alarm. record: each anomalous bucket. quality: what the gate warns of (minor) or "
        "stops for (critical).",
    )
    min_severity: Severity = Field("major", description="What is milder is not told.")
    jobs: list[str] = Field(
        default=[ALL],
        min_length=1,
        description=f"Ids of jobs, patterns of them (`*`), groups, or `{ALL}`; of quality ids of sources, too.",
    )
    partitions: list[str] = Field(
        default=["*"],
        min_length=1,
        description="Patterns (`*`, `?`) of the partition, by or over values it is about; one that fits is enough.",
    )
    quiet_hours: list[Quiet] = Field(default_factory=list, max_length=50, description="When nothing is told; see below.")
    time_zone: str = Field("UTC", description="Whose clocks quiet hours go by.")
    during_quiet: Literal["defer", "drop"] = Field(
        "defer", description="defer: it is told by the first run after the quiet hours. drop: it is never told."
    )
    max_age: Span = Field(
        timedelta(days=7), description="What was over longer ago is not told: a backfill of last year wakes nobody."
    )
    channel: Channel = Field(description="Where it is told; see below.")
    enabled: bool = Field(True, description="Whether it is told at all.")

    @field_validator("time_zone")
    @classmethod
    def _zone_is_known(cls, value: str) -> str:
        return known_zone(value)

    def about_job(self, job: Job) -> bool:
        """Whether it is about a job."""
        return about(job, self.jobs)

    def about_source(self, source_id: str) -> bool:
        """Whether it is about a source: what it is told of those is their quality."""
        return self.tells == "quality" and any(each == ALL or fnmatchcase(source_id, each) for each in self.jobs)

    def about_values(self, values: list[str]) -> bool:
        """Whether it is about something with these values of split fields."""
        return fits(self.partitions, *values)

    def severe(self, severity: Severity) -> bool:
        """Whether something is severe enough."""
        return RANKS.index(severity) >= RANKS.index(self.min_severity)

    def quiet_until(self, moment: datetime) -> datetime | None:
        """When it may be told again; None when it may be now. Hours that follow one another are one, up to a week."""
        zone, end = ZoneInfo(self.time_zone), moment
        while end - moment < WEEK:
            ends = [last for each in self.quiet_hours if (last := each.around(end, zone))]
            if not ends:
                break
            end = max(ends)
        return end if end > moment else None


@dataclass(frozen=True)
class Message:
    """What is told of one incident.

    Attributes:
        event_id: What tells it from others, on every channel and whenever it is sent: the deduplication key.
        name: The job, or the source.
        severity: How bad it is.
        title: One line.
        text: What happened, in sentences.
        start: When it began, epoch milliseconds.
        end: When it was over, or how far it is known.
        page: The page of ours that shows it, with its query.
        about: What tells its series from others, whatever version of the job found it.
        detector: Number of the detector; None where it is of several.
        job_version: The version of the job that found it.
        values: Values of split fields.
    """

    event_id: str
    name: str
    severity: Severity
    title: str
    text: str
    start: int
    end: int
    page: str
    about: str = ""
    detector: int | None = None
    job_version: str = ""
    values: tuple[str, ...] = ()

    def same_incident(self, other: Message) -> bool:
        """Whether it tells again of what another one told, though its id is another: the job was edited, or it began earlier."""
        overlap = self.about == other.about and self.start < other.end and other.start < self.end
        return overlap and (self.detector == other.detector or self.job_version != other.job_version)
