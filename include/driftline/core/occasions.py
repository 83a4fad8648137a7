"""Events of iCalendars and public holidays, as (text, start, end)."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import icalendar

Occasion = tuple[str, datetime, datetime]
DAY = timedelta(days=1)
_DAYS = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_ENDLESS = re.compile(r"FREQ=(?:SECOND|MINUTE)LY|INTERVAL=(?!0*[1-9])", re.IGNORECASE)


@lru_cache(maxsize=16)
def parse_ical(text: str) -> icalendar.Calendar:
    """The calendar of an iCalendar's text.

    Raises:
        ValueError: It is none, or an event of it comes more often than anything could look at, or never.
    """
    import icalendar
    import recurring_ical_events

    try:
        found = icalendar.Calendar.from_ical(text)
        # these would be counted for ever, so before anything is
        endless = [rule for rule in _rules(found) if _ENDLESS.search(rule)]
        never = [rule for rule in _rules(found) if _never(rule)]
        if not endless and not never:
            recurring_ical_events.of(found).at(2000)
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        raise ValueError(f"not an iCalendar: {error}; it begins with BEGIN:VCALENDAR") from None
    if endless:
        raise ValueError(f"RRULE '{endless[0]}' comes too often: INTERVAL is 1 or more, and FREQ HOURLY or rarer")
    if never:
        raise ValueError(f"RRULE '{never[0]}' never comes: no month of it has such a day")
    return found


def _never(rule: str) -> bool:
    """Whether it names days that none of its months has: they would be looked for until the end of all years."""
    parts = dict(part.upper().partition("=")[::2] for part in rule.split(";"))
    days, months = ([int(each) for each in re.findall(r"\d+", parts.get(name, ""))] for name in ("BYMONTHDAY", "BYMONTH"))
    return bool(days) and min(days) > max(_DAYS.get(month, 31) for month in months or [1])


def _rules(found: icalendar.Calendar) -> list[str]:
    rules = [rule for part in found.walk() if (rule := part.get("RRULE")) is not None]
    return [each.to_ical().decode() for rule in rules for each in (rule if isinstance(rule, list) else [rule])]


def of_ical(text: str | None, start: datetime, end: datetime, zone: str) -> list[Occasion]:
    """The events between two times that were not cancelled; those that name no zone are in `zone`."""
    if text is None:
        return []
    import recurring_ical_events

    found = []
    # days and times without a zone are compared as if they were UTC: a day more on both sides has them all
    for event in recurring_ical_events.of(parse_ical(text)).between(start - DAY, end + DAY):
        first = _moment(event.start, zone)
        last = max(_moment(event.end, zone), first + timedelta(seconds=1))
        cancelled = str(event.get("STATUS") or "").upper() == "CANCELLED"
        if first < end and start < last and not cancelled:
            found.append((str(event.get("SUMMARY") or "event"), first, last))
    return found


def _moment(when: date | datetime, zone: str) -> datetime:
    whole = when if isinstance(when, datetime) else datetime.combine(when, time())
    return (whole if whole.tzinfo else whole.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def check_country(country: str) -> None:
    """Refuses a country, or part of one, that is not known.

    Raises:
        ValueError: Names it.
    """
    _holidays(country, 2020)


@lru_cache(maxsize=256)
def _holidays(country: str, year: int) -> Any:  # noqa: ANN401 - a mapping of dates to names
    import holidays

    name, dash, part = country.partition("-")
    try:
        # any name of the library would do for it
        if (dash and not part) or name not in holidays.list_supported_countries() | holidays.list_supported_financial():
            raise NotImplementedError
        return holidays.country_holidays(name, subdiv=part or None, years=year)
    except NotImplementedError:
        raise ValueError(f"no holidays are known of '{country}': ISO 3166 codes such as DE, US-CA") from None


def of_countries(countries: tuple[str, ...], start: datetime, end: datetime, zone: str) -> list[Occasion]:
    """The public holidays between two times, each a day by the clocks of `zone`."""
    found = []
    for country in countries:
        for year in range((start - DAY).year, (end + DAY).year + 1):
            for day, name in _holidays(country, year).items():
                first, last = _moment(day, zone), _moment(day + DAY, zone)
                if first < end and start < last:
                    found.append((f"{name} ({country})", first, last))
    return found


def recurring(first: datetime, period: timedelta, start: datetime, end: datetime, zone: str) -> list[datetime]:
    """When what began at first begins between `start` and `end`, at the same time of the day by the clocks of a zone."""
    began = first.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    number, found = max(0, (start - first) // period - 1), []
    while (moment := _moment(began + number * period, zone)) < end:
        if moment > start:
            found.append(moment)
        number += 1
    return found
