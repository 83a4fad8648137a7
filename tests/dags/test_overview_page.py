"""The overview of an access log in a browser: charts and tables, values that narrow the page, and hostile ones that stay text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from dag_explored import HOSTILE, accessible, watched

from driftline.elastic.bulk import bulk, index_action

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from elasticsearch import Elasticsearch
    from playwright.sync_api import Browser, Page

START = datetime(2026, 3, 2, tzinfo=UTC)
SOURCE = "shop"


@pytest.fixture(scope="module", autouse=True)
def source(client: Elasticsearch, module_prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A source whose index has requests for three paths, one of them hostile, over two days."""
    index, folder = f"{module_prefix}log", tmp_path_factory.mktemp("sources")
    words = {name: {"type": "keyword"} for name in ("url.path", "user_agent.name", "host.name", "source.geo.country_iso_code")}
    numbers = {name: {"type": "long"} for name in ("http.response.status_code", "http.response.bytes")}
    fields = {"@timestamp": {"type": "date"}, "source.ip": {"type": "ip"}, **words, **numbers}
    client.indices.create(index=index, mappings={"properties": fields})

    def row(n: int) -> dict[str, Any]:
        return {
            "@timestamp": int((START + timedelta(minutes=3 * n)).timestamp() * 1000),
            "url.path": ("/cart", "/orders", HOSTILE)[n % 3],
            "user_agent.name": ("Firefox", "Chrome")[n % 2],
            "source.ip": f"10.0.0.{n % 20}",
            "http.response.status_code": 500 if n % 10 == 0 else 200,
            "http.response.bytes": 1000,
        }

    bulk(client, (index_action(index, None, row(n)) for n in range(960)))
    client.indices.refresh(index=index)
    generator = "generator: {kind: access_log, start: 2026-03-02T00:00:00Z, days: 2}"
    (folder / f"{SOURCE}.yaml").write_text(f"source_id: {SOURCE}\nindex: {index}\n{generator}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRIFTLINE_SOURCES_DIR", str(folder))
        yield


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, site: str, token_of: Callable[[str], str], request: pytest.FixtureRequest) -> Iterator[Page]:
    """A watched tab of a viewer."""
    with watched(browser, site, token_of("viewer"), request.param) as tab:
        yield tab


def test_a_log_is_looked_at_and_narrowed(page: Page, tmp_path: Path) -> None:
    page.goto("/driftline/overview")
    page.locator("#hits .main-svg").first.wait_for()
    assert "960 requests from 2026-03-02 00:00 to 2026-03-03 23:58 UTC" in page.locator("#total").inner_text()
    assert set(page.locator("#hits .legendtext").all_text_contents()) == {"2xx", "5xx"}
    urls = page.get_by_role("region", name="URLs")
    assert urls.get_by_text(HOSTILE).is_visible()
    assert page.locator("img").count() == 0
    assert "320" in urls.get_by_role("row").nth(1).inner_text()
    accessible(page)
    page.screenshot(path=tmp_path / "overview.png", full_page=True)
    urls.get_by_role("link", name="/cart").click()
    page.locator("#hits .main-svg").first.wait_for()
    assert "320 requests" in page.locator("#total").inner_text()
    page.get_by_role("link", name="only 5xx").click()
    page.locator("#hits .main-svg").first.wait_for()
    assert "32 requests" in page.locator("#total").inner_text()
    page.get_by_role("link", name="Remove the filter URL: /cart").click()
    page.locator("#hits .main-svg").first.wait_for()
    assert "96 requests" in page.locator("#total").inner_text()
    assert "status=5xx" in page.url


def test_what_cannot_be_shown_is_said(page: Page) -> None:
    answer = page.request.get(f"/driftline/api/v1/sources/{SOURCE}/overview?start=2026-03-02")
    assert answer.status == 422
    assert "give both" in answer.text()
    assert page.request.get("/driftline/api/v1/sources/no-such/overview").status in (400, 404)
    assert page.request.get("/driftline/api/v1/sources/..%2F..%2Fetc/overview").status in (404, 422)
