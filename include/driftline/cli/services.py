"""`driftline up`, `down`, `status`: Elasticsearch and Airflow on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from driftline.cli.output import Json, emit, err, safe, say

if TYPE_CHECKING:
    from driftline.services.control import Services


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog="Example: driftline up")(up)
    app.command(epilog="Example: driftline down")(down)
    app.command(epilog="Example: driftline status --json")(status)


def up(json: Json = False) -> None:
    """Start Elasticsearch (unless a cluster of your own is set) and Airflow, and mend what is broken."""
    from driftline.services.control import up as start

    services = start(say=lambda text: err.print(safe(text)))
    if json:
        return emit(services.as_dict())
    show(services)
    return login(services)


def down(json: Json = False) -> None:
    """Stop Airflow and the embedded Elasticsearch. All data stays."""
    from driftline.services.control import down as stop

    ended = stop()
    if json:
        return emit(ended)
    for name, ran in (("Airflow", ended["airflow"]), ("Elasticsearch", ended["node"])):
        say(f"{name} has stopped." if ran else f"{name} was not running.")
    return None


def status(json: Json = False) -> None:
    """Tell what runs, how it is, where it is and where its logs are. Exit code 1 when anything is not well."""
    from driftline.services.control import status as look

    services = look()
    if json:
        emit(services.as_dict())
    else:
        show(services)
    if not services.healthy:
        raise typer.Exit(1)


def show(services: Services) -> None:
    """Prints how both services are."""
    node, airflow = services.node, services.airflow
    if node is None:
        say(f"Elasticsearch  your own: {safe(services.cluster_url)}")
    else:
        word = f"{node.health or 'does not answer'}  {node.url}" if node.running else "not running"
        say(f"Elasticsearch  {word}\n  data {safe(node.data)}\n  log  {safe(node.log)}")
    word = ("healthy" if airflow.healthy else "NOT HEALTHY") if airflow.running else "not running"
    say(f"Airflow        {word}  {airflow.url or ''}\n  log  {safe(airflow.log)}")
    for part, health in airflow.parts.items():
        if health != "healthy":
            say(f"  {part}: {safe(health)}; 'driftline up' starts it again")
    for note in [*(node.notes if node else []), *airflow.notes]:
        say(f"  Note: {safe(note)}")


def login(services: Services) -> None:
    """Prints the address and the login of Airflow's UI."""
    from driftline.services.environment import USER, password

    say(f"Open {services.airflow.url} and log in as {USER} with the password {safe(password())}")
