"""How commands speak: tables and progress for people, one JSON document for machines, errors that teach for both."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from typer.core import TyperGroup

if TYPE_CHECKING:
    from driftline.core.errors import DriftlineError

Report = Callable[[str, int, int], None]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, or a job file.")]
Start = Annotated[str | None, typer.Option(help="Only from this point in data time on.")]
End = Annotated[str | None, typer.Option(help="Only before it.")]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class ListedByDefault(TyperGroup):
    """A group of commands whose name alone lists: `annotations JOB` is `annotations list JOB`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - click's types
        """Click's way from arguments to a command."""
        known = args and (args[0] in self.list_commands(ctx) or args[0].startswith("-"))
        return super().resolve_command(ctx, args if known else ["list", *args])


def emit(data: Any) -> None:  # noqa: ANN401 - any JSON
    """Prints one JSON document."""
    sys.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY, default=str).decode() + "\n")


def say(text: str) -> None:
    """Prints a line; what came from data must be passed through `safe` first."""
    out.print(text, soft_wrap=True)


def moment(milliseconds: int) -> str:
    """Epoch milliseconds as a time in UTC."""
    from driftline.core.timespan import iso, parse_time

    return iso(parse_time(milliseconds / 1000))


def this_user() -> str:
    """Who runs the command; nobody where a container's user has no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def safe(value: object) -> str:
    """Text from data, with markup and control characters made harmless."""
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value)))


def table(title: str, columns: list[str], rows: list[list[object]]) -> None:
    """Prints a table; every cell is treated as text from data."""
    grid = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(safe(cell) for cell in row))
    out.print(grid)


@contextmanager
def progress(quiet: bool) -> Iterator[Report | None]:
    """Progress bars on stderr for a command's long work: `report(what, done, total)`; none when `quiet`."""
    if quiet:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=not err.is_terminal) as bars:
        known: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in known:
                known[what] = bars.add_task(what, total=total)
            bars.update(known[what], completed=done, total=total)

        yield report


def fail(error: DriftlineError, as_json: bool) -> None:
    """Prints an error in full, without a stack trace."""
    if as_json:
        emit(error.as_dict())
        return
    err.print(f"[bold red]Error[/] {safe(error.what)}")
    for label, text in (("where", error.where), ("expected", error.expected), ("do", error.fix)):
        if text:
            lines = ("\n" + " " * 11).join(safe(line) for line in text.splitlines())  # a log's end has several
            err.print(f"  [dim]{label:>8}[/] {lines}", soft_wrap=True)


def wants_json() -> bool:
    """Whether the command line asks for JSON; for errors, which know no options."""
    return "--json" in sys.argv[1:]
