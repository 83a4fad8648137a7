"""Making a job: which indices and fields there are, and what a job that is not saved yet would see and would have found."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Depends, Query

from driftline.core.job import Job
from driftline.elastic.client import explained
from driftline_airflow.web.access import ClusterDep, asks, maker, routes

# whoever may not make a job has no business with the cluster's other indices
router = routes(prefix="/draft", tags=["making a job"], dependencies=[Depends(maker)])
Pattern = Annotated[str, Query(min_length=1, max_length=500, pattern=r"^[^\s/\\?#]+$", description="An index pattern.")]
FIELDS, INDICES = 10_000, 500
OWN = "driftline-"


@router.get("/indices")
def indices(client: ClusterDep, q: Annotated[str, Query(max_length=200)] = "") -> dict[str, Any]:
    """Indices that a job could read, those with `q` in their name; neither hidden ones nor our own."""
    with explained("indices"):
        found = client.indices.stats(metric="docs", expand_wildcards="open").body["indices"]
    shown = sorted(name for name in found if q in name and not name.startswith((OWN, ".")))[:INDICES]
    return {"indices": [{"index": name, "documents": found[name]["primaries"]["docs"]["count"]} for name in shown]}


@router.get("/fields")
def fields(client: ClusterDep, index: Pattern) -> dict[str, Any]:
    """The fields of an index with their types, those that can be aggregated; `count` tells where they are more than are given."""
    with explained(f"index {index}"):
        caps = client.field_caps(index=index, fields="*", ignore_unavailable=True, allow_no_indices=True).body
    found = []
    for name, types in sorted(caps["fields"].items()):
        kind, about = next(iter(types.items()))
        if about.get("aggregatable") and not about.get("metadata_field") and kind not in {"object", "nested"}:
            found.append({"name": name, "type": kind})
    return {"count": len(found), "fields": found[:FIELDS]}


@router.post("/series")
@asks
def series(client: ClusterDep, definition: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    """The largest series that a job that is not saved would look at, as they are in the newest data."""
    from driftline.pipeline.preview import sketch

    return sketch(client, Job.parse(definition, where="job"))


@router.post("/preview")
@asks
def preview(client: ClusterDep, definition: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    """What a job that is not saved would have found in the newest data of its largest series."""
    from driftline.pipeline.preview import preview as replayed

    return replayed(client, Job.parse(definition, where="job"))
