"""Which results a request is about: jobs, a window, scores and values, as query parameters that all resources share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, HTTPException, Query, status

from driftline.elastic.lanes import SPLITS, Chosen
from driftline_airflow.web.access import ClusterDep, ReaderDep, readable_jobs

MANY = 100
Text = Annotated[str | None, Query(max_length=40, description="ISO 8601, epoch, or now-7d.")]
Values = Annotated[list[str] | None, Query(max_length=MANY)]


def chosen(
    client: ClusterDep,
    user: ReaderDep,
    job: Annotated[list[str] | None, Query(max_length=MANY, description="Job ids; by default all that you may see.")] = None,
    start: Text = None,
    end: Text = None,
    min_score: Annotated[float, Query(ge=0, le=100)] = 0.0,
    partition: Values = None,
    by: Values = None,
    over: Values = None,
    detector: Annotated[list[int] | None, Query(max_length=MANY)] = None,
    influencer: Annotated[
        list[str] | None, Query(max_length=MANY, description="`field:value`, all of which must be there.")
    ] = None,
) -> Chosen:
    """What the request asks for. A window's open end is that of what the jobs have."""
    from driftline.pipeline.view import asked_window

    jobs = readable_jobs(client, user, job)
    if not jobs:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no job that you may see.")
    window = asked_window(client, jobs, start, end)
    values = {name: wanted for name, wanted in zip(SPLITS, (partition, by, over), strict=True) if wanted}
    if detector:
        values["detector"] = [str(number) for number in detector]
    for each in influencer or []:
        # a field's name may hold colons itself: those that the jobs have are known
        fields = [name for each_job in jobs for name in each_job.influencers if each.startswith(f"{name}:")]
        if not fields:
            raise HTTPException(
                status.HTTP_422_UNPROCESSABLE_CONTENT, "influencer: `field:value` is expected, of an influencer of the jobs."
            )
        name = max(fields, key=len)
        values.setdefault(f"influencer:{name}", []).append(each[len(name) + 1 :])
    return Chosen(jobs, window, min_score, values)


ChosenDep = Annotated[Chosen, Depends(chosen)]
