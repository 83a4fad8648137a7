"""`driftline anomalies`, `events`, `overall`: the highest records, the incidents, and how bad it was over several jobs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from driftline.cli.output import End, JobArgument, Json, Start, emit, say, table

SHORT = 10  # characters of an id that are shown: enough to tell a job's records apart


def anomalies(
    job: JobArgument,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="So many at most.")] = 10,
    min_score: Annotated[float, typer.Option(min=0, max=100, help="Only scores of at least this.")] = 0.0,
    start: Start = None,
    end: End = None,
    json: Json = False,
) -> None:
    """Show a job's most anomalous records."""
    from driftline.elastic.client import connect
    from driftline.elastic.results import top_records
    from driftline.pipeline.feedback import own_verdicts
    from driftline.pipeline.jobs import load_job
    from driftline.scoring.score import severity

    client = connect()
    definition = load_job(job, client)
    window = _window(start, end)
    records = top_records(client, definition.job_id, version=definition.version, window=window, min_score=min_score, limit=limit)
    verdicts = own_verdicts(definition)
    for record in records:
        record["severity"] = severity(record["record_score"])
        if record["_id"] in verdicts:
            record["feedback"] = verdicts[record["_id"]]
    if json:
        return emit(records)
    if not records:
        say(f"No anomalies. Has the job been scored? driftline score {job}")
        return None
    table(
        f"Anomalies of {definition.job_id}",
        ["time (UTC)", "score", "severity", "function", "found for", "what", "id"],
        [_row(r) for r in records],
    )
    return None


def events(
    job: JobArgument,
    every: Annotated[bool, typer.Option("--all", help="Those that did not alarm, too.")] = False,
    start: Start = None,
    end: End = None,
    json: Json = False,
) -> None:
    """Show a job's incidents by time: what happened, for how long, and what alarmed."""
    from driftline.elastic.client import connect
    from driftline.elastic.results import of_type
    from driftline.pipeline.jobs import load_job

    client = connect()
    definition = load_job(job, client)
    found = of_type(client, definition.job_id, "event", version=definition.version, window=_window(start, end))
    shown = [event for event in found if every or event["driftline"]["event"]["alarm"]]
    if json:
        return emit(shown)
    if not shown:
        milder = "" if every else " Milder events: --all."
        say(f"No {'events' if every else 'alarms'}.{milder} Not scored yet? driftline score {job}")
        return None
    rows: list[list[object]] = []
    for event in shown:
        said, score = event["driftline"], f"{event['anomaly_score']:.0f}"
        rows.append([moment(event), score, said["event"]["kind"], split(event), said["sentence"], event["_id"][:SHORT]])
    title = f"{'Events' if every else 'Alarms'} of {definition.job_id}"
    table(title, ["since (UTC)", "score", "kind", "found for", "what", "id"], rows)
    return None


def noted(
    job: JobArgument,
    json: Json = False,
) -> None:
    """Show what is noted of stretches of time: data that came late, and was scored then."""
    from driftline.elastic import annotations as stored
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job

    client = connect()
    found = stored.of_job(client, load_job(job, client).job_id)
    if json:
        return emit(found)
    if not found:
        say("No annotations.")
        return None
    rows: list[list[object]] = [[moment(each), each["event"], each["annotation"]] for each in found]
    table(f"Annotations of {job}", ["since (UTC)", "event", "what"], rows)
    return None


def overall(
    jobs: Annotated[list[str], typer.Argument(metavar="JOB...", help="Jobs, by id or file.")],
    top_n: Annotated[int, typer.Option(min=1, help="The mean of so many jobs' highest scores.")] = 1,
    min_score: Annotated[float, typer.Option(min=0, max=100, help="Only overall scores of at least this.")] = 50.0,
    json: Json = False,
) -> None:
    """Show when jobs were anomalous at the same time. It says nothing of causes."""
    from driftline.elastic.client import connect
    from driftline.elastic.results import of_type
    from driftline.pipeline.jobs import load_job
    from driftline.scoring.aggregate import overall_buckets

    client = connect()
    definitions = [load_job(job, client) for job in jobs]
    buckets = [bucket for each in definitions for bucket in of_type(client, each.job_id, "bucket", version=each.version)]
    found = overall_buckets(buckets, top_n=top_n, jobs=[each.job_id for each in definitions])
    shown = [bucket for bucket in found if bucket["overall_score"] >= min_score]
    if json:
        return emit(shown)
    if not shown:
        say(f"No moment with an overall score of {min_score:g} or more.")
        return None
    rows: list[list[object]] = [[moment(b), f"{b['overall_score']:.0f}", _of_jobs(b)] for b in shown]
    table("At the same time", ["time (UTC)", "overall score", "jobs"], rows)
    return None


def _of_jobs(bucket: dict[str, Any]) -> str:
    return ", ".join(f"{job['job_id']} {job['max_anomaly_score']:.0f}" for job in bucket["jobs"] if job["max_anomaly_score"])


def moment(document: dict[str, Any]) -> str:
    """When a result began, ISO 8601."""
    from driftline.core.timespan import iso, parse_time

    return iso(parse_time(document["timestamp"] / 1000))


def split(document: dict[str, Any]) -> str:
    """What a result was found for."""
    return " · ".join(
        document[name] for name in ("partition_field_value", "by_field_value", "over_field_value") if name in document
    )


def _window(start: str | None, end: str | None) -> Any:  # noqa: ANN401 - Window is imported late
    from driftline.core.timespan import Window

    return Window.parse(start or "1970-01-01", end or "2262-01-01") if start or end else None


def _row(record: dict[str, Any]) -> list[object]:
    function = f"{record['function']}({record['field_name']})" if "field_name" in record else record["function"]
    told = record["driftline"]["sentence"]
    if own := record.get("feedback"):
        told += f" [{own['verdict']}" + (f", says {own['by']}]" if own["by"] else "]")
    return [
        moment(record),
        f"{record['record_score']:.0f}",
        record["severity"],
        function,
        split(record),
        told,
        record["_id"][:SHORT],
    ]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog="Example: driftline anomalies demo-endpoints --min-score 75 --json")(anomalies)
    app.command(epilog="Example: driftline events demo-endpoints --all --start 2026-03-01")(events)
    app.command("annotations", epilog="Example: driftline annotations demo-endpoints --json")(noted)
    app.command(epilog="Example: driftline overall demo-endpoints demo-hosts --top-n 2 --json")(overall)
