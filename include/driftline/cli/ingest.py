"""`driftline ingest`: files or a source into Elasticsearch."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.cli.output import Json, emit, progress, safe, say, table

if TYPE_CHECKING:
    from driftline.core.source import Source

EXAMPLES = """Examples:
driftline ingest access.log --index web |
driftline ingest '/logs/access.log*' --index web --timezone Europe/Berlin |
driftline ingest metrics.csv --index metrics --time-field timestamp |
driftline ingest --source demo |
driftline ingest today.log --source include/sources/web.yaml --final"""


def ingest(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE…", help="Files, folders, globs or URIs; gzipped or not.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="ID|FILE.yaml", help="Read as this source says; FILEs replace its paths.")
    ] = None,
    index: Annotated[str | None, typer.Option(help="The index that takes the rows.")] = None,
    form: Annotated[str | None, typer.Option("--format", help="access_log, ndjson, csv or parquet. Default: found out.")] = None,
    time_field: Annotated[str | None, typer.Option(help="The field that holds a row's time. Default: @timestamp.")] = None,
    timezone: Annotated[str | None, typer.Option(help="The zone of stamps that name none. Default: UTC.")] = None,
    final: Annotated[bool, typer.Option("--final", help="The files are complete: a last line without its end is a row.")] = False,
    json: Json = False,
) -> None:
    """Ingest logs, NDJSON, CSV or Parquet: each row once, bad ones to INDEX-quarantine; again, it takes only what is new."""
    from driftline.elastic.client import connect
    from driftline.pipeline import ingest as pipeline

    changes = {"index": index, "time_field": time_field, "timezone": timezone}
    definition = _definition(files or [], source, changes, {"format": form, "final": final or None})
    client = connect()
    started = time.monotonic()
    with progress(json) as report:
        summary = pipeline.ingest(client, definition, progress=report)
    seconds = time.monotonic() - started
    summary |= {"elapsed": round(seconds, 3), "docs_per_second": round(summary["indexed"] / max(seconds, 1e-3))}
    if json:
        emit(summary)
    else:
        _tell(summary)


def _definition(files: list[str], source: str | None, changes: dict[str, Any], of_files: dict[str, Any]) -> Source:
    from driftline.core.errors import DefinitionError
    from driftline.core.source import Source
    from driftline.pipeline.jobs import load_source

    if source is None and not files:
        raise DefinitionError("nothing to ingest", where="driftline ingest", fix="Name files and --index, or --source.")
    if source is not None:
        data = load_source(source).as_dict()
    elif changes["index"] is None:
        raise DefinitionError(
            "no index is named", where="--index", fix="Add --index NAME, or --source with a source that has one."
        )
    else:
        name = re.sub(r"[^a-z0-9]+", "-", changes["index"].lower()).strip("-")[:60].rstrip("-")
        data = {"source_id": name or "files", "files": {"paths": files}}
    data |= {key: value for key, value in changes.items() if value is not None}
    wanted = {key: value for key, value in of_files.items() if value is not None} | ({"paths": files} if files else {})
    if wanted:
        if "generator" in data:
            raise DefinitionError(
                f"source {data['source_id']} is generated: {', '.join(sorted(wanted))} cannot be given", where="driftline ingest"
            )
        data["files"] = data["files"] | wanted
    return Source.parse(data, where=f"source {source}" if source else "driftline ingest")


def _tell(summary: dict[str, Any]) -> None:
    for known in summary["known"]:
        say(f"Nothing new in {safe(known['path'])}: {safe(known['why'])}.")
    rows = [
        [
            Path(result["path"]).name,
            result.get("format", ""),
            *(result[name] for name in ("rows", "indexed", "quarantined", "pending")),
        ]
        for result in summary["results"]
    ]
    if rows:
        table("", ["file", "format", "read", "indexed", "quarantined", "pending"], rows[:50])
    say(
        f"[bold]{summary['indexed']}[/] rows indexed in {safe(summary['index'])}, {summary['docs_per_second']}/s; "
        f"{summary['quarantined']} quarantined; quality: {summary['verdict']}."
    )
    if summary["quarantined"]:
        say(f"Why: driftline quarantine list {safe(summary['source_id'])}")
    if summary["pending"]:
        say("A last line is half written; it is left for the next time (--final takes it as it is).")
    if summary.get("truth"):
        say(f"{summary['truth']} injected anomalies are written down in driftline-truth.")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(ingest)
