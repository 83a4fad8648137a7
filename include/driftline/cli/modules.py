"""`driftline modules …`: ready jobs for kinds of data that many have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.cli.output import Json, emit, safe, say, table

if TYPE_CHECKING:
    from driftline.core.job import Job

app = typer.Typer(help="Modules: ready jobs for web logs, hosts, logins and DNS.", no_args_is_help=True, rich_markup_mode=None)
Module = Annotated[str, typer.Argument(metavar="MODULE", help="A module's name.")]


@app.command("list", epilog="Examples: driftline modules list | driftline modules list --index 'web*'")
def list_(
    index: Annotated[str | None, typer.Option(help="Tell which fit this index, or pattern; several with commas between.")] = None,
    json: Json = False,
) -> None:
    """List the modules, those that are broken too, and with --index which of them fit."""
    from driftline.elastic.client import connect
    from driftline.pipeline.modules import listed, recognise

    if index is None:
        known = listed()
        if json:
            return emit(known)
        table("Modules", ["module", "title", "jobs", "description"], [_row(one) for one in known])
        return _say_broken(known)
    found = recognise(connect(), index)
    if json:
        return emit(found)
    table(
        f"Modules for {safe(index)}",
        ["module", "fits", "documents", "jobs that could run", "and others"],
        [[m["module"], _fits(m), m["documents"], len(m["jobs"]), len(m["missing"])] for m in found],
    )
    _say_broken(found)
    for one in found:
        for job_id, why in one["missing"].items():
            say(f"{safe(job_id)}: not here; {safe(why)}")
    if best := next((one["module"] for one in found if one["fits"]), None):
        say(f"Set up: driftline modules setup {best} --index-pattern '{safe(index)}'")
    return None


def _row(one: dict[str, Any]) -> list[object]:
    if "error" in one:
        return [one["module"], "broken", "", ""]
    return [one["module"], one["title"], len(one["jobs"]), one["description"]]


def _say_broken(found: list[dict[str, Any]]) -> None:
    for one in found:
        if "error" in one:
            say(f"{safe(one['module'])}: broken; {safe(one['error'])}")


def _fits(one: dict[str, Any]) -> str:
    return "broken" if "error" in one else "yes" if one["fits"] else "no"


@app.command(epilog="Example: driftline modules show web_access")
def show(module: Module, json: Json = False) -> None:
    """Show what a module is about, and its jobs."""
    from driftline.pipeline.modules import jobs_of, load_module

    head, jobs = load_module(module), jobs_of(module)
    if json:
        return emit({"module": module, **head.as_dict(), "jobs": [job.as_dict() for job in jobs]})
    say(f"{safe(head.title)}: {safe(head.description)}.")
    say(f"Indices, unless --index-pattern says others: {safe(', '.join(head.index_pattern))}")
    rows: list[list[object]] = [[job.job_id, _detectors(job), job.as_dict()["bucket_span"], job.description] for job in jobs]
    table("Jobs", ["job", "detectors", "bucket span", "finds"], rows)
    return None


def _detectors(job: Job) -> str:
    """A job's detectors in one line."""
    return "; ".join(detector.description for detector in job.detectors)


@app.command(
    epilog="Examples: driftline modules setup web_access --index-pattern web --historical | "
    "driftline modules setup dns --index-pattern 'packetbeat-*' --job tunnel --dry-run"
)
def setup(
    module: Module,
    index_pattern: Annotated[
        str | None, typer.Option(help="Where the documents are; several with commas between. Default: the module's own.")
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="What the jobs' ids begin with. Default: the module's own.")] = None,
    job: Annotated[list[str] | None, typer.Option("--job", help="Only this job; may be repeated.")] = None,
    historical: Annotated[bool, typer.Option(help="Run once over data that has ended, rather than by the clock.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Tell what would be done, and save nothing.")] = False,
    json: Json = False,
) -> None:
    """Store a module's jobs in Elasticsearch; their DAGs appear within seconds. Jobs whose fields are missing are left out."""
    from driftline.elastic.client import connect
    from driftline.pipeline import modules

    done = modules.setup(
        connect(),
        module,
        index_pattern=index_pattern,
        prefix=prefix,
        only=job or (),
        historical=historical,
        dry_run=dry_run,
    )
    if json:
        return emit(done)
    for outcome in done["jobs"]:
        words = {"ready": "would be saved"}.get(outcome["status"], outcome["status"])
        say(f"{safe(outcome['job_id'])}: {words}" + (f" ({safe(outcome['reason'])})" if outcome["reason"] else ""))
    for note in done["notes"]:
        say(f"Note: {safe(note)}")
    return None
