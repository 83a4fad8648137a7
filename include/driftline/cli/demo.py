"""`driftline demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from driftline.cli.output import Json


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: driftline demo")(demo)


def demo(json: Json = False) -> None:
    """Run the whole main job on a demo source through Airflow, and print what it found."""
    raise NotImplementedError
