"""`driftline signatures …`: how each of many entities behaves, and which behave otherwise now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.cli.output import End, Json, Start, emit, progress, safe, say, table

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.signature import Signatures

app = typer.Typer(help="Signatures: entities that begin to behave otherwise.", no_args_is_help=True, rich_markup_mode=None)
Name = Annotated[str, typer.Argument(metavar="SIGNATURES", help="Their id, or a file.")]
Threshold = Annotated[float | None, typer.Option(min=0, max=100, help="Least score. Default: the definition's.")]
ModelOption = Annotated[str, typer.Option(help="as_of: what was learned before each span; latest: the newest for all.")]


def _loaded(name: str) -> tuple[Elasticsearch, Signatures]:
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_signatures

    client = connect()
    return client, load_signatures(name, client)


@app.command("list", epilog="Example: driftline signatures list --json")
def list_(json: Json = False) -> None:
    """List all signatures, those that are broken too."""
    from driftline.core.signature import Signatures
    from driftline.core.timespan import format_span
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import as_json, list_definitions

    found = [entry for entry in list_definitions(connect()) if entry.kind == "signatures"]
    if json:
        return emit([as_json(entry) for entry in found])
    rows: list[list[object]] = []
    for entry in found:
        each = entry.definition
        if not isinstance(each, Signatures):
            rows.append([entry.id, "broken", "", "", entry.error])
        else:
            spans = f"{format_span(each.span)} against {format_span(each.window)}"
            rows.append([each.signature_id, entry.origin, each.term, spans, each.description])
    table("Signatures", ["signatures", "from", "term", "compares", "description"], rows)
    return None


@app.command(epilog="Example: driftline signatures show callers")
def show(signatures: Name, json: Json = False) -> None:
    """Show the definition with its defaults, what was learned, and until when entities are scored."""
    import yaml

    from driftline.pipeline.signature_view import state_of

    client, found = _loaded(signatures)
    facts = state_of(client, found)
    if json:
        return emit({"definition": found.as_dict(), **facts})
    say(safe(yaml.safe_dump(found.as_dict(), sort_keys=False, allow_unicode=True)))
    for name, value in facts.items():
        say(f"{name.replace('_', ' ')}: {safe(value if value not in (None, []) else '–')}")
    return None


@app.command(epilog="Example: driftline signatures validate include/signatures/callers.yaml")
def validate(
    signatures: Name,
    offline: Annotated[bool, typer.Option(help="Check the definition only, not its index and fields.")] = False,
    json: Json = False,
) -> None:
    """Check a definition, and that its index and fields are there."""
    from driftline.core.signature import Signatures
    from driftline.elastic.fields import check_signatures

    client, found = (None, Signatures.load(Path(signatures))) if offline else _loaded(signatures)
    if client is not None:
        check_signatures(client, found)
    if json:
        return emit({"signature_id": found.signature_id, "version": found.version, "valid": True, "notes": found.notes})
    say(f"{found.signature_id}: valid (version {found.version})")
    for note in found.notes:
        say(f"  Note: {safe(note)}")
    return None


@app.command(epilog="Example: driftline signatures save callers.yaml")
def save(file: Annotated[Path, typer.Argument(help="A file of signatures.")], json: Json = False) -> None:
    """Store a definition in Elasticsearch instead of include/signatures; its DAGs appear within seconds."""
    from driftline.core.signature import Signatures
    from driftline.elastic.client import connect
    from driftline.elastic.fields import check_signatures
    from driftline.pipeline.jobs import save_signatures

    client = connect()
    found = Signatures.load(file)
    check_signatures(client, found)
    save_signatures(client, found)
    if json:
        return emit({"signature_id": found.signature_id, "saved": True})
    say(f"{found.signature_id} is saved.")
    return None


@app.command(epilog="Examples: driftline signatures train callers | driftline signatures train callers --limit 1000")
def train(
    signatures: Name,
    as_of: Annotated[str | None, typer.Option(help="Learn from what came before. Default: all that is complete.")] = None,
    start: Annotated[str | None, typer.Option(help="Learn from what came from then on. Default: as window says.")] = None,
    limit: Annotated[int | None, typer.Option(min=10, help="Group so many random profiles instead of all.")] = None,
    json: Json = False,
) -> None:
    """Learn the long-term signatures, and group them."""
    from driftline.pipeline.signatures import train as run_train

    client, found = _loaded(signatures)
    with progress(json) as report:
        outcome = run_train(client, found, as_of=as_of, start=start, limit=limit, progress=report)
    if json:
        return emit(outcome)
    say(f"Snapshot [bold]{outcome['snapshot_id']}[/]: {outcome['entities']} entities in {len(outcome['groups'])} groups "
        f"({', '.join(map(str, outcome['groups']))}).")  # fmt: skip
    say(f"Learned from {outcome['window']['start']} – {outcome['window']['end']}.")
    _tell(outcome)
    return None


@app.command(epilog="Example: driftline signatures score callers --start now-11d --end now --threshold 99")
def score(
    signatures: Name,
    start: Start = None,
    end: End = None,
    interval: Annotated[str | None, typer.Option(help="How often, such as 6h. Default: the definition's.")] = None,
    threshold: Threshold = None,
    model: ModelOption = "as_of",
    json: Json = False,
) -> None:
    """Score entities over a range, or what is new; what was found there before at that interval is replaced."""
    _score(signatures, start, end, interval, threshold, model, json)


@app.command(epilog="Example: driftline signatures scan callers --start 2016-12-01 --end 2017-03-31")
def scan(
    signatures: Name,
    start: Annotated[str, typer.Option(help="From when.")],
    end: Annotated[str, typer.Option(help="Until when.")] = "now",
    interval: Annotated[str, typer.Option(help="How often.")] = "24h",
    threshold: Threshold = None,
    model: ModelOption = "latest",
    json: Json = False,
) -> None:
    """A quick scan of months: once a day, by what was learned last."""
    _score(signatures, start, end, interval, threshold, model, json)


def _score(
    signatures: str, start: str | None, end: str | None, interval: str | None, threshold: float | None, model: str, json: bool
) -> None:
    from driftline.core.errors import WindowError
    from driftline.pipeline.signatures import due
    from driftline.pipeline.signatures import score as run_score

    if model not in {"as_of", "latest"}:
        raise WindowError(f"'{model}' is no choice of model", where="--model", expected="as_of or latest")
    client, found = _loaded(signatures)
    window = due(client, found, start=start, end=end, interval=interval)
    with progress(json) as report:
        outcome = run_score(
            client, found, window, interval=interval, threshold=threshold,
            model="latest" if model == "latest" else "as_of", progress=report,
        )  # fmt: skip
    if json:
        return emit(outcome)
    say(f"Scored {outcome['start']} – {outcome['end']} every {outcome['interval']}: {outcome['anomalous']} of "
        f"{outcome['entities']} entities are anomalous ({outcome['threshold']:g}), {outcome['records']} records.")  # fmt: skip
    if outcome["new"]:
        say(f"{outcome['new']} entities were not there, or too new, when it was learned, and were not scored.")
    if outcome["in_sample"]:
        say("Part of it was compared with what was learned from it, too (in_sample): train as of an earlier time.")
    _tell(outcome)
    say(f"Look at them: driftline signatures results {safe(signatures)}")
    return None


@app.command(epilog="Example: driftline signatures results callers --entity account-000042")
def results(
    signatures: Name,
    start: Start = None,
    end: End = None,
    entity: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    min_score: Annotated[float, typer.Option(min=0, max=100, help="Least score.")] = 0.0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many entities.")] = 20,
    json: Json = False,
) -> None:
    """The anomalous entities, each with its highest score, when it began and ended, and why."""
    from driftline.pipeline.signature_view import anomalous

    client, found = _loaded(signatures)
    rows = anomalous(client, found, start=start, end=end, entity=entity, min_score=min_score, limit=limit)
    if json:
        return emit(rows)
    shown: list[list[object]] = [
        [row["entity"], f"{row['score']:.1f}", row["first"], row["last"], row["times"], row["sentence"]] for row in rows
    ]
    table(f"Anomalous entities of {found.signature_id}", [found.term, "score", "first", "last", "times", "why"], shown)
    return None


@app.command(epilog="Example: driftline signatures delete callers --yes")
def delete(
    signatures: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Delete a saved definition with all that was learned and found."""
    _removed("delete", signatures, yes, json)


@app.command(epilog="Example: driftline signatures reset callers --yes")
def reset(
    signatures: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Forget all that was learned and found."""
    _removed("reset", signatures, yes, json)


def _removed(what: str, signatures: str, yes: bool, json: bool) -> None:
    from driftline.core.signature import Signatures
    from driftline.elastic.client import connect
    from driftline.pipeline import jobs

    client = connect()
    name = Signatures.load(Path(signatures)).signature_id if jobs.names_file(signatures) else signatures
    if not (yes or json):
        typer.confirm(f"{what.capitalize()} {name} with all that was learned and found?", abort=True)
    removed = (jobs.delete if what == "delete" else jobs.reset)(client, name, kind="signatures")
    if what == "reset" and not any(removed.values()):
        jobs.load_signatures(name, client)  # it was only a name if this does not find it: those that are gone have results
    if json:
        return emit({"signature_id": name, "removed": removed})
    say(f"{name}: {', '.join(f'{count} {kind}' for kind, count in removed.items() if count) or 'nothing was there'}")
    return None


def _tell(outcome: dict[str, Any]) -> None:
    for note in outcome.get("notes", []):
        say(f"Note: {safe(note)}")
