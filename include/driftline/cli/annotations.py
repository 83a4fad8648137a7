"""`driftline annotations …`: what is noted of stretches of time, by Driftline and by people."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import typer

from driftline.cli.output import End, JobArgument, Json, ListedByDefault, Start, emit, moment, say, table

app = typer.Typer(
    cls=ListedByDefault,
    help="What is noted of stretches of time: late data, changes of models, what people say. 'annotations JOB' lists it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list", epilog="Example: driftline annotations list demo-endpoints --json")
def list_(job: JobArgument, start: Start = None, end: End = None, json: Json = False) -> None:
    """List a job's annotations by time."""
    from driftline.core.timespan import Window
    from driftline.elastic import annotations
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job

    client = connect()
    found = annotations.of_job(client, load_job(job, client).job_id)
    if start or end:
        window = Window.parse(start or "1970-01-01", end or "2262-01-01")
        first, last = (edge.timestamp() * 1000 for edge in (window.start, window.end))
        found = [each for each in found if each["timestamp"] < last and each["end_timestamp"] >= first]
    if json:
        return emit(found)
    if not found:
        say("No annotations.")
        return None
    rows: list[list[object]] = [
        [moment(each["timestamp"]), moment(each["end_timestamp"]), each["event"], _series(each), each["annotation"], each["_id"]]
        for each in found
    ]
    table(f"Annotations of {job}", ["since (UTC)", "until", "event", "series", "what", "id"], rows)
    return None


@app.command(
    epilog="Example: driftline annotations add web --start 2026-03-18T09:00Z --end 2026-03-18T10:00Z --text 'release 42'"
)
def add(
    job: JobArgument,
    text: Annotated[str, typer.Option(help="What is to be known.")],
    start: Annotated[str, typer.Option(help="When it began.")],
    end: Annotated[str | None, typer.Option(help="When it was over. Default: a moment.")] = None,
    detector: Annotated[int | None, typer.Option(min=0, help="The number of the detector that it is about.")] = None,
    partition: Annotated[str | None, typer.Option(help="The partition that it is about.")] = None,
    by: Annotated[str | None, typer.Option(help="The by value that it is about.")] = None,
    over: Annotated[str | None, typer.Option(help="The over value that it is about.")] = None,
    user: Annotated[str | None, typer.Option(help="Who says it. Default: who runs the command.")] = None,
    json: Json = False,
) -> None:
    """Note something of a stretch of time, or of one series in it. The same again changes nothing."""
    from driftline.core.series import SeriesKey
    from driftline.core.timespan import Window
    from driftline.elastic import annotations
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job

    client = connect()
    definition = load_job(job, client)
    about = any(given is not None for given in (detector, partition, by, over))
    key = SeriesKey(detector or 0, partition, by, over) if about else None
    window = Window.parse(start, end or start)
    id_ = annotations.add(client, definition, window, text, by=user or getpass.getuser(), key=key)
    if json:
        return emit({"_id": id_, "job_id": definition.job_id})
    say(f"Annotation {id_} is written.")
    return None


@app.command(epilog="Example: driftline annotations delete web 3f0c52d9…")
def delete(
    job: JobArgument,
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="Ids of annotations, as `annotations list` shows them.")],
    json: Json = False,
) -> None:
    """Delete annotations of a job."""
    from driftline.elastic import annotations
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job

    client = connect()
    removed = annotations.delete(client, load_job(job, client).job_id, ids)
    if json:
        return emit({"removed": removed})
    say(f"{removed} removed.")
    return None


def _series(document: dict[str, Any]) -> str:
    return " · ".join(str(document[name]) for name in document if name.endswith("_field_value"))
