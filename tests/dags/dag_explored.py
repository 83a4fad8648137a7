"""A job with results for the tests of pages: four paths by day and night, and one hour in which one client is everywhere."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.job import Job
from driftline.core.timespan import Window
from driftline.elastic.bulk import bulk, index_action
from driftline.pipeline.forecast import forecast
from driftline.pipeline.jobs import save
from driftline.pipeline.score import score
from driftline.pipeline.train import train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch
    from playwright.sync_api import Browser, Page

START, HOUR = datetime(2026, 3, 2, tzinfo=UTC), timedelta(hours=1)
HOSTILE = "<img src=x onerror=document.title='owned'>"
PATHS = ["/cart", "/orders", HOSTILE, "/quiet"]
TRAINED, DAYS = 15, 18
SPIKE = (16 * 24 + 10, "/cart", 12)  # hour, path, factor
FROM = "203.0.113.7"


def rows(rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Requests of four paths by day and night; in one hour one client asks for one of them again and again."""
    for hour in range(DAYS * 24):
        level = 12 + 8 * np.sin(2 * np.pi * (hour % 24 - 6) / 24)
        for path in PATHS:
            strange = SPIKE[:2] == (hour, path)
            for _ in range(int(rng.poisson(level * (SPIKE[2] if strange else 1)))):
                yield {
                    "@timestamp": int((START + hour * HOUR).timestamp() * 1000) + int(rng.integers(0, 3_600_000)),
                    "url": path,
                    "ip": FROM if strange else f"10.0.0.{rng.integers(1, 200)}",
                    "bytes": int(rng.integers(100, 5000)),
                }


def explored_job(client: Elasticsearch, prefix: str) -> Job:
    """The job, trained, scored and forecast."""
    index = f"{prefix}web"
    fields = {"@timestamp": {"type": "date"}, "url": {"type": "keyword"}, "ip": {"type": "ip"}, "bytes": {"type": "long"}}
    client.indices.create(index=index, mappings={"properties": fields}, settings={"number_of_replicas": 0})
    bulk(client, (index_action(index, None, row) for row in rows(np.random.default_rng(3))))
    client.indices.refresh(index=index)
    definition = {
        "job_id": f"{prefix}explored",
        "bucket_span": "1h",
        "detectors": [{"function": "count", "partition_field_name": "url"}],
        "influencers": ["ip"],
        "datafeed": {"indices": [index], "on_request": True},
        "training": {"schedule": "none"},
    }
    made = Job.parse(definition, where="test")
    save(client, made)
    end = START + TRAINED * 24 * HOUR
    train(client, made, as_of=end)
    score(client, made, window=Window(end, START + DAYS * 24 * HOUR))
    forecast(client, made, duration="2d")
    return made


def compared_job(client: Elasticsearch, prefix: str, index: str) -> Job:
    """A job that compares clients with one another, and finds those that are new, on the same documents."""
    definition = {
        "job_id": f"{prefix}compared",
        "bucket_span": "1h",
        "detectors": [{"function": "high_count", "over_field_name": "ip"}, {"function": "rare", "by_field_name": "ip"}],
        "datafeed": {"indices": [index], "on_request": True},
        "training": {"schedule": "none"},
    }
    made = Job.parse(definition, where="test")
    save(client, made)
    end = START + TRAINED * 24 * HOUR
    train(client, made, as_of=end)
    score(client, made, window=Window(end, START + DAYS * 24 * HOUR))
    return made


@contextmanager
def watched(browser: Browser, site: str, token: str, scheme: Any) -> Iterator[Page]:
    """A tab of somebody who is signed in; afterwards: nothing came from elsewhere, nothing failed, and the console is empty."""
    context = browser.new_context(base_url=site, color_scheme=scheme, viewport={"width": 1400, "height": 900})
    context.add_cookies([{"name": "_token", "value": token, "url": site}])
    tab = context.new_page()
    tab.set_default_timeout(60_000)
    said: list[str] = []
    tab.on("request", lambda one: said.append(one.url) if not one.url.startswith((site, "data:", "blob:")) else None)
    tab.on("response", lambda one: said.append(f"{one.status} {one.url}") if one.status >= 400 else None)
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    yield tab
    assert "owned" not in tab.title()
    context.close()
    assert said == []


def accessible(tab: Page) -> None:
    """axe finds no serious fault."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(tab).response["violations"]
    serious = [
        (each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found if each["impact"] in ("serious", "critical")
    ]
    assert not serious, serious
