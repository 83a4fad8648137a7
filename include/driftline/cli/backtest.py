"""`driftline backtest`: how it would have been. `driftline explain`: why there is an anomaly, or none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from driftline.cli.output import End, JobArgument, Json, Report, Start, emit, progress, safe, say, table

if TYPE_CHECKING:
    from datetime import datetime

    from driftline.pipeline.detect import Options
    from driftline.pipeline.history import History
    from driftline.pipeline.truths import Fact

MOST = 200
SHOWN = 10
FILE_OPTIONS = ("bucket_span", "function", "counts", "time_zone", "skip_bad_rows")  # what `detect` has, and a job says itself
BACKTEST_EXAMPLES = """Examples:
driftline backtest demo-endpoints |
driftline backtest demo-endpoints --threshold 75 --plot backtest.html |
driftline backtest readings.csv --truth windows.csv --json |
driftline backtest hits.csv --bucket-span 5m --function count --counts |
driftline backtest web --partition /checkout --start 2026-03-01 --end 2026-04-01"""


def backtest(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(metavar="JOB|FILE", help="A job, by id or file, or a CSV file: timestamp,value or unique_id,ds,y."),
    ],
    truth: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="What really happened: JSON as 'driftline generate' writes it, {file: [[start, end]]}, or CSV with start,end "
            "and, if wanted, kind,series. Default: what was generated into the job's index, if anything.",
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=100, help="The score from which on it alarms. Default: that of alarms, 50.")
    ] = None,
    start: Start = None,
    end: End = None,
    partition: Annotated[
        list[str] | None, typer.Option("--partition", "-p", help="Only this partition, by value, or series; may be repeated.")
    ] = None,
    max_partitions: Annotated[int, typer.Option(min=1, help="So many series at most: the largest.")] = MOST,
    bucket_span: Annotated[
        str | None, typer.Option(help="Look at buckets of this width (5m, 1h). Default: at the readings as they come.")
    ] = None,
    function: Annotated[
        Literal["mean", "sum", "count", "min", "max"], typer.Option(help="What a bucket's value is, with --bucket-span.")
    ] = "mean",
    counts: Annotated[bool, typer.Option("--counts", help="Values are counts: their square roots are modelled.")] = False,
    time_zone: Annotated[str, typer.Option(help="Of time stamps that name no offset, such as Europe/Berlin.")] = "UTC",
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Leave rows that cannot be read without a result, and go on.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with the curves, as HTML.")] = None,
    json: Json = False,
) -> None:
    """Replay a history with models that knew only what came before, and tell how many alarms there would have been.

    Where the truth is known it tells which of them were right, how late, and whether a fixed threshold would do as well.
    --bucket-span, --function, --counts, --time-zone and --skip-bad-rows are those of 'driftline detect', for a FILE.
    """
    from driftline.cli.detect import zone_of
    from driftline.core.paths import keep_apart
    from driftline.core.timespan import parse_span, parse_time
    from driftline.pipeline.detect import Options
    from driftline.pipeline.history import backtest as run
    from driftline.scoring.settings import ALARM_SCORE

    if not _is_data(what):
        _refuse_file_options(context, what)
    options = Options(
        span=parse_span(bucket_span) if bucket_span else None,
        function=function,
        counts=counts,
        zone=zone_of(time_zone),
        skip_bad=skip_bad_rows,
    )
    keep_apart([what, *([truth] if truth else [])], [plot] if plot else [])
    edges = {"start": parse_time(start) if start else None, "end": parse_time(end) if end else None}
    with progress(json) as report:
        history, facts, notes = _history(what, options, truth, edges, partition or [], max_partitions, report)
        least = ALARM_SCORE if threshold is None else threshold
        found = run(history, facts, threshold=least, truth=truth, progress=report)
    found["notes"] += notes
    if plot:
        from driftline.pipeline.historyplot import write_plot

        write_plot(found, str(plot))
        found["plot"] = str(plot)
    if json:
        emit(found)
    else:
        _tell(found)


def _history(
    what: str,
    options: Options,
    truth: str | None,
    edges: dict[str, datetime | None],
    partitions: list[str],
    most: int,
    report: Report | None,
) -> tuple[History, list[Fact] | None, list[str]]:
    from driftline.pipeline import filehistory, history, truths

    if _is_data(what):
        made = filehistory.of_file(what, options, **edges, partitions=partitions, most=most)
        return made, truths.read_truth(truth, of=what) if truth else None, []
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_job

    facts = truths.read_truth(truth) if truth else None  # before anything that takes long
    client = connect()
    job = load_job(what, client)
    made = history.of_job(client, job, **edges, partitions=partitions, most=most, progress=report)
    facts = facts if truth else truths.stored_truth(client, job, made.window)
    return made, *truths.watched(facts, job, truth)


def _is_data(what: str) -> bool:
    """Whether it is a file of readings: a job file is YAML or JSON, and a job's id has no ending."""
    from driftline.pipeline.jobs import names_file

    known = Path(what).suffix.lower() in {".csv", ".gz", ".txt", ".tsv"}
    return known or (not names_file(what.lower()) and os.path.isfile(what))


def _refuse_file_options(context: typer.Context, what: str) -> None:
    """A job says itself how its data is looked at."""
    from driftline.core.errors import UsageError

    sources = {name: context.get_parameter_source(name) for name in FILE_OPTIONS}
    given = [name for name, source in sources.items() if source and source.name != "DEFAULT"]
    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UsageError(
            f"{names} {'is' if len(given) == 1 else 'are'} for a CSV file: a job says itself how its data is looked at",
            where=f"job {what}",
            expected="a CSV file that is there, or a job without options of files",
            fix=f"Leave {names} out, or edit the job.",
        )


def _tell(found: dict[str, Any]) -> None:
    say(f"[bold]{safe(found['name'])}[/]: {found['series']} series, {found['start']} – {found['end']}, "
        f"buckets of {found['bucket_span']}, each scored by models that knew only what came before.")  # fmt: skip
    columns = ["threshold", "severity", "alarms", "a week", "a partition and week", "partitions with any"]
    names = ("threshold", "severity", "alarms", "alarms_a_week", "alarms_a_partition_week", "series_with_alarms")
    table("Alarms", columns, [[_figure(level[name]) for name in names] for level in found["alarms"]])
    if found["loudest"]:
        rows = [[each["series"], each["alarms"]] for each in found["loudest"]]
        table(f"Most alarms from {found['threshold']:g} on", ["series", "alarms"], rows)
    if "judged" in found:
        _tell_judged(found)
    else:
        say("Choose a threshold that somebody can read all alarms of. With --truth FILE it is told which of them were right.")
    for note in found["notes"]:
        say(f"Note: {safe(note)}")
    if "plot" in found:
        say(f"The curves: {safe(found['plot'])}")


def _tell_judged(found: dict[str, Any]) -> None:
    columns = ["", "threshold", "found", "false", "a series and week", "precision", "recall", "F1", "delay, buckets (50, 95 %)"]
    rows = [_judgement("as asked", found["judged"]), _judgement("best F1", found["best"])]
    if "fixed" in found:
        rows += [_judgement("fixed, for all", found["fixed"]["for_all"])]
        rows += [_judgement("fixed, for each", found["fixed"]["for_each"])]
    table("Against the truth", columns, rows)
    kinds = [
        [kind, f"{each['found']} of {each['events']}", f"{each['recall']:.2f}", _delay(each["delay_median"])]
        for kind, each in found["judged"]["by_kind"].items()
    ]
    if kinds:
        table(f"By kind, from {found['threshold']:g} on", ["kind", "found", "recall", "delay (median)"], kinds)
    swept = found["sweep"]
    shown = swept[:: max(1, len(swept) // 12)]
    table("Thresholds", columns[1:], [_judgement("", each)[1:] for each in shown])
    if "fixed" in found:
        say(safe(found["fixed"]["sentence"]))
        say("The best thresholds are those of hindsight, fixed ones and ours alike.")


def _judgement(name: str, each: dict[str, Any]) -> list[object]:
    shares = [f"{each[share]:.2f}" for share in ("precision", "recall", "f1")]
    delays = [f"{each[name]['buckets']:g}" if each[name] else "–" for name in ("delay_median", "delay_95")]
    count = [f"{each['found']} of {each['events']}", each["false_alarms"], _figure(each["false_alarms_a_week"])]
    return [name, _figure("own" if each["threshold"] is None else each["threshold"]), *count, *shares, ", ".join(delays)]


def _delay(delay: dict[str, Any] | None) -> str:
    return f"{delay['time']} ({delay['buckets']:g} buckets)" if delay else "–"


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def explain(
    job: JobArgument,
    at: Annotated[str, typer.Option(help="A moment in the bucket (ISO 8601, epoch, now-2h).")],
    partition: Annotated[
        str | None, typer.Option("--partition", "-p", help="Which partition, by value. Not for a job without any.")
    ] = None,
    json: Json = False,
) -> None:
    """Tell why a bucket is an anomaly or is none: what was expected, each evidence, and the rule that kept it from alarming."""
    from driftline.elastic.client import connect
    from driftline.pipeline.explain import explain as run
    from driftline.pipeline.jobs import load_job

    client = connect()
    with progress(json) as report:
        found = run(client, load_job(job, client), partition, at, progress=report)
    if json:
        return emit(found)
    bucket, snapshot, quality = found["bucket"], found["snapshot"], found["quality"]
    say(f"{safe(found['job_id'])}, {safe(partition or 'all')}: bucket {bucket['start']} – {bucket['end']}, "
        f"{bucket['documents']} documents in all.")  # fmt: skip
    if snapshot:
        say(f"Snapshot {safe(snapshot['snapshot_id'])}, trained on {snapshot['training_start']} – {snapshot['training_end']}.")
    if quality:
        failed = f" ({', '.join(quality['failed_checks'])})" if quality["failed_checks"] else ""
        say(f"Quality of the data then: {safe(quality['verdict'] + failed)}.")
    least = found["thresholds"]
    say(f"Recorded from a score of {least['record']:g} on; an alarm from {least['alarm']:g} on ({least['severity']}).")
    for series in found["series"][:SHOWN]:
        _tell_series(series)
    if len(found["series"]) > SHOWN:
        say(f"… and {len(found['series']) - SHOWN} more series; --json has all.")
    return None


def _tell_series(series: dict[str, Any]) -> None:
    by = f", {series['by_value']}" if series["by_value"] is not None else ""
    rows: list[list[object]] = [["actual", "none" if series["actual"] is None else f"{series['actual']:g}"]]
    if series["expected"]:
        bounds = series["expected"]
        within = f" ({bounds['lower']:g} … {bounds['upper']:g})" if "lower" in bounds else ""
        rows.append(["expected", f"{bounds['typical']:g}{within}"])
    if series.get("other") is not None:
        rows.append(["the other metric", f"{series['other']:g}"])
    for evidence in series["evidence"].values():
        surprise = evidence["surprise"]
        rows.append(
            [evidence["means"], "–" if surprise is None else f"1 in {10**surprise:,.0f}" if surprise < 9 else "never seen"]
        )
    if series["score"] is not None:
        stored = f"{series['record']['record_score']:.0f}" if series["record"] else "no record"
        rows.append(["score", f"{series['score']:.1f} (stored: {stored})"])
    rows += [["rule", each["why"]] for each in series["suppressed"]]
    table(f"{safe(series['detector'] + by)}", ["", ""], rows)
    say(f"[bold]{safe(series['conclusion'])}[/]")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog=BACKTEST_EXAMPLES)(backtest)
    app.command(epilog="Example: driftline explain demo-endpoints --partition /checkout --at 2026-03-24T10:05")(explain)
