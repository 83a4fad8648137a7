"""Custom rules, filters and calendars: what is known in advance to be no anomaly, or no lesson. Elastic's terms and meaning."""

from __future__ import annotations

import hashlib
import operator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, ValidationInfo, field_validator, model_validator

from driftline.core.definition import Definition, identifier, newly_put
from driftline.core.errors import DefinitionError
from driftline.core.timespan import Time, Window, iso, known_zone, parse_time

if TYPE_CHECKING:
    from driftline.core.feedback import Verdict
    from driftline.core.job import Job
    from driftline.core.series import SeriesKey

Action = Literal["skip_result", "skip_model_update", "force_time_shift"]
Operator = Literal["lt", "lte", "gt", "gte"]
Quantity = Literal["actual", "typical", "diff_from_typical", "time"]
Identifier = Annotated[str, AfterValidator(identifier)]
_OPERATORS = {"lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge}
ITEMS_MOST = 10_000  # of a filter: Elastic's limit
ALL = "_all"
MILLISECONDS = 1e11  # as many seconds are thousands of years
MONTH = 30 * 86_400
EVERY = {"day": timedelta(days=1), "week": timedelta(weeks=1)}


class Condition(Definition):
    """A comparison; all of a rule's must hold."""

    applies_to: Quantity = Field(description="What is compared; diff_from_typical without its sign, time as epoch seconds.")
    operator: Operator
    value: float

    @model_validator(mode="after")
    def _time_is_in_seconds(self, info: ValidationInfo) -> Condition:
        if self.applies_to == "time" and abs(self.value) >= MILLISECONDS and newly_put(info, self):
            raise ValueError(f"a time is in epoch seconds; {self.value:g} is beyond all times: are these milliseconds?")
        return self

    def holds(self, given: Any) -> Any:  # noqa: ANN401 - numbers or arrays
        """Whether a number, or each of an array, is so; NaN never is."""
        return _OPERATORS[self.operator](given, self.value)

    def __str__(self) -> str:
        sign = {"lt": "<", "lte": "≤", "gt": ">", "gte": "≥"}[self.operator]
        value = iso(parse_time(self.value)) if self.applies_to == "time" else f"{self.value:g}"
        return f"{self.applies_to} {sign} {value}"


class Scope(Definition):
    """Which values of a split field a rule is about."""

    filter_id: Identifier = Field(description="The filter that lists them.")
    filter_type: Literal["include", "exclude"] = Field("include", description="Those that it lists, or all others.")


class TimeShift(Definition):
    """By how much clocks were moved."""

    time_shift_amount: int = Field(description="Seconds; 3600 when they are put forward an hour.")


class Parameters(Definition):
    """What an action needs to know."""

    force_time_shift: TimeShift | None = None


class Rule(Definition):
    """A custom rule of a detector."""

    actions: list[Action] = Field(
        default=["skip_result"],
        min_length=1,
        description="skip_result: no record. skip_model_update: nothing is learned from it. force_time_shift: clocks are moved "
        "from then on.",
    )
    scope: dict[str, Scope] = Field(
        default_factory=dict, description="Split field → filter; the rule is about series whose values are in all of them."
    )
    conditions: list[Condition] = Field(default_factory=list, description="All must hold.")
    params: Parameters = Field(default_factory=Parameters)

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        if not self.scope and not self.conditions:
            raise ValueError("a rule needs a scope or conditions; without either it would be about everything")
        shift = "force_time_shift" in self.actions
        if shift != (self.params.force_time_shift is not None):
            raise ValueError("force_time_shift goes with params.force_time_shift.time_shift_amount, and only with it")
        if shift and (self.scope or {each.applies_to for each in self.conditions} != {"time"}):
            raise ValueError("force_time_shift needs conditions on time, and only such: it is about the clocks of all series")
        return self

    def concerns(self, values: dict[str, str | None], filters: dict[str, tuple[str, ...]]) -> bool:
        """Whether a series with these values of split fields is in the scope.

        Raises:
            DefinitionError: There is no such filter.
        """
        for name, scope in self.scope.items():
            if scope.filter_id not in filters:
                raise DefinitionError(
                    f"there is no filter '{scope.filter_id}'",
                    where=f"custom_rules, scope of '{name}'",
                    expected=", ".join(sorted(filters)) or "a filter of that name",
                    fix="Make it: driftline filters put FILE",
                )
            value = values.get(name)
            if value is None or listed(value, filters[scope.filter_id]) != (scope.filter_type == "include"):
                return False
        return True

    def __str__(self) -> str:
        parts = [
            f"{name} {'in' if one.filter_type == 'include' else 'not in'} {one.filter_id}" for name, one in self.scope.items()
        ]
        return f"{', '.join(self.actions)} where {' and '.join([*parts, *map(str, self.conditions)])}"


def listed(value: str, items: tuple[str, ...]) -> bool:
    """Whether a filter lists a value; an item may begin or end with `*`."""
    return value in items or any(_like(value, item) for item in items if item.startswith("*") or item.endswith("*"))


def _like(value: str, item: str) -> bool:
    open_start, open_end = item.startswith("*"), item.endswith("*")
    body = item[open_start : len(item) - open_end] if len(item) > 1 else ""
    if open_start and open_end:
        return body in value
    return value.endswith(body) if open_start else value.startswith(body)


class Filter(Definition):
    """A list of values that rules are about: safe domains, known scanners."""

    filter_id: Identifier
    description: str = ""
    items: list[str] = Field(max_length=ITEMS_MOST, description="Values; `*` at the start or the end stands for anything.")


def fits(patterns: list[str], *values: str | None) -> bool:
    """Whether any of the values that a series has fits a pattern, where `*` and `?` stand for anything; `*` fits all series."""
    here = [value for value in values if value is not None] or [""]
    # brackets are part of names, not of patterns
    return any(each == "*" or fnmatchcase(value, each.replace("[", "[[]")) for each in patterns for value in here)


class ScheduledEvent(Definition):
    """A time for which something is known, such as a maintenance or a holiday."""

    description: str = Field(min_length=1)
    start_time: Time
    end_time: Time
    skip_result: bool = Field(True, description="Whether there are no results then.")
    skip_model_update: bool = Field(True, description="Whether nothing is learned then.")
    force_time_shift: int | None = Field(None, description="Seconds by which clocks were moved at its start.")
    partitions: list[str] = Field(
        default_factory=lambda: ["*"],
        min_length=1,
        description="Patterns (`*`, `?`) of the partition, by or over values it is about.",
    )
    detectors: list[NonNegativeInt] = Field(
        default_factory=list, description="Numbers of the detectors it is about, from 0 on; none given, all."
    )
    every: Literal["day", "week"] | None = Field(
        None, description="How often it comes again, by the clocks of the calendar's `time_zone`. Default: it does not."
    )

    @model_validator(mode="after")
    def _consistent(self) -> ScheduledEvent:
        Window(self.start_time, self.end_time)
        if self.end_time == self.start_time:
            raise ValueError("the event is over when it begins")
        if self.every and self.end_time - self.start_time > EVERY[self.every]:
            raise ValueError(f"the event comes again every {self.every}, before it is over")
        if self.force_time_shift and not self.about_all:
            raise ValueError("force_time_shift is about the clocks of all series: it goes with no partitions or detectors")
        return self

    @property
    def id(self) -> str:
        """What tells it from others: a hash of what it says."""
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()[:12]

    @property
    def about_all(self) -> bool:
        """Whether it is about all series."""
        return "*" in self.partitions and not self.detectors

    def concerns(self, key: SeriesKey) -> bool:
        """Whether it is about a series, or about what was compared."""
        if self.detectors and key.detector_index not in self.detectors:
            return False
        return fits(self.partitions, *key[1:])

    def __str__(self) -> str:
        about = [] if "*" in self.partitions else [", ".join(self.partitions)]
        about += [f"detectors {', '.join(map(str, self.detectors))}"] if self.detectors else []
        return self.description + (f" (about {', '.join(about)})" if about else "")


class Calendar(Definition):
    """Scheduled events, and the jobs that they are about."""

    calendar_id: Identifier
    description: str = ""
    job_ids: list[str] = Field(
        default_factory=list, description=f"Ids of jobs, patterns of them (`*`), groups, or `{ALL}`; no job, unless given."
    )
    events: list[ScheduledEvent] = Field(default_factory=list)
    ical: str | None = Field(None, description="An iCalendar's text; recurring events and time zones are understood.")
    holidays: list[str] = Field(
        default_factory=list, description="Countries or their parts whose public holidays are events: DE, US-CA."
    )
    time_zone: str = Field("UTC", description="When holidays begin, and events of an iCalendar that name no zone.")

    @field_validator("time_zone")
    @classmethod
    def _zone_is_known(cls, value: str) -> str:
        return known_zone(value)

    @field_validator("holidays")
    @classmethod
    def _countries_are_known(cls, value: list[str]) -> list[str]:
        from driftline.core import occasions

        for country in value:
            occasions.check_country(country)
        return value

    @field_validator("ical")
    @classmethod
    def _ical_is_readable(cls, value: str | None) -> str | None:
        from driftline.core import occasions

        if value is not None:
            occasions.parse_ical(value)
        return value

    def concerns(self, job: Job) -> bool:
        """Whether it is about a job."""
        return about(job, self.job_ids)

    def between(self, start: datetime, end: datetime) -> list[ScheduledEvent]:
        """Its events that overlap a time, by their start."""
        from driftline.core import occasions

        found = [each for event in self.events for each in _occurrences(event, start, end, self.time_zone)]
        of_ical = occasions.of_ical(self.ical, start, end, self.time_zone)
        of_countries = occasions.of_countries(tuple(self.holidays), start, end, self.time_zone)
        for text, first, last in (*of_ical, *of_countries):
            found.append(ScheduledEvent(description=text, start_time=first, end_time=last))
        return sorted(found, key=lambda event: (event.start_time, event.description))


def _occurrences(event: ScheduledEvent, start: datetime, end: datetime, zone: str) -> list[ScheduledEvent]:
    """An event as often as it overlaps a time."""
    if event.every is None:
        return [event] if event.start_time < end and start < event.end_time else []
    from driftline.core import occasions

    lasts = event.end_time - event.start_time
    times = occasions.recurring(event.start_time, EVERY[event.every], start - lasts, end, zone)
    return [event.model_copy(update={"start_time": first, "end_time": first + lasts}) for first in times]


def about(job: Job, job_ids: list[str]) -> bool:
    """Whether ids, patterns or groups, as a calendar has them, name a job."""
    return any(each == ALL or each in job.groups or fnmatchcase(job.job_id, str(each)) for each in job_ids)


@dataclass(frozen=True)
class Known:
    """What a job's rules refer to, and what people said.

    Attributes:
        filters: Filter → its items.
        calendars: Those that are about the job.
        feedback: What was said of its records, and was not taken back.
    """

    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    calendars: tuple[Calendar, ...] = ()
    feedback: tuple[Verdict, ...] = ()
    _months: dict[int, dict[tuple[str, str], tuple[str, ScheduledEvent]]] = field(default_factory=dict, compare=False, repr=False)

    def events(self, start: float, end: float) -> list[tuple[str, ScheduledEvent]]:
        """Events that overlap a time in epoch seconds, with their calendars; looked up once a month of time."""
        if not self.calendars:
            return []
        found: dict[tuple[str, str], tuple[str, ScheduledEvent]] = {}
        for month in range(int(start // MONTH), int(end // MONTH) + 1):
            found |= self._of_month(month)
        return [each for each in found.values() if each[1].start_time.timestamp() < end and start < each[1].end_time.timestamp()]

    def _of_month(self, month: int) -> dict[tuple[str, str], tuple[str, ScheduledEvent]]:
        if month not in self._months:
            first, last = (datetime.fromtimestamp(edge * MONTH, UTC) for edge in (month, month + 1))
            here = [(one.calendar_id, event) for one in self.calendars for event in one.between(first, last)]
            self._months[month] = {(name, event.id): (name, event) for name, event in here}
        return self._months[month]
