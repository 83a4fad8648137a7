"""`driftline detect`: anomalies in plain files, with nothing but this program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from driftline.cli.output import Json, emit, progress, safe, say, table

EXAMPLES = """Examples:
driftline detect readings.csv |
driftline detect readings.csv --out found.csv --plot |
driftline detect data/ --out results/ --json |
driftline detect hits.csv --bucket-span 5m --function sum --counts |
driftline detect local.csv --time-zone Europe/Berlin --out found.csv"""


def detect(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE|FOLDER", help="A CSV file, timestamp,value or unique_id,ds,y; or a folder of such files."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE|FOLDER", help="Where to write the rows with what was found; of a folder, the same tree."),
    ] = None,
    bucket_span: Annotated[
        str | None, typer.Option(help="Look at buckets of this width (5m, 1h). Default: at the readings as they come.")
    ] = None,
    function: Annotated[
        Literal["mean", "sum", "count", "min", "max"], typer.Option(help="What a bucket's value is, with --bucket-span.")
    ] = "mean",
    counts: Annotated[bool, typer.Option("--counts", help="Values are counts: their square roots are modelled.")] = False,
    time_zone: Annotated[str, typer.Option(help="Of time stamps that name no offset, such as Europe/Berlin.")] = "UTC",
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Leave rows that cannot be read without a result, and go on.")
    ] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Write a picture beside each result, as HTML.")] = False,
    json: Json = False,
) -> None:
    """Score the readings of a file, or of every CSV file of a folder, each with what was known before it.

    The output has the rows of the input, in their order, and the columns lower, typical, upper, probability, anomaly_score and
    kind. An anomaly_score above 0 is an alarm: once an incident. Without --out the alarms are only told.
    """
    from driftline.core.timespan import parse_span
    from driftline.pipeline.detect import Options, detect_path

    options = Options(
        span=parse_span(bucket_span) if bucket_span else None,
        function=function,
        counts=counts,
        zone=zone_of(time_zone),
        skip_bad=skip_bad_rows,
    )
    with progress(json) as report:
        found = detect_path(str(source), options, out=str(out) if out else None, plot=plot, progress=report)
    if json:
        emit(found)
    else:
        _tell(found, source)
    if found["failed"]:
        raise typer.Exit(2)


def zone_of(name: str) -> Any:  # noqa: ANN401 - a tzinfo
    """The time zone of a name that a user gave."""
    from datetime import UTC
    from zoneinfo import ZoneInfo

    from driftline.core.errors import WindowError

    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # what is no path, a folder, and what is unknown
        expected = "a name of the time zone database, such as Europe/Berlin"
        raise WindowError(f"there is no time zone '{name}'", where="--time-zone", expected=expected) from None


def _tell(found: dict[str, Any], source: Path) -> None:
    files = found["files"]
    if len(files) + len(found["failed"]) > 1:
        names = ("minor", "major", "critical")
        rows = [[file["file"], file["rows"], *(file["alarms"][name] for name in names), _loudest(file)] for file in files]
        table("Alarms, from each severity on", ["file", "rows", *names, "loudest"], rows)
    top = [event for event in found["top"] if event["severity"] != "warning"]
    if top:
        several = len({(event["file"], event["series"]) for event in top}) > 1
        columns = ["series"] * several + ["time (UTC)", "score", "severity", "kind", "what"]
        table("Top events", columns, [_event(event, source, several=several) for event in top])
    alarms = ", ".join(f"{count} from {name} on" for name, count in found["alarms"].items())
    count = f"{len(files)} file" + ("s" if len(files) != 1 else "")
    say(f"{count}, {found['rows']} rows in {found['seconds']:g} s: alarms {alarms}.")
    for file in files:
        for note in file["notes"]:
            say(f"Note: {safe(file['file'])}: {safe(note)}")
    for note in found["notes"]:
        say(f"Note: {safe(note)}")
    for error in found["failed"]:
        say(f"[bold red]Error[/] {safe(error['where'])}: {safe(error['what'])}")
    written = [file["out"] for file in files if "out" in file]
    if written:
        say(f"Written: {safe(written[0])}" + (f" and {len(written) - 1} more" if len(written) > 1 else ""))
    pictures = [file["plot"] for file in files if "plot" in file]
    if pictures:
        say(f"Pictures: {safe(pictures[0])}" + (f" and {len(pictures) - 1} more" if len(pictures) > 1 else ""))


def _loudest(file: dict[str, Any]) -> str:
    if not file["top"]:
        return "–"
    event = file["top"][0]
    return f"{event['time']} {event['score']:.0f} {event['kind']}"


def _event(event: dict[str, Any], source: Path, *, several: bool) -> list[object]:
    path = Path(event["file"])
    inside = path.relative_to(source) if path != source else path.name  # of a folder: two of its files may have one name
    name = f"{inside}" + ("" if event["series"] == "(all)" else f" {event['series']}")
    said = [event["time"], f"{event['score']:.0f}", event["severity"], event["kind"].replace("_", " "), event["what"]]
    return [name, *said] if several else said


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(detect)
