"""What a job that is not saved would look at is drawn as it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from driftline.core.job import Job
from driftline.elastic.bulk import bulk, index_action
from driftline.pipeline.preview import SERIES, sketch

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

START, HOURS = datetime(2026, 3, 1, tzinfo=UTC), 5
FULL = HOURS - 1  # the last bucket may still get documents


@pytest.fixture
def index(client: Elasticsearch, prefix: str) -> str:
    """In each hour a host of number n has n documents of other URLs, of which every second is not ok."""
    name = f"{prefix}seen"
    fields = {"@timestamp": {"type": "date"}, "ok": {"type": "boolean"}}
    fields |= {field: {"type": "keyword"} for field in ("host", "url")}
    client.indices.create(index=name, mappings={"properties": fields})
    rows = [
        {
            "@timestamp": (START + timedelta(hours=hour, minutes=59)).isoformat(),
            "host": f"h{host}",
            "url": f"/{n}",
            "ok": n % 2 == 0,
        }
        for hour in range(HOURS)
        for host in range(1, 10)
        for n in range(host)
    ]
    bulk(client, (index_action(name, None, row) for row in rows), at_once=1)
    client.indices.refresh(index=name)
    return name


def seen(client: Elasticsearch, index: str, *detectors: dict[str, Any]) -> dict[str, list[float]]:
    definition = {"job_id": "draft", "bucket_span": "1h", "detectors": list(detectors), "datafeed": {"indices": [index]}}
    found = sketch(client, Job.parse(definition, where="test"))
    return {view["label"]: view["actual"] for view in found["series"]}


def test_the_largest_of_a_split_are_drawn(client: Elasticsearch, index: str) -> None:
    found = seen(client, index, {"function": "count", "partition_field_name": "host"})
    assert found == {f"h{host}": [float(host)] * FULL for host in range(9, 9 - SERIES, -1)}


def test_a_split_may_be_of_any_type(client: Elasticsearch, index: str) -> None:
    found = seen(client, index, {"function": "count", "partition_field_name": "ok"})
    assert sorted(found.values()) == [[20.0] * FULL, [25.0] * FULL]


def test_no_detector_loses_documents_to_the_split_of_another(client: Elasticsearch, index: str) -> None:
    found = seen(client, index, {"function": "count"}, {"function": "count", "partition_field_name": "host"})
    assert [45.0] * FULL in found.values()


def test_of_detectors_that_compare_all_documents_are_counted(client: Elasticsearch, index: str) -> None:
    assert list(seen(client, index, {"function": "rare", "by_field_name": "url"}).values()) == [[45.0] * FULL]
