"""`driftline node …`: the embedded Elasticsearch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from driftline.cli.output import Json, emit, err, safe, say

if TYPE_CHECKING:
    from driftline.elastic.node import Node

app = typer.Typer(help="The embedded Elasticsearch, for who has no cluster.", no_args_is_help=True, rich_markup_mode=None)


@app.command(epilog="Example: driftline node start --json")
def start(json: Json = False) -> None:
    """Start it, and wait until it answers. The first time it is downloaded (95 MB)."""
    from driftline.elastic import node
    from driftline.elastic.client import own_cluster

    if own := own_cluster():
        return _own(own["url"], json)
    return _show(node.start(say=lambda text: err.print(safe(text))), json)


@app.command(epilog="Example: driftline node stop")
def stop(json: Json = False) -> None:
    """Stop it. Its data stays."""
    from driftline.elastic import node

    ended = node.stop()
    if json:
        return emit({"running": False, "stopped": ended})
    return say("Elasticsearch has stopped; its data stays." if ended else "Elasticsearch was not running.")


@app.command(epilog="Example: driftline node status --json")
def status(json: Json = False) -> None:
    """Tell whether it runs, its address, and where its data lies."""
    from driftline.elastic import node

    _show(node.status(), json)


@app.command(epilog="Example: driftline node logs --lines 200")
def logs(lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many.")] = 50, json: Json = False) -> None:
    """Print the end of its log."""
    from driftline.elastic import node

    found = node.log_lines(lines)
    if json:
        return emit({"log": node.status().log, "lines": found})
    for line in found:
        say(safe(line))
    return None


def _own(url: str, json: bool) -> None:
    note = f"Your own cluster is set ({url}), so the embedded Elasticsearch is not started."
    if json:
        return emit({"running": False, "url": url, "own_cluster": True, "pid": None, "notes": [note]})
    return say(safe(note))


def _show(node: Node, json: bool) -> None:
    if json:
        return emit(node.as_dict())
    if not node.running:
        say("Elasticsearch is not running.")
    else:
        what = "started" if node.started else "running"
        say(f"Elasticsearch {node.version} is {what}: {node.url} (process {node.pid}, health {node.health or 'unknown'})")
    for label, text in (("data", node.data), ("log", node.log)):
        say(f"  {label}: {safe(text)}")
    for note in node.notes:
        say(f"  Note: {safe(note)}")
    return None
