"""`driftline analytics …`: classification, regression and outliers of documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from driftline.cli.output import End, Json, Start, emit, progress, safe, say, table

Name = Annotated[str, typer.Argument(metavar="ANALYTICS", help="An analysis' id, or its file.")]

app = typer.Typer(
    help="Analyses of documents: classification, regression, outliers.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list", epilog="Example: driftline analytics list --json")
def list_(json: Json = False) -> None:
    """List all analyses, those that are broken too."""
    from driftline.core.analysis import Analysis
    from driftline.elastic import trained
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import as_json, list_definitions

    client = connect()
    found = [entry for entry in list_definitions(client) if entry.kind == "analytics"]
    if json:
        return emit([as_json(entry) for entry in found])
    rows: list[list[object]] = []
    for entry in found:
        analysis = entry.definition
        if not isinstance(analysis, Analysis):
            rows.append([entry.id, "broken", "", entry.error, ""])
            continue
        current = trained.in_force(trained.list_(client, entry.id))
        of = analysis.supervised.dependent_variable if analysis.supervised else ""
        shown = [f"{analysis.type} {of}".strip(), f"{', '.join(analysis.source.index)} → {analysis.dest.index}"]
        rows.append([entry.id, entry.origin, *shown, current["model_id"] if current else ""])
    table("Analyses", ["analytics", "from", "what", "where", "model in force"], rows)
    return None


@app.command(epilog="Example: driftline analytics validate include/analytics/webapp.yaml")
def validate(
    analytics: Name, offline: Annotated[bool, typer.Option(help="Do not look at the index.")] = False, json: Json = False
) -> None:
    """Check an analysis, and with its index which fields it would learn from."""
    from driftline.elastic.client import connect
    from driftline.pipeline import destination
    from driftline.pipeline.documents import usable
    from driftline.pipeline.jobs import load_analysis

    client = None if offline else connect()
    analysis = load_analysis(analytics, client)
    told: dict[str, Any] = {"valid": True, "analytics_id": analysis.analytics_id, "version": analysis.version}
    if client is not None:
        destination.check(client, analysis, analysis.dest.index, analysis.source.index, "dest.index")
        told["fields"], told["label"] = usable(client, analysis)
    if json:
        return emit(told)
    say(f"Valid: {safe(analysis.analytics_id)}, {analysis.type.replace('_', ' ')}.")
    if "fields" in told:
        table("Fields that are looked at", ["field", "type"], [[name, kind] for name, kind in told["fields"].items()])
    return None


@app.command(epilog="Example: driftline analytics save webapp.yaml")
def save(file: Annotated[Path, typer.Argument(help="An analysis file.")], json: Json = False) -> None:
    """Save an analysis in the index; its DAGs appear within seconds."""
    from driftline.core.analysis import Analysis
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import save_analysis

    analysis = Analysis.load(file)
    save_analysis(connect(), analysis)
    return emit({"saved": analysis.analytics_id}) if json else say(f"Saved: {safe(analysis.analytics_id)}.")


@app.command("import", epilog="Example: driftline analytics import elastic-job.json --save")
def import_(
    file: Annotated[Path, typer.Argument(help="The JSON of an analysis of Elastic's.")],
    save: Annotated[bool, typer.Option(help="Save it, too. Default: print it.")] = False,
    json: Json = False,
) -> None:
    """Take over a data-frame analytics job of Elastic's."""
    import yaml

    from driftline.core.errors import DataError
    from driftline.elastic.client import connect
    from driftline.interop.elastic_analytics import to_analysis
    from driftline.pipeline.jobs import save_analysis

    try:
        config = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise DataError(f"it cannot be read: {error}", where=str(file), expected="JSON") from None
    if not isinstance(config, dict):
        raise DataError("it is no object", where=str(file), expected="a data-frame analytics job of Elastic's")
    analysis, notes = to_analysis(config, name=file.stem)
    if save:
        save_analysis(connect(), analysis)
    if json:
        return emit({"analysis": analysis.as_dict(), "notes": notes, "saved": save})
    for note in notes:
        say(f"Note: {safe(note)}")
    say(f"Saved: {safe(analysis.analytics_id)}." if save else safe(yaml.safe_dump(analysis.as_dict(), sort_keys=False)))
    return None


@app.command(epilog="Example: driftline analytics run webapp-classification")
def run(analytics: Name, json: Json = False) -> None:
    """Learn, evaluate, and write all documents with what was found."""
    from driftline.elastic.client import connect
    from driftline.pipeline import analyze
    from driftline.pipeline.jobs import load_analysis

    client = connect()
    analysis = load_analysis(analytics, client)
    with progress(json) as report:
        outcome = analyze.run(client, analysis, progress=report)
    if json:
        return emit(outcome)
    verdict = outcome["quality"]["verdict"]
    say(f"{outcome['documents']:,} documents analysed, written to [bold]{safe(outcome['index'])}[/]; quality: {verdict}.")
    for failed in outcome["quality"]["failed"]:
        say(f"Note: {safe(failed)}")
    _tell(outcome["evaluation"])
    if analysis.supervised:
        state = "in force" if outcome["promoted"] else "kept, but not in force"
        say(f"Model [bold]{safe(outcome['model_id'])}[/] is {state}: {safe(outcome['reason'])}.")
    return None


@app.command(epilog="Example: driftline analytics results webapp-classification")
def results(analytics: Name, json: Json = False) -> None:
    """Show how good the model in force is on documents that it did not learn from."""
    from driftline.core.errors import SnapshotError
    from driftline.elastic import state, trained
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import load_analysis

    client = connect()
    analysis = load_analysis(analytics, client)
    current = trained.in_force(trained.list_(client, analysis.analytics_id))
    last = state.last_run(client, "analyze", analysis.analytics_id)
    if current is None and last is None:
        raise SnapshotError(f"analytics '{analysis.analytics_id}' was not run yet", fix=f"driftline analytics run {analytics}")
    found = current["detail"] if current else {"evaluation": last["detail"]["evaluation"], "total_feature_importance": []}  # type: ignore[index]
    told = {name: found[name] for name in ("evaluation", "total_feature_importance")}
    if json:
        return emit(told)
    _tell(told["evaluation"])
    rows: list[list[object]] = [
        [each["feature_name"], f"{each['mean_magnitude']:.3g}"] for each in told["total_feature_importance"][:15]
    ]
    if rows:
        table("What mattered", ["feature", "mean influence"], rows)
    return None


@app.command(epilog="Example: driftline analytics evaluate webapp-out --actual tag --predicted ml.tag_prediction --held-back")
def evaluate(
    index: Annotated[str, typer.Argument(help="An index with results, or a pattern.")],
    actual: Annotated[str, typer.Option(help="The field with the truth.")],
    predicted: Annotated[str, typer.Option(help="The field with what was found.")],
    kind: Annotated[str, typer.Option(help="classification, regression or outlier_detection.")] = "classification",
    held_back: Annotated[bool, typer.Option("--held-back", help="Only documents that were not learned from.")] = False,
    json: Json = False,
) -> None:
    """Compare what an index holds with what is known."""
    from driftline.elastic.client import connect
    from driftline.pipeline.evaluation import evaluate as run_evaluate

    if kind not in {"classification", "regression", "outlier_detection"}:
        raise typer.BadParameter("classification, regression or outlier_detection", param_hint="--kind")
    found = run_evaluate(connect(), [index], kind, actual, predicted, held_back=held_back)  # type: ignore[arg-type]
    return emit(found) if json else _tell(found)


def _tell(found: dict[str, Any]) -> None:
    if "accuracy" in found:
        area = found.get("auc_roc", {}).get("value")
        say(f"Accuracy {_number(found['accuracy'])}" + (f", area under ROC {area:.3f}" if area is not None else "")
            + f", on {found['documents']:,} documents that were held back.")  # fmt: skip
        rows = found["multiclass_confusion_matrix"]["confusion_matrix"]
        names = [row["actual_class"] for row in rows]
        counts: list[list[object]] = [
            [row["actual_class"], *(each["count"] for each in row["predicted_classes"])] for row in rows
        ]
        table("Actual class, and what was predicted", ["actual", *names], counts)
        each: list[list[object]] = [
            [name, *(_number(found[measure]["classes"][place]) for measure in ("recall", "precision"))]
            for place, name in enumerate(names)
        ]
        table("", ["class", "recall", "precision"], each)
    elif "mse" in found:
        say(f"R² {_number(found['r_squared'])}, mean squared error {_number(found['mse'])}, on {found['documents']:,} documents.")
    elif "auc_roc" in found:
        say(
            f"Area under ROC {_number(found['auc_roc'])}, on {found['documents']:,} documents."
            if found["auc_roc"]
            else "All are of one kind."
        )
        known: list[list[object]] = [[at, found["precision"][at], found["recall"][at]] for at in found["recall"]]
        table("Those with a score of", ["at least", "precision", "recall"], known)
    else:
        table("Outlier scores", ["at least", "documents"], [[name, many] for name, many in found["above"].items()])


def _number(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "–"
    low, high = found["ci"]
    return f"{found['value']:.3g} ({low:.3g} … {high:.3g})"


@app.command(epilog="Examples: driftline analytics infer webapp | driftline analytics infer webapp --start now-1d")
def infer(analytics: Name, start: Start = None, end: End = None, json: Json = False) -> None:
    """Give new documents predictions by the model in force."""
    from driftline.elastic.client import connect
    from driftline.pipeline.infer import infer as run_infer
    from driftline.pipeline.jobs import load_analysis

    client = connect()
    with progress(json) as report:
        outcome = run_infer(client, load_analysis(analytics, client), start=start, end=end, progress=report)
    if json:
        return emit(outcome)
    say(f"{outcome['documents']:,} documents, {outcome['start']} – {outcome['end']}, by model {safe(outcome['model_id'])}.")
    if outcome["predicted"]:
        table("Predicted", ["class", "documents"], [[name, many] for name, many in outcome["predicted"].items()])
    for failed in outcome.get("quality", {}).get("failed", []):
        say(f"Note: {safe(failed)}")
    return None


@app.command(epilog="Example: driftline analytics delete webapp-classification")
def delete(analytics: Name, json: Json = False) -> None:
    """Delete an analysis of the index with its models; the indices that it wrote stay."""
    from driftline.elastic.client import connect
    from driftline.pipeline.jobs import delete_analysis

    removed = delete_analysis(connect(), analytics)
    return emit(removed) if json else say(f"Deleted, with {removed['models']} models.")
