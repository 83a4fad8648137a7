"""What the demo found, held against what was injected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline.core.timespan import Window, iso, parse_time
from driftline.elastic import results
from driftline.elastic.client import talks_to_cluster
from driftline.elastic.indices import RUNS, TRUTH

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job

ALL = 10_000
NOTABLE = 50.0  # record scores from here on count as a finding; Elastic calls 50 to 75 major


@talks_to_cluster
def truth(client: Elasticsearch, source_id: str, window: Window) -> list[dict[str, Any]]:
    """What was injected into a source within a window, by time."""
    inside = [
        {"term": {"source_id": source_id}},
        {"range": {"start": {"lt": iso(window.end)}}},
        {"range": {"end": {"gt": iso(window.start)}}},
    ]
    found = client.search(index=TRUTH, query={"bool": {"filter": inside}}, size=1000, sort=["start"], ignore_unavailable=True)
    return [hit["_source"] for hit in found["hits"]["hits"]]


def compare(
    client: Elasticsearch, jobs: list[Job], injected: list[dict[str, Any]], window: Window, limit: int = 10
) -> dict[str, Any]:
    """The strongest anomalies over all jobs, each with what was injected there; and for each injection, what found it.

    Returns:
        `records` (how many), `anomalies` (see `merge`; the highest score first, with `injected`: kinds) and `injected` (each
        with the best `score` of a record there, and `found_by`, the job, where that score is notable).
    """
    records = []
    for job in jobs:
        records += results.top_records(client, job.job_id, version=job.version, window=window, limit=ALL)
    records.sort(key=_rank)
    for record in records:
        record["injected"] = sorted({entry["kind"] for entry in injected if matches(record, entry)})
    told = []
    for entry in injected:
        best = discovery(records, entry)
        score = best["record_score"] if best else None
        told.append({**entry, "score": score, "found_by": best["job_id"] if best and best["record_score"] >= NOTABLE else None})
    return {"records": len(records), "anomalies": merge(records)[:limit], "injected": told}


def discovery(records: list[dict[str, Any]], entry: dict[str, Any]) -> dict[str, Any] | None:
    """The first of the records that counts as the discovery of an injection; None if there is none.

    A notable one of a series that is what was injected goes first: other series have it as an influencer, or as a part.
    """
    there = [record for record in records if matches(record, entry)]
    name = entry.get("partition_field_name")
    fields = ("partition_field_name", "by_field_name")
    own = [one for one in there if one["record_score"] >= NOTABLE and name in [one.get(field) for field in fields]]
    return next(iter(own or there), None)


def merge(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adjacent records of one series as one anomaly: its strongest record, with `start`, `end` and `records`, by score."""
    runs: list[list[dict[str, Any]]] = []
    for record in sorted(records, key=lambda record: (*_series(record), record["timestamp"])):
        last = runs[-1][-1] if runs else None
        if (
            last
            and _series(last) == _series(record)
            and record["timestamp"] <= last["timestamp"] + 2 * last["bucket_span"] * 1000
        ):
            runs[-1].append(record)
        else:
            runs.append([record])
    merged = []
    for run in runs:
        strongest = min(run, key=_rank)
        end = run[-1]["timestamp"] + run[-1]["bucket_span"] * 1000
        kinds = sorted({kind for record in run for kind in record.get("injected", [])})
        merged.append({**strongest, "start": run[0]["timestamp"], "end": end, "records": len(run), "injected": kinds})
    return sorted(merged, key=_rank)


@talks_to_cluster
def journalled(client: Elasticsearch, kind: str, job_id: str, run: str) -> dict[str, Any]:
    """What a run noted of itself in the journal; empty when it noted nothing."""
    client.indices.refresh(index=RUNS, ignore_unavailable=True)
    same = [{"term": {"kind": kind}}, {"term": {"job_id": job_id}}, {"term": {"run": run}}]
    found = client.search(index=RUNS, query={"bool": {"filter": same}}, size=1, ignore_unavailable=True)["hits"]["hits"]
    return dict(found[0]["_source"].get("detail") or {}) if found else {}


def _rank(record: dict[str, Any]) -> tuple[float, float, int]:
    return -record["record_score"], record["probability"], record["timestamp"]


def _series(record: dict[str, Any]) -> tuple[str, int, str, str]:
    split = [str(record.get(f"{role}_field_value", "")) for role in ("partition", "by")]
    return record["job_id"], record["detector_index"], split[0], split[1]


def matches(record: dict[str, Any], entry: dict[str, Any]) -> bool:
    """Whether a record overlaps an injection in time and is about the same thing.

    The same thing: it has that partition, or names that value among its influencers; or the injection concerns everything,
    or the record does (it has no partition).
    """
    begin = record["timestamp"]
    end = begin + record["bucket_span"] * 1000
    if begin >= _milliseconds(entry["end"]) or end <= _milliseconds(entry["start"]):
        return False
    name, value = entry.get("partition_field_name"), entry.get("partition_field_value")
    own = {
        record[f"{role}_field_name"]: record.get(f"{role}_field_value")
        for role in ("partition", "by")
        if record.get(f"{role}_field_name")
    }
    if not name or value is None or not own:
        return True
    values = set(value) if isinstance(value, list) else {value}
    if name in own:
        return own[name] in values
    influencers = {each["influencer_field_name"]: each["influencer_field_values"] for each in record.get("influencers") or []}
    return not values.isdisjoint(influencers.get(name, []))


def _milliseconds(time: str | int) -> int:
    return int(parse_time(time).timestamp() * 1000)
