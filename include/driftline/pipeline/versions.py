"""Versions of a job: an edit that changes what is learned makes a new one, which scores again what the former one covered."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from driftline.core.errors import DefinitionError
from driftline.core.timespan import Window, floor_time, iso
from driftline.elastic import snapshots, state
from driftline.elastic.annotations import MODEL_CHANGE, annotate
from driftline.elastic.client import explained
from driftline.elastic.fields import data_range
from driftline.elastic.indices import FORECASTS, RESULTS

if TYPE_CHECKING:
    from datetime import datetime

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job

MAX_VERSIONS = 1000
COUNTED = ("record", "bucket", "influencer", "event", "model_plot")


def owed(client: Elasticsearch, job: Job) -> datetime | None:
    """Where a version must begin that has not scored yet what the results of former versions cover; None if it has.

    It goes no further back than `training.window` before the end of those results, nor than the data.
    """
    known = state.versions(client, job.job_id)
    own = known.pop(job.version, None)
    if not known:
        return None
    begin = min(other.window.start for other in known.values())
    begin = max(begin, max(other.window.end for other in known.values()) - job.training.window)
    if own is None or begin < own.window.start:
        begin = floor_time(max(begin, data_range(client, job).start), job.bucket_span)
    return begin if own is None or begin < own.window.start else None


def note_change(client: Elasticsearch, job: Job) -> None:
    """Notes, where a version takes over from another one, what was changed; to be called before its results are counted in."""
    known = state.versions(client, job.job_id)
    own = known.pop(job.version, None)
    if not known:
        return
    version, former = max(known.items(), key=lambda pair: pair[1].window.end)
    moment = former.window.end
    if own is not None and own.window.end >= moment:
        return
    names = ", ".join(changed(former.meaning, job.meaning))
    text = f"The job was changed ({names}): version {version} gave way to {job.version}."
    annotate(client, job.job_id, Window(moment, moment), text, event=MODEL_CHANGE, about=job.version)


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of what differs between two meanings of a job."""
    one, other = (
        {**meaning, **{f"training.{name}": value for name, value in meaning.get("training", {}).items()}}
        for meaning in (before, after)
    )
    return [name for name in sorted({*one, *other} - {"training"}) if one.get(name) != other.get(name)]


def listed(client: Elasticsearch, job: Job) -> list[dict[str, Any]]:
    """All versions of a job that have left anything, the current one first, then the newest.

    Returns:
        Of each: `version`, `current`, `scored_from`, `scored_until`, `changed` (what the current one has otherwise), the numbers
        of `records`, `events`, `buckets`, `results` (of all kinds), `forecasts` (documents) and `snapshots`.
    """
    scored = state.versions(client, job.job_id)
    found, ahead = (_counts(client, index, job.job_id) for index in (RESULTS, FORECASTS))
    trained = Counter(manifest["job_version"] for manifest in snapshots.manifests(client, job.job_id))
    out = []
    for version in {job.version, *scored, *found, *ahead, *trained}:
        counts, known = found.get(version, {}), scored.get(version)
        current = version == job.version
        out.append(
            {
                "version": version,
                "current": current,
                "scored_from": iso(known.window.start) if known else None,
                "scored_until": iso(known.window.end) if known else None,
                "changed": [] if current or not known else changed(known.meaning, job.meaning),
                **{f"{kind}s": counts.get(kind, 0) for kind in ("record", "event", "bucket")},
                "results": sum(counts.values()),
                "forecasts": sum(ahead.get(version, {}).values()),
                "snapshots": trained[version],
            }
        )
    return sorted(out, key=lambda each: (each["current"], each["scored_until"] or "", each["version"]), reverse=True)


def find(client: Elasticsearch, job: Job, text: str) -> str:
    """The version of a job that begins with a text.

    Raises:
        DefinitionError: There is none, or several.
    """
    known: list[str] = [each["version"] for each in listed(client, job)]
    fitting = [version for version in known if version.startswith(text)] if text else []
    if len(fitting) != 1:
        what = f"several versions begin with '{text}'" if fitting else f"there is no version '{text}'"
        fix = f"See: driftline jobs versions {job.job_id}"
        raise DefinitionError(what, where=f"job {job.job_id}", expected=f"one of {', '.join(known)}", fix=fix)
    return fitting[0]


def pending(client: Elasticsearch, job: Job) -> str | None:
    """What a version that is not trained yet waits for, as a sentence; None if it is trained."""
    if any(m["job_version"] == job.version and m["detail"]["valid"] for m in snapshots.manifests(client, job.job_id)):
        return None
    begin = owed(client, job)
    again = f", and scores again what former versions covered, from {iso(begin)} on" if begin else ""
    return f"version {job.version} is not trained yet: the next scoring trains it{again}"


def _counts(client: Elasticsearch, index: str, job_id: str) -> dict[str, dict[str, int]]:
    """How many documents of each kind each version has."""
    kinds = {"kinds": {"terms": {"field": "result_type", "size": 20}}}
    with explained(f"results of job {job_id}"):
        client.indices.refresh(index=f"{index}-*", ignore_unavailable=True, allow_no_indices=True)
        answer = client.search(
            index=f"{index}-*",
            query={"term": {"job_id": job_id}},
            aggregations={"versions": {"terms": {"field": "driftline.job_version", "size": MAX_VERSIONS}, "aggs": kinds}},
            size=0,
            ignore_unavailable=True,
            allow_no_indices=True,
        )
    found = (answer.get("aggregations") or {}).get("versions", {}).get("buckets", [])
    return {each["key"]: {kind["key"]: kind["doc_count"] for kind in each["kinds"]["buckets"]} for each in found}
