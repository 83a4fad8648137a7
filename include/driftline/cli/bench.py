"""`driftline bench …`: how fast it is here, measured against others in the same run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

import typer

from driftline.cli.output import Json, emit, progress, table

app = typer.Typer(
    help="Benchmarks: ratios against Prophet's own loop and the raw Elasticsearch client, measured in one run.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Series = Annotated[int, typer.Option(min=1, help="How many series.")]
Points = Annotated[int, typer.Option(min=10, help="How many buckets each.")]
Minutes = Annotated[int, typer.Option(help="Bucket span in minutes: 5, 15 or 60.")]
Seed = Annotated[int, typer.Option(help="Another seed, other series.")]
Freq = Annotated[str, typer.Option(help="Bucket span, such as 1h or 5min.")]


@app.command(epilog="Examples: driftline bench train | driftline bench train --series 20000 --gaps 0.05 --json")
def train(
    series: Series = 2000,
    points: Points = 672,
    freq: Freq = "1h",
    gaps: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of values missing, at random.")] = 0.0,
    mode: Annotated[str, typer.Option(help="Seasonality: additive or multiplicative.")] = "additive",
    growth: Annotated[str, typer.Option(help="Trend: linear, flat, or logistic (which Prophet itself fits).")] = "linear",
    sample: Annotated[int, typer.Option(min=1, help="Series that Prophet itself fits, to compare with.")] = 40,
    peers: Annotated[
        bool, typer.Option("--peers", help="Compare with statsforecast (MSTL), too; it is installed aside.")
    ] = False,
    json: Json = False,
) -> None:
    """Fit a fleet, against Prophet's own loop on a sample of the same series."""
    from driftline.bench.train import run

    if mode not in {"additive", "multiplicative"}:
        raise typer.BadParameter("additive or multiplicative", param_hint="--mode")
    if growth not in {"linear", "flat", "logistic"}:
        raise typer.BadParameter("linear, flat or logistic", param_hint="--growth")
    with progress(json) as report:
        figures = run(
            series=series,
            points=points,
            freq=_span(freq),
            gaps=gaps,
            mode=mode,
            growth=growth,
            sample=sample,
            peers=peers,
            progress=report,
        )
    _tell("train", figures, json)


def _measured(name: str, run: Callable[..., dict[str, Any]], json: bool, **sizes: Any) -> None:  # noqa: ANN401
    """Runs a benchmark on the cluster, and tells its figures."""
    from driftline.elastic.client import connect

    with progress(json) as report, connect() as client:
        figures = run(client, progress=report, **sizes)
    _tell(name, figures, json)


@app.command(epilog="Examples: driftline bench classify | driftline bench classify --rows 1000000 --tries 0 --json")
def classify(
    rows: Annotated[int, typer.Option(min=2000, help="How many documents.")] = 100_000,
    tries: Annotated[int, typer.Option(min=0, help="Settings the notebook tries; 0 takes ours: what is left is overhead.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of the documents.")] = 1,
    json: Json = False,
) -> None:
    """Classify labelled web requests, against LightGBM as a notebook would use it on the same documents."""
    from driftline.bench.classify import run

    with progress(json) as report:
        figures = run(rows=rows, tries=tries, seed=seed, progress=report)
    _tell("classify", figures, json)


@app.command(epilog="Example: driftline bench read --series 20000 --points 672 --json")
def read(series: Series = 2000, points: Points = 672, freq: Freq = "1h", json: Json = False) -> None:
    """Read series from Elasticsearch, against the raw client fetching the same pages; then again from the series store."""
    from driftline.bench.read import run

    _measured("read", run, json, series=series, points=points, freq=_span(freq))


@app.command(epilog="Example: driftline bench write --series 20000 --points 24 --json")
def write(series: Series = 2000, points: Points = 24, freq: Freq = "1h", json: Json = False) -> None:
    """Write results, against the raw client's bulk of the same documents."""
    from driftline.bench.write import run

    _measured("write", run, json, series=series, points=points, freq=_span(freq))


@app.command(epilog="Example: driftline bench score --series 20000 --new 24 --json")
def score(
    series: Series = 2000,
    points: Points = 672,
    freq: Freq = "1h",
    new: Annotated[int, typer.Option(min=1, help="Buckets to score.")] = 24,
    json: Json = False,
) -> None:
    """Score new buckets, read to written."""
    from driftline.bench.score import run

    _measured("score", run, json, series=series, points=points, freq=_span(freq), new=new)


@app.command(epilog="Example: driftline bench retrain --series 20000 --json")
def retrain(series: Series = 2000, points: Points = 672, freq: Freq = "1h", json: Json = False) -> None:
    """The weekly retrain, from the series store to a promoted snapshot."""
    from driftline.bench.retrain import run

    _measured("retrain", run, json, series=series, points=points, freq=_span(freq))


@app.command(epilog="Example: driftline bench hits --hits 1000000 --json")
def hits(
    hits: Annotated[int, typer.Option(min=1000, help="Access-log hits.")] = 1_000_000,
    weeks: Annotated[int, typer.Option(min=3, help="Over how many weeks.")] = 6,
    json: Json = False,
) -> None:
    """An access log from end to end: ingest, train, score, forecast."""
    from driftline.bench.hits import run

    _measured("hits", run, json, hits=hits, weeks=weeks)


@app.command(epilog="Example: driftline bench explorer --json")
def explorer(
    partitions: Annotated[int, typer.Option(min=10, help="How many partitions.")] = 20_000,
    days: Annotated[int, typer.Option(min=2, max=366, help="How many days of results.")] = 30,
    documents: Annotated[int, typer.Option(min=100, help="How many results.")] = 1_000_000,
    json: Json = False,
) -> None:
    """What the explorer asks for when it opens, and when a stretch of time is selected, of a job with many results."""
    from driftline.bench.explorer import run

    _measured("explorer", run, json, partitions=partitions, days=days, documents=documents)


@app.command(epilog="Example: driftline bench population --members 100000 --json")
def population(
    members: Annotated[int, typer.Option(min=10, help="How many members.")] = 10_000,
    active: Annotated[float, typer.Option(min=0.01, max=1.0, help="Share of them that is there in a bucket.")] = 1.0,
    json: Json = False,
) -> None:
    """Compare members of a population, a day in buckets of 15 minutes after a day of training, with one that stands out."""
    from driftline.bench import compared

    _measured("population", compared.population, json, members=members, active=active)


@app.command(epilog="Example: driftline bench rare --rows 1000000 --json")
def rare(
    rows: Annotated[int, typer.Option(min=1000, help="How many documents.")] = 1_000_000,
    json: Json = False,
) -> None:
    """Look for rare values in documents of two weeks, one of which has a value that was never there before."""
    from driftline.bench import compared

    _measured("rare", compared.rare, json, rows=rows)


@app.command(epilog="Example: driftline bench signatures --entities 20000 --days 120 --json")
def signatures(
    entities: Annotated[int, typer.Option(min=100, help="How many entities.")] = 20_000,
    days: Annotated[int, typer.Option(min=37, max=366, help="Days of data, which the quick scan is over.")] = 120,
    seed: Annotated[int, typer.Option(help="Another seed, other data.")] = 1,
    json: Json = False,
) -> None:
    """Learn how entities behave, find those that begin to behave otherwise, and scan months of them."""
    from driftline.bench.signatures import run
    from driftline.elastic.client import connect

    with progress(json) as report, connect() as client:
        figures = run(client, entities=entities, days=days, seed=seed, progress=report)
    _tell("signatures", figures, json)


def _span(text: str) -> str:
    """5min as pandas has it, or 5m as Elasticsearch has it: the latter."""
    return re.sub(r"min$", "m", text)


def _tell(name: str, figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit(figures)
        return
    table(f"driftline bench {name}", ["figure", "value"], [[key, value] for key, value in figures.items()])


@app.command(epilog="Example: driftline bench detect --span 5 --seed 7 --json")
def detect(
    partitions: Annotated[int, typer.Option(min=10, help="How many partitions, each with one anomaly.")] = 200,
    span: Annotated[int, typer.Option(help="Bucket span in minutes: 1, 5 or 15.")] = 15,
    seed: Annotated[int, typer.Option(help="Another seed, other data.")] = 1,
    models: Annotated[str, typer.Option(help="daily: as `detect` and backtests; weekly: as the DAGs.")] = "daily",
    json: Json = False,
) -> None:
    """Find known anomalies in four weeks of access-log partitions: recall, precision, delay, false alarms."""
    from driftline.bench.detect import run

    if span not in {1, 5, 15}:
        raise typer.BadParameter("1, 5 or 15", param_hint="--span")
    if models not in {"daily", "weekly"}:
        raise typer.BadParameter("daily or weekly", param_hint="--models")
    with progress(json) as report:
        figures = run(partitions=partitions, minutes=span, seed=seed, models=models, progress=report)
    _tell("detect", figures, json)


def _of_series(run: Callable[..., dict[str, Any]], series: int, span: int, seed: int, json: bool) -> dict[str, Any] | None:
    """The figures of a benchmark of series that are made up; None where JSON was asked for, and is printed."""
    if span not in {5, 15, 60}:
        raise typer.BadParameter("5, 15 or 60", param_hint="--span")
    with progress(json) as report:
        figures = run(series=series, minutes=span, seed=seed, progress=report)
    if not json:
        return figures
    emit(figures)
    return None


@app.command(epilog="Example: driftline bench averages --span 60 --seed 7 --json")
def averages(
    series: Annotated[int, typer.Option(min=1, help="How many series of each kind of documents.")] = 20,
    span: Minutes = 15,
    seed: Seed = 1,
    json: Json = False,
) -> None:
    """Judge averages and sums by the noise that documents have, beside the same as if it were the same at all times."""
    from driftline.bench.averages import run

    figures = _of_series(run, series, span, seed, json)
    if figures is None:
        return
    head = ["documents", "noise", "false alarms a week", "recall", "in bounds by day", "by night"]
    for part, more in (("averages", []), ("sums", ["outages told"])):
        rows = [[name, way, *found.values()] for name, ways in figures[part].items() for way, found in ways.items()]
        table(f"driftline bench averages: {part}", [*head, *more], rows)


@app.command(epilog="Example: driftline bench habits --span 5 --json")
def habits(
    series: Annotated[int, typer.Option(min=1, help="How many series of each kind of habit.")] = 20,
    span: Minutes = 15,
    seed: Seed = 1,
    json: Json = False,
) -> None:
    """Judge series with nightly and hourly jobs: spikes at other times, and a run that does not come."""
    from driftline.bench.habits import run

    figures = _of_series(run, series, span, seed, json)
    if figures is None:
        return
    rows = [[name, *found.values()] for name, found in figures["habits"].items()]
    table("driftline bench habits", ["runs", "false alarms a week", "spikes told", "missed runs told"], rows)


@app.command(epilog="Example: driftline bench hours --span 60 --json")
def hours(
    series: Annotated[int, typer.Option(min=2, help="How many series of each kind of noise.")] = 20,
    span: Minutes = 15,
    seed: Seed = 1,
    json: Json = False,
) -> None:
    """Judge readings that are noisier at some hours than at others: what comes in the quiet, and in the loud."""
    from driftline.bench.hours import run

    figures = _of_series(run, series, span, seed, json)
    if figures is None:
        return
    head = {
        "false_alarms_a_week": "false alarms a week",
        "quiet": "told when quiet",
        "loud": "when loud",
        "bounds_quiet": "in bounds when quiet",
        "bounds_loud": "when loud",
        "early_bounds_quiet": "on days 4 to 7 when quiet",
        "early_bounds_loud": "when loud",
    }
    rows = [[name, *(found.get(key, "") for key in head)] for name, found in figures["noise"].items()]
    table("driftline bench hours", ["noise", *head.values()], rows)


@app.command(epilog="Example: driftline bench early --span 60 --json")
def early(
    series: Annotated[int, typer.Option(min=2, help="How many series of each kind of day.")] = 20,
    span: Minutes = 15,
    seed: Seed = 1,
    json: Json = False,
) -> None:
    """Judge what is found in series that are a few days old, and what alarms in their first three weeks."""
    from driftline.bench.early import run

    figures = _of_series(run, series, span, seed, json)
    if figures is None:
        return
    head = ["days", "spikes told", "drops told", "false alarms in week 1", "week 2", "week 3"]
    rows = [[name, found["spikes"], found["drops"], *found["false_alarms"]] for name, found in figures["days"].items()]
    table("driftline bench early", head, rows)


@app.command(epilog="Example: driftline bench outliers --seeds 10 --json")
def outliers(
    seeds: Annotated[int, typer.Option(min=1, help="How many sets of each kind.")] = 5,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Only this set; may be repeated.")] = None,
    json: Json = False,
) -> None:
    """Find known outliers in 14 kinds of sets, beside PyOD's LOF, KNN and IForest: the area under the ROC curve."""
    from driftline.bench.outliers import run

    with progress(json) as report:
        figures = run(seeds=seeds, sets=sets or (), progress=report)
    if json:
        emit(figures)
        return
    detectors = list(figures["auc"])
    rows = [[name.removeprefix("auc_"), *found.values()] for name, found in figures.items() if name.startswith("auc_")]
    rows += [["mean", *figures["auc"].values()], ["seconds", *figures["seconds"].values()]]
    table("driftline bench outliers: AUC", ["set", *detectors], rows)
