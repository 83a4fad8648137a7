"""The overview of an access log: every figure is what the rows themselves say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from driftline.core.errors import SourceIndexError
from driftline.core.timespan import Window
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.overview import CLASSES, FIELDS, Asked, overview

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

START, HOURS = datetime(2026, 3, 2, tzinfo=UTC), 40
HOSTILE = "/<script>alert(1)</script>"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Requests, some of which lack their country."""
    made = pd.DataFrame({"n": range(2000)})
    made["time"] = pd.to_datetime([START + timedelta(seconds=72 * n) for n in made["n"]], utc=True)
    made["status"] = made["n"].map(lambda n: (200, 200, 200, 301, 404, 503, 500)[n % 7])
    made["url"] = made["n"].map(lambda n: (HOSTILE, "/cart", "/orders")[n % 3])
    made["country"] = made["n"].map(lambda n: None if n % 5 == 0 else ("DE", "FR")[n % 2])
    made["bytes"] = made["n"] % 97 * 10
    return made


@pytest.fixture(scope="module")
def index(client: Elasticsearch, module_prefix: str, rows: pd.DataFrame) -> str:
    """The same in an index, without hosts and browsers."""
    name = f"{module_prefix}log"
    kinds = {"@timestamp": "date", FIELDS["url"]: "keyword", FIELDS["country"]: "keyword", FIELDS["client"]: "ip"}
    kinds |= {"http.response.status_code": "short", "http.response.bytes": "long"}
    client.indices.create(index=name, mappings={"properties": {field: {"type": kind} for field, kind in kinds.items()}})

    def document(row: Any) -> dict[str, Any]:
        made = {"@timestamp": int(row.time.timestamp() * 1000), FIELDS["url"]: row.url, FIELDS["client"]: f"10.0.0.{row.n % 50}"}
        made |= {"http.response.status_code": row.status, "http.response.bytes": row.bytes}
        return made | ({FIELDS["country"]: row.country} if isinstance(row.country, str) else {})

    bulk(client, (index_action(name, None, document(row)) for row in rows.itertuples()))
    client.indices.refresh(index=name)
    return name


def test_all_of_it_is_what_the_rows_say(client: Elasticsearch, index: str, rows: pd.DataFrame) -> None:
    found = overview(client, Asked(index))
    assert (found["hits"], found["bytes"], found["clients"]) == (len(rows), rows["bytes"].sum(), 50)
    assert found["errors"] == (rows["status"] >= 500).sum()
    assert found["missing"] == [FIELDS["browser"], FIELDS["host"]]
    assert (found["start"], found["end"]) == ("2026-03-02T00:00:00Z", "2026-03-03T15:59:00Z")
    by_time = rows.set_index("time").resample(f"{found['span']}s")
    assert found["hits_by_time"] == by_time["n"].count().tolist()
    assert found["bytes_by_time"] == by_time["bytes"].sum().tolist()
    for name, (low, high) in CLASSES.items():
        within = rows["status"].between(low, high, inclusive="left").set_axis(rows["time"])
        assert found["status_by_time"][name] == within.resample(f"{found['span']}s").sum().tolist()
    assert {each["value"]: each["hits"] for each in found["top"]["url"]} == rows["url"].value_counts().to_dict()
    failed = rows[rows["status"] >= 500]
    assert {each["value"]: each["errors"] for each in found["top"]["url"]} == failed["url"].value_counts().to_dict()
    assert {each["value"]: each["hits"] for each in found["top"]["country"]} == rows["country"].value_counts().to_dict()


def test_values_and_times_narrow_it(client: Elasticsearch, index: str, rows: pd.DataFrame) -> None:
    window = Window(START + timedelta(hours=3), START + timedelta(hours=9))
    asked = Asked(index, window, {"url": [HOSTILE, "/cart"], "status": ["4xx", "5xx"]})
    found = overview(client, asked, top=1)
    within = rows[(rows["time"] >= window.start) & (rows["time"] < window.end) & (rows["status"] >= 400)]
    within = within[within["url"].isin([HOSTILE, "/cart"])]
    assert found["hits"] == len(within)
    assert len(found["top"]["url"]) == 1
    assert sum(found["hits_by_time"]) == len(within)
    assert found["times"][0] == window.start.timestamp() * 1000


def test_what_is_no_log_is_said(client: Elasticsearch, prefix: str) -> None:
    with pytest.raises(SourceIndexError, match="does not exist"):
        overview(client, Asked(f"{prefix}none"))
    client.indices.create(index=f"{prefix}other", mappings={"properties": {"a": {"type": "keyword"}}})
    with pytest.raises(SourceIndexError, match="no dates in @timestamp"):
        overview(client, Asked(f"{prefix}other"))
    client.indices.create(index=f"{prefix}empty", mappings={"properties": {"@timestamp": {"type": "date"}}})
    with pytest.raises(SourceIndexError, match="holds no document"):
        overview(client, Asked(f"{prefix}empty"))
