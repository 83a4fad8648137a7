"""`driftline quality …`: what the gate found."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from driftline.cli.output import Json, emit, safe, say, table

app = typer.Typer(help="Data quality: the gate's verdicts and reports.", no_args_is_help=True, rich_markup_mode=None)
Name = Annotated[str | None, typer.Argument(metavar="JOB_OR_SOURCE", help="Of this job or source only.")]
MARKS = {"pass": "✓", "warn": "!", "stop": "✕"}


@app.command("list", epilog="Examples: driftline quality list | driftline quality list demo-endpoints --all -n 50")
def list_(
    name: Name = None,
    every: Annotated[bool, typer.Option("--all", help="Every report, the latest made first.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="With --all: so many at most.")] = 20,
    json: Json = False,
) -> None:
    """List the latest verdict of each stage of each job and source, with the trend of the last ten; or all reports."""
    from driftline.elastic.client import connect
    from driftline.pipeline.gate import latest, reports

    client = connect()
    found = reports(client, name, limit=limit) if every else latest(client, name)
    if json:
        return emit(found)
    rows: list[list[object]] = [
        [
            r.get("job_id") or r.get("source_id"), r["stage"], f"{r['start']} – {r['end']}", _verdict(r["verdict"]),
            "".join(MARKS.get(verdict, "?") for verdict in r.get("trend", ())), ", ".join(r["failed_checks"]),
        ]
        for r in found
    ]  # fmt: skip
    title = (
        "Quality reports, the latest made first" if every else "Latest quality verdicts; in the trend the latest is at the end"
    )
    table(title, ["of", "stage", "interval", "verdict", "trend", "failed checks"], rows)
    return None


@app.command(epilog="Examples: driftline quality show demo-endpoints | driftline quality show demo-endpoints --stage train")
def show(
    name: Annotated[str, typer.Argument(metavar="JOB_OR_SOURCE")],
    stage: Annotated[str | None, typer.Option(help="train, score or ingest. Default: whatever ran last.")] = None,
    json: Json = False,
) -> None:
    """Show the latest report of a job or source, and where its page lies."""
    from driftline.core.errors import DataError
    from driftline.elastic.client import connect
    from driftline.pipeline.gate import reports

    found = reports(connect(), name, stage=stage, limit=1)
    if not found:
        of = f"'{name}'" + (f" at stage '{stage}'" if stage else "")
        raise DataError(f"there is no quality report of {of}", fix="Ingest, train or score first; see: driftline quality list")
    report = found[0]
    if json:
        return emit(report)
    return _show(name, report)


def _show(name: str, report: dict[str, Any]) -> None:
    say(f"{safe(name)}, {report['stage']}, {report['start']} – {report['end']}: [bold]{_verdict(report['verdict'])}[/]")
    rows: list[list[object]] = [
        [check["name"], _verdict(check["verdict"]), check["observed"], check["expected"], check["message"]]
        for check in report["checks"]
    ]
    table("", ["check", "verdict", "observed", "expected", "what it means"], rows)
    for check in report["checks"]:
        if check["sample"]:
            say(f"{safe(check['name'])}, for example:")
            for item in check["sample"]:
                say(f"  {safe(item)}")
    say(f"Report: {safe(report['report'])}")


def _verdict(verdict: str) -> str:
    return f"{MARKS.get(verdict, '–')} {verdict}"
