"""`driftline forecasts …`: which forecasts a job has, and removing them."""

from __future__ import annotations

from typing import Annotated

import typer

from driftline.cli.output import JobArgument, Json, emit, moment, say, table

app = typer.Typer(help="Forecasts that were made: their ids, ranges and expiry.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list", epilog="Example: driftline forecasts list web")
def list_(job: JobArgument, json: Json = False) -> None:
    """List a job's forecasts, the newest first."""
    from driftline.elastic.client import connect
    from driftline.pipeline.forecast import forecasts
    from driftline.pipeline.jobs import load_job

    client = connect()
    found = forecasts(client, load_job(job, client).job_id)
    if json:
        return emit(found)
    if not found:
        say(f"No forecasts. Make one: driftline forecast {job}")
        return None
    rows: list[list[object]] = [
        [
            each["forecast_id"],
            moment(each["forecast_create_timestamp"]),
            moment(each["forecast_expiry_timestamp"]) if "forecast_expiry_timestamp" in each else "never",
            f"{moment(each['forecast_start_timestamp'])} – {moment(each['forecast_end_timestamp'])}",
            each["driftline"]["series"],
            each["processed_record_count"],
            each["forecast_status"],
            each["driftline"]["job_version"],
        ]
        for each in found
    ]
    columns = ["forecast", "made (UTC)", "expires", "range", "series", "documents", "status", "version"]
    table(f"Forecasts of {job}", columns, rows)
    return None


@app.command(epilog="Examples: driftline forecasts delete web 1f3a… | driftline forecasts delete web --all")
def delete(
    job: JobArgument,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID…]", help="Ids, as `forecasts list` shows them.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All forecasts of the job.")] = False,
    json: Json = False,
) -> None:
    """Delete forecasts of a job."""
    from driftline.core.errors import DataError
    from driftline.elastic.client import connect
    from driftline.pipeline.forecast import delete_forecasts
    from driftline.pipeline.jobs import load_job

    if bool(ids) == every:
        raise DataError("it must be said which forecasts", expected="their ids, or --all")
    client = connect()
    removed = delete_forecasts(client, load_job(job, client).job_id, None if every else ids)
    if json:
        return emit({"removed": removed})
    say(f"{removed} documents removed.")
    return None
