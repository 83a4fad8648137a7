"""`driftline snapshots …`: a job's model snapshots: what they are, which are kept, and which one is in force."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from driftline.cli.output import JobArgument, Json, emit, safe, say, table

Snapshot = Annotated[str, typer.Argument(help="The snapshot's id.")]

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
        rows.append(
            [
                m["snapshot_id"],
                m["state"],
                f"{m['training_start']} – {m['training_end']}",
                m["trained"],
                m["failed"],
                _in_force(m),
                "yes" if m.get("retain") else "",
                m["description"],
            ]
        )
    columns = ["snapshot", "state", "training window", "trained", "failed", "in force", "retained", "description"]
    table(f"Snapshots of {job}", columns, rows)
    return None


@app.command(epilog="Example: driftline snapshots describe web 20260322t000000-5a1c0de4f2ab")
def describe(job: JobArgument, snapshot: Snapshot, json: Json = False) -> None:
    """Show one snapshot: what it was trained on, how well, what is not in it, how large it is, and what it is in force for."""
    from driftline.elastic import snapshots
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job

    client = connect()
    definition = load_job(job, client)
    found = snapshots.manifests(client, definition.job_id)
    manifest = snapshots.find(found, snapshot, definition.job_id)
    detail, now = manifest["detail"], snapshots.in_force(found, manifest["job_version"])
    facts = {
        **{name: value for name, value in manifest.items() if name != "detail"},
        "retain": bool(manifest.get("retain")),
        "current_version": manifest["job_version"] == definition.version,
        "in_force": detail["valid"],
        "in_force_now": manifest is now and manifest["job_version"] == definition.version,
        "chunks": detail["chunks"],
        "bytes": detail.get("bytes"),
        **{name: detail.get(name) for name in ("grades", "backtest", "unpredictable", "failures", "fallbacks", "notes")},
    }
    if json:
        return emit(facts)
    for name, value in facts.items():
        if name in ("failures", "fallbacks", "unpredictable"):
            say(f"{name}: {len(value or [])}")
        elif name == "in_force":
            say(f"in force: {_in_force(manifest)}")
        elif name == "notes":
            for note in value or []:
                say(f"Note: {safe(note)}")
        else:
            say(f"{name.replace('_', ' ')}: {safe('–' if value is None else value)}")
    _series("Not trained", detail.get("failures") or [], "reason")
    _series("Fitted by Prophet itself", detail.get("fallbacks") or [], "reason")
    _series("Hard to predict", detail.get("unpredictable") or [])
    return None


def _series(title: str, found: list[dict[str, Any]], *more: str) -> None:
    if found:
        names = ("detector_index", "partition_value", "by_value", *more)
        table(title, list(names), [["" if each.get(name) is None else each[name] for name in names] for each in found[:20]])


def _in_force(manifest: dict[str, Any]) -> str:
    return "; ".join(f"{i['from']} – {i.get('until') or 'now'}" for i in manifest["detail"]["valid"]) or "never"


@app.command(
    epilog="Example: driftline snapshots update web 20260322t000000-5a1c0de4f2ab --description 'before the move' --retain"
)
def update(
    job: JobArgument,
    snapshot: Snapshot,
    description: Annotated[str | None, typer.Option(help="What is to be known of it.")] = None,
    retain: Annotated[bool | None, typer.Option("--retain/--no-retain", help="Whether maintenance keeps it for ever.")] = None,
    json: Json = False,
) -> None:
    """Set a snapshot's description, and whether it is kept for ever."""
    from driftline.core.errors import DataError

    if description is None and retain is None:
        raise DataError("it is not said what to change", expected="--description, --retain or --no-retain")
    _update(job, snapshot, json, description=description, retain=retain)


@app.command(epilog="Example: driftline snapshots retain web 20260322t000000-5a1c0de4f2ab")
def retain(job: JobArgument, snapshot: Snapshot, json: Json = False) -> None:
    """Keep a snapshot for ever: maintenance does not remove it."""
    _update(job, snapshot, json, retain=True)


@app.command(epilog="Example: driftline snapshots unretain web 20260322t000000-5a1c0de4f2ab")
def unretain(job: JobArgument, snapshot: Snapshot, json: Json = False) -> None:
    """Let maintenance remove a snapshot when its time has come."""
    _update(job, snapshot, json, retain=False)


def _update(job: str, snapshot: str, json: bool, **said: Any) -> None:  # noqa: ANN401 - as `snapshots.update` takes them
    from driftline.elastic import snapshots
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job

    client = connect()
    manifest = snapshots.update(client, load_job(job, client).job_id, snapshot, **said)
    if json:
        return emit(manifest)
    kept = "is kept for ever" if manifest["retain"] else "is removed when its time has come"
    say(f"{manifest['snapshot_id']} {kept}: {safe(manifest['description'])}")
    return None


@app.command(epilog="Example: driftline snapshots delete web 20260322t000000-5a1c0de4f2ab")
def delete(job: JobArgument, snapshot: Snapshot, json: Json = False) -> None:
    """Delete a snapshot that is not in force. Scoring older buckets again may train it anew."""
    from driftline.core.errors import SnapshotError
    from driftline.elastic import snapshots
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job

    client = connect()
    definition = load_job(job, client)
    found = snapshots.manifests(client, definition.job_id)
    doomed = snapshots.find(found, snapshot, definition.job_id)
    if doomed is snapshots.in_force(found, definition.version):
        raise SnapshotError(
            f"snapshot '{snapshot}' is in force", where=f"job {definition.job_id}", fix="Revert to another one first, or train."
        )
    removed = snapshots.delete(client, definition.job_id, [snapshot])
    if json:
        return emit({"removed": removed})
    say(f"{doomed['snapshot_id']} is deleted.")
    return None


@app.command(epilog="Example: driftline snapshots revert web 20260322t000000-5a1c0de4f2ab --at 2026-03-29")
def revert(
    job: JobArgument,
    snapshot: Snapshot,
    at: Annotated[str, typer.Option(help="From this point in data time on.")] = "now",
    json: Json = False,
) -> None:
    """Put an older snapshot in force, until a newer one is promoted. Results stay; score again to replace them."""
    from driftline.core.timespan import iso, parse_time
    from driftline.elastic import snapshots
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job

    client = connect()
    definition, moment = load_job(job, client), parse_time(at)
    manifest = snapshots.revert(client, definition.job_id, snapshot, moment, version=definition.version)
    if json:
        return emit(manifest)
    say(f"{manifest['snapshot_id']} is in force from {iso(moment)} on.")
    return None
