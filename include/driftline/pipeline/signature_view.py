"""What people look at: which entities are anomalous, and one entity's long-term and short-term signature side by side."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import DataError, SnapshotError, WindowError
from driftline.core.results import milliseconds, number
from driftline.core.timespan import Window, floor_time, format_span, iso, parse_time
from driftline.elastic import results, snapshots, state
from driftline.elastic.client import explained
from driftline.elastic.indices import RESULTS
from driftline.elastic.query import between
from driftline.pipeline.signature_read import read
from driftline.pipeline.signature_results import as_row, described, told
from driftline.pipeline.signatures import load
from driftline.signatures.profiles import slots_of
from driftline.signatures.score import score as compare
from driftline.signatures.score import usual
from driftline.signatures.why import mix_names

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.signature import Signatures
    from driftline.elastic.snapshots import Manifest
    from driftline.signatures.model import Learned
    from driftline.signatures.profiles import Sums
    from driftline.signatures.score import Common

MOST = 10_000


def state_of(client: Elasticsearch, signatures: Signatures) -> dict[str, Any]:
    """`version`, `scored_until`, `snapshot` (what was learned last), `notes`."""
    until = state.scored_until(client, signatures)
    found = snapshots.in_force(snapshots.manifests(client, signatures.signature_id), signatures.version)
    return {
        "version": signatures.version,
        "scored_until": iso(until) if until else None,
        "snapshot": described(found),
        "notes": signatures.notes,
    }


def anomalous(
    client: Elasticsearch,
    signatures: Signatures,
    *,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    entity: str | None = None,
    min_score: float = 0.0,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Entities with records, the highest scores first.

    Returns:
        Of each `entity`, `score` (the highest), `first` and `last` (when it was anomalous), `times` (records), and of the record
        with the highest score `time`, `until`, `aspect`, `actual`, `typical`, `sentence`.
    """
    clauses: list[dict[str, Any]] = [
        {"term": {"job_id": signatures.signature_id}},
        {"term": {"driftline.job_version": signatures.version}},
        {"term": {"result_type": "record"}},
        {"range": {"record_score": {"gte": min_score}}},
    ]
    if start or end:
        clauses.append(between("timestamp", Window.parse(start or "1970-01-01", end or "now")))
    if entity is not None:
        clauses.append({"term": {"partition_field_value": entity}})
    best = {"top_hits": {"size": 1, "sort": [{"record_score": "desc"}, {"timestamp": "asc"}]}}
    edges = {name: {metric: {"field": "timestamp"}} for name, metric in (("first", "min"), ("last", "max"))}
    inner = {"score": {"max": {"field": "record_score"}}, "best": best, **edges}
    by = {"terms": {"field": "partition_field_value", "size": limit, "order": {"score": "desc"}}, "aggs": inner}
    with explained(f"index {RESULTS}-*"):
        found = client.search(
            index=f"{RESULTS}-*", query={"bool": {"filter": clauses}}, size=0, aggs={"entities": by},
            ignore_unavailable=True, allow_no_indices=True,
        ).body  # fmt: skip
    out = []
    for each in found.get("aggregations", {}).get("entities", {}).get("buckets", []):
        row = as_row(each["best"]["hits"]["hits"][0]["_source"])
        first, last = (iso(parse_time(each[name]["value"] / 1000)) for name in ("first", "last"))
        out.append({**row, "first": first, "last": last, "times": each["doc_count"]})
    return out


def times(client: Elasticsearch, signatures: Signatures, window: Window | None = None) -> list[dict[str, Any]]:
    """How many entities were anomalous at each time that was scored: `time`, `interval` (seconds), `records`, `score`."""
    found = results.of_type(client, signatures.signature_id, "bucket", version=signatures.version, window=window)
    return [
        {
            "time": iso(parse_time(each["timestamp"] / 1000)),
            "interval": each["bucket_span"],
            "records": each["driftline"]["records"],
            "score": each["anomaly_score"],
        }
        for each in found
    ]


def profile(client: Elasticsearch, signatures: Signatures, entity: str, *, until: str | datetime | None = None) -> dict[str, Any]:
    """One entity's signatures side by side.

    Args:
        client: The cluster.
        signatures: Whose.
        entity: Which.
        until: The end of the short-term span; by default where its highest score is, or else where the entities are scored until.

    Returns:
        `entity`, `until`, `score`, `sentence`, `aspects`, `long` and `short` and `group` (each `workday` and `weekend`: documents
        in each slot of such a day), `mix` (`values`, shares `long` and `short`), `slots`, `group_number`, `group_now`,
        `training_start`, `training_end`, `records`.

    Raises:
        SnapshotError: Nothing was learned yet.
        DataError: The entity was not there then.
        WindowError: `until` has not come yet.
    """
    rows = records(client, signatures, entity)
    end = _until(client, signatures, rows, until)
    found = snapshots.manifests(client, signatures.signature_id)
    noted = _in_common(client, signatures, end)
    manifest = _learned_by(found, signatures, [*(row["snapshot_id"] for row in rows if row["until"] == iso(end)), *noted], end)
    learned = load(client, manifest)
    if entity not in learned.names:
        raise DataError(
            f"'{entity}' was not there when signatures were learned, or not yet for {format_span(signatures.span)}",
            where=f"signatures {signatures.signature_id}",
        )
    one = learned.take(np.array([learned.names.index(entity)]))
    window = Window(end - signatures.span, end)
    alone = {"bool": {"filter": [signatures.query, {"term": {signatures.term: entity}}]}}
    only = signatures.model_copy(update={"query": alone})
    seen = read(client, only, window, learned.facts["mix"], learned=[entity])
    # its documents may have other values of the term besides
    short = seen.sums(signatures, [window]).take(np.array([seen.names.index(entity) if entity in seen.names else -1]))
    common = noted.get(manifest["snapshot_id"]) or usual(learned)
    scored = compare(one, short, fleet=len(learned.names), common=common, parts=True)
    reason = told(signatures, one, scored, 0)
    stored = next((row for row in rows if row["until"] == iso(end)), None)
    return {
        "entity": entity,
        "until": iso(end),
        "score": stored["score"] if stored else float(scored.score[0]),
        "sentence": stored["sentence"] if stored else reason["sentence"],
        "aspects": reason["evidence"]["signature"]["aspects"],
        "actual": number(float(scored.deviation.actual[0])),
        "typical": number(float(scored.deviation.expected[0])),
        **_side_by_side(signatures, one, short),
        "group_number": int(one.group[0]) + 1,
        "group_now": int(scored.group[0]) + 1,
        "groups": learned.facts["sizes"],
        "training_start": manifest["training_start"],
        "training_end": manifest["training_end"],
        "records": rows,
    }


def _side_by_side(signatures: Signatures, one: Learned, short: Sums) -> dict[str, Any]:
    slots = slots_of(signatures.resolution)

    def days(amounts: np.ndarray[Any, Any], hours: np.ndarray[Any, Any]) -> dict[str, list[float]]:
        rate = np.divide(amounts, hours, out=np.zeros(len(amounts)), where=hours > 0)
        return {name: [number(float(v), 4) for v in rate[part]] for name, part in parts.items()}

    parts = {"workday": slice(0, slots), "weekend": slice(slots, None)}
    long = one.sums
    like = one.priors()["shape"][0]
    level = long.counts[0, 0].sum() / max(1e-9, float((like * long.hours[0]).sum()))
    mix: dict[str, Any] | None = None
    if long.mix.shape[2]:
        mix = {"field": signatures.mix, "values": mix_names(one)}
        for name, sums in (("long", long), ("short", short)):
            total = max(1.0, float(sums.mix[0, 0].sum()))
            mix[name] = [number(float(v) / total, 4) for v in sums.mix[0, 0]]
    return {
        "slots": slots,
        "long": days(long.counts[0, 0], long.hours[0]),
        "short": days(short.counts[0, 0], short.hours[0]),
        "group": days(like * level, np.ones(len(like))),
        "mix": mix,
    }


def records(client: Elasticsearch, signatures: Signatures, entity: str) -> list[dict[str, Any]]:
    """An entity's records by time."""
    mine: list[dict[str, Any]] = [
        {"term": {"job_id": signatures.signature_id}},
        {"term": {"driftline.job_version": signatures.version}},
        {"term": {"result_type": "record"}},
        {"term": {"partition_field_value": entity}},
    ]
    found = [hit["_source"] for hit in results.scan(client, {"bool": {"filter": mine}})]
    return [
        {**as_row(each), "snapshot_id": each["driftline"]["snapshot_id"]}
        for each in sorted(found, key=lambda each: (each["timestamp"], each["bucket_span"]))
    ]


def _until(client: Elasticsearch, signatures: Signatures, rows: list[dict[str, Any]], until: str | datetime | None) -> datetime:
    if until is not None:
        end = floor_time(parse_time(until), signatures.resolution)
        if end > datetime.now(UTC) - signatures.query_delay:
            raise WindowError("the span is not complete yet", where=f"until {iso(end)}", expected="a time that is past")
        return end
    if rows:
        return parse_time(max(rows, key=lambda row: row["score"])["until"])
    scored = state.scored_until(client, signatures)
    found = snapshots.in_force(snapshots.manifests(client, signatures.signature_id), signatures.version)
    if scored is None and found is None:
        raise _untrained(signatures)
    return scored or parse_time(str((found or {})["training_end"]))


def _in_common(client: Elasticsearch, signatures: Signatures, end: datetime) -> dict[str, Common]:
    """What all entities did in the span that ends there, by the snapshot that they were compared with."""
    window = Window(end - signatures.span, end)
    scored = results.of_type(client, signatures.signature_id, "bucket", version=signatures.version, window=window)
    at_end = [each["driftline"] for each in scored if each["timestamp"] + 1000 * each["bucket_span"] == milliseconds(end)]
    return {each["snapshot_id"]: each["evidence"]["common"] for each in at_end if "evidence" in each}


def _learned_by(found: list[Manifest], signatures: Signatures, named: list[str], end: datetime) -> Manifest:
    """The first that is still there of what scored that time; else what would."""
    by_id = {each["snapshot_id"]: each for each in found}
    manifest = next((by_id[name] for name in named if name in by_id), None)
    manifest = manifest or snapshots.choose(found, signatures.version, end - signatures.span)
    manifest = manifest or snapshots.in_force(found, signatures.version)
    if manifest is None:
        raise _untrained(signatures)
    return manifest


def _untrained(signatures: Signatures) -> SnapshotError:
    name = signatures.signature_id
    return SnapshotError(
        "nothing was learned yet", where=f"signatures {name}", fix=f"Train first: driftline signatures train {name}"
    )
