"""Bucket and influencer results, derived from records: what happened to the job as a whole, and who is to blame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from driftline.core.results import result, result_id
from driftline.scoring.score import among, to_score
from driftline.scoring.settings import MIN_RECORD_SCORE

if TYPE_CHECKING:
    from driftline.core.job import Job

Document = tuple[str, dict[str, Any]]
LINEAGE = ("snapshot_id", "in_sample", "quality")


def bucket_results(job: Job, records: list[dict[str, Any]], series: int) -> list[Document]:
    """One document for each bucket with records: its score allows for how many series were looked at.

    The bucket's surprise is that of its most surprising record among `series` looks, so 5 000 series at 1 % are no alarm.
    """
    documents = []
    for time, members in sorted(_by(records, "timestamp").items()):
        surprise = max(-math.log10(record["probability"]) for record in members)
        score = float(to_score(among(surprise, max(series, len(members)))))
        document = result(job, "bucket", time, {key: members[0]["driftline"].get(key) for key in LINEAGE})
        document["driftline"]["series"] = series
        document |= {
            "anomaly_score": score,
            "initial_anomaly_score": score,
            "event_count": len(members),
            "bucket_influencers": [],
        }
        document["bucket_influencers"] = [
            {
                "influencer_field_name": "bucket_time",
                "anomaly_score": score,
                "initial_anomaly_score": score,
                "probability": 10.0**-surprise,
            }
        ]
        documents.append((result_id(job, "bucket", time), document))
    return documents


def influencer_results(job: Job, records: list[dict[str, Any]]) -> list[Document]:
    """One document for each bucket and influencer value: the score of the worst record that it shares in."""
    best: dict[tuple[int, str, str], dict[str, Any]] = {}
    for record in records:
        for influencer in record.get("influencers", []):
            for value in influencer["influencer_field_values"]:
                place = (record["timestamp"], influencer["influencer_field_name"], value)
                if place not in best or record["record_score"] > best[place]["record_score"]:
                    best[place] = record
    documents = []
    for (time, field, value), record in sorted(best.items()):
        score = record["record_score"]
        if score < MIN_RECORD_SCORE:
            continue
        document = result(job, "influencer", time, {key: record["driftline"].get(key) for key in LINEAGE})
        document |= {"influencer_field_name": field, "influencer_field_value": value, "probability": record["probability"],
                     "influencer_score": score, "initial_influencer_score": score}  # fmt: skip
        documents.append((result_id(job, "influencer", time, extra=(field, value)), document))
    return documents


def _by(records: list[dict[str, Any]], field: str) -> dict[int, list[dict[str, Any]]]:
    groups: dict[int, list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault(record[field], []).append(record)
    return groups
