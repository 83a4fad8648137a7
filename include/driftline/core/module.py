"""A module: ready jobs for one kind of data, as templates whose job id and index are filled in."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from driftline.core.definition import Definition
from driftline.core.errors import DefinitionError
from driftline.core.job import Job

PREFIX, PATTERN = "{prefix}", "{index_pattern}"


class Module(Definition):
    """What `module.yaml` says of a folder of job templates."""

    title: str = Field(min_length=1, description="What it is about, in a few words.")
    description: str = Field(min_length=1, description="One line for people.")
    prefix: str = Field("", description="What its jobs' ids begin with, if nobody says otherwise.")
    index_pattern: list[str] = Field(min_length=1, description="Where such data is as a rule.")
    query: dict[str, Any] = Field(description="The documents that it is about; an index with some fits.")


def fill(template: object, *, prefix: str, indices: list[str], where: str) -> Job:
    """The job that a template becomes. Only `job_id` and `datafeed.indices` have placeholders; all else is a job as any.

    Raises:
        DefinitionError: The template has no placeholders there, or is no job; names the file and the field.
    """
    data = template if isinstance(template, dict) else {}
    feed = data.get("datafeed")
    if not str(data.get("job_id", "")).startswith(PREFIX) or not isinstance(feed, dict) or feed.get("indices") != [PATTERN]:
        raise DefinitionError(
            "no template of a job", where=where, expected=f'job_id: "{PREFIX}…" and datafeed.indices: ["{PATTERN}"]'
        )
    filled = {**data, "job_id": prefix + data["job_id"].removeprefix(PREFIX), "datafeed": {**feed, "indices": indices}}
    return Job.parse(filled, where=where)
