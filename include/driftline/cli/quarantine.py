"""`driftline quarantine …`: bad rows of an ingest, looked at, released into their index, or dismissed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.cli.output import Json, emit, progress, safe, say, table, this_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elasticsearch import Elasticsearch

    from driftline.pipeline.quarantine import Choice

app = typer.Typer(help="Bad rows of an ingest: look, release, dismiss.", no_args_is_help=True, rich_markup_mode=None)
Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A source's id.")]
Rows = Annotated[list[str] | None, typer.Argument(metavar="ROW...", help="Rows by their ids, as 'list' shows them.")]
All = Annotated[bool, typer.Option("--all", help="All rows that the other options leave.")]
Check = Annotated[str | None, typer.Option(help="Only what failed this check: unparsed, mapping, missing, future, past, …")]
Reason = Annotated[str | None, typer.Option(help="Only with this in the reason.")]
File = Annotated[str | None, typer.Option("--file", help="Only with this in the file's name.")]
By = Annotated[str | None, typer.Option(help="Who says so. Default: the user of this machine.")]
SHOWN = 160  # characters of a row in the table


@app.command("list", epilog="Examples: driftline quarantine list | driftline quarantine list web --check range --start now-1d")
def list_(
    source: Annotated[str | None, typer.Argument(metavar="SOURCE", help="Of this source only.")] = None,
    check: Check = None,
    reason: Reason = None,
    file: File = None,
    start: Annotated[str | None, typer.Option(help="Only what was put aside from then on.")] = None,
    end: Annotated[str | None, typer.Option(help="Only what was put aside before.")] = None,
    row_time: Annotated[bool, typer.Option("--row-time", help="--start and --end are about the rows' own times.")] = False,
    state: Annotated[str, typer.Option(help="open, released or dismissed.")] = "open",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="So many rows at most.")] = 20,
    json: Json = False,
) -> None:
    """List rows in quarantine, those that were put aside last first; or those that were released or dismissed."""
    from driftline.core.errors import DataError
    from driftline.elastic.client import connect
    from driftline.pipeline.quarantine import look

    if state not in ("open", "released", "dismissed"):
        raise DataError(f"'{state}' is no state", where="--state", expected="open, released or dismissed")
    choice = _choice(source, check, reason, file, start=start, end=end, moment="time" if row_time else "added", state=state)
    found = look(connect(), choice, size=limit)
    if json:
        return emit(found)
    counted = ", ".join(f"{number:,} {safe(name)}" for name, number in found["checks"].items())
    say(f"[bold]{found['total']:,}[/] rows{': ' if counted else ''}{counted}.")
    if found["rows"]:
        rows: list[list[object]] = [
            [each["id"], each["source_id"], f"{each['path']}:{each['line']}", each["check"], each["reason"], each["raw"][:SHOWN]]
            for each in found["rows"]
        ]
        table("", ["row", "source", "where", "check", "why", "as it was found"], rows)
    return None


@app.command(
    epilog="Examples: driftline quarantine release web 3f0a…-1184 | driftline quarantine release web --check range --all"
)
def release(
    source: Source,
    rows: Rows = None,
    every: All = False,
    check: Check = None,
    reason: Reason = None,
    file: File = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Index rows as they are, though a check complains. What cannot be released is told, with exit code 1."""
    from driftline.pipeline.quarantine import release as free

    told = _decided(free, "released", source, rows, every, _choice(source, check, reason, file), by, quiet=json)
    _tell(told, "released", json)


@app.command(epilog="Example: driftline quarantine dismiss web --check unparsed --all")
def dismiss(
    source: Source,
    rows: Rows = None,
    every: All = False,
    check: Check = None,
    reason: Reason = None,
    file: File = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Put rows out of sight for good; 'list --state dismissed' still shows them, and they can still be released."""
    from driftline.pipeline.quarantine import dismiss as forget

    told = _decided(forget, "dismissed", source, rows, every, _choice(source, check, reason, file), by, quiet=json)
    _tell(told, "dismissed", json)


def _choice(source: str | None, check: str | None, reason: str | None, file: str | None, **more: Any) -> Choice:  # noqa: ANN401
    from driftline.core.timespan import parse_time
    from driftline.pipeline.quarantine import Choice

    more |= {name: parse_time(more[name]) for name in ("start", "end") if more.get(name)}
    return Choice(sources=(source,) if source else None, check=check, reason=reason, path=file, **more)


def _decided(
    decide: Callable[..., dict[str, Any]],
    verdict: str,
    source: str,
    rows: list[str] | None,
    every: bool,
    choice: Choice,
    by: str | None,
    *,
    quiet: bool,
) -> dict[str, Any]:
    """Decides about the rows, some hundred at a time, and adds up what comes of it."""
    from driftline.elastic.client import connect
    from driftline.pipeline.quarantine import MOST
    from driftline.pipeline.scoreagain import merged

    client = connect()
    chosen = _chosen(client, source, rows, every, choice)
    whole: dict[str, Any] = {verdict: 0, "refused": 0, "rows": [], "score_again": []}
    total, done = sum(map(len, chosen.values())), 0
    with progress(quiet or total <= MOST) as report:
        for index, names in chosen.items():
            for first in range(0, len(names), MOST):
                part = names[first : first + MOST]
                told = decide(client, source, index, part, by=this_user() if by is None else by)
                done += len(part)
                for name, value in told.items():
                    whole[name] += value
                if report:
                    report("rows", done, total)
    return {**whole, "score_again": merged(whole["score_again"])}


def _chosen(client: Elasticsearch, source: str, rows: list[str] | None, every: bool, choice: Choice) -> dict[str, list[str]]:
    """The rows that are meant, by the index where they belong."""
    from driftline.core.errors import DataError
    from driftline.pipeline.quarantine import locate, select

    if bool(rows) == every:
        what = "rows are named, and --all is given" if rows else "no rows are named"
        raise DataError(what, expected="the ids of rows, or --all", fix="See: driftline quarantine list")
    by_index: dict[str, list[str]] = defaultdict(list)
    found: Iterator[tuple[str, str]] = select(client, choice)
    if rows:
        where = locate(client, source, rows)
        if missing := [name for name in rows if name not in where]:
            raise DataError(f"there is no row '{missing[0]}' of source {source}", fix="See: driftline quarantine list")
        found = ((index, name) for name, index in where.items())
    for index, name in found:
        by_index[index].append(name)
    return by_index


def _tell(told: dict[str, Any], verdict: str, json: bool) -> None:
    """Says what became of the rows; exit code 1 where some were refused."""
    if json:
        emit(told)
    else:
        say(f"[bold]{told[verdict]:,}[/] {verdict}.")
        for again in told["score_again"]:
            what = "its next run scores it again" if again["by_itself"] else f"to score it again: {safe(again['command'])}"
            say(f"{safe(again['job_id'])} has scored {again['start']} – {again['end']} without them; {what}.")
        refused = [[each["id"], each["reason"]] for each in told["rows"] if each["outcome"] == "refused"]
        if refused:
            table(f"{told['refused']:,} refused", ["row", "why"], refused[:50])
    if told["refused"]:
        raise typer.Exit(1)
