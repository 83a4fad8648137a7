"""`driftline demo`: the main job from end to end, and what it found."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from driftline.cli.output import Json, emit, err, progress, safe, say, table
from driftline.core.timespan import parse_time

if TYPE_CHECKING:
    import typer

    from driftline.services.demo import Demo


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: driftline demo --json")(demo)


def demo(json: Json = False) -> None:
    """Run the whole main job on a demo source through Airflow, and print what it found.

    Starts what is not running: Elasticsearch (unless a cluster of your own is set) and Airflow. Both stay up until
    'driftline down'.
    """
    from driftline.services.demo import run

    with progress(json) as report:
        done = run(lambda text: err.print(safe(text)), report)
    if json:
        return emit(done.as_dict())
    return show(done)


def show(done: Demo) -> None:
    """Prints what the demo found and where to look further."""
    from driftline.cli.services import login

    _anomalies(done)
    _injected(done)
    _forecasts(done)
    say("Quality")
    for entry in done.quality:
        failed = f" ({', '.join(map(str, entry['failed']))})" if entry["failed"] else ""
        say(f"  {safe(entry['dag_id']):24} {safe(entry['verdict'] + failed):6} {safe(entry['report'] or '')}")
    say(f"\nDone in {done.seconds:.0f} s. Both services stay up until 'make down' (or 'driftline down').")
    login(done.services)
    for page in done.pages:
        say(f"  {safe(page)}")


def _anomalies(done: Demo) -> None:
    rows: list[list[object]] = [
        [
            f"{entry['record_score']:.0f}", _period(entry["start"], entry["end"]), _what(entry),
            f"{_number(entry.get('actual'))} / {_number(entry.get('typical'))}", ", ".join(entry["injected"]) or "–",
        ]
        for entry in done.found["anomalies"]
    ]  # fmt: skip
    table("Top anomalies", ["score", "time (UTC)", "what", "actual / typical", "injected"], rows)


def _injected(done: Demo) -> None:
    rows: list[list[object]] = []
    for entry in done.found["injected"]:
        where = entry.get("partition_field_value") or "everything"
        score = entry["score"]
        found = entry["found_by"] or ("not found" if score is None else "only weakly")
        rows.append(
            [
                entry["kind"],
                _period(entry["start"], entry["end"]),
                ", ".join(where) if isinstance(where, list) else where,
                found,
                "–" if score is None else f"{score:.0f}",
            ]
        )
    table("What was injected in the scored week", ["kind", "time (UTC)", "where", "found by", "score"], rows)


def _forecasts(done: Demo) -> None:
    rows: list[list[object]] = []
    for forecast in done.found["forecasts"]:
        for entry in forecast.get("summary", [])[:3]:
            last = entry["last"]
            bounds = f"{_number(last['lower'])} … {_number(last['upper'])}"
            rows.append([forecast["job_id"], entry["series"], _number(entry["mean"]), _number(last["prediction"]), bounds])
    table("Forecasts (of each job the largest series)", ["job", "series", "mean", "last bucket", "its bounds"], rows)


def _what(record: dict[str, Any]) -> str:
    field = f"({record['field_name']})" if record.get("field_name") else ""
    split = [str(record.get(f"{role}_field_value")) for role in ("partition", "by") if record.get(f"{role}_field_name")]
    return " ".join([f"{record['function']}{field}", *split])


def _number(value: Any) -> str:  # noqa: ANN401 - a number, or Elastic's list of one
    value = value[0] if isinstance(value, list) and value else value
    return f"{value:,.4g}" if isinstance(value, int | float) else "–"


def _period(start: str | int, end: str | int) -> str:
    first, last = parse_time(start), parse_time(end)
    return (
        f"{first:%a %d} {first:%H:%M}–{last:%H:%M}"
        if last - first < timedelta(days=1)
        else f"{first:%a %d %H:%M} – {last:%a %d %H:%M}"
    )
