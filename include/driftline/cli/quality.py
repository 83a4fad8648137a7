"""`driftline quality …`: what the gate found."""

from __future__ import annotations

from typing import Annotated

import typer

from driftline.cli.output import Json, emit, safe, say, table

app = typer.Typer(help="Data quality: the gate's verdicts and reports.", no_args_is_help=True, rich_markup_mode=None)
Name = Annotated[str | None, typer.Argument(metavar="JOB_OR_SOURCE", help="Of this job or source only.")]


@app.command("list", epilog="Example: driftline quality list demo-endpoints")
def list_(name: Name = None, limit: Annotated[int, typer.Option("--limit", "-n", min=1)] = 20, json: Json = False) -> None:
    """List the latest reports."""
    from driftline.elastic.client import connect
    from driftline.pipeline.gate import reports

    found = reports(connect(), name, limit=limit)
    if json:
        return emit(found)
    rows: list[list[object]] = [
        [
            r.get("job_id") or r.get("source_id"),
            r["stage"],
            f"{r['start']} – {r['end']}",
            r["verdict"],
            ", ".join(r["failed_checks"]),
        ]
        for r in found
    ]
    table("Quality reports, the newest first", ["of", "stage", "interval", "verdict", "failed checks"], rows)
    return None


@app.command(epilog="Example: driftline quality show demo-endpoints")
def show(name: Annotated[str, typer.Argument(metavar="JOB_OR_SOURCE")], json: Json = False) -> None:
    """Show the latest report of a job or source, and where its page lies."""
    from driftline.core.errors import DataError
    from driftline.elastic.client import connect
    from driftline.pipeline.gate import reports

    found = reports(connect(), name, limit=1)
    if not found:
        raise DataError(
            f"there is no quality report of '{name}'", fix="Ingest, train or score first; see: driftline quality list"
        )
    report = found[0]
    if json:
        return emit(report)
    say(f"{safe(name)}, {report['stage']}, {report['start']} – {report['end']}: [bold]{report['verdict']}[/]")
    rows: list[list[object]] = [[c["name"], c["verdict"], c["observed"], c["expected"], c["message"]] for c in report["checks"]]
    table("", ["check", "verdict", "observed", "expected", "what it means"], rows)
    say(f"Report: {safe(report['report'])}")
    return None
