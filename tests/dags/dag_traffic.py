"""Traffic that the tests of the DAG side share: four weeks, hourly, a few paths, with one spike that must be found."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from driftline.elastic.bulk import bulk, index_action

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
TRAINED = BEGIN + timedelta(days=21)
END = BEGIN + timedelta(days=28)
SPIKE = BEGIN + timedelta(days=25, hours=10)
PATHS = ("/", "/cart")
HOUR = timedelta(hours=1)


def rows(paths: tuple[str, ...] = PATHS) -> Iterator[dict[str, Any]]:
    """Documents in the order of time."""
    hours = int((END - BEGIN) / HOUR)
    for hour in range(hours):
        moment = BEGIN + hour * HOUR
        for number, path in enumerate(paths):
            level = 8 + 5 * math.sin((hour % 24) / 24 * 2 * math.pi) + (hour * 7 + number * 3) % 4
            if moment == SPIKE and path == "/cart":
                level *= 10
            for second in range(int(level)):
                yield {"@timestamp": (moment + timedelta(seconds=7 * second)).isoformat(), "url.path": path}


def index_traffic(client: Elasticsearch, index: str, paths: tuple[str, ...] = PATHS) -> int:
    """Indexes the traffic; returns how many documents."""
    mappings = {"properties": {"@timestamp": {"type": "date"}, "url.path": {"type": "keyword"}}}
    client.options(ignore_status=400).indices.create(index=index, mappings=mappings)
    written = bulk(client, (index_action(index, str(number), row) for number, row in enumerate(rows(paths)))).total
    client.indices.refresh(index=index)
    return written
