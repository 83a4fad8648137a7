"""`driftline alerts …`: who is told of what, and what was told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.cli.output import Json, emit, moment, safe, say, table

app = typer.Typer(help="Alerts: who is told of what, and what was told.", no_args_is_help=True, rich_markup_mode=None)
Name = Annotated[str, typer.Argument(metavar="ALERT", help="Its id.")]


@app.command("list", epilog="Example: driftline alerts list --json")
def list_(json: Json = False) -> None:
    """List all alerts: what they tell, where, when last, and what could not be told."""
    from driftline.elastic.client import connect
    from driftline.pipeline.alerts import overview

    found = overview(connect())
    if json:
        return emit(found)
    table("Alerts", ["alert", "tells", "of", "to", "told last", "waiting"], [_row(each) for each in found if not each["broken"]])
    for each in found:
        if problem := each["broken"] or each["error"]:
            say(f"{safe(each['alert_id'])}: {safe(problem)}")
    return None


def _row(found: dict[str, Any]) -> list[object]:
    alert = found["definition"]
    channel = alert["channel"]
    tells = f"{alert['tells']}, from {alert['min_severity']} on" if alert["enabled"] else "nothing: it is not enabled"
    to = f"{channel['kind']}: {', '.join(channel['to']) or channel['conn_id']}"
    return [found["alert_id"], tells, ", ".join(alert["jobs"]), to, found["told"] or "never", found["waiting"]]


@app.command(epilog="Example: driftline alerts validate include/alerts/ops.yaml")
def validate(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE…]", help="Alert files; by default all.")] = None,
    json: Json = False,
) -> None:
    """Check alert files. Whether the connection is there only Airflow knows: driftline alerts test."""
    from driftline.core.alerts import Alert
    from driftline.core.errors import DefinitionError
    from driftline.pipeline.alerts import list_alerts

    if files:
        names = [Alert.load(file).alert_id for file in files]
    else:
        entries = list_alerts()
        if broken := [each.error for each in entries if each.error]:
            raise DefinitionError("; ".join(broken))
        names = [each.id for each in entries]
    if json:
        return emit({"valid": names})
    say(f"Valid: {safe(', '.join(names)) or 'there is no alert'}.")
    return None


@app.command("test", epilog="Example: driftline alerts test ops")
def try_(name: Name, json: Json = False) -> None:
    """Have the Airflow of 'driftline up' send a test on the alert's channel: the connections are Airflow's."""
    from driftline.core.errors import ServiceError
    from driftline.pipeline.alerts import load_alert
    from driftline.services import airflow
    from driftline.services.api import AirflowApi

    alert = load_alert(name)
    running = airflow.status()
    if not running.running or not running.url:
        raise ServiceError(
            "Airflow does not run here", fix="Start it: driftline up. Of another: the button Test on its page Alerts."
        )
    with AirflowApi(running.url) as api:
        api.test_alert(name)
    if json:
        return emit({"alert_id": name, "sent": True})
    say(f"Sent to {alert.channel.kind}, connection {safe(alert.channel.conn_id)}.")
    return None


@app.command(epilog="Example: driftline alerts history ops -n 20")
def history(
    name: Annotated[str | None, typer.Argument(metavar="[ALERT]", help="Of this alert only.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="So many at most.")] = 50,
    json: Json = False,
) -> None:
    """Show what was told, what waits to be told, and why it could not be, the latest first."""
    from driftline.elastic.claims import history as stored
    from driftline.elastic.client import connect

    found = stored(connect(), name, limit=limit)
    if json:
        return emit(found)
    rows: list[list[object]] = [
        [
            each["alert_id"], each["created"], each["state"] if each["state"] != "open" else f"waits until {each['due']}",
            each.get("told") or "", each["severity"], moment(each["start"]), each["message"]["title"], each.get("error") or "",
        ]
        for each in found
    ]  # fmt: skip
    table("Told, the latest first", ["alert", "found", "state", "told", "severity", "began", "what", "problem"], rows)
    return None
