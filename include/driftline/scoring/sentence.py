"""Deviations in plain words: `17 times lower than expected for a Tuesday 10:00 (2 instead of 34), for 25 minutes`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from driftline.core.results import readable

# Names are ours and not the locale's: the same result reads the same wherever it was made.
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
SETTLED = 0.5
TEMPLATE_MOST = 200  # characters of what is told of messages
_BEFORE = {
    "level_shift": "a new level: ",
    "ramp": "drifting away: ",
    "variance": "it varies as it never did: ",
    "contextual": "unlike the same time on other days: ",
}


def sentence(
    actual: float,
    typical: float,
    *,
    time: datetime | None = None,
    lasted: timedelta | None = None,
    kind: str = "",
    zone: tzinfo = UTC,
    counts: bool = True,
) -> str:
    """A deviation in words.

    Args:
        actual: What was counted or measured, at its worst.
        typical: What was expected then.
        time: When, aware; None leaves it out.
        lasted: For how long; None leaves it out.
        kind: What it is, as in KINDS.
        zone: Whose weekday and clock.
        counts: Whether a 0 says that nothing came, as of counts and sums; of a temperature it is a value like any other.
    """
    when = f" for {weekday_and_time(time, zone)}" if time else ""
    if kind == "flatline":
        said = f"stuck at {readable(actual)}"
    elif kind == "silence" and actual == 0 and typical < SETTLED:  # the level has followed; that it is silent is no less so
        said = ("still nothing at all" if counts else "still at 0") + f" on {when.removeprefix(' for ')}" * bool(when)
    else:
        said = _BEFORE.get(kind, "") + compare(actual, typical, when, counts=counts)
    return said + (f", for {duration(lasted)}" if lasted else "")


def compare(actual: float, typical: float, when: str = "", *, counts: bool = True) -> str:
    """Two values in words: `17 times lower than expected (2 instead of 34)`, with `when` after `expected`; as of `sentence`."""
    pair = f"({readable(actual)} instead of {readable(typical)})"
    direction = "higher" if actual > typical else "lower"
    if counts and actual == 0 < typical:
        return f"nothing at all, {readable(typical)} expected{when}"
    ratio = max(actual / typical, typical / actual) if typical > 0 and actual > 0 else 1.0
    shown = f"{ratio:.1f}".removesuffix(".0") if ratio < 3 else f"{ratio:,.0f}"
    times = f"{shown} times " if ratio >= 1.5 else ""
    return f"{times}{direction} than expected{when} {pair}"


def messages_of(template: str | None) -> str:
    """What kind of messages it is about, to follow a sentence: `; messages 'Accepted password for <*>'`."""
    return f"; messages '{template[:TEMPLATE_MOST]}{'…' * (len(template) > TEMPLATE_MOST)}'" if template else ""


def weekday_and_time(time: datetime, zone: tzinfo = UTC) -> str:
    """`a Tuesday 10:00`."""
    local = time.astimezone(zone)
    return f"a {_DAYS[local.weekday()]} {local:%H:%M}"


def duration(span: timedelta) -> str:
    """A duration in its two largest units: `25 minutes`, `2 hours 30 minutes`, `1 day`."""
    left = round(span.total_seconds())
    words: list[str] = []
    for seconds, name in _UNITS:
        count, left = divmod(left, seconds)
        if count and len(words) < 2:
            words.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(words) or "0 seconds"
