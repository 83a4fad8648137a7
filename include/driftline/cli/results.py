"""`driftline anomalies`, `events`, `categories`, `overall`: records, incidents, kinds of messages, and several jobs at once."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from driftline.cli.output import End, JobArgument, Json, Start, emit, safe, say, table
from driftline.cli.output import moment as at

Version = Annotated[str | None, typer.Option(help="Results of this version of the job; its first letters will do.")]
AllVersions = Annotated[bool, typer.Option("--all-versions", help="Results of all versions, not only of the current one.")]

EXAMPLE = 200  # characters of one in a table

SHORT = 10  # characters of an id that are shown: enough to tell a job's records apart


def anomalies(
    job: JobArgument,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="So many at most.")] = 10,
    min_score: Annotated[float, typer.Option(min=0, max=100, help="Only scores of at least this.")] = 0.0,
    start: Start = None,
    end: End = None,
    version: Version = None,
    all_versions: AllVersions = False,
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
    window, chosen = _window(start, end), _version(client, definition, version, all_versions)
    records = top_records(client, definition.job_id, version=chosen, window=window, min_score=min_score, limit=limit)
    verdicts = own_verdicts(definition)
    for record in records:
        record["severity"] = severity(record["record_score"])
        if record["_id"] in verdicts:
            record["feedback"] = verdicts[record["_id"]]
    if json:
        return emit(records)
    if not records:
        say(f"No anomalies. {_scored(job, chosen)}")
        return None
    table(
        f"Anomalies of {definition.job_id}",
        [*_VERSION[bool(chosen)], "time (UTC)", "score", "severity", "function", "found for", "what", "id"],
        [[*_of_version(r, chosen), *_row(r)] for r in records],
    )
    return None


def events(
    job: JobArgument,
    every: Annotated[bool, typer.Option("--all", help="Those that did not alarm, too.")] = False,
    start: Start = None,
    end: End = None,
    version: Version = None,
    all_versions: AllVersions = False,
    json: Json = False,
) -> None:
    """Show a job's incidents by time: what happened, for how long, and what alarmed."""
    from driftline.elastic.client import connect
    from driftline.elastic.results import of_type
    from driftline.pipeline.jobs import load_job

    client = connect()
    definition = load_job(job, client)
    chosen = _version(client, definition, version, all_versions)
    found = of_type(client, definition.job_id, "event", version=chosen, window=_window(start, end))
    shown = [event for event in found if every or event["driftline"]["event"]["alarm"]]
    if json:
        return emit(shown)
    if not shown:
        milder = "" if every else " Milder events: --all."
        say(f"No {'events' if every else 'alarms'}.{milder} {_scored(job, chosen)}")
        return None
    rows: list[list[object]] = []
    for event in shown:
        said, score = event["driftline"], f"{event['anomaly_score']:.0f}"
        row = [moment(event), score, said["event"]["kind"], split(event), said["sentence"], event["_id"][:SHORT]]
        rows.append([*_of_version(event, chosen), *row])
    title = f"{'Events' if every else 'Alarms'} of {definition.job_id}"
    table(title, [*_VERSION[bool(chosen)], "since (UTC)", "score", "kind", "found for", "what", "id"], rows)
    return None


def categories(
    job: JobArgument,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="So many at most, the most frequent.")] = 1000,
    json: Json = False,
) -> None:
    """Show the kinds of messages that a job tells apart, with how often each was there in the training and an example."""
    from driftline.elastic.client import connect
    from driftline.elastic.results import of_type
    from driftline.pipeline.jobs import load_job

    client = connect()
    definition = load_job(job, client)
    found = of_type(client, definition.job_id, "category_definition", version=definition.version)
    shown = sorted(found, key=lambda each: (-each["num_matches"], each["category_id"]))[:limit]
    if json:
        return emit(shown)
    if not shown:
        none = "" if definition.categorises else " It has no categorization_field_name."
        say(f"No categories.{none or f' Has the job been trained? driftline train {safe(job)}'}")
        return None
    split = any("partition_field_value" in each for each in shown)
    rows: list[list[object]] = []
    for each in shown:
        partition = [each.get("partition_field_value", "")] if split else []
        example = (each["examples"] or [""])[0][:EXAMPLE]
        rows.append([each["category_id"], *partition, each["num_matches"], each["driftline"]["template"], example])
    columns = ["category", *(["partition"] if split else []), "messages", "template", "example"]
    table(f"Categories of {definition.job_id}", columns, rows)
    return None


def overall(
    jobs: Annotated[list[str], typer.Argument(metavar="JOB...", help="Jobs, by id or file.")],
    top_n: Annotated[int, typer.Option(min=1, help="The mean of so many jobs' highest scores.")] = 1,
    min_score: Annotated[float, typer.Option(min=0, max=100, help="Only overall scores of at least this.")] = 50.0,
    version: Annotated[
        list[str] | None, typer.Option(help="This version of a job, in place of its current one; may be repeated.")
    ] = None,
    all_versions: AllVersions = False,
    json: Json = False,
) -> None:
    """Show when jobs were anomalous at the same time. It says nothing of causes."""
    from driftline.elastic.client import connect
    from driftline.elastic.results import of_type
    from driftline.pipeline.jobs import load_job
    from driftline.scoring.aggregate import overall_buckets

    client = connect()
    definitions = [load_job(job, client) for job in jobs]
    given = {each.job_id: each.version for each in definitions}
    for text in version or []:
        given |= _whose(client, definitions, text)
    chosen = {each.job_id: None if all_versions else given[each.job_id] for each in definitions}
    buckets = [bucket for job_id, which in chosen.items() for bucket in of_type(client, job_id, "bucket", version=which)]
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


_VERSION = {True: [], False: ["version"]}  # a column where several versions are shown


def _of_version(document: dict[str, Any], chosen: str | None) -> list[object]:
    return [] if chosen else [document["driftline"]["job_version"]]


def _version(client: Any, definition: Any, given: str | None, every: bool) -> str | None:  # noqa: ANN401 - imported late
    """The version whose results are shown; None for all."""
    from driftline.core.errors import DefinitionError
    from driftline.pipeline.versions import find

    if given and every:
        raise DefinitionError("either one version is shown or all", expected="--version or --all-versions")
    if every:
        return None
    return find(client, definition, given) if given else str(definition.version)


def _whose(client: Any, definitions: list[Any], text: str) -> dict[str, str]:  # noqa: ANN401 - imported late
    """Which of the jobs has a version that begins so."""
    from driftline.core.errors import DefinitionError
    from driftline.pipeline.versions import find

    last: DefinitionError | None = None
    for each in definitions:
        try:
            return {each.job_id: find(client, each, text)}
        except DefinitionError as error:
            last = error
    raise last or DefinitionError("no job is given")


def _scored(job: str, chosen: str | None) -> str:
    former = f" Of former versions: driftline jobs versions {job}" if chosen else ""
    return f"Not scored yet? driftline score {job}.{former}"


def moment(document: dict[str, Any]) -> str:
    """When a result began, ISO 8601."""
    return at(document["timestamp"])


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
    app.command(epilog="Example: driftline categories logs --json")(categories)
    app.command(epilog="Example: driftline overall demo-endpoints demo-hosts --top-n 2 --json")(overall)
