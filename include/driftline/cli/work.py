"""`driftline train`, `score`, `forecast`: the main path for one job, in one process."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from driftline.cli.output import JobArgument, Json, emit, progress, safe, say, table

Partitions = Annotated[
    list[str] | None, typer.Option("--partition", "-p", help="Only this partition or by value; may be repeated.")
]


def train(
    job: JobArgument,
    as_of: Annotated[
        str | None, typer.Option(help="Train as of this point in data time (ISO 8601, epoch, now-7d). Default: the newest data.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Train on what came from then on. Default: the job's training.window.")
    ] = None,
    json: Json = False,
) -> None:
    """Train a job's models on its history, and put the snapshot in force unless its backtest is worse."""
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job
    from driftline.pipeline.train import train as run_train

    client = connect()
    with progress(json) as report:
        outcome = run_train(client, load_job(job, client), as_of=as_of, start=start, progress=report)
    if json:
        return emit(outcome)
    state = "in force" if outcome["promoted"] else "kept, but not in force"
    say(f"Snapshot [bold]{outcome['snapshot_id']}[/]: {outcome['trained']} series trained, {outcome['failed']} not.")
    say(f"It is {state}: {safe(outcome['reason'])}.")
    say(f"Trained on {outcome['window']['start']} – {outcome['window']['end']}; quality: {outcome['quality']['verdict']}.")
    _tell(outcome)
    if outcome["failures"]:
        rows = [[f["partition_value"] or "", f["by_value"] or "", f["reason"]] for f in outcome["failures"][:20]]
        table("Not trained", ["partition", "by", "reason"], rows)
    return None


def score(
    job: JobArgument,
    start: Annotated[
        str | None, typer.Option(help="From when. Default: where the job was scored last, or all of a historical job.")
    ] = None,
    end: Annotated[str | None, typer.Option(help="Until when. Default: what is complete.")] = None,
    model: Annotated[
        str, typer.Option(help="as_of: the snapshot in force at each bucket; latest: the newest for all.")
    ] = "as_of",
    partition: Partitions = None,
    json: Json = False,
) -> None:
    """Score an interval and replace its results. Scoring it twice leaves the same documents."""
    from driftline.core.errors import WindowError
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job
    from driftline.pipeline.score import asked_window
    from driftline.pipeline.score import score as run_score

    if model not in {"as_of", "latest"}:
        raise WindowError(f"'{model}' is no choice of model", where="--model", expected="as_of or latest")
    client = connect()
    definition = load_job(job, client)
    window = asked_window(client, definition, start, end) if start or end else None
    with progress(json) as report:
        outcome = run_score(
            client,
            definition,
            window=window,
            model="latest" if model == "latest" else "as_of",
            partitions=partition,
            progress=report,
        )
    if json:
        return emit(outcome)
    say(f"Scored {outcome['start']} – {outcome['end']}: {outcome['records']} records in {outcome.get('buckets', 0)} buckets, "
        f"highest anomaly score {outcome.get('max_anomaly_score', 0):.0f}.")  # fmt: skip
    if outcome.get("unscored"):
        say(f"{outcome['unscored']} series have no model yet and were not scored.")
    if any(segment["in_sample"] for segment in outcome["segments"]):
        say("Part of the interval was scored by models that learned from it (in_sample).")
    _tell(outcome)
    say(f"Look at them: driftline anomalies {job}")
    return None


def forecast(
    job: JobArgument,
    duration: Annotated[str | None, typer.Option(help="How far, such as 7d. Default: the job's.")] = None,
    start: Annotated[str | None, typer.Option(help="First bucket. Default: where scored data ends.")] = None,
    snapshot: Annotated[str | None, typer.Option(help="From this snapshot.")] = None,
    partition: Partitions = None,
    every: Annotated[bool, typer.Option("--all", help="All series, however many. Default: forecast.max_partitions.")] = False,
    expires_in: Annotated[
        str | None, typer.Option(help="When it may be removed, such as 30d; 0 for never. Default: the job's.")
    ] = None,
    json: Json = False,
) -> None:
    """Forecast a job's series and populations, with bounds that never narrow with the horizon."""
    from driftline.elastic.client import connect
    from driftline.pipeline.forecast import forecast as run_forecast
    from driftline.pipeline.jobs import load_job

    client = connect()
    definition = load_job(job, client)
    with progress(json) as report:
        outcome = run_forecast(
            client,
            definition,
            duration=duration,
            start=start,
            snapshot_id=snapshot,
            partitions=partition,
            every=every,
            expires_in=expires_in,
            progress=report,
        )
    if json:
        return emit(outcome)
    say(f"Forecast [bold]{outcome['forecast_id']}[/] of {outcome['series']} series, {outcome['start']} – {outcome['end']}.")
    say(f"It is kept until {outcome['expires']}." if outcome["expires"] else "It is kept until it is deleted.")
    rows = [[s["series"], s["mean"], *(_range(s[name]) for name in ("first", "last"))] for s in outcome["summary"]]
    table("Largest series", ["series", "mean", "first bucket (lower … upper)", "last bucket (lower … upper)"], rows)
    _tell(outcome)
    return None


def _range(bucket: dict[str, Any]) -> str:
    return f"{bucket['prediction']:g} ({bucket['lower']:g} … {bucket['upper']:g})"


def _tell(outcome: dict[str, Any]) -> None:
    for note in outcome.get("notes", []):
        say(f"Note: {safe(note)}")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog="Example: driftline train web-requests --as-of 2026-03-23")(train)
    app.command(epilog="Examples: driftline score web-requests | driftline score web-requests --start now-7d --end now")(score)
    app.command(epilog="Example: driftline forecast web-requests --duration 3d --partition /checkout")(forecast)
