"""All commands in one application.

Each command's module imports what it needs when it is called: `driftline --help` must not load Prophet.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from driftline import __version__
from driftline.cli import (
    alerts,
    analytics,
    backtest,
    bench,
    calendars,
    demo,
    detect,
    feedback,
    forecasts,
    generate,
    ingest,
    jobs,
    models,
    modules,
    node,
    planning,
    quality,
    quarantine,
    results,
    services,
    signatures,
    snapshots,
    work,
)
from driftline.cli.annotations import app as annotations_app
from driftline.cli.output import fail, wants_json

HELP = """Finds anomalies in, and forecasts, everything counted or measured in Elasticsearch.

First steps: 'driftline up' starts Elasticsearch and Airflow; 'driftline ingest FILE' brings in a log; 'driftline jobs list' shows
what is watched; 'driftline score JOB' and 'driftline anomalies JOB' find out what happened."""

MISTAKE: type[typer.BadParameter] = typer.BadParameter.__mro__[1]  # any wrong command line, which typer has no public name for
app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
services.register(app)
demo.register(app)
generate.register(app)
ingest.register(app)
work.register(app)
results.register(app)
feedback.register(app)
backtest.register(app)
detect.register(app)
planning.register(jobs.app)
app.add_typer(jobs.app, name="jobs")
app.add_typer(modules.app, name="modules")
app.add_typer(calendars.calendars, name="calendars")
app.add_typer(calendars.filters, name="filters")
app.add_typer(alerts.app, name="alerts")
app.add_typer(signatures.app, name="signatures")
app.add_typer(snapshots.app, name="snapshots")
app.add_typer(analytics.app, name="analytics")
app.add_typer(models.app, name="models")
app.add_typer(annotations_app, name="annotations")
app.add_typer(forecasts.app, name="forecasts")
app.add_typer(quality.app, name="quality")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(node.app, name="node")
app.add_typer(bench.app, name="bench")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"driftline {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


def run() -> None:
    """Runs the command line: exit code 0 done, 1 the work failed, 2 a mistake that the user can mend."""
    from driftline.core.errors import DriftlineError, UsageError

    try:
        # alone, typer tells a wrong command line in words, and exits itself
        sys.exit(app(standalone_mode=not wants_json()))
    except DriftlineError as error:
        fail(error, wants_json())
        sys.exit(error.exit_code)
    except MISTAKE as error:
        command = error.ctx.command_path if error.ctx else "driftline"
        fail(UsageError(error.format_message().rstrip("."), where=command, fix=f"Try '{command} --help'."), as_json=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
