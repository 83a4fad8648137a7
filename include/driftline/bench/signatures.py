"""`driftline bench signatures`: a fleet of entities of which some begin to behave otherwise, read, learned and scored."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from datetime import timedelta
from itertools import repeat
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sklearn.metrics import adjusted_rand_score

from driftline.bench.behaviours import Fleet, make, moment
from driftline.bench.measure import Cost, PeakRss
from driftline.core.paths import staging_uri
from driftline.core.signature import Signatures
from driftline.core.timespan import Window
from driftline.elastic import results, snapshots
from driftline.elastic.bulk import AT_ONCE, bulk
from driftline.elastic.client import explained
from driftline.elastic.indices import RESULTS
from driftline.pipeline import jobs
from driftline.pipeline.signatures import load, score, train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

    from driftline.core.progress import Progress

PROPERTIES = {
    "@timestamp": {"type": "date"},
    "account": {"type": "keyword"},
    "destination": {"type": "keyword"},
}
HOUR = 3_600_000
DAY = timedelta(days=1)
TRAINED, SPAN = 30, 7  # days


def run(
    client: Elasticsearch,
    *,
    entities: int,
    days: int = 120,
    seed: int = 1,
    planted: int = 20,
    limit: int = 1000,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fills an index, learns 30 days, scores the week after, in which some entities behave otherwise, and scans all of it.

    Args:
        client: The cluster.
        entities: How many.
        days: Of data; the quick scan is over all but the first week of them.
        seed: Of the data.
        planted: How many begin to behave otherwise, on day 30.
        limit: Profiles of the second training, whose groups are compared with those of all.
        progress: Told how far it is.

    Returns:
        `entities`, `docs`, `seconds_train` (from Elasticsearch to the snapshot), `train_rss_mb`, `seconds_train_limit` (from the
        series store), `groups`, `ari_limit` (of the groups of all entities, by all and by `limit` profiles), `ari_truth`,
        `precision`, `recall` (at 99, a week after the change), `missed`, `seconds_scan`, `scan_days`, `scan_found`.
    """
    fleet = make(seed, entities, planted=planted, since=TRAINED)
    with filled(client, fleet, max(days, TRAINED + SPAN), progress=progress) as (signatures, docs):
        with PeakRss() as memory, Cost() as trained:
            train(client, signatures, as_of=moment(TRAINED), progress=progress)
        (whole,) = snapshots.manifests(client, signatures.signature_id)
        learned = load(client, whole)
        change = Window(moment(TRAINED + SPAN - 1), moment(TRAINED + SPAN))
        score(client, signatures, change, interval=DAY, model="latest", progress=progress)
        week = judged(fleet, found(client, signatures))
        scanned = Window(moment(SPAN), moment(max(days, TRAINED + SPAN)))
        with Cost() as scan:
            told = score(client, signatures, scanned, interval=DAY, model="latest", progress=progress)
        with Cost() as again:
            train(client, signatures, as_of=moment(TRAINED), limit=limit, progress=progress)
        (part,) = snapshots.manifests(client, signatures.signature_id)
        limited = load(client, part)
    truth = dict(zip(fleet.names(), fleet.way.tolist(), strict=True))
    return {
        "entities": entities,
        "docs": docs,
        "seconds_train": round(trained.wall, 1),
        "train_rss_mb": memory.mb,
        "seconds_train_limit": round(again.wall, 1),
        "groups": len(learned.facts["sizes"]),
        "ari_limit": round(float(adjusted_rand_score(learned.group, limited.group)), 4),
        "ari_truth": round(float(adjusted_rand_score([truth[name] for name in learned.names], learned.group)), 4),
        **week,
        "seconds_scan": round(scan.wall, 1),
        "scan_days": scanned.buckets(DAY),
        "scan_found": told["anomalous"],
    }


def judged(fleet: Fleet, reported: set[str]) -> dict[str, Any]:
    """`precision`, `recall` and `missed` (the kinds of change that were not) of what was reported."""
    names = fleet.names()
    changed = {names[row]: kind for row, kind in fleet.changed.items()}
    right = reported & changed.keys()
    return {
        "found": len(reported),
        "precision": round(len(right) / max(1, len(reported)), 4),
        "recall": round(len(right) / max(1, len(changed)), 4),
        "missed": sorted(kind for name, kind in changed.items() if name not in reported),
    }


def found(client: Elasticsearch, signatures: Signatures) -> set[str]:
    """The entities that have a record."""
    query = {"bool": {"filter": [{"term": {"job_id": signatures.signature_id}}, {"term": {"result_type": "record"}}]}}
    return {hit["_source"]["partition_field_value"] for hit in results.scan(client, query, index=f"{RESULTS}-*")}


@contextmanager
def filled(
    client: Elasticsearch,
    fleet: Fleet,
    days: int,
    *,
    progress: Progress | None = None,
    **options: Any,  # noqa: ANN401
) -> Iterator[tuple[Signatures, int]]:
    """Fills an index with what a fleet does, for signatures of that name; all of it is gone at the end."""
    name = f"bench-signatures-{uuid4().hex[:8]}"
    base = {"indices": [name], "term": "account", "mix": "destination", "max_terms": len(fleet.way)}
    signatures = Signatures.parse({"signature_id": name, **base, **options}, where="bench")
    with explained(f"index {name}"):
        settings = {"number_of_replicas": 0, "refresh_interval": "-1"}
        client.indices.create(index=name, mappings={"properties": PROPERTIES}, settings=settings)
    try:
        docs = bulk(client, _actions(name, fleet, days, progress), at_once=AT_ONCE).total
        with explained(f"index {name}"):
            client.indices.refresh(index=name)
        yield signatures, docs
    finally:
        jobs.reset(client, name)
        with explained(f"index {name}"):
            client.indices.delete(index=name, ignore_unavailable=True)
        shutil.rmtree(staging_uri(name), ignore_errors=True)


def _actions(index: str, fleet: Fleet, days: int, progress: Progress | None) -> Iterator[bytes]:
    pattern = (
        b'{"index":{"_index":"%b"}}\n{"@timestamp":%%d,"account":"account-%%06d","destination":"place-%%d"}\n' % index.encode()
    )
    for day in range(days):
        start = round(moment(day).timestamp() * 1000)
        for entity, hour, destination, many in fleet.rows(day):
            yield from repeat(pattern % (start + hour * HOUR, entity, destination), many)
        if progress:
            progress("days filled", day + 1, days)
