"""`driftline suppress` and `driftline feedback`: what is known to be nothing beforehand, and what is said of it afterwards."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from driftline.cli.output import JobArgument, Json, emit, safe, say, table, this_user


def suppress(
    job: Annotated[str | None, typer.Argument(metavar="JOB", help="A job's id, or a job file.")] = None,
    partition: Annotated[
        list[str] | None,
        typer.Option(
            "--partition", "-p", help="Only series with such a partition, by or over value; * and ? stand for anything."
        ),
    ] = None,
    detector: Annotated[list[int] | None, typer.Option(min=0, help="Only this detector, by its number from 0 on.")] = None,
    start: Annotated[str | None, typer.Option(help="When it begins (ISO 8601, epoch, now).")] = None,
    end: Annotated[str | None, typer.Option(help="When it is over (ISO 8601, epoch, now+2h).")] = None,
    every: Annotated[str | None, typer.Option(help="Again every 'day' or 'week', by the job's clocks.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; explanations tell it.")] = None,
    learn: Annotated[bool, typer.Option("--learn/--no-learn", help="Whether models learn from that time.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show what is suppressed, of the job or of all.")] = False,
    remove: Annotated[str | None, typer.Option(metavar="ID", help="Remove one of these.")] = None,
    json: Json = False,
) -> None:
    """Keep a time out of a job's results, for some series or all of them, once or again and again."""
    from driftline.elastic.client import connect
    from driftline.pipeline import suppressions
    from driftline.pipeline.jobs import load_job

    client = connect()
    definition = load_job(job, client) if job else None
    if list_:
        return _suppressions(suppressions.listed(client, definition.job_id if definition else None), json)
    if remove:
        gone = suppressions.remove(client, remove, definition.job_id if definition else None)
        return emit({"removed": gone}) if json else say(f"{safe(gone['description'])}: no longer suppressed.")
    needed = {"JOB": definition, "--start": start, "--end": end, "--reason": reason}
    if definition is None or None in needed.values():
        raise _missing([name for name, value in needed.items() if value is None])
    fields: dict[str, Any] = {"description": reason, "start_time": start, "end_time": end, "skip_model_update": not learn}
    fields |= {"partitions": partition} if partition else {}
    fields |= {"detectors": detector or [], "every": every}
    made = suppressions.suppress(client, definition, **fields)
    if json:
        return emit(made)
    say(f"Suppressed ({made['id']}): {_about(made)}, {_when(made)}. It counts from the next run on; what was scored already is "
        "scored again by: driftline score JOB --start … --end …")  # fmt: skip
    return None


def _missing(names: list[str]) -> Exception:
    from driftline.core.errors import DefinitionError

    return DefinitionError(
        f"{' and '.join(names)} must be given",
        expected="a job, --start, --end and --reason; or --list; or --remove ID",
        fix="See: driftline suppress --help",
    )


def _suppressions(found: list[dict[str, Any]], json: bool) -> None:
    if json:
        return emit(found)
    if not found:
        say("Nothing is suppressed.")
        return None
    rows: list[list[object]] = [
        [
            each["id"],
            each["job_id"],
            _about(each, markup=False),
            _when(each),
            "no" if each["skip_model_update"] else "yes",
            each["description"],
        ]
        for each in found
    ]
    table("Suppressed", ["id", "job", "about", "when", "learned", "why"], rows)
    return None


def _about(event: dict[str, Any], *, markup: bool = True) -> str:
    about = "all series" if "*" in event["partitions"] else ", ".join(event["partitions"])
    if event["detectors"]:
        about += f" of detector {', '.join(map(str, event['detectors']))}"
    return safe(about) if markup else about


def _when(event: dict[str, Any]) -> str:
    again = f", every {event['every']} ({event['time_zone']})" if event.get("every") else ""
    return f"{event['start_time']} – {event['end_time']}{again}"


def feedback(
    job: JobArgument,
    record: Annotated[
        str | None, typer.Argument(metavar="RECORD_ID", help="Its id, as 'driftline anomalies' shows it; that of an event, too.")
    ] = None,
    verdict: Annotated[str | None, typer.Argument(metavar="nothing|real", help="What it was.")] = None,
    note: Annotated[str, typer.Option(help="Why.")] = "",
    by: Annotated[str | None, typer.Option(help="Who says so. Default: the user of this machine.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show what was said of the job's records.")] = False,
    revoke: Annotated[str | None, typer.Option(metavar="ID", help="Take back what was said; also by the record's id.")] = None,
    json: Json = False,
) -> None:
    """Say of a record that it was nothing, or real: what is like it is damped, or alarms, from then on."""
    from driftline.elastic.client import connect
    from driftline.pipeline import feedback as said

    client = connect()
    name = this_user() if by is None else by
    if list_:
        return _said(said.list_feedback(client, job), job, json)
    if revoke:
        gone = said.revoke_feedback(client, job, revoke, by=name)
        return emit(gone) if json else say(f"Taken back: {safe(gone['record_id'])} is {safe(gone['verdict'])} no more. {_AGAIN}")
    if record is None or verdict is None:
        from driftline.core.errors import DataError

        raise DataError(
            "a record and what it was must be given",
            expected="RECORD_ID nothing, or RECORD_ID real; or --list; or --revoke ID",
            fix="See: driftline feedback --help",
        )
    made = said.give_feedback(client, job, record, verdict, note=note, by=name)
    if json:
        return emit(made)
    effect = "is damped, unless it is clearly worse" if verdict == "nothing" else "alarms"
    say(f"Noted ({made['_id']}): what is like it {effect}, for 90 days of data from then on. {_AGAIN}")
    return None


_AGAIN = "It counts from the next run on; what was scored already is scored again by: driftline score JOB --start … --end …"


def _said(found: list[dict[str, Any]], job: str, json: bool) -> None:
    if json:
        return emit(found)
    if not found:
        say("Nothing was said yet.")
        return None
    from driftline.cli.results import SHORT, moment, split

    rows: list[list[object]] = [
        [
            each["_id"][:SHORT], moment(each), split(each), f"{each['record_score']:.0f}", each["verdict"], each["created_by"],
            each["note"], f"taken back {each['revoked'][:10]}" if each.get("revoked") else "",
        ]
        for each in found
    ]  # fmt: skip
    table(f"Feedback on {job}", ["id", "record of (UTC)", "found for", "score", "said", "by", "note", ""], rows)
    return None


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(
        epilog="Example: driftline suppress web-requests --partition '/export*' --start 2026-03-15T02:00Z --end "
        "2026-03-15T04:00Z --every week --reason 'weekly export'"
    )(suppress)
    app.command(epilog="Example: driftline feedback web-requests 4f2ab19c03 nothing --note 'load test'")(feedback)
