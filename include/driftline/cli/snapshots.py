"""`driftline snapshots …`: list a job's model snapshots, and revert to one."""

from __future__ import annotations

from typing import Annotated

import typer

from driftline.cli.output import JobArgument, Json, emit, say, table

app = typer.Typer(
    help="Model snapshots: what was learned, when, and which one is in force.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list", epilog="Example: driftline snapshots list web")
def list_(job: JobArgument, json: Json = False) -> None:
    """List a job's snapshots, the newest training window first."""
    from driftline.elastic import snapshots
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job

    client = connect()
    found = snapshots.manifests(client, load_job(job, client).job_id)
    if json:
        return emit(found)
    rows: list[list[object]] = []
    for m in found:
        valid = "; ".join(f"{i['from']} – {i.get('until') or 'now'}" for i in m["detail"]["valid"]) or "never"
        rows.append(
            [
                m["snapshot_id"],
                m["state"],
                f"{m['training_start']} – {m['training_end']}",
                m["trained"],
                m["failed"],
                valid,
                m["description"],
            ]
        )
    table(f"Snapshots of {job}", ["snapshot", "state", "training window", "trained", "failed", "in force", "why"], rows)
    return None


@app.command(epilog="Example: driftline snapshots revert web 20260322t000000-5a1c0de4f2ab --at 2026-03-29")
def revert(
    job: JobArgument,
    snapshot: Annotated[str, typer.Argument(help="The snapshot's id.")],
    at: Annotated[str, typer.Option(help="From this point in data time on.")] = "now",
    json: Json = False,
) -> None:
    """Put an older snapshot in force, until a newer one is promoted. Results stay; score again to replace them."""
    from driftline.core.timespan import iso, parse_time
    from driftline.elastic import snapshots
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job

    client = connect()
    moment = parse_time(at)
    manifest = snapshots.revert(client, load_job(job, client).job_id, snapshot, moment)
    if json:
        return emit(manifest)
    say(f"{manifest['snapshot_id']} is in force from {iso(moment)} on.")
    return None
