"""`driftline jobs …`: list, validate, show, save, import, export, reset, delete, and the JSON Schema for editors."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.cli.output import JobArgument, Json, emit, err, safe, say, table

app = typer.Typer(help="Jobs: what is watched, and how.", no_args_is_help=True, rich_markup_mode=None)
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("list", epilog="Example: driftline jobs list --json")
def list_(json: Json = False) -> None:
    """List all jobs, those that are broken too."""
    from driftline.core.errors import ClusterDownError
    from driftline.core.job import Job
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import as_json, list_definitions

    try:
        entries = list_definitions(connect())
    except ClusterDownError as error:
        entries = list_definitions()
        if not json:
            say(f"Only files are listed: {safe(error)}")
    found = [entry for entry in entries if entry.kind == "job"]
    if json:
        return emit([as_json(entry) for entry in found])
    rows: list[list[object]] = []
    for entry in found:
        job = entry.definition
        if not isinstance(job, Job):
            rows.append([entry.id, "broken", "", entry.error])
        else:
            rows.append([job.job_id, entry.origin, "; ".join(d.description for d in job.detectors), job.description])
    table("Jobs", ["job", "from", "detectors", "description"], rows)
    return None


@app.command(epilog="Examples: driftline jobs validate include/jobs/web.yaml | driftline jobs validate web --offline")
def validate(
    jobs: Annotated[list[str], typer.Argument(metavar="JOB…", help="Job files or ids.")],
    offline: Annotated[bool, typer.Option(help="Check the definition only, not its index and fields.")] = False,
    json: Json = False,
) -> None:
    """Check jobs: the definition, Prophet's options, that the index and its fields are there, and what its data is like."""
    from driftline.elastic.client import connect
    from driftline.elastic.fields import check_fields
    from driftline.pipeline.fit import check_job_options
    from driftline.pipeline.jobs import load_job
    from driftline.pipeline.looks import advice

    client = None if offline else connect()
    checked = []
    for name in jobs:
        job = load_job(name, client)
        check_job_options(job)
        notes = list(job.notes)
        if client is not None:
            check_fields(client, job)
            notes += advice(client, job)
        checked.append({"job_id": job.job_id, "version": job.version, "valid": True, "notes": notes})
    if json:
        return emit(checked)
    for entry in checked:
        say(f"{entry['job_id']}: valid (version {entry['version']})")
        for note in entry["notes"]:  # type: ignore[attr-defined]
            say(f"  Note: {safe(note)}")
    return None


@app.command(epilog="Example: driftline jobs show web")
def show(job: JobArgument, json: Json = False) -> None:
    """Show a job with its defaults filled in, how far it is scored, and its snapshot."""
    import yaml

    from driftline.core.errors import ClusterDownError
    from driftline.core.timespan import iso
    from driftline.elastic import snapshots, state
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job

    try:
        client = connect()
        definition = load_job(job, client)
        until = state.scored_until(client, definition)
        found = [m for m in snapshots.manifests(client, definition.job_id) if m["job_version"] == definition.version]
        waits = _waits(client, definition)
    except ClusterDownError:
        definition, until, found, waits = load_job(job), None, [], []
    facts = {
        "version": definition.version,
        "scored_until": iso(until) if until else None,
        "snapshots": len(found),
        "snapshot": next((m["snapshot_id"] for m in found if m["state"] == "promoted"), None),
        "trained": any(m["detail"]["valid"] for m in found),
        "notes": [*definition.notes, *waits],
    }
    if json:
        return emit({"definition": definition.as_dict(), **facts})
    say(safe(yaml.safe_dump(definition.as_dict(), sort_keys=False, allow_unicode=True)))
    for name, value in facts.items():
        say(f"{name.replace('_', ' ')}: {safe(value if value not in (None, []) else '–')}")
    return None


def _waits(client: Any, job: Any) -> list[str]:  # noqa: ANN401 - imported late
    from driftline.core.errors import SourceIndexError
    from driftline.pipeline.versions import pending

    try:
        return [note] if (note := pending(client, job)) else []
    except SourceIndexError as error:  # an index that is not there yet is for `validate` to refuse
        return [str(error)]


@app.command(epilog="Example: driftline jobs versions web")
def versions(job: JobArgument, json: Json = False) -> None:
    """List a job's versions, the current one first: what each has scored and left, and what was changed since."""
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job
    from driftline.pipeline.versions import listed

    client = connect()
    found = listed(client, load_job(job, client))
    if json:
        return emit(found)
    rows: list[list[object]] = []
    for each in found:
        span = f"{each['scored_from']} – {each['scored_until']}" if each["scored_until"] else "not scored"
        now = "current" if each["current"] else ", ".join(each["changed"])
        counts = [each[name] for name in ("records", "events", "results", "forecasts", "snapshots")]
        rows.append([each["version"], now, span, *counts])
    columns = ["version", "changed since", "scored", "records", "events", "results", "forecasts", "snapshots"]
    table(f"Versions of {job}", columns, rows)
    return None


@app.command(epilog="Example: driftline jobs save new-job.yaml")
def save(file: Annotated[Path, typer.Argument(help="A job file.")], json: Json = False) -> None:
    """Store a job in Elasticsearch instead of include/jobs; its DAGs appear within seconds."""
    from driftline.core.job import Job
    from driftline.elastic.client import connect
    from driftline.elastic.fields import check_fields
    from driftline.pipeline.jobs import save as save_job
    from driftline.pipeline.jobs import stored_job

    client = connect()
    job = Job.load(file, former=partial(stored_job, client))
    check_fields(client, job)
    save_job(client, job)
    if json:
        return emit({"job_id": job.job_id, "saved": True})
    say(f"{job.job_id} is saved.")
    return None


@app.command("import", epilog="Example: driftline jobs import exported/ --index-pattern 'filebeat-*' --dry-run")
def import_(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE|FOLDER…", help="Files of jobs, or folders with some.")],
    index_pattern: Annotated[str | None, typer.Option(help="What to read where a file has a placeholder or no datafeed.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Tell what would become of each file, and save nothing.")] = False,
    json: Json = False,
) -> None:
    """Take over Elastic's anomaly detection jobs (with or without datafeeds, modules with a manifest), and loudml's models."""
    from driftline.elastic.client import connect
    from driftline.pipeline.imports import import_jobs

    found = import_jobs(None if dry_run else connect(), paths, index_pattern=index_pattern)
    if json:
        emit([each.as_dict() for each in found])
    else:
        for each in found:
            say(f"{safe(each.file)}: {each.job_id or ''} {each.status.replace('_', ' ')}")
            for note in each.notes:
                say(f"  {safe(note)}")
    if any(each.status == "refused" for each in found):
        raise typer.Exit(1)


@app.command(epilog="Examples: driftline jobs export web > web.json | driftline jobs export voip --to loudml")
def export(
    job: JobArgument, to: Annotated[str, typer.Option(help="Whose form: elastic or loudml.")] = "elastic", json: Json = False
) -> None:
    """Print a job as Elastic's API takes it, with its datafeed, or as loudml's. What is different there is said beside it."""
    from driftline.elastic.client import connect
    from driftline.pipeline.imports import export_job
    from driftline.pipeline.jobs import load_job

    # a file needs no cluster
    body, notes = export_job(load_job(job, None if Path(job).suffix else connect()), to)
    if json:
        return emit({"job": body, "notes": notes})
    for note in notes:
        err.print(f"Note: {safe(note)}", soft_wrap=True)
    return emit(body)


@app.command(epilog="Examples: driftline jobs reset web --yes | driftline jobs reset web --version 5a1c0de4f2ab")
def reset(
    job: JobArgument,
    version: Annotated[
        str | None, typer.Option(help="Only what is of this version (`jobs versions`): results, forecasts, snapshots.")
    ] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Forget all that a job has learned and found: results, forecasts, snapshots, quality, runs."""
    from driftline.core.definition import IDENTIFIER
    from driftline.core.errors import DefinitionError
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job
    from driftline.pipeline.jobs import reset as reset_job
    from driftline.pipeline.versions import find

    client = connect()
    if version:
        definition = load_job(job, client)
        which = find(client, definition, version)
        _confirm(f"Remove results, forecasts and snapshots of version {which} of {definition.job_id}?", yes or json)
        return _removed(definition.job_id, reset_job(client, definition.job_id, which), json)
    unknown: DefinitionError | None = None
    try:
        job_id = load_job(job, client).job_id
    except DefinitionError as error:  # an id whose definition is gone or broken may still have results
        if not re.fullmatch(IDENTIFIER, job):
            raise
        job_id, unknown = job, error
    _confirm(f"Remove all results, forecasts and snapshots of {job_id}?", yes or json)
    removed = reset_job(client, job_id, kind="job")
    if unknown is not None and not any(removed.values()):
        raise unknown
    return _removed(job_id, removed, json)


@app.command(epilog="Example: driftline jobs delete web --yes")
def delete(job: JobArgument, yes: Yes = False, json: Json = False) -> None:
    """Delete a job that is stored in Elasticsearch, with all that it has. A job in a file is removed by removing the file."""
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import delete as delete_job

    client = connect()
    _confirm(f"Delete {job} with all its results, forecasts and snapshots?", yes or json)
    removed = delete_job(client, job)
    _removed(job, removed, json)


@app.command(epilog="Example: driftline jobs schema > job.schema.json")
def schema(kind: Annotated[str, typer.Argument(help="job or source")] = "job") -> None:
    """Print the JSON Schema of job or source files, for editors."""
    from driftline.core.errors import DefinitionError
    from driftline.pipeline.schema import json_schema

    if kind not in {"job", "source"}:
        raise DefinitionError(f"there is no schema of '{kind}'", expected="job or source")
    emit(json_schema(kind))


def _confirm(question: str, yes: bool) -> None:
    if not yes:
        typer.confirm(question, abort=True)


def _removed(job_id: str, removed: dict[str, int], json: bool) -> None:
    if json:
        emit({"job_id": job_id, "removed": removed})
    else:
        say(f"{job_id}: removed " + ", ".join(f"{count} {kind}" for kind, count in removed.items()) + ".")
