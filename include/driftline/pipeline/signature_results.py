"""What is found of entities as result documents, in Elastic's shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from driftline.core.results import digest, milliseconds, number
from driftline.core.timespan import iso, parse_time
from driftline.signatures.evidence import deviation
from driftline.signatures.why import why

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from numpy.typing import NDArray

    from driftline.core.results import Document
    from driftline.core.signature import Signatures
    from driftline.elastic.snapshots import Manifest
    from driftline.signatures.model import Learned
    from driftline.signatures.profiles import Sums
    from driftline.signatures.score import Scored

TYPES = ["record", "bucket"]
FUNCTION = "signature"


def documents(
    signatures: Signatures,
    manifest: Manifest,
    learned: Learned,
    short: Sums,
    scored: Scored,
    hits: NDArray[np.intp],
    start: datetime,
    every: timedelta,
    *,
    in_sample: bool,
) -> Iterator[Document]:
    """The records of one time, and its bucket, which says how many entities were scored.

    Args:
        signatures: Whose.
        manifest: Of the snapshot.
        learned: What it holds.
        short: What its entities did in the short-term span.
        scored: How far that is from what they did before.
        hits: Rows of the entities that are written.
        start: Of the interval at whose end they were scored.
        every: The interval.
        in_sample: Whether the snapshot learned from the span, too.
    """
    stamp, seconds = milliseconds(start), int(every.total_seconds())
    lineage = {
        "job_version": signatures.version,
        "snapshot_id": manifest["snapshot_id"],
        "training_start": manifest["training_start"],
        "training_end": manifest["training_end"],
        "in_sample": in_sample,
    }
    shared = {"job_id": signatures.signature_id, "timestamp": stamp, "bucket_span": seconds, "is_interim": False}
    about = (signatures.signature_id, signatures.version)
    highest = float(scored.score[hits].max()) if len(hits) else 0.0
    bucket = {
        **shared,
        "result_type": "bucket",
        "anomaly_score": highest,
        "initial_anomaly_score": highest,
        "event_count": int(scored.deviation.actual.sum()),
        "driftline": {**lineage, "series": len(learned.names), "records": len(hits), "evidence": {"common": scored.common}},
    }
    yield digest(*about, "bucket", str(stamp), str(seconds)), stamp, orjson.dumps(bucket)
    if not len(hits):
        return
    few, theirs = learned.take(hits), short.take(hits)
    # only what contributes is taken from here: of some entities alone nothing could be said about all of them
    scored.deviation.parts = _spread_out(deviation(theirs, few.sums, few.priors(), parts=True).parts, hits, len(learned.names))
    for row in hits.tolist():
        record = {
            **shared,
            "result_type": "record",
            "detector_index": 0,
            "function": FUNCTION,
            "function_description": FUNCTION,
            "partition_field_name": signatures.term,
            "partition_field_value": learned.names[row],
            "record_score": float(scored.score[row]),
            "initial_record_score": float(scored.score[row]),
            "probability": number(float(10.0 ** -scored.surprise[row])),
            "actual": [number(float(scored.deviation.actual[row]))],
            "typical": [number(float(scored.deviation.expected[row]))],
            "driftline": {**lineage, **told(signatures, learned, scored, row)},
        }
        yield digest(*about, "record", str(stamp), str(seconds), learned.names[row]), stamp, orjson.dumps(record)


def told(signatures: Signatures, learned: Learned, scored: Scored, row: int) -> dict[str, Any]:
    """What the part `driftline` of a record says of why."""
    reason = why(signatures, learned, scored, row)
    return {"kind": reason["aspect"], "sentence": reason["sentence"], "evidence": {"signature": reason}}


def _spread_out(parts: dict[str, NDArray[np.float64]], rows: NDArray[np.intp], size: int) -> dict[str, NDArray[np.float64]]:
    """What there is of some entities at their places among all."""
    out = {}
    for name, each in parts.items():
        out[name] = np.zeros((size, each.shape[1]))
        out[name][rows] = each
    return out


def described(manifest: Manifest | None) -> dict[str, Any]:
    """What a snapshot of signatures says of itself."""
    if manifest is None:
        return {"snapshot_id": None, "trained_until": None, "entities": 0, "groups": []}
    return {
        "snapshot_id": manifest["snapshot_id"],
        "trained_until": manifest["training_end"],
        "trained_from": manifest["training_start"],
        "entities": manifest["series"],
        "groups": manifest["detail"]["groups"],
        "limit": manifest["detail"].get("limit"),
        "notes": manifest["detail"].get("notes", []),
    }


def as_row(record: dict[str, Any]) -> dict[str, Any]:
    """A record in few words: `entity`, `time`, `until`, `score`, `actual`, `typical`, `sentence`."""
    start = parse_time(record["timestamp"] / 1000)
    return {
        "entity": record["partition_field_value"],
        "time": iso(start),
        "until": iso(parse_time(record["timestamp"] / 1000 + record["bucket_span"])),
        "score": record["record_score"],
        "aspect": record["driftline"]["kind"],
        "actual": record["actual"][0],
        "typical": record["typical"][0],
        "sentence": record["driftline"]["sentence"],
    }
