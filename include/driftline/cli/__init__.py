"""`driftline …`: everything the DAGs do, without Airflow."""

from __future__ import annotations


def main() -> None:
    """The entry point of the command."""
    from driftline.cli.app import run

    run()
