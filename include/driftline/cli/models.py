"""`driftline models …`: trained models: what they are, which is in force, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer

from driftline.cli.output import Json, emit, safe, say, table

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A trained model's id.")]

app = typer.Typer(
    help="Trained models of analyses: what they are, which is in force, as files.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list", epilog="Example: driftline models list webapp-classification")
def list_(
    analytics: Annotated[str | None, typer.Argument(metavar="[ANALYTICS]", help="Of one analysis.")] = None, json: Json = False
) -> None:
    """List trained models, the newest first."""
    from driftline.elastic import trained
    from driftline.elastic.client import connect
    from driftline.pipeline.trainedmodels import summary

    found = trained.list_(connect(), analytics)
    if json:
        return emit([summary(each) for each in found])
    rows: list[list[object]] = []
    for each in found:
        told = summary(each)
        good = ", ".join(f"{name} {of['value']:.3f}" for name, of in told["evaluation"].items() if of["value"] is not None)
        chosen = trained.in_force([other for other in found if other["analytics_id"] == each["analytics_id"]]) is each
        rows.append(
            [told["model_id"], told["analysis_type"], good, told["created"], f"{told['bytes']:,}", "yes" if chosen else ""]
        )
    table("Trained models", ["model", "type", "on held-back documents", "created", "bytes", "in force"], rows)
    return None


@app.command(epilog="Example: driftline models describe webapp-classification-20260301t030000250")
def describe(model: Model, json: Json = False) -> None:
    """Show one: what it learned from, how, and how good it is."""
    from driftline.elastic import trained
    from driftline.elastic.client import connect

    found = trained.describe(connect(), model)
    if json:
        return emit(found)
    detail = found["detail"]
    say(
        f"[bold]{safe(model)}[/]: {safe(found['analysis_type'])} of {safe(found['dependent_variable'])}, {detail['trees']} trees."
    )
    say(
        f"Learned of {found['documents']:,} documents as of {found['created']}; promotion: {safe(detail['promotion']['reason'])}."
    )
    table("Hyperparameters", ["name", "value"], [[name, value] for name, value in detail["hyperparameters"].items()])
    table("Fields", ["field", "type"], [[name, kind] for name, kind in detail["fields"].items()])
    return None


@app.command(epilog="Example: driftline models export webapp-classification-20260301t030000250 model.json.gz")
def export(model: Model, file: Annotated[Path, typer.Argument(help="The file to write.")], json: Json = False) -> None:
    """Write a model to a file: packed JSON, which holds numbers and names and no code."""
    from driftline.core.errors import DataError
    from driftline.elastic.client import connect
    from driftline.pipeline.trainedmodels import exported

    data = exported(connect(), model)
    try:
        with file.open("xb") as out:
            out.write(data)
    except OSError as error:
        raise DataError(f"the file cannot be written: {error.strerror}", where=str(file)) from None
    return emit({"file": str(file), "bytes": len(data)}) if json else say(f"{safe(file)}: {len(data):,} bytes.")


@app.command("import", epilog="Example: driftline models import model.json.gz --analytics webapp-classification")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that 'models export' wrote.")],
    analytics: Annotated[str | None, typer.Option(help="Whose model it shall be. Default: whose it was.")] = None,
    json: Json = False,
) -> None:
    """Keep a model of a file. It is not in force until you say so: driftline models promote."""
    from driftline.core.errors import DataError
    from driftline.elastic.client import connect
    from driftline.pipeline.trainedmodels import imported

    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}", where=str(file)) from None
    found = imported(connect(), data, analytics_id=analytics)
    return emit(found) if json else say(f"Kept: {safe(found['model_id'])}.")


@app.command(epilog="Example: driftline models promote webapp-classification-20260301t030000250")
def promote(model: Model, json: Json = False) -> None:
    """Put a model in force; also the way back to an older one."""
    from driftline.elastic.client import connect
    from driftline.pipeline.trainedmodels import put_in_force

    found = put_in_force(connect(), model)
    return emit(found) if json else say(f"{safe(model)} is in force.")


@app.command(epilog="Example: driftline models infer webapp-classification-20260301t030000250 documents.ndjson --explain")
def infer(
    model: Model,
    file: Annotated[Path, typer.Argument(help="Documents, one JSON object a line.")],
    explain: Annotated[bool, typer.Option(help="Tell of each what mattered most.")] = False,
) -> None:
    """Give the documents of a file predictions, as JSON."""
    from driftline.core.errors import DataError
    from driftline.elastic.client import connect
    from driftline.pipeline.trainedmodels import apply

    try:
        documents = [orjson.loads(line) for line in file.read_bytes().splitlines() if line.strip()]
    except (OSError, orjson.JSONDecodeError) as error:
        raise DataError(f"it cannot be read: {error}", where=str(file), expected="one JSON object a line") from None
    emit(apply(connect(), model, documents, explained=explain))


@app.command(epilog="Example: driftline models delete webapp-classification-20260301t030000250")
def delete(model: Model, json: Json = False) -> None:
    """Delete a model that is not in force."""
    from driftline.elastic.client import connect
    from driftline.pipeline.trainedmodels import delete as remove

    remove(connect(), model)
    return emit({"deleted": model}) if json else say(f"Deleted: {safe(model)}.")
