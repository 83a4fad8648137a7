"""`driftline generate`: data with known anomalies, into a file or straight into Elasticsearch."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.cli.output import Json, Report, emit, err, out, progress, safe, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

    from driftline.generator.base import Generated

DAYS = {"access_log": 28.0, "smoke_event": 7.0, "web_requests": 7.0}
EXAMPLES = """Examples:
driftline generate --seed 7 --out traffic.ndjson.gz |
driftline generate access_log --days 14 --events-per-day 100000 --endpoints 200 --out access.log --truth truth.json |
driftline generate access_log --set schedule=none --set 'injections=[{kind: spike, at: 20d14h, duration: 30m, endpoints: /}]'
--index web-test |
driftline generate smoke_event --index smoke_event |
driftline generate web_requests --rows 100000 --set label_noise=0.02 --index webapp-tagged"""


def generate(
    kind: Annotated[
        str,
        typer.Argument(
            help="access_log: a web site's traffic. smoke_event: the classic with one spike. web_requests: labelled requests."
        ),
    ] = "access_log",
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.")] = 42,
    days: Annotated[float | None, typer.Option(help="How many days. Default: 28 of access_log, else 7.")] = None,
    start: Annotated[
        str | None,
        typer.Option(help="When they begin (ISO 8601, epoch, now-7d). Default: so that they end with today's midnight."),
    ] = None,
    events_per_day: Annotated[float | None, typer.Option(help="Requests a day (access_log).")] = None,
    endpoints: Annotated[int | None, typer.Option(help="Different url.path (access_log).")] = None,
    hosts: Annotated[int | None, typer.Option(help="Different host.name (access_log).")] = None,
    rows: Annotated[int | None, typer.Option(help="Requests in all (web_requests).")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=YAML", help="Any other option, see docs/generator.md; may be repeated."),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Write a file (gzipped when it ends in .gz); - is stdout.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="access_log (combined), ndjson or csv. Default: by the file's suffix.")
    ] = None,
    index: Annotated[str | None, typer.Option(help="Write into this Elasticsearch index; a second time changes nothing.")] = None,
    truth: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the truth goes, as JSON. Default: beside the file, as NAME.truth.json."),
    ] = None,
    json: Json = False,
) -> None:
    """Generate events with known anomalies, the same for the same seed, and write down what was injected."""
    from driftline.core.paths import keep_apart

    if to is None and index is None:
        raise _mistake("nowhere to write the events", "--out, --index", "Give --out FILE, --out - or --index NAME.")
    if to == "-" and json:
        raise _mistake("--json and --out - both want stdout", "--out", "Write to a file, or leave --json out.")
    place = truth or (_beside(Path(to)) if to not in (None, "-") else None)
    keep_apart([], [path for path in (to, place) if path not in (None, "-")])
    common = {"events_per_day": events_per_day, "endpoints": endpoints, "hosts": hosts, "rows": rows}
    source = _open(kind, seed, days, start, common, setting)
    found: dict[str, Any] = {
        "kind": kind,
        "seed": seed,
        "start": _iso(source.start),
        "end": _iso(source.end),
        "digest": source.digest,
    }
    with progress(json) as report:
        if to is not None:
            found |= _to_file(source, to, form, report)
        if index is not None:
            found |= _to_index(source, index, report)
    facts = source.truth()
    if place is not None:
        _write_truth(place, facts)
        found["truth_file"] = str(place)
    found["truth"] = facts
    if json:
        emit(found)
    else:
        _tell(found)


def _mistake(what: str, where: str, fix: str) -> Exception:
    from driftline.core.errors import DefinitionError

    return DefinitionError(what, where=where, fix=fix)


def _iso(moment: datetime) -> str:
    from driftline.core.timespan import iso

    return iso(moment)


def _open(
    kind: str, seed: int, days: float | None, start: str | None, common: dict[str, Any], settings: list[str] | None
) -> Generated:
    from driftline.core.timespan import parse_time
    from driftline.generator.registry import open_source

    length = days if days is not None else DAYS.get(kind, 28.0)
    if start is not None:
        begin = parse_time(start)
    else:
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        begin = midnight - timedelta(days=min(max(0, length), 3660))  # in this order, what is no number counts as none
    options = {name: value for name, value in common.items() if value is not None}
    for text in settings or []:
        options |= _setting(text)
    return open_source(kind, seed, begin, length, options, where="driftline generate")


def _setting(text: str) -> dict[str, Any]:
    import yaml

    name, equals, value = text.partition("=")
    if not equals:
        raise _mistake(f"'{text}' is no setting", "--set", "Write NAME=VALUE.")
    try:
        return {name.strip(): yaml.safe_load(value)}
    except yaml.YAMLError:
        raise _mistake(f"the value of '{name}' is not valid YAML", "--set", "Quote it for the shell.") from None


def _to_file(source: Generated, to: str, form: str | None, report: Report | None) -> dict[str, Any]:
    from driftline.generator.files import find_format, write, write_file

    chosen = find_format(to, form)
    if to != "-":
        count = write_file(source, Path(to), chosen, report)
        return {"documents": count, "out": to, "format": chosen, "bytes": Path(to).stat().st_size}
    try:
        count = write(source, sys.stdout.buffer, chosen, report)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None
    return {"documents": count, "out": "-", "format": chosen}


def _to_index(source: Generated, index: str, report: Report | None) -> dict[str, Any]:
    from driftline.elastic.bulk import bulk, index_action
    from driftline.elastic.client import connect, explained
    from driftline.elastic.indices import TRUTH, ensure_templates

    client = connect()
    ensure_templates(client)
    _ensure_index(client, index, source.properties)
    outcome = bulk(client, _actions(source, index, report))
    bulk(client, (index_action(TRUTH, fact["truth_id"], fact | {"source_id": index}) for fact in source.truth()))
    with explained(f"index {index}"):
        client.indices.refresh(index=[index, TRUTH], ignore_unavailable=True)
    return {"documents": outcome.total, "index": index, "results": outcome.results}


def _ensure_index(client: Elasticsearch, index: str, properties: dict[str, Any]) -> None:
    from driftline.elastic.client import explained

    with explained(f"index {index}"):
        if not client.indices.exists(index=index):
            client.indices.create(
                index=index,
                settings={"number_of_shards": 1, "auto_expand_replicas": "0-1"},
                mappings={"dynamic": False, "properties": properties},
            )


def _actions(source: Generated, index: str, report: Report | None) -> Iterator[bytes]:
    from driftline.elastic.bulk import index_action

    done = 0
    for chunk in source.chunks():
        for id_, body in zip(chunk.ids(source.digest), chunk.encoded(), strict=True):
            yield index_action(index, id_, body)
        done += len(chunk)
        if report:
            report("indexed", done, max(done, source.documents_estimate))


def _beside(path: Path) -> Path:
    name = path.name.removesuffix(".gz")
    return path.with_name(f"{Path(name).stem}.truth.json")


def _write_truth(place: Path, facts: list[dict[str, Any]]) -> None:
    import orjson

    from driftline.core.errors import DataError

    try:
        place.write_bytes(orjson.dumps(facts, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise DataError(f"the truth cannot be written: {error.strerror or error}", where=str(place)) from None


def _tell(found: dict[str, Any]) -> None:
    console = err if found.get("out") == "-" else out
    places = [safe(found[name]) for name in ("out", "index") if found.get(name) not in (None, "-")]
    console.print(
        f"{found['documents']} events, {found['start']} – {found['end']}, seed {found['seed']} → {', '.join(places) or 'stdout'}"
    )
    if found["kind"] == "smoke_event":
        for fact in found["truth"]:
            console.print(f"Anomaly Start Time {fact['start']}")
            console.print(f"Anomaly End Time {fact['end']}")
    elif console is out and found["truth"]:
        rows = [[fact["start"].replace("T", " ")[:16], fact["description"]] for fact in found["truth"]]
        table("Injected", ["begins (UTC)", "what"], rows)
    if "truth_file" in found:
        console.print(f"The truth: {safe(found['truth_file'])}")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(generate)
