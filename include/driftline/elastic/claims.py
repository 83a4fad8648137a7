"""Claims: one document for each incident and channel, made before anything is sent, so that no two runs tell the same.

A claim is made with `op_type=create` under a hash of alert, channel and incident. Whoever sends it takes it first, by its
sequence number, for a while (`LEASE`); if nobody says until then that it was told, the next run takes it over and sends it again,
with the same event id.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from elasticsearch import ConflictError

from driftline.core.alerts import Alert, Message
from driftline.core.results import digest, milliseconds
from driftline.core.timespan import iso, parse_time
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.client import talks_to_cluster
from driftline.elastic.indices import ALERTS, ensure_templates

if TYPE_CHECKING:
    from collections.abc import Iterable

    from elasticsearch import Elasticsearch

State = Literal["open", "told", "dropped"]
LEASE = timedelta(minutes=15)  # no channel takes as long, its own retries included
MOST = 1000  # claims that one run looks at; what is beyond waits for the next
_LATEST: list[dict[str, Any]] = [{"created": {"order": "desc", "unmapped_type": "date"}}]


@dataclass
class Claim:
    """A claim as it is stored.

    Attributes:
        id: Of the document.
        document: It.
        sequence: What must not have changed when it is taken.
    """

    id: str
    document: dict[str, Any]
    sequence: dict[str, Any]

    @property
    def message(self) -> Message:
        """What it tells."""
        return Message(**{**self.document["message"], "values": tuple(self.document["message"]["values"])})


def _of(alert: Alert) -> list[dict[str, Any]]:
    return [{"term": {"alert_id": alert.alert_id}}, {"term": {"channel": digest(alert.channel.key)}}]


@talks_to_cluster
def claim(client: Elasticsearch, alert: Alert, messages: Iterable[Message], state: State, *, due: datetime, now: datetime) -> int:
    """Claims what nobody has claimed yet, to be told when it is due; returns how much of it is new."""
    ensure_templates(client)
    channel = digest(alert.channel.key)

    def document(message: Message) -> dict[str, Any]:
        return {
            "alert_id": alert.alert_id,
            "channel": channel,
            "event_id": message.event_id,
            "name": message.name,
            "job_version": message.job_version,
            "about": message.about,
            "severity": message.severity,
            "detector_index": message.detector,
            "start": message.start,
            "end": message.end,
            "state": state,
            "created": iso(now),
            "due": iso(due),
            "attempts": 0,
            "message": asdict(message),
        }

    actions = (
        index_action(ALERTS, digest(alert.alert_id, channel, each.event_id), document(each), op="create") for each in messages
    )
    return bulk(client, actions).results.get("created", 0)


@talks_to_cluster
def told_alike(client: Elasticsearch, alert: Alert, messages: list[Message]) -> list[Message]:
    """What was claimed of the same series and times as these messages."""
    if not messages:
        return []
    client.indices.refresh(index=ALERTS, ignore_unavailable=True, allow_no_indices=True)
    clauses: list[dict[str, Any]] = [
        {"terms": {"about": sorted({each.about for each in messages})}},
        {"range": {"end": {"gte": min(each.start for each in messages)}}},
    ]
    return [each.message for each in _found(client, [*_of(alert), *clauses])]


@talks_to_cluster
def waiting(client: Elasticsearch, alert: Alert, owner: str, now: datetime) -> list[Claim]:
    """What is to be told now: what is due, and what this run took before it was interrupted; nothing that is too old."""
    client.indices.refresh(index=ALERTS, ignore_unavailable=True, allow_no_indices=True)
    mine = {"bool": {"should": [{"range": {"due": {"lte": iso(now)}}}, {"term": {"run": owner}}], "minimum_should_match": 1}}
    young = {"range": {"end": {"gte": milliseconds(now - alert.max_age)}}}
    return _found(client, [*_of(alert), {"term": {"state": "open"}}, mine, young])


def _found(client: Elasticsearch, clauses: list[dict[str, Any]]) -> list[Claim]:
    query = {"bool": {"filter": clauses}}
    found = client.search(index=ALERTS, query=query, size=MOST, sort=_LATEST, seq_no_primary_term=True, ignore_unavailable=True)[
        "hits"
    ]["hits"]
    return [
        Claim(hit["_id"], hit["_source"], {"if_seq_no": hit["_seq_no"], "if_primary_term": hit["_primary_term"]}) for hit in found
    ]


@talks_to_cluster
def take(client: Elasticsearch, one: Claim, owner: str, now: datetime) -> bool:
    """Takes a claim for a while; False where another run was faster."""
    changed = {"run": owner, "due": iso(now + LEASE), "attempts": one.document["attempts"] + 1}
    try:
        client.index(index=ALERTS, id=one.id, document={**one.document, **changed}, **one.sequence)
    except ConflictError:
        return False
    return True


@talks_to_cluster
def told(client: Elasticsearch, one: Claim, now: datetime) -> None:
    """Notes that it was told."""
    client.update(index=ALERTS, id=one.id, doc={"state": "told", "told": iso(now), "error": None})


@talks_to_cluster
def failed(client: Elasticsearch, one: Claim, error: str, now: datetime) -> None:
    """Notes why it could not be told; the next run, or the next try of this one, tries again."""
    client.update(index=ALERTS, id=one.id, doc={"due": iso(now), "run": None, "error": error})


@talks_to_cluster
def history(client: Elasticsearch, alert_id: str | None = None, *, limit: int = 50) -> list[dict[str, Any]]:
    """Claims, the latest first, of one alert or of all."""
    client.indices.refresh(index=ALERTS, ignore_unavailable=True, allow_no_indices=True)
    query: dict[str, Any] = {"term": {"alert_id": alert_id}} if alert_id else {"match_all": {}}
    found = client.search(index=ALERTS, query=query, size=limit, sort=_LATEST, ignore_unavailable=True)["hits"]["hits"]
    return [hit["_source"] for hit in found]


@talks_to_cluster
def summary(client: Elasticsearch) -> dict[str, dict[str, Any]]:
    """Of each alert: when it `told` something last, how much is `waiting`, and the newest `error` of what waits."""
    client.indices.refresh(index=ALERTS, ignore_unavailable=True, allow_no_indices=True)
    newest = {"top_hits": {"size": 1, "sort": _LATEST, "_source": ["error"]}}
    inner = {
        "told": {"max": {"field": "told"}},
        "open": {"filter": {"term": {"state": "open"}}},
        "failed": {"filter": {"exists": {"field": "error"}}, "aggs": {"newest": newest}},
    }
    alerts = {"terms": {"field": "alert_id", "size": MOST}, "aggs": inner}
    found = client.search(index=ALERTS, size=0, aggs={"alerts": alerts}, ignore_unavailable=True)
    out = {}
    # an index that does not exist yet answers without aggregations
    for each in found.get("aggregations", {}).get("alerts", {}).get("buckets", []):
        errors = each["failed"]["newest"]["hits"]["hits"]
        out[each["key"]] = {
            "told": iso(parse_time(each["told"]["value"] / 1000)) if each["told"]["value"] else None,
            "waiting": each["open"]["doc_count"],
            "error": errors[0]["_source"]["error"] if errors else None,
        }
    return out
