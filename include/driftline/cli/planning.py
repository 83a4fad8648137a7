"""`driftline jobs estimate` and `jobs suggest`: what a job will cost, and which jobs an index asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.cli.output import Json, emit, progress, safe, say, table

if TYPE_CHECKING:
    from driftline.pipeline.suggest import Proposal, Surveyed


def estimate(
    jobs: Annotated[list[str], typer.Argument(metavar="JOB…", help="Job files or ids.")],
    json: Json = False,
) -> None:
    """Tell how large a job is before it runs: series, buckets, memory, time, and the bucket span that suits its data."""
    from driftline.elastic.client import connect
    from driftline.pipeline.estimate import estimate as run_estimate
    from driftline.pipeline.estimate import machine_speed
    from driftline.pipeline.fit import check_job_options
    from driftline.pipeline.jobs import load_job

    client = connect()
    found = []
    definitions = [load_job(name, client) for name in jobs]
    speed = machine_speed()
    for job in definitions:
        check_job_options(job)
        with progress(json) as report:
            found.append(run_estimate(client, job, speed=speed, progress=report))
    if json:
        return emit(found)
    for one in found:
        _tell_estimate(one)
    return None


def _tell_estimate(one: dict[str, Any]) -> None:
    span = one["bucket_span"]
    cycles = " and ".join(name for name in ("daily", "weekly") if span[name])
    splits = "; ".join(
        f"{' × '.join(split['fields']) or '(all)'}: {'' if split['complete'] else 'at least '}{split['combinations']:,}"
        for split in one["splits"]
    )
    kept = f" ({one['kept']:,} with training.max_partitions)" if one["kept"] < one["series"] else ""
    rows: list[list[object]] = [
        ["training window", f"{one['window']['start']} – {one['window']['end']}"],
        ["documents", f"{one['documents']:,}, {one['documents_per_second']:g} a second"],
        ["series", f"{one['series']:,}{kept}: {splits}"],
        ["buckets", f"{one['buckets']:,} of {span['now']}, {one['values']:,} values"],
        ["cycle", cycles or "none"],
        ["suggested bucket span", f"{span['suggested'] or '–'}: {span['reason']}"],
        ["snapshot", _size(one["bytes"]["snapshot"])],
        ["memory", f"{_size(one['bytes']['train'])} to train, {_size(one['bytes']['score'])} to score a day"],
        ["time", f"{one['seconds']['read']} s to read for the first time, {one['seconds']['train']} s to train, "
                 f"{one['seconds']['score']} s to score a day"],
    ]  # fmt: skip
    table(f"Estimate of {safe(one['job_id'])}", ["what", "about"], rows)
    say(f"Memory and time are estimates, good to a factor of {one['within']:g}; from what this machine does now.")
    for note in one["notes"]:
        say(f"Note: {safe(note)}")


def _size(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"


def suggest(
    index: Annotated[str, typer.Argument(metavar="INDEX", help="An index or pattern; several with commas between.")],
    prefix: Annotated[str, typer.Option(help="What the jobs' ids begin with.")] = "",
    time_field: Annotated[str | None, typer.Option(help="The field of time. Default: @timestamp, or the usual date.")] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Store the jobs in Elasticsearch; their DAGs appear within seconds.")
    ] = False,
    write: Annotated[Path | None, typer.Option(metavar="DIR", help="Write a job file for each, such as to include/jobs.")] = None,
    json: Json = False,
) -> None:
    """Look at an index and propose jobs for it, each with its reason. Nothing is saved unless --save or --write says so."""
    from driftline.core.errors import SourceIndexError
    from driftline.elastic.client import connect
    from driftline.pipeline.modules import recognise
    from driftline.pipeline.suggest import keep, named
    from driftline.pipeline.suggest import suggest as run_suggest

    client = connect()
    with progress(json) as report:
        seen, found = run_suggest(client, index, time_field=time_field, progress=report)
    proposals = named(found, prefix)
    try:
        fitting = [one["module"] for one in recognise(client, index) if one["fits"]]
    except SourceIndexError:  # it went in between
        fitting = []
    done = keep(client, proposals, save=save, folder=write)
    if json:
        return emit(
            {
                "index": seen.probe.datafeed.indices,
                "window": seen.window.as_dict(),
                "documents": seen.documents,
                "daily": seen.daily,
                "weekly": seen.weekly,
                "modules": fitting,
                "notes": seen.notes,
                "jobs": [{"job": one.definition, "reason": one.reason} for one in proposals],
                "kept": done,
            }
        )
    _tell(index, seen, proposals, fitting)
    for line in done:
        say(safe(line))
    if not done:
        say("Keep them: --save, or --write include/jobs.")
    return None


def _tell(index: str, seen: Surveyed, proposals: list[Proposal], fitting: list[str]) -> None:
    cycles = " and ".join(word for word, there in (("daily", seen.daily), ("weekly", seen.weekly)) if there) or "no"
    say(f"{safe(index)}: {seen.documents:,} documents, {safe(seen.window)}; {cycles} cycle.")
    for note in seen.notes:
        say(f"Note: {safe(note)}")
    rows: list[list[object]] = [
        [
            one.job.job_id,
            "; ".join(d.description for d in one.job.detectors),
            one.definition.get("bucket_span", "15m"),
            one.reason,
        ]
        for one in proposals
    ]
    table("Suggested jobs", ["job", "detector", "bucket span", "why"], rows)
    for module in fitting:
        say(f"There are ready jobs for such data: driftline modules setup {module} --index-pattern '{safe(index)}'")


def register(app: typer.Typer) -> None:
    """Adds the commands to `driftline jobs`."""
    app.command(epilog="Examples: driftline jobs estimate include/jobs/web.yaml | driftline jobs estimate web --json")(estimate)
    app.command(epilog="Examples: driftline jobs suggest web | driftline jobs suggest web --prefix web- --write include/jobs")(
        suggest
    )
