"""Imports: files of Elastic's jobs and loudml's models → jobs that are saved, and what became of each file. And back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline.core.errors import DefinitionError, TakenError
from driftline.interop import loudml
from driftline.interop.elastic_export import exported
from driftline.interop.elastic_files import find_jobs
from driftline.interop.elastic_jobs import Imported, to_job
from driftline.pipeline.jobs import save

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job

FORMS = ("elastic", "loudml")


def import_jobs(client: Elasticsearch | None, paths: Iterable[Path], *, index_pattern: str | None = None) -> list[Imported]:
    """Takes over the jobs in files and folders; without a client nothing is saved.

    A job that is refused leaves the others alone. One that was imported before is replaced; of two with one id the first counts.

    Raises:
        DefinitionError: There is no such file or folder.
    """
    jobs, others = find_jobs(paths)
    found: list[Imported] = []
    for each in jobs:
        made = loudml.to_job(each) if each.origin == "loudml" else to_job(each, index_pattern=index_pattern)
        if made.job and (taken := next((other for other in found if other.job and other.job_id == made.job_id), None)):
            made = Imported(made.file, made.job_id, "refused", [f"the id is taken by {taken.file}"])
        if made.job and client is not None:
            try:
                save(client, made.job)
            except TakenError as error:
                made = Imported(made.file, made.job_id, "refused", [str(error)])
        found.append(made)
    broken = [Imported(str(other.path), None, "refused", [other.error]) for other in others if other.error]
    return [*found, *broken, *(Imported(str(other.path), None, "not_a_job") for other in others if not other.error)]


def export_job(job: Job, form: str = "elastic") -> tuple[dict[str, Any], list[str]]:
    """A job as another system takes it, and what of it is different there or missing.

    Raises:
        DefinitionError: There is no such form, or it has no word for what the job looks for.
    """
    if form not in FORMS:
        raise DefinitionError(f"there is no form '{form}'", where="jobs export --to", expected=" or ".join(FORMS))
    return (loudml.to_loudml(job), []) if form == "loudml" else exported(job)
