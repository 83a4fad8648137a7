"""The explorer in a browser on 20 000 partitions, 30 days and a million results: what it shows, and how long it takes."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from driftline.bench.explorer import filled
from driftline.pipeline.jobs import delete, save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elasticsearch import Elasticsearch
    from playwright.sync_api import Browser

    from driftline.core.job import Job

PARTITIONS, DAYS = 20_000, 30
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
SETTLED = "!document.querySelector('[aria-busy]')"


def rested(client: Elasticsearch) -> None:
    """Waits until what a million writes leave Elasticsearch to do is done: it takes both processors of a small machine."""
    deadline = time.monotonic() + 120
    while client.indices.stats(index="driftline-results-*", metric="merge")["_all"]["total"]["merges"]["current"]:
        assert time.monotonic() < deadline, "Elasticsearch is still merging"
        time.sleep(1)


@pytest.fixture
def job(client: Elasticsearch) -> Iterator[Job]:
    """A job with a million results; both are gone afterwards, whatever the test found."""
    with filled(client, partitions=PARTITIONS, days=DAYS, documents=1_000_000) as made:
        save(client, made)
        yield made
        delete(client, made.job_id)


@pytest.mark.full
def test_a_million_results_can_be_looked_at(
    client: Elasticsearch, browser: Browser, site: str, token_of: Callable[[str], str], job: Job
) -> None:
    context = browser.new_context(base_url=site, viewport={"width": 1400, "height": 900})
    context.add_cookies([{"name": "_token", "value": token_of("viewer"), "url": site}])
    tab = context.new_page()
    tab.set_default_timeout(60_000)
    rested(client)
    tab.goto("/driftline/jobs")  # the browser's own start is not the page's
    painted, brushed = [], []
    for _ in range(5):
        client.indices.clear_cache(index="driftline-results-*")
        tab.goto(f"/driftline/explorer?job={job.job_id}&view=partition")
        tab.locator("#records tbody tr").first.wait_for()
        painted.append(tab.evaluate(PAINTED))
        assert tab.locator("#lanes .lane").count() == 12, "the times, all of it, and the ten highest"
        told = tab.locator("#more-lanes").inner_text()  # counted roughly, as Elasticsearch counts many values
        assert int(told.split()[2].replace(",", "")) == pytest.approx(PARTITIONS, rel=0.05)
        before = tab.locator("#count").inner_text()
        box = tab.locator("#lanes .track").first.bounding_box()
        assert box is not None
        tab.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 8)
        tab.mouse.down()
        tab.mouse.move(box["x"] + box["width"] * 0.54, box["y"] + 8, steps=3)
        begun = tab.evaluate("performance.now()")
        tab.mouse.up()
        tab.wait_for_function("before => document.getElementById('count').textContent !== before", arg=before)
        brushed.append(tab.evaluate("performance.now()") - begun)
    context.close()
    print(json.dumps({"first_contentful_paint_ms": painted, "brush_ms": brushed}))
    counted = int(before.split()[0].replace(",", ""))
    assert counted > 850_000
