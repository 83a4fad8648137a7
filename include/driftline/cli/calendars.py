"""`driftline calendars …` and `driftline filters …`: what is known in advance to be no anomaly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.cli.output import Json, emit, safe, say, table

if TYPE_CHECKING:
    from driftline.core.rules import Calendar, Filter
    from driftline.pipeline.calendars import Kind

calendars = typer.Typer(
    help="Calendars: maintenance, holidays, and the jobs they are about.", no_args_is_help=True, rich_markup_mode=None
)
filters = typer.Typer(help="Filters: lists of values that custom rules refer to.", no_args_is_help=True, rich_markup_mode=None)
Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="YAML, or JSON as Elastic's API takes it.")]
Name = Annotated[str, typer.Argument(help="Its id.")]


@calendars.command("list", epilog="Example: driftline calendars list --json")
def list_calendars(json: Json = False) -> None:
    """List all calendars, those that are broken too."""
    _list("calendar", json, ["calendar", "from", "jobs", "events", "description"], _of_calendar)


@filters.command("list", epilog="Example: driftline filters list")
def list_filters(json: Json = False) -> None:
    """List all filters, those that are broken too."""
    _list("filter", json, ["filter", "from", "items", "description"], lambda one: [len(one.items), one.description])


@calendars.command(epilog="Example: driftline calendars put holidays.yaml maintenance.ics --job 'web-*'")
def put(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="YAML, Elastic's JSON, or an iCalendar (.ics).")],
    job: Annotated[list[str] | None, typer.Option("--job", help="Job ids, patterns or groups that it is about.")] = None,
    json: Json = False,
) -> None:
    """Store calendars in Elasticsearch; one of the same id is replaced. Scoring and training go by them from now on."""
    _put("calendar", files, json, job_ids=job)


@filters.command("put", epilog="Example: driftline filters put safe-domains.yaml")
def put_filters(files: Files, json: Json = False) -> None:
    """Store filters in Elasticsearch; one of the same id is replaced."""
    _put("filter", files, json)


@calendars.command("delete", epilog="Example: driftline calendars delete maintenance")
def delete_calendar(name: Name, json: Json = False) -> None:
    """Delete a calendar of the index."""
    _delete("calendar", name, json)


@filters.command("delete", epilog="Example: driftline filters delete safe-domains")
def delete_filter(name: Name, json: Json = False) -> None:
    """Delete a filter of the index."""
    _delete("filter", name, json)


@calendars.command(epilog="Example: driftline calendars events --start now-7d --end now+30d")
def events(
    start: Annotated[str, typer.Option(help="From when.")] = "now",
    end: Annotated[str, typer.Option(help="Until when.")] = "now+30d",
    json: Json = False,
) -> None:
    """List the scheduled events of all calendars, recurring ones and holidays included."""
    from driftline.core.rules import Calendar
    from driftline.core.timespan import Window, iso
    from driftline.elastic.client import connect
    from driftline.pipeline.calendars import stored

    window = Window.parse(start, end)
    found = [
        (one.id, event)
        for one in stored(connect())
        if isinstance(one.definition, Calendar)
        for event in one.definition.between(window.start, window.end)
    ]
    if json:
        return emit([{"calendar_id": name, **event.model_dump(mode="json")} for name, event in found])
    rows: list[list[object]] = [
        [iso(event.start_time), iso(event.end_time), str(event), name]
        for name, event in sorted(found, key=lambda each: each[1].start_time)
    ]
    table(f"Events in {window}", ["start", "end", "event", "calendar"], rows)
    return None


def _of_calendar(one: Calendar) -> list[object]:
    events = f"{len(one.events)}" + (", iCalendar" if one.ical else "") + "".join(f", {country}" for country in one.holidays)
    return [", ".join(one.job_ids) or "no job", events, one.description]


def _list(kind: Kind, json: bool, columns: list[str], row: Any) -> None:  # noqa: ANN401 - a function of either
    from driftline.elastic.client import connect
    from driftline.pipeline.calendars import stored

    found = [one for one in stored(connect()) if one.kind == kind]
    if json:
        return emit([one.as_dict() for one in found])
    rows: list[list[object]] = []
    for one in found:
        there = [one.origin, *row(one.definition)] if one.definition else ["broken", *[""] * (len(columns) - 3), one.error]
        rows.append([one.id, *there])
    table(f"{kind.title()}s", columns, rows)
    return None


def _put(kind: Kind, files: list[Path], json: bool, **given: object) -> None:
    from driftline.elastic.client import connect
    from driftline.pipeline.calendars import read, save

    found: list[Calendar | Filter] = [one for file in files for one in read(kind, file, **given)]
    client = connect()
    names = [save(client, one) for one in found]
    if json:
        return emit({"saved": names})
    say(f"Saved: {safe(', '.join(names))}.")
    return None


def _delete(kind: Kind, name: str, json: bool) -> None:
    from driftline.elastic.client import connect
    from driftline.pipeline.calendars import delete

    delete(connect(), kind, name)
    if json:
        return emit({"deleted": name})
    say(f"{safe(name)} is deleted.")
    return None
