"""`driftline anomalies`: the records with the highest scores."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from driftline.cli.output import Json, emit, say, table


def anomalies(
    job: Annotated[str, typer.Argument(metavar="JOB", help="A job's id, or a job file.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="So many at most.")] = 10,
    min_score: Annotated[float, typer.Option(min=0, max=100, help="Only scores of at least this.")] = 0.0,
    start: Annotated[str | None, typer.Option(help="Only from this point in data time on.")] = None,
    end: Annotated[str | None, typer.Option(help="Only before it.")] = None,
    json: Json = False,
) -> None:
    """Show a job's most anomalous records."""
    from driftline.elastic.client import connect
    from driftline.elastic.results import top_records
    from driftline.pipeline.jobs import load_job
    from driftline.scoring.score import severity

    client = connect()
    definition = load_job(job, client)
    window = _window(start, end)
    records = top_records(client, definition.job_id, version=definition.version, window=window, min_score=min_score, limit=limit)
    for record in records:
        record["severity"] = severity(record["record_score"])
    if json:
        return emit(records)
    if not records:
        say(f"No anomalies. Has the job been scored? driftline score {job}")
        return None
    table(
        f"Anomalies of {definition.job_id}",
        ["time (UTC)", "score", "severity", "function", "found for", "what"],
        [_row(r) for r in records],
    )
    return None


def _window(start: str | None, end: str | None) -> Any:  # noqa: ANN401 - Window is imported late
    from driftline.core.timespan import Window

    return Window.parse(start or "1970-01-01", end or "2262-01-01") if start or end else None


def _row(record: dict[str, Any]) -> list[object]:
    from driftline.core.timespan import iso, parse_time

    split = " · ".join(record[name] for name in ("partition_field_value", "by_field_value") if name in record)
    function = f"{record['function']}({record['field_name']})" if "field_name" in record else record["function"]
    moment = iso(parse_time(record["timestamp"] / 1000))
    return [moment, f"{record['record_score']:.0f}", record["severity"], function, split, record["driftline"]["sentence"]]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: driftline anomalies demo-endpoints --min-score 75 --json")(anomalies)
