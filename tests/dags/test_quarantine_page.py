"""The quarantine in a real browser: rows are found, released and dismissed; who may not change a source only looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from dag_explored import HOSTILE, accessible

from driftline.core.source import Source
from driftline.elastic import results
from driftline.elastic.indices import DECISIONS
from driftline.pipeline import quarantine
from driftline.pipeline.ingest import ingest
from driftline.pipeline.quarantine import Choice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from elasticsearch import Elasticsearch
    from playwright.sync_api import Browser, Page

GOOD = {"@timestamp": "2026-03-01T00:00:00Z", "url": "/", "status": 200}
BAD = {**GOOD, "url": HOSTILE, "status": 999}


@pytest.fixture
def source(client: Elasticsearch, prefix: str, tmp_path: Path) -> Iterator[Source]:
    """A source with one good row and three bad ones, of which one cannot be read."""
    lines = [orjson.dumps(row) for row in (GOOD, BAD, {**GOOD, "status": 0})]
    (tmp_path / "web.ndjson").write_bytes(b"\n".join([*lines, b"{not JSON " + HOSTILE.encode(), b""]))
    definition: dict[str, Any] = {
        "source_id": f"{prefix}web", "index": f"{prefix}web", "files": {"paths": [str(tmp_path / "web.ndjson")]},
        "quality": {"ranges": {"status": [100, 599]}, "max_bad_ratio": 0.9},
    }  # fmt: skip
    made = Source.parse(definition, where="test")
    ingest(client, made)
    yield made
    results.delete(client, DECISIONS, {"prefix": {"source_id": prefix}})


@pytest.fixture
def tab_of(browser: Browser, site: str, token_of: Callable[[str], str]) -> Iterator[Callable[..., Page]]:
    """Opens a tab of a user; afterwards: no script ran that came with a row, and nothing failed."""
    said: list[str] = []
    contexts = []

    def tab_of_user(user: str, scheme: Any = "light") -> Page:
        context = browser.new_context(base_url=site, viewport={"width": 1400, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        context.add_cookies([{"name": "_token", "value": token_of(user), "url": site}])
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("console", lambda message: said.append(message.text))
        tab.on("response", lambda one: said.append(f"{one.status} {one.url}") if one.status >= 400 else None)
        return tab

    yield tab_of_user
    for context in contexts:
        for tab in context.pages:
            assert "owned" not in tab.title()
        context.close()
    assert said == []


def left(client: Elasticsearch, source: Source) -> list[int]:
    return [row["line"] for row in quarantine.look(client, Choice(sources=(source.source_id,)))["rows"]]


def test_an_editor_releases_a_row_and_dismisses_another(
    tab_of: Callable[..., Page], client: Elasticsearch, source: Source, tmp_path: Path
) -> None:
    page = tab_of("admin")
    page.goto("/driftline/quality")
    page.locator("tr", has_text=source.index).get_by_role("link", name="Look at them").click()
    rows = page.locator("#rows tbody tr")
    rows.nth(2).wait_for()
    assert HOSTILE in rows.first.inner_text()
    assert "status is not within 100 to 599: 999" in rows.first.inner_text()
    assert "web.ndjson:2" in rows.first.inner_text()
    assert "range: 2" in page.locator("#checks").inner_text()
    accessible(page)
    page.screenshot(path=tmp_path / "quarantine.png", full_page=True)
    page.get_by_label("Select all rows of this page").check()
    rows.nth(1).get_by_role("checkbox").uncheck()
    page.get_by_role("button", name="Release").click()
    page.get_by_text("1 released, 1 refused.").wait_for()
    assert "line 4: Nothing could be read from it" in page.locator("#outcome").inner_text()
    page.screenshot(path=tmp_path / "released.png", full_page=True)
    client.indices.refresh(index=source.index)
    stored = [hit["_source"] for hit in results.scan(client, {"match_all": {}}, index=source.index)]
    assert sorted(stored, key=lambda row: row["status"]) == [GOOD, BAD]
    rows.nth(2).wait_for(state="detached")
    rows.first.get_by_role("checkbox").check()
    page.get_by_role("button", name="Dismiss").click()
    page.get_by_text("1 dismissed, 0 refused.").wait_for()
    assert left(client, source) == [4]
    page.get_by_label("State").select_option("released")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("by admin").wait_for()
    assert rows.count() == 1
    assert page.locator("#actions").is_hidden()


def test_a_viewer_only_looks_and_what_is_chosen_is_in_the_address(tab_of: Callable[..., Page], source: Source) -> None:
    page = tab_of("viewer", "dark")
    page.goto(f"/driftline/quarantine?source={source.source_id}")
    rows = page.locator("#rows tbody tr")
    rows.nth(2).wait_for()
    assert page.get_by_role("checkbox").count() == 0
    assert page.locator("#actions").is_hidden()
    accessible(page)
    page.get_by_role("link", name="unparsed: 1").click()
    page.get_by_text("{not JSON").wait_for()
    assert (rows.count(), "check=unparsed" in page.url) == (1, True)
    page.locator("select[name=check]").select_option("all")
    page.get_by_label("Reason").fill("no such reason")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("There are no such rows.").wait_for()


def test_the_api_says_what_became_of_each_row(
    site: str, token_of: Callable[[str], str], client: Elasticsearch, source: Source
) -> None:
    import httpx

    def ask(user: str, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token_of(user)}"}
        return httpx.request(
            method, f"{site}/driftline/api/v1/quarantine{path}", headers=headers, trust_env=False, timeout=60, **options
        )

    found = ask("viewer", "GET", "", params={"source": source.source_id, "check": "range"}).json()
    assert (found["total"], found["checks"]) == (2, {"range": 2})
    ids = [row["id"] for row in found["rows"]]
    path, body = f"/{source.source_id}/release", {"index": source.index, "ids": ids}
    assert ask("viewer", "POST", path, json=body).status_code == 403
    assert left(client, source) == [2, 3, 4]
    done = ask("admin", "POST", path, json=body).json()
    assert (done["released"], [row["outcome"] for row in done["rows"]], done["score_again"]) == (2, ["released"] * 2, [])
    assert ask("admin", "POST", path, json=body).json()["released"] == 2
    assert ask("admin", "POST", path, json={**body, "index": "driftline-jobs"}).status_code == 404
    assert ask("admin", "POST", path, json={**body, "ids": []}).status_code == 422
    sources = ask("viewer", "GET", "/sources", params={"state": "released"}).json()["sources"]
    assert {"source_id": source.source_id, "index": source.index, "rows": 2} in sources
